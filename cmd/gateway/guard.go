package main

import (
	"context"
	"log/slog"
	"slices"

	"gateway/state"
	"gateway/storage"
)

// guard is the storage.Guard of all views: locks and properties of the state.
type guard struct {
	state   state.Store
	changes *underway
	log     *slog.Logger
}

// Allow implements storage.Guard.
func (g guard) Allow(ctx context.Context, user string, changes ...storage.Change) (done func(), err error) {
	wanted := make([]state.Change, len(changes))
	for i, c := range changes {
		wanted[i] = state.Change(c)
	}
	done = g.changes.begin(wanted) // before the locks are looked at: see underway
	if err := g.unlocked(ctx, user, wanted); err != nil {
		done()
		return nil, err
	}
	return done, nil
}

func (g guard) unlocked(ctx context.Context, user string, wanted []state.Change) error {
	if c, ok := g.state.(*calm); ok && c.locks.holds(ctx) {
		return nil
	}
	tokens := storage.LockTokens(ctx)
	blocked, err := state.Blocked(ctx, g.state, func(l state.Lock) bool {
		return l.User == user && slices.Contains(tokens, l.Token)
	}, wanted...)
	if err == nil && len(blocked) > 0 {
		err = storage.ErrLocked
	}
	return err
}

// Bound implements storage.Guard.
func (g guard) Bound(ctx context.Context, key string) (bool, error) {
	if g.noProperties(ctx) {
		return false, nil
	}
	return g.state.HasProperties(ctx, key)
}

func (g guard) noProperties(ctx context.Context) bool {
	c, ok := g.state.(*calm)
	return ok && c.properties.holds(ctx)
}

// Moved implements storage.Guard.
func (g guard) Moved(ctx context.Context, from, to string) {
	g.endShares(ctx, from)
	if g.noProperties(ctx) {
		return
	}
	if err := g.state.MoveProperties(ctx, from, to); err != nil {
		g.log.Error("properties did not move with their file; they are lost to it", "from", from, "to", to, "error", err)
	}
}

// Removed implements storage.Guard.
func (g guard) Removed(ctx context.Context, tree string) {
	g.endShares(ctx, tree)
	if g.noProperties(ctx) {
		return
	}
	if err := g.state.RemoveProperties(ctx, tree); err != nil {
		g.log.Error("properties were not removed with their file; what is stored there next may show them", "of", tree, "error", err)
	}
}
