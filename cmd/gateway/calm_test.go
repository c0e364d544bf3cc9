package main

import (
	"context"
	"errors"
	"log/slog"
	"path/filepath"
	"testing"
	"time"

	"gateway/state"
	"gateway/state/sqlite"
	"gateway/storage"
)

func newGuard(t *testing.T) (guard, *calm) {
	t.Helper()
	db, err := sqlite.Open(t.Context(), filepath.Join(t.TempDir(), "state.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	c := newCalm(db)
	return guard{c, &underway{}, slog.New(slog.DiscardHandler)}, c
}

// What is locked or set is known at once, however sure it was that there was nothing.
func TestCalm(t *testing.T) {
	g, c := newGuard(t)
	ctx := t.Context()
	change := storage.Change{Key: "/s:x/a"}
	for n := range 20 {
		if _, err := g.Allow(ctx, "ann", change); err != nil {
			t.Fatal(err)
		}
		if !c.locks.holds(ctx) {
			t.Error("nothing is locked, and it is not known")
		}
		l, err := c.CreateLock(ctx, state.Lock{Token: "t", Root: "/s:x/a", User: "ann", Timeout: time.Hour})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := g.Allow(ctx, "ann", change); !errors.Is(err, storage.ErrLocked) {
			t.Fatalf("round %d: %v", n, err)
		}
		if _, err := g.Allow(storage.WithLockTokens(ctx, []string{"t"}), "ann", change); err != nil {
			t.Error(err)
		}
		if err := c.RemoveLock(ctx, l.Token); err != nil {
			t.Fatal(err)
		}
		c.locks.until = time.Time{} // a second later
	}
	bound := func(want bool) {
		t.Helper()
		if has, err := g.Bound(ctx, "/s:x/a"); has != want || err != nil {
			t.Errorf("bound: %v, %v", has, err)
		}
	}
	bound(false)
	set := state.PropertyChange{Property: state.Property{Local: "p"}}
	if err := c.PatchProperties(ctx, "/s:x/a", "ann", set); err != nil {
		t.Fatal(err)
	}
	bound(true)
	g.Moved(ctx, "/s:x/a", "/s:x/b")
	bound(false)
	g.Removed(ctx, "/s:x/b")
	if has, err := c.HasProperties(ctx, ""); has || err != nil {
		t.Error(has, err)
	}
	c.properties.until = time.Time{}
	bound(false)
	if err := c.PatchProperties(ctx, "/s:x/b", "ann", set); err != nil {
		t.Fatal(err)
	}
	c.properties.until = time.Time{}
	if err := c.CopyProperties(ctx, "/s:x/b", "/s:x/a", "ann"); err != nil {
		t.Fatal(err)
	}
	bound(true)
}

// What was found before something came does not count after.
func TestCalmOvertaken(t *testing.T) {
	var e emptiness
	e.find = func(context.Context) (bool, error) {
		e.end() // somebody else locks meanwhile
		return true, nil
	}
	if e.holds(t.Context()) || e.empty {
		t.Error("it is believed that there is nothing")
	}
	e.find = func(context.Context) (bool, error) { return true, errors.New("the database is gone") }
	if e.holds(t.Context()) || e.empty {
		t.Error("it is believed that there is nothing, and it could not be read")
	}
}
