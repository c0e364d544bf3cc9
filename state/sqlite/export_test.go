package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"io/fs"

	"github.com/pressly/goose/v3"
)

var PageQuery = pageQuery

func (s *Store) Reader() *sql.DB { return s.read }
func (s *Store) Writer() *sql.DB { return s.write }

// SetMaxEvidence sets the bound that state.MaxEvidenceTotal is.
func (s *Store) SetMaxEvidence(n int64) { s.maxEvidence = n }

// MakeOld makes a file as a gateway wrote it that knew only the migrations up to
// a version.
func MakeOld(ctx context.Context, path string, version int64, fill ...string) error {
	db, err := connect(path, "_txlock=immediate", 1)
	if err != nil {
		return err
	}
	defer db.Close()
	sub, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return err
	}
	p, err := goose.NewProvider(goose.DialectSQLite3, db, sub, goose.WithDisableGlobalRegistry(true), goose.WithLogger(goose.NopLogger()))
	if err == nil {
		_, err = p.UpTo(ctx, version)
	}
	for _, q := range fill {
		_, ferr := db.ExecContext(ctx, q)
		err = errors.Join(err, ferr)
	}
	return err
}

// DownTo takes the migrations above a version back.
func (s *Store) DownTo(ctx context.Context, version int64) error {
	sub, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return err
	}
	p, err := goose.NewProvider(goose.DialectSQLite3, s.write, sub, goose.WithDisableGlobalRegistry(true), goose.WithLogger(goose.NopLogger()))
	if err == nil {
		_, err = p.DownTo(ctx, version)
	}
	return err
}
