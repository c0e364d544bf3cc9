package auth

import (
	"context"
	"errors"
	"log/slog"
	"path/filepath"
	"testing"
	"time"

	"gateway/state"
	"gateway/state/sqlite"
)

// spyBans counts the calls that write.
type spyBans struct {
	state.Bans
	forgotten, added int
}

func (s *spyBans) ForgetFailures(ctx context.Context, network string) error {
	s.forgotten++
	return s.Bans.ForgetFailures(ctx, network)
}

func (s *spyBans) AddFailure(ctx context.Context, network string, l state.FailureLimits) (state.Failures, error) {
	s.added++
	return s.Bans.AddFailure(ctx, network, l)
}

func openBans(t *testing.T, file string) *sqlite.Store {
	t.Helper()
	db, err := sqlite.Open(t.Context(), file)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	return db
}

func sharedGuard(t *testing.T, bans state.Bans) *Guard {
	return NewSharedGuard(t.Context(), GuardLimits{Failures: 4, Window: time.Hour, Ban: time.Hour}, bans, slog.New(slog.DiscardHandler))
}

// awaitBan gives a guard the time that it may take to learn of a ban.
func awaitBan(g *Guard) error {
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		if err := g.Allowed(home); err != nil || time.Now().After(deadline) {
			return err
		}
	}
}

func TestGuardsShare(t *testing.T) {
	file, ctx := filepath.Join(t.TempDir(), "state.db"), t.Context()
	a, b := sharedGuard(t, openBans(t, file)), sharedGuard(t, openBans(t, file))
	for range 2 {
		a.Failed(home)
		if b.Decide(ctx, home) != nil {
			t.Fatal("banned too early")
		}
		b.Failed(home)
	}
	for name, g := range map[string]*Guard{"a": a, "b": b} {
		if err := awaitBan(g); !errors.Is(err, ErrBanned) {
			t.Errorf("%s: %v", name, err)
		}
		if err := g.Decide(ctx, home); !errors.Is(err, ErrBanned) {
			t.Errorf("%s: %v", name, err)
		}
	}
	later := sharedGuard(t, openBans(t, file)) // as after a restart
	if err := later.Allowed(home); !errors.Is(err, ErrBanned) {
		t.Errorf("after a restart: %v", err)
	}
	if err := later.Decide(ctx, other); err != nil {
		t.Error(err)
	}
}

func TestSharedGuardForgets(t *testing.T) {
	file, ctx := filepath.Join(t.TempDir(), "state.db"), t.Context()
	spy := &spyBans{Bans: openBans(t, file)}
	a, b := sharedGuard(t, openBans(t, file)), sharedGuard(t, spy)
	for range 3 {
		if err := b.Decide(ctx, home); err != nil {
			t.Fatal(err)
		}
		b.Succeeded(home)
	}
	if spy.forgotten+spy.added != 0 {
		t.Errorf("logins without a failure wrote %d times", spy.forgotten+spy.added)
	}
	for range 3 {
		a.Failed(home)
	}
	if err := b.Decide(ctx, home); err != nil {
		t.Fatal(err)
	}
	b.Succeeded(home)
	for range 3 {
		a.Failed(home)
	}
	if err := b.Decide(ctx, home); err != nil || spy.forgotten != 1 {
		t.Errorf("failures before a login count: %v; forgotten %d times", err, spy.forgotten)
	}
}

// Without its database a guard counts alone.
func TestSharedGuardAlone(t *testing.T) {
	db := openBans(t, filepath.Join(t.TempDir(), "state.db"))
	g := sharedGuard(t, db)
	g.Failed(home)
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if err := g.Decide(t.Context(), home); err != nil {
			t.Fatal(err)
		}
		g.Failed(home)
	}
	if err := g.Decide(t.Context(), home); !errors.Is(err, ErrBanned) {
		t.Errorf("got %v", err)
	}
	g.Succeeded(other)
}
