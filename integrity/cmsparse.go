package integrity

import (
	"crypto"
	"crypto/rsa"
	"crypto/x509"
	"encoding/asn1"
	"errors"
	"fmt"
	"math/big"
	"time"

	"golang.org/x/crypto/cryptobyte"
	casn1 "golang.org/x/crypto/cryptobyte/asn1"
)

// Object identifiers as text, which a switch can compare.
const (
	oidData          = "1.2.840.113549.1.7.1"
	oidSignedData    = "1.2.840.113549.1.7.2"
	oidContentType   = "1.2.840.113549.1.9.3"
	oidMessageDigest = "1.2.840.113549.1.9.4"
	oidSigningTime   = "1.2.840.113549.1.9.5"
)

// Bounds of one CMS signature.
const (
	maxCMSCertificates = 32
	maxCMSAttributes   = 64       // signed, of one signer
	maxCMSRSABits      = 16 << 10 // of a certificate that was sent along: its key costs time before it is trusted
)

// cmsMessage is a CMS SignedData without content (RFC 5652, section 5).
type cmsMessage struct {
	certs   []*x509.Certificate
	signers []*cmsSigner
}

// cmsSigner is a SignerInfo with signed attributes.
type cmsSigner struct {
	version        int
	issuer, serial []byte // the name in DER, and the number, if the certificate is named so
	keyID          []byte // its subject key identifier, otherwise
	hash           crypto.Hash
	attributes     []byte // as they are signed: a SET in DER
	messageDigest  []byte
	created        time.Time // zero if not stated
	algorithm      string    // of the signature
	parameters     cryptobyte.String
	signature      []byte
}

// parseCMS reads DER or BER. It knows nothing optional that could change what
// is verified: an element that it does not expect is an error.
func parseCMS(data []byte) (*cmsMessage, error) {
	der, err := berToDER(data)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrMalformedSignature, err)
	}
	input := cryptobyte.String(der)
	var info, content, signed cryptobyte.String
	var kind asn1.ObjectIdentifier
	if !input.ReadASN1(&info, casn1.SEQUENCE) || !info.ReadASN1ObjectIdentifier(&kind) {
		return nil, fmt.Errorf("%w: not a CMS message", ErrMalformedSignature)
	}
	if kind.String() != oidSignedData {
		return nil, fmt.Errorf("%w: content type %s is not signed data", ErrMalformedSignature, kind)
	}
	if !info.ReadASN1(&content, explicitTag(0)) || !info.Empty() ||
		!content.ReadASN1(&signed, casn1.SEQUENCE) || !content.Empty() {
		return nil, fmt.Errorf("%w: no signed data in the CMS message", ErrMalformedSignature)
	}
	return parseSignedData(signed)
}

func explicitTag(n uint8) casn1.Tag { return casn1.Tag(n).ContextSpecific().Constructed() }

func parseSignedData(s cryptobyte.String) (*cmsMessage, error) {
	var version int
	var digests, content, signers cryptobyte.String
	if !s.ReadASN1Integer(&version) ||
		!s.ReadASN1(&digests, casn1.SET) || !s.ReadASN1(&content, casn1.SEQUENCE) {
		return nil, fmt.Errorf("%w: signed data cannot be read", ErrMalformedSignature)
	}
	if err := checkDetached(content); err != nil {
		return nil, err
	}
	m := &cmsMessage{}
	var certs, crls cryptobyte.String
	var hasCerts, hasCRLs bool
	// Revocation lists that the signer sends along are not read: only those of
	// the configuration count.
	if !s.ReadOptionalASN1(&certs, &hasCerts, explicitTag(0)) || !s.ReadOptionalASN1(&crls, &hasCRLs, explicitTag(1)) ||
		!s.ReadASN1(&signers, casn1.SET) || !s.Empty() {
		return nil, fmt.Errorf("%w: signed data without signers", ErrMalformedSignature)
	}
	if err := m.parseCertificates(certs); err != nil {
		return nil, err
	}
	if err := m.parseSigners(signers); err != nil {
		return nil, err
	}
	newest := 1
	for _, signer := range m.signers {
		newest = max(newest, signer.version)
	}
	if version != newest {
		return nil, fmt.Errorf("%w: signed data of version %d with signers of version %d", ErrMalformedSignature, version, newest)
	}
	if err := m.checkDigests(digests); err != nil {
		return nil, err
	}
	return m, nil
}

func checkDetached(content cryptobyte.String) error {
	var kind asn1.ObjectIdentifier
	if !content.ReadASN1ObjectIdentifier(&kind) || kind.String() != oidData {
		return fmt.Errorf("%w: it is over content of type %s, not over data", ErrMalformedSignature, kind)
	}
	if !content.Empty() {
		return fmt.Errorf("%w: it holds its own content, so it is not detached", ErrMalformedSignature)
	}
	return nil
}

func (m *cmsMessage) parseCertificates(s cryptobyte.String) error {
	for !s.Empty() {
		var der cryptobyte.String
		if !s.ReadASN1Element(&der, casn1.SEQUENCE) {
			return fmt.Errorf("%w: something other than an X.509 certificate", ErrMalformedSignature)
		}
		if len(m.certs) == maxCMSCertificates {
			return fmt.Errorf("%w: more than %d certificates", ErrSignatureTooLarge, maxCMSCertificates)
		}
		cert, err := x509.ParseCertificate(der)
		if err != nil {
			return fmt.Errorf("%w: %w", ErrMalformedSignature, err)
		}
		if key, ok := cert.PublicKey.(*rsa.PublicKey); ok && key.N.BitLen() > maxCMSRSABits {
			return fmt.Errorf("%w: a certificate with RSA of %d bits", ErrSignatureTooLarge, key.N.BitLen())
		}
		m.certs = append(m.certs, cert)
	}
	return nil
}

func (m *cmsMessage) parseSigners(s cryptobyte.String) error {
	for !s.Empty() {
		if len(m.signers) == MaxSignatures {
			return fmt.Errorf("%w: more than %d signers", ErrSignatureTooLarge, MaxSignatures)
		}
		signer, err := parseCMSSigner(&s)
		if err != nil {
			return err
		}
		m.signers = append(m.signers, signer)
	}
	if len(m.signers) == 0 {
		return fmt.Errorf("%w: no signer", ErrMalformedSignature)
	}
	return nil
}

// checkDigests compares the list of digests in front with those of the signers:
// neither may name one that the other does not.
func (m *cmsMessage) checkDigests(s cryptobyte.String) error {
	listed := map[crypto.Hash]bool{}
	for !s.Empty() {
		h, err := readDigestAlgorithm(&s)
		if err != nil {
			return err
		}
		listed[h] = true
	}
	used := map[crypto.Hash]bool{}
	for _, signer := range m.signers {
		used[signer.hash] = true
		if !listed[signer.hash] {
			return fmt.Errorf("%w: digest %s of a signer is not listed", ErrMalformedSignature, signer.hash)
		}
	}
	if len(used) != len(listed) {
		return fmt.Errorf("%w: a digest is listed that no signer uses", ErrMalformedSignature)
	}
	return nil
}

func parseCMSSigner(s *cryptobyte.String) (*cmsSigner, error) {
	malformed := fmt.Errorf("%w: signer info cannot be read", ErrMalformedSignature)
	var info, attributes, unsigned cryptobyte.String
	signer := &cmsSigner{}
	if !s.ReadASN1(&info, casn1.SEQUENCE) || !signer.readName(&info) {
		return nil, malformed
	}
	var err error
	if signer.hash, err = readDigestAlgorithm(&info); err != nil {
		return nil, err
	}
	if !info.PeekASN1Tag(explicitTag(0)) {
		// Such a signature covers the file alone, and bytes that are signed
		// attributes of another signature can pass as its file.
		return nil, ErrNoSignedAttributes
	}
	if !info.ReadASN1Element(&attributes, explicitTag(0)) {
		return nil, malformed
	}
	// What is signed is the same with the tag of a SET (RFC 5652, section 5.4).
	signer.attributes = append([]byte{byte(casn1.SET)}, attributes[1:]...)
	if err := signer.parseAttributes(attributes); err != nil {
		return nil, err
	}
	if signer.algorithm, signer.parameters, err = readAlgorithm(&info); err != nil {
		return nil, err
	}
	if !info.ReadASN1Bytes(&signer.signature, casn1.OCTET_STRING) ||
		!info.ReadOptionalASN1(&unsigned, new(bool), explicitTag(1)) || !info.Empty() {
		return nil, malformed
	}
	return signer, nil
}

// readName reads which certificate is the signer's: in version 1 issuer and
// serial number, in version 3 the subject key identifier.
func (s *cmsSigner) readName(in *cryptobyte.String) bool {
	if !in.ReadASN1Integer(&s.version) {
		return false
	}
	switch s.version {
	case 1:
		var name, issuer cryptobyte.String
		var serial big.Int
		if !in.ReadASN1(&name, casn1.SEQUENCE) || !name.ReadASN1Element(&issuer, casn1.SEQUENCE) ||
			!name.ReadASN1Integer(&serial) || !name.Empty() || serial.Sign() < 0 {
			return false
		}
		s.issuer, s.serial = issuer, serial.Bytes()
		return true
	case 3:
		var id cryptobyte.String
		if !in.ReadASN1(&id, casn1.Tag(0).ContextSpecific()) || len(id) == 0 {
			return false
		}
		s.keyID = id
		return true
	}
	return false
}

// parseAttributes needs each attribute once and with one value, and of those
// that RFC 5652, section 11, asks for, both.
func (s *cmsSigner) parseAttributes(in cryptobyte.String) error {
	var list cryptobyte.String
	if !in.ReadASN1(&list, explicitTag(0)) {
		return fmt.Errorf("%w: signed attributes cannot be read", ErrMalformedSignature)
	}
	seen := map[string]bool{}
	for !list.Empty() {
		var attribute, values cryptobyte.String
		var id asn1.ObjectIdentifier
		if !list.ReadASN1(&attribute, casn1.SEQUENCE) || !attribute.ReadASN1ObjectIdentifier(&id) ||
			!attribute.ReadASN1(&values, casn1.SET) || !attribute.Empty() {
			return fmt.Errorf("%w: signed attributes cannot be read", ErrMalformedSignature)
		}
		name := id.String()
		if seen[name] || len(seen) == maxCMSAttributes {
			return fmt.Errorf("%w: signed attribute %s twice, or more than %d", ErrMalformedSignature, name, maxCMSAttributes)
		}
		seen[name] = true
		if err := s.setAttribute(name, values); err != nil {
			return fmt.Errorf("%w: signed attribute %s: %w", ErrMalformedSignature, name, err)
		}
	}
	if !seen[oidContentType] || !seen[oidMessageDigest] {
		return fmt.Errorf("%w: no content type or no message digest is among them", ErrNoSignedAttributes)
	}
	return nil
}

func (s *cmsSigner) setAttribute(name string, values cryptobyte.String) error {
	var ok bool
	switch name {
	case oidContentType:
		var kind asn1.ObjectIdentifier
		ok = values.ReadASN1ObjectIdentifier(&kind) && kind.String() == oidData
	case oidMessageDigest:
		ok = values.ReadASN1Bytes(&s.messageDigest, casn1.OCTET_STRING)
	case oidSigningTime:
		if values.PeekASN1Tag(casn1.UTCTime) {
			ok = values.ReadASN1UTCTime(&s.created)
		} else {
			ok = values.ReadASN1GeneralizedTime(&s.created)
		}
	default:
		return nil // signed, and of no meaning here
	}
	if !ok || !values.Empty() {
		return errors.New("it has not the one value that it must have")
	}
	return nil
}

// readAlgorithm reads an AlgorithmIdentifier.
func readAlgorithm(s *cryptobyte.String) (oid string, parameters cryptobyte.String, err error) {
	var algorithm cryptobyte.String
	var id asn1.ObjectIdentifier
	if !s.ReadASN1(&algorithm, casn1.SEQUENCE) || !algorithm.ReadASN1ObjectIdentifier(&id) {
		return "", nil, fmt.Errorf("%w: algorithm cannot be read", ErrMalformedSignature)
	}
	return id.String(), algorithm, nil
}

// isNullOrAbsent reports parameters that say nothing.
func isNullOrAbsent(parameters cryptobyte.String) bool {
	var null cryptobyte.String
	return parameters.Empty() || parameters.ReadASN1(&null, casn1.NULL) && null.Empty() && parameters.Empty()
}

// readDigestAlgorithm accepts SHA-256, SHA-384 and SHA-512.
func readDigestAlgorithm(s *cryptobyte.String) (crypto.Hash, error) {
	oid, parameters, err := readAlgorithm(s)
	if err != nil {
		return 0, err
	}
	if !isNullOrAbsent(parameters) {
		return 0, fmt.Errorf("%w: digest %s with parameters", ErrMalformedSignature, oid)
	}
	switch oid {
	case "2.16.840.1.101.3.4.2.1":
		return crypto.SHA256, nil
	case "2.16.840.1.101.3.4.2.2":
		return crypto.SHA384, nil
	case "2.16.840.1.101.3.4.2.3":
		return crypto.SHA512, nil
	case "1.2.840.113549.2.5":
		return 0, fmt.Errorf("%w: MD5", ErrWeakHash)
	case "1.3.14.3.2.26":
		return 0, fmt.Errorf("%w: SHA-1", ErrWeakHash)
	}
	return 0, fmt.Errorf("%w: digest %s", ErrUnsupportedSignature, oid)
}
