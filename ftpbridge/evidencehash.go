package ftpbridge

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"

	"gateway/integrity"
	"gateway/state"
)

// shortSum is the first half of a SHA-256.
func shortSum(s string) [16]byte {
	sum := sha256.Sum256([]byte(s))
	return [16]byte(sum[:16])
}

// serverHash is the evidence that the policy wants of the server's own hash of a
// file, false if it wants none.
func (r *run) serverHash(f state.File) (integrity.EvidenceRef, bool) {
	if r.Policy == nil {
		return integrity.EvidenceRef{}, false
	}
	for _, ref := range r.Policy.Wants(subject(f, r.Folder, nil).Path) {
		if ref.ServerHash() {
			return ref, true
		}
	}
	return integrity.EvidenceRef{}, false
}

// compareHash asks for the server's own hash of what was just fetched, if the
// policy wants it. Where it is another the file is fetched anew, as long as that
// may help; in the end the evidence says so.
func (t *transferState) compareHash(ctx context.Context, s Remote) error {
	ref, asked := t.serverHash(*t.f)
	if !asked {
		return nil
	}
	digest, command, herr := s.Hash(ctx, t.f.Path, t.off)
	if err := ctx.Err(); err != nil {
		return err
	}
	t.server = []*integrity.Evidence{serverEvidence(ref, command, digest, herr)}
	if herr != nil || t.changes+1 >= maxChanges {
		return nil //nolint:nilerr // the evidence holds it
	}
	for _, own := range t.pipe.Sums() {
		if own.Algorithm == digest.Algorithm && !own.Equal(digest) {
			return fmt.Errorf("%w, or broke on the way: the server's %s is another", errChanged, command)
		}
	}
	return nil
}

// askServer asks for the server's own hash of a file that was fetched earlier.
// What it does not answer is no evidence, for whatever reason.
func (r *run) askServer(ctx context.Context, f state.File) []*integrity.Evidence {
	ref, asked := r.serverHash(f)
	if !asked {
		return nil
	}
	err := errors.New("it was not listed by this run")
	var digest integrity.Digest
	var command string
	if f.Seen.Equal(r.start) {
		err = r.pool.Do(ctx, func(s Remote) (err error) {
			digest, command, err = s.Hash(ctx, f.Path, f.Size)
			return err
		})
	}
	return []*integrity.Evidence{serverEvidence(ref, command, digest, err)}
}

// serverEvidence leaves the words to the evidence where the server has no such
// command.
func serverEvidence(ref integrity.EvidenceRef, command string, d integrity.Digest, err error) *integrity.Evidence {
	if errors.Is(err, ErrUnsupported) {
		d, err = integrity.Digest{}, nil
	}
	return integrity.ServerHashEvidence(ref, command, d, err)
}
