package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"runtime"
	"sync"
)

// maxGroup bounds how many calls share one transaction, and so one flush.
const maxGroup = 128

// gatherTurns is how often others are let run before a group is closed. It costs
// an idle process nothing, and a busy one makes larger groups.
const gatherTurns = 3

var errClosed = errors.New("state: the store is closed")

// change is what one call wants written, all or none.
type change func(context.Context, *sql.Tx) error

// prepared are the statements that are run for each file. Reading a statement's
// text takes SQLite longer than running it.
type prepared struct {
	putFile, addPublication *sql.Stmt
	begin, end              *sql.Stmt // of a savepoint
}

func prepare(ctx context.Context, db *sql.DB) (p prepared, err error) {
	for _, s := range []struct {
		to    **sql.Stmt
		query string
	}{
		{&p.putFile, putFileQuery}, {&p.addPublication, addPublicationQuery},
		{&p.begin, "SAVEPOINT one"}, {&p.end, "RELEASE one"},
	} {
		//nolint:sqlclosecheck // closed with the database
		if *s.to, err = db.PrepareContext(ctx, s.query); err != nil {
			return p, err
		}
	}
	return p, nil
}

type request struct {
	ctx  context.Context
	do   change
	done chan error
}

// writer is the one place that writes. Calls that arrive while a transaction is
// being flushed share the next one, so that many small calls at once cost one
// flush. Each has its own savepoint: one that fails takes none with it.
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
	for {
		select {
		case <-w.quit:
			return
		case r := <-w.requests:
			w.commit(w.gather(r))
		}
	}
}

func (w *writer) gather(first request) []request {
	group := []request{first}
	for idle := 0; len(group) < maxGroup && idle < gatherTurns; {
		select {
		case r := <-w.requests:
			group, idle = append(group, r), 0
		default:
			runtime.Gosched() // those who are about to call may do so now
			idle++
		}
	}
	return group
}

// commit writes a group in one transaction and answers every call in it.
func (w *writer) commit(group []request) {
	// Not the callers' contexts: one that gives up must not undo the others.
	ctx := context.Background()
	results := make([]error, len(group))
	tx, err := w.db.BeginTx(ctx, nil)
	if err == nil {
		for i, r := range group {
			if results[i] = r.ctx.Err(); results[i] == nil {
				results[i] = w.applyOne(ctx, tx, r.do, len(group) == 1)
			}
		}
		if len(group) == 1 && results[0] != nil {
			err = tx.Rollback()
		} else {
			err = tx.Commit()
		}
	}
	for i, r := range group {
		if results[i] == nil {
			results[i] = err
		}
		r.done <- results[i]
	}
}

// applyOne undoes what it did if it fails. alone is for a call that has the
// transaction to itself, which the caller then undoes.
func (w *writer) applyOne(ctx context.Context, tx *sql.Tx, do change, alone bool) error {
	if alone {
		return do(ctx, tx)
	}
	//nolint:sqlclosecheck // the transaction closes it
	if _, err := tx.StmtContext(ctx, w.prepared.begin).ExecContext(ctx); err != nil {
		return err
	}
	err := do(ctx, tx)
	if err != nil {
		if _, undo := tx.ExecContext(ctx, "ROLLBACK TO one"); undo != nil {
			return errors.Join(err, undo)
		}
	}
	_, release := tx.StmtContext(ctx, w.prepared.end).ExecContext(ctx) //nolint:sqlclosecheck // as above
	return errors.Join(err, release)
}
