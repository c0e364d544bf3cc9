package oidc

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"
)

const (
	testClient   = "gateway"
	testSecret   = "the client's secret, long enough for a key of HS256"
	testRedirect = "https://files.example.org/.gateway/oidc/test/callback"
)

func newProvider(t *testing.T, h *hostile, change ...func(*Config)) *Provider {
	t.Helper()
	c := Config{
		Name: "test", Issuer: h.URL, ClientID: testClient, ClientSecret: testSecret, RedirectURL: testRedirect,
		UserClaim: "preferred_username", Scopes: []string{"profile"}, Client: h.Client(),
	}
	for _, f := range change {
		f(&c)
	}
	p, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// browser keeps the cookie of a login.
type browser struct {
	t        *testing.T
	cookies  []*http.Cookie
	location string // where it was sent
}

// begin begins a login. The browser's cookies are as strict as they can be.
func begin(t *testing.T, p *Provider, next string) *browser {
	t.Helper()
	w := httptest.NewRecorder()
	if err := p.Begin(w, httptest.NewRequest(http.MethodGet, "/", nil), next); err != nil {
		t.Fatal(err)
	}
	r := w.Result()
	b := &browser{t: t, cookies: r.Cookies(), location: r.Header.Get("Location")}
	if len(b.cookies) != 1 || r.StatusCode != http.StatusSeeOther {
		t.Fatalf("status %d, cookies %v", r.StatusCode, b.cookies)
	}
	c := b.cookies[0]
	if !strings.HasPrefix(c.Name, "__Host-") || !c.Secure || !c.HttpOnly || c.Path != "/" || c.Domain != "" || c.SameSite != http.SameSiteLaxMode {
		t.Errorf("cookie %+v", c)
	}
	if strings.Contains(b.location, c.Value) {
		t.Error("what binds the login to the browser is sent along")
	}
	return b
}

// back is the request with which the browser comes back.
func (b *browser) back(change func(url.Values), code string) *http.Request {
	u, err := url.Parse(b.location)
	if err != nil {
		b.t.Fatal(err)
	}
	q := url.Values{"state": {u.Query().Get("state")}, "code": {code}}
	if change != nil {
		change(q)
	}
	r := httptest.NewRequest(http.MethodGet, testRedirect+"?"+q.Encode(), nil)
	for _, c := range b.cookies {
		r.AddCookie(c)
	}
	return r
}

func finish(p *Provider, r *http.Request) (user, next string, err error) {
	w := httptest.NewRecorder()
	return p.Finish(w, r)
}

func TestLogin(t *testing.T) {
	h := newHostile(t)
	p := newProvider(t, h)
	b := begin(t, p, "/folder?a=1")
	r := b.back(nil, h.login(b.location))
	w := httptest.NewRecorder()
	user, next, err := p.Finish(w, r)
	if err != nil || user != "anna" || next != "/folder?a=1" {
		t.Errorf("%q, %q, %v", user, next, err)
	}
	if c := w.Result().Cookies(); len(c) != 1 || c[0].MaxAge >= 0 || c[0].Name != cookieName {
		t.Errorf("the login's cookie stays: %v", c)
	}
	// The same once more, as from a browser that does not forget, also with a new code.
	for _, code := range []string{"", h.login(b.location)} {
		r := r
		if code != "" {
			r = b.back(nil, code)
		}
		if _, _, err := finish(p, r); !errors.Is(err, ErrRefused) || !strings.Contains(err.Error(), "finished before") {
			t.Errorf("once more: %v", err)
		}
	}
	// On another node, which does not know that it was finished, the provider refuses the code.
	if _, _, err := finish(newProvider(t, h), r); !errors.Is(err, ErrRefused) || !strings.Contains(err.Error(), "does not take the code") {
		t.Errorf("on another node: %v", err)
	}
	if b := begin(t, p, "/"+strings.Repeat("<", 3000)); len(b.cookies[0].Value) > maxCookie {
		t.Errorf("a cookie of %d bytes", len(b.cookies[0].Value))
	}
}

// What browsers bring that nobody sent them with.
func TestBrowserAttacks(t *testing.T) {
	h := newHostile(t)
	p := newProvider(t, h)
	for name, attack := range map[string]func(mine, other *browser) *http.Request{
		"no cookie":        func(b, _ *browser) *http.Request { b.cookies = nil; return b.back(nil, h.login(b.location)) },
		"another's cookie": func(b, o *browser) *http.Request { b.cookies = o.cookies; return b.back(nil, h.login(b.location)) },
		"another's state":  func(b, o *browser) *http.Request { b.location = o.location; return b.back(nil, h.login(b.location)) },
		"another's code":   func(b, o *browser) *http.Request { return b.back(nil, h.login(o.location)) }, // PKCE
		"no state":         func(b, _ *browser) *http.Request { return b.back(func(q url.Values) { q.Del("state") }, "x") },
		"two states":       func(b, _ *browser) *http.Request { return b.back(func(q url.Values) { q.Add("state", "x") }, "x") },
		"no code":          func(b, _ *browser) *http.Request { return b.back(func(q url.Values) { q.Del("code") }, "x") },
		"a made-up code":   func(b, _ *browser) *http.Request { return b.back(nil, "x") },
		"a long code":      func(b, _ *browser) *http.Request { return b.back(nil, strings.Repeat("x", maxParameter+1)) },
		"another provider": func(b, _ *browser) *http.Request {
			return b.back(func(q url.Values) { q.Set("iss", "https://evil.example") }, h.login(b.location))
		},
		"a cookie of nothing": func(b, _ *browser) *http.Request { b.cookies[0].Value = "e30"; return b.back(nil, h.login(b.location)) },
		"a cookie of noise":   func(b, _ *browser) *http.Request { b.cookies[0].Value = "!"; return b.back(nil, h.login(b.location)) },
		"of another name": func(b, _ *browser) *http.Request {
			b.cookies = begin(t, newProvider(t, h, func(c *Config) { c.Name = "other" }), "").cookies
			return b.back(nil, h.login(b.location))
		},
	} {
		t.Run(name, func(t *testing.T) {
			user, _, err := finish(p, attack(begin(t, p, ""), begin(t, p, "")))
			if !errors.Is(err, ErrRefused) || user != "" {
				t.Errorf("%q, %v", user, err)
			}
		})
	}
	b := begin(t, p, "")
	p.now = func() time.Time { return time.Now().Add(loginTime + time.Second) }
	if _, _, err := finish(p, b.back(nil, h.login(b.location))); !errors.Is(err, ErrRefused) || !strings.Contains(err.Error(), "ago") {
		t.Errorf("too late: %v", err)
	}
	p.now = time.Now
	b = begin(t, p, "")
	if _, _, err := finish(p, b.back(func(q url.Values) { q.Del("code"); q.Set("error", "access_denied") }, "")); !errors.Is(err, ErrCancelled) {
		t.Errorf("ended at the provider: %v", err)
	}
}

// What somebody says who is, or speaks for, the provider.
func TestProviderAttacks(t *testing.T) {
	stranger, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	with := func(name string, value any) func(*hostile) {
		return func(h *hostile) { h.claims = func(c map[string]any) { c[name] = value } }
	}
	for name, test := range map[string]struct {
		spoil func(*hostile)
		says  string
	}{
		"wrong issuer":        {with("iss", "https://evil.example"), "different provider"},
		"another audience":    {with("aud", "another"), "audience"},
		"another party":       {with("azp", "another"), "another client"},
		"two audiences":       {with("aud", []string{testClient, "another"}), "another client"},
		"expired":             {with("exp", time.Now().Add(-time.Hour).Unix()), "expired"},
		"not yet":             {with("nbf", time.Now().Add(time.Hour).Unix()), "before"},
		"nonce of another":    {with("nonce", "x"), "nonce"},
		"no nonce":            {with("nonce", ""), "nonce"},
		"access token":        {with("at_hash", "AAAAAAAAAAAAAAAAAAAAAA"), "access token"},
		"no user":             {with("preferred_username", ""), "no claim preferred_username"},
		"a user of no text":   {with("preferred_username", map[string]any{"a": "b"}), "no claim preferred_username"},
		"unsigned":            {func(h *hostile) { h.sign = unsigned }, "ID token"},
		"a stranger's key":    {func(h *hostile) { h.sign = signed("ES256", stranger) }, "signature"},
		"the client's secret": {func(h *hostile) { h.sign = signed("HS256", []byte(testSecret)) }, "ID token"},
		"the public key as a secret": {func(h *hostile) {
			der, err := x509.MarshalPKIXPublicKey(h.key.Public())
			if err != nil {
				t.Fatal(err)
			}
			h.sign = signed("HS256", pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))
		}, "ID token"},
		"nothing signed": {func(h *hostile) { h.sign = func(*hostile, []byte) string { return "" } }, "no ID token"},
		"noise":          {func(h *hostile) { h.sign = func(*hostile, []byte) string { return "a.b.c" } }, "ID token"},
		"claims of no JSON": {func(h *hostile) {
			h.sign = func(h *hostile, _ []byte) string { return signed("ES256", h.key)(h, []byte("[]")) }
		}, "ID token"},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHostile(t)
			test.spoil(h)
			p := newProvider(t, h)
			b := begin(t, p, "")
			user, _, err := finish(p, b.back(nil, h.login(b.location)))
			if !errors.Is(err, ErrRefused) || user != "" || !strings.Contains(err.Error(), test.says) {
				t.Errorf("%q, %v; want %q", user, err, test.says)
			}
		})
	}
}

// A provider that is not well.
func TestProviderUnavailable(t *testing.T) {
	for name, token := range map[string]func(http.ResponseWriter) bool{
		"fails":    func(w http.ResponseWriter) bool { w.WriteHeader(http.StatusBadGateway); return true },
		"too long": func(w http.ResponseWriter) bool { _, _ = w.Write(bytes.Repeat([]byte(" "), maxAnswer+1)); return true },
		"page":     func(w http.ResponseWriter) bool { _, _ = w.Write([]byte("<html>sorry")); return true },
		"sent away": func(w http.ResponseWriter) bool {
			w.Header().Set("Location", "http://evil.example/")
			w.WriteHeader(http.StatusTemporaryRedirect)
			return true
		},
	} {
		h := newHostile(t)
		h.token = token
		p := newProvider(t, h)
		b := begin(t, p, "")
		if _, _, err := finish(p, b.back(nil, h.login(b.location))); !errors.Is(err, ErrUnavailable) || len(err.Error()) > 500 {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, spoil := range map[string]func(map[string]any){
		"issuer":        func(d map[string]any) { d["issuer"] = "https://evil.example" },
		"auth in clear": func(d map[string]any) { d["authorization_endpoint"] = "http://login.example/auth" },
		"token by file": func(d map[string]any) { d["token_endpoint"] = "file:///etc/passwd" },
		"nothing":       func(d map[string]any) { clear(d) },
	} {
		h := newHostile(t)
		h.discovery = spoil
		if err := newProvider(t, h).Discover(t.Context()); !errors.Is(err, ErrUnavailable) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// One that is down at the start is asked again, and not by every browser; one that goes down later is still known.
func TestProviderDown(t *testing.T) {
	h := newHostile(t)
	h.down = true
	p := newProvider(t, h)
	now := time.Now()
	p.now = func() time.Time { return now }
	for range 3 {
		w := httptest.NewRecorder()
		if err := p.Begin(w, httptest.NewRequest(http.MethodGet, "/", nil), ""); !errors.Is(err, ErrUnavailable) || w.Header().Get("Location") != "" {
			t.Errorf("down: %v", err)
		}
	}
	if h.asked != 1 {
		t.Errorf("asked %d times", h.asked)
	}
	h.down = false
	now = now.Add(retryEvery)
	if err := p.Discover(t.Context()); err != nil {
		t.Error(err)
	}
	h.down = true
	now = now.Add(refreshEvery)
	if err := p.Discover(t.Context()); err != nil || h.asked != 3 {
		t.Errorf("what was known is forgotten: %v, asked %d times", err, h.asked)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	h.down = false
	now = now.Add(retryEvery)
	if err := p.Discover(ended); err != nil || h.asked != 4 {
		t.Errorf("a browser that is gone ends the question: %v, asked %d times", err, h.asked)
	}
}

func TestUserOf(t *testing.T) {
	mail := func(address string, verified any) claims { return claims{"email": address, "email_verified": verified} }
	byMail := Config{Name: "x", UserClaim: "email"}
	acme := Config{Name: "x", UserClaim: "email", AllowedDomains: []string{"acme.example"}, StripDomain: true}
	groups := Config{Name: "x", UserClaim: "sub", GroupsClaim: "groups", AllowedGroups: []string{"files", "staff"}}
	for _, test := range []struct {
		config Config
		from   claims
		want   string
	}{
		{byMail, mail("Anna@Acme.example", true), "anna@acme.example"},
		{byMail, mail("anna@acme.example", "true"), "anna@acme.example"},
		{byMail, mail("anna@acme.example", false), ""},
		{byMail, mail("anna@acme.example", nil), ""},
		{byMail, mail("anna@acme.example", 1.0), ""},
		{byMail, mail("anna", true), ""},
		{byMail, mail("@acme.example", true), ""},
		{acme, mail("anna@acme.example", true), "anna"},
		{acme, mail("anna@evil.example", true), ""},
		{acme, mail("anna@acme.example.evil.example", true), ""},
		{acme, mail(`"anna@acme.example"@evil.example`, true), ""},
		{acme, mail("root@evil.example@acme.example", true), ""},
		{groups, claims{"sub": "1", "groups": []any{"other", "staff"}}, "1"},
		{groups, claims{"sub": "1", "groups": "files"}, "1"},
		{groups, claims{"sub": "1", "groups": []any{"file", 7.0}}, ""},
		{groups, claims{"sub": "1"}, ""},
	} {
		user, err := test.config.userOf(test.from)
		if user != test.want || (err == nil) != (test.want != "") || err != nil && !errors.Is(err, ErrRefused) {
			t.Errorf("%v of %+v is %q, %v; want %q", test.from, test.config, user, err, test.want)
		}
	}
}

// What the ID token lacks is asked for, of the same subject.
func TestUserinfo(t *testing.T) {
	for subject, want := range map[string]string{"1": "bert", "2": "", "": ""} {
		h := newHostile(t)
		h.claims = func(c map[string]any) { delete(c, "preferred_username") }
		h.userinfo = map[string]any{"sub": subject, "preferred_username": "bert"}
		p := newProvider(t, h)
		b := begin(t, p, "")
		user, _, err := finish(p, b.back(nil, h.login(b.location)))
		if user != want || (err == nil) != (want != "") {
			t.Errorf("subject %q: %q, %v", subject, user, err)
		}
	}
}

func TestConfig(t *testing.T) {
	good := Config{Name: "x", Issuer: "https://login.example", ClientID: "c", RedirectURL: testRedirect, UserClaim: "email"}
	for name, spoil := range map[string]func(*Config){
		"issuer":        func(c *Config) { c.Issuer = "http://login.example" },
		"redirect URL":  func(c *Config) { c.RedirectURL = "files.example.org" },
		"user claim":    func(c *Config) { c.UserClaim = "" },
		"exactly one":   func(c *Config) { c.StripDomain = true; c.AllowedDomains = []string{"a", "b"} },
		"mail address":  func(c *Config) { c.UserClaim = "sub"; c.AllowedDomains = []string{"a"} },
		"groups claim":  func(c *Config) { c.AllowedGroups = []string{"a"} },
		"user:password": func(c *Config) { c.Issuer = "https://user:password@login.example" },
	} {
		c := good
		spoil(&c)
		if _, err := New(c); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
	}
	good.Issuer = "http://127.0.0.1:5556/dex"
	if _, err := New(good); err != nil {
		t.Errorf("a provider on this machine: %v", err)
	}
}

func TestFinishedBound(t *testing.T) {
	f, now := newFinished(), time.Now()
	for range maxRemembered + 10 {
		if !f.first(rand.Text(), now) {
			t.Fatal("seen before")
		}
	}
	if len(f.seen) != maxRemembered {
		t.Errorf("%d are remembered", len(f.seen))
	}
	f.first("late", now.Add(2*loginTime))
	if len(f.seen) != 1 {
		t.Errorf("%d are remembered when all are over", len(f.seen))
	}
}

// FuzzFinish brings anything to a gateway; nobody is logged in by it.
func FuzzFinish(f *testing.F) {
	f.Add("state=x&code=y", "e30")
	f.Add("error=a&state=", "eyJzIjoiQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUEiLCJiIjoxfQ")
	f.Fuzz(func(t *testing.T, query, cookie string) {
		p, err := New(Config{Name: "x", Issuer: "https://login.invalid", ClientID: "c", RedirectURL: testRedirect, UserClaim: "sub",
			Client: &http.Client{Transport: nobody{}}})
		if err != nil {
			t.Fatal(err)
		}
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.URL.RawQuery = query
		r.Header.Set("Cookie", cookieName+"="+cookie)
		if user, _, err := finish(p, r); err == nil || user != "" {
			t.Errorf("logged in as %q", user)
		}
	})
}

// nobody answers.
type nobody struct{}

func (nobody) RoundTrip(*http.Request) (*http.Response, error) {
	return nil, errors.New("nobody is there")
}
