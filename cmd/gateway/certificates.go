package main

import (
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"fmt"

	"gateway/config"
	"gateway/internal/certificate"
	"gateway/webdav"
)

// certificates says what HTTPS shows and asks for. Where the configuration names no certificate there is one of
// the gateway's own, which is made at the first start.
func certificates(c config.Config) (certificate.Config, error) {
	made := configuredCertificates(c)
	var err error
	if len(made.Pairs) == 0 {
		made.Fallback, _, err = webdav.SelfSigned(c.KeysDir(), certificateHosts(c.HTTPS.Listen))
	}
	return made, err
}

// configuredCertificates is what of it somebody else made.
func configuredCertificates(c config.Config) certificate.Config {
	h := c.HTTPS
	made := certificate.Config{ACME: acme(c)}
	if h.Certificate != "" {
		made.Pairs = append(made.Pairs, certificate.Pair{Certificate: h.Certificate, Key: h.Key})
	}
	for _, p := range h.Certificates {
		made.Pairs = append(made.Pairs, certificate.Pair(p))
	}
	if h.MinTLS == "1.3" {
		made.MinVersion = tls.VersionTLS13
	}
	if !h.AsksClients() {
		return made
	}
	made.ClientCA, made.ClientCRL, made.ClientAuth = h.ClientCA, h.ClientCRL, tls.VerifyClientCertIfGiven
	if h.ClientCertificates == config.ClientRequired {
		made.ClientAuth = tls.RequireAndVerifyClientCert
	}
	return made
}

func acme(c config.Config) certificate.ACME {
	a := c.HTTPS.ACME
	if len(a.Domains) == 0 || c.HTTPS.Off {
		return certificate.ACME{}
	}
	return certificate.ACME{
		Domains: a.Domains, Email: a.Email, Directory: a.Directory, CAFile: a.CAFile,
		Folder: c.ACMEDir(), Listen: c.HTTPS.Listen, HTTP: a.HTTPListen != "",
	}
}

// certificateSum is the SHA-256 of the certificate that is shown first, in hexadecimal.
func certificateSum(s *certificate.Source) string {
	shown := s.Shown()
	if len(shown) == 0 {
		return ""
	}
	return fmt.Sprintf("%x", sha256.Sum256(shown[0].Raw))
}

// webClients says what client certificates are for.
func (s *serving) webClients(h config.HTTPS) webdav.Clients {
	if !h.AsksClients() {
		return webdav.Clients{}
	}
	user := func(c *x509.Certificate) string { return c.Subject.CommonName }
	if h.ClientUser == config.UserByEmail {
		user = func(c *x509.Certificate) string {
			if len(c.EmailAddresses) != 1 { // which of them would be anybody's guess
				return ""
			}
			return c.EmailAddresses[0]
		}
	}
	good := func(c *x509.Certificate) string {
		if s.certs.Revoked(c) != nil {
			return ""
		}
		return user(c)
	}
	return webdav.Clients{User: good, Required: h.ClientCertificates == config.ClientRequired}
}
