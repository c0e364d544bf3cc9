package ftpbridge

import (
	"bufio"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"gateway/tests/servers"
)

// authority signs certificates for the tests.
type authority struct {
	t    *testing.T
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	n    int64
}

func newAuthority(t *testing.T) *authority {
	a := &authority{t: t}
	c := a.issue(func(c *x509.Certificate) {
		c.IsCA, c.BasicConstraintsValid, c.KeyUsage = true, true, x509.KeyUsageCertSign
	})
	a.key = c.PrivateKey.(*ecdsa.PrivateKey)
	a.cert = c.Leaf
	return a
}

// issue makes a certificate for 127.0.0.1, good for an hour, unless change says otherwise.
func (a *authority) issue(change func(*x509.Certificate)) tls.Certificate {
	a.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		a.t.Fatal(err)
	}
	a.n++
	template := &x509.Certificate{
		SerialNumber: big.NewInt(a.n), Subject: pkix.Name{CommonName: fmt.Sprint("test ", a.n)},
		NotBefore: time.Now().Add(-time.Minute), NotAfter: time.Now().Add(time.Hour),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	if change != nil {
		change(template)
	}
	parent, signer := a.cert, a.key
	if parent == nil {
		parent, signer = template, key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, signer)
	if err != nil {
		a.t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		a.t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}
}

func (a *authority) file() string {
	a.t.Helper()
	path := filepath.Join(a.t.TempDir(), "ca.pem")
	block := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.cert.Raw})
	if err := os.WriteFile(path, block, 0o600); err != nil {
		a.t.Fatal(err)
	}
	return path
}

func printOf(c tls.Certificate) string { return fmt.Sprintf("%x", sha256.Sum256(c.Certificate[0])) }

func serveWith(c tls.Certificate) *tls.Config {
	return &tls.Config{Certificates: []tls.Certificate{c}, MinVersion: tls.VersionTLS10} // a server of old
}

// secureServer takes AUTH TLS and shows these certificates.
func secureServer(t *testing.T, control, data *tls.Config) *scripted {
	t.Helper()
	srv := &scripted{files: map[string]string{"/f": "body"}, dataTLS: data}
	srv.handlers = map[string]func(*talk, string){"AUTH": func(c *talk, _ string) {
		c.say("234 go")
		tc := tls.Server(c.Conn, control)
		c.Conn, c.br = tc, bufio.NewReader(tc)
	}}
	return srv.start(t)
}

func secureSource(t *testing.T, srv *scripted) Source {
	t.Helper()
	src := srv.source(t, "")
	src.URL.Scheme = "ftpes"
	return src
}

func TestCertificateChecks(t *testing.T) {
	ca, other := newAuthority(t), newAuthority(t)
	good := ca.issue(nil)
	for _, tc := range []struct {
		name  string
		cert  tls.Certificate
		set   func(*Source)
		words []string // nil: accepted
	}{
		{"authority", good, func(s *Source) { s.CAFile = ca.file() }, nil},
		{"pin", good, func(s *Source) { s.Fingerprint = printOf(good) }, nil},
		{"pin with colons", good, func(s *Source) { s.Fingerprint = strings.ToUpper(printOf(good)[:2]) + ":" + printOf(good)[2:] }, nil},
		{"pin of a certificate that is over", ca.issue(func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Second) }),
			func(s *Source) { s.Fingerprint = "" }, []string{"fingerprint"}},
		{"system roots", good, func(*Source) {}, []string{"unknown authority", printOf(good), "CA file"}},
		{"another authority", good, func(s *Source) { s.CAFile = other.file() }, []string{"unknown authority"}},
		{"another pin", good, func(s *Source) { s.Fingerprint = printOf(other.issue(nil)) }, []string{"pinned is", "change the pin"}},
		{"the pin counts, not the authority", good, func(s *Source) { s.CAFile, s.Fingerprint = ca.file(), printOf(other.issue(nil)) }, []string{"pinned is"}},
		{"expired", ca.issue(func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Second) }),
			func(s *Source) { s.CAFile = ca.file() }, []string{"expired"}},
		{"another host", ca.issue(func(c *x509.Certificate) { c.IPAddresses, c.DNSNames = nil, []string{"other.example"} }),
			func(s *Source) { s.CAFile = ca.file() }, []string{"127.0.0.1"}},
		{"for clients", ca.issue(func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth} }),
			func(s *Source) { s.CAFile = ca.file() }, []string{"incompatible key usage"}},
		{"self-signed", other.issue(func(c *x509.Certificate) {}), func(s *Source) { s.CAFile = ca.file() }, []string{"unknown authority"}},
		{"CA file missing", good, func(s *Source) { s.CAFile = "/nonexistent/ca.pem" }, []string{"/nonexistent/ca.pem"}},
		{"CA file is none", good, func(s *Source) { s.CAFile = os.Args[0] }, []string{"PEM"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			srv := secureServer(t, serveWith(tc.cert), serveWith(tc.cert))
			src := secureSource(t, srv)
			tc.set(&src)
			s, err := Dial(testContext(t), src)
			if tc.words != nil {
				want(t, err, []error{ErrTLS}, tc.words...)
				if n := srv.count("USER"); n != 0 {
					t.Error("a user name was sent")
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			if got, err := fetchAll(testContext(t), s, "f", 0); err != nil || got != "body" {
				t.Errorf("%q, %v", got, err)
			}
		})
	}
}

// Whoever answers on the data connection must be who answered on the control
// connection.
func TestDataCertificate(t *testing.T) {
	ca, other := newAuthority(t), newAuthority(t)
	good := ca.issue(nil)
	for _, tc := range []struct {
		name string
		data *tls.Config
		is   []error
	}{
		{"the same", serveWith(good), nil},
		{"untrusted", serveWith(other.issue(nil)), []error{ErrTLS}},
		{"trusted, of another server", serveWith(ca.issue(nil)), []error{ErrTLS}},
		{"not encrypted", nil, []error{ErrTLS}},
	} {
		for _, how := range []string{"pin", "authority"} {
			for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
				t.Run(tc.name+", "+how+", "+tls.VersionName(version), func(t *testing.T) {
					srv := secureServer(t, serveWith(good), tc.data)
					srv.store("226 got it")
					src := secureSource(t, srv)
					src.TLS = &tls.Config{MinVersion: version, MaxVersion: version}
					src.Timeout = patience
					if how == "pin" {
						src.Fingerprint = printOf(good)
					} else {
						src.CAFile = ca.file()
					}
					s := mustDial(t, src)
					got, err := fetchAll(testContext(t), s, "f", 0)
					if tc.is == nil {
						if err != nil || got != "body" {
							t.Errorf("%q, %v", got, err)
						}
						return
					}
					want(t, err, tc.is, "data connection")
					if got != "" {
						t.Errorf("%q was believed", got)
					}
					_, err = mustDial(t, src).Store(testContext(t), "g", strings.NewReader("private"), 0)
					is := tc.is
					if tc.data == nil { // it waits for data, we wait for its side of the handshake
						is = []error{ErrTimeout}
					}
					want(t, err, is)
					if strings.Contains(srv.file("/g"), "private") {
						t.Error("it was told what was to be private")
					}
				})
			}
		}
	}
}

// Without TLS's own goodbye a data connection may have been cut by anybody.
func TestDataWithoutCloseNotify(t *testing.T) {
	ca := newAuthority(t)
	good := serveWith(ca.issue(nil))
	srv := secureServer(t, good, nil)
	srv.handlers["RETR"] = func(c *talk, _ string) {
		c.say("150 go")
		raw := c.accept()
		if _, err := io.WriteString(tls.Server(raw, good), "half"); err != nil {
			t.Error(err)
		}
		raw.Close()
		c.say("226 done")
	}
	src := secureSource(t, srv)
	src.CAFile = ca.file()
	s := mustDial(t, src)
	_, err := fetchAll(testContext(t), s, "f", 0)
	want(t, err, []error{io.ErrUnexpectedEOF}, "after 4 bytes", "cut")
}

// The many ways to answer AUTH TLS without TLS. No login may follow.
func TestNoTLSAfterAuth(t *testing.T) {
	for name, h := range map[string]func(*talk, string){
		"refused":          func(c *talk, _ string) { c.say("502 no AUTH") },
		"other code":       func(c *talk, _ string) { c.say("200 sure") },
		"more exchanges":   func(c *talk, _ string) { c.say("334 ADAT=x") },
		"goes on in plain": func(c *talk, _ string) { c.say("234 go"); c.br.Peek(1); c.say("220 go on as you are"); c.hang() },
		"silence":          func(c *talk, _ string) { c.say("234 go"); c.hang() },
		"closes":           func(c *talk, _ string) { c.say("234 go"); c.Conn.Close() },
	} {
		t.Run(name, func(t *testing.T) {
			srv := (&scripted{handlers: map[string]func(*talk, string){"AUTH": h}}).start(t)
			src := secureSource(t, srv)
			src.Timeout = patience
			_, err := Dial(testContext(t), src)
			want(t, err, []error{ErrTLS})
			for _, line := range srv.heard() {
				if line != "AUTH TLS" && strings.Contains(line, "secret") || strings.HasPrefix(line, "USER") {
					t.Errorf("it was told %q", line)
				}
			}
		})
	}
}

// A server that encrypts the login and then not the data is refused.
func TestPROTRefused(t *testing.T) {
	ca := newAuthority(t)
	for _, verb := range []string{"PBSZ", "PROT"} {
		cfg := serveWith(ca.issue(nil))
		srv := secureServer(t, cfg, cfg)
		srv.handlers[verb] = func(c *talk, _ string) { c.say("536 no protection for data") }
		src := secureSource(t, srv)
		src.CAFile = ca.file()
		_, err := Dial(testContext(t), src)
		want(t, err, []error{ErrTLS}, "536", verb)
	}
}

func TestOldTLS(t *testing.T) {
	ca := newAuthority(t)
	cfg := serveWith(ca.issue(nil))
	cfg.MaxVersion = tls.VersionTLS11
	srv := secureServer(t, cfg, cfg)
	src := secureSource(t, srv)
	src.CAFile = ca.file()
	_, err := Dial(testContext(t), src)
	want(t, err, []error{ErrTLS}, "version")
}

// TestRealTLSVersions crosses versions, explicit and implicit TLS, and both ways
// of moving data, with servers that want the TLS session resumed where they can.
func TestRealTLSVersions(t *testing.T) {
	for _, kind := range servers.All() {
		for _, mode := range kind.TLSModes() {
			scheme := map[servers.TLS]string{servers.ExplicitTLS: "ftpes", servers.ImplicitTLS: "ftps"}[mode]
			root := t.TempDir()
			o := servers.Options{Root: root, TLS: mode, ReuseTLS: kind == servers.VSFTPD || kind == servers.ProFTPD}
			srv := servers.Start(t, kind, o)
			for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
				t.Run(fmt.Sprintf("%s-%s-%s", kind, scheme, tls.VersionName(version)), func(t *testing.T) {
					src := liveSource(t, srv, scheme)
					src.TLS = &tls.Config{MinVersion: version, MaxVersion: version}
					for _, active := range []bool{false, true} {
						src.Active = active
						liveDataConnections(t, src, root)
					}
					if s := mustDial(t, src); s.Info().TLS != tls.VersionName(version) {
						t.Errorf("version %s", s.Info().TLS)
					}
				})
			}
		}
	}
}

// TestRealTLSOneVersion has the server allow one version only, and at last demand
// what cannot be done: TLS 1.2 sessions resumed without tickets.
func TestRealTLSOneVersion(t *testing.T) {
	for _, version := range []string{"1.2", "1.3", "1.2 without tickets"} {
		root := t.TempDir()
		version, without := strings.CutSuffix(version, " without tickets")
		extra := []string{"TLSProtocol TLSv" + version}
		if !without {
			extra = append(extra, "TLSSessionTickets on")
		}
		srv := servers.Start(t, servers.ProFTPD, servers.Options{Root: root, TLS: servers.ExplicitTLS, ReuseTLS: true, Extra: extra})
		if without {
			_, err := mustDial(t, liveSource(t, srv, "ftpes")).List(testContext(t), "")
			want(t, err, []error{io.ErrUnexpectedEOF}, "425", "session tickets")
			return
		}
		src := liveSource(t, srv, "ftpes")
		liveDataConnections(t, src, root)
		if s := mustDial(t, src); s.Info().TLS != "TLS "+version {
			t.Errorf("version %s", s.Info().TLS)
		}
	}
}

// TestRealSystemRoots: nothing makes up for a certificate that nobody vouches for.
func TestRealSystemRoots(t *testing.T) {
	for _, kind := range []servers.Kind{servers.VSFTPD, servers.ProFTPD, servers.PureFTPD} {
		srv := servers.Start(t, kind, servers.Options{TLS: servers.ExplicitTLS})
		src := liveSource(t, srv, "ftpes")
		src.CAFile = ""
		_, err := Dial(testContext(t), src)
		want(t, err, []error{ErrTLS}, certificatePrint(t, srv.CertFile), "CA file")
		if errors.Is(err, fs.ErrNotExist) {
			t.Error(err)
		}
	}
}
