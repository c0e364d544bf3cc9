package postgres

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"gateway/state"
)

// HoldJob implements state.Holds.
func (s *Store) HoldJob(ctx context.Context, h state.Hold) error {
	err := s.write(ctx, "hold job", func(ctx context.Context) error {
		_, err := s.pool.Exec(ctx, "INSERT INTO holds (job, who, at) VALUES ($1, $2, $3) ON CONFLICT (job) DO UPDATE SET who = excluded.who, at = excluded.at",
			h.Job, text(h.By), toNano(h.At))
		return err
	})
	return unknownJob(err, "hold job")
}

// UnholdJob implements state.Holds. One whose answer was lost may be told as not found.
func (s *Store) UnholdJob(ctx context.Context, job int64) error {
	return s.removeOne(ctx, fmt.Sprintf("end hold of job %d", job), "DELETE FROM holds WHERE job = $1", job)
}

// removeOne fails with ErrNotFound if nothing was removed.
func (s *Store) removeOne(ctx context.Context, op, query string, args ...any) error {
	return s.write(ctx, op, func(ctx context.Context) error {
		done, err := s.pool.Exec(ctx, query, args...)
		if err == nil && done.RowsAffected() == 0 {
			err = state.ErrNotFound
		}
		return err
	})
}

// HoldOf implements state.Holds.
func (s *Store) HoldOf(ctx context.Context, job int64) (state.Hold, error) {
	scan := func(row pgx.Row) (h state.Hold, err error) {
		var at *int64
		err = row.Scan(&h.Job, (*text)(&h.By), &at)
		h.At = fromNano(at)
		return h, err
	}
	return queryRow(ctx, s, fmt.Sprintf("hold of job %d", job), scan, "SELECT job, who, at FROM holds WHERE job = $1", job)
}

// Ban implements state.Bans.
func (s *Store) Ban(ctx context.Context, network string, d time.Duration) error {
	if err := state.ValidBan(network, d); err != nil {
		return wrap(err, "ban")
	}
	return s.transact(ctx, "ban "+network, func(ctx context.Context, tx pgx.Tx) error {
		_, err := tx.Exec(ctx, `INSERT INTO failures (network, count, last, banned, forget)
			VALUES ($1, 0, clock_timestamp(), clock_timestamp() + $2::interval, clock_timestamp() + $2::interval)
			ON CONFLICT (network) DO UPDATE SET count = 0, last = excluded.last, banned = excluded.banned, forget = excluded.forget`, network, d)
		if err != nil {
			return err
		}
		return forgetSome(ctx, tx)
	})
}

// LiftBan implements state.Bans.
func (s *Store) LiftBan(ctx context.Context, network string) error {
	return s.removeOne(ctx, "lift the ban of "+network, "DELETE FROM failures WHERE network = $1 AND banned > clock_timestamp()", network)
}
