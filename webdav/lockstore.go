package webdav

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"gateway/storage"
)

const (
	maxLocks        = 10_000 // in all
	maxLocksPerUser = 1000
	maxLocksPerName = 32      // shared ones that cover one name; every listing repeats them
	maxLockOwner    = 4 << 10 // bytes of the owner's XML
)

// Sentinels of a lockStore.
var (
	errLockConflict = errors.New("a conflicting lock is held")
	errLockLimit    = errors.New("too many locks are held")
	errNoLock       = errors.New("no such lock")
)

// lock is a write lock (RFC 4918 section 6).
type lock struct {
	token    string // urn:uuid:..., RFC 4122 version 4
	root     string // key of what was locked
	infinite bool   // it covers everything below root as well
	shared   bool
	user     string // only who made it may use or remove it
	owner    string // XML content of the owner element, as the client sent it
	timeout  time.Duration
	expires  time.Time
}

func (l lock) covers(key string) bool {
	return l.root == key || l.infinite && storage.Within(key, l.root)
}

// lockStore keeps locks. Keys are slash-separated; a lock of infinite depth
// covers the keys below its root. Expired locks are never returned. Safe for
// concurrent use.
type lockStore interface {
	// create grants a lock, with a token of its own and its time-out running, or
	// fails with errLockConflict (and the lock in the way) or errLockLimit.
	create(ctx context.Context, l lock) (lock, error)
	// refresh starts the time-out again; errNoLock.
	refresh(ctx context.Context, token string, timeout time.Duration) (lock, error)
	// remove ends a lock; errNoLock.
	remove(ctx context.Context, token string) error
	// covering returns the locks that cover the key.
	covering(ctx context.Context, key string) ([]lock, error)
	// below returns the locks whose root is strictly below the key.
	below(ctx context.Context, key string) ([]lock, error)
	// removeTree ends the locks below the key, and on the key itself if self is set.
	removeTree(ctx context.Context, key string, self bool) error
}

// newToken makes a lock token that cannot be guessed.
func newToken() string {
	var u [16]byte
	_, _ = rand.Read(u[:]) // crypto/rand does not fail; it ends the program
	u[6] = u[6]&0x0f | 0x40
	u[8] = u[8]&0x3f | 0x80
	return fmt.Sprintf("urn:uuid:%x-%x-%x-%x-%x", u[0:4], u[4:6], u[6:8], u[8:10], u[10:16])
}

// memoryLocks is a lockStore in the memory of the process.
type memoryLocks struct {
	now func() time.Time

	mu      sync.Mutex
	byToken map[string]lock
	byRoot  map[string][]string // tokens
}

func newMemoryLocks(now func() time.Time) *memoryLocks {
	return &memoryLocks{now: now, byToken: make(map[string]lock), byRoot: make(map[string][]string)}
}

func (m *memoryLocks) create(_ context.Context, l lock) (lock, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.expire()
	mine, here := 0, 0
	for _, k := range m.byToken {
		if (k.covers(l.root) || l.covers(k.root)) && !(l.shared && k.shared) {
			return k, errLockConflict
		}
		if k.covers(l.root) {
			here++
		}
		if k.user == l.user {
			mine++
		}
	}
	if len(m.byToken) >= maxLocks || mine >= maxLocksPerUser || here >= maxLocksPerName {
		return lock{}, errLockLimit
	}
	l.token = newToken()
	l.expires = m.now().Add(l.timeout)
	m.byToken[l.token] = l
	m.byRoot[l.root] = append(m.byRoot[l.root], l.token)
	return l, nil
}

func (m *memoryLocks) refresh(_ context.Context, token string, timeout time.Duration) (lock, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	l, ok := m.byToken[token]
	if !ok || !m.alive(l) {
		return lock{}, errNoLock
	}
	l.timeout = timeout
	l.expires = m.now().Add(timeout)
	m.byToken[token] = l
	return l, nil
}

func (m *memoryLocks) remove(_ context.Context, token string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	l, ok := m.byToken[token]
	if !ok || !m.alive(l) {
		return errNoLock
	}
	m.drop(l)
	return nil
}

func (m *memoryLocks) covering(_ context.Context, key string) ([]lock, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	var found []lock
	for root := key; ; root = root[:strings.LastIndexByte(root, '/')] {
		for _, t := range m.byRoot[root] {
			if l := m.byToken[t]; l.covers(key) && m.alive(l) {
				found = append(found, l)
			}
		}
		if !strings.Contains(root, "/") {
			return found, nil
		}
	}
}

func (m *memoryLocks) below(_ context.Context, key string) ([]lock, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	var found []lock
	for _, l := range m.byToken {
		if l.root != key && storage.Within(l.root, key) && m.alive(l) {
			found = append(found, l)
		}
	}
	return found, nil
}

func (m *memoryLocks) removeTree(_ context.Context, key string, self bool) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, l := range m.byToken {
		if storage.Within(l.root, key) && (self || l.root != key) {
			m.drop(l)
		}
	}
	return nil
}

func (m *memoryLocks) alive(l lock) bool { return m.now().Before(l.expires) }

func (m *memoryLocks) expire() {
	for _, l := range m.byToken {
		if !m.alive(l) {
			m.drop(l)
		}
	}
}

func (m *memoryLocks) drop(l lock) {
	delete(m.byToken, l.token)
	rest := m.byRoot[l.root][:0]
	for _, t := range m.byRoot[l.root] {
		if t != l.token {
			rest = append(rest, t)
		}
	}
	if len(rest) == 0 {
		delete(m.byRoot, l.root)
	} else {
		m.byRoot[l.root] = rest
	}
}
