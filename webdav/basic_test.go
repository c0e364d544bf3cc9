package webdav

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"gateway/auth"
	"gateway/storage"
)

func TestLogin(t *testing.T) {
	s := start(t)
	s.put(map[string]string{"a": "1"})
	a := s.send(step{method: "GET", path: "/a", user: "-"})
	if a.status != 401 || a.header.Get("WWW-Authenticate") != `Basic realm="files", charset="UTF-8"` || strings.Contains(a.body, "1") {
		t.Errorf("%+v", a)
	}
	if n := s.auth.checks.Load(); n != 0 {
		t.Errorf("a request without a password cost %d checks", n)
	}
	s.run(
		step{method: "GET", path: "/a", user: "nobody", want: 401},
		step{method: "GET", path: "/a", user: "-", header: "Authorization: Bearer x", want: 401},
		step{method: "GET", path: "/a", user: "-", header: "Authorization: Basic !!", want: 401},
	)
	s.auth.banned.Store(true)
	s.run(step{method: "GET", path: "/a", want: 429})
	s.auth.banned.Store(false)
	s.run(step{method: "GET", path: "/a", want: 200})
	s.auth.banned.Store(true) // a ban counts for who is in the cache as well
	s.run(step{method: "GET", path: "/a", want: 429})
}

func TestRefusals(t *testing.T) {
	for err, want := range map[error]int{
		auth.ErrCredentials: 401,
		auth.ErrDisabled:    401, // as for a wrong password: nobody learns which
		auth.ErrBanned:      429,
		auth.ErrBusy:        503,
		errDisk:             500,
	} {
		s := start(t)
		s.auth.refusal = fmt.Errorf("check: %w", err)
		if a := s.send(step{method: "GET", path: "/"}); a.status != want || strings.Contains(a.body, "secret") {
			t.Errorf("%v: %d %q", err, a.status, a.body)
		}
	}
}

// TestOnlyTLSOrLoopback asks as if from elsewhere.
func TestOnlyTLSOrLoopback(t *testing.T) {
	for _, tt := range []struct {
		remote string
		plain  bool
		want   int
	}{
		{"127.0.0.1:1", false, 207},
		{"[::1]:1", false, 207},
		{"[::ffff:127.0.0.1]:1", false, 207},
		{"192.0.2.1:1", false, 403},
		{"[2001:db8::1]:1", false, 403},
		{"garbage", false, 403},
		{"192.0.2.1:1", true, 207},
	} {
		s := startWith(t, settings{config: func(c *Config) { c.AllowPlainBasic = tt.plain }})
		r := httptest.NewRequest("PROPFIND", "http://h/", nil)
		r.RemoteAddr = tt.remote
		r.Header.Set("Depth", "0")
		r.SetBasicAuth("alice", "alice")
		r.Header.Set("X-Forwarded-For", "127.0.0.1")
		w := httptest.NewRecorder()
		s.handler.ServeHTTP(w, r)
		if w.Code != tt.want || w.Code == 403 && w.Header().Get("WWW-Authenticate") != "" {
			t.Errorf("from %s: %d", tt.remote, w.Code)
		}
	}
}

// TestOtherSites: a browser that knows the password sends it along with
// whatever another page makes it send.
func TestOtherSites(t *testing.T) {
	s := start(t)
	s.put(map[string]string{"a": "1"})
	foreign := []string{"Origin: https://evil.example", "Origin: null", "Sec-Fetch-Site: cross-site", "Sec-Fetch-Site: same-site"}
	for _, method := range []string{"PUT", "DELETE", "MKCOL", "MOVE", "COPY", "PROPPATCH", "LOCK", "UNLOCK", "PROPFIND"} {
		for _, h := range foreign {
			s.run(step{method: method, path: "/a", header: h + "\nDestination: /b", want: 403})
		}
	}
	s.wantFiles(map[string]string{"a": "1"})
	s.run(
		step{method: "GET", path: "/a", header: "Sec-Fetch-Site: cross-site", want: 200},
		step{method: "PUT", path: "/a", header: "Origin: http://$HOST", body: "2", want: 204},
		step{method: "PUT", path: "/a", header: "Sec-Fetch-Site: same-origin", body: "2", want: 204},
	)
}

func TestLoginIsCheckedOnce(t *testing.T) {
	s := start(t)
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			if a, err := s.try(step{method: "PROPFIND", path: "/", header: "Depth: 0"}); err != nil || a.status != 207 {
				t.Error(a.status, err)
			}
		})
	}
	wg.Wait()
	if n := s.auth.checks.Load(); n != 1 {
		t.Errorf("%d checks", n)
	}
	s.run(step{method: "GET", path: "/", user: "nobody", want: 401}, step{method: "GET", path: "/", user: "nobody", want: 401})
	if n := s.auth.checks.Load(); n != 3 {
		t.Errorf("%d checks; failures must not be remembered", n)
	}
}

func TestLoginCache(t *testing.T) {
	now := time.Unix(1e9, 0)
	var checks atomic.Int64
	c := newLoginCache(func(_ context.Context, _ netip.Addr, user, _ string) (*session, error) {
		checks.Add(1)
		return &session{id: auth.Identity{User: auth.User{Name: user}}}, nil
	}, func() time.Time { return now })
	here, there := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("192.0.2.2")
	for i, tt := range []struct {
		from           netip.Addr
		user, password string
		want           int64
	}{
		{here, "u", "p", 1},
		{here, "u", "p", 1},
		{here, "u", "q", 2},
		{here, "up", "", 3},
		{here, "", "up", 4},
		{there, "u", "p", 5},
		{there, "u", "p", 5},
	} {
		if s, err := c.get(t.Context(), tt.from, tt.user, tt.password); err != nil || s.id.User.Name != tt.user || checks.Load() != tt.want {
			t.Errorf("%d: %d checks, %v", i, checks.Load(), err)
		}
	}
	now = now.Add(loginTTL)
	if _, err := c.get(t.Context(), here, "u", "p"); err != nil || checks.Load() != 6 {
		t.Errorf("%d checks", checks.Load())
	}
	for i := range maxLogins + 10 {
		c.put(c.keyOf("password", here.String(), fmt.Sprint(i), ""), &session{})
	}
	if len(c.entries) > maxLogins {
		t.Errorf("%d entries", len(c.entries))
	}
	c.check = func(context.Context, netip.Addr, string, string) (*session, error) { panic("a defect") }
	if _, err := c.get(t.Context(), here, "new", ""); err == nil || !strings.Contains(err.Error(), "a defect") {
		t.Errorf("a panic in the check must be an error: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	block := make(chan struct{})
	c.check = func(context.Context, netip.Addr, string, string) (*session, error) { <-block; return nil, errDisk }
	if _, err := c.get(ctx, here, "new", ""); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	close(block)
}

func TestPermissions(t *testing.T) {
	s := start(t)
	s.put(map[string]string{"a": "1", "d/b": "2"})
	before := s.files()
	for _, st := range []step{
		{method: "PUT", path: "/a"}, {method: "PUT", path: "/n"}, {method: "DELETE", path: "/a"}, {method: "DELETE", path: "/d"},
		{method: "MKCOL", path: "/n"}, {method: "MOVE", path: "/a", header: "Destination: /n"},
		{method: "MOVE", path: "/a", header: "Destination: /d"}, {method: "COPY", path: "/a", header: "Destination: /n"},
		{method: "COPY", path: "/d", header: "Destination: /n"}, {method: "LOCK", path: "/a", body: exclusive},
	} {
		st.user, st.want = "reader", 403
		s.run(st)
	}
	s.wantFiles(before)
	s.run(
		step{method: "GET", path: "/a", user: "reader", want: 200},
		step{method: "PUT", path: "/n", user: "dropper", body: "x", want: 201},
		step{method: "PROPFIND", path: "/n", user: "dropper", header: "Depth: 0", want: 207}, // their own
		step{method: "PROPFIND", path: "/a", user: "dropper", header: "Depth: 0", want: 404},
		step{method: "PUT", path: "/a", user: "dropper", body: "x", want: 403},
		step{method: "GET", path: "/a", user: "dropper", want: 403},
		step{method: "DELETE", path: "/a", user: "dropper", want: 404},
		step{method: "LOCK", path: "/d", user: "dropper", body: exclusive, want: 403},
		step{method: "LOCK", path: "/a", user: "dropper", body: exclusive, want: 403}, // there, though they may not know
		step{method: "PUT", path: "/a", body: "3", want: 204},
		step{method: "COPY", path: "/d", user: "dropper", header: "Destination: /e", want: 403},
		step{method: "PROPFIND", path: "/e", header: "Depth: 0", want: 404},
	)
}

func TestNewNeedsItsParts(t *testing.T) {
	open := func(context.Context, auth.Identity) (storage.FS, error) { return nil, errDisk }
	for i, c := range []Config{{}, {Auth: &fakeAuth{}}, {Open: open}, {Auth: &fakeAuth{}, Open: open, MaxConnections: -1}} {
		if _, err := New(c); err == nil {
			t.Errorf("%d: no error", i)
		}
	}
	h, err := New(Config{Auth: &fakeAuth{}, Open: open})
	if err != nil {
		t.Fatal(err)
	}
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	r.RemoteAddr = "127.0.0.1:1"
	r.SetBasicAuth("alice", "alice")
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	if w.Code != 500 || strings.Contains(w.Body.String(), "secret") {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}

// changing is an Authenticator whose users can be changed.
type changing struct {
	*fakeAuth
	changed atomic.Bool
}

func (c *changing) Current(auth.Identity) bool { return !c.changed.Load() }

// TestChangedUserIsCheckedAgain: what is remembered of a login ends with a change of the user.
func TestChangedUserIsCheckedAgain(t *testing.T) {
	var c *changing
	s := startWith(t, settings{config: func(o *Config) {
		c = &changing{fakeAuth: o.Auth.(*fakeAuth)}
		o.Auth = c
	}})
	now := time.Now()
	s.handler.logins.now = func() time.Time { return now }
	get := step{method: "GET", path: "/", want: 200}
	s.run(get, get)
	if n := s.auth.checks.Load(); n != 1 {
		t.Errorf("%d checks", n)
	}
	c.changed.Store(true)
	now = now.Add(recheckTime - 1)
	s.run(get)
	if n := s.auth.checks.Load(); n != 1 {
		t.Errorf("%d checks: within a second it is not asked again", n)
	}
	now = now.Add(1)
	s.run(get)
	if n := s.auth.checks.Load(); n != 2 {
		t.Errorf("%d checks", n)
	}
	s.auth.refusal = auth.ErrDisabled
	get.want = 401
	s.run(get)
}

// coded is an Authenticator whose users need a one-time code, and that does not say so by itself.
type coded struct{ *fakeAuth }

func (c coded) Password(ctx context.Context, from netip.Addr, user, password string) (auth.Identity, error) {
	id, err := c.fakeAuth.Password(ctx, from, user, password)
	id.NeedsCode = err == nil && storage.OriginOf(ctx).Protocol == "webdav"
	return id, err
}

// TestNoCodeInBasic: who needs a code besides is not let in, since there is no way to give it.
func TestNoCodeInBasic(t *testing.T) {
	s := startWith(t, settings{config: func(o *Config) { o.Auth = coded{o.Auth.(*fakeAuth)} }})
	s.run(
		step{method: "GET", path: "/", want: 401},
		step{method: "PUT", path: "/a", body: "x", want: 401},
		step{method: "OPTIONS", path: "/", want: 200},
	)
}
