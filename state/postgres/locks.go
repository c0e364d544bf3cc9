package postgres

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"gateway/state"
)

const lockColumns = "token, root, infinite, shared, by_user, owner, timeout, expires - clock_timestamp()"

func scanLock(r pgx.Row) (l state.Lock, err error) {
	err = r.Scan((*text)(&l.Token), (*text)(&l.Root), &l.Infinite, &l.Shared, (*text)(&l.User), (*text)(&l.Owner), (*int64)(&l.Timeout), &l.Left)
	return l, err
}

// The conditions for locks that cover one of the keys ($1, with their roots $2 and the
// first bytes of those $3), and for those below it (between $1 and $2).
const (
	coveringLocks = "(infinite OR root = ANY ($1)) AND root = ANY ($2) AND substr(root, 1, 1024) = ANY ($3) AND expires > clock_timestamp()"
	belowLocks    = `root > $1 AND root < $2 AND substr(root, 1, 1024) >= substr($1::bytea, 1, 1024)
		AND substr(root, 1, 1024) <= substr($2::bytea, 1, 1024)`
	selectLocks = "SELECT " + lockColumns + " FROM locks WHERE "
	lockOrder   = " ORDER BY root, token"
)

// coveringArgs are the arguments of coveringLocks.
func coveringArgs(keys ...string) []any {
	var whole, roots, heads [][]byte
	for _, key := range keys {
		whole = append(whole, []byte(key))
		for _, root := range state.LockRoots(key) {
			roots, heads = append(roots, []byte(root)), append(heads, []byte(root[:min(headLength, len(root))]))
		}
	}
	return []any{whole, roots, heads}
}

// belowArgs are those of belowLocks: "0" follows "/".
func belowArgs(key string) []any { return []any{text(key + "/"), text(key + "0")} }

// CreateLock implements state.Locks. Grants are made one at a time, by all nodes.
func (s *Store) CreateLock(ctx context.Context, l state.Lock) (state.Lock, error) {
	if err := l.Valid(); err != nil {
		return state.Lock{}, wrap(err, "lock")
	}
	var answer state.Lock
	err := s.transact(ctx, fmt.Sprintf("lock %q", l.Root), func(ctx context.Context, tx pgx.Tx) (err error) {
		answer, err = createLock(ctx, tx, l)
		return err
	})
	return answer, err
}

func createLock(ctx context.Context, tx pgx.Tx, l state.Lock) (state.Lock, error) {
	b := &pgx.Batch{}
	b.Queue("SELECT pg_advisory_xact_lock(hashtextextended('gateway locks ' || current_schema(), 0))")
	b.Queue("DELETE FROM locks WHERE expires <= clock_timestamp()")
	if err := tx.SendBatch(ctx, b).Close(); err != nil {
		return state.Lock{}, err
	}
	mine, err := scanLock(tx.QueryRow(ctx, selectLocks+"token = $1", text(l.Token)))
	if !errors.Is(err, pgx.ErrNoRows) {
		return mine, err // the answer to this was lost
	}
	covering, err := locksOf(ctx, tx, coveringLocks, coveringArgs(l.Root))
	found := covering
	if err == nil && l.Infinite {
		var below []state.Lock
		below, err = locksOf(ctx, tx, belowLocks, belowArgs(l.Root))
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
	var all, users int
	err = tx.QueryRow(ctx, "SELECT count(*), count(*) FILTER (WHERE by_user = $1) FROM locks", text(l.User)).Scan(&all, &users)
	if err == nil && (all >= state.MaxLocks || users >= state.MaxLocksPerUser || len(covering) >= state.MaxLocksPerName) {
		err = state.ErrLimit
	}
	if err != nil {
		return state.Lock{}, err
	}
	return scanLock(tx.QueryRow(ctx, `INSERT INTO locks (token, root, infinite, shared, by_user, owner, timeout, expires)
		VALUES ($1, $2, $3, $4, $5, $6, $7, clock_timestamp() + $8) RETURNING `+lockColumns,
		text(l.Token), text(l.Root), l.Infinite, l.Shared, text(l.User), text(l.Owner), int64(l.Timeout), l.Timeout))
}

// locksOf reads locks in a transaction.
func locksOf(ctx context.Context, tx pgx.Tx, where string, args []any) ([]state.Lock, error) {
	rows, err := tx.Query(ctx, selectLocks+where+lockOrder, args...)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, func(r pgx.CollectableRow) (state.Lock, error) { return scanLock(r) })
}

// RefreshLock implements state.Locks.
func (s *Store) RefreshLock(ctx context.Context, token string, timeout time.Duration) (l state.Lock, err error) {
	if timeout <= 0 {
		return l, wrap(fmt.Errorf("a lock for %v: %w", timeout, state.ErrInvalid), "refresh lock")
	}
	err = s.write(ctx, "refresh lock", func(ctx context.Context) (err error) {
		l, err = scanLock(s.pool.QueryRow(ctx, `UPDATE locks SET timeout = $2, expires = clock_timestamp() + $3
			WHERE token = $1 AND expires > clock_timestamp() RETURNING `+lockColumns, text(token), int64(timeout), timeout))
		return err
	})
	return l, err
}

// RemoveLock implements state.Locks.
func (s *Store) RemoveLock(ctx context.Context, token string) error {
	sent := false
	return s.write(ctx, "remove lock", func(ctx context.Context) error {
		tag, err := s.pool.Exec(ctx, "DELETE FROM locks WHERE token = $1 AND expires > clock_timestamp()", text(token))
		if err == nil && tag.RowsAffected() == 0 && !sent { // else the answer to this was lost
			return state.ErrNotFound
		}
		sent = true
		return err
	})
}

// LocksCovering implements state.Locks.
func (s *Store) LocksCovering(ctx context.Context, keys ...string) ([]state.Lock, error) {
	return query(ctx, s, fmt.Sprintf("locks of %q", keys), scanLock, selectLocks+coveringLocks+lockOrder, coveringArgs(keys...)...)
}

// LocksBelow implements state.Locks.
func (s *Store) LocksBelow(ctx context.Context, key string) ([]state.Lock, error) {
	return query(ctx, s, fmt.Sprintf("locks below %q", key), scanLock, selectLocks+belowLocks+" AND expires > clock_timestamp()"+lockOrder, belowArgs(key)...)
}

// RemoveLocksBelow implements state.Locks.
func (s *Store) RemoveLocksBelow(ctx context.Context, key string, self bool) error {
	return s.send(ctx, fmt.Sprintf("remove locks of %q", key), func(b *pgx.Batch) {
		b.Queue("DELETE FROM locks WHERE "+belowLocks, belowArgs(key)...)
		if self {
			b.Queue("DELETE FROM locks WHERE root = $1 AND substr(root, 1, 1024) = substr($1::bytea, 1, 1024)", text(key))
		}
	})
}
