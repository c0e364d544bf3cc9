package main

import (
	"crypto/sha256"
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

// configuredCertificates is what of it is in files that somebody else made.
func configuredCertificates(c config.Config) certificate.Config {
	var made certificate.Config
	if h := c.HTTPS; h.Certificate != "" {
		made.Pairs = []certificate.Pair{{Certificate: h.Certificate, Key: h.Key}}
	}
	return made
}

// certificateSum is the SHA-256 of the certificate that is shown first, in hexadecimal.
func certificateSum(s *certificate.Source) string {
	shown := s.Shown()
	if len(shown) == 0 {
		return ""
	}
	return fmt.Sprintf("%x", sha256.Sum256(shown[0].Raw))
}
