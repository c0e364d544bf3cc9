package integrity

import (
	"bytes"
	"crypto/ed25519"
	"encoding/hex"
	"fmt"
	"io"
	"time"
)

// SignifyKeys are OpenBSD signify(1) public keys. The format has no dates, so
// no signature by them expires and Signer.Created is zero. It does not change
// once built and is safe for concurrent use.
type SignifyKeys struct{ keys []edKey }

// ReadSignifyKeys reads key files (the .pub files of signify -G) and pins; see
// AnchorConfig and ReadAnchors.
func ReadSignifyKeys(files []AnchorFile, pins []string) (*SignifyKeys, error) {
	keys, err := readEdKeys(KindSignify, files, pins)
	if err != nil {
		return nil, err
	}
	return &SignifyKeys{keys}, nil
}

// Fingerprints lists the keys as they stand in their files, sorted.
func (k *SignifyKeys) Fingerprints() []string { return edFingerprints(k.keys) }

// VerifyDetached checks a signature file as signify -S writes it: a line of
// comment, which nothing signs and nobody reads, and a line of base64. The
// message may have up to MaxHeldMessageBytes, since signify signs the message
// and not its digest: beyond, the error is ErrMessageTooLarge.
func (k *SignifyKeys) VerifyDetached(message io.Reader, sig []byte, now time.Time) (Signer, error) {
	if err := checkSignatureSize(sig); err != nil {
		return Signer{}, err
	}
	lines := splitLines(sig)
	if len(lines) != 2 {
		return Signer{}, fmt.Errorf("%w: %d lines where 2 were expected", ErrMalformedSignature, len(lines))
	}
	s, candidates, err := k.parse(lines[0], lines[1])
	if err != nil {
		return Signer{}, err
	}
	data, err := readBounded(message, MaxHeldMessageBytes, ErrMessageTooLarge)
	if err != nil {
		return Signer{}, err
	}
	return verifySignify(candidates, s, data)
}

// VerifyClearSigned checks a file as signify -S -e writes it, a signature with
// the message behind it, and returns the message: all that follows the second
// line, byte for byte. A file without a message is ErrMalformedSignature.
func (k *SignifyKeys) VerifyClearSigned(file io.Reader, now time.Time) ([]byte, Signer, error) {
	data, err := readBounded(file, MaxClearSignedBytes, ErrMessageTooLarge)
	if err != nil {
		return nil, Signer{}, err
	}
	comment, rest, _ := bytes.Cut(data, []byte("\n"))
	line, message, _ := bytes.Cut(rest, []byte("\n"))
	s, candidates, err := k.parse(comment, line)
	if err != nil {
		return nil, Signer{}, err
	}
	if len(message) == 0 {
		return nil, Signer{}, fmt.Errorf("%w: no message behind the signature", ErrMalformedSignature)
	}
	signer, err := verifySignify(candidates, s, message)
	if err != nil {
		return nil, Signer{}, err
	}
	return message, signer, nil
}

// parse reads the two lines of a signature and finds the keys it may be by.
func (k *SignifyKeys) parse(comment, line []byte) (edSignature, []edKey, error) {
	if err := checkComment(comment); err != nil {
		return edSignature{}, nil, fmt.Errorf("%w: %w", ErrMalformedSignature, err)
	}
	s, err := parseEdSignature(line)
	if err != nil {
		return s, nil, fmt.Errorf("%w: %w", ErrMalformedSignature, err)
	}
	if s.algorithm != edAlgorithm {
		return s, nil, fmt.Errorf("%w: algorithm %q", ErrUnsupportedSignature, s.algorithm)
	}
	candidates := withID(k.keys, s.id)
	if len(candidates) == 0 {
		return s, nil, fmt.Errorf("%w %s", ErrUnknownKey, hex.EncodeToString(s.id[:]))
	}
	return s, candidates, nil
}

func verifySignify(candidates []edKey, s edSignature, message []byte) (Signer, error) {
	id := hex.EncodeToString(s.id[:])
	for _, k := range candidates {
		if ed25519.Verify(k.key, message, s.signature) {
			return Signer{Kind: KindSignify, Fingerprint: k.text, Key: id}, nil
		}
	}
	return Signer{}, fmt.Errorf("%w by %s", ErrBadSignature, id)
}
