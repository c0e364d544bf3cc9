package main

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"

	"gateway/integrity"
	"gateway/internal/durable"
)

// Where the keys of provenance lie in the folder of keys. The private key is the
// one that signs now. The public ones are all that ever signed, the present one
// too: whoever removes one of them says that it is not believed any more.
const (
	provenanceKeyFile  = "provenance_ed25519_key"
	provenanceKnownDir = "provenance_known"
	publicKeySuffix    = ".pem"
	pemPrivateKey      = "PRIVATE KEY" // PKCS #8, RFC 5958
)

// provenanceKeys is the folder that holds them.
type provenanceKeys struct {
	dir string
	log *slog.Logger
}

func (g *gateway) provenanceKeys() provenanceKeys {
	return provenanceKeys{dir: g.cfg.KeysDir(), log: g.log}
}

func (p provenanceKeys) private() string { return filepath.Join(p.dir, provenanceKeyFile) }
func (p provenanceKeys) known() string   { return filepath.Join(p.dir, provenanceKnownDir) }

// signer returns the key that signs, made at first use. Two processes that need
// it at once get the same.
func (p provenanceKeys) signer() (*integrity.ProvenanceSigner, error) {
	s, err := p.load()
	if errors.Is(err, fs.ErrNotExist) {
		if err = p.make(durable.CreateFile); err == nil || errors.Is(err, fs.ErrExist) {
			s, err = p.load()
		}
	}
	if err != nil {
		return nil, fmt.Errorf("key that signs provenance: %w", err)
	}
	return s, nil
}

// rotate makes a new key that signs from now on. What the old one signed is
// still believed.
func (p provenanceKeys) rotate() (*integrity.ProvenanceSigner, error) {
	if _, err := p.signer(); err != nil { // keeps its public key
		return nil, err
	}
	if err := p.make(durable.WriteFile); err != nil {
		return nil, fmt.Errorf("new key that signs provenance: %w", err)
	}
	return p.signer()
}

func (p provenanceKeys) load() (*integrity.ProvenanceSigner, error) {
	file := p.private()
	info, err := os.Stat(file)
	if err != nil {
		return nil, err
	}
	if info.Mode().Perm()&0o077 != 0 {
		return nil, fmt.Errorf("%s: others may read it (mode %#o); run chmod 600 on it if it is still secret, or move it away to get a new one", file, info.Mode().Perm())
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	s, err := parseSigner(text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w; put back a copy, or move it away to get a new one", file, err)
	}
	return s, p.remember(s.PublicKey())
}

func parseSigner(text []byte) (*integrity.ProvenanceSigner, error) {
	block, rest := pem.Decode(text)
	if block == nil || block.Type != pemPrivateKey || len(rest) > 0 {
		return nil, fmt.Errorf("not one PEM block %q", pemPrivateKey)
	}
	parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, err
	}
	key, ok := parsed.(ed25519.PrivateKey)
	if !ok {
		return nil, fmt.Errorf("a %T, not an Ed25519 key", parsed)
	}
	return integrity.NewProvenanceSigner(key)
}

// make makes a key and lets write put it in place. Its public key is kept by
// load, before anything is signed: kept here, that of a process which comes
// second would be listed, and believed, until it is taken back.
func (p provenanceKeys) make(write func(file string, data []byte) error) error {
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return err
	}
	der, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		return err
	}
	if err := p.makeKnown(); err != nil {
		return err
	}
	if err := write(p.private(), pem.EncodeToMemory(&pem.Block{Type: pemPrivateKey, Bytes: der})); err != nil {
		return err
	}
	p.log.Debug("made a key that signs provenance", "file", p.private(), "fingerprint", integrity.ProvenanceKeyID(public))
	return nil
}

func (p provenanceKeys) publicFile(key ed25519.PublicKey) string {
	_, digits, _ := strings.Cut(integrity.ProvenanceKeyID(key), ":")
	return filepath.Join(p.known(), digits+publicKeySuffix)
}

// makeKnown makes the folders, if they are not there.
func (p provenanceKeys) makeKnown() error {
	if _, err := os.Stat(p.known()); err == nil {
		return nil
	}
	if err := os.MkdirAll(p.known(), 0o700); err != nil {
		return err
	}
	return errors.Join(durable.SyncDir(filepath.Dir(p.dir)), durable.SyncDir(p.dir))
}

// remember keeps a public key.
func (p provenanceKeys) remember(key ed25519.PublicKey) error {
	if err := p.makeKnown(); err != nil {
		return err
	}
	if _, err := os.Stat(p.publicFile(key)); err == nil {
		return nil
	}
	err := durable.CreateFile(p.publicFile(key), integrity.ProvenanceKeyPEM(key))
	if errors.Is(err, fs.ErrExist) {
		return nil
	}
	return err
}

// public lists every key that ever signed and was not removed since, by file
// name. It makes none.
func (p provenanceKeys) public() ([]ed25519.PublicKey, error) {
	files, err := os.ReadDir(p.known())
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("keys of provenance: %w", err)
	}
	var keys []ed25519.PublicKey
	for _, f := range files {
		if strings.HasPrefix(f.Name(), ".") || !strings.HasSuffix(f.Name(), publicKeySuffix) {
			continue // such as a file that is being written
		}
		file := filepath.Join(p.known(), f.Name())
		text, err := readLimited(file, integrity.MaxProvenanceKeyBytes)
		if err != nil {
			return nil, fmt.Errorf("key of provenance: %w", err)
		}
		parsed, err := integrity.ParseProvenanceKeys(text)
		if err != nil {
			return nil, fmt.Errorf("key of provenance %s: %w", file, err)
		}
		keys = append(keys, parsed...)
	}
	return keys, nil
}

// believed are the keys by which the gateway believes its own provenance.
func (p provenanceKeys) believed() (*integrity.ProvenanceKeys, error) {
	keys, err := p.public()
	if err != nil {
		return nil, err
	}
	k := &integrity.ProvenanceKeys{}
	return k, k.Add(keys...)
}
