package postgres

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"gateway/state"
	"gateway/state/internal/pages"
)

// publicationPage is how many are read at once: a proof can have 1.5 MB.
const publicationPage = 64

const publicationColumns = "target, job, source, size, sha256, verdict, reason, provenance, published, removed"

const addPublicationQuery = "INSERT INTO publications (" + publicationColumns + ") VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, NULL)"

// Publish implements state.Ledger. Sent twice it leaves two equal publications, of
// which the latest counts.
func (s *Store) Publish(ctx context.Context, f state.File, p state.Publication) error {
	f.Phase = state.Published
	if err := errors.Join(f.Valid(), p.Valid()); err != nil {
		return wrap(err, "publish")
	}
	sum := p.SHA256
	if sum == nil {
		sum = []byte{}
	}
	err := s.send(ctx, "publish", func(b *pgx.Batch) {
		putFiles(b, f)
		b.Queue(addPublicationQuery, text(p.Target), f.Job, text(p.Source), p.Size, sum, text(p.Verdict), text(p.Reason), p.Provenance, toNano(p.Published))
	})
	return unknownJob(err, "publish")
}

// Withdraw implements state.Ledger.
func (s *Store) Withdraw(ctx context.Context, f state.File, target string, at time.Time) error {
	f.Phase = state.Removed
	if err := f.Valid(); err != nil {
		return wrap(err, "withdraw")
	}
	err := s.transact(ctx, "withdraw", func(ctx context.Context, tx pgx.Tx) error {
		b := &pgx.Batch{}
		putFiles(b, f)
		if err := tx.SendBatch(ctx, b).Close(); err != nil {
			return err
		}
		tag, err := tx.Exec(ctx, `UPDATE publications SET removed = $1 WHERE job = $2 AND id = (
			SELECT max(id) FROM publications WHERE substr(target, 1, 1024) = substr($3::bytea, 1, 1024) AND target = $3)`,
			toNano(at), f.Job, text(target))
		if err == nil && tag.RowsAffected() == 0 {
			return fmt.Errorf("publication %q: %w", target, state.ErrNotFound)
		}
		return err
	})
	return unknownJob(err, "withdraw")
}

func scanPublication(r pgx.Row) (p state.Publication, err error) {
	var published, removed *int64
	err = r.Scan((*text)(&p.Target), &p.Job, (*text)(&p.Source), &p.Size, &p.SHA256, (*text)(&p.Verdict), (*text)(&p.Reason),
		&p.Provenance, &published, &removed)
	p.Published, p.Removed = fromNano(published), fromNano(removed)
	return p, err
}

// Publication implements state.Catalogue.
func (s *Store) Publication(ctx context.Context, target string) (state.Publication, error) {
	return queryRow(ctx, s, fmt.Sprintf("publication %q", target), scanPublication, "SELECT "+publicationColumns+` FROM publications
		WHERE substr(target, 1, 1024) = substr($1::bytea, 1, 1024) AND target = $1 ORDER BY id DESC LIMIT 1`, text(target))
}

// Publications implements state.Catalogue.
func (s *Store) Publications(ctx context.Context, prefix string) iter.Seq2[state.Publication, error] {
	first, next := publicationQueries()
	all := pages.Each(publicationPage, func(last state.Publication, isFirst bool) ([]state.Publication, error) {
		from, at := next, last.Target
		if isFirst {
			from, at = first, prefix
		}
		return query(ctx, s, "publications", scanPublication, from, text(at), publicationPage)
	})
	return pages.While(all, func(p state.Publication) bool { return strings.HasPrefix(p.Target, prefix) })
}

// publicationQueries read the first and the following pages: the latest of each
// target, unless it was removed.
func publicationQueries() (first, next string) {
	const latest = "SELECT " + publicationColumns + ` FROM publications AS p WHERE removed IS NULL AND id = (
			SELECT max(id) FROM publications WHERE substr(target, 1, 1024) = substr(p.target, 1, 1024) AND target = p.target)
		AND substr(target, 1, 1024) >= substr($1::bytea, 1, 1024) AND target `
	const end = " ORDER BY substr(target, 1, 1024), target LIMIT $2"
	return latest + ">= $1" + end, latest + "> $1" + end
}

// FileByTarget implements state.Catalogue.
func (s *Store) FileByTarget(ctx context.Context, destination, target string) (state.Job, state.File, error) {
	f, err := queryRow(ctx, s, fmt.Sprintf("target %q", target), scanFile, "SELECT "+fileColumns+` FROM files
		WHERE substr(target, 1, 1024) = substr($1::bytea, 1, 1024) AND target = $1
		AND job IN (SELECT id FROM jobs WHERE destination = $2)
		ORDER BY updated DESC NULLS LAST, job DESC LIMIT 1`, text(target), text(destination))
	if err != nil {
		return state.Job{}, state.File{}, err
	}
	j, err := queryRow(ctx, s, fmt.Sprintf("job %d", f.Job), scanJob, "SELECT "+jobColumns+" FROM jobs WHERE id = $1", f.Job)
	return j, f, err
}
