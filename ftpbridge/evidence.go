package ftpbridge

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"
	"sync"

	"gateway/integrity"
	"gateway/state"
)

// maxEvidence is how many bytes of manifests and signatures are kept at a time.
// What is dropped is fetched again when it is needed again.
const maxEvidence = 32 << 20

// evidenceCache holds evidence of one run. Whoever asks first loads it, the
// others wait.
type evidenceCache struct {
	mu    sync.Mutex
	known map[integrity.EvidenceRef]*evidenceEntry
	order []integrity.EvidenceRef // oldest first, loaded ones only
	bytes int64
}

type evidenceEntry struct {
	ready    chan struct{}
	evidence *integrity.Evidence // nil after a failure that may pass
	err      error
	bytes    int64
}

func newEvidenceCache() *evidenceCache {
	return &evidenceCache{known: make(map[integrity.EvidenceRef]*evidenceEntry)}
}

// get returns evidence, loaded with load unless it is there.
func (c *evidenceCache) get(ctx context.Context, ref integrity.EvidenceRef,
	load func() (*integrity.Evidence, int64, error),
) (*integrity.Evidence, error) {
	c.mu.Lock()
	e, ok := c.known[ref]
	if !ok {
		e = &evidenceEntry{ready: make(chan struct{})}
		c.known[ref] = e
	}
	c.mu.Unlock()
	if ok {
		select {
		case <-e.ready:
			return e.evidence, e.err
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	e.evidence, e.bytes, e.err = load()
	c.loaded(ref, e)
	close(e.ready)
	return e.evidence, e.err
}

// loaded keeps an entry, or forgets a failure, and makes room.
func (c *evidenceCache) loaded(ref integrity.EvidenceRef, e *evidenceEntry) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if e.err != nil {
		delete(c.known, ref)
		return
	}
	const overhead = 1 << 10 // of an entry without bytes
	e.bytes += overhead
	c.order = append(c.order, ref)
	c.bytes += e.bytes
	for c.bytes > maxEvidence && len(c.order) > 1 {
		c.bytes -= c.known[c.order[0]].bytes
		delete(c.known, c.order[0])
		c.order = c.order[1:]
	}
}

// evidenceFor loads what the policy wants to know before it judges a file. What
// can be told only with the file itself waits for holdAgainst.
func (r *run) evidenceFor(ctx context.Context, path string) ([]*integrity.Evidence, error) {
	if r.Policy == nil {
		return nil, nil
	}
	var list []*integrity.Evidence
	for _, ref := range r.Policy.Wants(path) {
		if ref.ServerHash() {
			continue
		}
		e, err := r.evidence.get(ctx, ref, func() (*integrity.Evidence, int64, error) {
			return r.loadEvidence(ctx, ref)
		})
		if err == nil && e.NeedsFile() && ref.File != path {
			e, err = r.holdAgainstPublished(ctx, e)
		}
		if err != nil {
			return nil, err
		}
		list = append(list, e)
	}
	return list, nil
}

// loadEvidence fetches a manifest and its signature. Only failures that may
// pass are errors; any other is what the evidence itself says.
func (r *run) loadEvidence(ctx context.Context, ref integrity.EvidenceRef) (*integrity.Evidence, int64, error) {
	var files integrity.EvidenceFiles
	var err error
	if ref.Manifest != "" {
		files.Manifest, err = r.fetchEvidence(ctx, ref.Manifest, integrity.MaxManifestBytes)
	}
	if err == nil && ref.Signature != "" {
		files.Signature, err = r.fetchEvidence(ctx, ref.Signature, integrity.MaxSignatureBytes)
	}
	if err != nil {
		if isFatal(err) || ctx.Err() != nil || Temporary(err) {
			return nil, 0, err
		}
		files.Err = err
	}
	e := integrity.LoadEvidence(ref, files, r.now())
	if !e.NeedsFile() {
		if err := r.generations.hold(e); err != nil {
			return nil, 0, err
		}
		if e, err = r.accept(ctx, e, files); err != nil {
			return nil, 0, err
		}
	}
	return e, int64(len(files.Manifest) + len(files.Signature)), nil
}

// fetchEvidence returns the bytes of a small file, nil if the walk did not see
// one under this name.
func (r *run) fetchEvidence(ctx context.Context, path string, limit int64) ([]byte, error) {
	line, err := r.lineOf(ctx, path)
	if errors.Is(err, state.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, fatal(err)
	}
	var data []byte
	err = r.retry(ctx, func(s Remote) (bool, error) {
		data, err = r.fetchSmall(ctx, s, line.Path, limit)
		return false, err
	})
	r.progress.update(func(rep *Report) { rep.FetchedBytes += int64(len(data)) })
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if data == nil && err == nil {
		data = []byte{}
	}
	return data, err
}

// lineOf finds the ledger's line for a path as people see it, seen by this run.
func (r *run) lineOf(ctx context.Context, path string) (state.File, error) {
	target := path
	if r.Folder != "" {
		target = r.Folder + "/" + path
	}
	f, err := r.store.GetFile(ctx, r.job.ID, path)
	if errors.Is(err, state.ErrNotFound) || err == nil && f.Target != target {
		_, f, err = r.store.FileByTarget(ctx, r.destination, target)
	}
	if err == nil && (f.Job != r.job.ID || !f.Seen.Equal(r.start)) {
		err = state.ErrNotFound
	}
	return f, err
}

func (r *run) fetchSmall(ctx context.Context, s Remote, path string, limit int64) ([]byte, error) {
	rc, err := s.Fetch(ctx, path, 0)
	if err != nil {
		return nil, err
	}
	var buf bytes.Buffer
	_, err = io.Copy(&buf, io.LimitReader(r.limit(ctx, rc), limit+1))
	if int64(buf.Len()) > limit {
		_ = rc.Close()
		return nil, fmt.Errorf("%w: more than %d bytes", ErrTooLarge, limit)
	}
	if cerr := rc.Close(); err == nil {
		err = cerr
	}
	return buf.Bytes(), err
}

// subject is a file as the policy sees it. folder is that of the job in the
// destination.
func subject(f state.File, folder string, digests []integrity.Digest) integrity.Subject {
	path := f.Target
	if folder != "" {
		path = strings.TrimPrefix(path, folder+"/")
	}
	return integrity.Subject{Path: path, RawPath: f.Path, Size: f.Size, Digests: digests}
}
