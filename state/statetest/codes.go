package statetest

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"gateway/state"
)

func testCodes(t *testing.T, open Open) {
	dir, ctx := t.TempDir(), t.Context()
	s, other := open(t, dir), open(t, dir)
	defer s.Close()
	defer other.Close()
	try := func(user string, tries int) {
		t.Helper()
		n, wait, err := s.TryCode(ctx, user)
		must(t, err)
		if n != tries || wait != 0 {
			t.Errorf("try %d of %s: got %d, and a wait of %v", tries, user, n, wait)
		}
		s, other = other, s
	}
	const free = 3 // after the third wrong one there is a wait
	for n := range free {
		try("anna", n+1)
	}
	for range 2 { // refused tries do not lengthen it
		_, wait, err := other.TryCode(ctx, "anna")
		must(t, err)
		if want := state.CodeWait(free); want < time.Second || wait <= 0 || wait > want {
			t.Errorf("after %d tries: a wait of %v, want about %v", free, wait, want)
		}
	}
	try("bert", 1) // which is no business of another user's

	// A right code ends the wait; it is good once, as are those before it.
	must(t, s.UseCode(ctx, "anna", "app", 100))
	wantErr(t, other.UseCode(ctx, "anna", "app", 100), state.ErrConflict)
	wantErr(t, other.UseCode(ctx, "anna", "app", 99), state.ErrConflict)
	must(t, other.UseCode(ctx, "anna", "app", 101))
	must(t, other.UseCode(ctx, "anna", "paper 1", 0))
	wantErr(t, s.UseCode(ctx, "anna", "paper 1", 0), state.ErrConflict)
	must(t, s.UseCode(ctx, "bert", "app", 100))
	try("anna", 1)
	// A used one ends no wait.
	wantErr(t, s.UseCode(ctx, "anna", "app", 101), state.ErrConflict)
	try("anna", 2)

	_, _, err := s.TryCode(ctx, "")
	wantErr(t, err, state.ErrInvalid)
	wantErr(t, s.UseCode(ctx, "", "app", 1), state.ErrInvalid)
	wantErr(t, s.UseCode(ctx, "anna", "", 1), state.ErrInvalid)
}

// What is forgotten is what was used longest ago.
func testCodesBound(t *testing.T, open Open) {
	s, ctx := newStore(t, open), t.Context()
	for n := range state.MaxUsedCodes {
		must(t, s.UseCode(ctx, "anna", fmt.Sprint(n), 1))
	}
	must(t, s.UseCode(ctx, "anna", "0", 2)) // used last now
	must(t, s.UseCode(ctx, "bert", "1", 1))
	must(t, s.UseCode(ctx, "anna", "more", 1))
	wantErr(t, s.UseCode(ctx, "anna", "0", 2), state.ErrConflict)
	for n := 2; n < state.MaxUsedCodes; n++ {
		wantErr(t, s.UseCode(ctx, "anna", fmt.Sprint(n), 1), state.ErrConflict)
	}
	must(t, s.UseCode(ctx, "anna", "1", 1))
}

// Of those who bring one code at once, one is let in; and of tries at once no more are free than of
// those one after the other.
func testCodesAtOnce(t *testing.T, open Open) {
	dir, ctx := t.TempDir(), t.Context()
	s, other := open(t, dir), open(t, dir)
	defer s.Close()
	defer other.Close()
	var used, tried atomic.Int64
	var wait sync.WaitGroup
	for n := range 20 {
		on := s
		if n%2 == 1 {
			on = other
		}
		wait.Go(func() {
			if on.UseCode(ctx, "anna", "app", 7) == nil {
				used.Add(1)
			}
			if _, wait, err := on.TryCode(ctx, "bert"); err == nil && wait == 0 {
				tried.Add(1)
			}
		})
	}
	wait.Wait()
	equal(t, used.Load(), int64(1))
	equal(t, tried.Load(), int64(3))
}
