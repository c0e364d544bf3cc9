package oidc

import (
	"errors"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"gateway/tests/servers"
)

var (
	formID     = regexp.MustCompile(`name="id" value="([^"]+)"`)
	formAction = regexp.MustCompile(`action="([^"]+)"`)
)

// TestRealProvider logs in at a provider that passes the OpenID Foundation's tests, as a browser does.
func TestRealProvider(t *testing.T) {
	var p *Provider
	var user, next string
	var failed error
	mux := http.NewServeMux()
	mux.HandleFunc("/begin", func(w http.ResponseWriter, r *http.Request) {
		if err := p.Begin(w, r, "/folder/"); err != nil {
			t.Error(err)
		}
	})
	mux.HandleFunc("/callback", func(w http.ResponseWriter, r *http.Request) { user, next, failed = p.Finish(w, r) })
	gateway := httptest.NewTLSServer(mux)
	defer gateway.Close()
	op := servers.StartOIDC(t, gateway.URL+"/callback",
		servers.OIDCUser{ID: "1", Username: "anna", Password: "correct horse", Email: "Anna@acme.example", EmailVerified: true},
		servers.OIDCUser{ID: "2", Username: "bert", Password: "correct horse", Email: "bert@acme.example"})

	for _, test := range []struct{ claim, login, want string }{
		{"preferred_username", "anna", "anna"},
		{"preferred_username", "bert", "bert"},
		{"email", "anna", "anna@acme.example"},
		{"email", "bert", ""}, // which the provider has not verified
		{"sub", "bert", "2"},
	} {
		var err error
		p, err = New(Config{
			Name: "real", Issuer: op.Issuer, ClientID: op.ClientID, ClientSecret: op.ClientSecret, RedirectURL: gateway.URL + "/callback",
			Scopes: []string{"profile", "email"}, UserClaim: test.claim,
		})
		if err != nil {
			t.Fatal(err)
		}
		user, next, failed = "", "", errors.New("the browser did not come back")
		browse(t, gateway, op, test.login)
		if user != test.want || (failed == nil) != (test.want != "") || failed == nil && next != "/folder/" {
			t.Errorf("%s of %s: %q, %q, %v", test.claim, test.login, user, next, failed)
		}
	}
	p.config.ClientSecret = "wrong"
	browse(t, gateway, op, "anna")
	if !errors.Is(failed, ErrRefused) || !strings.Contains(failed.Error(), "does not take the code") {
		t.Errorf("with a wrong secret of the client: %v", failed)
	}
}

// browse follows the browser from the gateway to the provider's form, fills it in, and follows it back.
func browse(t *testing.T, gateway *httptest.Server, op *servers.OIDC, login string) {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	browser := gateway.Client()
	browser.Jar = jar
	read := func(r *http.Response, err error) string {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		defer r.Body.Close()
		page, err := io.ReadAll(r.Body)
		if err != nil || r.StatusCode != http.StatusOK {
			t.Fatalf("%s: %s (%v)\n%s", r.Request.URL, r.Status, err, page)
		}
		return string(page)
	}
	page := read(browser.Get(gateway.URL + "/begin"))
	id, action := formID.FindStringSubmatch(page), formAction.FindStringSubmatch(page)
	if id == nil || action == nil {
		t.Fatalf("no form:\n%s", page)
	}
	at, err := url.Parse(op.Issuer)
	if err != nil {
		t.Fatal(err)
	}
	read(browser.PostForm(at.JoinPath(action[1]).String(), url.Values{"id": {id[1]}, "username": {login}, "password": {"correct horse"}}))
}
