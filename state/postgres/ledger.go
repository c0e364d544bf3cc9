package postgres

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"gateway/state"
	"gateway/state/internal/pages"
)

const (
	pageSize  = 512 // lines read at a time by Files
	batchSize = 256 // paths asked for at a time by GetFiles
	putSize   = 512 // lines written by one statement
)

const fileColumns = `job, path, target, phase, size, modtime, precision, mdtm, seen,
	token, "offset", ranges, sha256, verdict, reason, retry, tries, updated, after`

// OpenJob implements state.Ledger.
func (s *Store) OpenJob(ctx context.Context, source, destination string) (state.Job, error) {
	find := func(ctx context.Context) (j state.Job, err error) {
		return scanJob(s.pool.QueryRow(ctx, "SELECT "+jobColumns+` FROM jobs
			WHERE sha256(source) = sha256($1) AND sha256(destination) = sha256($2)`, text(source), text(destination)))
	}
	var j state.Job
	err := s.write(ctx, "open job", func(ctx context.Context) (err error) {
		if j, err = find(ctx); !errors.Is(err, pgx.ErrNoRows) {
			return err
		}
		_, err = s.pool.Exec(ctx, "INSERT INTO jobs (source, destination) VALUES ($1, $2) ON CONFLICT DO NOTHING", text(source), text(destination))
		if err == nil {
			j, err = find(ctx)
		}
		return err
	})
	return j, err
}

const jobColumns = "id, source, destination, started, finished"

func scanJob(r pgx.Row) (j state.Job, err error) {
	var started, finished *int64
	err = r.Scan(&j.ID, (*text)(&j.Source), (*text)(&j.Destination), &started, &finished)
	j.Started, j.Finished = fromNano(started), fromNano(finished)
	return j, err
}

// FinishJob implements state.Ledger.
func (s *Store) FinishJob(ctx context.Context, id int64, at time.Time) error {
	return s.transact(ctx, "finish job", func(ctx context.Context, tx pgx.Tx) error {
		tag, err := tx.Exec(ctx, "UPDATE jobs SET finished = $1 WHERE id = $2", toNano(at), id)
		if err == nil && tag.RowsAffected() == 0 {
			return fmt.Errorf("job %d: %w", id, state.ErrNotFound)
		}
		return err
	})
}

// Jobs implements state.Ledger.
func (s *Store) Jobs(ctx context.Context) iter.Seq2[state.Job, error] {
	return func(yield func(state.Job, error) bool) {
		jobs, err := query(ctx, s, "jobs", scanJob, "SELECT "+jobColumns+" FROM jobs ORDER BY id")
		if err != nil {
			yield(state.Job{}, err)
			return
		}
		for _, j := range jobs {
			if !yield(j, nil) {
				return
			}
		}
	}
}

// query reads all rows before it returns, so that no connection is taken while the
// caller works.
func query[T any](ctx context.Context, s *Store, op string, scan func(pgx.Row) (T, error), q string, args ...any) (list []T, err error) {
	err = s.read(ctx, op, func(ctx context.Context) error {
		rows, err := s.pool.Query(ctx, q, args...)
		if err != nil {
			return err
		}
		list, err = pgx.CollectRows(rows, func(r pgx.CollectableRow) (T, error) { return scan(r) })
		return err
	})
	if len(list) == 0 || err != nil {
		return nil, err
	}
	return list, nil
}

// queryRow fails with ErrNotFound where there is no row.
func queryRow[T any](ctx context.Context, s *Store, op string, scan func(pgx.Row) (T, error), q string, args ...any) (v T, err error) {
	err = s.read(ctx, op, func(ctx context.Context) (err error) {
		v, err = scan(s.pool.QueryRow(ctx, q, args...))
		return err
	})
	if err != nil {
		var zero T
		return zero, err
	}
	return v, nil
}

// PutFiles implements state.Ledger.
func (s *Store) PutFiles(ctx context.Context, files ...state.File) error {
	for _, f := range files {
		if err := f.Valid(); err != nil {
			return wrap(err, "put files")
		}
	}
	if len(files) == 0 {
		return nil
	}
	files = inOrder(files)
	err := s.send(ctx, "put files", func(b *pgx.Batch) {
		for chunk := range slices.Chunk(files, putSize) {
			putFiles(b, chunk...)
		}
	})
	return unknownJob(err, "put files")
}

// inOrder sorts lines by their keys, so that two calls at once do not wait for each
// other, and leaves out those that a later one of the same key replaces.
func inOrder(files []state.File) []state.File {
	files = slices.Clone(files)
	slices.SortStableFunc(files, func(a, b state.File) int {
		return cmp.Or(cmp.Compare(a.Job, b.Job), strings.Compare(a.Path, b.Path))
	})
	last := files[:0]
	for i, f := range files {
		if i+1 == len(files) || f.Job != files[i+1].Job || f.Path != files[i+1].Path {
			last = append(last, f)
		}
	}
	return last
}

// unknownJob translates the failure of a line whose job there is not.
func unknownJob(err error, op string) error {
	if hasCode(err, codeForeignKey) {
		return wrap(fmt.Errorf("the job: %w", state.ErrNotFound), op)
	}
	return err
}

// putFilesQuery takes an array for each column.
const putFilesQuery = "INSERT INTO files (" + fileColumns + `)
	SELECT * FROM unnest($1::bigint[], $2::bytea[], $3::bytea[], $4::text[], $5::bigint[], $6::bigint[], $7::bigint[], $8::bigint[], $9::bigint[],
		$10::bytea[], $11::bigint[], $12::text[], $13::bytea[], $14::bytea[], $15::bytea[], $16::boolean[], $17::bigint[], $18::bigint[], $19::bytea[])
	ON CONFLICT (job, substr(path, 1, 1024), (CASE WHEN length(path) > 1024 THEN sha256(path) ELSE ''::bytea END))
	DO UPDATE SET target = excluded.target, phase = excluded.phase, size = excluded.size, modtime = excluded.modtime,
		precision = excluded.precision, mdtm = excluded.mdtm, seen = excluded.seen, token = excluded.token,
		"offset" = excluded."offset", ranges = excluded.ranges, sha256 = excluded.sha256, verdict = excluded.verdict,
		reason = excluded.reason, retry = excluded.retry, tries = excluded.tries, updated = excluded.updated, after = excluded.after`

// putFiles writes lines, none of which may have the key of another.
func putFiles(b *pgx.Batch, files ...state.File) {
	b.Queue(putFilesQuery,
		column(files, func(f state.File) int64 { return f.Job }),
		column(files, func(f state.File) []byte { return []byte(f.Path) }),
		column(files, func(f state.File) []byte { return []byte(f.Target) }),
		column(files, func(f state.File) string { return string(f.Phase) }),
		column(files, func(f state.File) int64 { return f.Size }),
		column(files, func(f state.File) *int64 { return toNano(f.ModTime) }),
		column(files, func(f state.File) int64 { return int64(f.TimePrecision) }),
		column(files, func(f state.File) *int64 { return toNano(f.MDTM) }),
		column(files, func(f state.File) *int64 { return toNano(f.Seen) }),
		column(files, func(f state.File) []byte { return []byte(f.Token) }),
		column(files, func(f state.File) int64 { return f.Offset }),
		column(files, func(f state.File) string { return f.Ranges.String() }),
		column(files, func(f state.File) []byte { return f.SHA256 }),
		column(files, func(f state.File) []byte { return []byte(f.Verdict) }),
		column(files, func(f state.File) []byte { return []byte(f.Reason) }),
		column(files, func(f state.File) bool { return f.Retry }),
		column(files, func(f state.File) int64 { return int64(f.Tries) }),
		column(files, func(f state.File) *int64 { return toNano(f.Updated) }),
		column(files, func(f state.File) []byte { return []byte(f.After) }))
}

// column is one field of all files.
func column[T any](files []state.File, of func(state.File) T) []T {
	list := make([]T, len(files))
	for i, f := range files {
		list[i] = of(f)
	}
	return list
}

func scanFile(r pgx.Row) (f state.File, err error) {
	var ranges string
	var modTime, mdtm, seen, updated *int64
	err = r.Scan(&f.Job, (*text)(&f.Path), (*text)(&f.Target), (*string)(&f.Phase), &f.Size, &modTime, (*int64)(&f.TimePrecision), &mdtm, &seen,
		(*text)(&f.Token), &f.Offset, &ranges, &f.SHA256, (*text)(&f.Verdict), (*text)(&f.Reason), &f.Retry, &f.Tries, &updated, (*text)(&f.After))
	if err != nil {
		return f, err
	}
	f.Ranges, err = state.ParseRanges(ranges)
	f.ModTime, f.MDTM, f.Seen, f.Updated = fromNano(modTime), fromNano(mdtm), fromNano(seen), fromNano(updated)
	return f, err
}

// GetFile implements state.Ledger.
func (s *Store) GetFile(ctx context.Context, job int64, path string) (state.File, error) {
	return queryRow(ctx, s, fmt.Sprintf("job %d: %q", job, path), scanFile,
		"SELECT "+fileColumns+" FROM files WHERE job = $1 AND substr(path, 1, 1024) = substr($2::bytea, 1, 1024) AND path = $2", job, text(path))
}

// GetFiles implements state.Ledger.
func (s *Store) GetFiles(ctx context.Context, job int64, paths ...string) (map[string]state.File, error) {
	found := make(map[string]state.File, len(paths))
	for batch := range slices.Chunk(paths, batchSize) {
		var heads, whole [][]byte
		for _, p := range batch {
			heads, whole = append(heads, []byte(p[:min(headLength, len(p))])), append(whole, []byte(p))
		}
		files, err := query(ctx, s, "get files", scanFile, "SELECT "+fileColumns+` FROM files
			WHERE job = $1 AND substr(path, 1, 1024) = ANY ($2) AND path = ANY ($3)`, job, heads, whole)
		if err != nil {
			return nil, err
		}
		for _, f := range files {
			found[f.Path] = f
		}
	}
	return found, nil
}

// headLength is how many bytes of a long name the indexes hold.
const headLength = 1024

// Files implements state.Ledger.
func (s *Store) Files(ctx context.Context, job int64, phases ...state.Phase) iter.Seq2[state.File, error] {
	return pages.Each(pageSize, func(last state.File, _ bool) ([]state.File, error) {
		q, args := pageQuery(job, last.Path, phases)
		return query(ctx, s, "files", scanFile, q, args...)
	})
}

// pageQuery reads the lines after a path. Each phase is a subquery of its own, so
// that the index gives its lines in order.
func pageQuery(job int64, after string, phases []state.Phase) (string, []any) {
	const where = " FROM files WHERE job = $1 AND substr(path, 1, 1024) >= substr($2::bytea, 1, 1024) AND path > $2"
	end := fmt.Sprintf(" ORDER BY substr(path, 1, 1024), path LIMIT %d", pageSize)
	args := []any{job, text(after)}
	if len(phases) == 0 {
		return "SELECT " + fileColumns + where + end, args
	}
	var parts []string
	for _, p := range phases {
		args = append(args, string(p))
		parts = append(parts, "(SELECT "+fileColumns+where+" AND phase = $"+strconv.Itoa(len(args))+end+")")
	}
	return fmt.Sprintf("SELECT %s FROM (%s) AS lines ORDER BY path LIMIT %d", fileColumns, strings.Join(parts, " UNION ALL "), pageSize), args
}

// Counts implements state.Ledger.
func (s *Store) Counts(ctx context.Context, job int64) (map[state.Phase]state.Count, error) {
	counts := map[state.Phase]state.Count{}
	err := persist(ctx, s.patience, func(try context.Context) error {
		clear(counts)
		try, cancel := context.WithTimeout(context.WithoutCancel(try), countTime)
		defer cancel()
		defer context.AfterFunc(ctx, cancel)()
		return pgx.BeginTxFunc(try, s.pool, pgx.TxOptions{AccessMode: pgx.ReadOnly}, func(tx pgx.Tx) error {
			settings := "SET LOCAL statement_timeout = " + milliseconds(countTime)
			for _, way := range otherPlans() {
				settings += "; SET LOCAL " + way + " = on"
			}
			if _, err := tx.Exec(try, settings); err != nil {
				return err
			}
			rows, err := tx.Query(try, "SELECT phase, count(*), sum(greatest(size, 0))::bigint FROM files WHERE job = $1 GROUP BY phase", job)
			if err != nil {
				return err
			}
			var phase string
			var c state.Count
			_, err = pgx.ForEachRow(rows, []any{&phase, &c.Files, &c.Bytes}, func() error {
				counts[state.Phase(phase)] = c
				return nil
			})
			return err
		})
	})
	if err != nil {
		return nil, wrap(err, "counts")
	}
	return counts, nil
}
