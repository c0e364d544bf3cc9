package integrity

import (
	"bytes"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"slices"
	"time"
)

// maxCMSAnchors bounds the certificates of a configuration, for each of which a
// signature may cost an attempt.
const maxCMSAnchors = 4096

// ReadCMSAnchors reads certificates and certificate revocation lists, in PEM
// (any number in a file, text around them ignored) or one in DER. The
// certificates are those that the signer's chain may end at: roots, or signers'
// own certificates, which are then trusted themselves and for nothing else
// unless they are of an authority.
//
// Pins are SHA-256 fingerprints of certificates. With files, a pin must be of a
// certificate in the chain, whichever: the signer's, an authority's or the root.
// Without files it must be of the signer's own certificate. See AnchorConfig.
//
// Usages are the extended key usages of which a signer's certificate needs one:
// emailProtection, codeSigning, documentSigning, clientAuth or an object
// identifier. None means emailProtection or codeSigning: the first is what
// S/MIME and so most partners' certificates are for, the second what software
// is signed with. A certificate that an authority issued must name one of them,
// since authorities issue to web servers and users too; so must authorities
// between it and the root that limit their usages. One that is itself trusted
// needs none, but may not name only others.
//
// A revocation list counts for certificates of its issuer, if the issuer's
// certificate, where known, signed it. A list that is out of date refuses them
// all with ErrStaleCRL. Certificates of issuers without a list are not checked.
// Lists with critical extensions, such as delta lists, are ErrKeyring.
func ReadCMSAnchors(files []AnchorFile, pins, usages []string) (*CMSAnchors, error) {
	a := &CMSAnchors{roots: x509.NewCertPool()}
	for _, f := range files {
		if err := a.addFile(f); err != nil {
			return nil, fmt.Errorf("%w: %q: %w", ErrKeyring, f.Name, err)
		}
	}
	var err error
	if a.pins, err = parsePins(KindCMS, pins); err != nil {
		return nil, err
	}
	if len(a.certs) == 0 && len(a.pins) == 0 {
		return nil, fmt.Errorf("%w: no certificate is named", ErrKeyring)
	}
	if len(usages) == 0 {
		usages = []string{"emailProtection", "codeSigning"}
	}
	for _, name := range usages {
		oid, err := usageOID(name)
		if err != nil {
			return nil, err
		}
		a.usages = append(a.usages, oid)
	}
	return a, nil
}

func (a *CMSAnchors) addFile(f AnchorFile) error {
	if !bytes.Contains(f.Data, []byte("-----BEGIN ")) {
		if cert, err := x509.ParseCertificate(f.Data); err == nil {
			return a.addCertificate(cert)
		}
		if err := a.addCRL(f.Data); err != nil {
			return fmt.Errorf("neither a certificate nor a usable revocation list: %w", err)
		}
		return nil
	}
	count := 0
	for block, rest := pem.Decode(f.Data); block != nil; block, rest = pem.Decode(rest) {
		if err := a.addBlock(block); err != nil {
			return err
		}
		count++
	}
	// A block that does not decode is skipped, and would be missed.
	if begun := bytes.Count(f.Data, []byte("-----BEGIN ")); begun != count {
		return fmt.Errorf("%d of %d PEM blocks cannot be read", begun-count, begun)
	}
	return nil
}

func (a *CMSAnchors) addBlock(block *pem.Block) error {
	switch block.Type {
	case "CERTIFICATE":
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return err
		}
		return a.addCertificate(cert)
	case "X509 CRL":
		return a.addCRL(block.Bytes)
	}
	return fmt.Errorf("the PEM block %.40q is neither a certificate nor a revocation list", block.Type)
}

func (a *CMSAnchors) addCertificate(cert *x509.Certificate) error {
	if slices.ContainsFunc(a.certs, cert.Equal) {
		return nil
	}
	if len(a.certs) == maxCMSAnchors {
		return fmt.Errorf("more than %d certificates", maxCMSAnchors)
	}
	a.certs = append(a.certs, cert)
	a.roots.AddCert(cert)
	return nil
}

func (a *CMSAnchors) addCRL(der []byte) error {
	crl, err := x509.ParseRevocationList(der)
	if err != nil {
		return err
	}
	critical := false
	for _, ext := range crl.Extensions {
		critical = critical || ext.Critical
	}
	for _, entry := range crl.RevokedCertificateEntries {
		for _, ext := range entry.Extensions {
			critical = critical || ext.Critical
		}
	}
	if critical {
		return errors.New("the revocation list has critical extensions, such as those of delta or indirect lists")
	}
	a.crls = append(a.crls, crl)
	return nil
}

// Fingerprints lists the pins, or without pins the certificates of the files,
// by their SHA-256 in upper-case hex, sorted.
func (a *CMSAnchors) Fingerprints() []string {
	list := slices.Clone(a.pins)
	if len(list) == 0 {
		for _, cert := range a.certs {
			list = append(list, certificateFingerprint(cert))
		}
	}
	slices.Sort(list)
	return slices.Compact(list)
}

// trust decides whether a certificate may sign at now, and returns the
// fingerprint of what the configuration trusts.
func (a *CMSAnchors) trust(cert *x509.Certificate, sent []*x509.Certificate, now time.Time) (string, error) {
	if err := checkSignerCertificate(cert, now); err != nil {
		return "", err
	}
	chains, err := a.chains(cert, sent, now)
	if err != nil {
		return "", err
	}
	var refused error
	for _, chain := range chains {
		anchor, err := a.checkChain(chain, now)
		if err == nil {
			return anchor, nil
		}
		refused = err
	}
	return "", refused
}

func checkSignerCertificate(cert *x509.Certificate, now time.Time) error {
	if now.Before(cert.NotBefore) {
		return fmt.Errorf("%w: valid from %s", ErrUnusableKey, cert.NotBefore.UTC().Format(time.RFC3339))
	}
	if now.After(cert.NotAfter) {
		return fmt.Errorf("%w: valid until %s", ErrExpiredKey, cert.NotAfter.UTC().Format(time.RFC3339))
	}
	// RFC 8550, section 4.4.2: if the extension is there, one of these bits.
	if cert.KeyUsage != 0 && cert.KeyUsage&(x509.KeyUsageDigitalSignature|x509.KeyUsageContentCommitment) == 0 {
		return fmt.Errorf("%w: its key usage is not to sign", ErrUnusableKey)
	}
	return nil
}

// chains finds the ways from a certificate to what is trusted. Extended key
// usages are left to checkChain, which demands more of them.
func (a *CMSAnchors) chains(cert *x509.Certificate, sent []*x509.Certificate, now time.Time) ([][]*x509.Certificate, error) {
	options := x509.VerifyOptions{
		Roots:         a.roots,
		Intermediates: x509.NewCertPool(),
		CurrentTime:   now,
		KeyUsages:     []x509.ExtKeyUsage{x509.ExtKeyUsageAny},
	}
	if len(a.certs) == 0 {
		if !slices.Contains(a.pins, certificateFingerprint(cert)) {
			return nil, fmt.Errorf("%w: fingerprint %s is not pinned", ErrUnknownKey, certificateFingerprint(cert))
		}
		options.Roots = x509.NewCertPool()
		options.Roots.AddCert(cert)
	}
	for _, c := range sent {
		options.Intermediates.AddCert(c)
	}
	chains, err := cert.Verify(options)
	if err != nil {
		return nil, chainError(err, append(sent[:len(sent):len(sent)], cert))
	}
	return chains, nil
}

// chainError translates the standard library's verdict on a chain.
func chainError(err error, certs []*x509.Certificate) error {
	var invalid x509.CertificateInvalidError
	var unknown x509.UnknownAuthorityError
	switch {
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return fmt.Errorf("%w: %w", ErrExpiredKey, err)
	case errors.As(err, &unknown):
		for _, c := range certs {
			if isWeakSignature(c.SignatureAlgorithm) {
				return fmt.Errorf("%w: the certificate of %.200q is signed with %s", ErrWeakHash, c.Subject.String(), c.SignatureAlgorithm)
			}
		}
		return fmt.Errorf("%w: %w", ErrUnknownKey, err)
	}
	return fmt.Errorf("%w: %w", ErrUnusableKey, err)
}

func isWeakSignature(a x509.SignatureAlgorithm) bool {
	switch a {
	case x509.MD2WithRSA, x509.MD5WithRSA, x509.SHA1WithRSA, x509.DSAWithSHA1, x509.ECDSAWithSHA1:
		return true
	}
	return false
}

// checkChain checks what the standard library does not. The first certificate
// is the signer's, the last is in the configuration.
func (a *CMSAnchors) checkChain(chain []*x509.Certificate, now time.Time) (anchor string, err error) {
	anchor = certificateFingerprint(chain[len(chain)-1])
	if len(a.pins) > 0 {
		i := slices.IndexFunc(chain, func(c *x509.Certificate) bool {
			return slices.Contains(a.pins, certificateFingerprint(c))
		})
		if i < 0 {
			return "", fmt.Errorf("%w: no certificate of the chain is pinned", ErrUnknownKey)
		}
		anchor = certificateFingerprint(chain[i])
	}
	for i, cert := range chain {
		if err := checkPublicKey(cert.PublicKey); err != nil {
			return "", fmt.Errorf("certificate of %.200q: %w", cert.Subject.String(), err)
		}
		if fp := certificateFingerprint(cert); slices.Contains(a.revoked, fp) {
			return "", fmt.Errorf("%w %s: the configuration revokes it", ErrRevokedKey, fp)
		}
		if err := a.checkRevoked(chain, i, now); err != nil {
			return "", err
		}
	}
	return anchor, a.checkUsages(chain)
}

// checkUsages needs one usage that holds for the whole chain; see ReadCMSAnchors.
func (a *CMSAnchors) checkUsages(chain []*x509.Certificate) error {
	const anyUsage = "2.5.29.37.0"
	allowed := slices.Clone(a.usages)
	for i, cert := range chain[:max(1, len(chain)-1)] {
		has, err := certificateUsages(cert)
		if err != nil {
			return err
		}
		if has == nil && (i > 0 || len(chain) == 1) || i > 0 && slices.Contains(has, anyUsage) {
			continue
		}
		allowed = slices.DeleteFunc(allowed, func(usage string) bool { return !slices.Contains(has, usage) })
	}
	if len(allowed) == 0 {
		return fmt.Errorf("%w: it is not for any of the extended key usages %q; ask for a certificate that is, name its own usage in eku, or pin it alone, by its fingerprint in keys without roots", ErrUnusableKey, a.usages)
	}
	return nil
}

// checkRevoked looks for certificate i of a chain in the lists of its issuer.
func (a *CMSAnchors) checkRevoked(chain []*x509.Certificate, i int, now time.Time) error {
	cert := chain[i]
	if i == len(chain)-1 && i > 0 {
		return nil // a root is revoked by taking it out of the configuration
	}
	current := false
	var refused error
	for _, crl := range a.crls {
		if !bytes.Equal(crl.RawIssuer, cert.RawIssuer) {
			continue
		}
		if i+1 < len(chain) {
			if err := crl.CheckSignatureFrom(chain[i+1]); err != nil {
				refused = fmt.Errorf("%w: that of %.200q: %w", ErrStaleCRL, crl.Issuer.String(), err)
				continue // another of the same name may be the right one
			}
		}
		if isRevoked(crl, cert) {
			return fmt.Errorf("%w: certificate %X of %.200q", ErrRevokedKey, cert.SerialNumber, crl.Issuer.String())
		}
		if now.Before(crl.ThisUpdate) || !crl.NextUpdate.IsZero() && now.After(crl.NextUpdate) {
			refused = fmt.Errorf("%w: that of %.200q is from %s to %s", ErrStaleCRL, crl.Issuer.String(),
				crl.ThisUpdate.UTC().Format(time.RFC3339), crl.NextUpdate.UTC().Format(time.RFC3339))
			continue
		}
		current = true
	}
	if current {
		return nil
	}
	return refused
}

func isRevoked(crl *x509.RevocationList, cert *x509.Certificate) bool {
	return slices.ContainsFunc(crl.RevokedCertificateEntries, func(e x509.RevocationListEntry) bool {
		return e.SerialNumber.Cmp(cert.SerialNumber) == 0
	})
}
