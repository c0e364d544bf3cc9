package sftpsrv

import (
	"crypto"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/crypto/ssh"

	"gateway/internal/durable"
)

// hostKeyKinds are the host keys of a server, best first, under the file names that
// OpenSSH gives them. Those without generate are used if somebody put them there, or an older version: ECDSA
// keys are on NIST curves, of which auditors disapprove, and which every client that knows them
// can do without.
var hostKeyKinds = [...]struct {
	file     string
	generate func() (crypto.PrivateKey, error)
}{
	{"ssh_host_ed25519_key", func() (crypto.PrivateKey, error) {
		_, key, err := ed25519.GenerateKey(rand.Reader)
		return key, err
	}},
	{"ssh_host_ecdsa_key", nil},
	{"ssh_host_rsa_key", func() (crypto.PrivateKey, error) {
		return rsa.GenerateKey(rand.Reader, 3072)
	}},
}

// LoadOrCreateHostKeys returns the Ed25519, ECDSA and RSA host keys in dir, in
// this order. A missing Ed25519 or RSA key is made (RSA has 3,072 bits) and written durably, in
// OpenSSH's format with mode 0600; dir is made with 0700. Two processes that start at
// once get the same keys. A key file that others may read is an error.
func LoadOrCreateHostKeys(dir string) ([]ssh.Signer, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("folder for host keys: %w", err)
	}
	return loadHostKeys(dir, "", true)
}

// LoadNextHostKeys returns the host keys in dir that are not in use yet: the files of
// LoadOrCreateHostKeys with ".next" behind their names.
func LoadNextHostKeys(dir string) ([]ssh.Signer, error) { return loadHostKeys(dir, ".next", false) }

func loadHostKeys(dir, suffix string, create bool) ([]ssh.Signer, error) {
	var signers []ssh.Signer
	for _, kind := range hostKeyKinds {
		file := filepath.Join(dir, kind.file+suffix)
		signer, err := loadHostKey(file)
		if errors.Is(err, fs.ErrNotExist) {
			if !create || kind.generate == nil {
				continue
			}
			if err = createHostKey(file, kind.generate); err == nil {
				signer, err = loadHostKey(file)
			}
		}
		if err != nil {
			return nil, fmt.Errorf("host key %s: %w", file, err)
		}
		signers = append(signers, signer)
	}
	return signers, nil
}

func loadHostKey(file string) (ssh.Signer, error) {
	info, err := os.Stat(file)
	if err != nil {
		return nil, err
	}
	if info.Mode().Perm()&0o077 != 0 {
		return nil, fmt.Errorf("others may read it (mode %#o); run chmod 600 on it if it is still secret, or remove it to get a new one", info.Mode().Perm())
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	signer, err := ssh.ParsePrivateKey(text)
	if err != nil {
		return nil, fmt.Errorf("%w; put back a copy, or remove it to get a new one, of which clients will warn", err)
	}
	return signer, nil
}

// createHostKey makes a key file. Where another process was first, its key stays.
func createHostKey(file string, generate func() (crypto.PrivateKey, error)) error {
	key, err := generate()
	if err != nil {
		return err
	}
	block, err := ssh.MarshalPrivateKey(key, "gateway")
	if err != nil {
		return err
	}
	err = durable.CreateFile(file, pem.EncodeToMemory(block))
	if errors.Is(err, fs.ErrExist) {
		return nil
	}
	return err
}

// Fingerprints describes keys as "ssh-ed25519 SHA256:...", one each, as clients show
// them when they connect for the first time.
func Fingerprints(keys []ssh.Signer) []string {
	lines := make([]string, len(keys))
	for i, key := range keys {
		lines[i] = key.PublicKey().Type() + " " + ssh.FingerprintSHA256(key.PublicKey())
	}
	return lines
}
