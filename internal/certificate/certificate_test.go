package certificate

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"log/slog"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// write makes a self-signed certificate for a host, in the files of a pair.
func write(t *testing.T, p Pair, host string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: host}, DNSNames: []string{host}, NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	writeFile(t, p.Certificate, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
	writeFile(t, p.Key, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8}))
}

func writeFile(t *testing.T, file string, data []byte) {
	t.Helper()
	if err := os.WriteFile(file+".new", data, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(file+".new", file); err != nil {
		t.Fatal(err)
	}
}

// shown is whose certificate a handshake shows that asks for a name, and the version that was agreed on at most max.
func shown(t *testing.T, s *Source, name string, most uint16) (string, error) {
	t.Helper()
	client, server := net.Pipe()
	defer client.Close()
	defer server.Close()
	go func() { _ = tls.Server(server, s.TLS()).HandshakeContext(t.Context()) }() // the client sees how it ends
	c := tls.Client(client, &tls.Config{ServerName: name, InsecureSkipVerify: true, MaxVersion: most, MinVersion: tls.VersionTLS10})
	if err := c.HandshakeContext(t.Context()); err != nil {
		return "", err
	}
	return c.ConnectionState().PeerCertificates[0].Subject.CommonName, nil
}

func TestSource(t *testing.T) {
	dir := t.TempDir()
	pair := func(name string) Pair {
		return Pair{Certificate: filepath.Join(dir, name+".pem"), Key: filepath.Join(dir, name+".key")}
	}
	a, b, other := pair("a"), pair("b"), pair("other")
	write(t, a, "a.example")
	write(t, b, "b.example")
	write(t, other, "other.example")
	var log bytes.Buffer
	s, err := New(Config{Pairs: []Pair{a, b}}, slog.New(slog.NewTextHandler(&log, nil)))
	if err != nil {
		t.Fatal(err)
	}
	want := func(name, whose string) {
		t.Helper()
		if got, err := shown(t, s, name, 0); got != whose || err != nil {
			t.Errorf("who asks for %s is shown %q (%v), want %q", name, got, err, whose)
		}
	}
	want("b.example", "b.example")
	want("unknown.example", "a.example")
	if _, err := shown(t, s, "a.example", tls.VersionTLS11); err == nil {
		t.Error("TLS 1.1 is spoken")
	}

	key, err := os.ReadFile(other.Key)
	if err != nil {
		t.Fatal(err)
	}
	writeFile(t, a.Key, key) // and the certificate is still the old one
	for range 2 {
		s.Refresh()
	}
	want("a.example", "a.example")
	if n := strings.Count(log.String(), "cannot be used"); n != 1 {
		t.Errorf("the mistake is logged %d times: %s", n, &log)
	}
	cert, err := os.ReadFile(other.Certificate)
	if err != nil {
		t.Fatal(err)
	}
	writeFile(t, a.Certificate, cert)
	s.Refresh()
	want("a.example", "other.example")
	if got := s.Shown(); len(got) != 2 || got[0].Subject.CommonName != "other.example" {
		t.Errorf("shown: %v", got)
	}

	if err := s.Set(Config{Pairs: []Pair{b}, ClientCA: other.Key}); err == nil || !strings.Contains(err.Error(), "https.client_ca") {
		t.Errorf("a key is taken for authorities: %v", err)
	}
	want("a.example", "other.example")
	if err := s.Set(Config{Pairs: []Pair{b}, MinVersion: tls.VersionTLS13}); err != nil {
		t.Fatal(err)
	}
	want("a.example", "b.example")
	if _, err := shown(t, s, "b.example", tls.VersionTLS12); err == nil {
		t.Error("TLS 1.2 is spoken where 1.3 is the oldest")
	}
	if err := os.Remove(b.Key); err != nil {
		t.Fatal(err)
	}
	s.Refresh()
	want("b.example", "b.example")
}
