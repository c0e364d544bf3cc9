// Package certificate is what HTTPS shows to its clients and asks of them: certificates from files,
// chosen by the name that a client asks for and read again when the files change, or made once and
// signed by nobody, or had by ACME; and the authorities of client certificates.
//
// What cannot be read takes the place of nothing: while a file has a mistake, what it said before
// goes on, and the log says what is wrong.
package certificate

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"reflect"
	"sync"
	"sync/atomic"
	"time"
)

// pollEvery is how often the files are looked at for a change.
const pollEvery = 10 * time.Second

// Pair is a certificate with the authorities between it and a known one, and its private key, in PEM files.
type Pair struct{ Certificate, Key string }

// load reads the pair.
func (p Pair) load() (tls.Certificate, error) {
	cert, err := tls.LoadX509KeyPair(p.Certificate, p.Key)
	if err != nil {
		return cert, fmt.Errorf("https certificate %s with key %s: %w", p.Certificate, p.Key, err)
	}
	return cert, nil
}

// Config says what is shown and asked for.
type Config struct {
	// Pairs are files. The first whose names fit what a client asks for is shown to it, else the first.
	Pairs []Pair
	// Fallback is shown where there are no pairs.
	Fallback tls.Certificate
	// MinVersion is the oldest TLS that is spoken; 0 means 1.2, below which none is.
	MinVersion uint16
	// ClientAuth says whether clients are asked for a certificate, and ClientCA is the PEM file with the
	// authorities that it has to be from. ClientCRL is one with lists of those that are revoked; "": none is.
	ClientAuth          tls.ClientAuthType
	ClientCA, ClientCRL string
	// ACME gets certificates, which are shown for the names that it has.
	ACME ACME
}

// files are all that the configuration names.
func (c Config) files() []string {
	var files []string
	for _, p := range c.Pairs {
		files = append(files, p.Certificate, p.Key)
	}
	for _, file := range []string{c.ClientCA, c.ClientCRL} {
		if file != "" {
			files = append(files, file)
		}
	}
	return files
}

// Source has the present certificates. Make it with New. Safe for concurrent use.
type Source struct {
	log     *slog.Logger
	current atomic.Pointer[tls.Config]
	manager atomic.Pointer[manager] // nil: no ACME
	revoked atomic.Pointer[revocations]

	mu     sync.Mutex      // of what follows
	ctx    context.Context // of Watch; nil: it does not run yet
	config Config
	seen   map[string]fs.FileInfo // the files that current was read from
	wrong  string                 // what was last logged
}

// New reads what the configuration names.
func New(c Config, log *slog.Logger) (*Source, error) {
	s := &Source{log: log}
	return s, s.Set(c)
}

// Check tries what New would read.
func Check(c Config) error {
	_, err := c.tls()
	if c.ClientCRL != "" {
		if _, rerr := readRevocations(c.ClientCRL, c.ClientCA); rerr != nil {
			err = errors.Join(err, fmt.Errorf("https.client_crl: %w", rerr))
		}
	}
	if c.ACME.CAFile != "" {
		if _, cerr := Authorities(c.ACME.CAFile); cerr != nil {
			err = errors.Join(err, fmt.Errorf("https.acme.ca_file: %w", cerr))
		}
	}
	return err
}

// Set takes another configuration, for handshakes that begin from now on. When it fails, what was goes on.
func (s *Source) Set(c Config) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.read(c)
}

// read makes c the present configuration. The caller holds mu.
func (s *Source) read(c Config) error {
	seen := look(c.files()) // before they are read: a change in between is one
	made, err := c.tls()
	if err != nil {
		return err
	}
	var lists revocations
	if c.ClientCRL != "" {
		if lists, err = readRevocations(c.ClientCRL, c.ClientCA); err != nil {
			return fmt.Errorf("https.client_crl: %w", err)
		}
	}
	made.VerifyConnection = s.checkChains
	old := s.manager.Load()
	m := old
	if !reflect.DeepEqual(c.ACME, s.config.ACME) {
		if m, err = s.newManager(c.ACME); err != nil {
			return err
		}
	}
	if m != nil {
		made.GetCertificate = m.get
	}
	s.config, s.seen, s.wrong = c, seen, ""
	s.manager.Store(m)
	s.revoked.Store(&lists)
	s.current.Store(made)
	if old != m && old != nil {
		go old.stop() // it waits for what it is about
	}
	return nil
}

// newManager is nil without ACME. It begins to work if Watch runs.
func (s *Source) newManager(a ACME) (*manager, error) {
	if a.off() {
		return nil, nil
	}
	m, err := newManager(a, s.log)
	if err == nil && s.ctx != nil {
		err = m.manage(s.ctx)
	}
	return m, err
}

// tls reads the files.
func (c Config) tls() (*tls.Config, error) {
	made := &tls.Config{
		MinVersion: max(c.MinVersion, tls.VersionTLS12),
		ClientAuth: c.ClientAuth,
		NextProtos: []string{"h2", "http/1.1"},
	}
	for _, p := range c.Pairs {
		cert, err := p.load()
		if err != nil {
			return nil, err
		}
		made.Certificates = append(made.Certificates, cert)
	}
	if len(made.Certificates) == 0 && len(c.Fallback.Certificate) > 0 {
		made.Certificates = []tls.Certificate{c.Fallback}
	}
	if c.ClientCA != "" {
		pool, err := Authorities(c.ClientCA)
		if err != nil {
			return nil, fmt.Errorf("https.client_ca: %w", err)
		}
		made.ClientCAs = pool
	}
	return made, nil
}

// Authorities reads certificates in PEM.
func Authorities(file string) (*x509.CertPool, error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(data) {
		return nil, fmt.Errorf("%s holds no certificate in PEM", file)
	}
	return pool, nil
}

// TLS is a configuration whose handshakes take what is present when they begin.
func (s *Source) TLS() *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS12,
		NextProtos: []string{"h2", "http/1.1"},
		GetConfigForClient: func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
			if m := s.manager.Load(); m != nil && len(hello.SupportedProtos) == 1 && hello.SupportedProtos[0] == challengeProtocol {
				return m.challenge(), nil
			}
			return s.current.Load(), nil
		},
	}
}

// Shown are the certificates that are shown at present, the one first that clients see who ask for none of their names.
func (s *Source) Shown() []*x509.Certificate {
	var shown []*x509.Certificate
	for _, c := range s.current.Load().Certificates {
		shown = append(shown, c.Leaf)
	}
	if m := s.manager.Load(); m != nil {
		shown = append(shown, m.certificates()...)
	}
	return shown
}

// Watch reads the files again when they change, and gets and renews what is had by ACME, until ctx ends. What
// HTTPS listens on is to be open: the authority asks there.
func (s *Source) Watch(ctx context.Context) {
	s.begin(ctx)
	defer s.end()
	t := time.NewTicker(pollEvery)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
			s.Refresh()
		}
	}
}

func (s *Source) begin(ctx context.Context) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ctx = ctx
	if m := s.manager.Load(); m != nil {
		if err := m.manage(ctx); err != nil {
			s.log.Error("certificates cannot be had by ACME", "error", err)
		}
	}
}

func (s *Source) end() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if m := s.manager.Swap(nil); m != nil {
		m.stop()
	}
	s.config.ACME = ACME{}
}

// Refresh reads the files again if they have changed. Those that cannot be used are tried again each
// time: a certificate and its key are two files, and cannot be replaced at once.
func (s *Source) Refresh() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if unchanged(s.seen, look(s.config.files())) {
		return
	}
	err := s.read(s.config)
	switch {
	case err == nil:
		s.log.Info("the certificate files have changed and were read again", "not_after", s.current.Load().Certificates[0].Leaf.NotAfter)
	case err.Error() != s.wrong:
		s.wrong = err.Error()
		s.log.Error("the certificate files have changed and cannot be used; what was read before goes on", "error", err)
	}
}

func look(files []string) map[string]fs.FileInfo {
	seen := make(map[string]fs.FileInfo, len(files))
	for _, file := range files {
		if info, err := os.Stat(file); err == nil {
			seen[file] = info
		}
	}
	return seen
}

// unchanged compares two looks at the same files.
func unchanged(a, b map[string]fs.FileInfo) bool {
	if len(a) != len(b) {
		return false
	}
	for file, x := range a {
		y, ok := b[file]
		if !ok || !os.SameFile(x, y) || x.Size() != y.Size() || !x.ModTime().Equal(y.ModTime()) {
			return false
		}
	}
	return true
}
