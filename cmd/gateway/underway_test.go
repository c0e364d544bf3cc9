package main

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"gateway/state"
	"gateway/storage"
)

// grants is a store that grants every lock.
type grants struct {
	state.Locks
	removed string
}

func (*grants) CreateLock(_ context.Context, l state.Lock) (state.Lock, error) { return l, nil }

func (g *grants) RemoveLock(_ context.Context, token string) error {
	g.removed = token
	return nil
}

// TestLockAfter: a lock is granted when the changes that it would have stopped have ended.
func TestLockAfter(t *testing.T) {
	for _, c := range []struct {
		root     string
		infinite bool
		change   state.Change
		waits    bool
	}{
		{"/s:x/a", false, state.Change{Key: "/s:x/a"}, true},
		{"/s:x/a", false, state.Change{Key: "/s:x/ab"}, false},
		{"/s:x/a", false, state.Change{Key: "/s:x/a/b"}, false},
		{"/s:x/a", false, state.Change{Key: "/s:x/a/b", Member: true}, true},
		{"/s:x/a", true, state.Change{Key: "/s:x/a/b/c"}, true},
		{"/s:x/a/b", false, state.Change{Key: "/s:x/a"}, false},
		{"/s:x/a/b", false, state.Change{Key: "/s:x/a", Tree: true}, true},
	} {
		synctest.Test(t, func(t *testing.T) {
			var u underway
			done := u.begin([]state.Change{{Key: "/s:y"}, c.change})
			granted := false
			go func() {
				l, err := lockAfter{&grants{}, &u}.CreateLock(t.Context(), state.Lock{Token: "t", Root: c.root, Infinite: c.infinite})
				if granted = true; err != nil || l.Token != "t" {
					t.Error(l, err)
				}
			}()
			synctest.Wait()
			if granted == c.waits {
				t.Errorf("lock of %s while %+v: granted %v", c.root, c.change, granted)
			}
			done()
			synctest.Wait()
			if !granted {
				t.Errorf("lock of %s after %+v: not granted", c.root, c.change)
			}
		})
	}
}

// Who does not wait any more has no lock.
func TestLockAfterEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		var u underway
		g := &grants{}
		defer u.begin([]state.Change{{Key: "/a"}})()
		_, err := lockAfter{g, &u}.CreateLock(ctx, state.Lock{Token: "t", Root: "/a"})
		if !errors.Is(err, context.DeadlineExceeded) || g.removed != "t" {
			t.Error(err, g.removed)
		}
	})
}

// What is refused is not under way.
func TestRefusedIsNotUnderway(t *testing.T) {
	g, c := newGuard(t)
	if _, err := c.CreateLock(t.Context(), state.Lock{Token: "t", Root: "/a", User: "ann", Timeout: time.Hour}); err != nil {
		t.Fatal(err)
	}
	_, err := g.Allow(t.Context(), "ann", storage.Change{Key: "/a"})
	if !errors.Is(err, storage.ErrLocked) || len(g.changes.set) > 0 {
		t.Error(err, len(g.changes.set))
	}
}
