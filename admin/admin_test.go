package admin

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"gateway/auth"
	"gateway/state/sqlite"
)

func TestLogin(t *testing.T) {
	l := newLab(t, nil)
	a := l.want(l.do("GET", "/jobs?x=1", ""), http.StatusSeeOther)
	if got := a.Header.Get("Location"); got != "/login?to=%2Fjobs%3Fx%3D1" {
		t.Errorf("sent to %q", got)
	}
	l.want(l.do("GET", "/login", ""), http.StatusOK)
	a = l.want(l.form("/login", url.Values{"name": {"anna"}, "password": {"wrong"}}), http.StatusForbidden)
	if len(a.Cookies()) > 0 || !strings.Contains(a.body, `role="alert"`) {
		t.Errorf("a wrong password: cookies %v\n%s", a.Cookies(), a.body)
	}
	if act := l.lastAct(); act.What != "login" || act.Err == nil || act.By != "anna" || act.Address != "127.0.0.1" {
		t.Errorf("told %+v", act)
	}
	a = l.want(l.form("/login", url.Values{"name": {"anna"}, "password": {password}, "to": {"/jobs"}}), http.StatusSeeOther)
	if got := a.Header.Get("Location"); got != "/jobs" {
		t.Errorf("sent to %q", got)
	}
	c := a.Header.Get("Set-Cookie")
	for _, part := range []string{"__Host-", "HttpOnly", "Secure", "SameSite=Strict", "Path=/"} {
		if !strings.Contains(c, part) || strings.Contains(c, "Domain") {
			t.Errorf("cookie %q lacks %s, or has a domain", c, part)
		}
	}
	l.want(l.do("GET", "/", ""), http.StatusOK)
	l.want(l.do("GET", "/login", ""), http.StatusSeeOther)
	l.want(l.form("/logout", url.Values{"csrf": {l.csrf()}}), http.StatusSeeOther)
	l.want(l.do("GET", "/", ""), http.StatusSeeOther)
	for range 3 {
		l.form("/login", url.Values{"name": {"nobody"}, "password": {"wrong"}})
	}
	l.want(l.form("/login", url.Values{"name": {"anna"}, "password": {password}}), http.StatusTooManyRequests)
}

func TestSessionEnds(t *testing.T) {
	l := newLab(t, nil)
	now := time.Now()
	l.srv.sessions.now = func() time.Time { return now }
	ended := func(why string) {
		t.Helper()
		if a := l.do("GET", "/", ""); a.StatusCode != http.StatusSeeOther {
			t.Errorf("%s: the session goes on: %s", why, a.Status)
		}
	}
	l.logIn()
	now = now.Add(loginIdle - time.Minute)
	l.want(l.do("GET", "/", "", "X-Refresh", "1"), http.StatusOK) // by the script, which keeps nothing alive
	now = now.Add(2 * time.Minute)
	ended("nobody was there")
	l.logIn()
	for range int(loginLongest/loginIdle)*2 + 1 {
		now = now.Add(loginIdle / 2)
		l.do("GET", "/", "")
	}
	ended("it is too old")
	l.logIn()
	u, err := l.users.Get(t.Context(), "anna")
	if err == nil {
		u.PasswordHash, err = auth.HashPassword("another one")
	}
	if err == nil {
		err = l.users.Put(t.Context(), u)
	}
	if err != nil {
		t.Fatal(err)
	}
	ended("the password was changed")
}

func TestSessionsAreBounded(t *testing.T) {
	l := newLoginSessions(time.Now, func(auth.Identity) bool { return true })
	first := l.begin(auth.Identity{})
	for range maxLogins {
		l.begin(auth.Identity{})
	}
	if n := l.count(); n != maxLogins {
		t.Errorf("%d sessions, want %d", n, maxLogins)
	}
	if l.find(first, true) != nil {
		t.Error("the oldest is still there")
	}
}

func TestForms(t *testing.T) {
	l := newLab(t, nil)
	l.logIn()
	csrf := l.csrf()
	for _, c := range []struct {
		path   string
		values url.Values
		want   string
	}{
		{"/jobs/source-old/run", nil, "run source-old by anna"},
		{"/jobs/source-old/stop", nil, "stop source-old by anna"},
		{"/jobs/push-out/resume", nil, "resume push-out by anna"},
		{"/quarantine/default/abc123/release", url.Values{"reason": {"checked by phone"}}, "release default abc123 by anna: checked by phone"},
		{"/quarantine/default/abc123/reject", url.Values{"reason": {"spam"}}, "reject default abc123 by anna: spam"},
		{"/quarantine/default/abc123/release", url.Values{"reason": {" "}}, ""},
		{"/sessions/ssh-1/close", nil, "close ssh-1"},
		{"/bans", url.Values{"network": {"192.0.2.7"}, "minutes": {"60"}}, "ban 192.0.2.7 1h0m0s"},
		{"/bans", url.Values{"network": {"192.0.2.7"}, "minutes": {"-1"}}, ""},
		{"/bans", url.Values{"network": {"192.0.2.7"}, "minutes": {"many"}}, ""},
		{"/bans/lift", url.Values{"network": {"2001:db8::/64"}}, "lift 2001:db8::/64"},
		{"/users/anna/disable", nil, "disable anna true"},
		{"/users/anna/enable", nil, "disable anna false"},
	} {
		l.want(l.form(c.path, c.values), http.StatusForbidden)
		l.want(l.form(c.path, with(c.values, "csrf", "wrong")), http.StatusForbidden)
		good := with(c.values, "csrf", csrf)
		l.want(l.form(c.path, good, "Sec-Fetch-Site", "cross-site"), http.StatusForbidden)
		l.want(l.form(c.path, good, "Origin", "https://evil.example"), http.StatusForbidden)
		if did := l.parts.take(); did != "" {
			t.Fatalf("%s without a good token did: %s", c.path, did)
		}
		l.want(l.form(c.path, good), http.StatusSeeOther)
		if did := l.parts.take(); did != c.want {
			t.Errorf("%s did %q, want %q", c.path, did, c.want)
		}
		if act := l.lastAct(); act.By != "anna" || (act.Err == nil) != (c.want != "") || act.What == "" || act.Object == "" {
			t.Errorf("%s told %+v", c.path, act)
		}
	}
}

func with(v url.Values, key, value string) url.Values {
	out := url.Values{key: {value}}
	for k, all := range v {
		out[k] = all
	}
	return out
}

// TestSaid: what became of an act is shown once, and not to the script.
func TestSaid(t *testing.T) {
	l := newLab(t, nil)
	l.logIn()
	l.parts.fail = fmt.Errorf("%w: it was proved bad <b>", ErrConflict)
	l.form("/quarantine/default/bad/release", url.Values{"csrf": {l.csrf()}, "reason": {"x"}})
	if a := l.do("GET", "/quarantine", "", "X-Refresh", "1"); strings.Contains(a.body, "proved bad") {
		t.Error("the script took it")
	}
	if a := l.do("GET", "/quarantine/default/bad", ""); !strings.Contains(a.body, `role="alert">Not done: not as things stand: it was proved bad &lt;b&gt;`) {
		t.Errorf("it is not said:\n%s", a.body)
	}
	if a := l.do("GET", "/quarantine", ""); strings.Contains(a.body, `role="alert"`) {
		t.Error("it is said twice")
	}
}

var (
	inline   = regexp.MustCompile(`(?i)<style|<script(?:>| [^>]*>[^<])|\sstyle=|\son[a-z]+=|javascript:`)
	controls = regexp.MustCompile("[\x00-\x08\x0b-\x1f\u202a-\u202e\u2066-\u2069]")
)

// TestPages: each page renders, with names that an attacker chose, and keeps to the policy.
func TestPages(t *testing.T) {
	l := newLab(t, nil)
	l.logIn()
	for _, path := range []string{
		"/", "/jobs", "/jobs/source-old", "/jobs/push-out", "/jobs/job-7", "/quarantine", "/quarantine/default/abc123", "/quarantine/default/bad",
		"/sessions", "/bans", "/storage", "/users", "/certificates", "/log", "/tokens",
	} {
		a := l.want(l.do("GET", path, ""), http.StatusOK)
		if strings.Contains(a.body, "<script>alert") || inline.MatchString(a.body) || controls.MatchString(a.body) {
			t.Errorf("%s: what is hostile, or against the policy, is in it: %q", path, inline.FindString(a.body)+controls.FindString(a.body))
		}
		if csp := a.Header.Get("Content-Security-Policy"); !strings.Contains(csp, "default-src 'none'") || strings.Contains(csp, "unsafe") {
			t.Errorf("%s: policy %q", path, csp)
		}
		if a.Header.Get("Cache-Control") != "no-store" {
			t.Errorf("%s may be cached", path)
		}
		if strings.Count(a.body, "<h1>") != 1 || !strings.Contains(a.body, `lang="en"`) {
			t.Errorf("%s: not one heading, or no language", path)
		}
	}
	for _, path := range []string{"/jobs/none", "/quarantine/default/none", "/quarantine/none/abc123", "/nowhere", "/static/layout.html", "/static/..%2ftemplates%2flayout.html"} {
		l.want(l.do("GET", path, ""), http.StatusNotFound)
	}
	for _, file := range []string{"admin.css", "admin.js", "icon.svg"} {
		l.want(l.do("GET", "/static/"+file, ""), http.StatusOK)
	}
}

func TestTokens(t *testing.T) {
	l := newLab(t, nil)
	ctx := t.Context()
	full, reader := l.token(Token{Name: "deploy"}, 0), l.token(Token{Name: "mon", ReadOnly: true}, time.Hour)
	l.want(l.do("GET", "/api/v1/jobs", "", reader...), http.StatusOK)
	l.want(l.do("POST", "/api/v1/jobs/source-old/run", "", reader...), http.StatusForbidden)
	l.want(l.do("GET", "/", "", full...), http.StatusForbidden)
	l.want(l.do("POST", "/api/v1/jobs/source-old/run", "", full...), http.StatusNoContent)
	if did := l.parts.take(); did != "run source-old by token deploy" {
		t.Errorf("did %q", did)
	}
	for _, bad := range []Token{{Name: "deploy"}, {Name: "Über"}, {Name: "../x"}, {Name: ""}} {
		if _, err := l.tokens.Create(ctx, bad, 0); err == nil {
			t.Errorf("token %q was made", bad.Name)
		}
	}
	l.tokens.now = func() time.Time { return time.Now().Add(2 * time.Hour) }
	for range 5 { // who goes on with a token that has ended is not banned
		l.want(l.do("GET", "/api/v1/jobs", "", reader...), http.StatusUnauthorized)
	}
	if err := l.tokens.Revoke("deploy"); err != nil {
		t.Fatal(err)
	}
	if err := l.tokens.Revoke("none"); !errors.Is(err, ErrNotFound) {
		t.Errorf("revoke of nothing: %v", err)
	}
	l.want(l.do("GET", "/api/v1/jobs", "", full...), http.StatusUnauthorized)
	list, err := l.tokens.List(ctx)
	if err != nil || len(list) != 2 || list[0].Name != "deploy" || list[0].Revoked.IsZero() || !list[1].ReadOnly {
		t.Errorf("list %+v, %v", list, err)
	}
	if err := os.WriteFile(l.tokens.file("torn"), []byte("sha256: [torn"), 0o600); err != nil {
		t.Fatal(err)
	}
	if list, err := l.tokens.List(ctx); err == nil || len(list) != 2 {
		t.Errorf("beside a file that cannot be read: list %+v, %v", list, err)
	}
	if _, err := l.tokens.Create(ctx, Token{Name: "another"}, 0); err != nil {
		t.Errorf("beside a file that cannot be read: %v", err)
	}
	again := l.token(Token{Name: "deploy"}, 0) // a revoked name may be used again
	l.want(l.do("GET", "/api/v1/jobs", "", again...), http.StatusOK)
	for _, guess := range []string{"x", "gwadm_deploy_GUESS", "gwadm_none_GUESS"} {
		l.want(l.do("GET", "/api/v1/jobs", "", "Authorization", "Bearer "+guess), http.StatusUnauthorized)
	}
	// The address is banned by now, and a program is not told that its token is bad.
	if a := l.want(l.do("GET", "/api/v1/jobs", "", again...), http.StatusTooManyRequests); !strings.Contains(a.body, "ban") {
		t.Errorf("banned: %s", a.body)
	}
	var told int
	for _, a := range l.acts {
		if a.What == "login" && a.By == "token" && errors.Is(a.Err, ErrToken) {
			told++
		}
	}
	if told != 3 {
		t.Errorf("the audit was told of %d guesses, want 3", told)
	}
}

func TestReady(t *testing.T) {
	l := newLab(t, func(c *Config) {
		c.Ready = append(c.Ready, Check{Name: "storage s3", Test: func(context.Context) error { return errors.New("secret place") }})
	})
	a := l.want(l.do("GET", "/readyz", ""), http.StatusServiceUnavailable)
	if strings.Contains(a.body, "secret place") || !strings.Contains(a.body, "storage s3") {
		t.Errorf("to nobody in particular: %s", a.body)
	}
	if a = l.do("GET", "/readyz", "", l.token(Token{Name: "mon", ReadOnly: true}, 0)...); !strings.Contains(a.body, "secret place") {
		t.Errorf("to an operator: %s", a.body)
	}
	l.want(l.do("GET", "/healthz", ""), http.StatusOK)
}

// TestReadyWaitsForNobody: a check that hangs and heeds no context.
func TestReadyWaitsForNobody(t *testing.T) {
	hung, began := make(chan struct{}), 0
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	c := &onlyOnce{Check: Check{Test: func(context.Context) error { began++; <-hung; return nil }}}
	if err := c.within(ctx); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	for range 3 {
		if err := c.within(ctx); err == nil || errors.Is(err, context.Canceled) {
			t.Errorf("it is asked again while it hangs: %v", err)
		}
	}
	close(hung)
	for end := time.Now().Add(time.Minute); c.within(t.Context()) != nil; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("it is never asked again")
		}
	}
	if began != 2 {
		t.Errorf("it was asked %d times, want 2", began)
	}
}

func TestBodies(t *testing.T) {
	l := newLab(t, nil)
	token := l.token(Token{Name: "x"}, 0)
	for body, status := range map[string]int{
		`{"reason": "ok"}`:         http.StatusNoContent,
		`{"reason": ""}`:           http.StatusBadRequest,
		``:                         http.StatusBadRequest,
		`{"reason": "ok"} {}`:      http.StatusBadRequest,
		`{"reason": "ok", "x": 1}`: http.StatusBadRequest,
		`{"reason": "` + strings.Repeat("x", maxReason+1) + `"}`: http.StatusBadRequest,
		`{"reason": "` + strings.Repeat("x", maxBody) + `"}`:     http.StatusRequestEntityTooLarge,
	} {
		a := l.do("POST", "/api/v1/quarantine/default/abc123/release", body, token...)
		if a.StatusCode != status {
			t.Errorf("%.40s: %s, want %d: %s", body, a.Status, status, a.body)
		}
		var p Problem
		if status != http.StatusNoContent && (json.Unmarshal([]byte(a.body), &p) != nil || p.Status != status || p.Detail == "") {
			t.Errorf("%.40s: problem %q", body, a.body)
		}
	}
}

func TestPprof(t *testing.T) {
	off := newLab(t, nil)
	off.want(off.do("GET", "/debug/pprof/", "", off.token(Token{Name: "x"}, 0)...), http.StatusNotFound)
	on := newLab(t, func(c *Config) { c.Pprof = true })
	on.want(on.do("GET", "/debug/pprof/", ""), http.StatusUnauthorized)
	on.want(on.do("GET", "/debug/pprof/goroutine", "", on.token(Token{Name: "mon", ReadOnly: true}, 0)...), http.StatusForbidden)
	on.want(on.do("GET", "/debug/pprof/goroutine?debug=1", "", on.token(Token{Name: "x"}, 0)...), http.StatusOK)
}

func TestLocalPath(t *testing.T) {
	for to, want := range map[string]string{
		"": "/", "/jobs?x=1": "/jobs?x=1", "//evil.example": "/", "https://evil.example": "/", "/\\evil.example": "/", "jobs": "/",
		"javascript:alert(1)": "/", "/a\r\nX: y": "/", "/%zz": "/",
	} {
		if got := localPath(to); got != want {
			t.Errorf("%q: %q, want %q", to, got, want)
		}
	}
}

// TestSecondFactor: an administrator with a second factor gives a code with the password; a code is good once.
func TestSecondFactor(t *testing.T) {
	db, err := sqlite.Open(t.Context(), t.TempDir()+"/state.db")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	l := newLab(t, func(c *Config) { c.Auth.(*auth.Logins).SetCodes(db) })
	u, err := l.users.Get(t.Context(), "anna")
	if err != nil {
		t.Fatal(err)
	}
	var recovery []string
	u.TOTP, recovery = auth.NewTOTP("anna")
	if err := l.users.Put(t.Context(), u); err != nil {
		t.Fatal(err)
	}
	try := func(code string, want int) {
		t.Helper()
		l.want(l.form("/login", url.Values{"name": {"anna"}, "password": {password}, "code": {code}}), want)
		l.client.Jar, _ = cookiejar.New(nil)
	}
	try("", http.StatusForbidden)
	try(recovery[0], http.StatusSeeOther)
	try(recovery[0], http.StatusForbidden)
	try(recovery[1], http.StatusSeeOther)
}

// FuzzLocalPath: whatever a link to the login says, it leads to a place of this site.
func FuzzLocalPath(f *testing.F) {
	for _, s := range []string{"/jobs?x=1", "//evil.example", "/\\evil.example", "https://evil.example", "/\t/evil.example", "/..//evil.example"} {
		f.Add(s)
	}
	base, err := url.Parse("https://gateway.example:9443/login")
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, s string) {
		got := localPath(s)
		u, err := base.Parse(got)
		if err != nil || u.Host != base.Host || u.Scheme != "https" || !strings.HasPrefix(got, "/") || strings.HasPrefix(got, "//") {
			t.Errorf("%q leads to %v, %v", s, u, err)
		}
	})
}

// FuzzToken: no text but the token itself is taken.
func FuzzToken(f *testing.F) {
	tokens, err := OpenTokens(f.TempDir())
	if err != nil {
		f.Fatal(err)
	}
	secret, err := tokens.Create(f.Context(), Token{Name: "x"}, 0)
	if err != nil {
		f.Fatal(err)
	}
	for _, s := range []string{secret + "A", "gwadm_x_", "gwadm_../x_y", "gwadm_x", "", secret[:len(secret)-1]} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		_, known, err := tokens.Check(s)
		if (err == nil || known) != (s == secret) {
			t.Errorf("%q: %v, %v", s, known, err)
		}
	})
}
