package page

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"gateway/auth"
	"gateway/state"
	"gateway/storage"
)

func TestLogin(t *testing.T) {
	s := newSite(t)
	s.put("a folder/f.txt", "text")
	b := s.browser()
	a := b.get("/a%20folder/?sort=size").want(http.StatusSeeOther)
	to := a.header.Get("Location")
	if to != Prefix+"login?next=%2Fa%2520folder%2F%3Fsort%3Dsize" {
		t.Fatalf("to %s", to)
	}
	if b.get("/").header.Get("Location") != Prefix+"login" || b.get(Prefix+"shares").status != http.StatusSeeOther {
		t.Error("not sent to the login")
	}
	b.get(to).want(http.StatusOK).has(`value="/a%20folder/?sort=size"`, `autocomplete="current-password"`)
	b.post(Prefix+"login", "user", "anna", "password", "no", "next", "/x").want(http.StatusForbidden).
		has("not right", `value="anna"`, `value="/x"`).hasNot(`value="no"`)
	b.post(Prefix+"login", "user", "nobody", "password", "no").want(http.StatusForbidden).has("not right")
	a = b.post(Prefix+"login", "user", "anna", "password", passwordOf("anna"), "next", "/a%20folder/?sort=size").want(http.StatusSeeOther)
	if a.header.Get("Location") != "/a%20folder/?sort=size" {
		t.Errorf("after the login to %s", a.header.Get("Location"))
	}
	cookie := a.header.Get("Set-Cookie")
	for _, want := range []string{"__Host-gateway=", "Path=/", "Secure", "HttpOnly", "SameSite=Lax"} {
		if !strings.Contains(cookie, want) {
			t.Errorf("the cookie %q lacks %s", cookie, want)
		}
	}
	b.get("/a%20folder/").want(http.StatusOK).has("f.txt", "anna", "Log out")
	if b.get(Prefix+"login").status != http.StatusSeeOther {
		t.Error("who is logged in is asked again")
	}
	b.do(Prefix + "logout").want(http.StatusSeeOther)
	b.get("/").want(http.StatusSeeOther)
	if log := s.log.String(); strings.Contains(log, "password=") || !strings.Contains(log, "page: login") {
		t.Errorf("the log is\n%s", log)
	}
}

// The audit is told of logins, of what they are refused for, and of their end.
func TestLoginsAreTold(t *testing.T) {
	s := newSite(t)
	var told []string
	s.logins.AddWatch(func(ctx context.Context, e auth.LoginEvent) {
		o := storage.OriginOf(ctx)
		told = append(told, fmt.Sprint(e.Kind, " ", e.User, " ", e.By, " ", o.Protocol, " ", o.Session != "", " ", e.From.IsLoopback()))
	})
	b := s.browser()
	b.post(Prefix+"login", "user", "anna", "password", "no").want(http.StatusForbidden)
	b.post(Prefix+"login", "user", "anna", "password", passwordOf("anna")).want(http.StatusSeeOther)
	b.do(Prefix + "logout").want(http.StatusSeeOther)
	want := []string{"1 anna password page false true", "0 anna password page true true", "2 anna password page true true"}
	if !slices.Equal(told, want) {
		t.Errorf("told %q, want %q", told, want)
	}
}

// TestLoginWithoutRoom: who has as many sessions as they may is not told that they are in.
func TestLoginWithoutRoom(t *testing.T) {
	s := newSite(t, func(c *Config) {
		c.Open = func(context.Context, auth.Identity) (storage.FS, error) { return nil, auth.ErrSessions }
	})
	a := s.browser().post(Prefix+"login", "user", "anna", "password", passwordOf("anna")).
		want(http.StatusTooManyRequests).has("as many sessions open")
	if cookie := a.header.Get("Set-Cookie"); cookie != "" {
		t.Errorf("a cookie all the same: %s", cookie)
	}
}

// A browser that is sent to another place after the login must not leave the server.
func TestLocalPath(t *testing.T) {
	for to, want := range map[string]string{
		"": "/", "/a/b?c=d": "/a/b?c=d", "//evil.example/": "/", `/\evil.example`: "/", "https://evil.example/": "/", "javascript:alert(1)": "/",
		"/a\nb": "/", "evil": "/", `\\evil`: "/", "/%2F/evil": "/%2F/evil", "/" + strings.Repeat("x", 10_000): "/",
	} {
		if got := LocalPath(to); got != want {
			t.Errorf("LocalPath(%.50q) = %q, want %q", to, got, want)
		}
	}
}

func TestBan(t *testing.T) {
	s := newSite(t)
	b := s.browser()
	for range 5 {
		b.post(Prefix+"login", "user", "anna", "password", "no").want(http.StatusForbidden)
	}
	b.post(Prefix+"login", "user", "anna", "password", passwordOf("anna")).want(http.StatusTooManyRequests).has("too many failed logins")
	if s.dav("GET", "/", "anna", nil).status != http.StatusTooManyRequests {
		t.Error("the ban does not hold for WebDAV")
	}
}

// A session ends with the time, with the user, and with a change of the user.
func TestSessionEnds(t *testing.T) {
	for name, end := range map[string]func(s *site){
		"idle":    func(s *site) { s.later(8*time.Hour + time.Minute) },
		"removed": func(s *site) { must(s.t, s.users.Remove(s.t.Context(), "anna")) },
		"changed": func(s *site) {
			s.user("anna", auth.Mount{Path: "/other", Permissions: 1})
		},
		"disabled": func(s *site) {
			u, err := s.users.Get(s.t.Context(), "anna")
			must(s.t, err)
			u.Disabled = true
			must(s.t, s.users.Put(s.t.Context(), u))
		},
		"elsewhere": func(s *site) {
			must(s.t, s.state.EndSessionsOf(s.t.Context(), "anna"))
			s.later(believed)
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSite(t)
			b := s.in("anna")
			b.get("/").want(http.StatusOK)
			end(s)
			b.get("/").want(http.StatusSeeOther)
			if name != "elsewhere" {
				s.later(-9 * time.Hour) // it must be gone for good
				b.get("/").want(http.StatusSeeOther)
			}
		})
	}
}

func TestSessionLasts(t *testing.T) {
	s := newSite(t)
	b := s.in("anna")
	for range 20 { // used now and then, it lasts for longer than it may be idle
		s.later(7 * time.Hour)
		b.get("/").want(http.StatusOK)
	}
	s.stop()
	s.start() // another process
	b.get("/").want(http.StatusOK)
	s.later(29 * time.Hour) // 7 days are over
	b.get("/").want(http.StatusSeeOther)
}

func TestSessionIsHidden(t *testing.T) {
	s := newSite(t)
	b := s.browser()
	a := b.post(Prefix+"login", "user", "anna", "password", passwordOf("anna"))
	_, cookie, _ := strings.Cut(a.header.Get("Set-Cookie"), "=")
	cookie, _, _ = strings.Cut(cookie, ";")
	_, err := s.state.Session(t.Context(), sessionID(cookie))
	must(t, err)
	if _, err := s.state.Session(t.Context(), cookie); err == nil {
		t.Error("what is in the database opens a session")
	}
	if strings.Contains(s.log.String(), cookie) {
		t.Error("the cookie is in the log")
	}
	for _, forged := range []string{"", "x", sessionID(cookie), cookie + "x"} {
		if a := s.browser().get("/", "Cookie", cookieName+"="+forged); a.status != http.StatusSeeOther {
			t.Errorf("the cookie %q is let in", forged)
		}
	}
}

// Changes need a token of the session, and come from a page of the same origin.
func TestForgery(t *testing.T) {
	s := newSite(t)
	b, other := s.in("anna"), s.in("anna")
	s.put("f", "x")
	token := b.token()
	form := "application/x-www-form-urlencoded"
	for name, header := range map[string][]string{
		"without a token":     {"Content-Type", form},
		"a wrong one":         {"Content-Type", form, "X-Gateway-Token", "AAAA"},
		"of another session":  {"X-Gateway-Token", other.token()},
		"from another site":   {"X-Gateway-Token", token, "Sec-Fetch-Site", "cross-site"},
		"from a sibling":      {"X-Gateway-Token", token, "Sec-Fetch-Site", "same-site"},
		"with another origin": {"X-Gateway-Token", token, "Sec-Fetch-Site", "", "Origin", "https://evil.example"},
		"multipart":           {"Content-Type", "multipart/form-data; boundary=x"},
	} {
		if a := b.send("POST", Prefix+"delete/f", strings.NewReader("name=x"), header...); a.status != http.StatusForbidden {
			t.Errorf("%s: %d", name, a.status)
		}
	}
	if s.content("f") != "x" {
		t.Error("it was done")
	}
	b.send("POST", Prefix+"upload/", strings.NewReader("--x\r\nContent-Disposition: form-data; name=files; filename=up\r\n\r\nx\r\n--x--\r\n"),
		"Content-Type", "multipart/form-data; boundary=x").want(http.StatusForbidden)
	if _, err := os.Stat(filepath.Join(s.dir, "files", "up")); err == nil {
		t.Error("a file of another site was stored")
	}
	b.send("POST", Prefix+"login", strings.NewReader("user=anna&password="+url.QueryEscape(passwordOf("anna"))), "Content-Type", form, "Sec-Fetch-Site", "cross-site").want(http.StatusForbidden)
	b.send("POST", Prefix+"delete/f", nil, "X-Gateway-Token", token).want(http.StatusSeeOther)
	if token == b.token() {
		t.Error("two pages have the same token: it can be found out from the length of what is compressed")
	}
}

// Cookies open nothing but the page, and a password nothing of it.
func TestTwoDoors(t *testing.T) {
	s := newSite(t)
	s.put("f", "x")
	b := s.in("anna")
	token := b.token()
	for _, method := range []string{"PUT", "DELETE", "PROPFIND", "MKCOL", "MOVE", "COPY", "LOCK", "PROPPATCH"} {
		if a := b.send(method, "/f", nil, "X-Gateway-Token", token, "Destination", "/g"); a.status != http.StatusUnauthorized {
			t.Errorf("%s with a cookie: %d", method, a.status)
		}
	}
	b.get("/f", "Accept", "*/*").want(http.StatusUnauthorized)
	if a := s.dav("POST", Prefix+"delete/f", "anna", nil); a.status != http.StatusUnauthorized {
		t.Errorf("a change by password: %d", a.status)
	}
	if s.content("f") != "x" {
		t.Error("the file was changed")
	}
}

// WebDAV clients see no difference.
func TestOtherClients(t *testing.T) {
	s := newSite(t)
	s.put("d/f", "x")
	s.dav("GET", "/d/", "", nil).want(http.StatusUnauthorized)
	if a := s.dav("GET", "/d/", "", nil); a.header.Get("WWW-Authenticate") == "" {
		t.Error("they are not asked for a password")
	}
	s.dav("GET", "/d/", "anna", nil, "Accept", "text/html").want(http.StatusOK).has(`<a href="./f">f</a>`)
	s.dav("GET", "/d/f", "anna", nil, "Accept", "text/html").want(http.StatusOK).has("x")
	s.dav("PROPFIND", "/d/", "anna", nil, "Depth", "1").want(http.StatusMultiStatus)
	s.dav("OPTIONS", "/", "", nil).want(http.StatusOK)
	s.dav("GET", "/d/", "", nil, "Accept", "text/html, image/gif, image/jpeg, *; q=.2, */*; q=.2", "User-Agent", "Java/21.0.1").want(http.StatusUnauthorized)
	for _, path := range []string{"/.gateway", "/.gateway/", "/.gateway/x", "/d/.gateway", "/.GATEWAY/x", "/%2egateway/x"} {
		for _, method := range []string{"PUT", "MKCOL", "PROPFIND", "LOCK"} {
			if a := s.dav(method, path, "anna", nil); a.status != http.StatusBadRequest {
				t.Errorf("%s %s: %d", method, path, a.status)
			}
		}
	}
	s.dav("PUT", "/.gateways", "anna", strings.NewReader("y")).want(http.StatusCreated)
}

// codeAuth asks for a code after the password.
type codeAuth struct {
	*auth.Logins
	used map[string]bool
}

func (c codeAuth) Password(ctx context.Context, from netip.Addr, user, password string) (auth.Identity, error) {
	id, err := c.Logins.Password(ctx, from, user, password)
	id.NeedsCode = true
	return id, err
}

func (c codeAuth) Code(_ context.Context, _ netip.Addr, id auth.Identity, code string) (auth.Identity, error) {
	if !id.NeedsCode || code != "123456" || c.used[code] {
		return auth.Identity{}, auth.ErrCredentials
	}
	c.used[code] = true
	id.NeedsCode, id.By = false, id.By+"+code"
	return id, nil
}

func TestSecondFactor(t *testing.T) {
	var codes codeAuth
	s := newSite(t, func(c *Config) {
		codes = codeAuth{c.Auth.(*auth.Logins), map[string]bool{}}
		c.Auth = codes
	})
	b := s.browser()
	first := func() string {
		t.Helper()
		a := b.post(Prefix+"login", "user", "anna", "password", passwordOf("anna"), "next", "/x").want(http.StatusOK).has("Code from", `value="/x"`)
		_, step, _ := strings.Cut(a.body, `name="half" value="`)
		step, _, _ = strings.Cut(step, `"`)
		return step
	}
	step := first()
	b.get("/").want(http.StatusSeeOther) // half a login is none
	b.post(Prefix+"login", "half", step, "code", "000000").want(http.StatusForbidden).has("code is not right", step)
	for _, forged := range []string{"x", step + "x", "x" + step} {
		b.post(Prefix+"login", "half", forged, "code", "123456").want(http.StatusForbidden).has("Begin again")
	}
	s.later(codeTime)
	b.post(Prefix+"login", "half", step, "code", "123456").want(http.StatusForbidden).has("took too long")
	s.later(-codeTime)
	a := b.post(Prefix+"login", "half", step, "code", "123 456", "next", "/x").want(http.StatusSeeOther)
	if a.header.Get("Location") != "/x" {
		t.Errorf("to %s", a.header.Get("Location"))
	}
	b.get("/").want(http.StatusOK)
	step = first()
	b.post(Prefix+"login", "half", step, "code", "123456").want(http.StatusForbidden) // it is good once
	s.user("anna", auth.Mount{Path: "/new", Permissions: 1})
	b.post(Prefix+"login", "half", step, "code", "123456").want(http.StatusForbidden).has("Begin again")
}

// The gateway's own logins, with the database of used codes.
func TestSecondFactorOfUser(t *testing.T) {
	s := newSite(t)
	s.logins.SetCodes(s.state)
	u, err := s.users.Get(t.Context(), "anna")
	must(t, err)
	var recovery []string
	u.TOTP, recovery = auth.NewTOTP("anna")
	must(t, s.users.Put(t.Context(), u))
	b := s.browser()
	step := func() string {
		t.Helper()
		a := b.post(Prefix+"login", "user", "anna", "password", passwordOf("anna")).want(http.StatusOK)
		_, step, _ := strings.Cut(a.body, `name="half" value="`)
		step, _, _ = strings.Cut(step, `"`)
		return step
	}
	half := step()
	b.post(Prefix+"login", "half", half, "code", "12345x").want(http.StatusForbidden).has("code is not right")
	b.post(Prefix+"login", "half", half, "code", recovery[0]).want(http.StatusSeeOther)
	b.get("/").want(http.StatusOK).has("anna")
	s.later(2 * openEvery) // what is remembered needs no code again
	b.get("/").want(http.StatusOK)
	b.post(Prefix+"login", "half", step(), "code", recovery[0]).want(http.StatusForbidden)
	if a := s.dav("GET", "/", "anna", nil); a.status != http.StatusUnauthorized {
		t.Errorf("without a code over WebDAV: %d", a.status)
	}
}

// A user who may come from some addresses only, or until some time, has no session elsewhere or later.
func TestSessionOfWhere(t *testing.T) {
	s := newSite(t)
	u, err := s.users.Get(t.Context(), "anna")
	must(t, err)
	u.AllowFrom = []string{"192.0.2.0/24"}
	must(t, s.users.Put(t.Context(), u))
	b := s.browser()
	b.post(Prefix+"login", "user", "anna", "password", passwordOf("anna")).want(http.StatusForbidden).has("not right")
	secret := "a session that began elsewhere"
	now := time.Now()
	must(t, s.state.AddSession(t.Context(), state.Session{ID: sessionID(secret), User: "anna", Stamp: u.Stamp(), Created: now, Used: now, Expires: now.Add(time.Hour)}))
	b.get("/", "Cookie", cookieName+"="+secret).want(http.StatusSeeOther)

	u.AllowFrom, u.Expires = nil, now.Add(-time.Minute)
	must(t, s.users.Put(t.Context(), u))
	b.post(Prefix+"login", "user", "anna", "password", passwordOf("anna")).want(http.StatusForbidden)
	if err := s.page.StartSession(httptest.NewRecorder(), &http.Request{RemoteAddr: "127.0.0.1:1", Header: http.Header{}}, "anna", "test"); err == nil {
		t.Error("a user who has expired gets a session")
	}
}

// Others may vouch for a user.
func TestStartSession(t *testing.T) {
	s := newSite(t, func(c *Config) { c.SignIn = []SignIn{{"Sign in with Example", "/.gateway/login/example"}} })
	s.browser().get(Prefix+"login").has("Sign in with Example", `href="/.gateway/login/example?next=%2f"`)
	w := httptest.NewRecorder()
	r, err := http.NewRequest("GET", s.url, nil)
	must(t, err)
	must(t, s.page.StartSession(w, r, "anna", "example"))
	b := s.browser()
	b.get("/", "Cookie", strings.Split(w.Header().Get("Set-Cookie"), ";")[0]).want(http.StatusOK).has("anna")
	if err := s.page.StartSession(w, r, "nobody", "example"); err == nil {
		t.Error("an unknown user is let in")
	}
}

func TestSessionBound(t *testing.T) {
	s := newSite(t)
	first := s.in("anna")
	now := time.Now().Add(time.Second)
	for i := range state.MaxSessions {
		must(t, s.state.AddSession(t.Context(), state.Session{ID: strings.Repeat("x", i+1), User: "anna", Created: now, Used: now, Expires: now.Add(time.Hour)}))
	}
	s.later(believed)
	first.get("/").want(http.StatusSeeOther)
}
