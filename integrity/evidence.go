package integrity

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"
	"time"
)

var (
	// ErrEvidenceMissing reports a manifest or signature that is not there.
	ErrEvidenceMissing = errors.New("not on the server")
	// ErrKeysNotLoaded reports a policy whose LoadKeys did not run.
	ErrKeysNotLoaded = errors.New("the policy's keys are not loaded")
)

// EvidenceFiles are the bytes of one piece of evidence, as fetched.
type EvidenceFiles struct {
	Manifest  []byte // nil if there is no such file; at most MaxManifestBytes
	Signature []byte // nil if there is no such file; at most MaxSignatureBytes
	Err       error  // why they could not be fetched, nil otherwise
}

// Evidence is a manifest that was verified as its policy asks, or the reason
// why it proves nothing. It does not change and is safe for concurrent use.
type Evidence struct {
	Ref             EvidenceRef
	Manifest        *Manifest // nil if Err is set
	ManifestDigest  Digest    // SHA-256 of the manifest file, zero if there is none
	SignatureDigest Digest    // SHA-256 of the signature file, zero if there is none
	Signer          *Signer   // nil unless the signature verified
	Err             error     // why it proves nothing about other files, nil if it can
}

// LoadEvidence turns fetched files into evidence, judging keys and signatures
// at now. It always returns evidence; what is wrong is in Err, which wraps the
// sentinels of VerifyDetached and ParseManifest, ErrEvidenceMissing or
// ErrKeysNotLoaded. The manifest of a policy that asks for a signature is not
// parsed unless the signature verifies.
func LoadEvidence(ref EvidenceRef, files EvidenceFiles, now time.Time) *Evidence {
	e := &Evidence{Ref: ref}
	if files.Manifest != nil {
		e.ManifestDigest = digestOf(files.Manifest)
	}
	if files.Signature != nil {
		e.SignatureDigest = digestOf(files.Signature)
	}
	if e.Err = e.check(files, now); e.Err != nil {
		return e
	}
	_, subject, _ := ref.spec.manifest.bind(ref.Manifest)
	e.Manifest, e.Err = ParseManifest(bytes.NewReader(files.Manifest), ManifestOptions{
		Algorithm: ref.spec.algorithm, Name: ref.Manifest, Subject: subject,
	})
	if e.Err != nil {
		e.Err = fmt.Errorf("%s is not a usable manifest: %w", show(ref.Manifest), e.Err)
	}
	return e
}

// check does all but parse the manifest.
func (e *Evidence) check(files EvidenceFiles, now time.Time) error {
	ref := e.Ref
	switch {
	case ref.spec == nil:
		return errors.New("the evidence was not asked for by a policy")
	case files.Err != nil:
		return fmt.Errorf("%s could not be fetched: %w", show(ref.Manifest), files.Err)
	case files.Manifest == nil:
		return fmt.Errorf("%s is %w", show(ref.Manifest), ErrEvidenceMissing)
	case ref.Signature == "":
		return nil
	case files.Signature == nil:
		return fmt.Errorf("%s proves nothing: its signature %s is %w", show(ref.Manifest), show(ref.Signature), ErrEvidenceMissing)
	case ref.spec.keyring == nil:
		return fmt.Errorf("%s: %w", show(ref.Manifest), ErrKeysNotLoaded)
	}
	signer, err := ref.spec.keyring.VerifyDetached(bytes.NewReader(files.Manifest), files.Signature, now)
	if err != nil {
		return fmt.Errorf("%s proves nothing: its signature %s is refused: %w", show(ref.Manifest), show(ref.Signature), err)
	}
	e.Signer = &signer
	return nil
}

// show writes a path into a sentence: as it is if that cannot mislead, quoted
// otherwise, since names come from the server.
func show(path string) string {
	for _, c := range []byte(path) {
		if c <= ' ' || c >= 0x7f || c == '"' || c == '\\' || c == ';' {
			return strconv.Quote(path)
		}
	}
	return path
}
