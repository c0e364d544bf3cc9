// Package sqlite keeps the gateway's state in one SQLite file, over
// modernc.org/sqlite and database/sql.
//
// A call that returned nil survives kill -9 and power loss: the journal is a
// write-ahead log flushed at every commit (synchronous=FULL). Several processes
// may open the same file; writers wait for each other.
//
// Beside the file stand SQLite's own -wal and -shm, a .lock, and one .job-N.lock
// per job. The locks are the operating system's and vanish with the process that
// holds them. The file must be on a local disk: neither they nor the log work
// over a network file system.
package sqlite

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"path/filepath"
	"runtime"
	"strconv"

	"github.com/pressly/goose/v3"
	_ "modernc.org/sqlite" // the driver named "sqlite"

	"gateway/internal/durable"
	"gateway/state"
)

//go:embed migrations/*.sql
var migrations embed.FS

const (
	busyTimeoutMS = 30_000 // how long a writer waits for one of another process
	walLimitBytes = 64 << 20
	maxReaders    = 8
)

// Store is a state.Store in one file. It is safe for concurrent use.
type Store struct {
	path   string
	read   *sql.DB
	reads  reads
	write  *sql.DB // one connection
	writer *writer

	maxEvidence int64 // bytes
	outbox      state.OutboxRoom
}

var _ state.Store = (*Store)(nil)

// Open opens the file, makes it (mode 0600, its folder must exist) if it is new,
// and brings its tables up to date. A file written by a newer version of the
// gateway is refused.
func Open(ctx context.Context, path string) (*Store, error) {
	s, err := open(ctx, path)
	if err != nil {
		return nil, fmt.Errorf("state: open %s: %w", path, advise(err))
	}
	return s, nil
}

func open(ctx context.Context, path string) (*Store, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return nil, err
	}
	if err := create(path); err != nil {
		return nil, err
	}
	s := &Store{path: path, maxEvidence: state.MaxEvidenceTotal}
	if s.write, err = connect(path, "_txlock=immediate", 1); err != nil {
		return nil, err
	}
	if err := s.upgrade(ctx); err != nil {
		return nil, errors.Join(err, s.write.Close())
	}
	if s.read, err = connect(path, "_pragma=query_only(1)", max(2, min(maxReaders, runtime.NumCPU()))); err != nil {
		return nil, errors.Join(err, s.write.Close())
	}
	p, err := prepare(ctx, s.write)
	if err == nil {
		s.reads, err = prepareReads(ctx, s.read)
	}
	if err != nil {
		return nil, errors.Join(err, s.read.Close(), s.write.Close())
	}
	s.writer = startWriter(s.write, p)
	return s, nil
}

// create makes the file with narrow permissions, which SQLite then also uses
// for the log, and makes its name durable.
func create(path string) error {
	err := durable.CreateFile(path, nil)
	if errors.Is(err, fs.ErrExist) {
		return nil
	}
	return err
}

func connect(path, extra string, conns int) (*sql.DB, error) {
	dsn := "file:" + (&url.URL{Path: filepath.ToSlash(path)}).EscapedPath() +
		"?_pragma=busy_timeout(" + strconv.Itoa(busyTimeoutMS) + ")" +
		"&_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)&_pragma=foreign_keys(1)" +
		"&_pragma=journal_size_limit(" + strconv.Itoa(walLimitBytes) + ")&" + extra
	db, err := sql.Open("sqlite", dsn)
	if err != nil {
		return nil, err
	}
	db.SetMaxOpenConns(conns)
	db.SetMaxIdleConns(conns)
	return db, nil
}

// upgrade runs the embedded migrations, one process at a time.
func (s *Store) upgrade(ctx context.Context) (err error) {
	unlock, err := lockFile(ctx, s.path+".lock", true)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, unlock()) }()
	sub, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return err
	}
	p, err := goose.NewProvider(goose.DialectSQLite3, s.write, sub,
		goose.WithDisableGlobalRegistry(true), goose.WithLogger(goose.NopLogger()))
	if err != nil {
		return err
	}
	have, want, err := p.GetVersions(ctx)
	if err != nil {
		return err
	}
	if have > want {
		return fmt.Errorf("the file has version %d, this gateway knows %d: use the newer gateway that wrote it", have, want)
	}
	if have == want {
		return nil
	}
	_, err = p.Up(ctx)
	return err
}

// Close waits for calls under way and closes the file. Claims that are still
// held stay so until they are released.
func (s *Store) Close() error {
	s.writer.stop()
	return errors.Join(s.read.Close(), s.write.Close())
}
