package storage

import (
	"context"
	"errors"
	"io/fs"
	"sync"
	"time"
)

// Quota bounds the bytes that one user keeps: the files in all mounts that the user
// can upload to, the uploads kept for a resume, and, reserved from the moment they
// start and as they grow, the uploads under way. All views of the user share one, so
// that concurrent uploads cannot pass it together. Mounts that are Uncounted count
// with their uploads only. An overwrite needs room for both versions until it is
// published.
//
// The files are counted by a walk, when the number is first needed. From then on what
// is added is added, but what goes is not taken away, since others may have put
// it there, uncounted; before an upload is refused they are counted again.
// So the number errs to one side only, and nobody is refused by it.
// A refused user can thus cause a walk, which they could cause by listing.
//
// A nil *Quota bounds nothing.
type Quota struct {
	limit    int64
	counting chan struct{} // holds a token while somebody counts

	mu       sync.Mutex
	used     int64
	reserved int64
	during   int64 // what was added while counting
	counted  time.Time
	stale    bool // something went, or was counted twice, since
	open     map[Token]int

	// Of a quota that is shared, used is what was counted, and what was added since
	// is known from the others.
	shared  *sharing
	granted int64 // what it has reserved with the others
	owed    int64 // what was added and not told yet; a part of granted
	base    int64 // what all had added when it was counted
}

// fresh is for how long a count is trusted while nothing is removed through the
// quota: others may remove files too.
const fresh = 10 * time.Second

// NewQuota returns a quota of limit bytes.
func NewQuota(limit int64) *Quota {
	return &Quota{limit: limit, counting: make(chan struct{}, 1), open: make(map[Token]int)}
}

// Limit is the number of bytes allowed.
func (q *Quota) Limit() int64 { return q.limit }

// freed notes that there may be less than was counted.
func (q *Quota) freed() {
	if q == nil {
		return
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	q.stale = true
}

func (q *Quota) isOpen(t Token) bool {
	if q == nil {
		return false
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.open[t] > 0
}

// counter counts the bytes of the files and suspended uploads of a user.
type counter func(ctx context.Context) (int64, error)

// recounts is how often an upload counts anew before it is refused, while others
// keep changing what is counted.
const recounts = 3

// add reserves n bytes.
func (q *Quota) add(ctx context.Context, n int64, count counter) error {
	if q.shared != nil {
		return q.addShared(ctx, n, count)
	}
	for range recounts + 1 {
		q.mu.Lock()
		counted := q.counted
		fits := q.limit-q.used-q.reserved >= n // used and reserved are within what 63 bits hold
		trusted := !counted.IsZero() && (fits || !q.stale && time.Since(counted) < fresh)
		if trusted && fits {
			q.reserved += n
		}
		q.mu.Unlock()
		switch {
		case trusted && fits:
			return nil
		case trusted:
			return ErrQuota
		}
		if err := q.recount(ctx, counted, count); err != nil {
			return err
		}
	}
	return ErrQuota
}

// recount counts, unless somebody else has since seen.
func (q *Quota) recount(ctx context.Context, seen time.Time, count counter) error {
	select {
	case q.counting <- struct{}{}:
		defer func() { <-q.counting }()
	case <-ctx.Done():
		return ctx.Err()
	}
	q.mu.Lock()
	if q.counted != seen {
		q.mu.Unlock()
		return nil
	}
	q.during = 0
	q.stale = false
	q.mu.Unlock()

	if q.shared != nil {
		err := q.countShared(ctx, count)
		if err != nil {
			q.freed()
		}
		return err
	}
	n, err := count(ctx)

	q.mu.Lock()
	defer q.mu.Unlock()
	if err != nil {
		q.stale = true
		return err
	}
	q.used = n + q.during
	// What was added meanwhile may have been counted too.
	q.stale = q.stale || q.during > 0
	q.counted = time.Now()
	return nil
}

// reservation is the room that one upload has. Safe for concurrent use; nil
// without a quota.
type reservation struct {
	q     *Quota
	count counter

	mu    sync.Mutex
	n     int64
	token Token // "" unless the upload has been checkpointed
	done  bool
}

// reserve takes room for size bytes, for the resumed upload token, if one is given.
func (v *View) reserve(ctx context.Context, size int64, token ...Token) (*reservation, error) {
	if v.quota == nil {
		return nil, nil
	}
	r := &reservation{q: v.quota, count: v.usage}
	for _, t := range token {
		r.setOpen(t)
		r.q.freed()
	}
	if err := r.grow(ctx, size); err != nil {
		r.release()
		return nil, err
	}
	return r, nil
}

// grow makes sure of room for size bytes in all.
func (r *reservation) grow(ctx context.Context, size int64) error {
	if r == nil {
		return nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.done || size <= r.n {
		return nil
	}
	if err := r.q.add(ctx, size-r.n, r.count); err != nil {
		return err
	}
	r.n = size
	return nil
}

// shrink gives back what is beyond size bytes.
func (r *reservation) shrink(size int64) {
	if r == nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.done || size >= r.n {
		return
	}
	r.q.mu.Lock()
	r.q.reserved -= r.n - size
	r.q.mu.Unlock()
	r.n = size
}

// setOpen notes the token under which a count would find the upload once more.
func (r *reservation) setOpen(t Token) {
	if r == nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.token != "" || r.done {
		return
	}
	r.token = t
	r.q.mu.Lock()
	r.q.open[t]++
	r.q.mu.Unlock()
}

// settle turns the reservation into size bytes used.
func (r *reservation) settle(size int64) { r.end(size) }

// release gives all of it back.
func (r *reservation) release() { r.end(0) }

func (r *reservation) end(used int64) {
	if r == nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.done {
		return
	}
	r.done = true
	r.q.mu.Lock()
	defer r.q.mu.Unlock()
	r.q.reserved -= r.n
	if r.q.shared != nil {
		r.q.settled(used)
	} else {
		r.q.used += used
		r.q.during += used
	}
	if r.token != "" {
		if r.q.open[r.token]--; r.q.open[r.token] == 0 {
			delete(r.q.open, r.token)
		}
	}
}

// Usage is how many bytes the user keeps, uploads under way included, and how many
// are allowed. What was removed may show only after some seconds. Without a quota it fails with errors.ErrUnsupported.
func (v *View) Usage(ctx context.Context) (used, limit int64, err error) {
	q := v.quota
	if q == nil {
		return 0, 0, PathError("usage", "", errors.ErrUnsupported)
	}
	q.mu.Lock()
	counted, stale := q.counted, q.stale
	q.mu.Unlock()
	if counted.IsZero() || stale && time.Since(counted) > fresh {
		if err := q.recount(ctx, counted, v.usage); err != nil {
			return 0, 0, PathError("usage", "", err)
		}
	}
	if q.shared != nil {
		used, err := q.usageShared(ctx)
		return used, q.limit, err
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.used + q.reserved, q.limit, nil
}

// usage counts what is in the mounts that can be uploaded to, what other mounts hide
// left out. A folder that is mounted twice counts twice.
func (v *View) usage(ctx context.Context) (total int64, err error) {
	for _, m := range v.mounts {
		if !m.Permissions.writes() {
			continue
		}
		n, err := v.usageOf(ctx, m)
		if err != nil {
			return 0, err
		}
		total += n
	}
	return total, nil
}

func (v *View) usageOf(ctx context.Context, m *mount) (total int64, err error) {
	if !m.Uncounted {
		if total, err = v.filesOf(ctx, m); err != nil {
			return 0, err
		}
	}
	for u, err := range v.suspended(ctx, m) {
		if errors.Is(err, errors.ErrUnsupported) {
			break
		}
		if err != nil {
			return 0, err
		}
		// Another node that has it open reserved the room.
		if !v.quota.isOpen(m.token(u.Token)) && !(u.Claimed && v.quota.shared != nil) {
			total += u.Size
		}
	}
	return total, nil
}

func (v *View) filesOf(ctx context.Context, m *mount) (total int64, err error) {
	for e, err := range Walk(ctx, m.FS, m.Root) {
		if errors.Is(err, fs.ErrNotExist) {
			break // the folder has not been made yet
		}
		if err != nil {
			return 0, err
		}
		if e.IsDir() || e.Link {
			continue
		}
		if _, visible := v.outer(m, e.Name); visible {
			total += e.Size
		}
	}
	return total, nil
}

// counted is how much of a file of this size counts for the quota.
func (m *mount) counted(size int64) int64 {
	if m.Uncounted {
		return 0
	}
	return size
}
