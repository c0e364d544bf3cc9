package statetest

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"gateway/state"
)

func testClaim(t *testing.T, open Open) {
	dir, ctx := t.TempDir(), t.Context()
	s, second := open(t, dir), open(t, dir)
	defer s.Close()
	defer second.Close()
	j := newJob(t, s)
	must(t, s.FinishJob(ctx, j.ID, at))
	held, release, err := s.Claim(ctx, j.ID, at)
	must(t, err)
	for _, other := range []state.Store{s, second} {
		_, _, err = other.Claim(ctx, j.ID, at.Add(1))
		wantErr(t, err, state.ErrClaimed)
	}
	for got, err := range s.Jobs(ctx) {
		must(t, err)
		j.Started = at
		equal(t, got, j)
	}
	must(t, held.Err())
	must(t, release())
	wantErr(t, held.Err(), context.Canceled)
	_, release, err = second.Claim(ctx, j.ID, at)
	must(t, err)
	must(t, release())
	_, _, err = s.Claim(ctx, j.ID+1, at)
	wantErr(t, err, state.ErrNotFound)
}

func testClaimOfKilled(t *testing.T, suite Suite) {
	dir, open := t.TempDir(), suite.Open
	acks, kill := startChild(t, dir, "claim")
	if _, ok := nextAck(acks); !ok {
		t.Fatal("the child ended by itself")
	}
	s := open(t, dir)
	defer s.Close()
	j := newJob(t, s)
	_, _, err := s.Claim(t.Context(), j.ID, at)
	wantErr(t, err, state.ErrClaimed)
	kill()
	for _, ok := nextAck(acks); ok; _, ok = nextAck(acks) {
	}
	killed := time.Now()
	for {
		_, release, err := s.Claim(t.Context(), j.ID, at)
		if err == nil {
			must(t, release())
			return
		}
		if !errors.Is(err, state.ErrClaimed) || time.Since(killed) > suite.Lease+claimSlack {
			t.Fatalf("%v after the run was killed: %v", time.Since(killed), err)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// claimSlack is for a busy machine. A database without leases gets it too.
const claimSlack = 2 * time.Second

// What a run writes under its claim is written, and after the run's context ended
// what it writes without it as well.
func testClaimUnderWay(t *testing.T, open Open) {
	s := newStore(t, open)
	j := newJob(t, s)
	ctx, cancel := context.WithCancel(t.Context())
	held, release, err := s.Claim(ctx, j.ID, at)
	must(t, err)
	must(t, s.PutFiles(held, line(j.ID, "a")))
	must(t, s.Publish(held, line(j.ID, "a"), state.Publication{Target: "t"}))
	cancel()
	wantErr(t, s.PutFiles(held, line(j.ID, "b")), context.Canceled)
	_, _, err = s.Claim(t.Context(), j.ID, at) // the run may still wind up
	wantErr(t, err, state.ErrClaimed)
	last := context.WithoutCancel(held)
	must(t, s.Withdraw(last, line(j.ID, "a"), "t", at))
	must(t, s.AddRun(last, state.Run{Job: j.ID, Result: state.Interrupted}))
	must(t, s.FinishJob(last, j.ID, at))
	must(t, release())
	equal(t, paths(t, s, j.ID), []string{"a"})
}

// Of many who want a job at once, one gets it at a time.
func testClaimsAtOnce(t *testing.T, open Open) {
	const stores, each = 4, 5
	dir := t.TempDir()
	first := open(t, dir)
	defer first.Close()
	j := newJob(t, first)
	var mu sync.Mutex
	var wg sync.WaitGroup
	for range stores {
		s := open(t, dir)
		defer s.Close()
		wg.Go(func() {
			for won := 0; won < each; {
				_, release, err := s.Claim(t.Context(), j.ID, at)
				if errors.Is(err, state.ErrClaimed) {
					continue
				}
				if err != nil {
					t.Error(err)
					return
				}
				if !mu.TryLock() {
					t.Error("two have the job")
					return
				}
				won++
				mu.Unlock()
				if err := release(); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
}
