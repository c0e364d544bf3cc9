package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"gateway/state"
)

// AddSession implements state.Sessions.
func (s *Store) AddSession(ctx context.Context, v state.Session) error {
	if err := v.Valid(); err != nil {
		return wrap(err, "add session")
	}
	return wrap(s.writer.apply(ctx, func(ctx context.Context, tx *transaction) error {
		if _, err := tx.ExecContext(ctx, "DELETE FROM sessions WHERE expires <= ?", v.Created.UnixNano()); err != nil {
			return err
		}
		_, err := tx.ExecContext(ctx, "INSERT OR REPLACE INTO sessions (id, user, stamp, by_what, address, created, used, expires) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
			v.ID, v.User, v.Stamp, v.By, v.Address, v.Created.UnixNano(), v.Used.UnixNano(), v.Expires.UnixNano())
		if err != nil {
			return err
		}
		_, err = tx.ExecContext(ctx, `DELETE FROM sessions WHERE id IN (
			SELECT id FROM sessions WHERE user = ? AND id <> ? ORDER BY used DESC LIMIT -1 OFFSET ?)`, v.User, v.ID, state.MaxSessions-1)
		return err
	}), "add session of "+v.User)
}

// Session implements state.Sessions.
func (s *Store) Session(ctx context.Context, id string) (state.Session, error) {
	v := state.Session{ID: id}
	var created, used, expires int64
	err := s.read.QueryRowContext(ctx, "SELECT user, stamp, by_what, address, created, used, expires FROM sessions WHERE id = ?", id).
		Scan(&v.User, &v.Stamp, &v.By, &v.Address, &created, &used, &expires)
	if errors.Is(err, sql.ErrNoRows) {
		err = state.ErrNotFound
	}
	if err != nil {
		return state.Session{}, wrap(err, "session")
	}
	v.Created, v.Used, v.Expires = time.Unix(0, created).UTC(), time.Unix(0, used).UTC(), time.Unix(0, expires).UTC()
	return v, nil
}

// UseSession implements state.Sessions.
func (s *Store) UseSession(ctx context.Context, id string, used, expires time.Time) error {
	return wrap(s.writer.apply(ctx, func(ctx context.Context, tx *transaction) error {
		r, err := tx.ExecContext(ctx, "UPDATE sessions SET used = ?, expires = ? WHERE id = ?", used.UnixNano(), expires.UnixNano(), id)
		if err != nil {
			return err
		}
		if n, err := r.RowsAffected(); err != nil || n > 0 {
			return err
		}
		return state.ErrNotFound
	}), "use session")
}

// EndSession implements state.Sessions.
func (s *Store) EndSession(ctx context.Context, id string) error {
	return s.remove(ctx, "end session", "DELETE FROM sessions WHERE id = ?", id)
}

// EndSessionsOf implements state.Sessions.
func (s *Store) EndSessionsOf(ctx context.Context, user string) error {
	return s.remove(ctx, "end sessions of "+user, "DELETE FROM sessions WHERE user = ?", user)
}

func (s *Store) remove(ctx context.Context, op, query string, args ...any) error {
	return wrap(s.writer.apply(ctx, func(ctx context.Context, tx *transaction) error {
		_, err := tx.ExecContext(ctx, query, args...)
		return err
	}), op)
}

// AddShare implements state.Shares.
func (s *Store) AddShare(ctx context.Context, v state.Share) error {
	if err := v.Valid(); err != nil {
		return wrap(err, "add share")
	}
	return wrap(s.writer.apply(ctx, func(ctx context.Context, tx *transaction) error {
		if _, err := tx.ExecContext(ctx, "DELETE FROM shares WHERE expires <= ?", v.Created.UnixNano()); err != nil {
			return err
		}
		var n int
		if err := tx.QueryRowContext(ctx, "SELECT count(*) FROM shares WHERE user = ?", v.User).Scan(&n); err != nil {
			return err
		}
		if n >= state.MaxShares {
			return state.ErrLimit
		}
		_, err := tx.ExecContext(ctx, "INSERT INTO shares (id, user, name, key, created, expires) VALUES (?, ?, ?, ?, ?, ?)",
			v.ID, v.User, v.Name, v.Key, v.Created.UnixNano(), v.Expires.UnixNano())
		return err
	}), fmt.Sprintf("share %q of %s", v.Name, v.User))
}

const selectShares = "SELECT id, user, name, key, created, expires FROM shares"

func scanShare(r row) (v state.Share, err error) {
	var created, expires int64
	err = r.Scan(&v.ID, &v.User, &v.Name, &v.Key, &created, &expires)
	v.Created, v.Expires = time.Unix(0, created).UTC(), time.Unix(0, expires).UTC()
	return v, err
}

// Share implements state.Shares.
func (s *Store) Share(ctx context.Context, id string) (state.Share, error) {
	list, err := query(ctx, s.read, scanShare, selectShares+" WHERE id = ?", id)
	if err == nil && len(list) == 0 {
		err = state.ErrNotFound
	}
	if err != nil {
		return state.Share{}, wrap(err, "share")
	}
	return list[0], nil
}

// SharesOf implements state.Shares.
func (s *Store) SharesOf(ctx context.Context, user string) ([]state.Share, error) {
	list, err := query(ctx, s.read, scanShare, selectShares+" WHERE ?1 = '' OR user = ?1 ORDER BY created DESC, id", user)
	return list, wrap(err, "shares of "+user)
}

// RemoveShare implements state.Shares.
func (s *Store) RemoveShare(ctx context.Context, id string) error {
	return s.remove(ctx, "remove share", "DELETE FROM shares WHERE id = ?", id)
}

// RemoveSharesBelow implements state.Shares.
func (s *Store) RemoveSharesBelow(ctx context.Context, key string) error {
	where, args := treeWhere(key)
	return s.remove(ctx, fmt.Sprintf("remove shares of %q", key), "DELETE FROM shares WHERE "+where, args...)
}
