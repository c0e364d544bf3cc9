package postgres

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"gateway/state"
)

// TryCode implements state.Codes.
func (s *Store) TryCode(ctx context.Context, user string) (tries int, wait time.Duration, err error) {
	if user == "" {
		return 0, 0, wrap(fmt.Errorf("no user: %w", state.ErrInvalid), "count a code")
	}
	err = s.transact(ctx, "count a code of "+user, func(ctx context.Context, tx pgx.Tx) error {
		// The line is locked by writing it, whether it is new or not.
		var since time.Duration
		err := tx.QueryRow(ctx, `INSERT INTO code_tries (of_user, tries, last, until) VALUES ($1, 0, clock_timestamp(), clock_timestamp())
			ON CONFLICT (of_user) DO UPDATE SET of_user = excluded.of_user
			RETURNING tries, clock_timestamp() - last, until - clock_timestamp()`, text(user)).Scan(&tries, &since, &wait)
		if err != nil {
			return err
		}
		if wait = max(wait, 0); wait > 0 {
			return nil
		}
		if since > state.CodeWindow {
			tries = 0
		}
		tries++
		_, err = tx.Exec(ctx, "UPDATE code_tries SET tries = $2, last = clock_timestamp(), until = clock_timestamp() + $3 WHERE of_user = $1",
			text(user), tries, state.CodeWait(tries))
		return err
	})
	return tries, wait, err
}

// UseCode implements state.Codes. One whose answer was lost is known again when it is sent once more.
func (s *Store) UseCode(ctx context.Context, user, code string, step int64) error {
	if user == "" || code == "" {
		return wrap(fmt.Errorf("no user or no code: %w", state.ErrInvalid), "use a code")
	}
	once := newOnce()
	return s.transact(ctx, "use a code of "+user, func(ctx context.Context, tx pgx.Tx) error {
		r, err := tx.Exec(ctx, `INSERT INTO used_codes AS u (of_user, code, step, used, once) VALUES ($1, $2, $3, clock_timestamp(), $4)
			ON CONFLICT (of_user, code) DO UPDATE SET step = excluded.step, used = excluded.used, once = excluded.once
			WHERE u.step < excluded.step OR u.once = excluded.once`, text(user), text(code), step, once)
		if err != nil {
			return err
		}
		if r.RowsAffected() == 0 {
			return state.ErrConflict
		}
		_, err = tx.Exec(ctx, `DELETE FROM used_codes WHERE of_user = $1 AND code NOT IN (
			SELECT code FROM used_codes WHERE of_user = $1 ORDER BY used DESC LIMIT $2)`, text(user), state.MaxUsedCodes)
		if err != nil {
			return err
		}
		_, err = tx.Exec(ctx, "DELETE FROM code_tries WHERE of_user = $1", text(user))
		return err
	})
}
