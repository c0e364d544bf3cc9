package postgres

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"gateway/state"
)

// AddSession implements state.Sessions.
func (s *Store) AddSession(ctx context.Context, v state.Session) error {
	if err := v.Valid(); err != nil {
		return wrap(err, "add session")
	}
	return s.send(ctx, "add session of "+v.User, func(b *pgx.Batch) {
		b.Queue("DELETE FROM sessions WHERE id IN (SELECT id FROM sessions WHERE expires <= $1 FOR UPDATE SKIP LOCKED)", v.Created.UnixNano())
		b.Queue(`INSERT INTO sessions (id, of_user, stamp, by_what, address, created, used, expires) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
			ON CONFLICT (id) DO UPDATE SET used = excluded.used, expires = excluded.expires`,
			text(v.ID), text(v.User), text(v.Stamp), text(v.By), text(v.Address), v.Created.UnixNano(), v.Used.UnixNano(), v.Expires.UnixNano())
		b.Queue(`DELETE FROM sessions WHERE id IN (
			SELECT id FROM sessions WHERE of_user = $1 AND id <> $2 ORDER BY used DESC OFFSET $3 FOR UPDATE SKIP LOCKED)`,
			text(v.User), text(v.ID), state.MaxSessions-1)
	})
}

func scanSession(r pgx.Row) (v state.Session, err error) {
	var created, used, expires int64
	err = r.Scan((*text)(&v.ID), (*text)(&v.User), (*text)(&v.Stamp), (*text)(&v.By), (*text)(&v.Address), &created, &used, &expires)
	v.Created, v.Used, v.Expires = time.Unix(0, created).UTC(), time.Unix(0, used).UTC(), time.Unix(0, expires).UTC()
	return v, err
}

// Session implements state.Sessions.
func (s *Store) Session(ctx context.Context, id string) (state.Session, error) {
	return queryRow(ctx, s, "session", scanSession,
		"SELECT id, of_user, stamp, by_what, address, created, used, expires FROM sessions WHERE id = $1", text(id))
}

// UseSession implements state.Sessions.
func (s *Store) UseSession(ctx context.Context, id string, used, expires time.Time) error {
	return s.write(ctx, "use session", func(ctx context.Context) error {
		tag, err := s.pool.Exec(ctx, "UPDATE sessions SET used = $2, expires = $3 WHERE id = $1", text(id), used.UnixNano(), expires.UnixNano())
		if err == nil && tag.RowsAffected() == 0 {
			return state.ErrNotFound
		}
		return err
	})
}

// EndSession implements state.Sessions.
func (s *Store) EndSession(ctx context.Context, id string) error {
	return s.send(ctx, "end session", func(b *pgx.Batch) { b.Queue("DELETE FROM sessions WHERE id = $1", text(id)) })
}

// EndSessionsOf implements state.Sessions.
func (s *Store) EndSessionsOf(ctx context.Context, user string) error {
	return s.send(ctx, "end sessions of "+user, func(b *pgx.Batch) { b.Queue("DELETE FROM sessions WHERE of_user = $1", text(user)) })
}

// AddShare implements state.Shares.
func (s *Store) AddShare(ctx context.Context, v state.Share) error {
	if err := v.Valid(); err != nil {
		return wrap(err, "add share")
	}
	return s.transact(ctx, fmt.Sprintf("share %q of %s", v.Name, v.User), func(ctx context.Context, tx pgx.Tx) error {
		// One at a time for each user, so that the bound holds.
		_, err := tx.Exec(ctx, "SELECT pg_advisory_xact_lock(hashtextextended('gateway shares ' || current_schema() || encode($1::bytea, 'hex'), 0))", text(v.User))
		if err != nil {
			return err
		}
		_, err = tx.Exec(ctx, "DELETE FROM shares WHERE id IN (SELECT id FROM shares WHERE expires <= $1 FOR UPDATE SKIP LOCKED)", v.Created.UnixNano())
		if err != nil {
			return err
		}
		var n int
		// A share whose answer was lost is there already.
		err = tx.QueryRow(ctx, "SELECT count(*) FROM shares WHERE of_user = $1 AND id <> $2", text(v.User), text(v.ID)).Scan(&n)
		if err != nil {
			return err
		}
		if n >= state.MaxShares {
			return state.ErrLimit
		}
		_, err = tx.Exec(ctx, "INSERT INTO shares (id, of_user, name, key, created, expires) VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (id) DO NOTHING",
			text(v.ID), text(v.User), text(v.Name), text(v.Key), v.Created.UnixNano(), v.Expires.UnixNano())
		return err
	})
}

const selectShares = "SELECT id, of_user, name, key, created, expires FROM shares"

func scanShare(r pgx.Row) (v state.Share, err error) {
	var created, expires int64
	err = r.Scan((*text)(&v.ID), (*text)(&v.User), (*text)(&v.Name), (*text)(&v.Key), &created, &expires)
	v.Created, v.Expires = time.Unix(0, created).UTC(), time.Unix(0, expires).UTC()
	return v, err
}

// Share implements state.Shares.
func (s *Store) Share(ctx context.Context, id string) (state.Share, error) {
	return queryRow(ctx, s, "share", scanShare, selectShares+" WHERE id = $1", text(id))
}

// SharesOf implements state.Shares.
func (s *Store) SharesOf(ctx context.Context, user string) ([]state.Share, error) {
	return query(ctx, s, "shares of "+user, scanShare, selectShares+" WHERE $1 = ''::bytea OR of_user = $1 ORDER BY created DESC, id", text(user))
}

// RemoveShare implements state.Shares.
func (s *Store) RemoveShare(ctx context.Context, id string) error {
	return s.send(ctx, "remove share", func(b *pgx.Batch) { b.Queue("DELETE FROM shares WHERE id = $1", text(id)) })
}

// RemoveSharesBelow implements state.Shares.
func (s *Store) RemoveSharesBelow(ctx context.Context, key string) error {
	return s.send(ctx, fmt.Sprintf("remove shares of %q", key), func(b *pgx.Batch) {
		b.Queue("DELETE FROM shares WHERE "+propertiesBelow, belowArgs(key)...)
		b.Queue("DELETE FROM shares WHERE "+propertiesOfKey, text(key))
	})
}
