package integrity

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/hiddeco/sshsig"
	"golang.org/x/crypto/ssh"
)

// DefaultNamespace is the namespace that ssh-keygen(1) names for files.
const DefaultNamespace = "file"

// sshDSA is the type of keys that are refused by name.
const sshDSA = "ssh-dss"

// SSHSigners are the keys of allowed signers files, for signatures of one
// namespace. It does not change once built and is safe for concurrent use.
type SSHSigners struct {
	entries   []allowedSigner
	namespace string
	principal string // "" for any
}

// ReadSSHSigners reads allowed signers files as ssh-keygen(1) describes them
// under ALLOWED SIGNERS, of which each line counts that says nothing against
// it. Only signatures of the given namespace will verify, DefaultNamespace if
// it is empty. With a principal only lines whose patterns match it count, as for
// ssh-keygen -Y verify -I; without one, any line does. Pins are fingerprints as
// ssh-keygen -l prints them; see AnchorConfig.
//
// A line that does not parse makes the file unusable: ErrKeyring, with its
// number. So does cert-authority: signatures by certificates are not supported.
// Times without a Z are in the system's time zone, as for ssh-keygen.
func ReadSSHSigners(files []AnchorFile, pins []string, namespace, principal string) (*SSHSigners, error) {
	s := &SSHSigners{namespace: namespace, principal: principal}
	if namespace == "" {
		s.namespace = DefaultNamespace
	}
	for _, f := range files {
		entries, err := parseAllowedSigners(f)
		if err != nil {
			return nil, err
		}
		s.entries = append(s.entries, entries...)
	}
	if err := s.pin(pins); err != nil {
		return nil, err
	}
	if len(s.entries) == 0 {
		return nil, fmt.Errorf("%w: no signer is allowed", ErrKeyring)
	}
	return s, nil
}

func (s *SSHSigners) pin(pins []string) error {
	if len(pins) == 0 {
		return nil
	}
	names, err := parsePins(KindSSH, pins)
	if err != nil {
		return err
	}
	known := s.Fingerprints()
	for _, name := range names {
		if !slices.Contains(known, name) {
			return fmt.Errorf("%w: %s is not among the allowed signers", ErrUnknownKey, name)
		}
	}
	s.entries = slices.DeleteFunc(s.entries, func(e allowedSigner) bool { return !slices.Contains(names, e.fingerprint) })
	return nil
}

// parseSSHPin reads "SHA256:" and an unpadded base64 digest.
func parseSSHPin(s string) (string, error) {
	digest, ok := strings.CutPrefix(s, "SHA256:")
	sum, err := base64.RawStdEncoding.Strict().DecodeString(digest)
	if !ok || err != nil || len(sum) != 32 || len(digest) != 43 {
		return "", fmt.Errorf("%w %.80q: write SHA256: and 43 characters, as ssh-keygen -l prints them", ErrFingerprint, s)
	}
	return s, nil
}

// Fingerprints lists the keys' SHA-256 fingerprints, sorted.
func (s *SSHSigners) Fingerprints() []string {
	list := make([]string, 0, len(s.entries))
	for _, e := range s.entries {
		list = append(list, e.fingerprint)
	}
	slices.Sort(list)
	return slices.Compact(list)
}

// VerifyDetached checks an armored SSH signature (PROTOCOL.sshsig of OpenSSH,
// version 1) by ssh-keygen -Y sign. Its hash must be SHA-256 or SHA-512 and its
// namespace that of s, else the error is ErrNamespace. Of the lines for its key
// one must be valid at now, the time of judging: an SSH signature states no
// time, so a line that has run out ends all that its key ever signed.
func (s *SSHSigners) VerifyDetached(message io.Reader, sig []byte, now time.Time) (Signer, error) {
	parsed, err := parseSSHSignature(sig)
	if err != nil {
		return Signer{}, err
	}
	if parsed.Namespace != s.namespace {
		return Signer{}, fmt.Errorf("%w %.60q, want %q", ErrNamespace, parsed.Namespace, s.namespace)
	}
	entry, err := s.find(parsed.PublicKey, now)
	if err != nil {
		return Signer{}, err
	}
	if err := checkSSHKey(entry.key); err != nil {
		return Signer{}, fmt.Errorf("key %s: %w", entry.fingerprint, err)
	}
	reader := &notingReader{r: message}
	if err := sshsig.Verify(reader, parsed, entry.key, parsed.HashAlgorithm, s.namespace); err != nil {
		if reader.err != nil {
			return Signer{}, fmt.Errorf("read the signed bytes: %w", reader.err)
		}
		return Signer{}, fmt.Errorf("%w by %s: %w", ErrBadSignature, entry.fingerprint, err)
	}
	signer := Signer{
		Kind: KindSSH, Fingerprint: entry.fingerprint, Key: entry.fingerprint,
		Identity: entry.principals, Namespace: s.namespace,
	}
	if s.principal != "" {
		signer.Identity = s.principal
	}
	return signer, nil
}

// find returns the first line for a key that lets it sign at now.
func (s *SSHSigners) find(key ssh.PublicKey, now time.Time) (allowedSigner, error) {
	refused := fmt.Errorf("%w %s", ErrUnknownKey, ssh.FingerprintSHA256(key))
	blob := key.Marshal()
	for _, e := range s.entries {
		if !bytes.Equal(e.key.Marshal(), blob) {
			continue
		}
		err := e.allows(s.namespace, s.principal, now)
		if err == nil {
			return e, nil
		}
		refused = fmt.Errorf("key %s, line %d of %q: %w", e.fingerprint, e.line, e.file, err)
	}
	return allowedSigner{}, refused
}

// notingReader remembers why reading failed.
type notingReader struct {
	r   io.Reader
	err error
}

func (n *notingReader) Read(p []byte) (int, error) {
	count, err := n.r.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		n.err = err
	}
	return count, err
}

// sshBlob is the wire form of a signature, looked at before the module does, to
// tell why it is refused and to see what the module leaves out.
type sshBlob struct {
	Magic     [6]byte
	Version   uint32
	PublicKey []byte
	Namespace string
	Reserved  []byte
	Hash      string
	Signature []byte
}

func parseSSHSignature(sig []byte) (*sshsig.Signature, error) {
	if err := checkSignatureSize(sig); err != nil {
		return nil, err
	}
	body, err := decodePEM(sig, sshsig.PEMType)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrMalformedSignature, err)
	}
	if err := checkSSHBlob(body); err != nil {
		return nil, err
	}
	parsed, err := sshsig.Unarmor(sig)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrMalformedSignature, err)
	}
	if _, ok := parsed.PublicKey.(*ssh.Certificate); ok {
		return nil, fmt.Errorf("%w: made with a certificate", ErrUnsupportedSignature)
	}
	// The module drops the reserved field, and numbers can be written in
	// several ways: only the one way to write what was parsed will do.
	if !bytes.Equal(parsed.Marshal(), body) {
		return nil, fmt.Errorf("%w: not written in the one valid way", ErrMalformedSignature)
	}
	// Security keys add their flags and counter here, others nothing.
	if len(parsed.Signature.Rest) > 0 && !strings.HasPrefix(parsed.Signature.Format, "sk-") {
		return nil, fmt.Errorf("%w: %d bytes behind the signature", ErrMalformedSignature, len(parsed.Signature.Rest))
	}
	return parsed, nil
}

func checkSSHBlob(body []byte) error {
	var blob sshBlob
	var sig ssh.Signature
	if err := ssh.Unmarshal(body, &blob); err != nil {
		return fmt.Errorf("%w: %w", ErrMalformedSignature, err)
	}
	if string(blob.Magic[:]) != "SSHSIG" {
		return fmt.Errorf("%w: it begins with %q", ErrMalformedSignature, blob.Magic[:])
	}
	if blob.Version != 1 {
		return fmt.Errorf("%w: version %d", ErrUnsupportedSignature, blob.Version)
	}
	switch blob.Hash {
	case "sha256", "sha512":
	case "md5", "sha1":
		return fmt.Errorf("%w: %s", ErrWeakHash, blob.Hash)
	default:
		return fmt.Errorf("%w: hash %.20q", ErrUnsupportedSignature, blob.Hash)
	}
	if err := ssh.Unmarshal(blob.Signature, &sig); err != nil {
		return fmt.Errorf("%w: %w", ErrMalformedSignature, err)
	}
	switch sig.Format {
	case ssh.KeyAlgoRSA:
		return fmt.Errorf("%w: ssh-rsa, which is RSA with SHA-1", ErrWeakHash)
	case sshDSA:
		return fmt.Errorf("%w: DSA", ErrWeakKey)
	}
	return nil
}

// checkSSHKey refuses keys that are too weak to count.
func checkSSHKey(key ssh.PublicKey) error {
	if key.Type() == sshDSA {
		return fmt.Errorf("%w: DSA", ErrWeakKey)
	}
	withCrypto, ok := key.(ssh.CryptoPublicKey)
	if !ok {
		return fmt.Errorf("%w: type %s", ErrUnusableKey, key.Type())
	}
	return checkPublicKey(withCrypto.CryptoPublicKey())
}

// checkPublicKey refuses keys of the standard library's types that are too weak
// and those of other types.
func checkPublicKey(key any) error {
	switch k := key.(type) {
	case *rsa.PublicKey:
		if bits := k.N.BitLen(); bits < MinRSABits {
			return fmt.Errorf("%w: RSA of %d bits, fewer than %d", ErrWeakKey, bits, MinRSABits)
		}
	case *ecdsa.PublicKey:
		switch name := k.Curve.Params().Name; name {
		case "P-256", "P-384", "P-521":
		default:
			return fmt.Errorf("%w: curve %s", ErrWeakKey, name)
		}
	case ed25519.PublicKey:
	default:
		return fmt.Errorf("%w: key of type %T", ErrUnusableKey, key)
	}
	return nil
}
