package integrity

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"aead.dev/minisign"
)

// minisignDigestBytes is the length of the BLAKE2b digest that a prehashed
// minisign signature is made over.
const minisignDigestBytes = 64

// MinisignKeys are minisign public keys. The format has no lifetimes, so no key
// expires. It does not change once built and is safe for concurrent use.
type MinisignKeys struct{ keys []edKey }

// ReadMinisignKeys reads key files (minisign.pub) and pins; see AnchorConfig
// and ReadAnchors.
func ReadMinisignKeys(files []AnchorFile, pins []string) (*MinisignKeys, error) {
	keys, err := readEdKeys(KindMinisign, files, pins)
	if err != nil {
		return nil, err
	}
	return &MinisignKeys{keys}, nil
}

// Fingerprints lists the keys as minisign -P takes them, sorted.
func (k *MinisignKeys) Fingerprints() []string { return edFingerprints(k.keys) }

// VerifyDetached checks a .minisig file: prehashed, or legacy for messages of
// up to MaxHeldMessageBytes, beyond which the error is ErrMessageTooLarge. Both
// its signatures must be by the same pinned key, whose id it must carry: that
// over the message and that over the trusted comment.
//
// Signer.Comment is the trusted comment. Signer.Created is the time in its
// "timestamp:" field, where minisign writes one; a comment that the signer
// chose has none. One after now is ErrFutureSignature.
//
// A legacy signature over a message of 64 bytes is refused as unsupported. The
// algorithm is not signed, so whoever delivers a prehashed signature could call
// it legacy and pass the file's digest for the file.
func (k *MinisignKeys) VerifyDetached(message io.Reader, sig []byte, now time.Time) (Signer, error) {
	s, text, err := parseMinisign(sig)
	if err != nil {
		return Signer{}, err
	}
	var id [8]byte
	binary.LittleEndian.PutUint64(id[:], s.KeyID)
	candidates := withID(k.keys, id)
	if len(candidates) == 0 {
		return Signer{}, fmt.Errorf("%w %016X", ErrUnknownKey, s.KeyID)
	}
	verify, err := readMinisigned(message, s.Algorithm)
	if err != nil {
		return Signer{}, err
	}
	for _, c := range candidates {
		var key minisign.PublicKey
		if err := key.UnmarshalText([]byte(c.text)); err != nil {
			return Signer{}, fmt.Errorf("%w: %w", ErrUnusableKey, err)
		}
		if verify(key, text) {
			return minisigner(c, s, now)
		}
	}
	return Signer{}, fmt.Errorf("%w by %016X", ErrBadSignature, s.KeyID)
}

// parseMinisign reads a signature file, and returns it also as the one text
// that has this content. The module's decoder ignores line ends within base64
// and bits behind its end.
func parseMinisign(sig []byte) (minisign.Signature, []byte, error) {
	var s minisign.Signature
	if err := checkSignatureSize(sig); err != nil {
		return s, nil, err
	}
	lines := splitLines(sig)
	if len(lines) != 4 {
		return s, nil, fmt.Errorf("%w: %d lines where 4 were expected", ErrMalformedSignature, len(lines))
	}
	text := append(bytes.Join(lines, []byte("\n")), '\n')
	if err := checkComment(lines[0]); err != nil {
		return s, nil, fmt.Errorf("%w: %w", ErrMalformedSignature, err)
	}
	head, err := parseEdSignature(lines[1])
	if err != nil {
		return s, nil, fmt.Errorf("%w: %w", ErrMalformedSignature, err)
	}
	if a := binary.LittleEndian.Uint16([]byte(head.algorithm)); a != minisign.EdDSA && a != minisign.HashEdDSA {
		return s, nil, fmt.Errorf("%w: algorithm %q", ErrUnsupportedSignature, head.algorithm)
	}
	if err := s.UnmarshalText(text); err != nil {
		return s, nil, fmt.Errorf("%w: %w", ErrMalformedSignature, err)
	}
	if s.String() != string(text) {
		return s, nil, fmt.Errorf("%w: not written as minisign writes it", ErrMalformedSignature)
	}
	return s, text, nil
}

// readMinisigned reads the message and returns how to verify it. The module's
// Reader is right for prehashed signatures only: of a legacy one it would take
// the digest for the message.
func readMinisigned(message io.Reader, algorithm uint16) (func(minisign.PublicKey, []byte) bool, error) {
	if algorithm == minisign.HashEdDSA {
		r := minisign.NewReader(message)
		if _, err := io.Copy(io.Discard, r); err != nil {
			return nil, fmt.Errorf("read the signed bytes: %w", err)
		}
		return r.Verify, nil
	}
	data, err := readBounded(message, MaxHeldMessageBytes, ErrMessageTooLarge)
	if err != nil {
		return nil, err
	}
	if len(data) == minisignDigestBytes {
		return nil, fmt.Errorf("%w: legacy, over a message as long as a digest; sign it prehashed", ErrUnsupportedSignature)
	}
	return func(key minisign.PublicKey, sig []byte) bool { return minisign.Verify(key, data, sig) }, nil
}

func minisigner(k edKey, s minisign.Signature, now time.Time) (Signer, error) {
	signer := Signer{
		Kind:        KindMinisign,
		Fingerprint: k.text,
		Key:         fmt.Sprintf("%016X", s.KeyID),
		Comment:     s.TrustedComment,
		Created:     minisignTime(s.TrustedComment),
	}
	if signer.Created.After(now) {
		return Signer{}, futureSignature(signer.Created, now)
	}
	return signer, nil
}

// minisignTime returns the time in a trusted comment as minisign writes it,
// fields with tabs between them; zero if there is none.
func minisignTime(comment string) time.Time {
	const lastSecond = 253402300799 // of year 9999, which RFC 3339 can still write
	for field := range strings.SplitSeq(comment, "\t") {
		value, ok := strings.CutPrefix(field, "timestamp:")
		if !ok {
			continue
		}
		seconds, err := strconv.ParseInt(value, 10, 64)
		if err != nil || seconds < 0 || seconds > lastSecond {
			return time.Time{}
		}
		return time.Unix(seconds, 0).UTC()
	}
	return time.Time{}
}
