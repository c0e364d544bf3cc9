package webdav

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"testing"
	"time"

	"gateway/auth"
)

// certified is an Authenticator that knows the user alice by a certificate.
type certified struct {
	*fakeAuth
	asked int
	fails int  // counted against the address
	coded bool // a code is needed besides
	told  map[string]int
}

// Told implements auth.Watcher.
func (c *certified) Told(_ context.Context, e auth.LoginEvent) {
	result := "ok "
	if e.Kind == auth.LoginRefused {
		result = "refused "
	}
	c.told[result+e.User+" "+e.By]++
}

func (c *certified) Failed(netip.Addr) { c.fails++ }

func (c *certified) PasswordToo(ctx context.Context, from netip.Addr, id auth.Identity, password string) (auth.Identity, error) {
	return c.Password(ctx, from, id.User.Name, password)
}

func (c *certified) ClientCertificate(_ context.Context, _ netip.Addr, user string) (auth.Identity, error) {
	c.asked++
	if user != "alice" {
		return auth.Identity{}, auth.ErrCredentials
	}
	return auth.Identity{User: auth.User{Name: user}, By: auth.ByClientCertificate, NeedsCode: c.coded}, nil
}

// TestClientCertificate: what a certificate is good for is decided at each request, and remembered as a password is.
func TestClientCertificate(t *testing.T) {
	var c *certified
	s := startWith(t, settings{config: func(o *Config) {
		c = &certified{fakeAuth: o.Auth.(*fakeAuth), told: map[string]int{}}
		o.Auth = c
	}})
	password := ""
	ask := func(cert *x509.Certificate) int {
		r := httptest.NewRequest("PROPFIND", "https://h/", nil)
		r.Header.Set("Depth", "0")
		if password != "" {
			r.SetBasicAuth("alice", password)
		}
		if cert != nil {
			r.TLS = &tls.ConnectionState{VerifiedChains: [][]*x509.Certificate{{cert}}}
		}
		w := httptest.NewRecorder()
		s.handler.ServeHTTP(w, r)
		return w.Code
	}
	named := func(name string, until time.Duration) *x509.Certificate {
		return &x509.Certificate{Raw: []byte(name + until.String()), Subject: pkix.Name{CommonName: name}, NotAfter: time.Now().Add(until)}
	}
	good := named("alice", time.Hour)
	want := func(what string, code, status int) {
		t.Helper()
		if code != status {
			t.Errorf("%s: %d, want %d", what, code, status)
		}
	}
	want("where certificates log nobody in", ask(good), http.StatusUnauthorized)
	cn := func(c *x509.Certificate) string { return c.Subject.CommonName }
	s.handler.SetClients(Clients{User: cn})
	for range 2 {
		want("a certificate", ask(good), http.StatusMultiStatus)
	}
	if c.asked != 1 {
		t.Errorf("it was checked %d times", c.asked)
	}
	want("one that has expired meanwhile", ask(named("alice", -time.Second)), http.StatusUnauthorized)
	want("one of nobody", ask(named("eve", time.Hour)), http.StatusUnauthorized)
	want("one without a name", ask(named("", time.Hour)), http.StatusUnauthorized)
	s.handler.SetClients(Clients{User: cn, Required: true})
	want("a certificate where one is required", ask(good), http.StatusMultiStatus)
	want("none where one is required", ask(nil), http.StatusForbidden)
	want("one that has expired, where one is required", ask(named("alice", -time.Second)), http.StatusForbidden)
	want("one of nobody, where one is required", ask(named("eve", time.Hour)), http.StatusForbidden)

	for event, n := range map[string]int{"ok alice " + auth.ByClientCertificate: 1, "refused eve " + auth.ByClientCertificate: 1} {
		if c.told[event] != n {
			t.Errorf("told of %q %d times, want %d; all: %v", event, c.told[event], n, c.told)
		}
	}

	if c.fails != 1 {
		t.Errorf("%d failures count against the address, want that of eve", c.fails)
	}

	// Who needs a one-time code gives an app password in its place: the Authenticator takes no other.
	c.coded = true
	for given, status := range map[string]int{"": http.StatusUnauthorized, "wrong": http.StatusUnauthorized, "alice": http.StatusMultiStatus} {
		password = given
		want("a code is needed, and "+given+" is given", ask(named("alice", 2*time.Hour)), status)
	}
}

// TestLimitsChange: one more connection is answered as soon as the bounds are raised, and none that is open ends when
// they are lowered.
func TestLimitsChange(t *testing.T) {
	s := startWith(t, settings{config: func(c *Config) { c.MaxConnections = 1 }})
	open := func() net.Conn {
		c, err := new(net.Dialer).DialContext(t.Context(), "tcp", s.addr)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		_ = c.SetDeadline(time.Now().Add(time.Minute))
		return c
	}
	answers := func(c net.Conn) {
		t.Helper()
		if _, err := c.Write([]byte("OPTIONS / HTTP/1.1\r\nHost: h\r\n\r\n")); err != nil {
			t.Fatal(err)
		}
		if n, err := c.Read(make([]byte, 4096)); n == 0 {
			t.Fatalf("no answer: %v", err)
		}
	}
	first := open()
	answers(first)
	second := open()
	s.handler.SetLimits(Limits{MaxConnections: 2})
	answers(second)
	s.handler.SetLimits(Limits{MaxConnections: 1, MaxPerAddress: 1})
	answers(first)
	answers(second)
	s.handler.SetLimits(Limits{MaxConnections: 5, MaxPerAddress: 1})
	third := open()
	if n, err := third.Read(make([]byte, 1)); n > 0 || err == nil {
		t.Error("an address has more connections than it may")
	}
}
