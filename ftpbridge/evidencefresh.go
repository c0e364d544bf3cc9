package ftpbridge

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"strings"
	"sync"

	"gateway/integrity"
	"gateway/state"
	"gateway/storage"
)

// history is the part of the store that integrity.History describes, of one source.
type history struct {
	store  state.History
	source string // see historySource
	run    *run
}

// historySource is what the history calls a source: its URL without user and
// password, and without a slash at its end. Jobs of several destinations share it.
func historySource(baseURL string) string { return strings.TrimSuffix(baseURL, "/") }

func (h history) Generations(ctx context.Context, name string) ([]integrity.Generation, error) {
	known, err := h.store.Generations(ctx, h.source, name)
	list := make([]integrity.Generation, len(known))
	for i, g := range known {
		list[i] = integrity.Generation{Digest: integrity.Digest{Algorithm: integrity.SHA256, Sum: g.SHA256}, Date: g.Date}
	}
	return list, err
}

func (h history) Accept(ctx context.Context, name string, after integrity.Digest, next integrity.Generation) error {
	err := h.store.AddGeneration(ctx, state.Generation{
		Source: h.source, Name: name, SHA256: next.Digest.Sum, Date: next.Date, Seen: h.run.now(),
	}, after.Sum)
	if errors.Is(err, state.ErrConflict) {
		return fmt.Errorf("%w: %w", integrity.ErrHistoryChanged, err)
	}
	if err == nil && after.Algorithm != "" && !after.Equal(next.Digest) {
		h.run.generations.advance(name)
	}
	return err
}

// accept judges whether evidence is fresh, remembers it if it is, and keeps what
// is signed, so that it can be judged again. The error ends the run: without the
// history a rollback would not be seen.
func (r *run) accept(ctx context.Context, e *integrity.Evidence, files integrity.EvidenceFiles) (*integrity.Evidence, error) {
	e, err := e.Freshen(ctx, history{r.store, historySource(r.baseURL), r}, r.now())
	if err != nil {
		return nil, fatal(err)
	}
	if !counts(e) {
		return e, nil
	}
	err = r.store.KeepEvidence(ctx, state.Evidence{
		Source: historySource(r.baseURL), Name: e.Ref.HistoryName(), Manifest: files.Manifest, Signature: files.Signature, Seen: r.now(),
	})
	if errors.Is(err, state.ErrTooLarge) {
		r.Logger.Debug("migrate: evidence is too large to be kept", "evidence", e.Ref.String())
		err = nil
	}
	return e, fatal(err)
}

// counts reports evidence that is signed and fresh.
func counts(e *integrity.Evidence) bool { return e.Err == nil && e.Stale == nil && e.Signer != nil }

// holdAgainst verifies signatures of the file itself over its bytes.
func (r *run) holdAgainst(ctx context.Context, f state.File, evidence []*integrity.Evidence, file io.ReaderAt, sum integrity.Digest) ([]*integrity.Evidence, error) {
	path := subject(f, r.Folder, nil).Path
	list := make([]*integrity.Evidence, 0, len(evidence)+1)
	for _, e := range evidence {
		if e.NeedsFile() && e.Ref.File == path {
			signature := e.FileSignature()
			held, err := e.VerifyFile(io.LimitReader(storage.Reader(ctx, file), f.Size), r.now())
			if err != nil {
				return nil, err
			}
			e = held
			// Of other bytes than those that were hashed nothing is remembered.
			if held.SignedDigest.Equal(sum) {
				if e, err = r.accept(ctx, held, integrity.EvidenceFiles{Signature: signature}); err != nil {
					return nil, err
				}
			}
		}
		list = append(list, e)
	}
	return list, nil
}

// holdAgainstTarget does so with the file that is at its target already.
func (r *run) holdAgainstTarget(ctx context.Context, f state.File, evidence []*integrity.Evidence, sum integrity.Digest) ([]*integrity.Evidence, error) {
	file, err := r.Dest.Open(ctx, f.Target)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	return r.holdAgainst(ctx, f, evidence, file, sum)
}

// holdAgainstPublished verifies a signature that is to be published itself over
// the file that it is of, if that is published and as it was then. Else the
// evidence stays as it is, and proves nothing.
func (r *run) holdAgainstPublished(ctx context.Context, e *integrity.Evidence) (*integrity.Evidence, error) {
	f, err := r.lineOf(ctx, e.Ref.File)
	if errors.Is(err, state.ErrNotFound) || err == nil && f.Phase != state.Published {
		return e, nil
	}
	if err != nil {
		return nil, fatal(err)
	}
	file, err := r.Dest.Open(ctx, f.Target)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, storage.ErrIsDir) {
		return e, nil
	}
	if err != nil {
		return nil, err
	}
	defer file.Close()
	if file.Info().Size != f.Size {
		return e, nil
	}
	held, err := e.VerifyFile(io.LimitReader(storage.Reader(ctx, file), f.Size), r.now())
	if err == nil && held.Err == nil && !held.SignedDigest.Equal(integrity.Digest{Algorithm: integrity.SHA256, Sum: f.SHA256}) {
		return e, nil
	}
	return held, err
}

// maxDoubts bounds how many manifests are fetched again at the end of a run.
const maxDoubts = 100

// generations holds a run to one version of each manifest, so that no two files
// are published by two versions of it, though it is fetched again when it was
// dropped from the cache. It takes 32 bytes for each manifest of more than one
// file that the run met.
type generations struct {
	mu       sync.Mutex
	held     map[[16]byte][16]byte // history name to digest, the first half of the SHA-256 of each
	doubts   map[integrity.EvidenceRef]integrity.Digest
	advanced map[[16]byte]bool // history names of which this run accepted a newer version
}

func newGenerations() *generations {
	return &generations{
		held: make(map[[16]byte][16]byte), doubts: make(map[integrity.EvidenceRef]integrity.Digest), advanced: make(map[[16]byte]bool),
	}
}

func (g *generations) advance(name string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.advanced[shortSum(name)] = true
}

// concern reports evidence of more than one file of which this run accepted a
// newer version.
func (g *generations) concern(refs []integrity.EvidenceRef) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return len(g.advanced) > 0 && slices.ContainsFunc(refs, func(ref integrity.EvidenceRef) bool {
		return !ref.OfOneFile() && !ref.ServerHash() && g.advanced[shortSum(ref.HistoryName())]
	})
}

// hold fails with errChanged if another version of the manifest was used before.
func (g *generations) hold(e *integrity.Evidence) error {
	if e.Manifest == nil || e.Ref.OfOneFile() {
		return nil
	}
	key, value := shortSum(e.Ref.HistoryName()), [16]byte(e.ManifestDigest.Sum)
	g.mu.Lock()
	defer g.mu.Unlock()
	if before, ok := g.held[key]; ok && before != value {
		return fmt.Errorf("%s: %w by another version; the next run judges by that one", e.Ref, errChanged)
	}
	g.held[key] = value
	return nil
}

// doubt notes the manifests that contradict a file: the file may be of a newer
// version of them.
func (g *generations) doubt(d integrity.Decision, evidence []*integrity.Evidence) {
	if d.Verdict != integrity.Bad {
		return
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, e := range evidence {
		if e.Manifest != nil && !e.Ref.OfOneFile() && len(g.doubts) < maxDoubts {
			g.doubts[e.Ref] = e.ManifestDigest
		}
	}
}

// checkGenerations says so if a manifest that contradicted files has changed on
// the source since the run read it.
func (r *run) checkGenerations(ctx context.Context) error {
	for ref, before := range r.generations.doubts {
		data, err := r.fetchEvidence(ctx, ref.Manifest, integrity.MaxManifestBytes)
		if isFatal(err) || ctx.Err() != nil {
			return err
		}
		sum := sha256.Sum256(data)
		if err != nil || data == nil || bytes.Equal(sum[:], before.Sum) {
			continue
		}
		r.progress.update(func(rep *Report) {
			rep.Warnings = append(rep.Warnings, fmt.Sprintf(
				"%s changed on the source during the run: all files were judged by the version that the run began with; run again to judge by the new one", ref))
		})
	}
	return nil
}

// reexamine judges what is published already by the manifests of which this run
// accepted a newer version, so that files of two versions do not stand side by
// side unnoticed: a server can serve the new manifest with old files.
func (r *run) reexamine(ctx context.Context) error {
	if len(r.generations.advanced) == 0 {
		return nil
	}
	x, err := newExaminer(ctx, ReexamineOptions{
		Store: r.store, Dest: r.Dest, DestName: r.DestName, Policy: r.Policy, Now: r.now,
	})
	if err != nil {
		return fatal(err)
	}
	x.jobs[r.job.ID].policy = r.Policy // which is narrowed to the source already
	for f, err := range r.store.Files(ctx, r.job.ID, state.Published) {
		if err != nil {
			return fatal(err)
		}
		// What is no longer on the source need not be in its manifest.
		if !f.Seen.Equal(r.start) || !r.generations.concern(r.Policy.Wants(subject(f, r.Folder, nil).Path)) {
			continue
		}
		pub, err := r.ours(ctx, f)
		if err != nil {
			return err
		}
		if pub == nil {
			continue
		}
		e, err := x.examine(ctx, *pub, f.Target)
		if err != nil {
			return err
		}
		if e.Suspect {
			r.progress.update(func(rep *Report) {
				rep.Suspect.add(Item{
					Path: printable(r.shownPath(f)), Target: f.Target, Size: max(f.Size, 0), Verdict: pub.Verdict, Reason: e.Reason,
				})
			})
		}
	}
	return nil
}
