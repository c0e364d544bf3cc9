package postgres_test

import (
	"crypto/sha256"
	"fmt"
	"net/url"
	"os"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"gateway/state"
	"gateway/state/postgres"
	"gateway/state/statetest"
	"gateway/tests/servers"
)

// serverEnv tells a child of the suite where its parent's server is.
const serverEnv = "POSTGRES_TEST_URL"

// lease is a short one, so that tests need not wait long.
const lease = 2 * time.Second

// schemaURL is the URL of a schema of its own for a folder.
func schemaURL(t testing.TB, server, dir string) string {
	t.Helper()
	schema := fmt.Sprintf("s%x", sha256.Sum256([]byte(dir)))[:32]
	c, err := pgx.Connect(t.Context(), server)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close(t.Context())
	if _, err := c.Exec(t.Context(), "SET client_min_messages = warning; CREATE SCHEMA IF NOT EXISTS "+schema); err != nil {
		t.Fatal(err)
	}
	u, err := url.Parse(server)
	if err != nil {
		t.Fatal(err)
	}
	q := u.Query()
	q.Set("search_path", schema)
	u.RawQuery = q.Encode()
	return u.String()
}

// opener opens stores that live in schemas of a server.
func opener(server string) statetest.Open {
	return func(t testing.TB, dir string) state.Store {
		t.Helper()
		s, err := postgres.Open(t.Context(), schemaURL(t, server, dir), postgres.Options{Lease: lease})
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
}

func TestRealContract(t *testing.T) {
	server := os.Getenv(serverEnv)
	if server == "" { // no child of the suite
		server = servers.StartPostgres(t).URL("")
		t.Setenv(serverEnv, server)
	}
	statetest.Test(t, statetest.Suite{Open: opener(server), Lease: lease})
}
