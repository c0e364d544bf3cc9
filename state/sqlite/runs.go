package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"gateway/state"
)

// AddRun implements state.Ledger.
func (s *Store) AddRun(ctx context.Context, r state.Run) error {
	if err := r.Valid(); err != nil {
		return wrap(err, "add run")
	}
	return wrap(s.writer.apply(ctx, func(ctx context.Context, tx *transaction) error {
		_, err := tx.ExecContext(ctx, "INSERT INTO runs ("+runColumns+") VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
			r.Job, toNano(r.Started), toNano(r.Finished), string(r.Result), r.Error,
			r.Published, r.Unchanged, r.Held, r.Failed, r.Removed, r.FetchedBytes, int64(r.Fetching))
		if isForeignKey(err) {
			return fmt.Errorf("job %d: %w", r.Job, state.ErrNotFound)
		}
		if err != nil {
			return err
		}
		_, err = tx.ExecContext(ctx, `DELETE FROM runs WHERE job = ? AND id <= (
			SELECT id FROM runs WHERE job = ? ORDER BY id DESC LIMIT 1 OFFSET ?)`, r.Job, r.Job, state.MaxRuns)
		return err
	}), "add run")
}

const runColumns = "job, started, finished, result, error, published, unchanged, held, failed, removed, fetched, nanoseconds"

// Runs implements state.Ledger.
func (s *Store) Runs(ctx context.Context, job int64) ([]state.Run, error) {
	scan := func(row row) (r state.Run, err error) {
		var started, finished sql.NullInt64
		err = row.Scan(&r.Job, &started, &finished, (*string)(&r.Result), &r.Error,
			&r.Published, &r.Unchanged, &r.Held, &r.Failed, &r.Removed, &r.FetchedBytes, (*int64)(&r.Fetching))
		r.Started, r.Finished = fromNano(started), fromNano(finished)
		return r, err
	}
	list, err := query(ctx, s.read, scan, "SELECT "+runColumns+" FROM runs WHERE job = ? ORDER BY id DESC LIMIT ?", job, state.MaxRuns)
	return list, wrap(err, fmt.Sprintf("runs of job %d", job))
}

// Withdraw implements state.Ledger.
func (s *Store) Withdraw(ctx context.Context, f state.File, target string, at time.Time) error {
	f.Phase = state.Removed
	if err := f.Valid(); err != nil {
		return wrap(err, "withdraw")
	}
	return wrap(s.writer.apply(ctx, func(ctx context.Context, tx *transaction) error {
		if err := putFiles(ctx, tx, []state.File{f}); err != nil {
			return err
		}
		var id, job int64
		err := tx.QueryRowContext(ctx, "SELECT id, job FROM publications WHERE target = ? ORDER BY id DESC LIMIT 1", target).Scan(&id, &job)
		if errors.Is(err, sql.ErrNoRows) || err == nil && job != f.Job {
			return fmt.Errorf("publication %q: %w", target, state.ErrNotFound)
		}
		if err != nil {
			return err
		}
		_, err = tx.ExecContext(ctx, "UPDATE publications SET removed = ? WHERE id = ?", toNano(at), id)
		return err
	}), "withdraw")
}
