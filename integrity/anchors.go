package integrity

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"
)

// The kinds of signature, as a policy names them and as Signer.Kind tells.
const (
	KindOpenPGP  = "openpgp"  // RFC 9580: detached or clear-signed; see Keyring
	KindMinisign = "minisign" // see MinisignKeys
	KindSignify  = "signify"  // OpenBSD signify(1): detached or embedded; see SignifyKeys
	KindSSH      = "sshsig"   // OpenSSH PROTOCOL.sshsig; see SSHSigners
	KindCMS      = "cms"      // RFC 5652 with X.509 certificates; see CMSAnchors
)

// Bounds of what a signature covers where it has to be held in memory.
const (
	// MaxHeldMessageBytes bounds the message of a signature over the message
	// itself instead of its digest: signify, and minisign's legacy form.
	MaxHeldMessageBytes = MaxManifestBytes
	// MaxClearSignedBytes bounds a file that holds a text and its signature.
	MaxClearSignedBytes = MaxManifestBytes + MaxSignatureBytes
)

// ErrMessageTooLarge reports more than MaxHeldMessageBytes or MaxClearSignedBytes.
var ErrMessageTooLarge = errors.New("signed message too large")

// Anchors are the trust anchors of one kind that a configuration names, and how
// a signature is checked against them. All kinds return the same errors for the
// same faults: those beside ErrBadSignature, wrapped. Implementations do not
// change and are safe for concurrent use.
type Anchors interface {
	// VerifyDetached checks a signature over all of message, of at most
	// MaxSignatureBytes, judging keys and dates at now. The message is read at
	// most once, and only if the signature can count. An error that comes from
	// reading it is returned wrapped.
	VerifyDetached(message io.Reader, sig []byte, now time.Time) (Signer, error)
	// Fingerprints lists what is trusted, sorted, in the form that pins have:
	// see ParsePin. A fingerprint is what Signer.Fingerprint tells.
	Fingerprints() []string
}

// TextAnchors can also check a file that holds a message and its signature:
// Keyring and SignifyKeys.
type TextAnchors interface {
	Anchors
	// VerifyClearSigned returns the signed message and nothing else of a file
	// of at most MaxClearSignedBytes. On error it returns no message.
	VerifyClearSigned(file io.Reader, now time.Time) ([]byte, Signer, error)
}

// AnchorFile is one file of trust anchors, as the configuration names it.
type AnchorFile struct {
	Name string // for messages
	Data []byte // at most MaxKeyringBytes
}

// AnchorConfig says which trust anchors to read. What it holds comes from the
// operator's configuration and never from where the files to verify come from.
type AnchorConfig struct {
	Kind  string
	Files []AnchorFile
	// Pins restrict the anchors to these, as ParsePin reads them. Each must be
	// in the files, if there are any; for CMS see ReadCMSAnchors. OpenPGP needs
	// pins, since key files often hold keys that nobody chose; for the other
	// kinds no pins means all of the files. Minisign and signify keys and CMS
	// certificates can be pinned without files.
	Pins []string
	// Revoked lists fingerprints, in the form of pins, whose signatures are
	// refused with ErrRevokedKey whatever else is true. They are compared with
	// Signer.Fingerprint and Signer.Key, so an OpenPGP file with several
	// signatures is refused if the first that verifies is by a revoked key. A
	// revoked certificate is refused anywhere in the chain of a CMS signer.
	Revoked   []string
	Namespace string   // sshsig: DefaultNamespace if empty
	Principal string   // sshsig: the identity that must have signed; "" for any in the files
	Usages    []string // cms: extended key usages, see ReadCMSAnchors
}

// ReadAnchors reads the trust anchors of one kind. The error is ErrKeyring for
// files or options that cannot be used, ErrFingerprint for a malformed pin and
// ErrUnknownKey for a pin that is not in the files. Anchors for openpgp and
// signify are also TextAnchors.
func ReadAnchors(c AnchorConfig) (Anchors, error) {
	anchors, err := readAnchors(c)
	if err != nil {
		return nil, fmt.Errorf("integrity: read %s keys: %w", c.Kind, err)
	}
	if len(c.Revoked) == 0 {
		return anchors, nil
	}
	revoked, err := parsePins(c.Kind, c.Revoked)
	if err != nil {
		return nil, fmt.Errorf("integrity: read %s keys: revoked: %w", c.Kind, err)
	}
	if a, ok := anchors.(*CMSAnchors); ok {
		a.revoked = revoked
	}
	return revoke(anchors, revoked), nil
}

func readAnchors(c AnchorConfig) (Anchors, error) {
	if err := c.check(); err != nil {
		return nil, err
	}
	switch c.Kind {
	case KindOpenPGP:
		return readPinnedKeyring(c)
	case KindMinisign:
		return ReadMinisignKeys(c.Files, c.Pins)
	case KindSignify:
		return ReadSignifyKeys(c.Files, c.Pins)
	case KindSSH:
		return ReadSSHSigners(c.Files, c.Pins, c.Namespace, c.Principal)
	case KindCMS:
		return ReadCMSAnchors(c.Files, c.Pins, c.Usages)
	}
	return nil, unknownKind(c.Kind)
}

func unknownKind(kind string) error {
	return fmt.Errorf("%w: unknown kind %.40q of signature; known: openpgp, minisign, signify, sshsig, cms", ErrKeyring, kind)
}

// check refuses options of another kind, which would otherwise be a rule that
// the operator believes in and nobody follows.
func (c AnchorConfig) check() error {
	switch {
	case c.Kind != KindSSH && (c.Namespace != "" || c.Principal != ""):
		return fmt.Errorf("%w: a namespace or principal is only for %s", ErrKeyring, KindSSH)
	case c.Kind != KindCMS && len(c.Usages) > 0:
		return fmt.Errorf("%w: key usages are only for %s", ErrKeyring, KindCMS)
	}
	for _, f := range c.Files {
		if len(f.Data) > MaxKeyringBytes {
			return fmt.Errorf("%w: %q has more than %d bytes", ErrKeyring, f.Name, MaxKeyringBytes)
		}
	}
	return nil
}

func readPinnedKeyring(c AnchorConfig) (*Keyring, error) {
	if len(c.Pins) == 0 {
		return nil, fmt.Errorf("%w: name the OpenPGP keys to trust by fingerprint", ErrKeyring)
	}
	var rings []*Keyring
	for _, f := range c.Files {
		ring, err := ReadKeyring(bytes.NewReader(f.Data))
		if err != nil {
			return nil, fmt.Errorf("%q: %w", f.Name, err)
		}
		rings = append(rings, ring)
	}
	joined, err := JoinKeyrings(rings...)
	if err != nil {
		return nil, err
	}
	return joined.Pin(c.Pins...)
}

// ParsePin returns a pin in the form that Fingerprints lists, by kind:
//
//   - openpgp: the primary key's whole fingerprint, see ParseFingerprint.
//   - minisign, signify: the public key itself, the 56 characters in the second
//     line of its file; the short key id is chosen freely by whoever makes a key.
//   - sshsig: "SHA256:" and 43 characters, as ssh-keygen -l prints.
//   - cms: the SHA-256 fingerprint of a certificate, 64 hex digits in either
//     case, with or without colons or spaces.
//
// The error is ErrFingerprint, or ErrKeyring for an unknown kind.
func ParsePin(kind, s string) (string, error) {
	switch kind {
	case KindOpenPGP:
		return ParseFingerprint(s)
	case KindMinisign, KindSignify:
		key, err := parseEdKey(s)
		if err != nil {
			return "", fmt.Errorf("%w %.80q: %w", ErrFingerprint, s, err)
		}
		return key.text, nil
	case KindSSH:
		return parseSSHPin(s)
	case KindCMS:
		return parseCertificatePin(s)
	}
	return "", unknownKind(kind)
}

func parsePins(kind string, pins []string) ([]string, error) {
	list := make([]string, 0, len(pins))
	for _, s := range pins {
		pin, err := ParsePin(kind, s)
		if err != nil {
			return nil, err
		}
		list = append(list, pin)
	}
	return list, nil
}

// ReadSignature reads a signature file without taking more than
// MaxSignatureBytes into memory, however long it is. The error for a longer one
// is ErrSignatureTooLarge.
func ReadSignature(r io.Reader) ([]byte, error) {
	return readBounded(r, MaxSignatureBytes, ErrSignatureTooLarge)
}

// readBounded reads all of r, or fails with tooLarge. It never holds more than
// twice the limit: while it grows, and then for a moment.
func readBounded(r io.Reader, limit int, tooLarge error) ([]byte, error) {
	size := 4 << 10
	if sized, ok := r.(interface{ Len() int }); ok {
		size = max(sized.Len(), 0) + 1 // one more, to see the end
	}
	buf := make([]byte, 0, min(size, limit+1))
	for idle := 0; idle < 100; idle++ {
		if len(buf) > limit {
			return nil, fmt.Errorf("%w: more than %d bytes", tooLarge, limit)
		}
		if len(buf) == cap(buf) {
			buf = append(make([]byte, 0, min(2*cap(buf), limit+1)), buf...)
		}
		n, err := r.Read(buf[len(buf):cap(buf)])
		buf = buf[:len(buf)+n]
		if errors.Is(err, io.EOF) && len(buf) <= limit {
			return buf, nil
		}
		if err != nil && len(buf) <= limit {
			return nil, fmt.Errorf("read the signed bytes: %w", err)
		}
		if n > 0 {
			idle = 0
		}
	}
	return nil, fmt.Errorf("read the signed bytes: %w", io.ErrNoProgress)
}

func checkSignatureSize(sig []byte) error {
	if len(sig) > MaxSignatureBytes {
		return fmt.Errorf("%w: more than %d bytes", ErrSignatureTooLarge, MaxSignatureBytes)
	}
	if len(sig) == 0 {
		return fmt.Errorf("%w: the file is empty", ErrMalformedSignature)
	}
	return nil
}

func revoke(anchors Anchors, revoked []string) Anchors {
	r := revoking{anchors, revoked}
	if text, ok := anchors.(TextAnchors); ok {
		return revokingText{r, text}
	}
	return r
}

// revoking refuses the signatures of revoked keys.
type revoking struct {
	Anchors
	revoked []string
}

func (r revoking) VerifyDetached(message io.Reader, sig []byte, now time.Time) (Signer, error) {
	return r.check(r.Anchors.VerifyDetached(message, sig, now))
}

func (r revoking) check(s Signer, err error) (Signer, error) {
	if err != nil {
		return Signer{}, err
	}
	for _, name := range r.revoked {
		if name == s.Key || name == s.Fingerprint {
			return Signer{}, fmt.Errorf("%w %s: the configuration revokes it", ErrRevokedKey, name)
		}
	}
	return s, nil
}

func (r revoking) Fingerprints() []string {
	return slices.DeleteFunc(slices.Clone(r.Anchors.Fingerprints()), func(fp string) bool {
		return slices.Contains(r.revoked, fp)
	})
}

type revokingText struct {
	revoking
	text TextAnchors
}

func (r revokingText) VerifyClearSigned(file io.Reader, now time.Time) ([]byte, Signer, error) {
	text, signer, err := r.text.VerifyClearSigned(file, now)
	if signer, err = r.check(signer, err); err != nil {
		return nil, Signer{}, err
	}
	return text, signer, nil
}
