package webdav

import (
	"bufio"
	"bytes"
	"context"
	"encoding/xml"
	"fmt"
	"io"
	"iter"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"gateway/state"
	"gateway/storage"
)

// msResponse decodes a multistatus independently of the code under test.
type msResponse struct {
	Href     string `xml:"DAV: href"`
	Status   string `xml:"DAV: status"`
	Propstat []struct {
		Status string `xml:"DAV: status"`
		Prop   struct {
			Any []struct {
				XMLName xml.Name
				Inner   string `xml:",innerxml"`
			} `xml:",any"`
		} `xml:"DAV: prop"`
	} `xml:"DAV: propstat"`
}

func (a answer) multistatus(t *testing.T) map[string]map[string]string {
	t.Helper()
	var m struct {
		XMLName  xml.Name     `xml:"DAV: multistatus"`
		Response []msResponse `xml:"DAV: response"`
	}
	if a.status != http.StatusMultiStatus {
		t.Fatalf("status %d: %s", a.status, a.body)
	}
	if err := xml.Unmarshal([]byte(a.body), &m); err != nil {
		t.Fatalf("%v\n%s", err, a.body)
	}
	found := map[string]map[string]string{}
	for _, r := range m.Response {
		found[r.Href] = map[string]string{}
		for _, ps := range r.Propstat {
			code := strings.Fields(ps.Status)[1]
			for _, p := range ps.Prop.Any {
				found[r.Href][p.XMLName.Space+" "+p.XMLName.Local] = code + " " + p.Inner
			}
		}
	}
	return found
}

func propfindOf(names ...string) string {
	return `<D:propfind xmlns:D="DAV:" xmlns:m="urn:schemas-microsoft-com:" xmlns:x="http://example.org/&lt;x&gt;"><D:prop><` +
		strings.Join(names, "/><") + `/></D:prop></D:propfind>`
}

func TestPropfind(t *testing.T) {
	s := start(t)
	s.put(map[string]string{"d/ü & <b>.txt": "12345", "d/e/f": "", "top": "1"})
	at := time.Date(2001, 2, 3, 4, 5, 6, 0, time.UTC)
	if err := s.tree.SetModTime(t.Context(), "d/ü & <b>.txt", at); err != nil {
		t.Fatal(err)
	}
	const file = "/d/%C3%BC%20&%20%3Cb%3E.txt"
	m := s.send(step{method: "PROPFIND", path: "/d", header: "Depth: 1"}).multistatus(t)
	if len(m) != 3 || m["/d/"] == nil || m["/d/e/"] == nil || m[file] == nil {
		t.Fatal(m)
	}
	for name, want := range map[string]string{
		"DAV: getcontentlength": "200 5",
		"DAV: getlastmodified":  "200 Sat, 03 Feb 2001 04:05:06 GMT",
		"DAV: displayname":      "200 ü &amp; &lt;b&gt;.txt",
		"DAV: resourcetype":     "200 ",
		"DAV: lockdiscovery":    "200 ",
	} {
		if got := m[file][name]; got != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
	if got := m["/d/"]["DAV: resourcetype"]; got != "200 <D:collection/>" || m["/d/"]["DAV: getcontentlength"] != "" {
		t.Error(m["/d/"])
	}
	etag := s.send(step{method: "HEAD", path: file}).header.Get("ETag")
	if got := m[file]["DAV: getetag"]; got != "200 "+strings.ReplaceAll(etag, `"`, "&#34;") {
		t.Errorf("%q, ETag %q", got, etag)
	}

	m = s.send(step{method: "PROPFIND", path: file, header: "Depth: 0", body: propfindOf(
		"D:getcontentlength", "D:getcontentlength", "D:none", "x:own", `own xmlns=""`, "m:Win32LastModifiedTime")}).multistatus(t)
	if p := m[file]; len(m) != 1 || len(p) != 5 || p["DAV: getcontentlength"] != "200 5" || p["DAV: none"] != "404 " ||
		p["http://example.org/<x> own"] != "404 " || p[" own"] != "404 " ||
		p[microsoft+" Win32LastModifiedTime"] != "200 Sat, 03 Feb 2001 04:05:06 GMT" {
		t.Error(m)
	}
	m = s.send(step{method: "PROPFIND", path: "/top", body: `<propfind xmlns="DAV:"><propname/></propfind>`}).multistatus(t)
	if p := m["/top"]; p["DAV: getetag"] != "200 " || len(p) != len(liveNames()) {
		t.Error(m)
	}
	m = s.send(step{method: "PROPFIND", path: "/d/", header: "Depth: 0",
		body: `<propfind xmlns="DAV:"><allprop/><include><quota-available-bytes/><quota-used-bytes/></include></propfind>`}).multistatus(t)
	if p := m["/d/"]; !strings.HasPrefix(p["DAV: quota-available-bytes"], "200 ") || !strings.HasPrefix(p["DAV: quota-used-bytes"], "200 ") {
		t.Error(m)
	}
	m = s.send(step{method: "PROPFIND", path: "/", header: "Depth: infinity"}).multistatus(t)
	if len(m) != 6 || m["/"] == nil || m["/d/e/f"] == nil {
		t.Error(m)
	}
	s.run(
		step{method: "PROPFIND", path: "/none", header: "Depth: 0", want: 404},
		step{method: "PROPFIND", path: "/top/none", header: "Depth: 0", want: 404},
		step{method: "PROPFIND", path: "/", header: "Depth: 2", want: 400},
		step{method: "PROPFIND", path: "/", user: "reader", header: "Depth: 1", want: 207},
		step{method: "PROPFIND", path: "/", user: "dropper", header: "Depth: 1", want: 403},
	)
}

func TestXMLBodies(t *testing.T) {
	s := start(t)
	lol := `<!DOCTYPE l [<!ENTITY a "lol">`
	for i := range 9 {
		lol += fmt.Sprintf(`<!ENTITY %c "%s">`, 'b'+i, strings.Repeat(fmt.Sprintf("&%c;", 'a'+i), 10))
	}
	for name, tt := range map[string]struct {
		body string
		want int
	}{
		"empty":              {"", 207},
		"blank":              {" \n", 207},
		"allprop":            {`<?xml version="1.0" encoding="utf-8"?><a:propfind xmlns:a="DAV:"><a:allprop/></a:propfind>`, 207},
		"unknown beside":     {`<propfind xmlns="DAV:"><x/><allprop/></propfind>`, 207},
		"not XML":            {"hello", 400},
		"not well-formed":    {`<propfind xmlns="DAV:"><allprop></propfind>`, 400},
		"cut":                {`<propfind xmlns="DAV:"><allprop/>`, 400},
		"two roots":          {`<propfind xmlns="DAV:"><allprop/></propfind><x/>`, 400},
		"wrong end":          {`<propfind xmlns="DAV:"><allprop/></other>`, 400},
		"text after":         {`<propfind xmlns="DAV:"><allprop/></propfind>x`, 400},
		"another element":    {`<propertyupdate xmlns="DAV:"><allprop/></propertyupdate>`, 400},
		"no namespace":       {`<propfind><allprop/></propfind>`, 400},
		"undeclared prefix":  {`<D:propfind xmlns:D="DAV:"><D:prop><x:a/></D:prop></D:propfind>`, 400},
		"empty prefix":       {`<D:propfind xmlns:D="DAV:"><D:prop><b:a xmlns:b=""/></D:prop></D:propfind>`, 400},
		"two colons":         {`<D:propfind xmlns:D="DAV:"><D:prop><D:a:b/></D:prop></D:propfind>`, 400},
		"two kinds":          {`<propfind xmlns="DAV:"><allprop/><propname/></propfind>`, 400},
		"nothing asked":      {`<propfind xmlns="DAV:"/>`, 400},
		"entities":           {lol + `]><propfind xmlns="DAV:"><prop>&j;</prop></propfind>`, 400},
		"external entity":    {`<!DOCTYPE x [<!ENTITY e SYSTEM "file:///etc/passwd">]><propfind xmlns="DAV:"><prop>&e;</prop></propfind>`, 400},
		"undefined entity":   {`<propfind xmlns="DAV:"><prop>&e;</prop></propfind>`, 400},
		"another charset":    {`<?xml version="1.0" encoding="utf-7"?><propfind xmlns="DAV:"><allprop/></propfind>`, 400},
		"deep":               {`<propfind xmlns="DAV:">` + strings.Repeat("<a>", 5000), 400},
		"wide":               {`<propfind xmlns="DAV:"><prop>` + strings.Repeat("<a/>", 5000) + `</prop></propfind>`, 400},
		"many properties":    {propfindOf(many("D:p", 101)...), 400},
		"long name":          {propfindOf("D:" + strings.Repeat("n", 257)), 400},
		"long namespace":     {`<propfind xmlns="DAV:"><prop><a xmlns="` + strings.Repeat("n", 257) + `"/></prop></propfind>`, 400},
		"large":              {`<propfind xmlns="DAV:"><allprop/></propfind>` + strings.Repeat(" ", 256<<10), 413},
		"long attribute":     {`<propfind xmlns="DAV:"><prop><a b="` + strings.Repeat("n", 200<<10) + `"/></prop></propfind>`, 207},
		"comments, CDATA":    {`<propfind xmlns="DAV:"><!-- c --><prop><displayname><![CDATA[<x>]]></displayname></prop></propfind>`, 207},
		"hundred properties": {propfindOf(many("D:p", 100)...), 207},
	} {
		a := s.send(step{method: "PROPFIND", path: "/", header: "Depth: 0", body: tt.body})
		if a.status != tt.want {
			t.Errorf("%s: %d, want %d\n%.300s", name, a.status, tt.want, a.body)
		}
		if a.status == 207 {
			a.multistatus(t)
		}
	}
}

func many(prefix string, n int) []string {
	var names []string
	for i := range n {
		names = append(names, fmt.Sprint(prefix, i))
	}
	return names
}

// TestHugeBody: the cap holds while the body arrives, not after.
func TestHugeBody(t *testing.T) {
	s := start(t)
	req, err := http.NewRequest("PROPFIND", s.url+"/", io.LimitReader(endless{}, 1<<30))
	if err != nil {
		t.Fatal(err)
	}
	req.SetBasicAuth("alice", "alice")
	res, err := s.client.Do(req)
	if err != nil {
		return // the server closed the connection while we were still sending
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusRequestEntityTooLarge {
		t.Error(res.Status)
	}
}

type endless struct{}

func (endless) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = ' '
	}
	return len(p), nil
}

// crowd is a directory of n files that exist only while they are listed.
type crowd struct {
	storage.FS
	n int
}

func (c crowd) Stat(ctx context.Context, _ string) (storage.Info, error) {
	return c.FS.Stat(ctx, "")
}

func (c crowd) List(context.Context, string) iter.Seq2[storage.Info, error] {
	return func(yield func(storage.Info, error) bool) {
		for i := range c.n {
			if !yield(storage.Info{Name: fmt.Sprintf("file-%06d.dat", i), Size: int64(i), Mode: 0o600, ETag: fmt.Sprint(i)}, nil) {
				return
			}
		}
	}
}

func (crowd) Open(context.Context, string) (storage.File, error) {
	return nil, storage.ErrIsDir
}

// TestPropfindStreams lists far more than could be held: the answer starts before
// the listing ends, and memory does not grow with it.
func TestPropfindStreams(t *testing.T) {
	const n = 200_000
	s := startWith(t, settings{wrap: func(f storage.FS) storage.FS { return crowd{f, n} }})
	s.wantStreamed(n)
	a := s.send(step{method: "PROPFIND", path: "/", header: "Depth: infinity"})
	if a.status != 403 || !strings.Contains(a.body, "<D:propfind-finite-depth/>") {
		t.Errorf("%d %.200s", a.status, a.body)
	}
	a = s.send(step{method: "GET", path: "/"})
	if a.status != 200 || !strings.Contains(a.body, "only 10000 are shown") {
		t.Errorf("%d %d bytes", a.status, len(a.body))
	}
}

// TestPropfindStreamsProperties is the same with properties, which have to be looked for with each
// file, and come to more than the memory.
func TestPropfindStreamsProperties(t *testing.T) {
	const n, some = 10_000, 400
	s, db := startKeeping(t, settings{wrap: func(f storage.FS) storage.FS { return crowd{f, n} }})
	var set sync.WaitGroup
	for i := range some {
		set.Go(func() {
			err := db.PatchProperties(t.Context(), fmt.Sprintf("/u:alice/file-%06d.dat", n/some*i), "alice", state.PropertyChange{
				Property: state.Property{Local: "p", Value: "<p>" + strings.Repeat("v", 30<<10) + "</p>"},
			})
			if err != nil {
				t.Error(err)
			}
		})
	}
	set.Wait()
	if size := s.wantStreamed(n); size < some*30<<10 {
		t.Errorf("%d bytes", size)
	}
}

// wantStreamed lists the root, wants so many members, and the heap not to grow by more than 6 MiB. It
// returns how many bytes there were.
func (s *server) wantStreamed(n int) (size int) {
	s.t.Helper()
	req, err := http.NewRequest("PROPFIND", s.url+"/", nil)
	if err != nil {
		s.t.Fatal(err)
	}
	req.Header.Set("Depth", "1")
	req.SetBasicAuth("alice", "alice")
	res, err := s.client.Do(req)
	if err != nil {
		s.t.Fatal(err)
	}
	defer res.Body.Close()
	lines := bufio.NewScanner(res.Body) // each response begins one
	var (
		before, now runtime.MemStats
		found       int
		peak        uint64
	)
	runtime.GC()
	runtime.ReadMemStats(&before)
	for lines.Scan() {
		size += len(lines.Bytes())
		if !bytes.HasPrefix(lines.Bytes(), []byte("<D:response>")) {
			continue
		}
		if found++; found%(n/10) == 0 {
			runtime.GC()
			runtime.ReadMemStats(&now)
			peak = max(peak, now.HeapAlloc)
		}
	}
	if lines.Err() != nil || found != n+1 {
		s.t.Errorf("%d responses, %v", found, lines.Err())
	}
	if peak > before.HeapAlloc+(6<<20) {
		s.t.Errorf("the heap grew from %d to %d bytes", before.HeapAlloc, peak)
	}
	return size
}

// TestPropfindTenThousand is the same on a real folder.
func TestPropfindTenThousand(t *testing.T) {
	s := start(t)
	const n = 10_000
	for i := range n {
		if err := os.WriteFile(filepath.Join(s.dir, fmt.Sprintf("f%05d", i)), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	a := s.send(step{method: "PROPFIND", path: "/", header: "Depth: 1"})
	if got := strings.Count(a.body, "<D:response>"); got != n+1 || !strings.HasSuffix(a.body, "</D:multistatus>\n") {
		t.Errorf("%d: %d entries", a.status, got)
	}
}

func patchTime(local, value string) string {
	return `<D:propertyupdate xmlns:D="DAV:"><D:set><D:prop><D:` + local + `>` + value + `</D:` + local + `></D:prop></D:set></D:propertyupdate>`
}

func TestProppatch(t *testing.T) {
	s := start(t)
	s.put(map[string]string{"f": "1"})
	m := s.send(step{method: "PROPPATCH", path: "/f", body: patchTime("getlastmodified", "Mon, 02 Jan 2006 15:04:05 GMT")}).multistatus(t)
	if !strings.HasPrefix(m["/f"]["DAV: getlastmodified"], "200") {
		t.Error(m)
	}
	win := `<D:propertyupdate xmlns:D="DAV:" xmlns:Z="urn:schemas-microsoft-com:"><D:set><D:prop>` +
		`<Z:Win32LastModifiedTime>Tue, 03 Jan 2006 15:04:05 GMT</Z:Win32LastModifiedTime></D:prop></D:set></D:propertyupdate>`
	s.send(step{method: "PROPPATCH", path: "/f", body: win}).multistatus(t)
	want := "Tue, 03 Jan 2006 15:04:05 GMT"
	if got := s.send(step{method: "HEAD", path: "/f"}).header.Get("Last-Modified"); got != want {
		t.Errorf("Last-Modified %q", got)
	}
	s.send(step{method: "PROPPATCH", path: "/f", body: patchTime("lastmodified", "1000000000")}).multistatus(t)
	if got := s.send(step{method: "HEAD", path: "/f"}).header.Get("Last-Modified"); got != "Sun, 09 Sep 2001 01:46:40 GMT" {
		t.Errorf("Last-Modified %q", got)
	}
	s.send(step{method: "PROPPATCH", path: "/f", body: win}).multistatus(t)
	// All or nothing: what cannot be set keeps the rest from being set.
	both := strings.Replace(win, "<Z:", "<mine xmlns='http://example.org/'>v</mine><Z:", 1)
	both = strings.Replace(both, "Tue, 03", "Wed, 04", 1)
	m = s.send(step{method: "PROPPATCH", path: "/f", body: both}).multistatus(t)
	if p := m["/f"]; !strings.HasPrefix(p["http://example.org/ mine"], "403") || !strings.HasPrefix(p[microsoft+" Win32LastModifiedTime"], "424") {
		t.Error(m)
	}
	m = s.send(step{method: "PROPPATCH", path: "/f", body: patchTime("getetag", "x")}).multistatus(t)
	if !strings.HasPrefix(m["/f"]["DAV: getetag"], "403") {
		t.Error(m)
	}
	if got := s.send(step{method: "HEAD", path: "/f"}).header.Get("Last-Modified"); got != want {
		t.Errorf("Last-Modified %q", got)
	}
	s.run(
		step{method: "PROPPATCH", path: "/f", want: 400},
		step{method: "PROPPATCH", path: "/f", body: propfindOf("D:a"), want: 400},
		step{method: "PROPPATCH", path: "/none", body: win, want: 404},
	)
	for _, bad := range []string{"soon", "Mon, 02 Jan 9999 15:04:05 GMT", ""} {
		m = s.send(step{method: "PROPPATCH", path: "/f", body: patchTime("getlastmodified", bad)}).multistatus(t)
		if !strings.HasPrefix(m["/f"]["DAV: getlastmodified"], "409") {
			t.Errorf("%q: %v", bad, m)
		}
	}
	m = s.send(step{method: "PROPPATCH", path: "/f", user: "reader", body: win}).multistatus(t)
	if !strings.HasPrefix(m["/f"][microsoft+" Win32LastModifiedTime"], "403") {
		t.Error(m)
	}
}
