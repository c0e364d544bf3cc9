package webdav

import (
	"errors"
	"fmt"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"gateway/state"
	"gateway/state/sqlite"
	"gateway/state/statetest"
)

const (
	exclusive = `<?xml version="1.0"?><D:lockinfo xmlns:D="DAV:"><D:lockscope><D:exclusive/></D:lockscope><D:locktype><D:write/></D:locktype><D:owner><D:href>mailto:a@example.org</D:href> &amp; me</D:owner></D:lockinfo>`
	shared    = `<lockinfo xmlns="DAV:"><lockscope><shared/></lockscope><locktype><write/></locktype></lockinfo>`
)

// hold takes a lock and returns its token.
func (s *server) hold(st step) string {
	s.t.Helper()
	st.method = "LOCK"
	a := s.send(st)
	token := strings.Trim(a.header.Get("Lock-Token"), "<>")
	if a.status != st.want || !strings.HasPrefix(token, "urn:uuid:") || !strings.Contains(a.body, token) {
		s.t.Fatalf("LOCK %s: %d %s", st.path, a.status, a.body)
	}
	return token
}

func TestLockStopsEveryMethod(t *testing.T) {
	s := start(t)
	s.put(map[string]string{"d/f": "1", "d/sub/g": "2", "o": "3"})
	files := s.files()
	token := s.hold(step{path: "/d/f", body: exclusive, want: 200})
	deep := s.hold(step{path: "/d/sub/g", header: "Depth: 0", body: exclusive, want: 200})
	attempts := []step{
		{method: "PUT", path: "/d/f", body: "x"},
		{method: "DELETE", path: "/d/f"},
		{method: "DELETE", path: "/d"},
		{method: "DELETE", path: "/d/sub"},
		{method: "MOVE", path: "/d/f", header: "Destination: /n"},
		{method: "MOVE", path: "/d", header: "Destination: /n"},
		{method: "MOVE", path: "/o", header: "Destination: /d/f"},
		{method: "COPY", path: "/o", header: "Destination: /d/f"},
		{method: "COPY", path: "/o", header: "Destination: /d"},
		{method: "PROPPATCH", path: "/d/f", body: patchTime("getlastmodified", "Mon, 02 Jan 2006 15:04:05 GMT")},
		{method: "LOCK", path: "/d/f", body: exclusive},
		{method: "LOCK", path: "/d/f", body: shared},
	}
	for _, user := range []string{"alice", "bob"} {
		for _, st := range attempts {
			st.user, st.want = user, 423
			if st.method == "DELETE" && st.path != "/d/f" {
				st.want = 207 // the members that are in the way
			}
			s.run(st)
			if st.method == "LOCK" {
				continue
			}
			// Somebody else's token opens nothing, nor does one of another lock, nor
			// an If header that holds for another resource.
			ifs := []string{fmt.Sprintf("If: </d/sub/g> (<%s>)", deep), "If: (Not <DAV:no-lock>)"}
			if user == "bob" {
				ifs = append(ifs, fmt.Sprintf("If: </d/f> (<%s>)", token), fmt.Sprintf("If: (Not <DAV:no-lock>) (<%s>)", token))
			}
			for _, h := range ifs {
				if st.path == "/d/sub" && user == "alice" {
					continue // there that token is the right one
				}
				st.header = strings.TrimSpace(h + "\n" + st.header)
				s.run(st)
			}
		}
	}
	s.wantFiles(files)
	s.wantMemberLocked("/d", "/d/f")
	a := s.send(step{method: "DELETE", path: "/d"})
	const locked = "</D:href><D:status>HTTP/1.1 423 Locked</D:status><D:error><D:lock-token-submitted/></D:error>"
	if !strings.Contains(a.body, "/d/f"+locked) || !strings.Contains(a.body, "/d/sub/g"+locked) {
		t.Error(a.body)
	}
	with := fmt.Sprintf("If: </d/f> (<%s>)", token)
	s.run(
		step{method: "PUT", path: "/d/f", header: with, body: "new", want: 204},
		step{method: "GET", path: "/d/f", user: "bob", want: 200},
		step{method: "DELETE", path: "/d", header: with, want: 207}, // the other lock
		step{method: "DELETE", path: "/d", header: with + fmt.Sprintf(" </d/sub/g> (<%s>)", deep), want: 204},
		step{method: "MKCOL", path: "/d", user: "bob", want: 201},
		step{method: "PUT", path: "/d/f", user: "bob", body: "free again", want: 201},
	)
}

// wantMemberLocked wants a lock of a folder to be refused because of what is locked below it.
func (s *server) wantMemberLocked(folder, member string) {
	s.t.Helper()
	a := s.send(step{method: "LOCK", path: folder, body: exclusive})
	if a.status != 207 || a.header.Get("Lock-Token") != "" ||
		!strings.Contains(a.body, "<D:response><D:href>"+member+"</D:href><D:status>HTTP/1.1 423 Locked</D:status>") ||
		!strings.Contains(a.body, "<D:response><D:href>"+folder+"/</D:href><D:status>HTTP/1.1 424 Failed Dependency</D:status>") {
		s.t.Errorf("%d %s", a.status, a.body)
	}
}

// TestLockExpires: a lock whose time is over is as if it had never been.
func TestLockExpires(t *testing.T) {
	s := start(t)
	s.put(map[string]string{"f": "1", "g": "1"})
	short := s.hold(step{path: "/f", header: "Timeout: Second-1", body: exclusive, want: 200})
	s.hold(step{path: "/g", header: "Timeout: Second-1", body: exclusive, want: 200})
	began := time.Now()
	s.run(step{method: "LOCK", path: "/f", header: "If: (<" + short + ">)\nTimeout: Second-60", want: 200})
	time.Sleep(time.Until(began.Add(1100 * time.Millisecond)))
	s.run(
		step{method: "PUT", path: "/f", user: "bob", body: "x", want: 423}, // it was refreshed
		step{method: "PUT", path: "/g", user: "bob", body: "x", want: 204},
	)
	if body := s.send(step{method: "PROPFIND", path: "/g"}).body; strings.Contains(body, "activelock") {
		t.Error(body)
	}
}

// TestDeleteEndsLocks: RFC 4918 section 9.6; and what is replaced is deleted.
func TestDeleteEndsLocks(t *testing.T) {
	s := start(t)
	s.put(map[string]string{"d/f": "1", "e/f": "2", "g": "3"})
	deep := s.hold(step{path: "/d", body: exclusive, want: 200})
	member := s.hold(step{path: "/e/f", body: exclusive, want: 200})
	s.run(
		step{method: "DELETE", path: "/d/f", header: "If: </d> (<" + deep + ">)", want: 204},
		step{method: "DELETE", path: "/d", header: "If: (<" + deep + ">)", want: 204},
		step{method: "MKCOL", path: "/d", user: "bob", want: 201},
		step{method: "PUT", path: "/d/f", user: "bob", body: "x", want: 201},
		step{method: "UNLOCK", path: "/d", header: "Lock-Token: <" + deep + ">", want: 409},
		step{method: "MOVE", path: "/d", header: "Destination: /e", want: 423},
		step{method: "MOVE", path: "/d", header: "Destination: /e\nIf: </e/f> (<" + member + ">)", want: 204},
		step{method: "PUT", path: "/e/f", user: "bob", body: "x", want: 204},
	)
}

func TestIfHeader(t *testing.T) {
	s := start(t)
	s.put(map[string]string{"a": "1", "b": "2"})
	token := s.hold(step{path: "/a", body: exclusive, want: 200})
	etag := s.send(step{method: "HEAD", path: "/a"}).header.Get("ETag")
	other := s.send(step{method: "HEAD", path: "/b"}).header.Get("ETag")
	for _, tt := range []struct {
		path, header string
		want         int
	}{
		{"/b", fmt.Sprintf("(<%s>)", token), 412}, // it is not a lock of /b
		{"/b", fmt.Sprintf("</a> (<%s>)", token), 204},
		{"/b", fmt.Sprintf("<http://$HOST/a> (<%s>)", token), 204},
		{"/b", fmt.Sprintf("<http://elsewhere.example/a> (<%s>)", token), 412},
		{"/b", "</a> (" + "[" + etag + "])", 204},
		{"/b", "</a> ([" + other + "])", 412},
		{"/b", `(["no"])`, 412},
		{"/b", `(Not ["no"])`, 204},
		{"/b", "(<DAV:no-lock>)", 412},
		{"/b", "(<DAV:no-lock>) (Not <DAV:no-lock>)", 204},
		{"/b", "(Not <DAV:no-lock> <urn:uuid:none>)", 412},
		{"/a", fmt.Sprintf("(<%s> [%s])", token, `"no"`), 412},
		{"/a", fmt.Sprintf("(<%s> [W/%s])", token, etag), 412},
		{"/none/x", "(<urn:uuid:none>)", 412},
		{"/b", "", 204},
		{"/b", "()", 400},
		{"/b", "(", 400},
		{"/b", "(<>)", 400},
		{"/b", "([)", 400},
		{"/b", "nonsense", 400},
		{"/b", "</a>", 400},
		{"/b", "</a> </b> (<x>)", 400},
		{"/b", "(<x>) </a> (<x>)", 400},
		{"/b", "</../a> (<x>)", 400},
		{"/b", strings.Repeat("(<x>)", 65), 400},
		{"/b", "(" + strings.Repeat("<x>", 65) + ")", 400},
	} {
		st := step{method: "PUT", path: tt.path, body: "n", want: tt.want}
		if tt.header != "" {
			st.header = "If: " + tt.header
		}
		s.run(st)
	}
	// The right token, the right version, in one list.
	s.run(step{method: "PUT", path: "/a", header: fmt.Sprintf("If: (<%s> [%s])", token, etag), body: "n", want: 204})
}

func TestLockLife(t *testing.T) {
	s := start(t)
	a := s.send(step{method: "LOCK", path: "/new", header: "Timeout: Infinite, Second-600", body: exclusive})
	if a.status != 201 || !regexp.MustCompile(`<D:timeout>Second-(600|5\d\d)</D:timeout>`).MatchString(a.body) ||
		!strings.Contains(a.body, "<D:lockroot><D:href>/new</D:href></D:lockroot>") ||
		!strings.Contains(a.body, "<D:owner><D:href>mailto:a@example.org</D:href> &amp; me</D:owner>") {
		t.Fatalf("%d %s", a.status, a.body)
	}
	s.wantFiles(map[string]string{"new": ""})
	token := strings.Trim(a.header.Get("Lock-Token"), "<>")
	with := fmt.Sprintf("If: (<%s>)", token)
	discovery := func(user string) string {
		return s.send(step{method: "PROPFIND", path: "/new", header: "Depth: 0", user: user}).body
	}
	if b := discovery("alice"); !strings.Contains(b, token) {
		t.Error(b)
	}
	if b := discovery("bob"); strings.Contains(b, token) || !strings.Contains(b, "<D:activelock>") {
		t.Error("another user reads the token, or does not see the lock:", b)
	}
	refreshed := s.send(step{method: "LOCK", path: "/new", header: with + "\nTimeout: Second-1000"})
	if refreshed.status != 200 || !regexp.MustCompile(`Second-(1000|9\d\d)`).MatchString(refreshed.body) || refreshed.header.Get("Lock-Token") != "" {
		t.Errorf("%d %s", refreshed.status, refreshed.body)
	}
	unlock := "Lock-Token: <" + token + ">"
	s.run(
		step{method: "LOCK", path: "/new", want: 400},
		step{method: "LOCK", path: "/new", header: "If: (<urn:uuid:none>)", want: 412},
		step{method: "LOCK", path: "/new", header: with, user: "bob", want: 403},
		step{method: "LOCK", path: "/new", header: "Depth: 1", body: exclusive, want: 400},
		step{method: "LOCK", path: "/no/new", body: exclusive, want: 409},
		step{method: "LOCK", path: "/x", body: "<lockinfo/>", want: 400},
		step{method: "LOCK", path: "/x", body: strings.Replace(exclusive, "<D:exclusive/>", "", 1), want: 400},
		step{method: "LOCK", path: "/x", body: strings.Replace(exclusive, "<D:exclusive/>", "<D:exclusive/><D:shared/>", 1), want: 400},
		step{method: "LOCK", path: "/x", body: strings.Replace(exclusive, "me", strings.Repeat("m", 5000), 1), want: 413},
		step{method: "LOCK", path: "/new", user: "reader", body: shared, want: 403},
		step{method: "LOCK", path: "/y", user: "reader", body: shared, want: 403},
		step{method: "UNLOCK", path: "/new", want: 400},
		step{method: "UNLOCK", path: "/new", header: "Lock-Token: " + token, want: 400},
		step{method: "UNLOCK", path: "/", header: unlock, want: 409},
		step{method: "UNLOCK", path: "/new", header: "Lock-Token: <urn:uuid:none>", want: 409},
		step{method: "UNLOCK", path: "/new", header: unlock, user: "bob", want: 403},
		step{method: "UNLOCK", path: "/new", header: unlock, want: 204},
		step{method: "UNLOCK", path: "/new", header: unlock, want: 409},
		step{method: "PUT", path: "/new", user: "bob", body: "1", want: 204},
	)
	s.wantFiles(map[string]string{"new": "1"})
}

func TestLockScopes(t *testing.T) {
	s := start(t)
	s.put(map[string]string{"d/e/f": "1", "flat/g": "2", "c": "3"})
	deep := s.hold(step{path: "/d", header: "Depth: infinity", body: exclusive, want: 200})
	flat := s.hold(step{path: "/flat", header: "Depth: 0", body: exclusive, want: 200})
	one := s.hold(step{path: "/c", body: shared, want: 200})
	two := s.hold(step{path: "/c", body: shared, user: "bob", want: 200})
	s.run(
		step{method: "PUT", path: "/d/e/f", body: "x", want: 423},
		step{method: "PUT", path: "/d/e/new", body: "x", want: 423},
		step{method: "MKCOL", path: "/d/new", want: 423},
		step{method: "LOCK", path: "/d/e/new", body: exclusive, want: 423},
		step{method: "UNLOCK", path: "/d/e/f", user: "bob", header: "Lock-Token: <" + deep + ">", want: 403},
		step{method: "PUT", path: "/d/e/f", header: fmt.Sprintf("If: (<%s>)", deep), body: "x", want: 204},
		step{method: "PUT", path: "/d/e/new", header: fmt.Sprintf("If: </d> (<%s>)", deep), body: "x", want: 201},
		// A lock of depth 0 holds the members together, not what is in them.
		step{method: "PUT", path: "/flat/g", body: "x", want: 204},
		step{method: "PUT", path: "/flat/new", body: "x", want: 423},
		step{method: "DELETE", path: "/flat/g", want: 423},
		step{method: "MOVE", path: "/flat/g", header: "Destination: /g", want: 423},
		step{method: "COPY", path: "/c", header: "Destination: /flat/new", want: 423},
		step{method: "LOCK", path: "/flat/new", body: exclusive, want: 423},
		step{method: "PUT", path: "/flat/new", header: fmt.Sprintf("If: </flat> (<%s>)", flat), body: "x", want: 201},
		// One of the shared locks is enough, if it is one's own.
		step{method: "PUT", path: "/c", body: "x", want: 423},
		step{method: "PUT", path: "/c", header: fmt.Sprintf("If: (<%s>)", two), body: "x", want: 423},
		step{method: "PUT", path: "/c", header: fmt.Sprintf("If: (<%s>)", one), body: "x", want: 204},
		step{method: "PUT", path: "/c", header: fmt.Sprintf("If: (<%s>)", two), user: "bob", body: "x", want: 204},
		step{method: "LOCK", path: "/c", body: exclusive, want: 423},
		// The locks of a folder are those of everybody who sees it, wherever.
		step{method: "PUT", path: "/e/f", user: "deep", body: "x", want: 423},
		step{method: "PUT", path: "/two/again/c", user: "mounts", body: "x", want: 423},
		step{method: "LOCK", path: "/", user: "mounts", body: exclusive, want: 403},
		step{method: "LOCK", path: "/two", user: "mounts", body: exclusive, want: 403},
		step{method: "MOVE", path: "/one/flat/g", user: "mounts", header: "Destination: /two/again/flat/g", want: 403},
	)
	body := s.send(step{method: "PROPFIND", path: "/d/e/f", header: "Depth: 0"}).body
	if !strings.Contains(body, "<D:lockroot><D:href>/d</D:href></D:lockroot>") {
		t.Error(body)
	}
	if n := strings.Count(s.send(step{method: "PROPFIND", path: "/", header: "Depth: 1"}).body, "<D:activelock>"); n != 4 {
		t.Errorf("%d locks are shown", n)
	}
}

// TestMoveLeavesLocksBehind: RFC 4918 section 7.6.
func TestMoveLeavesLocksBehind(t *testing.T) {
	s := start(t)
	s.put(map[string]string{"a": "1", "d/": ""})
	token := s.hold(step{path: "/a", body: exclusive, want: 200})
	with := fmt.Sprintf("If: </a> (<%s>)", token)
	s.run(
		step{method: "COPY", path: "/a", header: "Destination: /copy", want: 201},
		step{method: "PUT", path: "/copy", body: "x", want: 204},
		step{method: "MOVE", path: "/a", header: with + "\nDestination: /d/b", want: 201},
		step{method: "PUT", path: "/d/b", user: "bob", body: "x", want: 204},
		step{method: "PUT", path: "/a", user: "bob", body: "x", want: 201},
	)
}

// TestLockComesDuringUpload: who locks the name while an upload runs is not
// overtaken by its end.
func TestLockComesDuringUpload(t *testing.T) {
	s := start(t)
	s.put(map[string]string{"f": "old"})
	c := s.dial()
	if _, err := fmt.Fprintf(c, "PUT /f HTTP/1.1\r\nHost: h\r\n%sContent-Length: 3\r\nExpect: 100-continue\r\n\r\n", basicAlice); err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 64)
	if n, err := c.Read(buf); err != nil || !strings.HasPrefix(string(buf[:n]), "HTTP/1.1 100") {
		t.Fatalf("%q %v", buf[:n], err)
	}
	s.hold(step{path: "/f", body: exclusive, user: "bob", want: 200})
	if _, err := c.Write([]byte("new")); err != nil {
		t.Fatal(err)
	}
	if n, err := c.Read(buf); err != nil || !strings.HasPrefix(string(buf[:n]), "HTTP/1.1 423") {
		t.Errorf("%q %v", buf[:n], err)
	}
	s.wantFiles(map[string]string{"f": "old"})
}

func TestMemoryLocks(t *testing.T) {
	var mu sync.Mutex
	kept := map[string]*memoryLocks{}
	for name, test := range statetest.LockTests(func(_ testing.TB, dir string) state.Locks {
		mu.Lock()
		defer mu.Unlock()
		if kept[dir] == nil {
			kept[dir] = newMemoryLocks(time.Now)
		}
		return kept[dir]
	}) {
		t.Run(name, test)
	}
	if token := newToken(); !regexp.MustCompile(`^urn:uuid:[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`).MatchString(token) {
		t.Error(token)
	}
}

func TestMemoryLocksInAll(t *testing.T) {
	m := newMemoryLocks(time.Now)
	for i := range state.MaxLocks {
		name := fmt.Sprint("/x", i)
		m.byToken[name] = memoryLock{state.Lock{Token: name, Root: name, User: name}, time.Now().Add(time.Hour)}
	}
	l := state.Lock{Token: "t", Root: "/a", User: "u", Timeout: time.Hour}
	if _, err := m.CreateLock(t.Context(), l); !errors.Is(err, state.ErrLimit) {
		t.Error(err)
	}
}

// What is locked on one node is locked on the others, and still after a restart.
func TestSharedLocks(t *testing.T) {
	file := filepath.Join(t.TempDir(), "state.db")
	node := func() (*server, state.Store) {
		db, err := sqlite.Open(t.Context(), file)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = db.Close() })
		return startWith(t, settings{config: func(c *Config) { c.Locks = db }}), db
	}
	a, first := node()
	b, _ := node()
	token := a.hold(step{path: "/f", body: exclusive, want: 201})
	b.run(step{method: "PUT", path: "/f", body: "x", want: 423})
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	c, _ := node()
	c.run(step{method: "PUT", path: "/f", body: "x", want: 423},
		step{method: "PUT", path: "/f", header: "If: (<" + token + ">)", body: "x", want: 201})
	if a := c.send(step{method: "PROPFIND", path: "/f", header: "Depth: 0"}); !strings.Contains(a.body, token) {
		t.Error("the lock is not to be seen on another node:", a.body)
	}
	c.run(step{method: "UNLOCK", path: "/f", header: "Lock-Token: <" + token + ">", want: 204})
	b.run(step{method: "PUT", path: "/f", body: "x", want: 201})
}

func TestLockTimeout(t *testing.T) {
	for header, want := range map[string]time.Duration{
		"":                          maxLockTimeout,
		"Infinite":                  maxLockTimeout,
		"Second-10":                 10 * time.Second,
		"second-10, Second-20":      10 * time.Second,
		"Infinite, Second-20":       20 * time.Second,
		"Second-4100000000":         maxLockTimeout,
		"Second-99999999999999":     maxLockTimeout,
		"Second-0":                  minLockTimeout,
		"Second--5":                 maxLockTimeout,
		"Extend, Second-x, garbage": maxLockTimeout,
	} {
		if got := lockTimeout(header); got != want {
			t.Errorf("%q: %v", header, got)
		}
	}
}
