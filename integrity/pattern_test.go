package integrity

import (
	"strings"
	"testing"
)

func TestPattern(t *testing.T) {
	for _, tc := range []struct {
		pattern, path string
		match, below  bool // below: of the path as a folder
	}{
		{"**/*.iso", "a/b/x.iso", true, true},
		{"a/*.iso", "a", false, true},
		{"a/*.iso", "b", false, false},
		{"a/**", "a/b", true, true},
		{"a/b", "a/b", true, false},
		{`\*`, "*", true, false},
		{`\*`, "x", false, false},
	} {
		p, err := ParsePattern(tc.pattern)
		if err != nil {
			t.Fatal(err)
		}
		if p.Match(tc.path) != tc.match || p.MatchesBelow(tc.path) != tc.below {
			t.Errorf("%s of %s: %v, below %v", tc.pattern, tc.path, p.Match(tc.path), p.MatchesBelow(tc.path))
		}
	}
	for _, bad := range []string{"a**", `x\`} {
		if _, err := ParsePattern(bad); err == nil || !strings.Contains(err.Error(), "pattern") {
			t.Errorf("%s: %v", bad, err)
		}
	}
}

func TestProves(t *testing.T) {
	p, err := ParsePolicy("p.yaml", []byte(`
rules:
- paths: "iso/**"
  evidence:
  - {manifest: "{dir}/SHA256SUMS"}
  - {manifest: "{dir}/{name}.md5"}
- paths: "**"
  evidence: [{manifest: sums/ALL}]
`))
	if err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]bool{
		"iso/SHA256SUMS": true, "iso/a/SHA256SUMS": true, "other/SHA256SUMS": false, "sums/ALL": true, "sums/all": false,
		"iso/x.md5": true, "iso/y.md5": false, "x.md5": false,
	} {
		if got := p.Proves(path, func(path string) bool { return strings.HasSuffix(path, "x") }); got != want {
			t.Errorf("%s: %v", path, got)
		}
	}
	if !p.ProvesFrom("sums") || p.ProvesFrom("sum") || p.ProvesFrom("iso") {
		t.Error("folders of evidence")
	}
}
