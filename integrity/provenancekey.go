package integrity

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Bounds of the keys that verify provenance.
const (
	MaxProvenanceKeys     = 256      // known at a time
	MaxProvenanceKeyBytes = 64 << 10 // of a PEM file, several keys or one
)

const (
	keyIDPrefix  = "sha256:"
	pemPublicKey = "PUBLIC KEY" // RFC 7468, section 13
)

// ErrProvenanceKey reports key material that cannot verify provenance.
var ErrProvenanceKey = errors.New("no Ed25519 public key")

// ProvenanceKeyID is a public key's fingerprint: "sha256:" and the SHA-256 of
// its SubjectPublicKeyInfo (RFC 8410, section 4) in 64 lower-case hex digits.
// "openssl pkey -pubin -outform DER | sha256sum" computes the same digits.
func ProvenanceKeyID(key ed25519.PublicKey) string { return keyIDOf(publicKeyDER(key)) }

func keyIDOf(der []byte) string {
	sum := sha256.Sum256(der)
	return keyIDPrefix + hex.EncodeToString(sum[:])
}

func publicKeyDER(key ed25519.PublicKey) []byte {
	der, err := x509.MarshalPKIXPublicKey(key)
	if err != nil {
		panic("integrity: an Ed25519 key has an encoding: " + err.Error())
	}
	return der
}

// ProvenanceKeyPEM is a public key as PEM (RFC 7468, section 13).
func ProvenanceKeyPEM(key ed25519.PublicKey) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: pemPublicKey, Bytes: publicKeyDER(key)})
}

// ParseProvenanceKeys reads the Ed25519 public keys of a PEM file, one or
// several. Text around the blocks is ignored. The error is ErrProvenanceKey:
// no block, a block that is something else, more than MaxProvenanceKeys or
// MaxProvenanceKeyBytes.
func ParseProvenanceKeys(data []byte) ([]ed25519.PublicKey, error) {
	if len(data) > MaxProvenanceKeyBytes {
		return nil, fmt.Errorf("integrity: read provenance keys: %w: more than %d bytes", ErrProvenanceKey, MaxProvenanceKeyBytes)
	}
	var keys []ed25519.PublicKey
	for {
		var block *pem.Block
		if block, data = pem.Decode(data); block == nil {
			break
		}
		key, err := parsePublicKey(block.Type, block.Bytes)
		if err == nil && len(keys) == MaxProvenanceKeys {
			err = fmt.Errorf("%w: more than %d keys", ErrProvenanceKey, MaxProvenanceKeys)
		}
		if err != nil {
			return nil, fmt.Errorf("integrity: read provenance keys: %w", err)
		}
		keys = append(keys, key)
	}
	if len(keys) == 0 {
		return nil, fmt.Errorf("integrity: read provenance keys: %w: there is no block %q", ErrProvenanceKey, pemPublicKey)
	}
	return keys, nil
}

func parsePublicKey(kind string, der []byte) (ed25519.PublicKey, error) {
	if kind != pemPublicKey {
		return nil, fmt.Errorf("%w: a block %.40q where %q was expected", ErrProvenanceKey, kind, pemPublicKey)
	}
	parsed, err := x509.ParsePKIXPublicKey(der)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrProvenanceKey, err)
	}
	key, ok := parsed.(ed25519.PublicKey)
	// Another encoding of the same key would have another fingerprint.
	if !ok || len(key) != ed25519.PublicKeySize || !bytes.Equal(publicKeyDER(key), der) {
		return nil, fmt.Errorf("%w: it is a %T", ErrProvenanceKey, parsed)
	}
	return key, nil
}

// ParseProvenanceKeyID reads a fingerprint: 64 hex digits of either case, with
// or without "sha256:" before them and with or without colons between them.
// The error is ErrFingerprint.
func ParseProvenanceKeyID(s string) (string, error) {
	digits := strings.ToLower(s)
	digits = strings.ReplaceAll(strings.TrimPrefix(digits, keyIDPrefix), ":", "")
	if sum, err := hex.DecodeString(digits); err != nil || len(sum) != sha256.Size {
		return "", fmt.Errorf("%w %.80q: write all %d hex digits of its SHA-256", ErrFingerprint, s, 2*sha256.Size)
	}
	return keyIDPrefix + digits, nil
}

// ProvenanceKeys are the keys by which provenance is believed. The zero value
// believes none. It may be used concurrently once filled.
type ProvenanceKeys struct {
	keys map[string]ed25519.PublicKey // by key id; nil where only the id is known
}

// Add makes keys known; adding one twice is harmless. The error is
// ErrProvenanceKey: a key of a wrong length, or more than MaxProvenanceKeys.
func (k *ProvenanceKeys) Add(keys ...ed25519.PublicKey) error {
	for _, key := range keys {
		if len(key) != ed25519.PublicKeySize {
			return fmt.Errorf("integrity: add provenance key: %w: it has %d bytes", ErrProvenanceKey, len(key))
		}
		if err := k.put(ProvenanceKeyID(key), slices.Clone(key)); err != nil {
			return err
		}
	}
	return nil
}

// AddID makes a key known by its fingerprint alone, as ParseProvenanceKeyID
// reads it. The key itself then comes with the envelope and counts only if it
// has this fingerprint. Errors are ErrFingerprint and ErrProvenanceKey.
func (k *ProvenanceKeys) AddID(fingerprint string) error {
	id, err := ParseProvenanceKeyID(fingerprint)
	if err != nil || k.keys[id] != nil {
		return err
	}
	return k.put(id, nil)
}

func (k *ProvenanceKeys) put(id string, key ed25519.PublicKey) error {
	if _, known := k.keys[id]; !known && len(k.keys) >= MaxProvenanceKeys {
		return fmt.Errorf("integrity: add provenance key: %w: more than %d keys", ErrProvenanceKey, MaxProvenanceKeys)
	}
	if k.keys == nil {
		k.keys = make(map[string]ed25519.PublicKey)
	}
	k.keys[id] = key
	return nil
}

// IDs lists the fingerprints, sorted.
func (k *ProvenanceKeys) IDs() []string {
	ids := make([]string, 0, len(k.keys))
	for id := range k.keys {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	return ids
}
