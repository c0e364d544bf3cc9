package page

import (
	"net/url"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"gateway/state"
)

func FuzzLocalPath(f *testing.F) {
	for _, seed := range []string{"/", "/a?b", "//x", `/\x`, "https://x/", "/%2f/x", "/\t/x", "/x:y@z"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, to string) {
		got := LocalPath(to)
		base, _ := url.Parse("https://here.example/.gateway/login")
		u, err := base.Parse(got)
		if err != nil || u.Host != "here.example" || u.Scheme != "https" || strings.ContainsAny(got, "\r\n\t\\") || strings.HasPrefix(got, "//") {
			t.Errorf("%q leads to %q", to, got)
		}
	})
}

// What nobody has signed is neither an upload nor a link.
func FuzzSigned(f *testing.F) {
	h := &Handler{cfg: Config{Key: make([]byte, KeySize)}, now: time.Now}
	q := &request{h: h, session: &session{Session: state.Session{User: "anna"}}}
	good := q.address(pending{Token: "t", Size: 1})
	for _, seed := range []string{"", ".", good, good + "A", strings.ToUpper(good), "e30.AAAAAAAAAAAAAAAAAAAAAA"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if _, err := q.parseAddress(text); err == nil && strings.TrimRight(text, "\r\n") != good {
			// base64 has several spellings of its last bits, and skips line breaks; all of them are the same bytes
			if p, _ := q.parseAddress(text); p != (pending{Token: "t", Size: 1}) {
				t.Errorf("%q is taken", text)
			}
		}
		if _, ok := h.parseLink(text); ok {
			t.Errorf("%q is a link", text)
		}
		if m, ok := metadata(text); ok && len(m) > len(text) {
			t.Errorf("%q has %d pairs", text, len(m))
		}
	})
}

func FuzzNames(f *testing.F) {
	for _, seed := range []string{"a.txt", `..\x`, "CON", "a.", "é", "\xff"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, name string) {
		if safe := safeElement(name); safe == "" || strings.ContainsAny(safe, `\:*?"<>|`) || len(safe) > 3*len(name)+12 {
			t.Errorf("safeElement(%q) = %q", name, safe)
		}
		if text, ok := asText([]byte(name), true); ok && !utf8.ValidString(text) {
			t.Errorf("asText(%q) = %q", name, text)
		}
		if compareNames(name, name) != 0 {
			t.Errorf("%q is not like itself", name)
		}
	})
}
