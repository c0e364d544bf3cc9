package postgres_test

import (
	"testing"

	"github.com/jackc/pgx/v5"

	"gateway/state/postgres"
	"gateway/state/statetest"
	"gateway/tests/servers"
)

// BenchmarkRealLedger measures a server that syncs, as one of an operator does.
func BenchmarkRealLedger(b *testing.B) {
	server := servers.StartPostgres(b, "fsync=on", "shared_buffers=256MB").URL("")
	s, err := postgres.Open(b.Context(), server, postgres.Options{})
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	c, err := pgx.Connect(b.Context(), server)
	if err != nil {
		b.Fatal(err)
	}
	defer c.Close(b.Context())
	statetest.Bench(b, s, func() (n int64) {
		if err := c.QueryRow(b.Context(), "SELECT pg_database_size(current_database())").Scan(&n); err != nil {
			b.Error(err)
		}
		return n
	})
}
