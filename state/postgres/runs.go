package postgres

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"gateway/state"
)

const runColumns = "job, started, finished, result, error, published, unchanged, held, failed, removed, fetched, nanoseconds"

// AddRun implements state.Ledger.
func (s *Store) AddRun(ctx context.Context, r state.Run) error {
	if err := r.Valid(); err != nil {
		return wrap(err, "add run")
	}
	once := newOnce()
	err := s.send(ctx, "add run", func(b *pgx.Batch) {
		b.Queue("INSERT INTO runs (once, "+runColumns+`) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)
			ON CONFLICT (once) DO NOTHING`, once,
			r.Job, toNano(r.Started), toNano(r.Finished), string(r.Result), text(r.Error),
			r.Published, r.Unchanged, r.Held, r.Failed, r.Removed, r.FetchedBytes, int64(r.Fetching))
		b.Queue(`DELETE FROM runs WHERE job = $1 AND id <= (
			SELECT id FROM runs WHERE job = $1 ORDER BY id DESC LIMIT 1 OFFSET $2)`, r.Job, state.MaxRuns)
	})
	return unknownJob(err, "add run")
}

// Runs implements state.Ledger.
func (s *Store) Runs(ctx context.Context, job int64) ([]state.Run, error) {
	scan := func(row pgx.Row) (r state.Run, err error) {
		var started, finished *int64
		err = row.Scan(&r.Job, &started, &finished, (*string)(&r.Result), (*text)(&r.Error),
			&r.Published, &r.Unchanged, &r.Held, &r.Failed, &r.Removed, &r.FetchedBytes, (*int64)(&r.Fetching))
		r.Started, r.Finished = fromNano(started), fromNano(finished)
		return r, err
	}
	return query(ctx, s, fmt.Sprintf("runs of job %d", job), scan,
		"SELECT "+runColumns+" FROM runs WHERE job = $1 ORDER BY id DESC LIMIT $2", job, state.MaxRuns)
}
