package postgres

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"gateway/state"
)

// forgetEvery is how many failures a node counts until what counts no more is
// removed.
const forgetEvery = 100

// AddFailure implements state.Bans. A failure whose answer was lost may count twice.
func (s *Store) AddFailure(ctx context.Context, network string, l state.FailureLimits) (state.Failures, error) {
	f := state.Failures{Network: network}
	if network == "" {
		return f, wrap(fmt.Errorf("no network: %w", state.ErrInvalid), "count failed login")
	}
	if err := l.Valid(); err != nil {
		return f, wrap(err, "count failed login")
	}
	err := s.transact(ctx, "count failed login of "+network, func(ctx context.Context, tx pgx.Tx) (err error) {
		f, err = addFailure(ctx, tx, network, l)
		if err == nil && s.failures.Add(1)%forgetEvery == 1 {
			err = forgetSome(ctx, tx)
		}
		return err
	})
	return f, err
}

func addFailure(ctx context.Context, tx pgx.Tx, network string, l state.FailureLimits) (state.Failures, error) {
	f := state.Failures{Network: network}
	var since time.Duration
	var banned *time.Duration
	// The line is locked by writing it, whether it is new or not.
	err := tx.QueryRow(ctx, `INSERT INTO failures (network, count, last, forget) VALUES ($1, 0, clock_timestamp(), clock_timestamp())
		ON CONFLICT (network) DO UPDATE SET network = excluded.network
		RETURNING count, clock_timestamp() - last, banned - clock_timestamp()`, network).Scan(&f.Count, &since, &banned)
	if err != nil {
		return f, err
	}
	if banned != nil {
		f.Banned = max(*banned, 0)
	}
	f = f.Another(since, l)
	var until *time.Duration
	if f.Banned > 0 {
		until = &f.Banned
	}
	_, err = tx.Exec(ctx, `UPDATE failures SET count = $2, last = clock_timestamp(), banned = clock_timestamp() + $3::interval,
		forget = clock_timestamp() + $4 WHERE network = $1`, network, f.Count, until, max(l.Window, f.Banned))
	return f, err
}

// forgetSome removes what counts no more, and what is beyond the bound.
func forgetSome(ctx context.Context, tx pgx.Tx) error {
	// Lines that others are at are left to them, so that nobody waits for another.
	_, err := tx.Exec(ctx, `DELETE FROM failures WHERE network IN (
		SELECT network FROM failures WHERE forget <= clock_timestamp() FOR UPDATE SKIP LOCKED)`)
	if err != nil {
		return err
	}
	_, err = tx.Exec(ctx, `DELETE FROM failures WHERE network IN (
		SELECT network FROM failures ORDER BY forget LIMIT greatest((SELECT count(*) FROM failures) - $1, 0) FOR UPDATE SKIP LOCKED)`, state.MaxNetworks)
	return err
}

func scanFailures(r pgx.Row) (f state.Failures, err error) {
	var banned *time.Duration
	if err = r.Scan(&f.Network, &f.Count, &banned); err == nil && banned != nil {
		f.Banned = max(*banned, 0)
	}
	return f, err
}

// FailuresOf implements state.Bans.
func (s *Store) FailuresOf(ctx context.Context, network string) (state.Failures, error) {
	f, err := queryRow(ctx, s, "failed logins of "+network, scanFailures,
		"SELECT network, count, banned - clock_timestamp() FROM failures WHERE network = $1 AND forget > clock_timestamp()", network)
	if errors.Is(err, state.ErrNotFound) {
		return state.Failures{Network: network}, nil
	}
	return f, err
}

// ForgetFailures implements state.Bans.
func (s *Store) ForgetFailures(ctx context.Context, network string) error {
	return s.write(ctx, "forget failed logins of "+network, func(ctx context.Context) error {
		_, err := s.pool.Exec(ctx, "DELETE FROM failures WHERE network = $1 AND (banned IS NULL OR banned <= clock_timestamp())", network)
		return err
	})
}

// Banned implements state.Bans.
func (s *Store) Banned(ctx context.Context) ([]state.Failures, error) {
	return query(ctx, s, "bans", scanFailures,
		"SELECT network, count, banned - clock_timestamp() FROM failures WHERE banned > clock_timestamp() ORDER BY banned LIMIT $1", state.MaxNetworks)
}
