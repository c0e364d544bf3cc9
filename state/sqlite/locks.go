package sqlite

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"gateway/state"
)

const lockColumns = "token, root, infinite, shared, user, owner, timeout, expires"

// scanLock reads one as it was at a time.
func scanLock(now time.Time) func(row) (state.Lock, error) {
	return func(r row) (l state.Lock, err error) {
		var expires int64
		err = r.Scan(&l.Token, &l.Root, &l.Infinite, &l.Shared, &l.User, &l.Owner, (*int64)(&l.Timeout), &expires)
		l.Left = time.Duration(expires - now.UnixNano())
		return l, err
	}
}

// queryer is a database or a transaction.
type queryer interface {
	QueryContext(ctx context.Context, q string, args ...any) (*sql.Rows, error)
}

// The locks that cover a key of a list (1, as JSON) or are on one of it, of all their roots (2), and
// those below a key (between 1 and 2), that have not expired (3).
const (
	coveringLocksQuery = "SELECT " + lockColumns + ` FROM locks WHERE (infinite OR root IN (SELECT value FROM json_each(?1)))
		AND root IN (SELECT value FROM json_each(?2)) AND expires > ?3 ORDER BY root, token`
	locksBelowQuery = "SELECT " + lockColumns + " FROM locks WHERE root > ?1 AND root < ?2 AND expires > ?3 ORDER BY root, token"
)

// locks runs one of those.
func locks(ctx context.Context, db queryer, q string, a, b any) ([]state.Lock, error) {
	now := time.Now()
	return query(ctx, db, scanLock(now), q, a, b, now.UnixNano())
}

// coveringArgs are the first arguments of coveringLocksQuery.
func coveringArgs(keys ...string) (list, roots []byte, err error) {
	var all []string
	for _, key := range keys {
		all = append(all, state.LockRoots(key)...)
	}
	list, err = json.Marshal(keys)
	if err == nil {
		roots, err = json.Marshal(all)
	}
	return list, roots, err
}

func locksCovering(ctx context.Context, db queryer, keys ...string) ([]state.Lock, error) {
	list, roots, err := coveringArgs(keys...)
	if err != nil {
		return nil, err
	}
	return locks(ctx, db, coveringLocksQuery, string(list), string(roots))
}

// belowKey are the bounds of the keys below one: "0" follows "/".
func belowKey(key string) (after, before string) { return key + "/", key + "0" }

// CreateLock implements state.Locks.
func (s *Store) CreateLock(ctx context.Context, l state.Lock) (state.Lock, error) {
	if err := l.Valid(); err != nil {
		return state.Lock{}, wrap(err, "lock")
	}
	var held state.Lock
	err := s.writer.apply(ctx, func(ctx context.Context, tx *transaction) error {
		now := time.Now()
		_, err := tx.ExecContext(ctx, "DELETE FROM locks WHERE expires <= ?", now.UnixNano())
		if err != nil {
			return err
		}
		if held, err = grantable(ctx, tx, l); err != nil {
			return err
		}
		_, err = tx.ExecContext(ctx, "INSERT INTO locks ("+lockColumns+") VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
			l.Token, l.Root, l.Infinite, l.Shared, l.User, l.Owner, int64(l.Timeout), now.Add(l.Timeout).UnixNano())
		return err
	})
	if err != nil {
		return held, wrap(err, fmt.Sprintf("lock %q", l.Root))
	}
	l.Left = l.Timeout
	return l, nil
}

// grantable returns the first lock that conflicts, with ErrLocked, and keeps the
// bounds of state.Locks.
func grantable(ctx context.Context, tx *transaction, l state.Lock) (state.Lock, error) {
	covering, err := locksCovering(ctx, tx, l.Root)
	found := covering
	if err == nil && l.Infinite {
		var below []state.Lock
		after, before := belowKey(l.Root)
		below, err = locks(ctx, tx, locksBelowQuery, after, before)
		found = append(found, below...)
	}
	if err != nil {
		return state.Lock{}, err
	}
	for _, k := range found {
		if k.Conflicts(l) {
			return k, state.ErrLocked
		}
	}
	var all, mine int
	err = tx.QueryRowContext(ctx, "SELECT count(*), coalesce(sum(user = ?), 0) FROM locks", l.User).Scan(&all, &mine)
	if err == nil && (all >= state.MaxLocks || mine >= state.MaxLocksPerUser || len(covering) >= state.MaxLocksPerName) {
		err = state.ErrLimit
	}
	return state.Lock{}, err
}

// RefreshLock implements state.Locks.
func (s *Store) RefreshLock(ctx context.Context, token string, timeout time.Duration) (l state.Lock, err error) {
	if timeout <= 0 {
		return l, wrap(fmt.Errorf("a lock for %v: %w", timeout, state.ErrInvalid), "refresh lock")
	}
	err = s.writer.apply(ctx, func(ctx context.Context, tx *transaction) (err error) {
		now := time.Now()
		l, err = scanLock(now)(tx.QueryRowContext(ctx, "UPDATE locks SET timeout = ?, expires = ? WHERE token = ? AND expires > ? RETURNING "+lockColumns,
			int64(timeout), now.Add(timeout).UnixNano(), token, now.UnixNano()))
		return err
	})
	return l, wrap(err, "refresh lock")
}

// RemoveLock implements state.Locks.
func (s *Store) RemoveLock(ctx context.Context, token string) error {
	return wrap(s.writer.apply(ctx, func(ctx context.Context, tx *transaction) error {
		r, err := tx.ExecContext(ctx, "DELETE FROM locks WHERE token = ? AND expires > ?", token, time.Now().UnixNano())
		if err != nil {
			return err
		}
		if n, err := r.RowsAffected(); err != nil || n > 0 {
			return err
		}
		return state.ErrNotFound
	}), "remove lock")
}

// LocksCovering implements state.Locks.
func (s *Store) LocksCovering(ctx context.Context, keys ...string) ([]state.Lock, error) {
	list, err := locksCovering(ctx, fixed{s.reads.coveringLocks}, keys...)
	return list, wrap(err, fmt.Sprintf("locks of %q", keys))
}

// LocksBelow implements state.Locks.
func (s *Store) LocksBelow(ctx context.Context, key string) ([]state.Lock, error) {
	after, before := belowKey(key)
	list, err := locks(ctx, fixed{s.reads.locksBelow}, "", after, before)
	return list, wrap(err, fmt.Sprintf("locks below %q", key))
}

// RemoveLocksBelow implements state.Locks. Where there are none it writes nothing.
func (s *Store) RemoveLocksBelow(ctx context.Context, key string, self bool) error {
	after, before := belowKey(key)
	where, args := "root > ? AND root < ?", []any{after, before}
	if self {
		where, args = where+" OR root = ?", append(args, key)
	}
	var one int
	err := s.read.QueryRowContext(ctx, "SELECT 1 FROM locks WHERE "+where+" LIMIT 1", args...).Scan(&one)
	if errors.Is(err, sql.ErrNoRows) {
		return nil
	}
	if err == nil {
		err = s.writer.apply(ctx, func(ctx context.Context, tx *transaction) error {
			_, err := tx.ExecContext(ctx, "DELETE FROM locks WHERE "+where, args...)
			return err
		})
	}
	return wrap(err, fmt.Sprintf("remove locks of %q", key))
}
