package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"iter"
	"strings"

	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	"gateway/state"
	"gateway/state/internal/pages"
)

// Publish implements state.Ledger.
func (s *Store) Publish(ctx context.Context, f state.File, p state.Publication) error {
	f.Phase = state.Published
	if err := errors.Join(f.Valid(), p.Valid()); err != nil {
		return wrap(err, "publish")
	}
	return wrap(s.writer.apply(ctx, func(ctx context.Context, tx *transaction) error {
		if err := putFiles(ctx, tx, []state.File{f}); err != nil {
			return err
		}
		sum := p.SHA256
		if sum == nil {
			sum = []byte{}
		}
		_, err := tx.prepared.addPublication.ExecContext(ctx,
			p.Target, f.Job, p.Source, p.Size, sum, p.Verdict, p.Reason, p.Provenance, toNano(p.Published))
		return err
	}), "publish")
}

const publicationColumns = "target, job, source, size, sha256, verdict, reason, provenance, published, removed"

const addPublicationQuery = "INSERT INTO publications (" + publicationColumns + ") VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, NULL)"

// publicationPage is how many are read at once: a proof can have 1.5 MB.
const publicationPage = 64

func scanPublication(r row) (p state.Publication, err error) {
	var published, removed sql.NullInt64
	err = r.Scan(&p.Target, &p.Job, &p.Source, &p.Size, &p.SHA256, &p.Verdict, &p.Reason, &p.Provenance, &published, &removed)
	p.Published, p.Removed = fromNano(published), fromNano(removed)
	return p, err
}

// Publication implements state.Catalogue.
func (s *Store) Publication(ctx context.Context, target string) (state.Publication, error) {
	p, err := scanPublication(s.read.QueryRowContext(ctx,
		"SELECT "+publicationColumns+" FROM publications WHERE target = ? ORDER BY id DESC LIMIT 1", target))
	if err != nil {
		return state.Publication{}, wrap(err, fmt.Sprintf("publication %q", target))
	}
	return p, nil
}

// Publications implements state.Catalogue.
func (s *Store) Publications(ctx context.Context, prefix string) iter.Seq2[state.Publication, error] {
	const latest = "SELECT " + publicationColumns + ` FROM publications AS p
		WHERE id = (SELECT max(id) FROM publications WHERE target = p.target) AND removed IS NULL`
	const first, next, end = latest + " AND target >= ?", latest + " AND target > ?", " ORDER BY target LIMIT ?"
	all := pages.Each(publicationPage, func(last state.Publication, isFirst bool) ([]state.Publication, error) {
		from, at := next, last.Target
		if isFirst {
			from, at = first, prefix
		}
		page, err := query(ctx, s.read, scanPublication, from+end, at, publicationPage)
		return page, wrap(err, "publications")
	})
	return pages.While(all, func(p state.Publication) bool { return strings.HasPrefix(p.Target, prefix) })
}

// FileByTarget implements state.Catalogue.
func (s *Store) FileByTarget(ctx context.Context, destination, target string) (state.Job, state.File, error) {
	f, err := scanFile(s.read.QueryRowContext(ctx, "SELECT "+fileColumns+` FROM files
		WHERE target = ? AND job IN (SELECT id FROM jobs WHERE destination = ?)
		ORDER BY updated DESC, job DESC LIMIT 1`, target, destination))
	if err != nil {
		return state.Job{}, state.File{}, wrap(err, fmt.Sprintf("target %q", target))
	}
	j, err := scanJob(s.read.QueryRowContext(ctx, "SELECT "+jobColumns+" FROM jobs WHERE id = ?", f.Job))
	return j, f, wrap(err, fmt.Sprintf("job %d", f.Job))
}

// wrap names the operation and translates the driver's "no rows".
func wrap(err error, op string) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, sql.ErrNoRows):
		err = state.ErrNotFound
	case errors.Is(err, errClosed):
		return err
	}
	return fmt.Errorf("state: %s: %w", op, advise(err))
}

// advise adds to SQLite's words what to do about a file that cannot be used.
func advise(err error) error {
	var e *sqlite.Error
	if !errors.As(err, &e) {
		return err
	}
	switch e.Code() & 0xff { // the rest of an extended code is detail
	case sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB:
		return fmt.Errorf("%w; restore the file from a backup, or move it away with its -wal and -shm and a new one is begun: what is published stays", err)
	case sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR: // the latter also where the -shm cannot grow
		return fmt.Errorf("%w; see whether the disk is full or broken, and run again", err)
	case sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN:
		return fmt.Errorf("%w; the file and its folder must be writable", err)
	}
	return err
}

func isForeignKey(err error) bool {
	var e *sqlite.Error
	return errors.As(err, &e) && e.Code() == sqlite3.SQLITE_CONSTRAINT_FOREIGNKEY
}
