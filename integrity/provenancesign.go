package integrity

import (
	"bytes"
	"crypto"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
)

// PayloadType is what an envelope around a statement says that it holds
// (in-toto attestation framework v1, envelope layer).
const PayloadType = "application/vnd.in-toto+json"

// MaxEnvelopeBytes bounds what Open reads: the largest statement in base64,
// and room for the rest.
const MaxEnvelopeBytes = MaxStatementBytes/3*4 + 64<<10

// Why an envelope proves nothing. Besides these, Open returns ErrUnknownKey,
// ErrBadSignature and ErrStatement.
var (
	// ErrEnvelope: not one DSSE envelope with one signature.
	ErrEnvelope = errors.New("envelope not usable")
	// ErrPayloadType: the envelope holds something else than a statement.
	ErrPayloadType = errors.New("not an in-toto statement")
	// ErrUnsigned: a bare statement, which anybody could have written.
	ErrUnsigned = errors.New("the statement is not signed")
)

// envelope is a DSSE envelope (secure-systems-lab DSSE v1.0, envelope.md).
type envelope struct {
	Payload     string              `json:"payload"`
	PayloadType string              `json:"payloadType"`
	Signatures  []envelopeSignature `json:"signatures"`
}

// envelopeSignature has one field more than DSSE's, which readers that do not
// know it ignore: the public key, so that a fingerprint is enough to verify.
type envelopeSignature struct {
	KeyID     string `json:"keyid"`
	Sig       string `json:"sig"`
	PublicKey string `json:"publicKey,omitempty"` // base64 of the SubjectPublicKeyInfo
}

// preAuthEncode is PAE of DSSE v1 (protocol.md): what is signed.
func preAuthEncode(payloadType string, payload []byte) []byte {
	buf := make([]byte, 0, len("DSSEv1")+len(payloadType)+len(payload)+48)
	buf = append(buf, "DSSEv1 "...)
	buf = strconv.AppendInt(buf, int64(len(payloadType)), 10)
	buf = append(buf, ' ')
	buf = append(buf, payloadType...)
	buf = append(buf, ' ')
	buf = strconv.AppendInt(buf, int64(len(payload)), 10)
	buf = append(buf, ' ')
	return append(buf, payload...)
}

// ProvenanceSigner signs statements with one Ed25519 key. It is safe for
// concurrent use.
type ProvenanceSigner struct {
	key    ed25519.PrivateKey
	public ed25519.PublicKey
	id     string // of public
	der    string // public, in base64
}

// NewProvenanceSigner takes the private key. The error is ErrProvenanceKey.
func NewProvenanceSigner(key ed25519.PrivateKey) (*ProvenanceSigner, error) {
	if len(key) != ed25519.PrivateKeySize {
		return nil, fmt.Errorf("integrity: provenance signer: %w: the private key has %d bytes", ErrProvenanceKey, len(key))
	}
	public, ok := key.Public().(ed25519.PublicKey)
	if !ok || !bytes.Equal(ed25519.NewKeyFromSeed(key.Seed()), key) {
		return nil, fmt.Errorf("integrity: provenance signer: %w: the private key does not fit its public key", ErrProvenanceKey)
	}
	return &ProvenanceSigner{
		key: bytes.Clone(key), public: public, id: ProvenanceKeyID(public),
		der: base64.StdEncoding.EncodeToString(publicKeyDER(public)),
	}, nil
}

// PublicKey verifies what the signer signs.
func (s *ProvenanceSigner) PublicKey() ed25519.PublicKey { return bytes.Clone(s.public) }

// Sign puts a statement into a signed envelope: JSON on one line, at most
// MaxEnvelopeBytes. The same statement always gives the same bytes (Ed25519 is
// deterministic, RFC 8032). The error is ErrStatement, for a statement that
// Open would not read back.
func (s *ProvenanceSigner) Sign(st *Statement) ([]byte, error) {
	payload, err := st.Marshal()
	if err != nil {
		return nil, err
	}
	if err := st.readable(len(payload)); err != nil {
		return nil, fmt.Errorf("integrity: sign statement: %w", err)
	}
	return s.seal(payload)
}

// seal puts a payload of PayloadType into a signed envelope.
func (s *ProvenanceSigner) seal(payload []byte) ([]byte, error) {
	sig, err := s.key.Sign(nil, preAuthEncode(PayloadType, payload), crypto.Hash(0))
	if err != nil {
		return nil, fmt.Errorf("integrity: sign statement: %w", err)
	}
	return json.Marshal(envelope{
		Payload:     base64.StdEncoding.EncodeToString(payload),
		PayloadType: PayloadType,
		Signatures: []envelopeSignature{{
			KeyID:     s.id,
			Sig:       base64.StdEncoding.EncodeToString(sig),
			PublicKey: s.der,
		}},
	})
}

// readable is what ParseStatement would say of the statement in so many bytes of JSON. It is not asked
// itself, which takes longer than all the rest of signing.
func (s *Statement) readable(size int) error {
	if size > MaxStatementBytes {
		return fmt.Errorf("%w: more than %d bytes", ErrStatement, MaxStatementBytes)
	}
	for _, subject := range s.Subject {
		folded := make(map[string]bool, len(subject.Digest))
		for name := range subject.Digest { // the only names in it that are not fixed
			folded[foldName(name)] = true
		}
		if len(folded) < len(subject.Digest) {
			return fmt.Errorf("%w: a digest is there twice", ErrStatement)
		}
	}
	return s.check()
}

// SignedStatement is a statement whose signature verified.
type SignedStatement struct {
	*Statement
	KeyID   string // of the known key that signed it
	Payload []byte // the very bytes that were signed
}

// Open verifies an envelope and returns what it holds. DSSE leaves to the
// application what counts; here that is strict, since only a gateway makes such
// envelopes: exactly one signature, by a known key, over PayloadType and the
// payload, both in base64 that has no second spelling. Fields that it does not
// know are ignored, as DSSE and in-toto ask; a field that is there twice is
// refused. Nothing of the payload is read before the signature has verified.
//
// Errors are ErrEnvelope, ErrPayloadType, ErrUnsigned for a bare statement (which
// ParseStatement reads), ErrUnknownKey, ErrBadSignature and ErrStatement.
func (k *ProvenanceKeys) Open(data []byte) (*SignedStatement, error) {
	payload, id, err := k.unseal(data)
	if err != nil {
		return nil, fmt.Errorf("integrity: open provenance: %w", err)
	}
	st, err := ParseStatement(payload)
	if err != nil {
		return nil, err
	}
	return &SignedStatement{Statement: st, KeyID: id, Payload: payload}, nil
}

// unseal returns the payload of an envelope whose signature verified, and the id
// of the key that made it.
func (k *ProvenanceKeys) unseal(data []byte) (payload []byte, id string, err error) {
	env, err := parseEnvelope(data)
	if err != nil {
		return nil, "", err
	}
	return k.verify(env)
}

func (k *ProvenanceKeys) verify(env *envelope) (payload []byte, id string, err error) {
	if env.PayloadType != PayloadType {
		return nil, "", fmt.Errorf("%w: its type is %.100q", ErrPayloadType, env.PayloadType)
	}
	if len(env.Signatures) != 1 {
		return nil, "", fmt.Errorf("%w: %d signatures, want 1", ErrEnvelope, len(env.Signatures))
	}
	sig, err := decodeDSSE("sig", env.Signatures[0].Sig)
	if err != nil {
		return nil, "", err
	}
	if payload, err = decodeDSSE("payload", env.Payload); err != nil {
		return nil, "", err
	}
	candidates, err := k.candidates(env.Signatures[0])
	if err != nil {
		return nil, "", err
	}
	message := preAuthEncode(env.PayloadType, payload)
	for id, key := range candidates {
		if ed25519.Verify(key, message, sig) {
			return payload, id, nil
		}
	}
	return nil, "", fmt.Errorf("%w: it was not made by the gateway's key over this statement", ErrBadSignature)
}

// candidates are the known keys that may have signed. The key id only narrows
// them down: DSSE does not authenticate it.
func (k *ProvenanceKeys) candidates(sig envelopeSignature) (map[string]ed25519.PublicKey, error) {
	known := make(map[string]ed25519.PublicKey)
	for id, key := range k.keys {
		if key != nil && (sig.KeyID == "" || sig.KeyID == id) {
			known[id] = key
		}
	}
	if sig.PublicKey != "" {
		der, err := decodeDSSE("publicKey", sig.PublicKey)
		if err != nil {
			return nil, err
		}
		id := keyIDOf(der)
		if key, pinned := k.keys[id]; pinned && key == nil && (sig.KeyID == "" || sig.KeyID == id) {
			if known[id], err = parsePublicKey(pemPublicKey, der); err != nil {
				return nil, err
			}
		}
	}
	if len(known) == 0 {
		return nil, fmt.Errorf("%w: it says that %.100q signed it", ErrUnknownKey, sig.KeyID)
	}
	return known, nil
}

// decodeDSSE takes both alphabets of RFC 4648, as DSSE demands, but of each
// only the spelling that encoding gives: no line breaks, no stray bits.
func decodeDSSE(what, text string) ([]byte, error) {
	for _, encoding := range []*base64.Encoding{base64.StdEncoding, base64.URLEncoding} {
		if data, err := encoding.DecodeString(text); err == nil && encoding.EncodeToString(data) == text {
			return data, nil
		}
	}
	return nil, fmt.Errorf("%w: %s is not canonical base64", ErrEnvelope, what)
}

func parseEnvelope(data []byte) (*envelope, error) {
	if len(data) > MaxEnvelopeBytes {
		return nil, fmt.Errorf("%w: more than %d bytes", ErrEnvelope, MaxEnvelopeBytes)
	}
	if err := checkJSON(data); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrEnvelope, err)
	}
	// A map has exact keys; a struct would take "Payload" for "payload".
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(data, &fields); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrEnvelope, err)
	}
	if fields["_type"] != nil && fields["payload"] == nil {
		return nil, ErrUnsigned
	}
	env := &envelope{}
	var signatures []map[string]json.RawMessage
	err := errors.Join(
		required(fields, "payload", &env.Payload),
		required(fields, "payloadType", &env.PayloadType),
		required(fields, "signatures", &signatures))
	for _, s := range signatures {
		var sig envelopeSignature
		err = errors.Join(err,
			required(s, "sig", &sig.Sig),
			optional(s, "keyid", &sig.KeyID),
			optional(s, "publicKey", &sig.PublicKey))
		if env.Signatures = append(env.Signatures, sig); len(env.Signatures) > 1 {
			break // one too many: verify says so
		}
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrEnvelope, err)
	}
	return env, nil
}

func required(fields map[string]json.RawMessage, name string, to any) error {
	if fields[name] == nil {
		return fmt.Errorf("it has no %s", name)
	}
	return optional(fields, name, to)
}

func optional(fields map[string]json.RawMessage, name string, to any) error {
	if fields[name] == nil {
		return nil
	}
	if err := json.Unmarshal(fields[name], to); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return nil
}
