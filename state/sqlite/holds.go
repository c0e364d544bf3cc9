package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"gateway/state"
)

// HoldJob implements state.Holds.
func (s *Store) HoldJob(ctx context.Context, h state.Hold) error {
	return wrap(s.writer.apply(ctx, func(ctx context.Context, tx *transaction) error {
		_, err := tx.ExecContext(ctx, "INSERT OR REPLACE INTO holds (job, who, at) VALUES (?, ?, ?)", h.Job, h.By, toNano(h.At))
		if isForeignKey(err) {
			return fmt.Errorf("job %d: %w", h.Job, state.ErrNotFound)
		}
		return err
	}), "hold job")
}

// UnholdJob implements state.Holds.
func (s *Store) UnholdJob(ctx context.Context, job int64) error {
	return wrap(s.writer.apply(ctx, func(ctx context.Context, tx *transaction) error {
		return changedOne(tx.ExecContext(ctx, "DELETE FROM holds WHERE job = ?", job))
	}), fmt.Sprintf("end hold of job %d", job))
}

// changedOne fails with ErrNotFound if nothing was changed.
func changedOne(r sql.Result, err error) error {
	if err != nil {
		return err
	}
	n, err := r.RowsAffected()
	if err == nil && n == 0 {
		err = state.ErrNotFound
	}
	return err
}

// HoldOf implements state.Holds.
func (s *Store) HoldOf(ctx context.Context, job int64) (state.Hold, error) {
	h := state.Hold{Job: job}
	var at sql.NullInt64
	err := s.read.QueryRowContext(ctx, "SELECT who, at FROM holds WHERE job = ?", job).Scan(&h.By, &at)
	if errors.Is(err, sql.ErrNoRows) {
		err = state.ErrNotFound
	}
	h.At = fromNano(at)
	return h, wrap(err, fmt.Sprintf("hold of job %d", job))
}

// Ban implements state.Bans.
func (s *Store) Ban(ctx context.Context, network string, d time.Duration) error {
	if err := state.ValidBan(network, d); err != nil {
		return wrap(err, "ban")
	}
	return wrap(s.writer.apply(ctx, func(ctx context.Context, tx *transaction) error {
		now := time.Now()
		until := now.Add(d).UnixNano()
		_, err := tx.ExecContext(ctx, "INSERT OR REPLACE INTO failures (network, count, last, banned, forget) VALUES (?, 0, ?, ?, ?)",
			network, now.UnixNano(), until, until)
		if err != nil {
			return err
		}
		return forgetSome(ctx, tx, now)
	}), "ban "+network)
}

// LiftBan implements state.Bans.
func (s *Store) LiftBan(ctx context.Context, network string) error {
	return wrap(s.writer.apply(ctx, func(ctx context.Context, tx *transaction) error {
		return changedOne(tx.ExecContext(ctx, "DELETE FROM failures WHERE network = ? AND banned > ?", network, time.Now().UnixNano()))
	}), "lift the ban of "+network)
}
