package storage

import (
	"context"
	"math"
	"sync/atomic"
	"time"
)

// Reservations is what the nodes that serve one user tell one another, so that
// uploads on all of them cannot pass the quota together.
type Reservations interface {
	// ReserveQuota has holder reserve reserved bytes for the user, in place of what
	// it did, until a lease is over, and counts added bytes as kept for good. It
	// changes nothing and is not ok if what was ever added, and what all holders
	// reserve, would then be more than bound. The totals are of all holders.
	ReserveQuota(ctx context.Context, user, holder string, added, reserved, bound int64) (allAdded, allReserved int64, ok bool, err error)
	// QuotaTotals reads them.
	QuotaTotals(ctx context.Context, user string) (allAdded, allReserved int64, err error)
}

const (
	// maxAhead bounds what a node reserves before it is needed, so that not every
	// write asks the database: up to a 64th part of the quota.
	maxAhead = 16 << 20
	aheadOf  = 64
	// tellTime is for how long the other nodes are waited for.
	tellTime = 30 * time.Second
)

// sharing is a Quota's part in Reservations. What it holds of them is in granted:
// the bytes of uploads under way, and of those that ended since it last told.
type sharing struct {
	with         Reservations
	user, holder string
	telling      chan struct{} // holds a token while somebody tells
	soon         atomic.Bool   // somebody is about to, because much was added
}

// ahead is how much is reserved before it is needed.
func (q *Quota) ahead() int64 { return min(maxAhead, q.limit/aheadOf) }

// NewSharedQuota returns a quota of limit bytes that the user has on all nodes
// together. holder is a name that no other quota uses. Near the limit an upload may
// be refused because of what other nodes reserved ahead, or because an upload that
// is open on another node is counted twice, once it was checkpointed, where the backend
// cannot tell that it is open (Suspended.Claimed).
//
// Flush must be called more often than a lease lasts.
func NewSharedQuota(limit int64, with Reservations, user, holder string) *Quota {
	q := NewQuota(limit)
	q.shared = &sharing{with: with, user: user, holder: holder, telling: make(chan struct{}, 1)}
	return q
}

// addShared is add, for a quota that others count for too.
func (q *Quota) addShared(ctx context.Context, n int64, count counter) error {
	if n > q.limit {
		return ErrQuota
	}
	for range recounts + 1 {
		q.mu.Lock()
		counted := q.counted
		within := !counted.IsZero() && q.granted-q.owed-q.reserved >= n
		if within {
			q.reserved += n
		}
		q.mu.Unlock()
		if within {
			return nil
		}
		if !counted.IsZero() {
			ok, err := q.grant(ctx, n)
			if ok || err != nil {
				return err
			}
			q.mu.Lock()
			trusted := !q.stale && time.Since(q.counted) < fresh
			q.mu.Unlock()
			if trusted {
				return ErrQuota
			}
		}
		if err := q.recount(ctx, counted, count); err != nil {
			return err
		}
	}
	return ErrQuota
}

// grant reserves n bytes more, and some ahead where there is room.
func (q *Quota) grant(ctx context.Context, n int64) (ok bool, err error) {
	for _, ahead := range []int64{q.ahead(), 0} {
		if _, ok, err = q.tell(ctx, n, ahead); ok || err != nil {
			break
		}
	}
	return ok, err
}

// tell reserves n bytes more than uploads under way have, and some ahead, and says
// what was added. What asks for nothing more is never refused.
func (q *Quota) tell(ctx context.Context, n, ahead int64) (allAdded int64, ok bool, err error) {
	s := q.shared
	ctx, cancel := context.WithTimeout(ctx, tellTime)
	defer cancel()
	select {
	case s.telling <- struct{}{}:
		defer func() { <-s.telling }()
	case <-ctx.Done():
		return 0, false, ctx.Err()
	}
	q.mu.Lock()
	owed, want, had, bound := q.owed, q.reserved+n+ahead, q.granted, int64(math.MaxInt64)
	if n > 0 {
		bound = q.limit - q.used + q.base
	}
	q.granted = min(had, q.reserved) // nobody takes from it while it changes
	q.mu.Unlock()
	allAdded, _, ok, err = s.with.ReserveQuota(ctx, s.user, s.holder, owed, want, bound)
	q.mu.Lock()
	defer q.mu.Unlock()
	switch {
	case err != nil:
		return 0, false, err
	case !ok:
		q.granted = had
	default:
		q.owed -= owed
		q.reserved += n
		q.granted = want
	}
	return allAdded, ok, nil
}

// settled notes what was added. More than is reserved ahead is told at once: who
// counts the files meanwhile counts it twice, as a file and as reserved. q.mu is held.
func (q *Quota) settled(n int64) {
	q.owed += n
	if q.owed > q.ahead() && q.shared.soon.CompareAndSwap(false, true) {
		go func() {
			q.shared.soon.Store(false)
			_, _, _ = q.tell(context.Background(), 0, 0) // else it is told with the next
		}()
	}
}

// Flush tells the other nodes what was added, gives back what was reserved ahead
// and begins the lease anew. idle says that nothing is reserved. Of a quota that is
// not shared it does nothing.
func (q *Quota) Flush(ctx context.Context) (idle bool, err error) {
	if q == nil || q.shared == nil {
		return true, nil
	}
	q.mu.Lock()
	idle = q.granted == 0 && q.reserved == 0 && q.owed == 0
	q.mu.Unlock()
	if idle {
		return true, nil
	}
	_, _, err = q.tell(ctx, 0, 0)
	q.mu.Lock()
	defer q.mu.Unlock()
	return err == nil && q.reserved == 0 && q.owed == 0, err
}

// countShared counts, and learns what was added by anybody before it and while it
// did.
func (q *Quota) countShared(ctx context.Context, count counter) error {
	before, _, err := q.tell(ctx, 0, 0)
	if err != nil {
		return err
	}
	n, err := count(ctx)
	if err != nil {
		return err
	}
	after, _, err := q.shared.with.QuotaTotals(ctx, q.shared.user)
	if err != nil {
		return err
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	q.used, q.base = n, before
	// What was added meanwhile may have been counted too.
	q.stale = q.stale || q.owed > 0 || after != before
	q.counted = time.Now()
	return nil
}

// usageShared is what all nodes together keep and reserve.
func (q *Quota) usageShared(ctx context.Context) (int64, error) {
	added, reserved, err := q.shared.with.QuotaTotals(ctx, q.shared.user)
	if err != nil {
		return 0, err
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	// Of its own it knows more than it has told.
	return max(q.used+added-q.base+reserved-q.granted+q.owed+q.reserved, 0), nil
}
