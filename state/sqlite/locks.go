package sqlite

import (
	"context"
	"database/sql"
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

// locksWhere returns the locks that a condition holds for and that have not expired.
func locksWhere(ctx context.Context, db queryer, condition string, args ...any) ([]state.Lock, error) {
	now := time.Now()
	return query(ctx, db, scanLock(now), "SELECT "+lockColumns+" FROM locks WHERE ("+condition+") AND expires > ? ORDER BY root, token",
		append(args, now.UnixNano())...)
}

// coveringWhere is the condition for locks that cover one of the keys.
func coveringWhere(keys ...string) (string, []any) {
	var args, roots []any
	for _, key := range keys {
		args = append(args, key)
		for _, root := range state.LockRoots(key) {
			roots = append(roots, root)
		}
	}
	return "(infinite OR root IN (" + marks(len(args)) + ")) AND root IN (" + marks(len(roots)) + ")", append(args, roots...)
}

// belowWhere is the condition for locks whose root is below a key.
func belowWhere(key string) (string, []any) { return belowKey("root", key) }

// belowKey is the condition for a column that holds a key below another one: "0" follows "/".
func belowKey(column, key string) (string, []any) {
	return column + " > ? AND " + column + " < ?", []any{key + "/", key + "0"}
}

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
	where, args := coveringWhere(l.Root)
	covering, err := locksWhere(ctx, tx, where, args...)
	found := covering
	if err == nil && l.Infinite {
		var below []state.Lock
		where, args = belowWhere(l.Root)
		below, err = locksWhere(ctx, tx, where, args...)
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
	where, args := coveringWhere(keys...)
	list, err := locksWhere(ctx, s.read, where, args...)
	return list, wrap(err, fmt.Sprintf("locks of %q", keys))
}

// LocksBelow implements state.Locks.
func (s *Store) LocksBelow(ctx context.Context, key string) ([]state.Lock, error) {
	where, args := belowWhere(key)
	list, err := locksWhere(ctx, s.read, where, args...)
	return list, wrap(err, fmt.Sprintf("locks below %q", key))
}

// RemoveLocksBelow implements state.Locks. Where there are none it writes nothing.
func (s *Store) RemoveLocksBelow(ctx context.Context, key string, self bool) error {
	where, args := belowWhere(key)
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
