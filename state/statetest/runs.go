package statetest

import (
	"context"
	"testing"
	"time"

	"gateway/state"
)

func testWithdraw(t *testing.T, open Open) {
	s, ctx := newStore(t, open), t.Context()
	j := newJob(t, s)
	other, err := s.OpenJob(ctx, "ftp://second/", "disk:legacy")
	must(t, err)
	f := line(j.ID, "a")
	p := state.Publication{Target: "disk:legacy/a", Job: j.ID, Size: 1, SHA256: []byte{1}, Published: at}
	wantErr(t, s.Withdraw(ctx, f, p.Target, at), state.ErrNotFound)
	equal(t, paths(t, s, j.ID), []string(nil)) // all or none
	must(t, s.Publish(ctx, f, p))
	theirs := line(other.ID, "x")
	theirs.Target = f.Target
	wantErr(t, s.Withdraw(ctx, theirs, p.Target, at), state.ErrNotFound)
	wantErr(t, s.Withdraw(ctx, line(j.ID, ""), p.Target, at), state.ErrInvalid)

	must(t, s.Withdraw(ctx, f, p.Target, at))
	got, err := s.GetFile(ctx, j.ID, "a")
	must(t, err)
	f.Phase = state.Removed
	equal(t, got, f)
	pub, err := s.Publication(ctx, p.Target)
	must(t, err)
	p.Removed = at
	equal(t, pub, p)
	for p, err := range s.Publications(ctx, "") {
		must(t, err)
		t.Errorf("%s was removed and is listed", p.Target)
	}

	p.Size, p.Removed = 2, time.Time{} // published anew
	must(t, s.Publish(ctx, f, p))
	pub, err = s.Publication(ctx, p.Target)
	must(t, err)
	equal(t, pub, p)
	n := 0
	for range s.Publications(ctx, "") {
		n++
	}
	equal(t, n, 1)
}

func testRuns(t *testing.T, open Open) {
	s, ctx := newStore(t, open), t.Context()
	j := newJob(t, s)
	none, err := s.Runs(ctx, j.ID)
	must(t, err)
	equal(t, len(none), 0)
	wantErr(t, s.AddRun(ctx, state.Run{Job: j.ID, Result: "fine"}), state.ErrInvalid)
	wantErr(t, s.AddRun(ctx, state.Run{Job: j.ID + 1, Result: state.Complete}), state.ErrNotFound)
	full := state.Run{
		Job: j.ID, Started: at, Finished: at.Add(time.Hour), Result: state.Broken, Error: "550 nö",
		Published: 1, Unchanged: 2, Held: 3, Failed: 4, Removed: 5, FetchedBytes: 1 << 40, Fetching: time.Minute,
	}
	must(t, s.AddRun(ctx, full))
	for i := range state.MaxRuns {
		must(t, s.AddRun(ctx, state.Run{Job: j.ID, Result: state.Complete, Published: int64(i)}))
		if i == 0 {
			got, err := s.Runs(ctx, j.ID)
			must(t, err)
			equal(t, got, []state.Run{{Job: j.ID, Result: state.Complete}, full})
		}
	}
	got, err := s.Runs(ctx, j.ID)
	must(t, err)
	equal(t, len(got), state.MaxRuns)
	equal(t, got[0].Published, int64(state.MaxRuns-1))
	equal(t, got[len(got)-1].Published, int64(0)) // the oldest had to go
	ctx, cancel := context.WithCancel(ctx)
	cancel()
	wantErr(t, s.AddRun(ctx, full), context.Canceled)
}
