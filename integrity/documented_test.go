package integrity_test

import (
	"os"
	"strings"
	"testing"

	"gateway/integrity"
)

// TestDocumentedPolicies: what docs/integrity.md shows can be used.
func TestDocumentedPolicies(t *testing.T) {
	doc, err := os.ReadFile("../docs/integrity.md")
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, block := range strings.Split(string(doc), "```yaml\n")[1:] {
		text, _, ok := strings.Cut(block, "```")
		if !ok {
			t.Fatal("a block without end")
		}
		if _, err := integrity.ParsePolicy("docs/integrity.md", []byte(text)); err != nil {
			t.Errorf("%v in\n%s", err, text)
		}
		n++
	}
	if n < 6 {
		t.Errorf("%d policies in the documentation", n)
	}
}
