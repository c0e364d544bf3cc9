package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"gateway/state"
)

// AddFailure implements state.Bans.
func (s *Store) AddFailure(ctx context.Context, network string, l state.FailureLimits) (state.Failures, error) {
	f := state.Failures{Network: network}
	if network == "" {
		return f, wrap(fmt.Errorf("no network: %w", state.ErrInvalid), "count failed login")
	}
	if err := l.Valid(); err != nil {
		return f, wrap(err, "count failed login")
	}
	err := s.writer.apply(ctx, func(ctx context.Context, tx *transaction) error {
		f.Count = 0 // it may run twice
		now := time.Now()
		var last int64
		var banned sql.NullInt64
		err := tx.QueryRowContext(ctx, "SELECT count, last, banned FROM failures WHERE network = ?", network).Scan(&f.Count, &last, &banned)
		if err != nil && !errors.Is(err, sql.ErrNoRows) {
			return err
		}
		isNew := err != nil
		f.Banned = max(fromNano(banned).Sub(now), 0)
		f = f.Another(time.Duration(now.UnixNano()-last), l)
		var until time.Time
		if f.Banned > 0 {
			until = now.Add(f.Banned)
		}
		forget := now.Add(max(l.Window, f.Banned))
		_, err = tx.ExecContext(ctx, "INSERT OR REPLACE INTO failures (network, count, last, banned, forget) VALUES (?, ?, ?, ?, ?)",
			network, f.Count, now.UnixNano(), toNano(until), forget.UnixNano())
		if err == nil && isNew {
			err = forgetSome(ctx, tx, now)
		}
		return err
	})
	return f, wrap(err, "count failed login of "+network)
}

// forgetSome removes what counts no more, and one beyond the bound.
func forgetSome(ctx context.Context, tx *transaction, now time.Time) error {
	if _, err := tx.ExecContext(ctx, "DELETE FROM failures WHERE forget <= ?", now.UnixNano()); err != nil {
		return err
	}
	_, err := tx.ExecContext(ctx, `DELETE FROM failures WHERE (SELECT count(*) FROM failures) > ?
		AND network = (SELECT network FROM failures ORDER BY forget LIMIT 1)`, state.MaxNetworks)
	return err
}

// FailuresOf implements state.Bans.
func (s *Store) FailuresOf(ctx context.Context, network string) (state.Failures, error) {
	f := state.Failures{Network: network}
	now := time.Now()
	var banned sql.NullInt64
	err := s.read.QueryRowContext(ctx, "SELECT count, banned FROM failures WHERE network = ? AND forget > ?", network, now.UnixNano()).Scan(&f.Count, &banned)
	if errors.Is(err, sql.ErrNoRows) {
		return f, nil
	}
	f.Banned = max(fromNano(banned).Sub(now), 0)
	return f, wrap(err, "failed logins of "+network)
}

// ForgetFailures implements state.Bans.
func (s *Store) ForgetFailures(ctx context.Context, network string) error {
	return wrap(s.writer.apply(ctx, func(ctx context.Context, tx *transaction) error {
		_, err := tx.ExecContext(ctx, "DELETE FROM failures WHERE network = ? AND (banned IS NULL OR banned <= ?)", network, time.Now().UnixNano())
		return err
	}), "forget failed logins of "+network)
}

// Banned implements state.Bans.
func (s *Store) Banned(ctx context.Context) ([]state.Failures, error) {
	now := time.Now()
	list, err := query(ctx, s.read, func(r row) (f state.Failures, err error) {
		var banned int64
		err = r.Scan(&f.Network, &f.Count, &banned)
		f.Banned = time.Duration(banned - now.UnixNano())
		return f, err
	}, fmt.Sprintf("SELECT network, count, banned FROM failures WHERE banned > ? ORDER BY banned LIMIT %d", state.MaxNetworks), now.UnixNano())
	return list, wrap(err, "bans")
}
