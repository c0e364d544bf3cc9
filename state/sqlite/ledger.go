package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"iter"
	"strings"
	"time"

	"gateway/state"
	"gateway/state/internal/pages"
)

const (
	pageSize  = 512 // lines read at a time by Files
	batchSize = 256 // paths asked for at a time by GetFiles
)

const fileColumns = `job, path, target, phase, size, modtime, precision, mdtm, seen,
	token, "offset", ranges, sha256, verdict, reason, retry, tries, updated, after`

// OpenJob implements state.Ledger.
func (s *Store) OpenJob(ctx context.Context, source, destination string) (state.Job, error) {
	j, err := s.findJob(ctx, source, destination)
	if !errors.Is(err, sql.ErrNoRows) {
		return j, wrap(err, "open job")
	}
	err = s.writer.apply(ctx, func(ctx context.Context, tx *transaction) error {
		_, err := tx.ExecContext(ctx,
			"INSERT INTO jobs (source, destination) VALUES (?, ?) ON CONFLICT DO NOTHING", source, destination)
		return err
	})
	if err == nil {
		j, err = s.findJob(ctx, source, destination)
	}
	return j, wrap(err, "open job")
}

const jobColumns = "id, source, destination, started, finished"

func (s *Store) findJob(ctx context.Context, source, destination string) (state.Job, error) {
	return scanJob(s.read.QueryRowContext(ctx,
		"SELECT "+jobColumns+" FROM jobs WHERE source = ? AND destination = ?", source, destination))
}

type row interface{ Scan(...any) error }

func scanJob(r row) (j state.Job, err error) {
	var started, finished sql.NullInt64
	err = r.Scan(&j.ID, &j.Source, &j.Destination, &started, &finished)
	j.Started, j.Finished = fromNano(started), fromNano(finished)
	return j, err
}

// FinishJob implements state.Ledger.
func (s *Store) FinishJob(ctx context.Context, id int64, at time.Time) error {
	return wrap(s.stampJob(ctx, id, "UPDATE jobs SET finished = ? WHERE id = ?", at), "finish job")
}

func (s *Store) stampJob(ctx context.Context, id int64, query string, at time.Time) error {
	return s.writer.apply(ctx, func(ctx context.Context, tx *transaction) error {
		r, err := tx.ExecContext(ctx, query, toNano(at), id)
		if err != nil {
			return err
		}
		if n, err := r.RowsAffected(); err != nil || n == 1 {
			return err
		}
		return fmt.Errorf("job %d: %w", id, state.ErrNotFound)
	})
}

// Jobs implements state.Ledger.
func (s *Store) Jobs(ctx context.Context) iter.Seq2[state.Job, error] {
	return func(yield func(state.Job, error) bool) {
		jobs, err := query(ctx, s.read, scanJob, "SELECT "+jobColumns+" FROM jobs ORDER BY id")
		if err != nil {
			yield(state.Job{}, wrap(err, "jobs"))
			return
		}
		for _, j := range jobs {
			if !yield(j, nil) {
				return
			}
		}
	}
}

// query reads all rows before it returns, so that no read transaction stays
// open while the caller works: it would keep the log from being cut.
func query[T any](ctx context.Context, db queryer, scan func(row) (T, error), q string, args ...any) (list []T, err error) {
	rows, err := db.QueryContext(ctx, q, args...)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		v, err := scan(rows)
		if err != nil {
			return nil, err
		}
		list = append(list, v)
	}
	return list, rows.Err()
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
	return wrap(s.writer.apply(ctx, func(ctx context.Context, tx *transaction) error {
		return putFiles(ctx, tx, files)
	}), "put files")
}

// A line that is there is updated, so that SQLite leaves alone what is not among
// the columns that are set: to replace it would be to remove it from every index
// and to add it again.
const (
	updateFileQuery = `UPDATE files SET phase = ?, size = ?, modtime = ?, precision = ?, mdtm = ?, seen = ?,
		token = ?, "offset" = ?, ranges = ?, sha256 = ?, verdict = ?, reason = ?, retry = ?, tries = ?, updated = ?, after = ?
		WHERE job = ? AND path = ? AND target = ?`
	putFileQuery = `INSERT OR REPLACE INTO files (phase, size, modtime, precision, mdtm, seen,
		token, "offset", ranges, sha256, verdict, reason, retry, tries, updated, after,
		job, path, target) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`
)

func putFiles(ctx context.Context, tx *transaction, files []state.File) error {
	for _, f := range files {
		line := []any{
			string(f.Phase), f.Size, toNano(f.ModTime), int64(f.TimePrecision), toNano(f.MDTM), toNano(f.Seen),
			f.Token, f.Offset, f.Ranges.String(), f.SHA256, f.Verdict, f.Reason, f.Retry, f.Tries, toNano(f.Updated), f.After,
			f.Job, []byte(f.Path), f.Target,
		}
		err := putFile(ctx, tx, f.Phase == state.Found, line)
		if isForeignKey(err) {
			return fmt.Errorf("job %d: %w", f.Job, state.ErrNotFound)
		}
		if err != nil {
			return fmt.Errorf("%q: %w", f.Path, err)
		}
	}
	return nil
}

// putFile writes one line. A new one, which is most of those that were just found,
// is not looked for.
func putFile(ctx context.Context, tx *transaction, isNew bool, line []any) error {
	if !isNew {
		r, err := tx.prepared.updateFile.ExecContext(ctx, line...)
		if err != nil {
			return err
		}
		if n, err := r.RowsAffected(); err != nil || n > 0 {
			return err
		}
	}
	_, err := tx.prepared.putFile.ExecContext(ctx, line...)
	return err
}

func scanFile(r row) (f state.File, err error) {
	var path []byte
	var ranges string
	var modTime, mdtm, seen, updated sql.NullInt64
	err = r.Scan(&f.Job, &path, &f.Target, (*string)(&f.Phase), &f.Size, &modTime, (*int64)(&f.TimePrecision), &mdtm, &seen,
		&f.Token, &f.Offset, &ranges, &f.SHA256, &f.Verdict, &f.Reason, &f.Retry, &f.Tries, &updated, &f.After)
	if err != nil {
		return f, err
	}
	f.Path = string(path)
	f.Ranges, err = state.ParseRanges(ranges)
	f.ModTime, f.MDTM, f.Seen, f.Updated = fromNano(modTime), fromNano(mdtm), fromNano(seen), fromNano(updated)
	return f, err
}

// GetFile implements state.Ledger.
func (s *Store) GetFile(ctx context.Context, job int64, path string) (state.File, error) {
	f, err := scanFile(s.read.QueryRowContext(ctx,
		"SELECT "+fileColumns+" FROM files WHERE job = ? AND path = ?", job, []byte(path)))
	return f, wrap(err, fmt.Sprintf("job %d: %q", job, path))
}

// GetFiles implements state.Ledger.
func (s *Store) GetFiles(ctx context.Context, job int64, paths ...string) (map[string]state.File, error) {
	found := make(map[string]state.File, len(paths))
	for len(paths) > 0 {
		batch := paths[:min(batchSize, len(paths))]
		paths = paths[len(batch):]
		args := []any{job}
		for _, p := range batch {
			args = append(args, []byte(p))
		}
		files, err := query(ctx, s.read, scanFile, "SELECT "+fileColumns+" FROM files WHERE job = ? AND path IN ("+marks(len(batch))+")", args...)
		if err != nil {
			return nil, wrap(err, "get files")
		}
		for _, f := range files {
			found[f.Path] = f
		}
	}
	return found, nil
}

func marks(n int) string { return strings.TrimSuffix(strings.Repeat("?,", n), ",") }

// Files implements state.Ledger.
func (s *Store) Files(ctx context.Context, job int64, phases ...state.Phase) iter.Seq2[state.File, error] {
	return pages.Each(pageSize, func(last state.File, _ bool) ([]state.File, error) {
		q, args := pageQuery(job, last.Path, phases)
		page, err := query(ctx, s.read, scanFile, q, args...)
		return page, wrap(err, "files")
	})
}

// pageQuery reads the lines after a path. It makes each phase its own subquery, so that the index gives its lines
// in order and only a page of each is sorted. The index is named because SQLite
// prefers the primary key, by which every page passes all lines of other phases.
func pageQuery(job int64, after string, phases []state.Phase) (string, []any) {
	const where = " WHERE job = ? AND path > ?"
	end := fmt.Sprintf(" ORDER BY path LIMIT %d", pageSize)
	if len(phases) == 0 {
		return "SELECT " + fileColumns + " FROM files" + where + end, []any{job, []byte(after)}
	}
	var parts []string
	var args []any
	for _, p := range phases {
		parts = append(parts, "SELECT * FROM (SELECT "+fileColumns+" FROM files INDEXED BY files_by_phase"+where+" AND phase = ?"+end+")")
		args = append(args, job, []byte(after), string(p))
	}
	return strings.Join(parts, " UNION ALL ") + end, args
}

// Counts implements state.Ledger.
func (s *Store) Counts(ctx context.Context, job int64) (map[state.Phase]state.Count, error) {
	type line struct {
		phase string
		state.Count
	}
	lines, err := query(ctx, s.read, func(r row) (l line, err error) {
		err = r.Scan(&l.phase, &l.Files, &l.Bytes)
		return l, err
	}, "SELECT phase, count(*), sum(max(size, 0)) FROM files WHERE job = ? GROUP BY phase", job)
	if err != nil {
		return nil, wrap(err, "counts")
	}
	counts := make(map[state.Phase]state.Count, len(lines))
	for _, l := range lines {
		counts[state.Phase(l.phase)] = l.Count
	}
	return counts, nil
}
