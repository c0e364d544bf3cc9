package tests

import (
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"gateway/tests/servers"
)

// asHost are curl's options to ask for a name that leads to the gateway.
func (s *serving) asHost(host string) []string {
	_, port, _ := net.SplitHostPort(s.https)
	return []string{"--connect-to", host + ":443:127.0.0.1:" + port, "https://" + host + "/"}
}

// TestACME has a certificate by ACME from Let's Encrypt's own test authority: by the question that it asks over TLS, also
// where clients have to show a certificate, and by the one over HTTP. Until then, and to clients that ask for no
// name, another is shown.
func TestACME(t *testing.T) {
	ca := newAuthority(t, "clients")
	for name, c := range map[string]struct{ config, clients string }{
		"TLS":                          {},
		"TLS with client certificates": {clients: "  client_ca: " + ca.file + "\n  client_certificates: required\n"},
		"HTTP":                         {config: "    http_listen: 127.0.0.1:%d\n"},
	} {
		t.Run(name, func(t *testing.T) {
			const host = "files.example.test"
			http, https := servers.FreePort(t), servers.FreePort(t)
			alpn := https
			if c.config != "" {
				c.config = fmt.Sprintf(c.config, http)
				alpn = servers.FreePort(t) // where nobody answers
			}
			pebble := servers.StartPebble(t, http, alpn)
			l := newLab(t)
			config := filepath.Join(t.TempDir(), "gateway.yaml")
			writeFile(t, config, fmt.Appendf(nil, "data: %s\nadmin: {off: true}\nsftp:\n  listen: 127.0.0.1:0\nhttps:\n  listen: 127.0.0.1:%d\n%s  acme:\n    domains: [%s]\n    agree: true\n    directory: %s\n    ca_file: %s\n%s",
				l.data, https, c.clients, host, pebble.Directory, pebble.CAFile, c.config))
			s := l.serveFile(config)
			waitFor(t, "the certificate", func() bool { return strings.Contains(s.log.String(), "a certificate was had by ACME") })
			root := filepath.Join(t.TempDir(), "root.pem")
			writeFile(t, root, pebble.Root())
			curl := append([]string{"-sSv", "--tlsv1.2", "--cacert", root, "-X", "OPTIONS", "-o", "/dev/null"}, s.asHost(host)...)
			if c.clients != "" {
				cert, key := ca.issue("anna", &x509.Certificate{Subject: pkix.Name{CommonName: "anna"}})
				curl = append(curl, "--cert", cert, "--key", key)
				s.refusesChallenge(t, host)
			}
			if r := clientResult(t, "curl", "", curl...); r.code != 0 || !strings.Contains(r.stderr, "SSL certificate verify ok") {
				t.Errorf("curl: exit status %d\n%s", r.code, r.stderr)
			}
			if c.config != "" {
				r := clientResult(t, "curl", "", "-sS", "-o", "/dev/null", "-w", "%{http_code} %{redirect_url}", "-H", "Host: "+host, "http://127.0.0.1:"+strconv.Itoa(http)+"/a%20b")
				if r.out != "301 https://"+host+"/a%20b" {
					t.Errorf("over HTTP: %q", r.out)
				}
				r = clientResult(t, "curl", "", "-sS", "-o", "/dev/null", "-w", "%{http_code}", "-H", "Host: evil.example", "http://127.0.0.1:"+strconv.Itoa(http)+"/")
				if r.out != "404" {
					t.Errorf("for another host over HTTP: %q", r.out)
				}
			}
			if info, err := os.Stat(filepath.Join(l.data, "acme")); err != nil || info.Mode().Perm()&0o077 != 0 {
				t.Errorf("the folder of keys: %v, %v", info, err)
			}
			if n := strings.Count(s.log.String(), "a certificate was had by ACME"); n != 1 {
				t.Errorf("%d certificates were had", n)
			}
		})
	}
}

// refusesChallenge: a connection that asks for the authority's protocol is asked for no client certificate, and serves nothing.
func (s *serving) refusesChallenge(t *testing.T, host string) {
	t.Helper()
	r := clientResult(t, "openssl", "OPTIONS / HTTP/1.1\r\nHost: x\r\n\r\n", "s_client", "-quiet", "-alpn", "acme-tls/1", "-servername", host, "-connect", s.https)
	if strings.Contains(r.out, "200 OK") || strings.Contains(r.out, "DAV") {
		t.Errorf("it answers without a client certificate: %s", r.out)
	}
}

// tlsLab is a gateway whose HTTPS has a certificate of an authority, and what else the test says.
func tlsLab(t *testing.T, ca *authority, keys string) (s *serving, config string) {
	t.Helper()
	cert, key := ca.server("server", "localhost")
	l := newLab(t)
	config = filepath.Join(t.TempDir(), "gateway.yaml")
	writeFile(t, config, fmt.Appendf(nil, "data: %s\nsftp:\n  listen: 127.0.0.1:0\nadmin: {off: true}\nhttps:\n  listen: 127.0.0.1:0\n  certificate: %s\n  key: %s\n%s", l.data, cert, key, keys))
	return l.serveFile(config), config
}

// withCertificate asks with curl for the root, with a client certificate and perhaps "user:password", and returns the HTTP status;
// "000" when there was no answer.
func (s *serving) withCertificate(t *testing.T, ca *authority, pair [2]string, login string) string {
	t.Helper()
	args := []string{"-sS", "--cacert", ca.file, "-o", "/dev/null", "-w", "%{http_code}"}
	if pair[0] != "" {
		args = append(args, "--cert", pair[0], "--key", pair[1])
	}
	if login != "" {
		args = append(args, "-u", login)
	}
	return clientResult(t, "curl", "", append(args, s.url(""))...).out
}

// named issues a client certificate with a common name and an email address.
func (a *authority) named(cn, email string) [2]string {
	template := &x509.Certificate{Subject: pkix.Name{CommonName: cn}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}
	if email != "" {
		template.EmailAddresses = []string{email}
	}
	cert, key := a.issue(cn+email, template)
	return [2]string{cert, key}
}

// TestClientCertificates has curl log in with client certificates, where they are optional and where they are required.
func TestClientCertificates(t *testing.T) {
	ca, strangers := newAuthority(t, "ours"), newAuthority(t, "strangers")
	s, _ := tlsLab(t, ca, "  client_ca: "+ca.file+"\n  client_certificates: optional\n")
	s.addUser("bert", "another horse battery", s.keyFile)
	s.addUser("cora", "third horse battery", s.keyFile)
	both := filepath.Join(s.data, "users", "cora.yaml")
	data, err := os.ReadFile(both)
	mustDo(t, err)
	writeFile(t, both, append(data, "require: [publickey, password]\n"...))
	anna, nobody := ca.named("anna", ""), ca.named("nobody", "")
	for name, c := range map[string]struct {
		pair  [2]string
		login string
		want  string
	}{
		"certificate":                           {anna, "", "200"},
		"certificate, and a wrong password":     {anna, "anna:wrong", "200"},
		"password":                              {[2]string{}, "anna:correct horse battery", "200"},
		"nothing":                               {[2]string{}, "", "401"},
		"certificate, and another's password":   {anna, "bert:another horse battery", "200"},
		"certificate of nobody":                 {nobody, "", "401"},
		"certificate of nobody, and a password": {nobody, "anna:correct horse battery", "200"},
		"certificate of others":                 {strangers.named("anna", ""), "", "000"},
		"half of what is needed":                {ca.named("cora", ""), "", "401"},
		"the other half":                        {[2]string{}, "cora:third horse battery", "401"},
		"both, and the password is wrong":       {ca.named("cora", ""), "cora:wrong", "401"},
		"both":                                  {ca.named("cora", ""), "cora:third horse battery", "200"},
	} {
		if got := s.withCertificate(t, ca, c.pair, c.login); got != c.want {
			t.Errorf("%s: %s, want %s", name, got, c.want)
		}
	}
	file := filepath.Join(s.data, "users", "anna.yaml")
	data, err = os.ReadFile(file)
	mustDo(t, err)
	writeFile(t, file, append(data, "disabled: true\n"...))
	if got := s.withCertificate(t, ca, anna, ""); got != "401" {
		t.Errorf("certificate of a user who was disabled: %s", got)
	}
}

// TestClientCertificateRequired lets nobody in without one, by whatever password, and takes the name from the address
// where it is told to.
func TestClientCertificateRequired(t *testing.T) {
	ca := newAuthority(t, "ours")
	keys := "  client_ca: " + ca.file + "\n  client_certificates: required\n  client_user: email\n  min_tls: 1.3\n"
	s, config := tlsLab(t, ca, keys)
	s.addUser("anna@example.org", "another horse battery", s.keyFile)
	good := ca.named("whoever", "anna@example.org")
	for name, c := range map[string]struct {
		pair  [2]string
		login string
		want  string
	}{
		"certificate":                        {good, "", "200"},
		"password alone":                     {[2]string{}, "anna:correct horse battery", "000"},
		"the password of somebody else":      {good, "anna:correct horse battery", "403"},
		"common name":                        {ca.named("anna", ""), "", "403"},
		"certificate of nobody":              {ca.named("x", "bert@example.org"), "", "403"},
		"certificate of nobody and password": {ca.named("x", "bert@example.org"), "anna:correct horse battery", "403"},
	} {
		if got := s.withCertificate(t, ca, c.pair, c.login); got != c.want {
			t.Errorf("%s: %s, want %s", name, got, c.want)
		}
	}
	old := []string{"-sS", "--tls-max", "1.2", "--cacert", ca.file, "--cert", good[0], "--key", good[1], s.url("")}
	if r := clientResult(t, "curl", "", old...); r.code != 35 { // CURLE_SSL_CONNECT_ERROR
		t.Errorf("TLS 1.2: exit status %d, %s", r.code, r.stderr)
	}
	listens := strings.Replace(strings.Replace(string(readAll(t, config)), "sftp:\n  listen: 127.0.0.1:0", "sftp:\n  listen: "+s.sftp, 1),
		"https:\n  listen: 127.0.0.1:0", "https:\n  listen: "+s.https, 1)
	writeFile(t, config, []byte(listens))
	s.must("--config", config, "health")
}

// TestRevokedClientCertificate lets nobody in with a certificate that its authority has revoked since, also over a connection
// that was made before, nor when the list is out of date.
func TestRevokedClientCertificate(t *testing.T) {
	ca, strangers := newAuthority(t, "ours"), newAuthority(t, "strangers")
	crl := filepath.Join(t.TempDir(), "crl.pem")
	ca.revoke(crl, time.Now().Add(time.Hour))
	keys := "  client_ca: " + ca.file + "\n  client_certificates: optional\n  client_crl: " + crl + "\n"
	s, config := tlsLab(t, ca, keys)
	first, second := ca.named("anna", ""), ca.named("anna", "anna@example.org")
	want := func(pair [2]string, status string) {
		t.Helper()
		if got := s.withCertificate(t, ca, pair, ""); got != status {
			t.Errorf("%s, want %s", got, status)
		}
	}
	want(first, "200")
	browser := s.keptAlive(t, ca, first)
	if got := browser(); got != 200 {
		t.Fatalf("over a connection that stays: %d", got)
	}
	changed := func(words string, change func()) {
		t.Helper()
		before := len(s.log.String())
		change()
		waitFor(t, words, func() bool { return strings.Contains(s.log.String()[before:], words) })
	}
	changed("were read again", func() { ca.revoke(crl, time.Now().Add(time.Hour), first[0]) })
	want(first, "000")
	want(second, "200")
	if got := browser(); got != 401 {
		t.Errorf("over the connection that was made before: %d", got)
	}
	changed("none of the authorities in https.client_ca has signed it", func() { strangers.revoke(crl, time.Now().Add(time.Hour), second[0]) })
	want(second, "200")
	want(first, "000")
	changed("were read again", func() { ca.revoke(crl, time.Now().Add(-time.Minute)) })
	want(second, "000")
	if r := s.run("--config", config, "check-config"); r.code != 0 {
		t.Errorf("check-config: %s", r.stderr)
	}
}

// keptAlive asks for the root over one connection, again and again.
func (s *serving) keptAlive(t *testing.T, ca *authority, pair [2]string) func() int {
	t.Helper()
	cert, err := tls.LoadX509KeyPair(pair[0], pair[1])
	mustDo(t, err)
	roots := x509.NewCertPool()
	roots.AddCert(ca.cert)
	transport := &http.Transport{MaxConnsPerHost: 1, TLSClientConfig: &tls.Config{RootCAs: roots, Certificates: []tls.Certificate{cert}}}
	t.Cleanup(transport.CloseIdleConnections)
	client := &http.Client{Transport: transport, Timeout: time.Minute}
	return func() int {
		r, err := client.Get(s.url(""))
		mustDo(t, err)
		defer r.Body.Close()
		_, err = io.Copy(io.Discard, r.Body)
		mustDo(t, err)
		return r.StatusCode
	}
}

func readAll(t *testing.T, file string) []byte {
	t.Helper()
	data, err := os.ReadFile(file)
	mustDo(t, err)
	return data
}

// TestCertificateByName shows to each client the certificate of the name that it asks for.
func TestCertificateByName(t *testing.T) {
	ca := newAuthority(t, "ours")
	cert, key := ca.server("second", "two.example.test")
	s, _ := tlsLab(t, ca, "  certificates:\n    - certificate: "+cert+"\n      key: "+key+"\n")
	s.shows(t, ca, "server") // to who asks for no name
	for host, code := range map[string]int{"localhost": 0, "two.example.test": 0, "three.example.test": 60} {
		args := append([]string{"-sS", "--cacert", ca.file, "-X", "OPTIONS", "-o", "/dev/null"}, s.asHost(host)...)
		if r := clientResult(t, "curl", "", args...); r.code != code {
			t.Errorf("%s: exit status %d, want %d: %s", host, r.code, code, r.stderr)
		}
	}
}

// browse asks as a browser does, with cookies, and says where it ended.
func (s *serving) browse(t *testing.T, jar string, args ...string) string {
	t.Helper()
	all := append([]string{"-sS", "-k", "-L", "-b", jar, "-c", jar, "-H", "Accept: text/html", "-o", "/dev/null", "-w", "%{http_code} %{url_effective}"}, args...)
	return strings.ReplaceAll(clientResult(t, "curl", "", all...).out, s.url(""), "/")
}

// TestPageByCertificate: the page takes a client certificate for a login, and keeps a session to it and to the addresses of its user.
func TestPageByCertificate(t *testing.T) {
	ca := newAuthority(t, "ours")
	keys := "  client_ca: " + ca.file + "\n  client_certificates: optional\n"
	s, config := tlsLab(t, ca, keys)
	s.addUser("bert", "another horse battery", s.keyFile)
	pair := ca.named("anna", "")
	with := []string{"--cert", pair[0], "--key", pair[1]}
	jar := filepath.Join(t.TempDir(), "jar")
	want := func(what, end string, args ...string) {
		t.Helper()
		if got := s.browse(t, jar, args...); got != end {
			t.Errorf("%s: %s, want %s", what, got, end)
		}
	}
	form := func(user, password string) []string {
		return []string{"--data-urlencode", "user=" + user, "--data-urlencode", "password=" + password, s.url(".gateway/login")}
	}
	want("without anything", "200 /.gateway/login", s.url(""))
	want("with the certificate", "200 /", append(with, s.url(""))...)
	want("with the cookie alone", "200 /.gateway/login", s.url(""))
	want("with both", "200 /", append(with, s.url(""))...)
	jar += "-left"
	want("after the end", "200 /.gateway/login?said=out", append(with, s.url(".gateway/login")+"?said=out")...)
	jar += "2"
	want("another user's password", "200 /", append(with, form("bert", "another horse battery")...)...)
	want("and the session stays", "200 /", s.url(""))
	file := filepath.Join(s.data, "users", "bert.yaml")
	writeFile(t, file, append(readAll(t, file), "allow_from: [127.0.0.5]\n"...))
	want("a login from elsewhere", "403 /.gateway/login", form("bert", "another horse battery")...)
	want("a login from where it is allowed", "200 /", append([]string{"--interface", "127.0.0.5"}, form("bert", "another horse battery")...)...)
	want("its cookie from there", "200 /", "--interface", "127.0.0.5", s.url(""))
	want("its cookie from elsewhere", "200 /.gateway/login", "--interface", "127.0.0.6", s.url(""))

	s.reload(t, config, strings.Replace(string(readAll(t, config)), "optional", "required", 1), "was read again")
	jar += "3"
	want("another user's password where the certificate decides", "403 /.gateway/login", append(append(with, "--interface", "127.0.0.5"), form("bert", "another horse battery")...)...)
	want("the certificate where it decides", "200 /", append(with, s.url(""))...)
}
