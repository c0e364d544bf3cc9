package main

import (
	"context"
	"sync"
	"time"

	"gateway/state"
)

// calmTime is for how long it is believed that there is nothing, or something.
const calmTime = time.Second

// calm is a state of one process only that knows when nothing at all is locked or shared, or nothing has
// properties: most of the time. Then uploads need not ask, which would cost small ones as much as all
// else together. A lock that was granted here is known at once. If another process used the same
// file, which is not meant to be, it would be known after calmTime.
type calm struct {
	state.Store
	locks, properties, shares emptiness
}

func newCalm(s state.Store) *calm {
	c := &calm{Store: s}
	c.locks.find = func(ctx context.Context) (bool, error) {
		all, err := s.LocksBelow(ctx, "")
		return len(all) == 0, err
	}
	c.properties.find = func(ctx context.Context) (bool, error) {
		has, err := s.HasProperties(ctx, "")
		return !has, err
	}
	c.shares.find = func(ctx context.Context) (bool, error) {
		all, err := s.SharesOf(ctx, "")
		return len(all) == 0, err
	}
	return c
}

// AddShare implements state.Shares.
func (c *calm) AddShare(ctx context.Context, v state.Share) error {
	defer c.shares.end()
	return c.Store.AddShare(ctx, v)
}

// CreateLock implements state.Locks.
func (c *calm) CreateLock(ctx context.Context, l state.Lock) (state.Lock, error) {
	defer c.locks.end() // before the answer
	return c.Store.CreateLock(ctx, l)
}

// PatchProperties implements state.Properties.
func (c *calm) PatchProperties(ctx context.Context, key, user string, changes ...state.PropertyChange) error {
	defer c.properties.end()
	return c.Store.PatchProperties(ctx, key, user, changes...)
}

// CopyProperties implements state.Properties.
func (c *calm) CopyProperties(ctx context.Context, from, to, user string) error {
	defer c.properties.end()
	return c.Store.CopyProperties(ctx, from, to, user)
}

// emptiness remembers whether there is nothing.
type emptiness struct {
	find func(context.Context) (empty bool, err error)

	mu    sync.Mutex
	empty bool
	until time.Time // when that is to be found out again
	ends  uint64    // grows with each end: what was found before one does not count after it
}

// end says that there may be something from now on.
func (e *emptiness) end() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.ends++
	e.empty, e.until = false, time.Time{}
}

// holds reports whether there is surely nothing.
func (e *emptiness) holds(ctx context.Context) bool {
	e.mu.Lock()
	empty, fresh, ends := e.empty, time.Now().Before(e.until), e.ends
	e.mu.Unlock()
	if fresh {
		return empty
	}
	empty, err := e.find(ctx)
	if err != nil {
		return false // who asks meets the error
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.ends != ends {
		return false
	}
	e.empty, e.until = empty, time.Now().Add(calmTime)
	return empty
}
