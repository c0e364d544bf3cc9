package integrity

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/subtle"
	"crypto/x509"
	"encoding/asn1"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"time"

	"golang.org/x/crypto/cryptobyte"
	casn1 "golang.org/x/crypto/cryptobyte/asn1"
)

// CMSAnchors are X.509 certificates that the configuration trusts for CMS
// signatures, with what it says of revocation. It does not change once built
// and is safe for concurrent use. It fetches nothing: neither certificates nor
// revocation lists nor OCSP answers.
type CMSAnchors struct {
	certs  []*x509.Certificate // roots, or signers' own
	roots  *x509.CertPool      // the same
	pins   []string            // fingerprints, of which the chain must hold one
	crls   []*x509.RevocationList
	usages []string // object identifiers

	revoked []string // fingerprints, of which the chain must hold none
}

// VerifyDetached checks a detached CMS signature (RFC 5652), as openssl cms
// -sign -binary and S/MIME programs make it, in DER, in BER or as one PEM block
// of type CMS or PKCS7. Content of another type than data is refused, as is a
// signature that holds its content.
//
// All signers in the file must verify and be trusted; the first is returned.
// Each needs signed attributes with content type and message digest, else the
// error is ErrNoSignedAttributes. Digests are SHA-256, SHA-384 and SHA-512;
// signatures are RSA (PKCS #1 v1.5 or PSS) of MinRSABits or more, ECDSA on
// P-256, P-384 and P-521, and Ed25519.
//
// The signer's certificate must be valid at now, whatever time the signature
// states, and trusted: see ReadCMSAnchors. A time that it states is
// Signer.Created and may be neither after now nor before its certificate was
// valid. Certificates sent along only help to build the chain; revocation lists
// and time stamps sent along are not read.
func (a *CMSAnchors) VerifyDetached(message io.Reader, sig []byte, now time.Time) (Signer, error) {
	if err := checkSignatureSize(sig); err != nil {
		return Signer{}, err
	}
	if sig[0] == '-' {
		der, err := decodePEM(sig, "CMS", "PKCS7")
		if err != nil {
			return Signer{}, fmt.Errorf("%w: %w", ErrMalformedSignature, err)
		}
		sig = der
	}
	m, err := parseCMS(sig)
	if err != nil {
		return Signer{}, err
	}
	now = now.UTC()
	proofs := make([]cmsProof, len(m.signers))
	for i, signer := range m.signers {
		if proofs[i], err = a.prove(signer, m.certs, now); err != nil {
			return Signer{}, err
		}
	}
	digests, err := m.digests(message)
	if err != nil {
		return Signer{}, err
	}
	for i, signer := range m.signers {
		if subtle.ConstantTimeCompare(digests[signer.hash], signer.messageDigest) != 1 {
			return Signer{}, fmt.Errorf("%w by %s: the message has another digest", ErrBadSignature, proofs[i].cert.Subject)
		}
	}
	return proofs[0].signer(m.signers[0]), nil
}

// cmsProof says why a signer is trusted.
type cmsProof struct {
	cert   *x509.Certificate // the signer's
	anchor string            // fingerprint of what the configuration trusts
}

func (p cmsProof) signer(s *cmsSigner) Signer {
	return Signer{
		Kind:        KindCMS,
		Fingerprint: p.anchor,
		Key:         certificateFingerprint(p.cert),
		Identity:    p.cert.Subject.String(),
		Created:     s.created,
	}
}

// prove finds a certificate of the signer that is trusted and whose key made
// the signature over the attributes. Whoever sends the file can put several
// certificates of the same name into it.
func (a *CMSAnchors) prove(s *cmsSigner, sent []*x509.Certificate, now time.Time) (cmsProof, error) {
	if s.created.After(now) {
		return cmsProof{}, futureSignature(s.created, now)
	}
	refused := fmt.Errorf("%w: the signer's certificate is neither in the signature nor configured", ErrUnknownKey)
	for _, cert := range append(a.certs[:len(a.certs):len(a.certs)], sent...) {
		if !s.names(cert) {
			continue
		}
		anchor, err := a.trust(cert, sent, now)
		if err == nil {
			err = s.verify(cert)
		}
		if err == nil {
			return cmsProof{cert, anchor}, nil
		}
		refused = fmt.Errorf("certificate of %.200q: %w", cert.Subject.String(), err)
	}
	return cmsProof{}, refused
}

// names reports whether a certificate has the signer's name.
func (s *cmsSigner) names(cert *x509.Certificate) bool {
	if s.keyID != nil {
		return bytes.Equal(s.keyID, cert.SubjectKeyId)
	}
	return bytes.Equal(s.issuer, cert.RawIssuer) && bytes.Equal(s.serial, cert.SerialNumber.Bytes())
}

// digests reads the message once.
func (m *cmsMessage) digests(message io.Reader) (map[crypto.Hash][]byte, error) {
	hashes := map[crypto.Hash]hash.Hash{}
	var writers []io.Writer
	for _, s := range m.signers {
		if hashes[s.hash] == nil {
			h := s.hash.New()
			hashes[s.hash] = h
			writers = append(writers, h)
		}
	}
	if _, err := io.Copy(io.MultiWriter(writers...), message); err != nil {
		return nil, fmt.Errorf("read the signed bytes: %w", err)
	}
	sums := map[crypto.Hash][]byte{}
	for id, h := range hashes {
		sums[id] = h.Sum(nil)
	}
	return sums, nil
}

// verify checks the signature over the attributes.
func (s *cmsSigner) verify(cert *x509.Certificate) error {
	if !s.created.IsZero() && s.created.Before(cert.NotBefore) {
		return fmt.Errorf("%w: dated before the certificate was valid", ErrBadSignature)
	}
	h := s.hash.New()
	h.Write(s.attributes)
	digest := h.Sum(nil)
	valid, err := false, error(nil)
	switch key := cert.PublicKey.(type) {
	case *rsa.PublicKey:
		valid, err = s.verifyRSA(key, digest)
	case *ecdsa.PublicKey:
		if err = s.wantAlgorithm("", ecdsaWith(s.hash)); err == nil {
			valid = ecdsa.VerifyASN1(key, digest, s.signature)
		}
	case ed25519.PublicKey:
		// RFC 8419 fixes SHA-512 for the message; the attributes are signed whole.
		if err = s.wantAlgorithm("", oidEd25519); err == nil && s.hash != crypto.SHA512 {
			err = fmt.Errorf("%w: Ed25519 with %s", ErrUnsupportedSignature, s.hash)
		}
		valid = err == nil && ed25519.Verify(key, s.attributes, s.signature)
	default:
		return fmt.Errorf("%w: key of type %T", ErrUnusableKey, key)
	}
	if err != nil {
		return err
	}
	if !valid {
		return fmt.Errorf("%w: it is not over these attributes", ErrBadSignature)
	}
	return nil
}

// Signature algorithms.
const (
	oidRSA     = "1.2.840.113549.1.1.1"
	oidRSAPSS  = "1.2.840.113549.1.1.10"
	oidMGF1    = "1.2.840.113549.1.1.8"
	oidEd25519 = "1.3.101.112"
)

func rsaWith(h crypto.Hash) string {
	switch h {
	case crypto.SHA256:
		return "1.2.840.113549.1.1.11"
	case crypto.SHA384:
		return "1.2.840.113549.1.1.12"
	}
	return "1.2.840.113549.1.1.13"
}

func ecdsaWith(h crypto.Hash) string {
	switch h {
	case crypto.SHA256:
		return "1.2.840.10045.4.3.2"
	case crypto.SHA384:
		return "1.2.840.10045.4.3.3"
	}
	return "1.2.840.10045.4.3.4"
}

// wantAlgorithm accepts one of two names, without parameters: one that leaves
// the hash open, "" for none, and one that must name the digest's.
func (s *cmsSigner) wantAlgorithm(open, named string) error {
	switch s.algorithm {
	case open, named:
		if !isNullOrAbsent(s.parameters) {
			return fmt.Errorf("%w: algorithm %s with parameters", ErrMalformedSignature, s.algorithm)
		}
		return nil
	case "1.2.840.113549.1.1.4", "1.2.840.113549.1.1.5", "1.2.840.10045.4.1":
		return fmt.Errorf("%w: algorithm %s is with MD5 or SHA-1", ErrWeakHash, s.algorithm)
	}
	return fmt.Errorf("%w: algorithm %s with this key and %s", ErrUnsupportedSignature, s.algorithm, s.hash)
}

func (s *cmsSigner) verifyRSA(key *rsa.PublicKey, digest []byte) (bool, error) {
	if s.algorithm != oidRSAPSS {
		if err := s.wantAlgorithm(oidRSA, rsaWith(s.hash)); err != nil {
			return false, err
		}
		return rsa.VerifyPKCS1v15(key, s.hash, digest, s.signature) == nil, nil
	}
	salt, err := parsePSS(s.parameters, s.hash)
	if err != nil {
		return false, err
	}
	options := &rsa.PSSOptions{SaltLength: salt, Hash: s.hash}
	return rsa.VerifyPSS(key, s.hash, digest, s.signature, options) == nil, nil
}

// parsePSS reads RSASSA-PSS-params (RFC 8017, appendix A.2.3) and returns the
// length of the salt. Both hashes must be that of the digest; the defaults,
// which are SHA-1, are not.
func parsePSS(s cryptobyte.String, want crypto.Hash) (salt int, err error) {
	malformed := fmt.Errorf("%w: parameters of RSA-PSS", ErrMalformedSignature)
	var params, field cryptobyte.String
	if !s.ReadASN1(&params, casn1.SEQUENCE) || !s.Empty() {
		return 0, malformed
	}
	if !params.PeekASN1Tag(explicitTag(0)) || !params.ReadASN1(&field, explicitTag(0)) {
		return 0, fmt.Errorf("%w: RSA-PSS with SHA-1", ErrWeakHash)
	}
	h, err := readDigestAlgorithm(&field)
	if err != nil || !field.Empty() {
		return 0, errors.Join(malformed, err)
	}
	if !params.PeekASN1Tag(explicitTag(1)) || !params.ReadASN1(&field, explicitTag(1)) {
		return 0, fmt.Errorf("%w: RSA-PSS with MGF1 of SHA-1", ErrWeakHash)
	}
	mask, maskParams, err := readAlgorithm(&field)
	if err != nil || !field.Empty() || mask != oidMGF1 {
		return 0, errors.Join(malformed, err)
	}
	maskHash, err := readDigestAlgorithm(&maskParams)
	if err != nil || !maskParams.Empty() {
		return 0, errors.Join(malformed, err)
	}
	salt = 20
	if params.PeekASN1Tag(explicitTag(2)) &&
		(!params.ReadASN1(&field, explicitTag(2)) || !field.ReadASN1Integer(&salt) || !field.Empty()) {
		return 0, malformed
	}
	// A trailer field, if there, can only say the default, which DER leaves out.
	if !params.Empty() || h != want || maskHash != want || salt < 0 || salt > 1024 {
		return 0, malformed
	}
	if salt == 0 {
		// Zero would mean any length to the standard library.
		return 0, fmt.Errorf("%w: RSA-PSS without salt", ErrUnsupportedSignature)
	}
	return salt, nil
}

func certificateFingerprint(cert *x509.Certificate) string {
	h := crypto.SHA256.New()
	h.Write(cert.Raw)
	return fingerprintText(h.Sum(nil))
}

// parseCertificatePin reads the SHA-256 of a certificate in hex.
func parseCertificatePin(s string) (string, error) {
	var digits []byte
	for _, c := range []byte(s) {
		if c != ':' && c != ' ' {
			digits = append(digits, c)
		}
	}
	sum, err := hex.DecodeString(string(digits))
	if err != nil || len(sum) != crypto.SHA256.Size() {
		return "", fmt.Errorf("%w %.100q: write the 64 hex digits of the certificate's SHA-256", ErrFingerprint, s)
	}
	return fingerprintText(sum), nil
}

// usageOID returns the object identifier of an extended key usage.
func usageOID(name string) (string, error) {
	switch name {
	case "emailProtection":
		return "1.3.6.1.5.5.7.3.4", nil
	case "codeSigning":
		return "1.3.6.1.5.5.7.3.3", nil
	case "clientAuth":
		return "1.3.6.1.5.5.7.3.2", nil
	case "documentSigning": // RFC 9336
		return "1.3.6.1.5.5.7.3.36", nil
	}
	if id, err := x509.ParseOID(name); err == nil {
		return id.String(), nil
	}
	return "", fmt.Errorf("%w: unknown key usage %.60q: write emailProtection, codeSigning, documentSigning, clientAuth or an object identifier", ErrKeyring, name)
}

// certificateUsages lists the extended key usages of a certificate, nil if it
// has no such extension.
func certificateUsages(cert *x509.Certificate) ([]string, error) {
	for _, ext := range cert.Extensions {
		if ext.Id.String() != "2.5.29.37" {
			continue
		}
		input := cryptobyte.String(ext.Value)
		var list cryptobyte.String
		usages := []string{}
		if !input.ReadASN1(&list, casn1.SEQUENCE) || !input.Empty() {
			return nil, fmt.Errorf("%w: extended key usage cannot be read", ErrUnusableKey)
		}
		for !list.Empty() {
			var id asn1.ObjectIdentifier
			if !list.ReadASN1ObjectIdentifier(&id) {
				return nil, fmt.Errorf("%w: extended key usage cannot be read", ErrUnusableKey)
			}
			usages = append(usages, id.String())
		}
		return usages, nil
	}
	return nil, nil
}
