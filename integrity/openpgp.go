package integrity

import (
	"bytes"
	"crypto"
	"errors"
	"fmt"
	"hash"
	"io"
	"slices"
	"strings"
	"time"

	pgperrors "github.com/ProtonMail/go-crypto/openpgp/errors"
	"github.com/ProtonMail/go-crypto/openpgp/packet"
	openpgp "github.com/ProtonMail/go-crypto/openpgp/v2"
)

// Bounds of a signature, of any kind.
const (
	MaxSignatureBytes = 64 << 10 // the file, armored or not
	MaxSignatures     = 16       // in one file, by different keys
)

// MinRSABits is the shortest RSA modulus whose signatures count.
const MinRSABits = 2048

// Why a signature proves nothing, for every kind of signature. VerifyDetached
// and VerifyClearSigned return them wrapped; with several OpenPGP signatures in
// the file the error wraps one for each.
var (
	// ErrSignatureTooLarge: more than MaxSignatureBytes or MaxSignatures.
	ErrSignatureTooLarge = errors.New("signature too large")
	// ErrMalformedSignature: not a signature of the kind, or more than one.
	ErrMalformedSignature = errors.New("malformed signature")
	// ErrUnsupportedSignature: a version, an algorithm or a critical part that
	// this package cannot evaluate.
	ErrUnsupportedSignature = errors.New("unsupported signature")
	// ErrTextSignature: detached OpenPGP in text mode, which leaves line ends open.
	ErrTextSignature = errors.New("text-mode signature")
	// ErrWeakHash: made with MD5, SHA-1 or RIPEMD-160, or by a key whose
	// certificate was.
	ErrWeakHash = errors.New("weak hash in signature")
	// ErrFutureSignature: dated after now.
	ErrFutureSignature = errors.New("signature from the future")
	// ErrExpiredSignature: the signature's own lifetime is over.
	ErrExpiredSignature = errors.New("expired signature")
	// ErrUnknownKey: made by a key that is not pinned.
	ErrUnknownKey = errors.New("unknown key")
	// ErrExpiredKey: the key, signing subkey or certificate has expired by now.
	ErrExpiredKey = errors.New("expired key")
	// ErrRevokedKey: the key, signing subkey or certificate is revoked.
	ErrRevokedKey = errors.New("revoked key")
	// ErrWeakKey: DSA, RSA below MinRSABits, a curve that OpenPGP does not
	// recommend, or a subkey bound by a weak hash. For the other kinds: DSA,
	// RSA below MinRSABits, a curve other than P-256, P-384 and P-521.
	ErrWeakKey = errors.New("weak key")
	// ErrUnusableKey: the key has no valid self-signature, is not yet valid or
	// may not sign such files.
	ErrUnusableKey = errors.New("key not usable for signing")
	// ErrBadSignature: the signature does not belong to these bytes.
	ErrBadSignature = errors.New("bad signature")
	// ErrNamespace: an SSH signature made for another purpose.
	ErrNamespace = errors.New("wrong signature namespace")
	// ErrNoSignedAttributes: a CMS signature without signed attributes.
	ErrNoSignedAttributes = errors.New("no signed attributes")
	// ErrStaleCRL: the configured revocation list says nothing about now.
	ErrStaleCRL = errors.New("revocation list not current")
)

// Signer tells who made a signature that verified, and when. What the fields
// hold depends on the kind; those of type string without a stated form are any
// text, as the signer or the operator wrote it.
type Signer struct {
	Kind string `json:"kind"` // one of the Kind constants
	// Fingerprint is what the configuration trusts, in the form of ParsePin: a
	// key, or for CMS the pinned certificate or the root of the chain.
	Fingerprint string `json:"fingerprint"`
	// Key is what signed: for OpenPGP the fingerprint of the key or subkey, for
	// CMS that of the signer's certificate, for minisign and signify the key id
	// in hex, for SSH the fingerprint again.
	Key string `json:"key"`
	// Identity is who that is. For OpenPGP the key's own claim; for CMS the
	// certificate's subject; for SSH the principal of the allowed signers file.
	Identity string `json:"identity,omitempty"`
	// Created is the time that the signature states, in UTC: the signer's word.
	// Zero if it states none, as SSH and signify signatures do.
	Created   time.Time `json:"created,omitzero"`
	Comment   string    `json:"comment,omitempty"`   // minisign: the trusted comment, which is signed
	Namespace string    `json:"namespace,omitempty"` // SSH
}

// VerifyDetached checks a detached OpenPGP signature (RFC 9580, section 10.4),
// armored or binary, over all of message. It succeeds if at least one signature
// in the file is by a key of k, made in binary mode with a strong hash and
// dated at or before now, and that key is at now neither expired nor revoked
// nor weak. Signatures by other keys beside it do not matter.
//
// The key is judged as it stands at now, not at the time of the signature,
// which is only the signer's word. The message is read once, and only if a
// signature in the file can count.
//
// Self-signatures on the user ids of a pinned key may use SHA-1, as those of
// old keys do: the fingerprint is what is trusted. Those that bind a signing
// subkey may not. Revocations by a designated revoker are not recognised.
func (k *Keyring) VerifyDetached(message io.Reader, sig []byte, now time.Time) (Signer, error) {
	packets, err := readSignatures(sig)
	if err != nil {
		return Signer{}, err
	}
	return k.verify(message, packets, signedFile{kind: packet.SigTypeBinary}, now)
}

// signedFile says what a signature must be made for.
type signedFile struct {
	kind   packet.SignatureType
	hashes []crypto.Hash // nil for any
}

func (k *Keyring) verify(message io.Reader, packets []*packet.OpaquePacket, file signedFile, now time.Time) (Signer, error) {
	now = now.UTC()
	var failures signatureErrors
	var candidates []*candidate
	var writers []io.Writer
	for _, p := range packets {
		c, err := k.prepare(p, file, now)
		if err != nil {
			failures = append(failures, err)
			continue
		}
		candidates = append(candidates, c)
		writers = append(writers, c.hash)
	}
	if len(candidates) == 0 {
		return Signer{}, failures
	}
	if _, err := io.Copy(io.MultiWriter(writers...), message); err != nil {
		return Signer{}, fmt.Errorf("read the signed bytes: %w", err)
	}
	for _, c := range candidates {
		err := c.key.PublicKey.VerifySignature(c.hash, c.sig)
		if err == nil {
			return c.signer(now), nil
		}
		failures = append(failures, fmt.Errorf("%w by %s: %w", ErrBadSignature, c.fingerprint, err))
	}
	return Signer{}, failures
}

// signatureErrors tells why each signature of a file was refused.
type signatureErrors []error

func (e signatureErrors) Error() string {
	texts := make([]string, len(e))
	for i, err := range e {
		texts[i] = err.Error()
	}
	return strings.Join(texts, "; ")
}

func (e signatureErrors) Unwrap() []error { return e }

// candidate is a signature that counts if it fits the bytes.
type candidate struct {
	sig         *packet.Signature
	key         openpgp.Key
	fingerprint string
	hash        hash.Hash
}

func (c *candidate) signer(now time.Time) Signer {
	s := Signer{
		Kind:        KindOpenPGP,
		Fingerprint: c.fingerprint,
		Key:         fingerprintText(c.key.PublicKey.Fingerprint),
		Created:     c.sig.CreationTime.UTC(),
	}
	if _, identity := c.key.Entity.PrimaryIdentity(now, pgpConfig(now)); identity != nil {
		s.Identity = identity.Name
	}
	return s
}

// readSignatures returns the signature packets of a file that holds nothing else.
func readSignatures(sig []byte) ([]*packet.OpaquePacket, error) {
	err := checkSignatureSize(sig)
	if err != nil {
		return nil, err
	}
	if sig[0]&0x80 == 0 {
		if sig, err = dearmor(sig, openpgp.SignatureType, true); err != nil {
			return nil, fmt.Errorf("%w: %w", ErrMalformedSignature, err)
		}
	}
	packets, err := readPackets(sig)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrMalformedSignature, err)
	}
	if len(packets) == 0 {
		return nil, fmt.Errorf("%w: no signature in the file", ErrMalformedSignature)
	}
	if len(packets) > MaxSignatures {
		return nil, fmt.Errorf("%w: more than %d signatures", ErrSignatureTooLarge, MaxSignatures)
	}
	for _, p := range packets {
		if p.Tag != tagSignature {
			return nil, fmt.Errorf("%w: OpenPGP packet of type %d beside the signature", ErrMalformedSignature, p.Tag)
		}
	}
	return packets, nil
}

// prepare checks all that can be told of a signature without the message.
func (k *Keyring) prepare(p *packet.OpaquePacket, file signedFile, now time.Time) (*candidate, error) {
	sig, err := parseSignature(p, file.kind)
	if err != nil {
		return nil, err
	}
	if file.hashes != nil && !slices.Contains(file.hashes, sig.Hash) {
		return nil, fmt.Errorf("%w: made with %s, which the Hash header does not name", ErrMalformedSignature, sig.Hash)
	}
	if err := checkDates(sig, now); err != nil {
		return nil, err
	}
	c, err := k.find(sig, now)
	if err != nil {
		return nil, err
	}
	if sig.CreationTime.Before(c.key.PublicKey.CreationTime) {
		return nil, fmt.Errorf("%w by %s: dated before the key was made", ErrBadSignature, c.fingerprint)
	}
	if c.hash, err = sig.PrepareVerify(); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrUnsupportedSignature, err)
	}
	return c, nil
}

// parseSignature reads a signature and refuses what no key could make good.
// The fixed fields are looked at first, since the library cannot read the
// oldest kinds and their reasons should be told.
func parseSignature(p *packet.OpaquePacket, kind packet.SignatureType) (*packet.Signature, error) {
	b := p.Contents
	if len(b) < 4 {
		return nil, fmt.Errorf("%w: packet of %d bytes", ErrMalformedSignature, len(b))
	}
	if b[0] != 4 && b[0] != 6 {
		return nil, fmt.Errorf("%w: version %d", ErrUnsupportedSignature, b[0])
	}
	switch packet.SignatureType(b[1]) {
	case kind:
	case packet.SigTypeText:
		return nil, fmt.Errorf("%w: sign without --textmode", ErrTextSignature)
	case packet.SigTypeBinary:
		return nil, fmt.Errorf("%w: a signature over a binary file, not over text", ErrMalformedSignature)
	default:
		return nil, fmt.Errorf("%w: type 0x%02x is not over a file", ErrMalformedSignature, b[1])
	}
	switch b[3] {
	case 1, 2, 3: // RFC 9580, section 9.5
		return nil, fmt.Errorf("%w: %s", ErrWeakHash, [...]string{"MD5", "SHA-1", "RIPEMD-160"}[b[3]-1])
	}
	parsed, err := p.Parse()
	if err != nil {
		var unsupported pgperrors.UnsupportedError
		if errors.As(err, &unsupported) {
			return nil, fmt.Errorf("%w: %w", ErrUnsupportedSignature, err)
		}
		return nil, fmt.Errorf("%w: %w", ErrMalformedSignature, err)
	}
	sig, ok := parsed.(*packet.Signature)
	if !ok {
		return nil, fmt.Errorf("%w: not a signature packet", ErrMalformedSignature)
	}
	for _, n := range sig.Notations {
		if n.IsCritical {
			return nil, fmt.Errorf("%w: critical notation %.60q", ErrUnsupportedSignature, n.Name)
		}
	}
	return sig, nil
}

func checkDates(sig *packet.Signature, now time.Time) error {
	if sig.CreationTime.After(now) {
		return futureSignature(sig.CreationTime, now)
	}
	if sig.SigExpired(now) {
		return fmt.Errorf("%w: made %s for %d s", ErrExpiredSignature,
			sig.CreationTime.UTC().Format(time.RFC3339), *sig.SigLifetimeSecs)
	}
	return nil
}

func futureSignature(created, now time.Time) error {
	return fmt.Errorf("%w: dated %s, which is after %s; check the clocks", ErrFutureSignature,
		created.UTC().Format(time.RFC3339), now.UTC().Format(time.RFC3339))
}

// find returns the pinned key that the signature names, if it may sign at now.
// Two pinned keys can share a key id, so each that matches is tried.
func (k *Keyring) find(sig *packet.Signature, now time.Time) (*candidate, error) {
	refused := fmt.Errorf("%w %s", ErrUnknownKey, issuer(sig))
	for _, c := range k.certs {
		for _, name := range c.keys {
			if !sig.CheckKeyIdOrFingerprintExplicit(name.fingerprint, name.id) {
				continue
			}
			entity, err := c.entity(k.revocations)
			if err != nil {
				refused = fmt.Errorf("%w %s: %w", ErrUnusableKey, c.fingerprint, err)
				continue
			}
			key, err := signingKey(entity, name, now)
			if err == nil {
				return &candidate{sig: sig, key: key, fingerprint: c.fingerprint}, nil
			}
			refused = fmt.Errorf("key %s: %w", c.fingerprint, err)
		}
	}
	return nil, refused
}

// issuer is the fingerprint or key id that a signature names, for messages.
func issuer(sig *packet.Signature) string {
	switch {
	case len(sig.IssuerFingerprint) > 0:
		return fingerprintText(sig.IssuerFingerprint)
	case sig.IssuerKeyId != nil:
		return fmt.Sprintf("%016X", *sig.IssuerKeyId)
	}
	return "(the signature names none)"
}

// pgpConfig fixes the library's rules to ours. SHA-1 stays allowed in
// self-signatures; checkBinding takes it away from subkeys.
func pgpConfig(now time.Time) *packet.Config {
	return &packet.Config{
		Time:       func() time.Time { return now },
		MinRSABits: MinRSABits,
	}
}

// signingKey returns the named key of an entity if it may sign at now.
func signingKey(entity *openpgp.Entity, name keyName, now time.Time) (openpgp.Key, error) {
	config := pgpConfig(now)
	if err := checkStrength(entity.PrimaryKey); err != nil {
		return openpgp.Key{}, err
	}
	if _, err := entity.VerifyPrimaryKey(now, config); err != nil {
		return openpgp.Key{}, keyState(err)
	}
	for i := range entity.Subkeys {
		sub := &entity.Subkeys[i]
		if !bytes.Equal(sub.PublicKey.Fingerprint, name.fingerprint) {
			continue
		}
		if err := checkStrength(sub.PublicKey); err != nil {
			return openpgp.Key{}, err
		}
		if err := checkBinding(sub, now, config); err != nil {
			return openpgp.Key{}, err
		}
	}
	key, ok := entity.SigningKeyById(now, name.id, config)
	if !ok || !bytes.Equal(key.PublicKey.Fingerprint, name.fingerprint) {
		return openpgp.Key{}, fmt.Errorf("%w: %016X may not sign", ErrUnusableKey, name.id)
	}
	return key, nil
}

// checkStrength refuses algorithms that the library's key selection would
// refuse too, to say why, and subkeys of any kind by the same rule.
func checkStrength(key *packet.PublicKey) error {
	switch key.PubKeyAlgo {
	case packet.PubKeyAlgoDSA, packet.PubKeyAlgoElGamal:
		return fmt.Errorf("%w: DSA", ErrWeakKey)
	case packet.PubKeyAlgoRSA, packet.PubKeyAlgoRSASignOnly:
		if bits, err := key.BitLength(); err != nil || bits < MinRSABits {
			return fmt.Errorf("%w: RSA of %d bits, fewer than %d", ErrWeakKey, bits, MinRSABits)
		}
	case packet.PubKeyAlgoECDSA, packet.PubKeyAlgoEdDSA:
		if curve, err := key.Curve(); err != nil || curve == packet.CurveSecP256k1 {
			return fmt.Errorf("%w: curve %q", ErrWeakKey, string(curve))
		}
	}
	return nil
}

// checkBinding judges a subkey at now. A subkey is trusted only through its
// binding, so that may not rest on a hash for which collisions are known.
func checkBinding(sub *openpgp.Subkey, now time.Time, config *packet.Config) error {
	binding, err := sub.Verify(now, config)
	if err != nil {
		return keyState(err)
	}
	for _, sig := range []*packet.Signature{binding, binding.EmbeddedSignature} {
		if sig != nil && sig.Hash == crypto.SHA1 {
			return fmt.Errorf("%w: the signing subkey is bound with SHA-1", ErrWeakKey)
		}
	}
	return nil
}

// keyState translates the library's verdict on a key.
func keyState(err error) error {
	switch {
	case errors.Is(err, pgperrors.ErrKeyRevoked):
		return ErrRevokedKey
	case errors.Is(err, pgperrors.ErrKeyExpired):
		return ErrExpiredKey
	}
	return fmt.Errorf("%w: %w", ErrUnusableKey, err)
}
