package tests

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// authority signs certificates of tests. file is its own, in PEM.
type authority struct {
	t    *testing.T
	dir  string
	file string
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newAuthority(t *testing.T, name string) *authority {
	t.Helper()
	a := &authority{t: t, dir: t.TempDir()}
	a.file = filepath.Join(a.dir, "ca.pem")
	template := &x509.Certificate{
		Subject: pkix.Name{CommonName: name}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
	}
	var der []byte
	a.key, der = a.sign(template, nil)
	var err error
	a.cert, err = x509.ParseCertificate(der)
	mustDo(t, err)
	writePEM(t, a.file, "CERTIFICATE", der)
	return a
}

// sign makes a key and a certificate for it, of its own signature where there is no authority yet.
func (a *authority) sign(template, parent *x509.Certificate) (*ecdsa.PrivateKey, []byte) {
	a.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	mustDo(a.t, err)
	signer := a.key
	if parent == nil {
		parent, signer = template, key
	}
	template.SerialNumber, err = rand.Int(rand.Reader, big.NewInt(1<<62))
	mustDo(a.t, err)
	if template.NotAfter.IsZero() {
		template.NotBefore, template.NotAfter = time.Now().Add(-time.Hour), time.Now().Add(24*time.Hour)
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), signer)
	mustDo(a.t, err)
	return key, der
}

// issue writes a certificate and its key as NAME.pem and NAME.key.
func (a *authority) issue(name string, template *x509.Certificate) (certFile, keyFile string) {
	a.t.Helper()
	key, der := a.sign(template, a.cert)
	pkcs8, err := x509.MarshalPKCS8PrivateKey(key)
	mustDo(a.t, err)
	certFile, keyFile = filepath.Join(a.dir, name+".pem"), filepath.Join(a.dir, name+".key")
	writePEM(a.t, certFile, "CERTIFICATE", der)
	writePEM(a.t, keyFile, "PRIVATE KEY", pkcs8)
	return certFile, keyFile
}

// server issues a certificate for host names and 127.0.0.1.
func (a *authority) server(name string, hosts ...string) (certFile, keyFile string) {
	a.t.Helper()
	return a.issue(name, &x509.Certificate{
		Subject: pkix.Name{CommonName: name}, DNSNames: hosts, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	})
}

func writePEM(t *testing.T, file, kind string, der []byte) {
	t.Helper()
	writeFile(t, file, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
}

// revoke writes the authority's list of revoked certificates, of those in PEM files, which is good until a time.
func (a *authority) revoke(file string, until time.Time, certFiles ...string) {
	a.t.Helper()
	list := &x509.RevocationList{Number: big.NewInt(time.Now().UnixNano()), ThisUpdate: time.Now().Add(-2 * time.Hour), NextUpdate: until}
	for _, name := range certFiles {
		block, _ := pem.Decode(readAll(a.t, name))
		cert, err := x509.ParseCertificate(block.Bytes)
		mustDo(a.t, err)
		list.RevokedCertificateEntries = append(list.RevokedCertificateEntries, x509.RevocationListEntry{SerialNumber: cert.SerialNumber, RevocationTime: time.Now()})
	}
	der, err := x509.CreateRevocationList(rand.Reader, list, a.cert, a.key)
	mustDo(a.t, err)
	writePEM(a.t, file+".new", "X509 CRL", der)
	mustDo(a.t, os.Rename(file+".new", file))
}
