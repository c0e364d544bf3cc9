package postgres

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"gateway/internal/pause"
	"gateway/state"
)

// The pauses between tries to reach a server.
const (
	firstPause = 20 * time.Millisecond
	maxPause   = 500 * time.Millisecond
)

// SQLSTATE codes, PostgreSQL appendix A; GW001 is our own.
const (
	codeClaimLost   = "GW001"
	codeForeignKey  = "23503"
	codeDeadlock    = "40P01"
	codeSerialize   = "40001"
	codeReadOnly    = "25006" // of a server that has become a standby
	codeTooMany     = "53300"
	codeDiskFull    = "53100"
	codeNoDatabase  = "3D000"
	codePrivilege   = "42501"
	codeNoSchema    = "3F000"
	classConnection = "08"
	classLogin      = "28"
	classShutdown   = "57P"
)

// read runs what changes nothing.
func (s *Store) read(ctx context.Context, op string, do func(context.Context) error) error {
	return wrap(persist(ctx, s.patience, do), op)
}

// write runs what may be run again after an answer that was lost. Once it was sent
// the answer is waited for also if ctx is cancelled, up to its deadline, so that an
// error means "not written" as long as the server answers.
func (s *Store) write(ctx context.Context, op string, do func(context.Context) error) error {
	return wrap(persist(ctx, s.patience, func(try context.Context) error {
		deadline, _ := try.Deadline()
		sent, cancel := context.WithDeadline(context.WithoutCancel(try), deadline)
		defer cancel()
		return do(sent)
	}), op)
}

// transact is write with a transaction of several steps.
func (s *Store) transact(ctx context.Context, op string, do func(context.Context, pgx.Tx) error) error {
	return s.write(ctx, op, func(ctx context.Context) error {
		return pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error {
			if c, ok := claimOf(ctx); ok {
				if _, err := tx.Exec(ctx, holdClaim, c.job, c.token); err != nil {
					return err
				}
			}
			return do(ctx, tx)
		})
	})
}

// send is transact for steps whose answers none needs to know before the next: all
// go in one message, which is a transaction of its own.
func (s *Store) send(ctx context.Context, op string, fill func(*pgx.Batch)) error {
	return s.write(ctx, op, func(ctx context.Context) error {
		b := &pgx.Batch{}
		if c, ok := claimOf(ctx); ok {
			b.Queue(holdClaim, c.job, c.token)
		}
		fill(b)
		return s.pool.SendBatch(ctx, b).Close()
	})
}

// persist tries again while the server cannot be reached, for as long as patience.
func persist(ctx context.Context, patience time.Duration, do func(context.Context) error) error {
	giveUp := time.Now().Add(patience)
	for wait := firstPause; ; wait = min(2*wait, maxPause) {
		if err := ctx.Err(); err != nil {
			return err
		}
		try, cancel := context.WithTimeout(ctx, tryTime)
		err := do(try)
		cancel()
		if err == nil || ctx.Err() != nil || !transient(err) || time.Now().Add(wait).After(giveUp) {
			return err
		}
		if ended := pause.For(ctx, wait); ended != nil {
			return fmt.Errorf("%w while it was tried again, after: %w", ended, err)
		}
	}
}

// transient reports whether the same may succeed later.
func transient(err error) bool {
	var e *pgconn.PgError
	if errors.As(err, &e) {
		switch e.Code {
		case codeDeadlock, codeSerialize, codeReadOnly, codeTooMany:
			return true
		}
		return e.Code[:min(2, len(e.Code))] == classConnection || e.Code[:min(3, len(e.Code))] == classShutdown
	}
	var network net.Error
	var connecting *pgconn.ConnectError
	return errors.As(err, &network) || errors.As(err, &connecting) || pgconn.SafeToRetry(err) || pgconn.Timeout(err) ||
		errors.Is(err, pgconn.ErrConnClosed) || errors.Is(err, pgx.ErrTxClosed) ||
		errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, net.ErrClosed) ||
		errors.Is(err, context.DeadlineExceeded)
}

// newOnce is what a write is known again by.
func newOnce() []byte {
	b := make([]byte, 16)
	_, _ = rand.Read(b) // crypto/rand does not fail; it ends the program
	return b
}

func hasCode(err error, code string) bool {
	var e *pgconn.PgError
	return errors.As(err, &e) && e.Code == code
}

// wrap names the operation and translates the driver's errors.
func wrap(err error, op string) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, pgx.ErrNoRows):
		err = state.ErrNotFound
	case hasCode(err, codeClaimLost):
		err = fmt.Errorf("the claim was lost: %w", state.ErrClaimed)
	}
	return fmt.Errorf("state: %s: %w", op, advise(err))
}

// advise adds to the server's words what to do.
func advise(err error) error {
	var e *pgconn.PgError
	var connecting *pgconn.ConnectError
	switch {
	case errors.As(err, &e):
		switch {
		case e.Code == codeDiskFull:
			return fmt.Errorf("%w; make room on the disk of the database server", err)
		case e.Code == codeTooMany:
			return fmt.Errorf("%w; raise max_connections of the database server, or lower state.connections of the nodes", err)
		case e.Code == codeNoDatabase, e.Code == codeNoSchema:
			return fmt.Errorf("%w; create it, owned by the user of the gateway", err)
		case e.Code == codePrivilege:
			return fmt.Errorf("%w; the gateway's user must own the database or the schema", err)
		case e.Code[:min(2, len(e.Code))] == classLogin:
			return fmt.Errorf("%w; see the user in state.url, the password, and pg_hba.conf of the server", err)
		}
	case errors.As(err, &connecting):
		return fmt.Errorf("%w; is the database server running, and can this machine reach it?", err)
	}
	return err
}
