package page

import (
	"bytes"
	"context"
	"crypto/sha256"
	"io"
	"sync"
	"time"

	"gateway/storage"
)

const (
	maxSums   = 1 << 16  // digests of versions of files in memory
	maxHashed = 64 << 20 // bytes of a file that are read for its digest without being asked
	hashers   = 2        // files that are read at once for that

	// A listing shows verdicts of files whose bytes are known to be those that were judged. For this long, and files
	// of at most this size, it reads them.
	judgeTime = 300 * time.Millisecond
	judgeSize = 1 << 20
)

// version names one version of the bytes of a file, for all users who see it.
type version [sha256.Size]byte

// versionOf is false for what has no version that can be told from another.
func (q *request) versionOf(name string, info storage.Info) (version, bool) {
	key, inner, ok := q.locate(name)
	if !ok || info.ETag == "" {
		return version{}, false
	}
	return sha256.Sum256([]byte(key + "\x00" + inner + "\x00" + info.ETag)), true
}

// locate says where a file is kept, where the tree can tell.
func (q *request) locate(name string) (key, inner string, ok bool) {
	v, ok := q.fs.(interface {
		Locate(name string) (key, inner string, ok bool)
	})
	if !ok {
		return "", "", false
	}
	return v.Locate(name)
}

// sums remembers digests for as long as the process runs.
type sums struct {
	reading chan struct{}

	mu    sync.Mutex
	known map[version][sha256.Size]byte
}

func newSums() *sums {
	return &sums{reading: make(chan struct{}, hashers), known: map[version][sha256.Size]byte{}}
}

func (s *sums) get(v version) ([]byte, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	sum, ok := s.known[v]
	return sum[:], ok
}

func (s *sums) add(v version, sum []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for old := range s.known { // any one has to go
		if len(s.known) < maxSums {
			break
		}
		delete(s.known, old)
	}
	s.known[v] = [sha256.Size]byte(sum)
}

// unobserved is the tree for what the page itself reads: nobody has downloaded it by that.
func (q *request) unobserved() storage.FS {
	if v, ok := q.fs.(*storage.Observed); ok {
		return v.View
	}
	return q.fs
}

// sum is the SHA-256 of a file; nil where it is larger than limit and not known.
func (q *request) sum(ctx context.Context, name string, limit int64) ([]byte, storage.Info, error) {
	f, err := q.unobserved().Open(ctx, name)
	if err != nil {
		return nil, storage.Info{}, err
	}
	defer f.Close()
	info := f.Info()
	v, versioned := q.versionOf(name, info)
	if versioned {
		if sum, ok := q.h.sums.get(v); ok {
			return sum, info, nil
		}
	}
	if info.Size > limit {
		return nil, info, nil
	}
	select {
	case q.h.sums.reading <- struct{}{}:
		defer func() { <-q.h.sums.reading }()
	case <-ctx.Done():
		return nil, info, ctx.Err()
	}
	h := sha256.New()
	n, err := io.Copy(h, io.LimitReader(storage.Reader(ctx, f), info.Size))
	if err == nil && n != info.Size {
		err = io.ErrUnexpectedEOF
	}
	if err != nil {
		return nil, info, err
	}
	if versioned {
		q.h.sums.add(v, h.Sum(nil))
	}
	return h.Sum(nil), info, nil
}

// published is what is known of a file; nil if nothing is.
func (q *request) published(ctx context.Context, name string) (*Published, error) {
	key, inner, ok := q.locate(name)
	if q.h.cfg.Catalogue == nil || !ok {
		return nil, nil
	}
	return q.h.cfg.Catalogue.Published(ctx, key, inner)
}

// judge puts verdicts to rows: where the bytes are those that were judged, or may be and are too many to be
// compared now. Then it says so. It costs no more than judgeTime. It reports whether it found any.
func (q *request) judge(ctx context.Context, folder string, rows []row) (judged bool) {
	key, inner, ok := q.locate(folder)
	if q.h.cfg.Catalogue == nil || !ok {
		return false
	}
	if known, err := q.h.cfg.Catalogue.Any(ctx, key, inner); err != nil || !known {
		return false // the page of the file says what is wrong
	}
	reading, cancel := context.WithTimeout(ctx, judgeTime)
	defer cancel()
	for i := range rows {
		r := &rows[i]
		if r.Dir {
			continue
		}
		p, err := q.published(ctx, r.Name)
		if err != nil || p == nil || p.Size != r.Size {
			continue
		}
		sum, _, err := q.sum(reading, r.Name, judgeSize)
		switch {
		case err != nil || sum == nil:
			r.Verdict = "compare"
		case bytes.Equal(sum, p.SHA256):
			r.Verdict = p.Verdict
		}
		judged = judged || r.Verdict != ""
	}
	return judged
}
