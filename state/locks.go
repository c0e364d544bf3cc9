package state

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Bounds of Locks.
const (
	MaxLocks        = 10_000 // in all
	MaxLocksPerUser = 1000
	MaxLocksPerName = 32       // shared ones that cover one name; every listing repeats them
	MaxLockOwner    = 4 << 10  // bytes of Lock.Owner
	MaxLockKey      = 16 << 10 // bytes of Lock.Root
)

// Lock is a write lock on a file or folder (RFC 4918 section 6).
type Lock struct {
	// Token names the lock and cannot be guessed; who makes the lock chooses it.
	Token string
	// Root is the key of what is locked: elements with slashes between, in UTF-8.
	Root     string
	Infinite bool // it covers all keys below Root as well
	Shared   bool
	User     string        // only who made it may use or remove it
	Owner    string        // what the client says of its user, as it sent it
	Timeout  time.Duration // for how long it was granted, beginning with the latest refresh
	Left     time.Duration // how much of that was left when it was read, by the database's clock
}

// Covers reports whether the lock is on the key or reaches it from above.
func (l Lock) Covers(key string) bool {
	return l.Root == key || l.Infinite && strings.HasPrefix(key, l.Root+"/")
}

// Conflicts reports whether the two cannot be held together.
func (l Lock) Conflicts(other Lock) bool {
	return !(l.Shared && other.Shared) && (l.Covers(other.Root) || other.Covers(l.Root))
}

// Valid fails with ErrInvalid, and says why, where the lock cannot be kept.
func (l Lock) Valid() error {
	switch {
	case l.Token == "" || l.Root == "" || l.User == "":
		return fmt.Errorf("a lock without token, root or user: %w", ErrInvalid)
	case len(l.Root) > MaxLockKey || len(l.Owner) > MaxLockOwner:
		return fmt.Errorf("a lock whose root or owner is too long: %w", ErrInvalid)
	case l.Timeout <= 0:
		return fmt.Errorf("a lock for %v: %w", l.Timeout, ErrInvalid)
	}
	return nil
}

// LockRoots are the roots of which a lock could cover the key: itself and all above.
func LockRoots(key string) []string {
	roots := []string{key}
	for {
		i := strings.LastIndexByte(key, '/')
		if i < 0 {
			return roots
		}
		key = key[:i]
		roots = append(roots, key)
	}
}

// Locks keeps write locks. One that has expired, by the database's clock, is as if
// it had been removed.
type Locks interface {
	// CreateLock grants a lock, all checks and the grant in one step for all nodes.
	// It fails with ErrLocked and returns the lock in the way; with ErrLimit
	// beyond MaxLocks, MaxLocksPerUser or MaxLocksPerName; with ErrInvalid.
	CreateLock(ctx context.Context, l Lock) (Lock, error)
	// RefreshLock begins a time-out anew; ErrNotFound.
	RefreshLock(ctx context.Context, token string, timeout time.Duration) (Lock, error)
	// RemoveLock fails with ErrNotFound.
	RemoveLock(ctx context.Context, token string) error
	// LocksCovering returns the locks that cover at least one of the keys, by root and token.
	LocksCovering(ctx context.Context, keys ...string) ([]Lock, error)
	// LocksBelow returns the locks whose root is strictly below the key, by root and token.
	LocksBelow(ctx context.Context, key string) ([]Lock, error)
	// RemoveLocksBelow ends those, and with self set the locks on the key itself.
	RemoveLocksBelow(ctx context.Context, key string, self bool) error
}

// Change is something that is about to be done to a key.
type Change struct {
	Key    string
	Tree   bool // to all below it as well
	Member bool // it appears in what is above it, or disappears from there
}

// Blocked returns the keys, sorted, on which locks forbid one of the changes: those that a lock covers
// of which none opens (RFC 4918 section 7). Of shared locks one is enough.
func Blocked(ctx context.Context, locks Locks, opens func(Lock) bool, changes ...Change) ([]string, error) {
	var keys []string
	for _, c := range changes {
		keys = append(keys, c.Key)
		if i := strings.LastIndexByte(c.Key, '/'); c.Member && i > 0 {
			keys = append(keys, c.Key[:i])
		}
	}
	held, err := locks.LocksCovering(ctx, keys...)
	if err != nil {
		return nil, err
	}
	for _, c := range changes {
		if !c.Tree {
			continue
		}
		below, err := locks.LocksBelow(ctx, c.Key)
		if err != nil {
			return nil, err
		}
		for _, l := range below {
			keys, held = append(keys, l.Root), append(held, l)
		}
	}
	return slices.DeleteFunc(slices.Compact(slices.Sorted(slices.Values(keys))), func(key string) bool {
		covers := func(l Lock) bool { return l.Covers(key) }
		return !slices.ContainsFunc(held, covers) || slices.ContainsFunc(held, func(l Lock) bool { return covers(l) && opens(l) })
	}), nil
}
