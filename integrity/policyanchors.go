package integrity

import (
	"io"
	"slices"
	"time"
)

// anyAnchors accepts what one of its members accepts.
type anyAnchors []Anchors

// VerifyDetached asks the members in order. The message can be read only once,
// and a member reads it only if the signature can count for it; so the first
// that reads it decides.
func (a anyAnchors) VerifyDetached(message io.Reader, sig []byte, now time.Time) (Signer, error) {
	var failures signatureErrors
	seen := &watchedReader{r: message}
	for _, member := range a {
		signer, err := member.VerifyDetached(seen, sig, now)
		if err == nil {
			return signer, nil
		}
		if seen.read {
			return Signer{}, err
		}
		failures = append(failures, err)
	}
	return Signer{}, failures
}

// Fingerprints lists what any member trusts.
func (a anyAnchors) Fingerprints() []string {
	var all []string
	for _, member := range a {
		all = append(all, member.Fingerprints()...)
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// watchedReader remembers that it was read, and how that failed.
type watchedReader struct {
	r    io.Reader
	read bool
	err  error // nil after io.EOF
}

func (w *watchedReader) Read(p []byte) (int, error) {
	w.read = true
	n, err := w.r.Read(p)
	if err != nil && err != io.EOF {
		w.err = err
	}
	return n, err
}
