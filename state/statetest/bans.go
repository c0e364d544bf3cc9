package statetest

import (
	"bufio"
	"context"
	"fmt"
	"testing"
	"time"

	"gateway/state"
)

// wantFailures compares; banned is within what a busy machine takes.
func wantFailures(t *testing.T, got state.Failures, err error, network string, count int, banned time.Duration) {
	t.Helper()
	must(t, err)
	if got.Network != network || got.Count != count || got.Banned > banned || got.Banned < banned-time.Minute {
		t.Errorf("got %+v, want %d failures of %s and %v of a ban", got, count, network, banned)
	}
}

func testBans(t *testing.T, open Open) {
	dir, ctx := t.TempDir(), t.Context()
	s, other := open(t, dir), open(t, dir)
	defer s.Close()
	defer other.Close()
	limits := state.FailureLimits{Failures: 3, Window: time.Hour, Ban: 2 * time.Hour}
	const one, two = "192.0.2.1/32", "2001:db8::/64"
	f, err := s.FailuresOf(ctx, one)
	wantFailures(t, f, err, one, 0, 0)
	for n := 1; n < limits.Failures; n++ {
		f, err = s.AddFailure(ctx, one, limits)
		wantFailures(t, f, err, one, n, 0)
		s, other = other, s
	}
	f, err = other.FailuresOf(ctx, one)
	wantFailures(t, f, err, one, 2, 0)
	none, err := s.Banned(ctx)
	must(t, err)
	equal(t, len(none), 0)

	f, err = s.AddFailure(ctx, one, limits)
	wantFailures(t, f, err, one, 0, limits.Ban)
	must(t, other.ForgetFailures(ctx, one)) // which ends no ban
	f, err = other.FailuresOf(ctx, one)
	wantFailures(t, f, err, one, 0, limits.Ban)
	f, err = other.AddFailure(ctx, one, limits) // who is banned may fail more
	wantFailures(t, f, err, one, 1, limits.Ban)
	f, err = s.AddFailure(ctx, two, limits)
	wantFailures(t, f, err, two, 1, 0)
	banned, err := other.Banned(ctx)
	must(t, err)
	if len(banned) != 1 || banned[0].Network != one || banned[0].Banned <= time.Hour {
		t.Errorf("banned: %+v", banned)
	}
	must(t, s.ForgetFailures(ctx, two))
	must(t, s.ForgetFailures(ctx, two))
	f, err = other.FailuresOf(ctx, two)
	wantFailures(t, f, err, two, 0, 0)

	f, err = s.AddFailure(ctx, "at once", state.FailureLimits{Failures: 1, Window: time.Hour, Ban: time.Hour})
	wantFailures(t, f, err, "at once", 0, time.Hour)
	for _, bad := range []state.FailureLimits{{Window: 1, Ban: 1}, {Failures: 1, Ban: 1}, {Failures: 1, Window: 1}} {
		_, err = s.AddFailure(ctx, one, bad)
		wantErr(t, err, state.ErrInvalid)
	}
	_, err = s.AddFailure(ctx, "", limits)
	wantErr(t, err, state.ErrInvalid)
}

func testBansEnd(t *testing.T, open Open) {
	s, ctx := newStore(t, open), t.Context()
	const short = time.Second
	add := func(window, ban time.Duration, count int, banned time.Duration) {
		t.Helper()
		f, err := s.AddFailure(ctx, "n", state.FailureLimits{Failures: 2, Window: window, Ban: ban})
		wantFailures(t, f, err, "n", count, banned)
	}
	add(short, short, 1, 0)
	time.Sleep(short + 100*time.Millisecond)
	f, err := s.FailuresOf(ctx, "n")
	wantFailures(t, f, err, "n", 0, 0)
	add(short, short, 1, 0)
	add(time.Hour, short, 0, short)
	time.Sleep(short + 100*time.Millisecond)
	f, err = s.FailuresOf(ctx, "n")
	wantFailures(t, f, err, "n", 0, 0)
	banned, err := s.Banned(ctx)
	must(t, err)
	equal(t, len(banned), 0)
	add(time.Hour, short, 1, 0)
	must(t, s.ForgetFailures(ctx, "n"))
	add(time.Hour, short, 1, 0)
}

// Failures of several processes add up.
func testBansAtOnce(t *testing.T, open Open) {
	const children = 3
	dir := t.TempDir()
	var all []*bufio.Scanner
	for range children {
		acks, _ := startChild(t, dir, "fail")
		all = append(all, acks)
	}
	for _, acks := range all {
		n := 0
		for _, ok := nextAck(acks); ok; _, ok = nextAck(acks) {
			n++
		}
		equal(t, n, childFailures)
	}
	s := open(t, dir)
	defer s.Close()
	f, err := s.FailuresOf(t.Context(), "n")
	wantFailures(t, f, err, "n", children*childFailures, 0)
}

// childFailures is how often a child fails.
const childFailures = 20

func failInChild(ctx context.Context, t *testing.T, s state.Store) {
	for n := range childFailures {
		_, err := s.AddFailure(ctx, "n", state.FailureLimits{Failures: 1000, Window: time.Hour, Ban: time.Hour})
		must(t, err)
		fmt.Println("ack", n)
	}
}
