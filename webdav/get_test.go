package webdav

import (
	"bufio"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// TestRanges: every form of Range, with every kind of validator.
func TestRanges(t *testing.T) {
	s := start(t)
	s.put(map[string]string{"f": "0123456789", "empty": ""})
	a := s.send(step{method: "HEAD", path: "/f"})
	etag, modified := a.header.Get("ETag"), a.header.Get("Last-Modified")
	if strings.HasPrefix(etag, "W/") || a.header.Get("Accept-Ranges") != "bytes" || a.header.Get("Content-Length") != "10" {
		t.Fatal(a.header)
	}
	at, err := http.ParseTime(modified)
	if err != nil {
		t.Fatal(err)
	}
	earlier := at.Add(-time.Hour).Format(http.TimeFormat)
	for _, tt := range []struct {
		method, path, header string
		want                 int
		part, body           string // Content-Range and content
	}{
		{"GET", "/f", "Range: bytes=0-0", 206, "bytes 0-0/10", "0"},
		{"GET", "/f", "Range: bytes=5-", 206, "bytes 5-9/10", "56789"},
		{"GET", "/f", "Range: bytes=5-99", 206, "bytes 5-9/10", "56789"},
		{"GET", "/f", "Range: bytes=-4", 206, "bytes 6-9/10", "6789"},
		{"GET", "/f", "Range: bytes=-99", 206, "bytes 0-9/10", "0123456789"},
		{"GET", "/f", "Range: bytes=10-", 416, "bytes */10", "-"},
		{"GET", "/f", "Range: bytes=99-100", 416, "bytes */10", "-"},
		{"GET", "/f", "Range: bytes=-0", 416, "bytes */10", "-"},
		{"GET", "/f", "Range: bytes=-0, -00,2-3", 206, "bytes 2-3/10", "23"},
		{"GET", "/f", "Range: bytes=-", 416, "", "-"},
		{"GET", "/f", "Range: lines=1-2", 200, "", "0123456789"},
		{"GET", "/f", "Range: Bytes=2-3", 206, "bytes 2-3/10", "23"},
		{"GET", "/f", "Range: bytes", 200, "", "0123456789"},
		{"GET", "/empty", "Range: bytes=-0", 200, "", ""},
		{"GET", "/empty", "Range: bytes=0-", 200, "", ""},
		{"GET", "/f", "Range: bytes=2-3\nIf-Range: " + etag, 206, "bytes 2-3/10", "23"},
		{"GET", "/f", "Range: bytes=2-3\nIf-Range: W/" + etag, 200, "", "0123456789"},
		{"GET", "/f", "Range: bytes=2-3\nIf-Range: " + modified, 206, "bytes 2-3/10", "23"},
		{"GET", "/f", "Range: bytes=2-3\nIf-Range: " + earlier, 200, "", "0123456789"},
		{"GET", "/f", "Range: bytes=2-3\nIf-None-Match: " + etag, 304, "", ""},
		{"GET", "/f", "Range: bytes=2-3\nIf-Match: \"no\"", 412, "", "-"},
		{"GET", "/f", "If-None-Match: *", 304, "", ""},
		{"GET", "/f", "If-None-Match: W/" + etag, 304, "", ""},
		{"GET", "/f", "If-Unmodified-Since: " + earlier, 412, "", "-"},
		{"GET", "/f", "If-Modified-Since: " + earlier, 200, "", "0123456789"},
		{"GET", "/f", "If-Modified-Since: yesterday", 200, "", "0123456789"},
		{"HEAD", "/f", "Range: bytes=2-3", 200, "", ""},
		{"HEAD", "/f", "If-None-Match: " + etag, 304, "", ""},
		{"HEAD", "/f", "If-Match: \"no\"", 412, "", ""},
		{"HEAD", "/none", "", 404, "", ""},
	} {
		a := s.send(step{method: tt.method, path: tt.path, header: tt.header})
		if a.status != tt.want || a.header.Get("Content-Range") != tt.part || tt.body != "-" && a.body != tt.body {
			t.Errorf("%s %s %q: %d, %q, %q", tt.method, tt.path, tt.header, a.status, a.header.Get("Content-Range"), a.body)
		}
	}
}

func TestManyRanges(t *testing.T) {
	s := start(t)
	s.put(map[string]string{"f": strings.Repeat("0123456789", 100)})
	a := s.send(step{method: "GET", path: "/f", header: "Range: bytes=0-1,10-12,-2"})
	kind, params, err := mime.ParseMediaType(a.header.Get("Content-Type"))
	if err != nil || a.status != 206 || kind != "multipart/byteranges" {
		t.Fatal(a, err)
	}
	r := multipart.NewReader(strings.NewReader(a.body), params["boundary"])
	for _, want := range []struct{ part, body string }{
		{"bytes 0-1/1000", "01"}, {"bytes 10-12/1000", "012"}, {"bytes 998-999/1000", "89"},
	} {
		p, err := r.NextPart()
		if err != nil {
			t.Fatal(err)
		}
		data, err := io.ReadAll(p)
		if err != nil || string(data) != want.body || p.Header.Get("Content-Range") != want.part {
			t.Errorf("%v: %q, want %v", p.Header, data, want)
		}
	}
	if _, err := r.NextPart(); err != io.EOF {
		t.Error(err)
	}
	// More than the file is worth: it comes whole.
	a = s.send(step{method: "GET", path: "/f", header: "Range: bytes=0-" + strings.Repeat(",0-", 500)})
	if a.status != 200 || len(a.body) != 1000 {
		t.Errorf("%d with %d bytes", a.status, len(a.body))
	}
}

// TestHeadIsGetWithoutBody: for files, folders and what is not there.
func TestHeadIsGetWithoutBody(t *testing.T) {
	s := start(t)
	s.put(map[string]string{"f.txt": "0123456789", "p.html": "<p>", "d/g": ""})
	for _, path := range []string{"/f.txt", "/p.html", "/d/", "/d", "/none", "/d/g/x"} {
		get, head := s.send(step{method: "GET", path: path}), s.send(step{method: "HEAD", path: path})
		if head.status != get.status || head.body != "" {
			t.Errorf("%s: %d and %d, %q", path, head.status, get.status, head.body)
		}
		for _, k := range []string{"Content-Type", "ETag", "Last-Modified", "Content-Disposition", "Content-Security-Policy", "X-Content-Type-Options", "Location"} {
			if head.header.Get(k) != get.header.Get(k) {
				t.Errorf("%s: %s is %q for HEAD and %q for GET", path, k, head.header.Get(k), get.header.Get(k))
			}
		}
		if strings.Contains(path, ".") && head.header.Get("Content-Length") != get.header.Get("Content-Length") {
			t.Errorf("%s: %v and %v", path, head.header, get.header)
		}
	}
}

// TestBytesAreNotEncoded: whatever a client accepts, the bytes of a file are those of the file.
func TestBytesAreNotEncoded(t *testing.T) {
	s := start(t)
	content := strings.Repeat("compress me ", 1000)
	s.put(map[string]string{"f.txt": content, "f.gz": content})
	for _, path := range []string{"/f.txt", "/f.gz"} {
		c := s.dial()
		if _, err := io.WriteString(c, "GET "+path+" HTTP/1.1\r\nHost: h\r\nAccept-Encoding: gzip, br, deflate, zstd\r\n"+basicAlice+"\r\n"); err != nil {
			t.Fatal(err)
		}
		res, err := http.ReadResponse(bufio.NewReader(c), nil)
		if err != nil {
			t.Fatal(err)
		}
		data, err := io.ReadAll(res.Body)
		res.Body.Close()
		if err != nil || string(data) != content || res.Header.Get("Content-Encoding") != "" {
			t.Errorf("%s: %d bytes, %v, %v", path, len(data), res.Header, err)
		}
	}
}

// TestTypesForBrowsers: nothing that a browser would run is shown as this server's page.
func TestTypesForBrowsers(t *testing.T) {
	s := start(t)
	for name, attachment := range map[string]bool{
		"a.html": true, "a.HTM": true, "a.xhtml": true, "a.svg": true, "a.xml": true, "a.js": true, "a.mjs": true,
		"a.txt": false, "a.png": false, "a.pdf": false, "a": false, "a.zzz": false,
	} {
		s.put(map[string]string{name: "<script>alert(1)</script>"})
		a := s.send(step{method: "GET", path: "/" + name})
		if got := strings.HasPrefix(a.header.Get("Content-Disposition"), "attachment"); got != attachment {
			t.Errorf("%s (%s): attachment %v", name, a.header.Get("Content-Type"), got)
		}
		if a.header.Get("X-Content-Type-Options") != "nosniff" || !strings.HasPrefix(a.header.Get("Content-Security-Policy"), "sandbox;") {
			t.Errorf("%s: %v", name, a.header)
		}
	}
	s.put(map[string]string{"ü \"x\".html": ""})
	got := s.send(step{method: "GET", path: "/%C3%BC%20%22x%22.html"}).header.Get("Content-Disposition")
	if _, params, err := mime.ParseMediaType(got); err != nil || params["filename"] != `ü "x".html` {
		t.Errorf("%s: %v %v", got, params, err)
	}
}

// FuzzRange: whatever stands in a Range header, what is sent is a part of the file, or all of it.
func FuzzRange(f *testing.F) {
	for _, seed := range []string{"bytes=0-4", "bytes=-0", "bytes=-0,-3", "BYtes=- 0", "bytes=9-,5-", "lines=1-2", "bytes= 1 - 2 ", "bytes=,", "bytes=18446744073709551615-"} {
		f.Add(seed)
	}
	const content = "0123456789"
	f.Fuzz(func(t *testing.T, header string) {
		r := httptest.NewRequest("GET", "/f", nil)
		r.Header.Set("Range", header)
		q := &request{Request: r}
		q.mendRange(int64(len(content)))
		w := httptest.NewRecorder()
		http.ServeContent(w, r, "", time.Time{}, strings.NewReader(content))
		var first, last, size int
		part := w.Header().Get("Content-Range")
		_, err := fmt.Sscanf(part, "bytes %d-%d/%d", &first, &last, &size)
		switch {
		case w.Code == 416 && part == "bytes */10":
		case w.Code == 416 && part == "": // it could not be read
		case w.Code == 200 && w.Body.String() == content:
		case w.Code == 206 && strings.HasPrefix(w.Header().Get("Content-Type"), "multipart/byteranges"):
			if strings.Contains(w.Body.String(), "bytes 10-") {
				t.Errorf("%q: %s", header, w.Body)
			}
		case w.Code == 206 && err == nil && first <= last && last < len(content) && w.Body.String() == content[first:last+1]:
		default:
			t.Errorf("%q: %d %q %q", header, w.Code, part, w.Body)
		}
	})
}
