// Package keylock is a set of mutual exclusion locks by key: one for each file
// name, say, without keeping anything for names that nobody holds.
package keylock

import (
	"context"
	"sync"
)

// Locks is the set. The zero value is ready.
type Locks[K comparable] struct {
	mu   sync.Mutex
	held map[K]*lock
}

type lock struct {
	sem   chan struct{} // holds one token while locked
	users int           // holder and waiters; the lock is forgotten at 0
}

// Lock waits for the lock of key and returns the function that releases it, to be
// called once. It fails only when ctx ends first.
func (l *Locks[K]) Lock(ctx context.Context, key K) (unlock func(), err error) {
	k := l.enter(key)
	select {
	case k.sem <- struct{}{}:
		return func() { <-k.sem; l.leave(key, k) }, nil
	case <-ctx.Done():
		l.leave(key, k)
		return nil, ctx.Err()
	}
}

func (l *Locks[K]) enter(key K) *lock {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.held == nil {
		l.held = make(map[K]*lock)
	}
	k := l.held[key]
	if k == nil {
		k = &lock{sem: make(chan struct{}, 1)}
		l.held[key] = k
	}
	k.users++
	return k
}

func (l *Locks[K]) leave(key K, k *lock) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if k.users--; k.users == 0 {
		delete(l.held, key)
	}
}
