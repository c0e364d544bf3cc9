package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"gateway/state"
)

// TryCode implements state.Codes.
func (s *Store) TryCode(ctx context.Context, user string) (tries int, wait time.Duration, err error) {
	if user == "" {
		return 0, 0, wrap(fmt.Errorf("no user: %w", state.ErrInvalid), "count a code")
	}
	err = s.writer.apply(ctx, func(ctx context.Context, tx *transaction) error {
		now := time.Now()
		var last, until int64
		tries = 0 // it may run twice
		err := tx.QueryRowContext(ctx, "SELECT tries, last, until FROM code_tries WHERE of_user = ?", user).Scan(&tries, &last, &until)
		if err != nil && !errors.Is(err, sql.ErrNoRows) {
			return err
		}
		if wait = max(time.Duration(until-now.UnixNano()), 0); wait > 0 {
			return nil
		}
		if now.UnixNano()-last > int64(state.CodeWindow) {
			tries = 0
		}
		tries++
		_, err = tx.ExecContext(ctx, "INSERT OR REPLACE INTO code_tries (of_user, tries, last, until) VALUES (?, ?, ?, ?)",
			user, tries, now.UnixNano(), now.Add(state.CodeWait(tries)).UnixNano())
		return err
	})
	return tries, wait, wrap(err, "count a code of "+user)
}

// UseCode implements state.Codes.
func (s *Store) UseCode(ctx context.Context, user, code string, step int64) error {
	if user == "" || code == "" {
		return wrap(fmt.Errorf("no user or no code: %w", state.ErrInvalid), "use a code")
	}
	return wrap(s.writer.apply(ctx, func(ctx context.Context, tx *transaction) error {
		r, err := tx.ExecContext(ctx, `INSERT INTO used_codes (of_user, code, step, used) VALUES (?, ?, ?, ?)
			ON CONFLICT DO UPDATE SET step = excluded.step, used = excluded.used WHERE step < excluded.step`,
			user, code, step, time.Now().UnixNano())
		if err != nil {
			return err
		}
		if n, err := r.RowsAffected(); err != nil || n == 0 {
			return errors.Join(err, state.ErrConflict)
		}
		_, err = tx.ExecContext(ctx, `DELETE FROM used_codes WHERE of_user = ?1 AND code NOT IN (
			SELECT code FROM used_codes WHERE of_user = ?1 ORDER BY used DESC LIMIT ?2)`, user, state.MaxUsedCodes)
		if err != nil {
			return err
		}
		_, err = tx.ExecContext(ctx, "DELETE FROM code_tries WHERE of_user = ?", user)
		return err
	}), "use a code of "+user)
}
