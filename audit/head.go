package audit

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"
	"strings"

	"gateway/internal/durable"
)

// Head names a line and, by its hash, all lines before it. Who keeps one can tell later whether they are
// still what they were.
type Head struct {
	Seq uint64 // 0: not known
	sum hash
}

// String is "SEQ:SHA256".
func (h Head) String() string { return strconv.FormatUint(h.Seq, 10) + ":" + h.sum.String() }

// ParseHead reads what String gives, or the SHA-256 alone.
func ParseHead(text string) (Head, error) {
	var h Head
	seq, sum, ok := strings.Cut(strings.TrimSpace(text), ":")
	if !ok {
		seq, sum = "", seq
	}
	var err error
	if seq != "" {
		h.Seq, err = strconv.ParseUint(seq, 10, 63)
	}
	raw, herr := hex.DecodeString(sum)
	if err != nil || herr != nil || len(raw) != len(h.sum) {
		return h, fmt.Errorf("%q is not a head of an audit log: NUMBER:SHA256, such as \"gateway audit head\" prints", text)
	}
	h.sum = hash(raw)
	return h, nil
}

// signed is what the signature of a head is over: the chain before it, and where it stands.
func signed(node string, seq uint64, prev hash) []byte {
	return fmt.Appendf(nil, "gateway audit head v1\n%s\n%d\n%s\n", node, seq, prev)
}

// The PEM types of keys: PKCS #8 (RFC 5958) and SubjectPublicKeyInfo (RFC 5280).
const (
	pemPrivate = "PRIVATE KEY"
	pemPublic  = "PUBLIC KEY"
	maxKeyFile = 1 << 20
)

// KeyID is the SHA-256 of a public key's SubjectPublicKeyInfo.
func KeyID(key ed25519.PublicKey) string {
	return fmt.Sprintf("sha256:%x", sha256.Sum256(publicDER(key)))
}

func publicDER(key ed25519.PublicKey) []byte {
	der, err := x509.MarshalPKIXPublicKey(key)
	if err != nil {
		panic(err) // not of an Ed25519 key
	}
	return der
}

// PublicPEM is a public key as ParsePublic reads it.
func PublicPEM(key ed25519.PublicKey) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: pemPublic, Bytes: publicDER(key)})
}

// ParsePublic reads Ed25519 public keys in PEM.
func ParsePublic(data []byte) ([]ed25519.PublicKey, error) {
	var keys []ed25519.PublicKey
	for len(strings.TrimSpace(string(data))) > 0 {
		block, rest := pem.Decode(data)
		if block == nil || block.Type != pemPublic {
			return nil, fmt.Errorf("not PEM blocks %q", pemPublic)
		}
		parsed, err := x509.ParsePKIXPublicKey(block.Bytes)
		key, ok := parsed.(ed25519.PublicKey)
		if err != nil || !ok {
			return nil, errors.New("not an Ed25519 key")
		}
		keys, data = append(keys, key), rest
	}
	return keys, nil
}

// ReadPublic reads the public keys of a file.
func ReadPublic(file string) ([]ed25519.PublicKey, error) {
	info, err := os.Stat(file)
	if err != nil {
		return nil, err
	}
	if info.Size() > maxKeyFile {
		return nil, fmt.Errorf("%s: more than %d bytes are no list of keys", file, maxKeyFile)
	}
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	keys, err := ParsePublic(data)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	return keys, nil
}

// PublicSuffix is added to the name of a private key's file for that of the public keys: all that ever signed.
const PublicSuffix = ".pub"

// LoadKey reads the key that signs heads, or makes it. Two processes that need it at once get the same.
func LoadKey(file string) (ed25519.PrivateKey, error) {
	key, err := readKey(file)
	if errors.Is(err, fs.ErrNotExist) {
		if err = makeKey(file); err == nil || errors.Is(err, fs.ErrExist) {
			key, err = readKey(file)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("key that signs the audit log: %w", err)
	}
	return key, remember(file+PublicSuffix, key.Public().(ed25519.PublicKey))
}

func readKey(file string) (ed25519.PrivateKey, error) {
	info, err := os.Stat(file)
	if err != nil {
		return nil, err
	}
	if info.Mode().Perm()&0o077 != 0 {
		return nil, fmt.Errorf("%s: others may read it (mode %#o); run chmod 600 on it if it is still secret, or move it away to get a new one", file, info.Mode().Perm())
	}
	if info.Size() > maxKeyFile {
		return nil, fmt.Errorf("%s: more than %d bytes are no key", file, maxKeyFile)
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	block, _ := pem.Decode(text)
	if block == nil || block.Type != pemPrivate {
		return nil, fmt.Errorf("%s: not a PEM block %q; put back a copy, or move it away to get a new one", file, pemPrivate)
	}
	parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	key, ok := parsed.(ed25519.PrivateKey)
	if err != nil || !ok {
		return nil, fmt.Errorf("%s: not an Ed25519 key; put back a copy, or move it away to get a new one", file)
	}
	return key, nil
}

func makeKey(file string) error {
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return err
	}
	der, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		return err
	}
	return durable.CreateFile(file, pem.EncodeToMemory(&pem.Block{Type: pemPrivate, Bytes: der}))
}

// remember adds a public key to those that ever signed.
func remember(file string, key ed25519.PublicKey) error {
	keys, err := ReadPublic(file)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	text := PublicPEM(key)
	for _, k := range keys {
		if k.Equal(key) {
			return nil
		}
		text = append(text, PublicPEM(k)...)
	}
	return durable.WriteFile(file, text)
}
