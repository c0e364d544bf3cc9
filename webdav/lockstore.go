package webdav

import (
	"cmp"
	"context"
	"crypto/rand"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"gateway/state"
)

// newToken makes a lock token that cannot be guessed.
func newToken() string {
	var u [16]byte
	_, _ = rand.Read(u[:]) // crypto/rand does not fail; it ends the program
	u[6] = u[6]&0x0f | 0x40
	u[8] = u[8]&0x3f | 0x80
	return fmt.Sprintf("urn:uuid:%x-%x-%x-%x-%x", u[0:4], u[4:6], u[6:8], u[8:10], u[10:16])
}

// memoryLocks are state.Locks in the memory of the process, for a Handler that is
// given no others.
type memoryLocks struct {
	now func() time.Time

	mu      sync.Mutex
	byToken map[string]memoryLock
	byRoot  map[string][]string // tokens
}

type memoryLock struct {
	state.Lock
	expires time.Time
}

var _ state.Locks = (*memoryLocks)(nil)

func newMemoryLocks(now func() time.Time) *memoryLocks {
	return &memoryLocks{now: now, byToken: make(map[string]memoryLock), byRoot: make(map[string][]string)}
}

// CreateLock implements state.Locks.
func (m *memoryLocks) CreateLock(_ context.Context, l state.Lock) (state.Lock, error) {
	if err := l.Valid(); err != nil {
		return state.Lock{}, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.expire()
	mine, here := 0, 0
	var held *memoryLock // in the way, the first by root, as in the other stores
	for _, k := range m.byToken {
		if k.Conflicts(l) && (held == nil || k.Root < held.Root) {
			held = &k
		}
		if k.Covers(l.Root) {
			here++
		}
		if k.User == l.User {
			mine++
		}
	}
	if held != nil {
		return m.read(*held), state.ErrLocked
	}
	if len(m.byToken) >= state.MaxLocks || mine >= state.MaxLocksPerUser || here >= state.MaxLocksPerName {
		return state.Lock{}, state.ErrLimit
	}
	k := memoryLock{l, m.now().Add(l.Timeout)}
	m.byToken[l.Token] = k
	m.byRoot[l.Root] = append(m.byRoot[l.Root], l.Token)
	return m.read(k), nil
}

// RefreshLock implements state.Locks.
func (m *memoryLocks) RefreshLock(_ context.Context, token string, timeout time.Duration) (state.Lock, error) {
	if timeout <= 0 {
		return state.Lock{}, state.ErrInvalid
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	l, ok := m.byToken[token]
	if !ok || !m.alive(l) {
		return state.Lock{}, state.ErrNotFound
	}
	l.Timeout = timeout
	l.expires = m.now().Add(timeout)
	m.byToken[token] = l
	return m.read(l), nil
}

// RemoveLock implements state.Locks.
func (m *memoryLocks) RemoveLock(_ context.Context, token string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	l, ok := m.byToken[token]
	if !ok || !m.alive(l) {
		return state.ErrNotFound
	}
	m.drop(l)
	return nil
}

// LocksCovering implements state.Locks.
func (m *memoryLocks) LocksCovering(_ context.Context, keys ...string) ([]state.Lock, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	var found []state.Lock
	for _, key := range keys {
		for _, root := range state.LockRoots(key) {
			for _, t := range m.byRoot[root] {
				if l := m.byToken[t]; l.Covers(key) && m.alive(l) {
					found = append(found, m.read(l))
				}
			}
		}
	}
	return slices.CompactFunc(sortLocks(found), func(a, b state.Lock) bool { return a.Token == b.Token }), nil
}

// LocksBelow implements state.Locks.
func (m *memoryLocks) LocksBelow(_ context.Context, key string) ([]state.Lock, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	var found []state.Lock
	for _, l := range m.byToken {
		if strings.HasPrefix(l.Root, key+"/") && m.alive(l) {
			found = append(found, m.read(l))
		}
	}
	return sortLocks(found), nil
}

// RemoveLocksBelow implements state.Locks.
func (m *memoryLocks) RemoveLocksBelow(_ context.Context, key string, self bool) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, l := range m.byToken {
		if strings.HasPrefix(l.Root, key+"/") || self && l.Root == key {
			m.drop(l)
		}
	}
	return nil
}

func sortLocks(list []state.Lock) []state.Lock {
	slices.SortFunc(list, func(a, b state.Lock) int {
		return cmp.Or(strings.Compare(a.Root, b.Root), strings.Compare(a.Token, b.Token))
	})
	return list
}

// read is the lock as it is now.
func (m *memoryLocks) read(l memoryLock) state.Lock {
	l.Left = l.expires.Sub(m.now())
	return l.Lock
}

func (m *memoryLocks) alive(l memoryLock) bool { return m.now().Before(l.expires) }

func (m *memoryLocks) expire() {
	for _, l := range m.byToken {
		if !m.alive(l) {
			m.drop(l)
		}
	}
}

func (m *memoryLocks) drop(l memoryLock) {
	delete(m.byToken, l.Token)
	rest := slices.DeleteFunc(m.byRoot[l.Root], func(t string) bool { return t == l.Token })
	if len(rest) == 0 {
		delete(m.byRoot, l.Root)
	} else {
		m.byRoot[l.Root] = rest
	}
}
