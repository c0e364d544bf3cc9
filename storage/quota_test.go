package storage_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"gateway/storage"
	"gateway/storage/disk"
)

// session is one more view of ann's, under the same quota.
func session(t *testing.T, d *disk.Disk, q *storage.Quota) *storage.View {
	return newView(t, storage.ViewOptions{User: "ann", Quota: q}, storage.Mount{FS: d, Permissions: storage.PermReadWrite})
}

func kilobytes(n int) string { return strings.Repeat("x", n*1000) }

func wantUsage(t *testing.T, v *storage.View, want int64) {
	t.Helper()
	used, _, err := v.Usage(t.Context())
	must(t, err)
	if used != want {
		t.Errorf("used are %d bytes, want %d", used, want)
	}
}

func TestQuota(t *testing.T) {
	ctx, d := t.Context(), newDisk(t)
	must(t, put(ctx, d, "before", kilobytes(30)))
	v := session(t, d, storage.NewQuota(100_000))
	wantUsage(t, v, 30_000)
	must(t, put(ctx, v, "a", kilobytes(60)))
	wantUsage(t, v, 90_000)
	if err := put(ctx, v, "b", kilobytes(20)); !errors.Is(err, storage.ErrQuota) {
		t.Errorf("put past the quota: %v", err)
	}
	_, err := v.Create(ctx, "b", storage.CreateOptions{Size: 10_001})
	if !errors.Is(err, storage.ErrQuota) {
		t.Errorf("announce more than the quota: %v", err)
	}
	must(t, v.Remove(ctx, "a"))
	must(t, put(ctx, v, "b", kilobytes(70))) // what was freed can be used at once
	must(t, v.Remove(ctx, "b"))
	must(t, put(ctx, v, "c", kilobytes(30)))
	must(t, put(ctx, v, "c", kilobytes(35))) // replaces
	must(t, put(ctx, v, "d", kilobytes(35)))
	if err := put(ctx, v, "e", "x"); !errors.Is(err, storage.ErrQuota) {
		t.Errorf("put past the quota: %v", err)
	}
	wantUsage(t, v, 100_000)
	if _, err := storage.Copy(ctx, v, "before", "f", storage.CommitOptions{}); !errors.Is(err, storage.ErrQuota) {
		t.Errorf("copy past the quota: %v", err)
	}
	space, err := v.Space(ctx, "")
	if err != nil || space.Available != 0 || space.Total != 100_000 {
		t.Errorf("space is %+v, %v", space, err)
	}
	must(t, v.RemoveAll(ctx, "d"))
	must(t, put(ctx, v, "e", "x"))
}

func TestQuotaGrowth(t *testing.T) {
	ctx, d := t.Context(), newDisk(t)
	v := session(t, d, storage.NewQuota(1000))
	u, err := v.Create(ctx, "f", storage.CreateOptions{Size: -1})
	must(t, err)
	_, err = u.WriteAt(make([]byte, 600), 0)
	must(t, err)
	if _, err := u.WriteAt([]byte("x"), 1<<62); !errors.Is(err, storage.ErrQuota) {
		t.Errorf("write far out: %v", err)
	}
	if err := u.Truncate(1001); !errors.Is(err, storage.ErrQuota) {
		t.Errorf("extend past the quota: %v", err)
	}
	other, err := v.Create(ctx, "g", storage.CreateOptions{Size: 400})
	must(t, err)
	if _, err := u.WriteAt([]byte("x"), 600); !errors.Is(err, storage.ErrQuota) {
		t.Errorf("write into what is reserved: %v", err)
	}
	must(t, other.Abort(ctx))
	must(t, u.Truncate(900))
	must(t, u.Truncate(10))
	wantUsage(t, v, 10)
	must(t, u.Abort(ctx))
	if _, err := u.WriteAt([]byte("x"), 800); err == nil {
		t.Error("write after abort is no error")
	}
	wantUsage(t, v, 0)
}

func TestQuotaSuspended(t *testing.T) {
	ctx, d := t.Context(), newDisk(t)
	q := storage.NewQuota(1000)
	v := session(t, d, q)
	u, err := v.Create(ctx, "f", storage.CreateOptions{Size: -1})
	must(t, err)
	_, err = u.WriteAt(make([]byte, 700), 0)
	must(t, err)
	_, err = u.Checkpoint(ctx)
	must(t, err)
	token, err := u.Suspend(ctx, storage.SuspendOptions{})
	must(t, err)
	wantUsage(t, v, 700)
	wantUsage(t, session(t, d, storage.NewQuota(1000)), 700) // after a restart
	if err := put(ctx, v, "g", kilobytes(1)); !errors.Is(err, storage.ErrQuota) {
		t.Errorf("put beside a suspended upload: %v", err)
	}
	u, err = v.Resume(ctx, token)
	must(t, err)
	_, err = u.WriteAt(make([]byte, 300), 700)
	must(t, err)
	if err := put(ctx, v, "g", "x"); !errors.Is(err, storage.ErrQuota) {
		t.Errorf("put beside a resumed upload: %v", err)
	}
	token, err = u.Suspend(ctx, storage.SuspendOptions{})
	must(t, err)
	must(t, v.Discard(ctx, token))
	must(t, put(ctx, v, "g", kilobytes(1)))
}

// TestQuotaTogether has sessions upload at once: what they publish never passes the quota,
// and it is used up.
func TestQuotaTogether(t *testing.T) {
	ctx, d := t.Context(), newDisk(t)
	q := storage.NewQuota(100_000)
	var done atomic.Int64
	var wg sync.WaitGroup
	for i := range 8 {
		v := session(t, d, q)
		wg.Go(func() {
			for j := range 4 {
				err := put(ctx, v, fmt.Sprintf("f%d-%d", i, j), kilobytes(10))
				switch {
				case err == nil:
					done.Add(1)
				case !errors.Is(err, storage.ErrQuota):
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	if done.Load() > 10 {
		t.Errorf("%d files of 10 kB under a quota of 100 kB", done.Load())
	}
	v := session(t, d, q)
	for i := done.Load(); i < 10; i++ { // some were refused while others held room that they gave back
		must(t, put(ctx, v, fmt.Sprintf("rest%d", i), kilobytes(10)))
	}
	if err := put(ctx, v, "more", "x"); !errors.Is(err, storage.ErrQuota) {
		t.Errorf("put past the quota: %v", err)
	}
}

// TestQuotaMounts counts what can be uploaded to, once.
func TestQuotaMounts(t *testing.T) {
	ctx, d, public := t.Context(), newDisk(t), newDisk(t)
	must(t, storage.MkdirAll(ctx, d, "shared"))
	must(t, put(ctx, d, "shared/hidden", kilobytes(1)))
	must(t, put(ctx, d, "mine", kilobytes(2)))
	must(t, put(ctx, public, "theirs", kilobytes(4)))
	v := newView(t, storage.ViewOptions{Quota: storage.NewQuota(1 << 20)},
		storage.Mount{FS: d, Permissions: storage.PermReadWrite},
		storage.Mount{Path: "shared", FS: public, Permissions: storage.PermReadOnly},
		storage.Mount{Path: "later", FS: d, Root: "no", Permissions: storage.PermReadWrite},
	)
	wantUsage(t, v, 2000)
}

// unwalkable is a backend whose files are kept elsewhere.
type unwalkable struct {
	*disk.Disk
	t *testing.T
}

func (u unwalkable) List(context.Context, string) iter.Seq2[storage.Info, error] {
	u.t.Error("it is walked")
	return func(func(storage.Info, error) bool) {}
}

// TestQuotaUncounted: files of an uncounted mount are not walked and not counted; uploads
// to it are while they are on their way.
func TestQuotaUncounted(t *testing.T) {
	ctx := t.Context()
	v := newView(t, storage.ViewOptions{User: "ann", Quota: storage.NewQuota(100_000)},
		storage.Mount{FS: newDisk(t), Permissions: storage.PermReadWrite},
		storage.Mount{Path: "far", FS: unwalkable{newDisk(t), t}, Permissions: storage.PermReadWrite, Uncounted: true})
	must(t, put(ctx, v, "near", kilobytes(30)))
	for i := range 3 {
		must(t, put(ctx, v, fmt.Sprintf("far/%d", i), kilobytes(60)))
	}
	wantUsage(t, v, 30_000)
	up, err := v.Create(ctx, "far/x", storage.CreateOptions{Size: 60_000})
	must(t, err)
	wantUsage(t, v, 90_000)
	if err := put(ctx, v, "near2", kilobytes(20)); !errors.Is(err, storage.ErrQuota) {
		t.Errorf("put past the quota: %v", err)
	}
	must(t, up.Abort(ctx))
	must(t, put(ctx, v, "near2", kilobytes(20)))
}
