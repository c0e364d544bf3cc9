package ftpbridge

import (
	"net/url"
	"strings"
	"testing"

	"gateway/storage"
)

func TestSafeName(t *testing.T) {
	long := strings.Repeat("\u00e9", 200)
	for _, tc := range []struct{ in, want string }{
		{"plain", "plain"}, {"100%", "100%"}, {"cafe\u0301", "caf\u00e9"}, {" x. ", " x. "}, {"a\\b", "a\\b"},
		{".", "%2E"}, {"..", "%2E."}, {"...", "..."}, {"../up", "..%2Fup"}, {"/etc/passwd", "%2Fetc%2Fpasswd"},
		{"a\nb", "a%0Ab"}, {"a\x00b%", "a%00b%25"}, {"\x1b[31mred", "%1B[31mred"}, {"a\u0085b", "a%C2%85b"}, {"a\u2028b", "a%E2%80%A8b"},
		{".gateway-staging", "%2Egateway-staging"}, {".GATEWAY-staging ", "%2EGATEWAY-staging "},
		{"\ufeff.gateway-staging", "%EF%BB%BF.gateway-staging"}, {"%2E", "%2E"},
	} {
		got, fault := safeName(tc.in, tc.in, storage.MaxElement)
		if got != tc.want || fault != "" || !storage.ValidElement(got) {
			t.Errorf("%q: %q, %s", tc.in, got, fault)
		}
		if again, _ := safeName(got, got, storage.MaxElement); again != got {
			t.Errorf("%q is not safe: %q", got, again)
		}
		if back, err := url.PathUnescape(got); strings.Contains(got, "%") && tc.in != "100%" && tc.in != "%2E" && (err != nil || back != tc.in) {
			t.Errorf("%q: back %q, %v", got, back, err)
		}
	}
	for _, in := range []string{long, long + ".tar.gz", strings.Repeat("\x01", 100), strings.Repeat("x", 300) + "." + strings.Repeat("y", 30)} {
		a, _ := safeName(in, in, storage.MaxElement)
		b, _ := safeName(in, in+"other bytes", storage.MaxElement)
		if len(a) > storage.MaxElement || len(a) < storage.MaxElement-2 || !storage.ValidElement(a) || a == b || !strings.Contains(a, "~") {
			t.Errorf("%q: %q, %q", in, a, b)
		}
		if strings.HasSuffix(in, ".gz") && !strings.HasSuffix(a, ".gz") {
			t.Errorf("%q lost its extension", a)
		}
	}
	if got, fault := safeName("long name", "long name", 3); fault == "" {
		t.Errorf("got %q", got)
	}
}

// What a server lists first, or in which order, gives nobody a name.
func TestNamesDoNotDependOnOrder(t *testing.T) {
	names := []string{"b\u00e9", "be\u0301", "A\u0301x", "\u00c1x", "dir"}
	for _, reverse := range []bool{false, true} {
		var list strings.Builder
		for i := range names {
			if reverse {
				i = len(names) - 1 - i
			}
			list.WriteString(unixLine(names[i], 1))
		}
		srv := (&scripted{lists: map[string]string{"": list.String()}, files: map[string]string{}}).start(t)
		for _, n := range names {
			srv.files["/"+n] = "x"
		}
		m := newMove(t, srv.source(t, ""))
		rep := m.run()
		reasons(t, rep.Failed, map[string]string{"be\u0301": "would be that of b\u00e9", "A\u0301x": "would be that of \u00c1x"})
	}
}

// The one that came first in an earlier run keeps its name, be it a folder.
func TestNamesStay(t *testing.T) {
	srv := serve(t, map[string]string{"De\u0301/x": "1", "fe\u0301": "2"})
	m := newMove(t, srv.source(t, ""))
	m.run()
	srv.setFiles(map[string]string{"De\u0301/x": "1", "fe\u0301": "2", "D\u00e9/x": "3", "f\u00e9": "4"})
	rep := m.run()
	reasons(t, rep.Failed, map[string]string{"f\u00e9": "would be that of"})
	reasons(t, rep.Unread, map[string]string{"D\u00e9": "would be that of"})
	equal(t, m.files(), map[string]string{"D\u00e9/": "", "D\u00e9/x": "1", "f\u00e9": "2"})
}

// A folder that had to be renamed takes along what is in it.
func TestFolderRenamed(t *testing.T) {
	long := strings.Repeat("d", 300)
	srv := serve(t, map[string]string{".gateway-staging/a/b": "1", long + "/c": "2"})
	m := newMove(t, srv.source(t, ""))
	rep := m.run()
	cut, _ := safeName(long, long, storage.MaxElement)
	equal(t, m.files(), map[string]string{
		"%2Egateway-staging/": "", "%2Egateway-staging/a/": "", "%2Egateway-staging/a/b": "1", cut + "/": "", cut + "/c": "2",
	})
	reasons(t, rep.Renamed, map[string]string{".gateway-staging/a/b": "%XX", long + "/c": "~"})
	equal(t, m.line(".gateway-staging/a/b").Target, "old/%2Egateway-staging/a/b")
	rep = m.run()
	equal(t, rep.Unchanged.Files, int64(2))
}
