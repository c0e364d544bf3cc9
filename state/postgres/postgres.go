// Package postgres keeps the gateway's state in PostgreSQL 14 or newer, over
// jackc/pgx, so that several nodes can share it.
//
// A call that returned nil is committed, and flushed as far as the server
// promises it: where its synchronous_commit is less than on, it is set to on.
// A server that restarts, or cannot be reached for a while, is waited for; what
// was sent and not answered is sent again, and counts once.
//
// Who holds a job does so by a lease, by the server's clock, which is renewed. A
// node that dies, or cannot reach the server, loses it when the lease is over;
// what it still tries to write for the job is then refused.
//
// It needs a session of its own for each connection: a pooler that hands one to
// several clients in turn (pgbouncer in transaction mode) will not do.
package postgres

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"

	"gateway/internal/pause"
	"gateway/state"
)

//go:embed migrations/*.sql
var migrations embed.FS

const (
	// DefaultLease is for how long a claim outlives the node that held it.
	DefaultLease = 30 * time.Second
	// MinLease leaves time for a renewal over a slow network.
	MinLease = time.Second
	// DefaultConnections is how many one node has open at most.
	DefaultConnections = 16

	connectTime    = 10 * time.Second
	statementTime  = 25 * time.Second // after which the server gives up
	tryTime        = 30 * time.Second // after which the client does
	countTime      = 10 * time.Minute // of Counts, which reads a whole job
	defaultPatient = time.Minute      // a server that cannot be reached is waited for
	openPatience   = 10 * time.Second // the same, before the gateway runs
	upgradeTime    = time.Hour        // of all migrations together
	upgradeRetry   = 50 * time.Millisecond
)

// Options of Open; the zero value works.
type Options struct {
	// Password goes before the one in the URL, if it is not "".
	Password string
	// Lease is how long a claim lasts without being renewed; 0 means DefaultLease,
	// and MinLease is the least.
	Lease time.Duration
	// Connections bounds those to the server; 0 means DefaultConnections.
	Connections int
	// Patience is for how long a server that cannot be reached is waited for; 0
	// means a minute.
	Patience time.Duration
}

// Store is a state.Store in a PostgreSQL database. It is safe for concurrent use.
type Store struct {
	pool     *pgxpool.Pool
	lease    time.Duration
	patience time.Duration

	maxEvidence int64         // bytes
	failures    atomic.Uint64 // that were counted
	outbox      state.OutboxRoom
}

var _ state.Store = (*Store)(nil)

// Open connects to the database of a postgres:// URL, whose parameters are those
// of libpq (sslmode, sslrootcert, search_path and so on), and brings its tables up
// to date. A database written by a newer version of the gateway is refused.
func Open(ctx context.Context, connection string, o Options) (*Store, error) {
	s, err := open(ctx, connection, o)
	if err != nil {
		return nil, fmt.Errorf("state: open %s: %w", redacted(connection), advise(err))
	}
	return s, nil
}

// CheckURL finds mistakes in the URL of a database and in the files that it names, without asking
// the database. Its errors have no password in them.
func CheckURL(connection string) error {
	_, err := parse(connection, Options{})
	return err
}

// redacted is the URL without what could be a password.
func redacted(connection string) string {
	u, err := url.Parse(connection)
	if err != nil || u.Host == "" {
		return "PostgreSQL" // the error would repeat it
	}
	return u.Scheme + "://" + u.Host + u.EscapedPath()
}

func open(ctx context.Context, connection string, o Options) (*Store, error) {
	if o.Lease == 0 {
		o.Lease = DefaultLease
	}
	if o.Lease < MinLease {
		return nil, fmt.Errorf("the lease of %v is shorter than %v", o.Lease, MinLease)
	}
	if o.Patience == 0 {
		o.Patience = defaultPatient
	}
	cfg, err := parse(connection, o)
	if err != nil {
		return nil, err
	}
	if err := upgrade(ctx, cfg.ConnConfig); err != nil {
		return nil, err
	}
	s := &Store{lease: o.Lease, patience: o.Patience, maxEvidence: state.MaxEvidenceTotal}
	s.pool, err = pgxpool.NewWithConfig(context.WithoutCancel(ctx), cfg)
	return s, err
}

func parse(connection string, o Options) (*pgxpool.Config, error) {
	if !strings.HasPrefix(connection, "postgres://") && !strings.HasPrefix(connection, "postgresql://") {
		return nil, errors.New("it is no URL that begins with postgres://")
	}
	cfg, err := pgxpool.ParseConfig(connection)
	if err != nil {
		return nil, err
	}
	if o.Password != "" {
		cfg.ConnConfig.Password = o.Password
	}
	cfg.MaxConns = DefaultConnections
	if o.Connections > 0 {
		cfg.MaxConns = int32(min(o.Connections, 10_000))
	}
	cfg.ConnConfig.ConnectTimeout = connectTime
	if set := cfg.ConnConfig.RuntimeParams; set["application_name"] == "" {
		set["application_name"] = "gateway"
	}
	cfg.AfterConnect = prepareSession
	return cfg, nil
}

// otherPlans are ways of reading a table that are right for Counts alone. Every other
// statement has an index to go by, which gives the order too. A plan that was made
// while a table was small, and reads all of it, would be kept while it grows.
func otherPlans() []string { return []string{"enable_seqscan", "enable_bitmapscan", "enable_sort"} }

func milliseconds(d time.Duration) string { return strconv.FormatInt(d.Milliseconds(), 10) }

// prepareSession bounds what statements may take and has commits wait until they are
// flushed. Poolers refuse most settings at the connection itself.
func prepareSession(ctx context.Context, c *pgx.Conn) error {
	settings := "SET statement_timeout = " + milliseconds(statementTime) +
		"; SET idle_in_transaction_session_timeout = " + milliseconds(tryTime)
	for _, way := range otherPlans() {
		settings += "; SET " + way + " = off"
	}
	_, err := c.Exec(ctx, settings+`; SELECT set_config('synchronous_commit', 'on', false)
		WHERE current_setting('synchronous_commit') NOT IN ('on', 'remote_apply')`)
	return err
}

// prepareUpgrade lets migrations of large tables take long.
func prepareUpgrade(ctx context.Context, c *pgx.Conn) error {
	_, err := c.Exec(ctx, "SET statement_timeout = 0")
	return err
}

// upgrade runs the embedded migrations, one node at a time.
func upgrade(ctx context.Context, cfg *pgx.ConnConfig) (err error) {
	ctx, cancel := context.WithTimeout(ctx, upgradeTime)
	defer cancel()
	lock, err := connect(ctx, cfg)
	if err != nil {
		return err
	}
	defer func() { // which gives up the lock
		_ = lock.Close(context.WithoutCancel(ctx))
	}()
	if err := lockUpgrade(ctx, lock); err != nil {
		return err
	}
	p, closeDB, err := newMigrations(cfg)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, closeDB()) }()
	have, want, err := p.GetVersions(ctx)
	if err != nil {
		return err
	}
	if have > want {
		return fmt.Errorf("the database has version %d, this gateway knows %d: use the newer gateway that wrote it", have, want)
	}
	if have < want {
		_, err = p.Up(ctx)
	}
	return err
}

// lockUpgrade waits until no other node is in an upgrade.
func lockUpgrade(ctx context.Context, c *pgx.Conn) error {
	var schema *string
	if err := c.QueryRow(ctx, "SELECT current_schema()").Scan(&schema); err != nil {
		return err
	}
	if schema == nil {
		return errors.New("there is no schema of its search_path; create it, owned by the user of the gateway")
	}
	for {
		var locked bool
		err := c.QueryRow(ctx, "SELECT pg_try_advisory_lock(hashtextextended('gateway upgrade ' || current_schema(), 0))").Scan(&locked)
		if err != nil || locked {
			return err
		}
		if err := pause.For(ctx, upgradeRetry); err != nil {
			return err
		}
	}
}

// newMigrations is what goose makes of the embedded files.
func newMigrations(cfg *pgx.ConnConfig) (*goose.Provider, func() error, error) {
	sub, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return nil, nil, err
	}
	db := stdlib.OpenDB(*cfg, stdlib.OptionAfterConnect(prepareUpgrade))
	p, err := goose.NewProvider(goose.DialectPostgres, db, sub,
		goose.WithDisableGlobalRegistry(true), goose.WithLogger(goose.NopLogger()))
	if err != nil {
		return nil, nil, errors.Join(err, db.Close())
	}
	return p, db.Close, nil
}

// connect waits for a server that is being started, too.
func connect(ctx context.Context, cfg *pgx.ConnConfig) (c *pgx.Conn, err error) {
	err = persist(ctx, openPatience, func(ctx context.Context) (err error) {
		c, err = pgx.ConnectConfig(ctx, cfg)
		return err
	})
	return c, err
}

// Close waits for calls under way and closes the connections. Claims that are
// still held end with their lease.
func (s *Store) Close() error {
	s.pool.Close()
	return nil
}
