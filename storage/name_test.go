package storage

import (
	"errors"
	"strings"
	"testing"
	"unicode/utf8"
)

func TestCleanName(t *testing.T) {
	long := strings.Repeat("x", MaxElement)
	for in, want := range map[string]string{
		"":                          "",
		"/":                         "",
		"//":                        "",
		".":                         "",
		"./":                        "",
		"a":                         "a",
		"/a/b/":                     "a/b",
		"a//b":                      "a/b",
		"/./a/./b/.":                "a/b",
		" a ":                       " a ",
		"a\\b":                      "a\\b",
		"...":                       "...",
		"..a/b..":                   "..a/b..",
		"cafe\u0301":                "caf\u00e9",
		"\u212b":                    "\u00c5",
		"日本/語":                      "日本/語",
		long + "/" + long:           long + "/" + long,
		".gateway-staging2":         ".gateway-staging2",
		"gateway-staging":           "gateway-staging",
		".gateway-":                 ".gateway-",
		"gateway":                   "gateway",
		strings.Repeat("é", 127):    strings.Repeat("é", 127),
		strings.Repeat("a/", 254):   strings.TrimSuffix(strings.Repeat("a/", 254), "/"),
		strings.Repeat("/", 10_000): "",
	} {
		got, err := CleanName(in)
		if err != nil || got != want {
			t.Errorf("CleanName(%.60q) = %.60q, %v, want %.60q", in, got, err, want)
		}
		if again, err := CleanName(got); err != nil || again != got {
			t.Errorf("CleanName(%.60q) again is %.60q, %v", got, again, err)
		}
		if got, err := cleaned(in); err != nil || got != want {
			t.Errorf("cleaned(%.60q) = %.60q, %v, want %.60q", in, got, err, want)
		}
	}
}

func TestCleanNameRefuses(t *testing.T) {
	for _, in := range []string{
		"..", "../a", "a/..", "a/../b", "/..",
		"a\x00b", "a\nb", "\x1b[2J", "a\x7f", "a\u0085b", "a\u2028b", "a\u2029b",
		"a\xffb", "\xc0\xaf", "\xed\xa0\x80",
		strings.Repeat("x", MaxElement+1),
		strings.Repeat("é", 128),
		strings.Repeat(strings.Repeat("x", 200)+"/", 21),
		strings.Repeat("a/", MaxDepth+1),
		strings.Repeat("/", 3*MaxName+1),
		StagingName, "/" + StagingName + "/x", "a/" + StagingName, ".GATEWAY-Staging",
		".gateway\u200d-staging", "\ufeff.gateway-staging", ".gateway-\u017ftaging", "\uff0egateway-staging", ".gateway-staging.", ".gateway-staging ",
		PageName, "/" + PageName + "/x", "a/" + PageName, ".Gateway", ".gateway.", ".gateway ", "\uff0egateway", ".gate\u200dway",
		".gateway\ufe0f-staging", "\u115f.gateway-staging",
	} {
		if plain(in) {
			t.Errorf("plain(%.60q)", in)
		}
		if got, err := CleanName(in); !errors.Is(err, ErrName) {
			t.Errorf("CleanName(%.60q) = %q, %v, want ErrName", in, got, err)
		} else if len(err.Error()) > 500 {
			t.Errorf("the error for %.60q is %d bytes long", in, len(err.Error()))
		}
	}
}

func FuzzCleanName(f *testing.F) {
	for _, seed := range []string{"/a/b/", "a/../b", "cafe\u0301", ".gateway-staging", "a\x00", "\u0344/\u0301"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, in string) {
		if name, err := cleaned(in); plain(in) && (err != nil || name != in) {
			t.Fatalf("%q is taken for clean and is %q, %v", in, name, err)
		}
		name, err := CleanName(in)
		if err != nil {
			if !errors.Is(err, ErrName) {
				t.Fatalf("%q: %v", in, err)
			}
			return
		}
		if again, err := CleanName(name); err != nil || again != name {
			t.Fatalf("%q is cleaned to %q and that to %q, %v", in, name, again, err)
		}
		if !utf8.ValidString(name) || len(name) > MaxName || strings.ContainsRune(name, 0) {
			t.Fatalf("%q is not clean", name)
		}
		if name == "" {
			return
		}
		for _, element := range strings.Split(name, "/") {
			if !ValidElement(element) {
				t.Fatalf("%q has the element %q", name, element)
			}
		}
	})
}

func TestWithin(t *testing.T) {
	for _, test := range []struct {
		name, dir string
		want      bool
	}{{"a", "", true}, {"", "", true}, {"a", "a", true}, {"a/b", "a", true}, {"ab", "a", false}, {"a", "a/b", false}} {
		if got := Within(test.name, test.dir); got != test.want {
			t.Errorf("Within(%q, %q) = %v", test.name, test.dir, got)
		}
	}
}
