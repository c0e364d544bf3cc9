package statetest

import (
	"testing"
	"time"

	"gateway/state"
)

func testHolds(t *testing.T, open Open) {
	dir, ctx := t.TempDir(), t.Context()
	s, other := open(t, dir), open(t, dir)
	defer s.Close()
	defer other.Close()
	j := newJob(t, s)
	_, err := s.HoldOf(ctx, j.ID)
	wantErr(t, err, state.ErrNotFound)
	wantErr(t, s.UnholdJob(ctx, j.ID), state.ErrNotFound)
	h := state.Hold{Job: j.ID, By: "anna\xff\n", At: at}
	must(t, s.HoldJob(ctx, h))
	got, err := other.HoldOf(ctx, j.ID)
	must(t, err)
	equal(t, got, h)
	h.By = "berta"
	must(t, other.HoldJob(ctx, h))
	got, err = s.HoldOf(ctx, j.ID)
	must(t, err)
	equal(t, got, h)
	must(t, s.UnholdJob(ctx, j.ID))
	_, err = other.HoldOf(ctx, j.ID)
	wantErr(t, err, state.ErrNotFound)
	h.Job++
	wantErr(t, s.HoldJob(ctx, h), state.ErrNotFound)
}

func testBansByHand(t *testing.T, open Open) {
	dir, ctx := t.TempDir(), t.Context()
	s, other := open(t, dir), open(t, dir)
	defer s.Close()
	defer other.Close()
	const n = "192.0.2.0/24"
	wantErr(t, s.LiftBan(ctx, n), state.ErrNotFound)
	wantErr(t, s.Ban(ctx, "", time.Hour), state.ErrInvalid)
	wantErr(t, s.Ban(ctx, n, 0), state.ErrInvalid)
	_, err := s.AddFailure(ctx, n, state.FailureLimits{Failures: 3, Window: time.Hour, Ban: time.Hour})
	must(t, err)
	wantErr(t, s.LiftBan(ctx, n), state.ErrNotFound) // it has failed, and is not banned
	must(t, s.Ban(ctx, n, 3*time.Hour))
	f, err := other.FailuresOf(ctx, n)
	wantFailures(t, f, err, n, 0, 3*time.Hour)
	must(t, other.Ban(ctx, n, time.Hour))
	f, err = s.FailuresOf(ctx, n)
	wantFailures(t, f, err, n, 0, time.Hour)
	must(t, other.LiftBan(ctx, n))
	f, err = s.FailuresOf(ctx, n)
	wantFailures(t, f, err, n, 0, 0)
	list, err := s.Banned(ctx)
	must(t, err)
	equal(t, len(list), 0)
}
