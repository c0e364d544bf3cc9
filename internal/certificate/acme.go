package certificate

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/caddyserver/certmagic"
	"go.uber.org/zap"
)

// challengeProtocol is what an authority asks for to see that a name is ours (RFC 8737).
const challengeProtocol = "acme-tls/1"

// ACME says from whom certificates are had by ACME (RFC 8555), and for which names. The zero value: not at all.
type ACME struct {
	// Domains are the host names, each of which gets a certificate.
	Domains []string
	// Email is for the authority to write to; "" gives it none.
	Email string
	// Directory is the URL of the authority's directory; "" is Let's Encrypt.
	Directory string
	// CAFile has the authorities of the directory's own certificate, in PEM; "" are those of the system.
	CAFile string
	// Folder keeps account, keys and certificates.
	Folder string
	// Listen is where HTTPS listens, host:port. The authority asks at port 443, which has to lead there.
	Listen string
	// HTTP says that somebody serves HTTPChallenges, so that the authority may ask at port 80 too (HTTP-01).
	HTTP bool
}

func (a ACME) off() bool { return len(a.Domains) == 0 }

// manager has the certificates of an ACME.
type manager struct {
	acme   ACME
	magic  *certmagic.Config
	cache  *certmagic.Cache
	issuer *certmagic.ACMEIssuer
	log    *slog.Logger
}

// newManager asks nobody for anything yet; see manage.
func newManager(a ACME, log *slog.Logger) (*manager, error) {
	_, port, err := net.SplitHostPort(a.Listen)
	if err != nil {
		return nil, err
	}
	host, _, _ := net.SplitHostPort(a.Listen)
	n, err := strconv.Atoi(port)
	if err != nil {
		return nil, fmt.Errorf("port %q: %w", port, err)
	}
	template := certmagic.ACMEIssuer{
		CA: a.Directory, Email: a.Email, Agreed: true,
		// The library finds our listener there, and leaves the answer to it.
		ListenHost: host, AltTLSALPNPort: n,
		DisableHTTPChallenge: !a.HTTP,
		Logger:               zap.NewNop(), // event tells what an operator has to know
	}
	if a.CAFile != "" {
		if template.TrustedRoots, err = Authorities(a.CAFile); err != nil {
			return nil, fmt.Errorf("https.acme.ca_file: %w", err)
		}
	}
	m := &manager{acme: a, log: log}
	m.cache = certmagic.NewCache(certmagic.CacheOptions{
		GetConfigForCert: func(certmagic.Certificate) (*certmagic.Config, error) { return m.magic, nil },
		Logger:           zap.NewNop(),
	})
	m.magic = certmagic.New(m.cache, certmagic.Config{
		Storage: &certmagic.FileStorage{Path: a.Folder}, Logger: zap.NewNop(), OnEvent: m.event,
	})
	m.issuer = certmagic.NewACMEIssuer(m.magic, template)
	m.magic.Issuers = []certmagic.Issuer{m.issuer}
	return m, nil
}

// manage gets the certificates that are not there yet and renews them in time, until ctx ends. What fails is tried
// again, ever more seldom.
func (m *manager) manage(ctx context.Context) error {
	return m.magic.ManageAsync(ctx, m.acme.Domains)
}

func (m *manager) stop() { m.cache.Stop() }

// event logs how it goes.
func (m *manager) event(_ context.Context, name string, data map[string]any) error {
	switch name {
	case "cert_obtained":
		m.log.Info("a certificate was had by ACME", "domain", data["identifier"], "renewal", data["renewal"])
	case "cert_failed":
		m.log.Error("a certificate could not be had by ACME; it is tried again", "domain", data["identifier"], "renewal", data["renewal"],
			"error", fmt.Sprint(data["error"]))
	}
	return nil
}

// has reports whether a name is one of those that it gets certificates for.
func (m *manager) has(name string) bool {
	return slices.Contains(m.acme.Domains, strings.ToLower(strings.TrimSuffix(name, ".")))
}

// get is a tls.Config.GetCertificate that leaves to the others what it has no certificate for.
func (m *manager) get(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	if !m.has(hello.ServerName) {
		return nil, nil
	}
	cert, err := m.magic.GetCertificateWithContext(hello.Context(), hello)
	if err != nil {
		return nil, nil //nolint:nilerr // it is not there yet: the client is shown another
	}
	return cert, nil
}

// challenge is for handshakes by which an authority sees that a name is ours. Nothing else comes of them.
func (m *manager) challenge() *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS12, NextProtos: []string{challengeProtocol},
		GetCertificate: func(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
			return m.magic.GetCertificateWithContext(hello.Context(), hello)
		},
	}
}

// certificates are those that are there.
func (m *manager) certificates() []*x509.Certificate {
	var found []*x509.Certificate
	for _, domain := range m.acme.Domains {
		for _, c := range m.cache.AllMatchingCertificates(domain) {
			found = append(found, c.Leaf)
		}
	}
	return found
}

// HTTPChallenges answers the questions of an authority over HTTP (HTTP-01), and gives all else to next.
func (s *Source) HTTPChallenges(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if m := s.manager.Load(); m != nil {
			m.issuer.HTTPChallengeHandler(next).ServeHTTP(w, r)
			return
		}
		next.ServeHTTP(w, r)
	})
}
