package integrity

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"strconv"
	"time"
)

var (
	// ErrEvidenceMissing reports a manifest or signature that is not there.
	ErrEvidenceMissing = errors.New("not on the server")
	// ErrKeysNotLoaded reports a policy whose LoadKeys did not run.
	ErrKeysNotLoaded = errors.New("the policy's keys are not loaded")
)

// errNotAsked is for a reference that no policy made.
var errNotAsked = errors.New("the evidence was not asked for by a policy")

// EvidenceFiles are the bytes of one piece of evidence, as fetched.
type EvidenceFiles struct {
	Manifest  []byte // nil if there is no such file; at most MaxManifestBytes
	Signature []byte // nil if there is no such file; at most MaxSignatureBytes
	Err       error  // why they could not be fetched, nil otherwise
}

// Evidence is a manifest, or a signature of one file, that was verified as its
// policy asks, or what a server said, or the reason why it proves nothing. It
// does not change and is safe for concurrent use.
type Evidence struct {
	Ref             EvidenceRef
	Manifest        *Manifest // nil if Err is set, or it is none
	ManifestDigest  Digest    // SHA-256 of the manifest file, zero if there is none
	SignatureDigest Digest    // SHA-256 of the signature file, zero if there is none
	SignedDigest    Digest    // SHA-256 of the bytes that the signature covers, zero unless it verified
	Signer          *Signer   // nil unless the signature verified
	Stale           error     // why it is not fresh, nil if it is or was not judged; see Freshen
	Err             error     // why it proves nothing about other files, nil if it can

	signature []byte // of a file that is not at hand yet; see VerifyFile
	server    *serverAnswer
}

// LoadEvidence turns fetched files into evidence, judging keys and signatures
// at now. It always returns evidence; what is wrong is in Err, which wraps the
// sentinels of Anchors and ParseManifest, ErrEvidenceMissing or
// ErrKeysNotLoaded. The manifest of a policy that asks for a signature is not
// parsed unless the signature verifies, and then nothing but what it covers.
//
// A signature of the file itself needs VerifyFile before it proves anything,
// and all signed evidence Freshen, before files are judged by it.
func LoadEvidence(ref EvidenceRef, files EvidenceFiles, now time.Time) *Evidence {
	e := &Evidence{Ref: ref}
	if files.Manifest != nil {
		e.ManifestDigest = digestOf(files.Manifest)
	}
	if files.Signature != nil {
		e.SignatureDigest = digestOf(files.Signature)
	}
	if e.Err = e.present(files); e.Err != nil {
		return e
	}
	if ref.spec.coversFile() {
		e.signature = files.Signature
		return e
	}
	text, err := e.verify(files, now)
	if err != nil {
		e.Err = err
		return e
	}
	if ref.spec.signed() {
		e.SignedDigest = digestOf(text)
	}
	_, subject, _ := ref.spec.manifest.bind(ref.Manifest)
	e.Manifest, e.Err = ParseManifest(bytes.NewReader(text), ManifestOptions{
		Algorithm: ref.spec.algorithm, Format: ref.spec.format, Name: ref.Manifest, Subject: subject,
	})
	if e.Err != nil {
		e.Err = fmt.Errorf("%s is not a usable manifest: %w", show(ref.Manifest), e.Err)
	}
	return e
}

// present checks that all is there.
func (e *Evidence) present(files EvidenceFiles) error {
	ref := e.Ref
	switch {
	case ref.spec == nil || ref.ServerHash():
		return errNotAsked
	case files.Err != nil:
		return fmt.Errorf("%s could not be fetched: %w", ref, files.Err)
	case ref.Manifest != "" && files.Manifest == nil:
		return fmt.Errorf("%s is %w", show(ref.Manifest), ErrEvidenceMissing)
	case ref.Manifest == "" && files.Signature == nil:
		return fmt.Errorf("%s is %w", show(ref.Signature), ErrEvidenceMissing)
	case ref.Signature != "" && files.Signature == nil:
		return fmt.Errorf("%s proves nothing: its signature %s is %w", show(ref.Manifest), show(ref.Signature), ErrEvidenceMissing)
	case ref.Signed() && ref.spec.signing.anchors == nil:
		return fmt.Errorf("%s: %w", ref, ErrKeysNotLoaded)
	}
	return nil
}

// verify returns the manifest's text, which if the policy asks for a signature
// is what one covers.
func (e *Evidence) verify(files EvidenceFiles, now time.Time) ([]byte, error) {
	ref := e.Ref
	if !ref.Signed() {
		return files.Manifest, nil
	}
	anchors := ref.spec.signing.anchors
	text, its := files.Manifest, "its signature "+show(ref.Signature)
	var signer Signer
	var err error
	if !ref.spec.inline {
		signer, err = anchors.VerifyDetached(bytes.NewReader(text), files.Signature, now)
	} else if within, ok := anchors.(TextAnchors); ok {
		its = "the signature in it"
		text, signer, err = within.VerifyClearSigned(bytes.NewReader(files.Manifest), now)
	} else {
		err = fmt.Errorf("%w: no text can hold a signature of type %s", ErrUnsupportedSignature, ref.spec.signing.kind)
	}
	if err != nil {
		return nil, fmt.Errorf("%s proves nothing: %s is refused: %w", show(ref.Manifest), its, err)
	}
	e.Signer = &signer
	return text, nil
}

// NeedsFile reports a signature of the file itself that waits for VerifyFile.
func (e *Evidence) NeedsFile() bool { return e.signature != nil }

// FileSignature is the signature that waits for VerifyFile, nil if none does. It
// must not be changed.
func (e *Evidence) FileSignature() []byte { return e.signature }

// VerifyFile holds a signature of the file itself against the file, which is
// read once and to its end, and returns the evidence with what came of it. Other
// evidence is returned as it is, and nothing is read. It does not hold the file
// in memory, but for the kinds that sign messages whole; see
// MaxHeldMessageBytes. The error is that of reading the file.
//
// Decide compares the bytes that were verified with those that were hashed.
func (e *Evidence) VerifyFile(file io.Reader, now time.Time) (*Evidence, error) {
	if !e.NeedsFile() {
		return e, nil
	}
	done := *e
	done.signature = nil
	hash := sha256.New()
	watched := &watchedReader{r: io.TeeReader(file, hash)}
	signer, err := e.Ref.spec.signing.anchors.VerifyDetached(watched, e.signature, now)
	if err == nil {
		_, err = io.Copy(io.Discard, watched) // what it left unread
	}
	switch {
	case watched.err != nil:
		return nil, fmt.Errorf("integrity: read %s to verify its signature: %w", show(e.Ref.File), watched.err)
	case err != nil:
		done.Err = fmt.Errorf("%s proves nothing, it is refused: %w", show(e.Ref.Signature), err)
	default:
		done.Signer = &signer
		done.SignedDigest = Digest{SHA256, hash.Sum(nil)}
	}
	return &done, nil
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
