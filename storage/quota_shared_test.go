package storage_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"sync"
	"sync/atomic"
	"testing"

	"gateway/storage"
	"gateway/storage/disk"
)

// ledger is storage.Reservations of one user in memory. Its leases do not end.
type ledger struct {
	mu       sync.Mutex
	added    int64
	reserved map[string]int64
	calls    int
	err      error
}

func (l *ledger) ReserveQuota(_ context.Context, _, holder string, added, reserved, bound int64) (int64, int64, bool, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.calls++; l.err != nil {
		return 0, 0, false, l.err
	}
	others := l.sum() - l.reserved[holder]
	if l.added+added+others+reserved > bound {
		return l.added, l.sum(), false, nil
	}
	if l.reserved == nil {
		l.reserved = map[string]int64{}
	}
	l.added, l.reserved[holder] = l.added+added, reserved
	return l.added, l.sum(), true, nil
}

func (l *ledger) QuotaTotals(context.Context, string) (int64, int64, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.added, l.sum(), l.err
}

func (l *ledger) fail(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.err = err
}

func (l *ledger) sum() (n int64) {
	for _, r := range l.reserved {
		n += r
	}
	return n
}

func flush(t *testing.T, quotas ...*storage.Quota) {
	t.Helper()
	for _, q := range quotas {
		if _, err := q.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
}

func TestSharedQuota(t *testing.T) {
	ctx, d, l := t.Context(), newDisk(t), &ledger{}
	must(t, put(ctx, d, "before", kilobytes(30)))
	one, two := storage.NewSharedQuota(100_000, l, "ann", "1"), storage.NewSharedQuota(100_000, l, "ann", "2")
	a, b := session(t, d, one), session(t, d, two)
	wantUsage(t, a, 30_000)
	wantUsage(t, b, 30_000)
	must(t, put(ctx, a, "a", kilobytes(30)))
	must(t, put(ctx, b, "b", kilobytes(30)))
	flush(t, one, two)
	wantUsage(t, a, 90_000)
	wantUsage(t, b, 90_000)
	if err := put(ctx, a, "c", kilobytes(11)); !errors.Is(err, storage.ErrQuota) {
		t.Errorf("put past the quota: %v", err)
	}
	must(t, put(ctx, a, "c", kilobytes(10))) // to the last byte
	flush(t, one)
	if err := put(ctx, b, "d", "x"); !errors.Is(err, storage.ErrQuota) {
		t.Errorf("put past the quota on another node: %v", err)
	}

	// What is reserved on one node cannot be had on the other.
	must(t, b.Remove(ctx, "b"))
	up, err := b.Create(ctx, "b", storage.CreateOptions{Size: 29_000})
	must(t, err)
	if err := put(ctx, a, "d", kilobytes(2)); !errors.Is(err, storage.ErrQuota) {
		t.Errorf("put into what is reserved on another node: %v", err)
	}
	must(t, up.Abort(ctx))
	flush(t, two)
	must(t, put(ctx, b, "d", kilobytes(30)))
	if idle, err := one.Flush(ctx); !idle || err != nil {
		t.Errorf("nothing is under way: %v, %v", idle, err)
	}
	flush(t, two)
	if _, reserved, err := l.QuotaTotals(ctx, "ann"); reserved != 0 || err != nil {
		t.Errorf("%d bytes are still reserved, %v", reserved, err)
	}
	if _, err := a.Create(ctx, "e", storage.CreateOptions{Size: 1 << 62}); !errors.Is(err, storage.ErrQuota) {
		t.Errorf("got %v", err)
	}
}

// claimedDisk says of all uploads that somebody has them open.
type claimedDisk struct{ *disk.Disk }

func (d claimedDisk) Suspended(ctx context.Context, owner string) iter.Seq2[storage.Suspended, error] {
	return func(yield func(storage.Suspended, error) bool) {
		for u, err := range d.Disk.Suspended(ctx, owner) {
			u.Claimed = true
			if !yield(u, err) {
				return
			}
		}
	}
}

// An upload that is open on one node is counted once by the other, also when it is checkpointed.
func TestSharedQuotaCheckpointed(t *testing.T) {
	ctx, d, l := t.Context(), newDisk(t), &ledger{}
	on := func(holder string) *storage.View {
		o := storage.ViewOptions{User: "ann", Quota: storage.NewSharedQuota(100_000, l, "ann", holder)}
		return newView(t, o, storage.Mount{FS: claimedDisk{d}, Permissions: storage.PermReadWrite})
	}
	a, b := on("1"), on("2")
	u, err := a.Create(ctx, "f", storage.CreateOptions{Size: 60_000})
	must(t, err)
	_, err = u.WriteAt([]byte(kilobytes(60)), 0)
	must(t, err)
	_, err = u.Checkpoint(ctx)
	must(t, err)
	must(t, put(ctx, b, "g", kilobytes(35)))
	if err := put(ctx, b, "h", kilobytes(6)); !errors.Is(err, storage.ErrQuota) {
		t.Errorf("put past the quota: %v", err)
	}
	must(t, u.Abort(ctx))
}

// Many small uploads do not ask the others each time.
func TestSharedQuotaAsksAhead(t *testing.T) {
	ctx, d, l := t.Context(), newDisk(t), &ledger{}
	q := storage.NewSharedQuota(1<<30, l, "ann", "1")
	v := session(t, d, q)
	for i := range 100 {
		must(t, put(ctx, v, fmt.Sprint(i), kilobytes(1)))
	}
	if l.calls > 5 {
		t.Errorf("%d calls for 100 kB", l.calls)
	}
	wantUsage(t, v, 100_000)
}

func TestSharedQuotaFails(t *testing.T) {
	ctx, d, l := t.Context(), newDisk(t), &ledger{}
	q := storage.NewSharedQuota(100_000, l, "ann", "1")
	v := session(t, d, q)
	must(t, put(ctx, v, "a", kilobytes(50)))
	flush(t, q)
	away := errors.New("no database")
	l.fail(away)
	if err := put(ctx, v, "b", kilobytes(40)); !errors.Is(err, away) {
		t.Errorf("got %v", err)
	}
	if _, _, err := v.Usage(ctx); !errors.Is(err, away) {
		t.Errorf("got %v", err)
	}
	l.fail(nil)
	up, err := v.Create(ctx, "b", storage.CreateOptions{Size: 40_000})
	must(t, err)
	l.fail(away)
	if _, err := q.Flush(ctx); !errors.Is(err, away) {
		t.Errorf("got %v", err)
	}
	l.fail(nil)
	must(t, up.Abort(ctx))
	must(t, put(ctx, v, "b", kilobytes(50)))
	if err := put(ctx, v, "c", "x"); !errors.Is(err, storage.ErrQuota) {
		t.Errorf("got %v", err)
	}
}

// Sessions of several nodes upload at once: what they publish never passes the quota,
// and most of it is used.
func TestSharedQuotaTogether(t *testing.T) {
	const limit = 100_000
	ctx, d, l := t.Context(), newDisk(t), &ledger{}
	var done atomic.Int64
	var wg sync.WaitGroup
	var quotas []*storage.Quota
	for i := range 6 {
		q := storage.NewSharedQuota(limit, l, "ann", fmt.Sprint(i/2))
		if i%2 == 1 {
			q = quotas[len(quotas)-1]
		} else {
			quotas = append(quotas, q)
		}
		v := session(t, d, q)
		wg.Go(func() {
			for n := range 20 {
				switch err := put(ctx, v, fmt.Sprintf("%d-%d", i, n), kilobytes(3)); {
				case err == nil:
					done.Add(3000)
				case !errors.Is(err, storage.ErrQuota):
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	if n := done.Load(); n > limit || n < limit*3/4 {
		t.Errorf("%d bytes of %d were published", n, limit)
	}
	flush(t, quotas...)
	v := session(t, d, quotas[0])
	for err := error(nil); err == nil; {
		if err = put(ctx, v, fmt.Sprint("rest", done.Load()), kilobytes(3)); err == nil {
			done.Add(3000)
		}
	}
	if n := done.Load(); n != limit/3000*3000 {
		t.Errorf("%d bytes of %d were published", n, limit)
	}
}
