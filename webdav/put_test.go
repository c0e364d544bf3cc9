package webdav

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"gateway/storage"
)

// expectContinue sends the header of a request that waits before its body, and returns
// the first answer, which is 100 where the body is wanted, and the last.
func (s *server) expectContinue(header, body string) (first, last int) {
	s.t.Helper()
	c := s.dial()
	in := bufio.NewReader(c)
	if _, err := io.WriteString(c, header+"Expect: 100-continue\r\n\r\n"); err != nil {
		s.t.Fatal(err)
	}
	status := func() int {
		res, err := http.ReadResponse(in, nil)
		if err != nil {
			s.t.Fatal(err)
		}
		res.Body.Close()
		return res.StatusCode
	}
	if first = status(); first != http.StatusContinue {
		return first, first
	}
	if _, err := io.WriteString(c, body); err != nil {
		s.t.Fatal(err)
	}
	return first, status()
}

// TestExpectContinue: a PUT that will be refused is, before its body is sent.
func TestExpectContinue(t *testing.T) {
	quota := false
	s := startWith(t, settings{wrap: func(f storage.FS) storage.FS {
		if quota {
			return faults{FS: f, create: storage.ErrQuota}
		}
		return f
	}})
	s.put(map[string]string{"f": "old", "locked": "old", "d/": ""})
	s.run(step{method: "LOCK", path: "/locked", body: exclusive, want: 200})
	as := func(user string) string { return strings.Replace(basicAlice, "YWxpY2U6YWxpY2U=", user, 1) }
	for _, tt := range []struct {
		path, header string
		want         int
	}{
		{"/f", "", 401},
		{"/f", as("cmVhZGVyOnJlYWRlcg=="), 403}, // reader
		{"/f", basicAlice + "If-None-Match: *\r\n", 412},
		{"/f", basicAlice + "If-Match: \"no\"\r\n", 412},
		{"/f", basicAlice + "If: ([\"no\"])\r\n", 412},
		{"/f", basicAlice + "Content-Range: bytes 0-2/10\r\n", 400},
		{"/f", basicAlice + "Content-Encoding: gzip\r\n", 415},
		{"/f", basicAlice + "Repr-Digest: sha-256=:AAAA:\r\n", 400},
		{"/f", basicAlice + "X-OC-Mtime: soon\r\n", 400},
		{"/d", basicAlice, 405},
		{"/no/f", basicAlice, 409},
		{"/locked", basicAlice, 423},
		{"/locked", as("Ym9iOmJvYg=="), 423}, // bob
	} {
		first, _ := s.expectContinue("PUT "+tt.path+" HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n"+tt.header, "new")
		if first != tt.want {
			t.Errorf("%s with %q: %d, want %d", tt.path, tt.header, first, tt.want)
		}
	}
	quota = true // the session of alice is made anew at another password check
	s.handler.logins.entries = map[loginKey]cachedLogin{}
	if first, _ := s.expectContinue("PUT /f HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n"+basicAlice, "new"); first != 507 {
		t.Errorf("beyond the quota: %d", first)
	}
	s.wantFiles(map[string]string{"f": "old", "locked": "old", "d/": ""})
	quota = false
	s.handler.logins.entries = map[loginKey]cachedLogin{}
	if first, last := s.expectContinue("PUT /f HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n"+basicAlice, "new"); first != 100 || last != 204 {
		t.Errorf("%d and %d", first, last)
	}
	s.wantFiles(map[string]string{"f": "new", "locked": "old", "d/": ""})
}

// TestBodyOfTheServerStays: net/http tells by the body of its request that a client still
// waits for 100 Continue. With another in its place every refusal above takes seconds.
func TestBodyOfTheServerStays(t *testing.T) {
	s := start(t)
	r := httptest.NewRequest("PUT", "http://h/f", strings.NewReader("new"))
	r.RemoteAddr = "127.0.0.1:1"
	r.SetBasicAuth("alice", "alice")
	body := r.Body
	w := httptest.NewRecorder()
	s.handler.ServeHTTP(w, r)
	if w.Code != http.StatusCreated || r.Body != body {
		t.Errorf("status %d, the same body: %v", w.Code, r.Body == body)
	}
}

// TestExpectedEntityLength: Finder says so how long its chunks are together.
func TestExpectedEntityLength(t *testing.T) {
	s := start(t)
	s.put(map[string]string{"f": "old"})
	for _, tt := range []struct {
		length, body string
		want         int
	}{
		{"4", "new", 400},
		{"2", "new", 400},
		{"0", "new", 400},
		{"-1", "new", 400},
		{"99999999999999999999", "new", 400},
		{"9223372036854775807", "new", 400},
		{"9223372036854775806", "new", 507}, // no disk has it
		{"three", "new", 400},
		{"3", "new", 204},
		{"0", "", 204},
	} {
		header := "PUT /f HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\nX-Expected-Entity-Length: " + tt.length + "\r\nConnection: close\r\n" + basicAlice + "\r\n"
		body := "0\r\n\r\n"
		if tt.body != "" {
			body = fmt.Sprintf("%x\r\n%s\r\n", len(tt.body), tt.body) + body
		}
		if got := s.raw(header+body, false); got != tt.want {
			t.Errorf("%s for %q: %d, want %d", tt.length, tt.body, got, tt.want)
		}
		want := "old"
		if tt.want == 204 {
			want = tt.body
		}
		s.wantFiles(map[string]string{"f": want})
	}
	// With a Content-Length that one counts.
	s.run(step{method: "PUT", path: "/f", header: "X-Expected-Entity-Length: 100", body: "new", want: 204})
}

// TestPutUnderLock: only the one who holds the lock writes, by whatever header.
func TestPutUnderLock(t *testing.T) {
	s := start(t)
	s.put(map[string]string{"f": "old", "d/g": "old"})
	lock := s.send(step{method: "LOCK", path: "/f", body: exclusive})
	token := lock.header.Get("Lock-Token")
	tree := s.send(step{method: "LOCK", path: "/d", body: exclusive}).header.Get("Lock-Token")
	other := s.send(step{method: "LOCK", path: "/other", body: exclusive, user: "bob"}).header.Get("Lock-Token")
	if token == "" || tree == "" || other == "" {
		t.Fatal("no token")
	}
	s.run(
		step{method: "PUT", path: "/f", body: "x", want: 423},
		step{method: "PUT", path: "/f", body: "x", user: "bob", want: 423},
		step{method: "PUT", path: "/f", body: "x", user: "bob", header: "If: (" + token + ")", want: 423},
		step{method: "PUT", path: "/f", body: "x", header: "If: (" + other + ")", want: 412},
		step{method: "PUT", path: "/f", body: "x", header: "If: </other> (" + other + ")", want: 423},
		step{method: "PUT", path: "/f", body: "x", header: "If: (Not " + other + ")", want: 423},
		step{method: "PUT", path: "/f", body: "x", header: "Lock-Token: " + token, want: 423},
		step{method: "PUT", path: "/d/g", body: "x", header: "If: (" + token + ")", want: 412},
		step{method: "PUT", path: "/d/new", body: "x", want: 423},
		step{method: "PUT", path: "/d/new", body: "x", user: "bob", header: "If: (" + tree + ")", want: 423},
	)
	s.wantFiles(map[string]string{"f": "old", "d/": "", "d/g": "old", "other": ""})
	s.run(
		step{method: "PUT", path: "/f", body: "new", header: "If: (" + token + ")", want: 204},
		step{method: "PUT", path: "/d/new", body: "new", header: "If: </d> (" + tree + ")", want: 201},
		step{method: "PUT", path: "/other", body: "new", user: "bob", header: "If: (" + other + `) (["no"])`, want: 204},
	)
	s.wantFiles(map[string]string{"f": "new", "d/": "", "d/g": "old", "d/new": "new", "other": "new"})
}

// TestPutLockedMeanwhile: a lock that was made while the body came counts as well.
func TestPutLockedMeanwhile(t *testing.T) {
	began := make(chan struct{}, 1)
	s := startWith(t, settings{wrap: func(f storage.FS) storage.FS { return notifying{f, began} }})
	s.put(map[string]string{"f": "old"})
	for len(began) > 0 {
		<-began
	}
	c := s.dial()
	if _, err := io.WriteString(c, "PUT /f HTTP/1.1\r\nHost: h\r\nContent-Length: 6\r\n"+basicAlice+"\r\nnew"); err != nil {
		t.Fatal(err)
	}
	<-began
	s.run(step{method: "LOCK", path: "/f", body: exclusive, want: 200}) // another client of hers
	if _, err := io.WriteString(c, "er!"); err != nil {
		t.Fatal(err)
	}
	res, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	if res.StatusCode != http.StatusLocked {
		t.Errorf("status %d", res.StatusCode)
	}
	s.wantFiles(map[string]string{"f": "old"})
}

// TestPutOneWins: of many who want the name new, or to replace one version, one does.
func TestPutOneWins(t *testing.T) {
	s := start(t)
	etag := s.send(step{method: "PUT", path: "/old", body: "x"}).header.Get("ETag")
	for path, header := range map[string]string{"/new": "If-None-Match: *", "/old": "If-Match: " + etag} {
		const racers = 8
		statuses := make(chan int, racers)
		for i := range racers {
			go func() {
				a, err := s.try(step{method: "PUT", path: path, header: header, body: fmt.Sprint(i)})
				if err != nil {
					t.Error(err)
				}
				statuses <- a.status
			}()
		}
		won := 0
		for range racers {
			switch status := <-statuses; status {
			case 201, 204:
				won++
			case 412:
			default:
				t.Errorf("%s: status %d", path, status)
			}
		}
		if won != 1 {
			t.Errorf("%s: %d won", path, won)
		}
	}
}

// TestFinderFiles: what Finder keeps beside files is kept as it is.
func TestFinderFiles(t *testing.T) {
	s := start(t)
	s.run(
		step{method: "PUT", path: "/._report.pdf", body: "\x00\x05\x16\x07", want: 201},
		step{method: "PUT", path: "/.DS_Store", body: "\x00\x00\x00\x01Bud1", want: 201},
		step{method: "MOVE", path: "/._report.pdf", header: "Destination: /._final.pdf", want: 201},
	)
	s.wantFiles(map[string]string{"._final.pdf": "\x00\x05\x16\x07", ".DS_Store": "\x00\x00\x00\x01Bud1"})
}

// timesLost is a storage that gives files the time of their upload.
type timesLost struct{ storage.FS }

func (f timesLost) Create(ctx context.Context, name string, o storage.CreateOptions) (storage.Upload, error) {
	u, err := f.FS.Create(ctx, name, o)
	return timeLosing{u}, err
}

type timeLosing struct{ storage.Upload }

func (u timeLosing) Commit(ctx context.Context, o storage.CommitOptions) (storage.Info, error) {
	o.ModTime = time.Time{}
	return u.Upload.Commit(ctx, o)
}

// TestTimeIsAcceptedIfKept: X-OC-Mtime is bounded, and answered with the truth.
func TestTimeIsAcceptedIfKept(t *testing.T) {
	keeps, loses := start(t), startWith(t, settings{wrap: func(f storage.FS) storage.FS { return timesLost{f} }})
	for header, want := range map[string]int{
		"1234567890": 201, "1234567890.5": 201, "0": 201, "-1": 201,
		"": 201, "9223372036854775807": 400, "9300000000": 400, "-3000000000": 400, "now": 400, "0x10": 400,
	} {
		put := step{method: "PUT", path: "/f" + header, header: "X-OC-Mtime: " + header, body: "x"}
		a := keeps.send(put)
		if accepted := a.header.Get("X-OC-Mtime") == "accepted"; a.status != want || accepted != (want == 201 && header != "") {
			t.Errorf("%q: %d, accepted %v", header, a.status, accepted)
		}
		if a := loses.send(put); a.status != want || a.header.Get("X-OC-Mtime") != "" {
			t.Errorf("%q where no times are kept: %d %v", header, a.status, a.header)
		}
	}
}
