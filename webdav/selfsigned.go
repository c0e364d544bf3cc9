package webdav

import (
	"bytes"
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
	"io/fs"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"

	"gateway/internal/durable"
)

const (
	selfSignedFile = "https-selfsigned.pem" // key and certificate in one, so that they always fit
	// selfSignedDays is the longest that Apple's clients accept.
	selfSignedDays = 825
	renewDays      = 60
	day            = 24 * time.Hour
)

// SelfSigned returns the certificate kept in dir, made at the first call: a
// P-256 key and a certificate for hosts (names and IP addresses), in one file
// of mode 0600. A start in its last 60 days, or with a host it does not name,
// signs a new one with the same key.
//
// The fingerprint is the SHA-256 of the certificate, in the form of openssl and
// browsers (AB:CD:...).
func SelfSigned(dir string, hosts []string) (cert tls.Certificate, fingerprint string, err error) {
	if len(hosts) == 0 {
		return cert, "", errors.New("webdav: a certificate needs at least one host name or address")
	}
	file := filepath.Join(dir, selfSignedFile)
	cert, err = loadSelfSigned(file)
	var key *ecdsa.PrivateKey
	switch {
	case err == nil && stillGood(cert.Leaf, hosts):
		return cert, fingerprintOf(cert), nil
	case err == nil:
		key, _ = cert.PrivateKey.(*ecdsa.PrivateKey)
	case !errors.Is(err, fs.ErrNotExist):
		return cert, "", err
	}
	if key == nil {
		if key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
			return cert, "", fmt.Errorf("webdav: make a key: %w", err)
		}
	}
	data, err := selfSign(key, hosts)
	if err != nil {
		return cert, "", fmt.Errorf("webdav: make a certificate: %w", err)
	}
	if err := durable.WriteFile(file, data); err != nil {
		return cert, "", fmt.Errorf("webdav: keep the certificate: %w", err)
	}
	if cert, err = loadSelfSigned(file); err != nil {
		return cert, "", err
	}
	return cert, fingerprintOf(cert), nil
}

func loadSelfSigned(file string) (tls.Certificate, error) {
	info, err := os.Stat(file)
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("webdav: certificate: %w", err)
	}
	if info.Mode().Perm()&0o077 != 0 {
		return tls.Certificate{}, fmt.Errorf("webdav: %s holds a private key and others may read it; run chmod 600 on it", file)
	}
	data, err := os.ReadFile(file)
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("webdav: certificate: %w", err)
	}
	cert, err := tls.X509KeyPair(data, data)
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("webdav: %s: %w; remove it to have a new one made", file, err)
	}
	return cert, nil
}

func stillGood(leaf *x509.Certificate, hosts []string) bool {
	if time.Until(leaf.NotAfter) < renewDays*day {
		return false
	}
	for _, host := range hosts {
		if leaf.VerifyHostname(host) != nil {
			return false
		}
	}
	return true
}

func selfSign(key *ecdsa.PrivateKey, hosts []string) ([]byte, error) {
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return nil, err
	}
	now := time.Now()
	template := &x509.Certificate{
		SerialNumber:          serial,
		Subject:               pkix.Name{CommonName: hosts[0]},
		NotBefore:             now.Add(-time.Hour), // clocks differ
		NotAfter:              now.Add(selfSignedDays*day - 2*time.Hour),
		KeyUsage:              x509.KeyUsageDigitalSignature,
		ExtKeyUsage:           []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		BasicConstraintsValid: true,
	}
	for _, host := range hosts {
		if ip := net.ParseIP(host); ip != nil {
			template.IPAddresses = append(template.IPAddresses, ip)
		} else {
			template.DNSNames = append(template.DNSNames, host)
		}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, err
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	err = errors.Join(
		pem.Encode(&b, &pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8}),
		pem.Encode(&b, &pem.Block{Type: "CERTIFICATE", Bytes: der}))
	return b.Bytes(), err
}

func fingerprintOf(cert tls.Certificate) string {
	sum := sha256.Sum256(cert.Certificate[0])
	hex := strings.ToUpper(fmt.Sprintf("% x", sum[:]))
	return strings.ReplaceAll(hex, " ", ":")
}
