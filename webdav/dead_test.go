package webdav

import (
	"context"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"gateway/state"
	"gateway/state/sqlite"
	"gateway/storage"
)

// startKeeping starts a server that keeps properties, in a database.
func startKeeping(t *testing.T, o settings) (*server, *sqlite.Store) {
	t.Helper()
	db, err := sqlite.Open(t.Context(), filepath.Join(t.TempDir(), "state.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	o.config = func(c *Config) { c.Properties, c.Locks = db, db }
	return startWith(t, o), db
}

// update is the body of a PROPPATCH, with D, m and x as prefixes.
func update(instructions string) string {
	return `<D:propertyupdate xmlns:D="DAV:" xmlns:m="urn:schemas-microsoft-com:" xmlns:x="http://example.org/&lt;x&gt;">` + instructions + `</D:propertyupdate>`
}

func setting(props string) string { return update("<D:set><D:prop>" + props + "</D:prop></D:set>") }

// patch sends a PROPPATCH and compares the statuses.
func (s *server) patch(path, body string, want map[string]string) {
	s.t.Helper()
	got := s.send(step{method: "PROPPATCH", path: path, body: body}).multistatus(s.t)[path]
	for name, status := range want {
		if strings.TrimSpace(got[name]) != status {
			s.t.Errorf("%s: %q, want %s", name, got[name], status)
		}
	}
	if len(got) != len(want) {
		s.t.Errorf("%v, want %v", got, want)
	}
}

const ns = "http://example.org/<x> "

func TestDeadProperties(t *testing.T) {
	s, _ := startKeeping(t, settings{})
	s.put(map[string]string{"d/f": "1", "d/g": "2", "d/e/": ""})
	get := func(path, depth, body string) map[string]map[string]string {
		t.Helper()
		return s.send(step{method: "PROPFIND", path: path, header: "Depth: " + depth, body: body}).multistatus(t)
	}
	s.patch("/d/f", update(`<D:set xml:lang="de"><D:prop><x:a>1</x:a><x:b xml:lang="fr"/></D:prop></D:set>
		<D:remove><D:prop><x:none/></D:prop></D:remove><D:set><D:prop xml:lang="en"><own xmlns="" k="v">t<x:i/>  <i a:k="&lt;" xmlns:a="u:&amp;"/>&#13;&amp;</own>
		<D:displayname>A title</D:displayname><m:Win32FileAttributes>00000020</m:Win32FileAttributes>
		<executable xmlns="http://apache.org/dav/props/">T</executable></D:prop></D:set>`),
		map[string]string{ns + "a": "200", ns + "b": "200", ns + "none": "200", " own": "200", "DAV: displayname": "200", microsoft + " Win32FileAttributes": "200",
			"http://apache.org/dav/props/ executable": "200"})
	f := get("/d/f", "0", "")["/d/f"]
	for name, want := range map[string]string{
		ns + "a": "200 1", ns + "b": "200 ", microsoft + " Win32FileAttributes": "200 00000020",
		"http://apache.org/dav/props/ executable": "200 T", "DAV: displayname": "200 A title", "DAV: getcontentlength": "200 1",
		" own": `200 t<n:i xmlns:n="http://example.org/&lt;x&gt;"></n:i>  <i xmlns:a0="u:&amp;" a0:k="&lt;"></i>&#xD;&amp;`,
	} {
		if f[name] != want {
			t.Errorf("%s: %q, want %q", name, f[name], want)
		}
	}
	body := s.send(step{method: "PROPFIND", path: "/d/f"}).body
	for _, want := range []string{`:a xmlns:n="http://example.org/&lt;x&gt;" xml:lang="de">`, `xml:lang="fr"`, `<own k="v" xml:lang="en">`} {
		if !strings.Contains(body, want) {
			t.Errorf("no %s in %s", want, body)
		}
	}
	if p := get("/d/f", "0", `<propfind xmlns="DAV:"><propname/></propfind>`)["/d/f"]; p[ns+"a"] != "200 " || p[" own"] != "200 " || p["DAV: displayname"] != "200 " {
		t.Error(p)
	}
	all := get("/d", "1", propfindOf("x:a", "D:displayname", "x:none"))
	if len(all) != 4 || all["/d/f"][ns+"a"] != "200 1" || all["/d/f"]["DAV: displayname"] != "200 A title" || all["/d/f"][ns+"none"] != "404 " ||
		all["/d/g"][ns+"a"] != "404 " || all["/d/g"]["DAV: displayname"] != "200 g" || all["/d/e/"][ns+"a"] != "404 " {
		t.Error(all)
	}
	// The same folder at another place, and a name in it.
	m := s.send(step{method: "PROPFIND", path: "/two/again/d/f", user: "mounts", body: propfindOf("x:a")}).multistatus(t)
	if m["/two/again/d/f"][ns+"a"] != "200 1" {
		t.Error(m)
	}
	if m := s.send(step{method: "PROPFIND", path: "/", header: "Depth: infinity", user: "mounts", body: propfindOf("x:a")}).multistatus(t); m["/one/d/f"][ns+"a"] != "200 1" {
		t.Error(m)
	}
	s.patch("/d/f", update(`<D:remove><D:prop><x:a/><D:displayname/></D:prop></D:remove>`), map[string]string{ns + "a": "200", "DAV: displayname": "200"})
	if f := get("/d/f", "0", "")["/d/f"]; f[ns+"a"] != "" || f[ns+"b"] != "200 " || f["DAV: displayname"] != "200 f" {
		t.Error(f)
	}
	// A file that is replaced keeps its properties; a copy has them, in place of its own.
	s.patch("/d/g", setting(`<x:g/>`), map[string]string{ns + "g": "200"})
	s.run(step{method: "PROPPATCH", path: "/d/e", body: setting(`<x:e/>`), want: 207})
	s.run(
		step{method: "PUT", path: "/d/f", body: "new", want: 204},
		step{method: "COPY", path: "/d/f", header: "Destination: /d/g", want: 204},
		step{method: "COPY", path: "/d", header: "Destination: /c", want: 201},
	)
	for _, path := range []string{"/d/f", "/d/g", "/c/f", "/c/g"} {
		if p := get(path, "0", "")[path]; p[ns+"b"] != "200 " || p[ns+"g"] != "" {
			t.Errorf("%s: %v", path, p)
		}
	}
	if p := get("/c/e", "0", "")["/c/e/"]; p[ns+"e"] != "200 " {
		t.Error(p)
	}
}

// TestProppatchAtomic: all or nothing, and why.
func TestProppatchAtomic(t *testing.T) {
	s, _ := startKeeping(t, settings{})
	s.put(map[string]string{"f": "1"})
	const was, then = "Mon, 02 Jan 2006 15:04:05 GMT", "<D:getlastmodified>Tue, 03 Jan 2006 15:04:05 GMT</D:getlastmodified>"
	s.patch("/f", setting("<D:getlastmodified>"+was+"</D:getlastmodified><x:a>1</x:a>"), map[string]string{"DAV: getlastmodified": "200", ns + "a": "200"})
	var many strings.Builder
	for i := range 7 {
		fmt.Fprintf(&many, "<x:p%d>%s</x:p%d>", i, strings.Repeat("x", 10<<10), i)
	}
	for body, want := range map[string]map[string]string{
		setting("<x:a>2</x:a>" + then + "<D:getetag>x</D:getetag>"):                {ns + "a": "424", "DAV: getlastmodified": "424", "DAV: getetag": "403"},
		setting("<x:a>2</x:a><D:getlastmodified>x</D:getlastmodified>"):            {ns + "a": "424", "DAV: getlastmodified": "409"},
		setting("<x:a>2</x:a><D:acl/>"):                                            {ns + "a": "424", "DAV: acl": "403"},
		setting("<x:a>" + strings.Repeat("x", 33<<10) + "</x:a>" + then):           {ns + "a": "507", "DAV: getlastmodified": "424"},
		update("<D:remove><D:prop><D:getlastmodified/><x:a/></D:prop></D:remove>"): {ns + "a": "424", "DAV: getlastmodified": "403"},
		setting(many.String() + then): {ns + "p0": "507", ns + "p1": "507", ns + "p2": "507", ns + "p3": "507", ns + "p4": "507", ns + "p5": "507", ns + "p6": "507",
			"DAV: getlastmodified": "424"},
	} {
		s.patch("/f", body, want)
		f := s.send(step{method: "PROPFIND", path: "/f"}).multistatus(t)["/f"]
		if f[ns+"a"] != "200 1" || f["DAV: getlastmodified"] != "200 "+was || f[ns+"p0"] != "" {
			t.Errorf("after %.200s: %v", body, f)
		}
	}
	a := s.send(step{method: "PROPPATCH", path: "/f", body: setting("<D:getetag/>")})
	if !strings.Contains(a.body, "<D:cannot-modify-protected-property/>") {
		t.Error(a.body)
	}
	m := s.send(step{method: "PROPPATCH", path: "/f", user: "reader", body: setting("<x:a>2</x:a>")}).multistatus(t)
	if !strings.HasPrefix(m["/f"][ns+"a"], "403") {
		t.Error(m)
	}
	s.hold(step{path: "/f", body: exclusive, want: 200})
	s.run(step{method: "PROPPATCH", path: "/f", body: setting("<x:a>2</x:a>"), want: 423})
}

// A storage that cannot keep a time does not get the properties either.
func TestProppatchOfBroken(t *testing.T) {
	s, _ := startKeeping(t, settings{wrap: func(f storage.FS) storage.FS { return timeless{f} }})
	s.put(map[string]string{"f": "1"})
	s.patch("/f", setting("<x:a/><D:getlastmodified>Tue, 03 Jan 2006 15:04:05 GMT</D:getlastmodified>"),
		map[string]string{ns + "a": "424", "DAV: getlastmodified": "403"})
	if f := s.send(step{method: "PROPFIND", path: "/f"}).multistatus(t)["/f"]; f[ns+"a"] != "" {
		t.Error(f)
	}
}

// timeless is an FS that does not let times be set.
type timeless struct{ storage.FS }

func (timeless) SetModTime(_ context.Context, name string, _ time.Time) error {
	return storage.PathError("set time", name, fs.ErrPermission)
}

// TestHostileProperties: whatever one client stores, the others read a listing.
func TestHostileProperties(t *testing.T) {
	s, db := startKeeping(t, settings{})
	s.put(map[string]string{"f": "1"})
	for body, want := range map[string]int{
		setting(`<x:a k="1" k="2"/>`):                                     400,
		setting(`<x:a p:k="1" q:k="2" xmlns:p="u" xmlns:q="u"/>`):         400,
		setting(`<x:a xmlns:p="http://www.w3.org/2000/xmlns/" p:k="1"/>`): 400,
		setting(`<x:1a/>`):                   400,
		setting(`<x:-a/>`):                   400,
		setting(`<x:a>` + "\x01" + `</x:a>`): 400,
		setting(`<x:a>` + "\xff" + `</x:a>`): 400,
		setting(`<x:a k="&#0;"/>`):           400,
		setting(`<xmlns:a/>`):                400,
		setting(`<x:a>` + strings.Repeat("<x:b>", 40) + strings.Repeat("</x:b>", 40) + `</x:a>`):    400,
		setting(`<x:a>]]&gt;<![CDATA[</D:prop><b>]]></x:a>`):                                        207,
		setting(`<x:a>&lt;/D:prop>&#13;&#9;&#xFFFD;&#x10FFFF;</x:a>`):                               207,
		setting(`<a xmlns="&quot;&lt;>'&#10;">x</a>`):                                               207,
		setting(`<a xmlns="urn:other" D="1" xml:space="preserve"><D xmlns="">x</D></a>`):            207,
		setting(`<D:displayname><D:href>/</D:href></D:displayname>`):                                207,
		setting(`<x:` + strings.Repeat("n", 256) + ` xmlns:x="` + strings.Repeat("u", 256) + `"/>`): 207,
	} {
		a := s.send(step{method: "PROPPATCH", path: "/f", body: body})
		if a.status != want {
			t.Errorf("%.200q: %d", body, a.status)
		}
		if want == 207 && strings.Contains(a.body, " 507 ") == strings.Contains(a.body, " 200 ") {
			t.Errorf("%.200q: %s", body, a.body)
		}
		b := s.send(step{method: "PROPFIND", path: "/", header: "Depth: 1"})
		if _, err := parseXML([]byte(b.body)); err != nil {
			t.Fatalf("after %.200q: %v in %s", body, err, b.body)
		}
		if m := b.multistatus(t); len(m) != 2 || m["/f"]["DAV: getetag"] == "" {
			t.Errorf("after %.200q: %v", body, m)
		}
		if err := db.RemoveProperties(t.Context(), s.key("f")); err != nil {
			t.Fatal(err)
		}
	}
}

// key is that of a name in alice's tree.
func (s *server) key(name string) string {
	return s.tree.(interface{ Key(name string) string }).Key(name)
}

// Where nothing keeps them they are refused.
func TestNoDeadProperties(t *testing.T) {
	s := start(t)
	s.put(map[string]string{"f": "1"})
	s.patch("/f", setting("<x:a/>"), map[string]string{ns + "a": "403"})
}

// A listing takes properties of many files together, and those of each are its own.
func TestManyDeadProperties(t *testing.T) {
	const n = 3*lookups + 1
	s, db := startKeeping(t, settings{})
	files := map[string]string{}
	for i := range n {
		name := fmt.Sprintf("d/f%03d", i)
		files[name] = ""
		if i%3 == 0 {
			continue
		}
		err := db.PatchProperties(t.Context(), s.key(name), "alice", state.PropertyChange{
			Property: state.Property{Local: "p", Value: fmt.Sprintf("<p>%d</p>", i)},
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	s.put(files)
	for _, depth := range []string{"1", "infinity"} {
		m := s.send(step{method: "PROPFIND", path: "/d", header: "Depth: " + depth}).multistatus(t)
		if len(m) != n+1 {
			t.Errorf("%d resources", len(m))
		}
		for i := range n {
			want := fmt.Sprint("200 ", i)
			if i%3 == 0 {
				want = ""
			}
			if got := m[fmt.Sprintf("/d/f%03d", i)][" p"]; got != want {
				t.Errorf("%d: %q", i, got)
			}
		}
	}
}

func TestPrincipalAndPrivileges(t *testing.T) {
	s := start(t)
	s.put(map[string]string{"d/f": "1"})
	body := propfindOf("D:current-user-principal", "D:current-user-privilege-set")
	for _, tt := range []struct{ user, path, privileges string }{
		{"alice", "/d/", "read write write-properties bind unbind read-current-user-privilege-set"},
		{"alice", "/d/f", "read write write-content write-properties read-current-user-privilege-set"},
		{"reader", "/d/", "read read-current-user-privilege-set"},
		{"reader", "/d/f", "read read-current-user-privilege-set"},
		{"dropper", "/d/", "write-properties bind read-current-user-privilege-set"},
		{"mounts", "/two/", "read-current-user-privilege-set"},
	} {
		p := s.send(step{method: "PROPFIND", path: tt.path, header: "Depth: 0", user: tt.user, body: body}).multistatus(t)[tt.path]
		want := "200 "
		for _, name := range strings.Fields(tt.privileges) {
			want += "<D:privilege><D:" + name + "/></D:privilege>"
		}
		if got := p["DAV: current-user-privilege-set"]; got != want {
			t.Errorf("%s at %s: %s", tt.user, tt.path, got)
		}
		if p["DAV: current-user-principal"] != "200 <D:href>/</D:href>" {
			t.Error(p)
		}
	}
	// Only where they are asked for (RFC 3744 section 5, RFC 4331 section 3).
	for name := range s.send(step{method: "PROPFIND", path: "/d/"}).multistatus(t)["/d/"] {
		if strings.Contains(name, "current-user") || strings.Contains(name, "quota") {
			t.Error(name)
		}
	}
	m := s.send(step{method: "PROPPATCH", path: "/d/f", body: setting("<D:current-user-principal/>")}).multistatus(t)
	if !strings.HasPrefix(m["/d/f"]["DAV: current-user-principal"], "403") {
		t.Error(m)
	}
}

// FuzzProperty: what is taken from one document stands for the same in another.
func FuzzProperty(f *testing.F) {
	for _, seed := range []string{
		`<a/>`, `<a xmlns="u" b="c" xml:lang="en">t<b xmlns=""/>&#13;</a>`, `<D:a xmlns:D="DAV:" D:k="1"/>`,
		`<n:a xmlns:n="http://www.w3.org/XML/1998/namespace"><n:b n:c="&quot;"/></n:a>`, `<a><![CDATA[]]>]]&gt;</a>`, `<é a:b="" xmlns:a="D"/>`,
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, doc string) {
		root, err := parseXML([]byte(doc))
		if err != nil {
			return
		}
		written := func(e *element) string {
			var b strings.Builder
			writeElement(&b, e)
			return b.String()
		}
		once := written(root)
		again, err := parseXML([]byte(`<D:x xmlns:D="DAV:">` + once + `</D:x>`))
		if err != nil {
			t.Fatalf("%q became %q: %v", doc, once, err)
		}
		inner := again.children()
		if len(inner) != 1 || inner[0].xmlName != root.xmlName || written(inner[0]) != once {
			t.Errorf("%q became %q and then %q", doc, once, written(again))
		}
	})
}

// TestGzip: large answers only, and for those who can read them.
func TestGzip(t *testing.T) {
	s := start(t)
	files := map[string]string{"one/f": ""}
	for i := range 200 {
		files[fmt.Sprintf("d/f%03d", i)] = ""
	}
	s.put(files)
	for _, tt := range []struct {
		path, accept string
		want         bool
	}{
		{"/d", "gzip", true}, {"/d", "deflate, GZip; q=0.5", true}, {"/one", "gzip", false}, {"/d", "identity", false},
		{"/d", "gzip;q=0, *", false}, {"/d", "br, x-gzip", false},
	} {
		a := s.send(step{method: "PROPFIND", path: tt.path, header: "Depth: 1\nAccept-Encoding: " + tt.accept})
		if got := a.header.Get("Content-Encoding") == "gzip"; got != tt.want || a.header.Get("Vary") != "Accept-Encoding" {
			t.Errorf("%s %q: %v", tt.path, tt.accept, a.header)
		}
		if tt.want && len(a.body) > 32<<10 {
			t.Errorf("%d bytes", len(a.body))
		}
	}
	// The client decodes by itself where it is not told.
	if m := s.send(step{method: "PROPFIND", path: "/d", header: "Depth: 1"}).multistatus(t); len(m) != 201 {
		t.Errorf("%d resources", len(m))
	}
}

// TestLargeBodyByLength: a length that is too much is refused before a byte of it.
func TestLargeBodyByLength(t *testing.T) {
	s := start(t)
	for _, method := range []string{"PROPFIND", "PROPPATCH", "LOCK"} {
		c := s.dial()
		if _, err := fmt.Fprintf(c, "%s / HTTP/1.1\r\nHost: h\r\n%sContent-Length: 1073741824\r\n\r\n", method, basicAlice); err != nil {
			t.Fatal(err)
		}
		buf := make([]byte, 64)
		if n, err := c.Read(buf); err != nil || !strings.HasPrefix(string(buf[:n]), "HTTP/1.1 413") {
			t.Errorf("%s: %q %v", method, buf[:n], err)
		}
	}
}
