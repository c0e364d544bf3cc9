package ftpbridge

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"os"
	"time"
)

// tlsConfig is the configuration of one session. Its session cache is its own:
// vsftpd and ProFTPD want data connections to resume the TLS session of their
// control connection, and Go needs both the cache and ServerName for that.
func (s Source) tlsConfig() (*tls.Config, error) {
	cfg := &tls.Config{MinVersion: tls.VersionTLS12}
	if s.TLS != nil {
		cfg = s.TLS.Clone()
	}
	if cfg.ServerName == "" {
		cfg.ServerName = s.URL.Hostname()
	}
	cfg.ClientSessionCache = tls.NewLRUClientSessionCache(0)
	if s.CAFile != "" {
		pem, err := os.ReadFile(s.CAFile)
		if err != nil {
			return nil, fmt.Errorf("%w: read the CA file: %w", ErrTLS, err)
		}
		cfg.RootCAs = x509.NewCertPool()
		if !cfg.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("%w: no certificate in the CA file %s; it must be PEM", ErrTLS, s.CAFile)
		}
	}
	if s.Fingerprint != "" {
		if err := pin(cfg, s.Fingerprint); err != nil {
			return nil, err
		}
	}
	return cfg, nil
}

// pin makes cfg accept the one certificate with this SHA-256 and no other, on
// resumed connections too.
func pin(cfg *tls.Config, fingerprint string) error {
	want, err := parseFingerprint(fingerprint)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrTLS, err)
	}
	cfg.InsecureSkipVerify = true // VerifyConnection decides instead
	cfg.VerifyConnection = func(cs tls.ConnectionState) error {
		if len(cs.PeerCertificates) == 0 {
			return errors.New("the server showed no certificate")
		}
		got := sha256.Sum256(cs.PeerCertificates[0].Raw)
		if subtle.ConstantTimeCompare(got[:], want) != 1 {
			return fmt.Errorf("the certificate's fingerprint is %x, pinned is %x; if the server got a new certificate, check it and change the pin", got, want)
		}
		return nil
	}
	return nil
}

// sameServer is cfg for data connections: what is at their other end must show
// the certificate of the control connection, however good another one may be.
func sameServer(cfg *tls.Config, control []*x509.Certificate) *tls.Config {
	cfg = cfg.Clone()
	first := cfg.VerifyConnection
	cfg.VerifyConnection = func(cs tls.ConnectionState) error {
		if first != nil {
			if err := first(cs); err != nil {
				return err
			}
		}
		if len(control) == 0 || len(cs.PeerCertificates) == 0 || !cs.PeerCertificates[0].Equal(control[0]) {
			return errors.New("it is not the certificate of the control connection; another server answered, or somebody in between")
		}
		return nil
	}
	return cfg
}

// describeDataTLS is describeTLS for a data connection.
func describeDataTLS(err error) error {
	var rh tls.RecordHeaderError
	if errors.As(err, &rh) {
		return fmt.Errorf("%w: data connection: it is not encrypted, though the server agreed to that (PROT P)", ErrTLS)
	}
	return fmt.Errorf("data connection: %w", describeTLS(err))
}

// handshake makes raw secure, within timeout.
func handshake(ctx context.Context, raw net.Conn, cfg *tls.Config, timeout time.Duration) (*tls.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	tc := tls.Client(raw, cfg)
	if err := tc.HandshakeContext(ctx); err != nil {
		return nil, describeTLS(err)
	}
	return tc, nil
}

// describeTLS says what to do about a failed handshake.
func describeTLS(err error) error {
	var ce *tls.CertificateVerificationError
	if errors.As(err, &ce) && len(ce.UnverifiedCertificates) > 0 {
		return fmt.Errorf("%w: %w; its fingerprint is sha256 %x: set the CA file, or pin the fingerprint after checking it with the server's operator",
			ErrTLS, ce.Err, sha256.Sum256(ce.UnverifiedCertificates[0].Raw))
	}
	var rh tls.RecordHeaderError
	if errors.As(err, &rh) {
		return fmt.Errorf("%w: the server does not answer in TLS; try ftpes:// (explicit TLS) or another port", ErrTLS)
	}
	return fmt.Errorf("%w: TLS handshake: %w", ErrTLS, err)
}
