package uploadid

import (
	"strings"
	"testing"
)

// TestNew makes ids that are valid and differ.
func TestNew(t *testing.T) {
	seen := map[string]bool{}
	for range 1000 {
		id := New()
		if !Valid(id) {
			t.Fatalf("New made %q, which is not valid", id)
		}
		if seen[id] {
			t.Fatalf("New made %q twice", id)
		}
		seen[id] = true
	}
}

// TestValid refuses what is not spelled as New does.
func TestValid(t *testing.T) {
	good := "0123456789abcdef0123456789abcdef"
	for id, want := range map[string]bool{
		good:                        true,
		strings.Repeat("0", 32):     true,
		"":                          false,
		good[1:]:                    false,
		good[2:]:                    false,
		good + "00":                 false,
		strings.ToUpper(good):       false,
		"g" + good[1:]:              false,
		"../" + good[3:]:            false,
		good[:31] + "\x00":          false,
		" " + good[1:]:              false,
		good + "\n":                 false,
		strings.Repeat("é", 16):     false,
		good[:16] + "/" + good[17:]: false,
	} {
		if Valid(id) != want {
			t.Errorf("Valid(%q) is %t", id, !want)
		}
	}
}
