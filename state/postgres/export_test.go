package postgres

import (
	"context"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

var (
	PageQuery          = pageQuery
	PublicationQueries = publicationQueries
)

// Pool is the store's own.
func (s *Store) Pool() *pgxpool.Pool { return s.pool }

// SetMaxEvidence sets the bound that state.MaxEvidenceTotal is.
func (s *Store) SetMaxEvidence(n int64) { s.maxEvidence = n }

// MigrateTo brings a database up or down to a version.
func MigrateTo(ctx context.Context, connection string, version int64) error {
	cfg, err := pgx.ParseConfig(connection)
	if err != nil {
		return err
	}
	p, closeDB, err := newMigrations(cfg)
	if err != nil {
		return err
	}
	defer closeDB()
	have, err := p.GetDBVersion(ctx)
	if err == nil && have > version {
		_, err = p.DownTo(ctx, version)
	} else if err == nil {
		_, err = p.UpTo(ctx, version)
	}
	return err
}
