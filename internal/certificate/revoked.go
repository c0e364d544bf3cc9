package certificate

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"time"
)

// maxRevocations is the largest file of revocation lists that is read, in bytes.
const maxRevocations = 16 << 20

// ErrRevoked is why a client certificate is not good any more, or may not be.
var ErrRevoked = errors.New("the client certificate is revoked")

// revocations are lists of revoked certificates (RFC 5280 section 5), each signed by one of the client authorities.
type revocations []revocationList

type revocationList struct {
	issuer  []byte // DER of its name
	serials map[string]bool
	until   time.Time // when the next one is due; zero: never
}

// readRevocations reads lists in PEM. Each has to be signed by one of the authorities in the PEM file ca.
func readRevocations(file, ca string) (revocations, error) {
	info, err := os.Stat(file)
	if err != nil {
		return nil, err
	}
	if info.Size() > maxRevocations {
		return nil, fmt.Errorf("%s is larger than %d bytes", file, maxRevocations)
	}
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	known, err := certificatesIn(ca)
	if err != nil {
		return nil, err
	}
	var lists revocations
	for block, rest := pem.Decode(data); block != nil; block, rest = pem.Decode(rest) {
		if block.Type != "X509 CRL" {
			continue
		}
		list, err := parseRevocations(block.Bytes, known)
		if err != nil {
			return nil, fmt.Errorf("%s: list %d: %w", file, len(lists)+1, err)
		}
		lists = append(lists, list)
	}
	if len(lists) == 0 {
		return nil, fmt.Errorf("%s holds no revocation list in PEM (\"BEGIN X509 CRL\")", file)
	}
	return lists, nil
}

func parseRevocations(der []byte, known []*x509.Certificate) (revocationList, error) {
	parsed, err := x509.ParseRevocationList(der)
	if err != nil {
		return revocationList{}, err
	}
	signed := false
	for _, ca := range known {
		signed = signed || parsed.CheckSignatureFrom(ca) == nil
	}
	if !signed {
		return revocationList{}, fmt.Errorf("none of the authorities in https.client_ca has signed it; it is said to be of %s", parsed.Issuer)
	}
	list := revocationList{issuer: parsed.RawIssuer, serials: make(map[string]bool, len(parsed.RevokedCertificateEntries)), until: parsed.NextUpdate}
	for _, e := range parsed.RevokedCertificateEntries {
		list.serials[e.SerialNumber.String()] = true
	}
	return list, nil
}

// certificatesIn reads the certificates of a PEM file.
func certificatesIn(file string) ([]*x509.Certificate, error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	var all []*x509.Certificate
	for block, rest := pem.Decode(data); block != nil; block, rest = pem.Decode(rest) {
		if c, err := x509.ParseCertificate(block.Bytes); err == nil && block.Type == "CERTIFICATE" {
			all = append(all, c)
		}
	}
	return all, nil
}

// check fails with ErrRevoked for a certificate that its authority has revoked, and for one whose authority's list is out of
// date: it may be on the next.
func (r revocations) check(c *x509.Certificate, now time.Time) error {
	for _, list := range r {
		if !bytes.Equal(list.issuer, c.RawIssuer) {
			continue
		}
		if list.serials[c.SerialNumber.String()] {
			return fmt.Errorf("%w: serial number %s of %s", ErrRevoked, c.SerialNumber, c.Issuer)
		}
		if !list.until.IsZero() && now.After(list.until) {
			return fmt.Errorf("%w, or may be: the list of %s was good until %s; put the next one into https.client_crl", ErrRevoked, c.Issuer, list.until.Format(time.RFC3339))
		}
	}
	return nil
}

// checkChains is a tls.Config.VerifyConnection: none of the certificates that the client proved may be revoked.
func (s *Source) checkChains(state tls.ConnectionState) error {
	for _, chain := range state.VerifiedChains {
		for _, c := range chain {
			if err := s.Revoked(c); err != nil {
				s.log.Warn("a client certificate is refused", "subject", c.Subject.String(), "reason", err)
				return err
			}
		}
	}
	return nil
}

// Revoked fails with ErrRevoked if a client certificate is not good any more: connections stay open for long.
func (s *Source) Revoked(c *x509.Certificate) error {
	lists := s.revoked.Load()
	if lists == nil {
		return nil
	}
	return lists.check(c, time.Now())
}
