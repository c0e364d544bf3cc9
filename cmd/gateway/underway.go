package main

import (
	"context"
	"strings"
	"sync"

	"gateway/state"
)

// underway is the changes that were allowed and are being made, on this node. It is entered before the
// locks are looked at, and a lock is granted before it is looked at: so either the change meets the lock,
// or who made the lock waits for the change (lockAfter). The zero value is empty.
type underway struct {
	mu  sync.Mutex
	set map[*ongoing]struct{}
}

type ongoing struct {
	changes []state.Change
	ended   chan struct{}
}

// begin enters changes until done is called.
func (u *underway) begin(changes []state.Change) (done func()) {
	o := &ongoing{changes: changes, ended: make(chan struct{})}
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.set == nil {
		u.set = make(map[*ongoing]struct{})
	}
	u.set[o] = struct{}{}
	return func() {
		u.mu.Lock()
		defer u.mu.Unlock()
		delete(u.set, o)
		close(o.ended)
	}
}

// wait returns when those that the lock would have stopped have ended. It does not wait for later ones.
func (u *underway) wait(ctx context.Context, l state.Lock) error {
	for _, o := range u.stoppedBy(l) {
		select {
		case <-o.ended:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

func (u *underway) stoppedBy(l state.Lock) (found []*ongoing) {
	u.mu.Lock()
	defer u.mu.Unlock()
	for o := range u.set {
		for _, c := range o.changes {
			folder := c.Key[:max(strings.LastIndexByte(c.Key, '/'), 0)]
			if l.Covers(c.Key) || c.Member && l.Covers(folder) || c.Tree && strings.HasPrefix(l.Root, c.Key+"/") {
				found = append(found, o)
				break
			}
		}
	}
	return found
}

// lockAfter grants a lock when what was under way has ended: who has it reads what there then is, and
// nobody else changes that.
type lockAfter struct {
	state.Locks
	changes *underway
}

// CreateLock implements state.Locks.
func (a lockAfter) CreateLock(ctx context.Context, l state.Lock) (state.Lock, error) {
	l, err := a.Locks.CreateLock(ctx, l)
	if err != nil {
		return l, err
	}
	if err := a.changes.wait(ctx, l); err != nil {
		_ = a.Locks.RemoveLock(context.WithoutCancel(ctx), l.Token) // or it ends with its time-out
		return l, err
	}
	return l, nil
}
