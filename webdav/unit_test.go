package webdav

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"gateway/storage"
)

func TestParsePath(t *testing.T) {
	for escaped, want := range map[string]string{
		"":                 "",
		"/":                "",
		"//":               "",
		"/a/b":             "a/b",
		"/a/b/":            "a/b",
		"//a///b":          "a/b",
		"/%61":             "a",
		"/a%2520b":         "a%20b",
		"/a+b":             "a+b",
		"/a%5Cb":           `a\b`,
		"/..a/...":         "..a/...",
		"/cafe%CC%81":      "café",
		"/a;b=c/d:e@f&g=h": "a;b=c/d:e@f&g=h",
		// Refused:
		"a":                                 "!",
		"/..":                               "!",
		"/.":                                "!",
		"/a/%2e%2E":                         "!",
		"/a%2fb":                            "!",
		"/a%00b":                            "!",
		"/a%zz":                             "!",
		"/a%":                               "!",
		"/%C3%28":                           "!",
		"/a%07":                             "!",
		"/" + strings.Repeat("a/", 300):     "!",
		"/" + strings.Repeat("%61", 300):    "!",
		"/a/" + storage.StagingName + "/up": "!",
	} {
		name, slash, err := parsePath(escaped)
		if want == "!" {
			if err == nil {
				t.Errorf("%q is %q, want an error", escaped, name)
			}
			continue
		}
		if err != nil || name != want || slash != (escaped == "" || strings.HasSuffix(escaped, "/")) {
			t.Errorf("%q is %q %v, want %q (%v)", escaped, name, slash, want, err)
		}
		if err == nil {
			back, _, err := parsePath(href(name, false))
			if err != nil || back != name {
				t.Errorf("%q does not survive href: %q %v", name, back, err)
			}
		}
	}
}

func TestDestinationHosts(t *testing.T) {
	for _, tt := range []struct {
		host, destination string
		local             bool
	}{
		{"h", "http://h/a", true},
		{"h", "https://h/a", true},
		{"h", "https://h:443/a", true},
		{"h:443", "https://h/a", true},
		{"H", "http://h:80/a", true},
		{"h:8080", "http://h:8080/a", true},
		{"h:8080", "http://h/a", false},
		{"h", "http://h.evil.example/a", false},
		{"h", "http://h@evil.example/a", false},
		{"h", "http://evil.example/h/a", false},
		{"[::1]:8080", "http://[::1]:8080/a", true},
		{"[::1]", "http://[::1]:80/a", true},
		{"[::1]", "http://[::2]/a", false},
		{"h", "//evil.example/a", false},
		{"h", "/a", true},
	} {
		r := httptest.NewRequest("COPY", "/x", nil)
		r.Host = tt.host
		name, local, err := (&request{Request: r}).resolve(tt.destination)
		if err != nil || local != tt.local || local && name != "a" {
			t.Errorf("%s at %s: %q %v %v", tt.destination, tt.host, name, local, err)
		}
	}
}

func TestMatchETag(t *testing.T) {
	info := storage.Info{ETag: "v1"}
	for header, want := range map[string][2]bool{ // strong, weak
		`"v1"`:            {true, true},
		`*`:               {true, true},
		`"x", "v1"`:       {true, true},
		`"x","v1"`:        {true, true},
		`W/"v1"`:          {false, true},
		`W/"x", "v1"`:     {true, true},
		`"a,b", "v1"`:     {true, true},
		`"x"`:             {false, false},
		`v1`:              {false, false},
		`"v1`:             {false, false},
		`"x" garbage "v1`: {false, false},
		`, ,`:             {false, false},
	} {
		if got := [2]bool{matchETag(header, info, true), matchETag(header, info, false)}; got != want {
			t.Errorf("%s: %v", header, got)
		}
	}
	if matchETag(`""`, storage.Info{}, true) {
		t.Error("a folder has no entity tag to match")
	}
}

func TestOwnerSurvives(t *testing.T) {
	// However the client wrote it, it means the same in our answer.
	in := `<l xmlns:D="DAV:" xmlns:x="urn:x"><D:owner xmlns="urn:d" x:k="v&quot;" xml:lang="de">a&lt;b <D:href/><x:y a="1" x:b="2">t</x:y><z xmlns=""/></D:owner></l>`
	root, err := parseXML([]byte(in))
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	writeElement(&b, root.children()[0])
	again, err := parseXML([]byte(`<D:x xmlns:D="DAV:">` + b.String() + `</D:x>`))
	if err != nil {
		t.Fatalf("%v: %s", err, &b)
	}
	var b2 strings.Builder
	writeElement(&b2, again.children()[0])
	if b.String() != b2.String() || !strings.Contains(b.String(), `xml:lang="de"`) || !strings.Contains(b.String(), "a&lt;b ") {
		t.Errorf("%s\n%s", &b, &b2)
	}
	y := again.children()[0].children()[1]
	if y.xmlName != (xmlName{"urn:x", "y"}) || len(y.attrs) != 2 || y.attrs[1].xmlName != (xmlName{"urn:x", "b"}) {
		t.Errorf("%+v", y)
	}
}

func FuzzParse(f *testing.F) {
	f.Add(exclusive, "/a/%2e", `(<x> ["y"]) (Not <z>)`)
	f.Add(shared, "/a%2Fb", `</a> (<x>)`)
	f.Add(propfindOf("D:a", "x:b"), "//", `([W/"x"])`)
	f.Fuzz(func(t *testing.T, body, path, ifs string) {
		if root, err := parseXML([]byte(body)); err == nil {
			_, _ = parseQuery(root)
			_, _ = parsePatches(root)
			_, _ = parseLockInfo(root)
			var b strings.Builder
			writeElement(&b, root)
			if _, err := parseXML([]byte(`<D:x xmlns:D="DAV:">` + b.String() + `</D:x>`)); err != nil && len(root.nodes) == 0 {
				t.Errorf("%q became %q: %v", body, &b, err)
			}
		}
		if name, _, err := parsePath(path); err == nil {
			if clean, err := storage.CleanName(name); err != nil || clean != name {
				t.Errorf("%q gave %q", path, name)
			}
			if back, _, err := parsePath(href(name, true)); err != nil || back != name {
				t.Errorf("%q: %q %v", name, back, err)
			}
		}
		if lists, err := parseIf(ifs); err == nil && len(lists) == 0 {
			t.Errorf("%q has no list", ifs)
		}
	})
}

func TestStatusOfHidesNothingIntended(t *testing.T) {
	if status, text := statusOf(errDisk); status != http.StatusInternalServerError || strings.Contains(text, "secret") {
		t.Error(status, text)
	}
}
