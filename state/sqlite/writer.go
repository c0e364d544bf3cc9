package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"runtime"
	"sync"
	"time"
)

// maxGroup bounds how many calls share one transaction, and so one flush.
const maxGroup = 128

// gatherTime is how long a group waits for more calls while there are several
// callers: until lonely groups in a row had one call only. Who calls alone after
// that never waits.
const (
	gatherTime = 5 * time.Millisecond
	lonely     = 4
)

var errClosed = errors.New("state: the store is closed")

// change is what one call wants written, all or none. It may run twice, the first
// time without a trace.
type change func(context.Context, *transaction) error

// transaction has the prepared statements too, in it.
type transaction struct {
	*sql.Tx
	prepared prepared
}

// prepared are the statements that are run for each file. Reading a statement's
// text takes SQLite longer than running it.
type prepared struct {
	updateFile, putFile, addPublication *sql.Stmt
}

// reads are those that are run outside of transactions.
type reads struct {
	coveringLocks, locksBelow, hasProperties *sql.Stmt
}

// fixed is a queryer of one prepared statement, whatever the text.
type fixed struct{ *sql.Stmt }

// QueryContext implements queryer.
func (f fixed) QueryContext(ctx context.Context, _ string, args ...any) (*sql.Rows, error) {
	return f.Stmt.QueryContext(ctx, args...)
}

func prepare(ctx context.Context, db *sql.DB) (prepared, error) {
	var p prepared
	err := prepareAll(ctx, db, statements{
		updateFileQuery: &p.updateFile, putFileQuery: &p.putFile, addPublicationQuery: &p.addPublication,
	})
	return p, err
}

func prepareReads(ctx context.Context, db *sql.DB) (reads, error) {
	var r reads
	err := prepareAll(ctx, db, statements{
		coveringLocksQuery: &r.coveringLocks, locksBelowQuery: &r.locksBelow, hasPropertiesQuery: &r.hasProperties,
	})
	return r, err
}

// statements are where statements go, by their text.
type statements map[string]**sql.Stmt

func prepareAll(ctx context.Context, db *sql.DB, all statements) (err error) {
	for query, to := range all {
		//nolint:sqlclosecheck // closed with the database
		if *to, err = db.PrepareContext(ctx, query); err != nil {
			return err
		}
	}
	return nil
}

type request struct {
	ctx  context.Context
	do   change
	done chan error
}

// writer is the one place that writes. Calls that arrive while a transaction is
// being flushed share the next one, so that many small calls at once cost one
// flush. If one of them fails, each gets a transaction of its own: failures are
// rare, and a savepoint around each call would cost more than most calls.
type writer struct {
	db       *sql.DB
	prepared prepared
	requests chan request
	quit     chan struct{}
	ended    chan struct{}
	once     sync.Once
}

func startWriter(db *sql.DB, p prepared) *writer {
	w := &writer{
		db:       db,
		prepared: p,
		requests: make(chan request),
		quit:     make(chan struct{}),
		ended:    make(chan struct{}),
	}
	go w.run()
	return w
}

func (w *writer) stop() {
	w.once.Do(func() { close(w.quit) })
	<-w.ended
}

// apply returns nil when the change is durable. Once the change was taken up
// the answer is waited for, so that an error always means "not written".
func (w *writer) apply(ctx context.Context, do change) error {
	r := request{ctx: ctx, do: do, done: make(chan error, 1)}
	select {
	case w.requests <- r:
		return <-r.done
	case <-ctx.Done():
		return ctx.Err()
	case <-w.quit:
		return errClosed
	}
}

func (w *writer) run() {
	defer close(w.ended)
	for alone := lonely; ; {
		select {
		case <-w.quit:
			return
		case r := <-w.requests:
			group := w.gather(r, alone < lonely)
			if alone++; len(group) > 1 {
				alone = 0
			}
			w.commit(group)
		}
	}
}

// gather adds to the first call those that are waiting, and if several callers
// are likely those of the next moment.
func (w *writer) gather(first request, several bool) []request {
	group := []request{first}
	if !several {
		runtime.Gosched() // those who are about to call may do so now
		for len(group) < maxGroup {
			select {
			case r := <-w.requests:
				group = append(group, r)
			default:
				return group
			}
		}
		return group
	}
	over := time.After(gatherTime)
	for len(group) < maxGroup {
		select {
		case r := <-w.requests:
			group = append(group, r)
		case <-over:
			return group
		}
	}
	return group
}

// commit writes a group in one transaction, if that succeeds, and answers every call in it.
func (w *writer) commit(group []request) {
	together := w.transact(group...)
	for i, r := range group {
		err := together
		if err != nil && len(group) > 1 {
			err = w.transact(group[i])
		}
		r.done <- err
	}
}

// transact writes all of the requests or none.
func (w *writer) transact(requests ...request) error {
	// Not the callers' contexts: one that gives up must not undo the others.
	ctx := context.Background()
	tx, err := w.db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	within := &transaction{tx, prepared{
		updateFile:     tx.StmtContext(ctx, w.prepared.updateFile),
		putFile:        tx.StmtContext(ctx, w.prepared.putFile),
		addPublication: tx.StmtContext(ctx, w.prepared.addPublication),
	}}
	for _, r := range requests {
		err := r.ctx.Err()
		if err == nil {
			err = r.do(ctx, within)
		}
		if err != nil {
			return errors.Join(err, tx.Rollback())
		}
	}
	return tx.Commit()
}
