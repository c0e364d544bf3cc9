package tests

import (
	"crypto/tls"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
)

// exchange is one request of a client that cannot be run here, as it is documented to
// send it, and what it needs of the answer. "$TOKEN" is the token of the last lock,
// "$ROOT" the address of the server.
type exchange struct {
	method, path string
	header       string // "Name: value", one to a line
	body         string
	chunked      bool
	anonymous    bool
	want         int
	has          []string // in the headers or the body of the answer
}

// replay sends the exchanges of a client one after the other over one connection.
func (s *serving) replay(agent string, exchanges []exchange) {
	s.t.Helper()
	transport := &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}
	defer transport.CloseIdleConnections()
	root, token := "https://"+s.https, ""
	for i, e := range exchanges {
		fill := strings.NewReplacer("$TOKEN", token, "$ROOT", root).Replace
		body := io.Reader(strings.NewReader(e.body))
		if e.chunked {
			body = io.MultiReader(body) // of unknown length
		}
		req, err := http.NewRequest(e.method, root+e.path, body)
		if err != nil {
			s.t.Fatal(err)
		}
		for line := range strings.Lines(e.header) {
			k, v, _ := strings.Cut(strings.TrimSpace(line), ": ")
			req.Header.Set(k, fill(v))
		}
		req.Header.Set("User-Agent", agent)
		if !e.anonymous {
			req.SetBasicAuth(s.user, s.password)
		}
		res, err := transport.RoundTrip(req)
		if err != nil {
			s.t.Fatalf("%d: %s %s: %v", i, e.method, e.path, err)
		}
		data, err := io.ReadAll(res.Body)
		res.Body.Close()
		if err != nil || res.StatusCode != e.want {
			s.t.Fatalf("%d: %s %s: status %d, want %d (%v)\n%s", i, e.method, e.path, res.StatusCode, e.want, err, data)
		}
		var all strings.Builder
		_ = res.Header.Write(&all)
		all.Write(data)
		for _, want := range e.has {
			if !strings.Contains(all.String(), want) {
				s.t.Errorf("%d: %s %s: no %q in\n%s", i, e.method, e.path, want, &all)
			}
		}
		if t := res.Header.Get("Lock-Token"); t != "" {
			token = t
		}
	}
}

const lockinfo = `<?xml version="1.0" encoding="utf-8" ?><D:lockinfo xmlns:D="DAV:"><D:lockscope><D:exclusive/></D:lockscope>` +
	`<D:locktype><D:write/></D:locktype><D:owner><D:href>%s</D:href></D:owner></D:lockinfo>`

// TestWindows is what the Mini-Redirector sends when a drive is mapped, a file is saved,
// renamed and deleted ([MS-WDVME], and traces that are public).
func TestWindows(t *testing.T) {
	s := newLab(t).serve()
	times := `<?xml version="1.0" encoding="utf-8" ?><D:propertyupdate xmlns:D="DAV:" xmlns:Z="urn:schemas-microsoft-com:"><D:set><D:prop>` +
		`<Z:Win32CreationTime>Mon, 02 Jan 2006 15:04:05 GMT</Z:Win32CreationTime><Z:Win32LastAccessTime>Mon, 02 Jan 2006 15:04:05 GMT</Z:Win32LastAccessTime>` +
		`<Z:Win32LastModifiedTime>Mon, 02 Jan 2006 15:04:05 GMT</Z:Win32LastModifiedTime><Z:Win32FileAttributes>00000020</Z:Win32FileAttributes>` +
		`</D:prop></D:set></D:propertyupdate>`
	lock := fmt.Sprintf(lockinfo, `DESKTOP\anna`)
	s.replay("Microsoft-WebDAV-MiniRedir/10.0.19045", []exchange{
		{method: "OPTIONS", path: "/", header: "translate: f", anonymous: true, want: 200, has: []string{"Dav: 1, 2", "Ms-Author-Via: DAV", "PROPFIND"}},
		{method: "OPTIONS", path: "/not/there", header: "translate: f", anonymous: true, want: 200, has: []string{"Ms-Author-Via: DAV"}},
		{method: "PROPFIND", path: "/", header: "Depth: 0\ntranslate: f", anonymous: true, want: 401, has: []string{"Www-Authenticate: Basic realm="}},
		{method: "PROPFIND", path: "/", header: "Depth: 0\ntranslate: f", want: 207, has: []string{"<D:collection/>", "<D:href>/</D:href>"}},
		{method: "PROPFIND", path: "/desk", header: "Depth: 0\ntranslate: f", want: 404},
		{method: "MKCOL", path: "/desk", header: "translate: f", want: 201},
		{method: "PROPFIND", path: "/desk", header: "Depth: 0\ntranslate: f", want: 207, has: []string{"<D:href>/desk/</D:href>"}},
		{method: "PROPFIND", path: "/desk", header: "Depth: 1\ntranslate: f", want: 207},
		{method: "PROPFIND", path: "/desk/letter.docx", header: "Depth: 0\ntranslate: f", want: 404},
		{method: "PUT", path: "/desk/letter.docx", header: "translate: f", want: 201, has: []string{"Etag: "}},
		{method: "LOCK", path: "/desk/letter.docx", header: "Timeout: Second-3600\ntranslate: f\nContent-Type: text/xml; charset=\"utf-8\"", body: lock, want: 200, has: []string{"<D:timeout>Second-3600"}},
		{method: "PROPPATCH", path: "/desk/letter.docx", header: "If: ($TOKEN)\ntranslate: f", body: times, want: 207, has: []string{"200 OK"}},
		{method: "HEAD", path: "/desk/letter.docx", header: "translate: f", want: 200, has: []string{"Last-Modified: Mon, 02 Jan 2006 15:04:05 GMT"}},
		{method: "PUT", path: "/desk/letter.docx", header: "If: ($TOKEN)\ntranslate: f", body: "Dear all", want: 204, has: []string{"Etag: "}},
		{method: "PUT", path: "/desk/letter.docx", header: "translate: f", body: "from another window", want: 423},
		{method: "PROPPATCH", path: "/desk/letter.docx", header: "If: ($TOKEN)\ntranslate: f", body: times, want: 207, has: []string{"200 OK"}},
		{method: "UNLOCK", path: "/desk/letter.docx", header: "Lock-Token: $TOKEN\ntranslate: f", want: 204},
		{method: "GET", path: "/desk/letter.docx", header: "translate: f", want: 200, has: []string{"Dear all", "Last-Modified: Mon, 02 Jan 2006 15:04:05 GMT"}},
		{method: "MOVE", path: "/desk/letter.docx", header: "Destination: $ROOT/desk/a%20letter.docx\nOverwrite: F\ntranslate: f", want: 201},
		{method: "PROPFIND", path: "/desk", header: "Depth: 1\ntranslate: f", want: 207, has: []string{"/desk/a%20letter.docx", "<D:getcontentlength>8<"}},
		{method: "DELETE", path: "/desk/a%20letter.docx", header: "translate: f", want: 204},
		{method: "DELETE", path: "/desk", header: "translate: f", want: 204},
	})
	s.absent("desk")
}

// TestFinder is what the Finder of macOS sends when a server is connected and a file is
// dropped on it (the webdavfs sources that Apple publishes, and traces that are public).
func TestFinder(t *testing.T) {
	s := newLab(t).serve()
	const look = `<?xml version="1.0" encoding="utf-8"?><D:propfind xmlns:D="DAV:"><D:prop><D:getlastmodified/><D:getcontentlength/>` +
		`<D:creationdate/><D:resourcetype/></D:prop></D:propfind>`
	const space = `<?xml version="1.0" encoding="utf-8"?><D:propfind xmlns:D="DAV:"><D:prop><D:quota-available-bytes/><D:quota-used-bytes/>` +
		`<D:quota/><D:quotaused/></D:prop></D:propfind>`
	lock := fmt.Sprintf(lockinfo, "http://www.apple.com/webdav_fs/")
	one := "Depth: 1\nContent-Type: text/xml"
	none := "Depth: 0\nContent-Type: text/xml"
	locked := "Depth: 0\nTimeout: Second-600\nContent-Type: text/xml; charset=\"utf-8\""
	content := strings.Repeat("a picture ", 100_000)
	double := "\x00\x05\x16\x07\x00\x02\x00\x00Mac OS X        " + strings.Repeat("\x00", 4064)
	save := func(path, content string) []exchange {
		return []exchange{
			{method: "PROPFIND", path: path, header: none, body: look, want: 404},
			{method: "PUT", path: path, want: 201},
			{method: "LOCK", path: path, header: locked, body: lock, want: 200, has: []string{"<D:timeout>Second-600"}},
			{method: "PROPFIND", path: path, header: none, body: look, want: 207, has: []string{"<D:getcontentlength>0<"}},
			{method: "PUT", path: path, header: fmt.Sprintf("If: ($TOKEN)\nX-Expected-Entity-Length: %d", len(content)+1), body: content, chunked: true, want: 400},
			{method: "PUT", path: path, header: fmt.Sprintf("If: ($TOKEN)\nX-Expected-Entity-Length: %d", len(content)), body: content, chunked: true, want: 204},
			{method: "PROPFIND", path: path, header: none, body: look, want: 207, has: []string{fmt.Sprintf("<D:getcontentlength>%d<", len(content))}},
			{method: "UNLOCK", path: path, header: "Lock-Token: $TOKEN", want: 204},
		}
	}
	all := []exchange{
		{method: "OPTIONS", path: "/", anonymous: true, want: 200, has: []string{"Dav: 1, 2"}},
		{method: "PROPFIND", path: "/", header: none, body: look, anonymous: true, want: 401},
		{method: "PROPFIND", path: "/", header: none, body: look, want: 207, has: []string{"<D:collection/>"}},
		{method: "PROPFIND", path: "/", header: none, body: space, want: 207, has: []string{"quota-available-bytes>"}},
		{method: "PROPFIND", path: "/._.", header: none, body: look, want: 404},
		{method: "PROPFIND", path: "/.DS_Store", header: none, body: look, want: 404},
		{method: "PROPFIND", path: "/", header: one, body: look, want: 207},
		{method: "MKCOL", path: "/Bilder", want: 201},
	}
	// It sends names as its file system has them, decomposed.
	all = append(all, save("/Bilder/Gru%CC%88n.png", content)...)
	all = append(all, save("/Bilder/._Gru%CC%88n.png", double)...)
	all = append(all, save("/Bilder/.DS_Store", "\x00\x00\x00\x01Bud1")...)
	all = append(all,
		exchange{method: "MOVE", path: "/Bilder/Gru%CC%88n.png", header: "Destination: $ROOT/Bilder/gru%CC%88n.png\nOverwrite: T", want: 201},
		exchange{method: "MOVE", path: "/Bilder/._Gru%CC%88n.png", header: "Destination: $ROOT/Bilder/._gru%CC%88n.png\nOverwrite: T", want: 201},
	)
	s.replay("WebDAVFS/3.0.0 (03008000) Darwin/23.5.0 (arm64)", all)
	for name, want := range map[string]int{"Bilder/grün.png": len(content), "Bilder/._grün.png": len(double), "Bilder/.DS_Store": 8} {
		if got := fileSize(t, s.files(name)); got != int64(want) {
			t.Errorf("%s has %d bytes, want %d", name, got, want)
		}
	}
	s.absent("Bilder/Grün.png", "Bilder/._Grün.png")
}
