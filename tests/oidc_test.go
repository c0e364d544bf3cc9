package tests

import (
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"gateway/tests/servers"
)

// surfer is a browser without a screen.
type surfer struct {
	t *testing.T
	*http.Client
}

func newSurfer(t *testing.T) *surfer {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	transport := &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}
	t.Cleanup(transport.CloseIdleConnections)
	return &surfer{t, &http.Client{Transport: transport, Jar: jar, Timeout: time.Minute}}
}

func (s *surfer) do(r *http.Request) (status int, at *url.URL, body string) {
	s.t.Helper()
	r.Header.Set("Accept", "text/html")
	res, err := s.Do(r)
	if err != nil {
		s.t.Fatal(err)
	}
	defer res.Body.Close()
	data, err := io.ReadAll(res.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	return res.StatusCode, res.Request.URL, string(data)
}

func (s *surfer) get(address string) (status int, at *url.URL, body string) {
	s.t.Helper()
	r, err := http.NewRequest(http.MethodGet, address, nil)
	if err != nil {
		s.t.Fatal(err)
	}
	return s.do(r)
}

func (s *surfer) post(address string, form url.Values) (status int, at *url.URL, body string) {
	s.t.Helper()
	r, err := http.NewRequest(http.MethodPost, address, strings.NewReader(form.Encode()))
	if err != nil {
		s.t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	return s.do(r)
}

var (
	providerID     = regexp.MustCompile(`name="id" value="([^"]+)"`)
	providerAction = regexp.MustCompile(`action="([^"]+)"`)
)

// logIn goes to a page of the gateway, from its login to the provider, logs in there, and is where that leads.
func (s *surfer) logIn(page, user string) (status int, at *url.URL, body string) {
	s.t.Helper()
	status, at, body = s.get(page)
	button := regexp.MustCompile(`href="(/\.gateway/oidc/[^"]+)">ACME account<`).FindStringSubmatch(body)
	if status != http.StatusOK || button == nil {
		s.t.Fatalf("no button at %s: %d\n%s", at, status, body)
	}
	ref, err := at.Parse(strings.ReplaceAll(button[1], "&amp;", "&"))
	if err != nil {
		s.t.Fatal(err)
	}
	status, at, body = s.get(ref.String())
	id, action := providerID.FindStringSubmatch(body), providerAction.FindStringSubmatch(body)
	if status != http.StatusOK || id == nil || action == nil {
		s.t.Fatalf("no form of the provider at %s: %d\n%s", at, status, body)
	}
	to, err := at.Parse(action[1])
	if err != nil {
		s.t.Fatal(err)
	}
	return s.post(to.String(), url.Values{"id": {id[1]}, "username": {user}, "password": {"correct horse"}})
}

// TestOIDC logs in to the page at a real provider.
func TestOIDC(t *testing.T) {
	l := newLab(t)
	listen := net.JoinHostPort("127.0.0.1", strconv.Itoa(servers.FreePort(t))) // the provider has to know it
	gateway := "https://" + listen
	var users []servers.OIDCUser
	for i, name := range []string{"anna", "unknown", "disabled", "expired", "keyed", "elsewhere", "../anna", "anna.yaml"} {
		users = append(users, servers.OIDCUser{ID: strconv.Itoa(i), Username: name, Password: "correct horse"})
	}
	op := servers.StartOIDC(t, gateway+"/.gateway/oidc/acme/callback", users...)
	secret := filepath.Join(t.TempDir(), "secret")
	writeFile(t, secret, []byte(op.ClientSecret+"\n"))
	config := filepath.Join(t.TempDir(), "gateway.yaml")
	writeFile(t, config, fmt.Appendf(nil, `sftp:
  listen: 127.0.0.1:0
admin:
  listen: 127.0.0.1:0
https:
  listen: %s
logins:
  failures: 100
oidc:
  acme:
    label: ACME account
    issuer: %s
    client_id: %s
    client_secret_file: %s
    url: %s
  down:
    issuer: http://127.0.0.1:%d
    client_id: gateway
    url: %s
`, listen, op.Issuer, op.ClientID, secret, gateway, servers.FreePort(t), gateway))
	s := &serving{lab: l, user: "anna", password: "correct horse battery", keyFile: newKey(t)}
	l.addUser(s.user, s.password, s.keyFile)
	s.start(config)
	writeFile(t, s.files("folder", "there.txt"), []byte("there"))
	for user, lines := range map[string]string{
		"disabled": "disabled: true\n", "expired": "expires: 2001-01-01\n", "keyed": "require: [publickey]\n", "elsewhere": "allow_from: [192.0.2.0/24]\n",
	} {
		s.as(user)
		s.also(user, lines)
	}
	s.secondFactor(s.user) // which is the provider's business here

	b := newSurfer(t)
	status, at, body := b.logIn(gateway+"/folder/", "anna")
	if status != http.StatusOK || at.Path != "/folder/" || !strings.Contains(body, "there.txt") {
		t.Fatalf("anna is at %s: %d\n%s", at, status, body)
	}
	if status, at, _ := b.get(gateway + "/folder/"); status != http.StatusOK || at.Path != "/folder/" {
		t.Errorf("later anna is at %s: %d", at, status)
	}
	for _, user := range []string{"unknown", "disabled", "expired", "keyed", "elsewhere", "../anna", "anna.yaml"} {
		b := newSurfer(t)
		status, at, body := b.logIn(gateway+"/", user)
		if status != http.StatusForbidden || !strings.Contains(body, "You could not be logged in") || strings.Contains(body, user) {
			t.Errorf("%s is at %s: %d\n%s", user, at, status, body)
		}
		if _, at, _ := b.get(gateway + "/folder/"); at.Path != "/.gateway/login" {
			t.Errorf("%s gets to %s", user, at)
		}
	}
	stranger := newSurfer(t)
	for path, want := range map[string]int{
		"acme/callback?code=x&state=y": http.StatusForbidden, "acme/callback": http.StatusForbidden, "down": http.StatusServiceUnavailable,
		"nobody": http.StatusNotFound, "acme/x": http.StatusNotFound, "": http.StatusNotFound,
	} {
		if status, _, _ := stranger.get(gateway + "/.gateway/oidc/" + path); status != want {
			t.Errorf("%s: status %d, want %d", path, status, want)
		}
	}
	s.stop()
	refused := map[string]int{}
	for _, a := range l.audited() {
		if a.Verb == "login" && a.Result == "refused" && a.Protocol == "page" {
			refused[a.User]++
		}
	}
	for _, user := range []string{"unknown", "disabled", "expired", "keyed", "elsewhere"} {
		if refused[user] != 1 {
			t.Errorf("the audit log has %d refused logins of %s, want 1", refused[user], user)
		}
	}
	log := s.log.String()
	for _, want := range []string{`by=oidc:acme`, "user is disabled or expired", "has to prove a key", "may not log in from this address", "not begun in this browser", "oidc=down"} {
		if !strings.Contains(log, want) {
			t.Errorf("the log does not have %q", want)
		}
	}
	if strings.Contains(log, op.ClientSecret) || strings.Contains(log, "code=") {
		t.Error("the log has a secret")
	}
}
