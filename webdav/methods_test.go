package webdav

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"gateway/storage"
)

func TestMethods(t *testing.T) {
	for _, tt := range []struct {
		name   string
		before map[string]string
		steps  []step
		after  map[string]string
	}{
		{"put", nil, []step{
			{method: "PUT", path: "/a", body: "one", want: 201},
			{method: "PUT", path: "/a", body: "two", want: 204},
			{method: "PUT", path: "/empty", want: 201},
			{method: "PUT", path: "/no/a", body: "x", want: 409},
			{method: "PUT", path: "/a/b", body: "x", want: 409},
			{method: "PUT", path: "/", body: "x", want: 405},
			{method: "PUT", path: "/new/", body: "x", want: 405},
			{method: "PUT", path: "/a", header: "Content-Range: bytes 0-1/3", body: "zz", want: 400},
			{method: "PUT", path: "/a", header: "Range: bytes=1-2/3", body: "zz", want: 400},
			{method: "PUT", path: "/a", header: "Content-Encoding: gzip", body: "zz", want: 415},
			{method: "PUT", path: "/a", header: "X-OC-Mtime: soon", body: "zz", want: 400},
			{method: "PUT", path: "/a", header: "X-OC-Mtime: 99999999999999", body: "zz", want: 400},
		}, map[string]string{"a": "two", "empty": ""}},
		{"put on a folder", map[string]string{"d/": ""}, []step{
			{method: "PUT", path: "/d", body: "x", want: 405},
			{method: "PUT", path: "/d/", body: "x", want: 405},
		}, map[string]string{"d/": ""}},
		{"put conditions", map[string]string{"a": "1"}, []step{
			{method: "PUT", path: "/a", header: `If-None-Match: *`, body: "x", want: 412},
			{method: "PUT", path: "/a", header: `If-Match: "no"`, body: "x", want: 412},
			{method: "PUT", path: "/b", header: `If-Match: *`, body: "x", want: 412},
			{method: "PUT", path: "/a", header: `If-Unmodified-Since: Mon, 01 Jan 1990 00:00:00 GMT`, body: "x", want: 412},
			{method: "PUT", path: "/a", header: `If-Match: *`, body: "2", want: 204},
			{method: "PUT", path: "/b", header: `If-None-Match: *`, body: "3", want: 201},
			{method: "PUT", path: "/b", header: `If-None-Match: "no"`, body: "4", want: 204},
		}, map[string]string{"a": "2", "b": "4"}},
		{"delete", map[string]string{"d/e/f": "1", "a": "2", "k": ""}, []step{
			{method: "DELETE", path: "/nothing", want: 404},
			{method: "DELETE", path: "/a/x", want: 404},
			{method: "DELETE", path: "/", want: 403},
			{method: "DELETE", path: "/d", header: "Depth: 0", want: 400},
			{method: "DELETE", path: "/k", header: `If-Match: "no"`, want: 412},
			{method: "DELETE", path: "/d", want: 204},
			{method: "DELETE", path: "/a", want: 204},
			{method: "DELETE", path: "/a", want: 404},
		}, map[string]string{"k": ""}},
		{"mkcol", map[string]string{"a": ""}, []step{
			{method: "MKCOL", path: "/d", want: 201},
			{method: "MKCOL", path: "/d/e/", want: 201},
			{method: "MKCOL", path: "/d", want: 405},
			{method: "MKCOL", path: "/a", want: 405},
			{method: "MKCOL", path: "/", want: 405},
			{method: "MKCOL", path: "/x/y", want: 409},
			{method: "MKCOL", path: "/a/y", want: 409},
			{method: "MKCOL", path: "/z", body: "<x/>", want: 415},
		}, map[string]string{"a": "", "d/": "", "d/e/": ""}},
		{"others", nil, []step{
			{method: "POST", path: "/", body: "x", want: 405},
			{method: "PATCH", path: "/a", body: "x", want: 405},
			{method: "TRACE", path: "/a", want: 405},
			{method: "BREW", path: "/a", want: 405},
		}, nil},
		{"names", map[string]string{"a/b": "1"}, []step{
			{method: "GET", path: "/a%2Fb", want: 400},
			{method: "GET", path: "/a/%2e%2e/a/b", want: 400},
			{method: "GET", path: "/a/../a/b", want: 400},
			{method: "GET", path: "/%2e/a/b", want: 400},
			{method: "GET", path: "/a%00", want: 400},
			{method: "GET", path: "/a%0Ab", want: 400},
			{method: "GET", path: "/%ff", want: 400},
			{method: "GET", path: "/a/%252e%252e/b", want: 404},
			{method: "GET", path: "//a//b", want: 200},
			{method: "PUT", path: "/.gateway-staging/x", body: "1", want: 400},
			{method: "PUT", path: "/" + strings.Repeat("n", 256), body: "1", want: 400},
			{method: "PUT", path: "/cafe%CC%81", body: "nfd", want: 201},
			{method: "PUT", path: "/caf%C3%A9", body: "nfc", want: 204},
		}, map[string]string{"a/": "", "a/b": "1", "café": "nfc"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := start(t)
			s.put(tt.before)
			s.run(tt.steps...)
			want := tt.after
			if want == nil {
				want = map[string]string{}
			}
			s.wantFiles(want)
		})
	}
}

func TestOptionsNeedsNoLogin(t *testing.T) {
	s := start(t)
	for _, path := range []string{"/", "/no/such", "*"} {
		a := s.send(step{method: "OPTIONS", path: "/" + strings.TrimPrefix(path, "/"), user: "-"})
		if a.status != 200 || a.header.Get("DAV") != "1, 2" || a.header.Get("MS-Author-Via") != "DAV" ||
			!strings.Contains(a.header.Get("Allow"), "PROPFIND") {
			t.Errorf("OPTIONS %s: %d %v", path, a.status, a.header)
		}
	}
	if n := s.auth.checks.Load(); n != 0 {
		t.Errorf("%d password checks", n)
	}
	if a := s.send(step{method: "POST", path: "/"}); !strings.Contains(a.header.Get("Allow"), "PROPFIND") {
		t.Errorf("405 without Allow: %v", a.header)
	}
}

func TestGet(t *testing.T) {
	s := start(t)
	s.put(map[string]string{"a.txt": "0123456789", "p.html": "<script>", "i.svg": "<svg/>", "n": "x", "d/": ""})
	a := s.send(step{method: "GET", path: "/a.txt"})
	etag := a.header.Get("ETag")
	if a.body != "0123456789" || etag == "" || a.header.Get("X-Content-Type-Options") != "nosniff" ||
		!strings.Contains(a.header.Get("Content-Security-Policy"), "sandbox") ||
		!strings.HasPrefix(a.header.Get("Content-Type"), "text/plain") || a.header.Get("Last-Modified") == "" {
		t.Fatalf("%+v", a)
	}
	for _, tt := range []struct {
		method, header, body string
		want                 int
	}{
		{"HEAD", "", "", 200},
		{"GET", "Range: bytes=2-4", "234", 206},
		{"GET", "Range: bytes=-3", "789", 206},
		{"GET", "Range: bytes=8-", "89", 206},
		{"GET", "Range: bytes=20-", "", 416},
		{"GET", "Range: bytes=2-4\nIf-Range: " + etag, "234", 206},
		{"GET", `Range: bytes=2-4` + "\n" + `If-Range: "old"`, "0123456789", 200},
		{"GET", "If-None-Match: " + etag, "", 304},
		{"GET", `If-None-Match: "old"`, "0123456789", 200},
		{"GET", `If-Match: "old"`, "", 412},
		{"GET", "If-Match: " + etag, "0123456789", 200},
		{"GET", "If-Modified-Since: " + a.header.Get("Last-Modified"), "", 304},
	} {
		a := s.send(step{method: tt.method, path: "/a.txt", header: tt.header})
		if a.status != tt.want || tt.body != "" && a.body != tt.body {
			t.Errorf("%s with %q: %d %q", tt.method, tt.header, a.status, a.body)
		}
	}
	for path, attachment := range map[string]bool{"/p.html": true, "/i.svg": true, "/a.txt": false, "/n": false} {
		got := strings.HasPrefix(s.send(step{method: "GET", path: path}).header.Get("Content-Disposition"), "attachment")
		if got != attachment {
			t.Errorf("%s: attachment %v", path, got)
		}
	}
	s.run(
		step{method: "GET", path: "/none", want: 404},
		step{method: "GET", path: "/a.txt/", want: 404},
		step{method: "GET", path: "/a.txt/x", want: 404},
		step{method: "GET", path: "/d", want: 301},
		step{method: "GET", path: "/d/", want: 200},
		step{method: "HEAD", path: "/", want: 200},
	)
}

func TestListingEscapes(t *testing.T) {
	s := start(t)
	s.put(map[string]string{`<script>alert(1)</script>`[:8]: "", `x"onload="y`: "", "javascript:z": "", "dir/": "", "ü ?#%": ""})
	a := s.send(step{method: "GET", path: "/"})
	for _, want := range []string{`href="./dir/"`, `href="./javascript:z"`, `./%C3%BC%20%3F%23%25`, "&lt;script&gt;"} {
		if !strings.Contains(a.body, want) {
			t.Errorf("no %s in\n%s", want, a.body)
		}
	}
	if strings.Contains(a.body, "<script>") || strings.Contains(a.body, `x"on`) ||
		!strings.Contains(a.header.Get("Content-Security-Policy"), "default-src 'none'") {
		t.Errorf("%v\n%s", a.header, a.body)
	}
}

func TestPutAnswers(t *testing.T) {
	s := start(t)
	a := s.send(step{method: "PUT", path: "/a", header: "X-OC-Mtime: 1234567890", body: "x"})
	if a.header.Get("X-OC-Mtime") != "accepted" {
		t.Error(a.header)
	}
	got := s.send(step{method: "HEAD", path: "/a"})
	if got.header.Get("ETag") != a.header.Get("ETag") || a.header.Get("ETag") == "" {
		t.Errorf("ETag of PUT %q, of HEAD %q", a.header.Get("ETag"), got.header.Get("ETag"))
	}
	if want := time.Unix(1234567890, 0).UTC().Format(http.TimeFormat); got.header.Get("Last-Modified") != want {
		t.Errorf("Last-Modified %q, want %q", got.header.Get("Last-Modified"), want)
	}
	s.run(step{method: "PUT", path: "/a", header: "If-Match: " + a.header.Get("ETag"), body: "y", want: 204},
		step{method: "PUT", path: "/a", header: "If-Match: " + a.header.Get("ETag"), body: "z", want: 412})
	s.wantFiles(map[string]string{"a": "y"})
}

func TestErrorsToStatus(t *testing.T) {
	for _, tt := range []struct {
		name string
		f    faults
		st   step
		want int
	}{
		{"quota at the start", faults{create: storage.ErrQuota}, step{method: "PUT", path: "/n", body: "x"}, 507},
		{"space while writing", faults{write: storage.ErrNoSpace}, step{method: "PUT", path: "/n", body: "x"}, 507},
		{"quota at the end", faults{commit: storage.ErrQuota}, step{method: "PUT", path: "/n", body: "x"}, 507},
		{"locked elsewhere", faults{commit: storage.ErrLocked}, step{method: "PUT", path: "/n", body: "x"}, 423},
		{"fault", faults{commit: errDisk}, step{method: "PUT", path: "/n", body: "x"}, 500},
		{"list", faults{list: errDisk}, step{method: "PROPFIND", path: "/", header: "Depth: 1"}, 500},
		{"panic", faults{panics: true}, step{method: "GET", path: "/a"}, 500},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := startWith(t, settings{wrap: func(f storage.FS) storage.FS { tt.f.FS = f; return tt.f }})
			s.put(map[string]string{"a": "1"})
			a := s.send(tt.st)
			if a.status != tt.want || strings.Contains(a.body, "secret") || strings.Contains(a.body, "goroutine") {
				t.Errorf("%d %q", a.status, a.body)
			}
			s.wantFiles(map[string]string{"a": "1"})
		})
	}
}

// TestBrokenReads: an answer that cannot be finished must not look finished.
func TestBrokenReads(t *testing.T) {
	s := startWith(t, settings{wrap: func(f storage.FS) storage.FS {
		return faults{FS: f, read: errDisk, list: errDisk, listAfter: 300}
	}})
	files := map[string]string{"big": strings.Repeat("x", 1<<20)}
	for i := range 301 {
		files[fmt.Sprintf("file %03d", i)] = ""
	}
	s.put(files)
	if a, err := s.try(step{method: "GET", path: "/big"}); err == nil {
		t.Errorf("GET: %d with %d bytes", a.status, len(a.body))
	}
	if a, err := s.try(step{method: "PROPFIND", path: "/", header: "Depth: 1"}); err == nil {
		t.Errorf("PROPFIND: %d with %d bytes", a.status, len(a.body))
	}
}
