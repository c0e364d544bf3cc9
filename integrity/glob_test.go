package integrity

import (
	"strings"
	"testing"
)

func TestGlob(t *testing.T) {
	tests := []struct {
		pattern  string
		yes, not []string
	}{
		{"**", []string{"", "a", "a/b/c", "a b", "\xff/\xfe"}, nil},
		{"*", []string{"a", "", "a b*", "\xff"}, []string{"a/b", "a/"}},
		{"*.iso", []string{"x.iso", ".iso"}, []string{"a/x.iso", "x.ISO", "x.iso.md5"}},
		{"**/*.iso", []string{"x.iso", "a/x.iso", "a/b/x.iso"}, []string{"x.iso/b", "xiso"}},
		{"pool/**", []string{"pool/a", "pool/a/b", "pool"}, []string{"pools/a", "a/pool/b"}},
		{"a/**/z", []string{"a/z", "a/b/z", "a/z/z", "a/b/c/z"}, []string{"a/z/b", "az", "b/a/z"}},
		{"**/a/**/b/**", []string{"a/b", "x/a/y/b/z", "a/a/b/b"}, []string{"b/a", "a/x"}},
		{"a?c", []string{"abc", "aéc", "a\xffc"}, []string{"ac", "abbc", "a/c"}},
		{"a*b*c", []string{"abc", "axbxc", "abcbc", "abbc"}, []string{"acb", "abcd"}},
		{`\*`, []string{"*"}, []string{"a", "**"}},
		{`a\?`, []string{"a?"}, []string{"ab"}},
		{"[a]", []string{"[a]"}, []string{"a"}},
		{"é", []string{"é"}, []string{"e", "\xc3"}},
		{"\ufffd", []string{"\ufffd"}, []string{"\xff"}},
		{"ftp://*.example/**", []string{"ftp://a.example/x/y"}, []string{"ftp://evil/a.example/x", "sftp://a.example/x"}},
	}
	for _, test := range tests {
		g, err := parseGlob(test.pattern)
		if err != nil {
			t.Errorf("%q: %v", test.pattern, err)
			continue
		}
		for _, text := range test.yes {
			if !g.match(text) {
				t.Errorf("%q does not match %q", test.pattern, text)
			}
		}
		for _, text := range test.not {
			if g.match(text) {
				t.Errorf("%q matches %q", test.pattern, text)
			}
		}
	}
	for _, bad := range []string{"a**", "**a", "a/***", `a\`, `a\/b`} {
		if _, err := parseGlob(bad); err == nil {
			t.Errorf("%q is accepted", bad)
		}
	}
}

// A pattern with many stars on a long hostile name must not take exponential
// time: this would not end within the test's time if it did.
func TestGlobIsNotExponential(t *testing.T) {
	for _, pattern := range []string{strings.Repeat("*a", 30) + "b", strings.Repeat("**/a/", 30) + "b"} {
		g, err := parseGlob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		if g.match(strings.Repeat("a", 4000)) || g.match(strings.Repeat("a/", 2000)+"a") {
			t.Errorf("%q matches", pattern)
		}
	}
}
