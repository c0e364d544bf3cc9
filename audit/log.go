package audit

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"
)

// Bounds of a Log.
const (
	maxQueued = 8 << 20 // bytes of entries that wait to be written; more wait with their callers, or are lost while nothing can be written
	maxBatch  = 1 << 20 // bytes that are written at once
	maxAtOnce = 4096    // entries that are

	headLines = 10_000 // at most so many lines without a head, of each process that writes
	syncEvery = time.Second
	// gatherTime is how long a line for which nobody waits lets others come.
	gatherTime = 10 * time.Millisecond
	lockTime   = 10 * time.Second // for how long another process may hold the log
)

// Options say where and how a log is kept.
type Options struct {
	Dir  string // made if it is not there
	Node string // in each line; "" for none
	// A file is closed when it has RotateSize bytes, or is RotateEvery old; of those closed, Keep are kept. 0 is never, and all.
	RotateSize  int64
	RotateEvery time.Duration
	Keep        int
	// Always has Write return only when the entry is on the disk; else it is there within a second.
	Always bool
	// Key signs a head each HeadEvery, if there are new lines; 0 is ten minutes.
	Key       ed25519.PrivateKey
	HeadEvery time.Duration
	Heads     func(Head)   // told of each head, if it is not nil
	Logger    *slog.Logger // nil is silent
}

// Log is a log that is open for writing, by any number of processes on one machine.
// Safe for concurrent use.
type Log struct {
	o   Options
	now func() time.Time

	mu     sync.Mutex
	queue  []item
	queued int // bytes
	room   *sync.Cond
	err    error // why nothing can be written; nil: it can
	lost   uint64
	lines  uint64
	closed bool

	wake chan struct{}
	// urgent ends the time in which more lines may come.
	urgent chan struct{}
	quit   chan struct{}
	ended  sync.WaitGroup

	w writer
}

type item struct {
	body []byte
	done chan error // nil: nobody waits
}

var errClosed = errors.New("audit: the log is closed")

// Open opens the log of a folder for writing, and mends its end if a process was killed over it.
func Open(o Options) (*Log, error) {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.HeadEvery <= 0 {
		o.HeadEvery = 10 * time.Minute
	}
	l := &Log{o: o, now: time.Now, wake: make(chan struct{}, 1), urgent: make(chan struct{}, 1), quit: make(chan struct{})}
	l.room = sync.NewCond(&l.mu)
	if err := os.MkdirAll(o.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("audit log: %w", err)
	}
	lockOn, err := os.OpenFile(filepath.Join(o.Dir, lockFile), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("audit log: %w", err)
	}
	l.w = writer{l: l, lock: lockOn, sinceHead: headLines}
	if err := l.w.open(); err != nil {
		return nil, errors.Join(fmt.Errorf("audit log: %w", err), l.w.close())
	}
	l.ended.Go(l.run)
	if !o.Always {
		l.ended.Go(l.runSync)
	}
	return l, nil
}

// Write adds an entry and returns when it is written: to the file, so that it outlives this process; with
// Options.Always to the disk. The error says that it is not, or not yet: it is kept in memory and tried again.
func (l *Log) Write(e Entry) error {
	done := make(chan error, 1)
	if err := l.add(e, done); err != nil {
		return err
	}
	return <-done
}

// Note is Write that does not wait: what was noted in the last moment before the process is killed can be lost.
func (l *Log) Note(e Entry) { _ = l.add(e, nil) }

// Err says why nothing can be written now; nil if it can.
func (l *Log) Err() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.err
}

// Counts are how many lines this process wrote, and how many entries it lost, since they could not be written.
func (l *Log) Counts() (written, lost uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.lines, l.lost
}

// add queues an entry; done gets what came of it. While nothing can be written the error is returned at once.
func (l *Log) add(e Entry, done chan error) error {
	if e.Time.IsZero() {
		e.Time = l.now()
	}
	e.Node = l.o.Node
	body := appendEntry(make([]byte, 0, 512), &e)
	l.mu.Lock()
	defer l.mu.Unlock()
	for l.queued > maxQueued && l.err == nil && !l.closed {
		l.room.Wait()
	}
	switch {
	case l.closed:
		return errClosed
	case l.queued > maxQueued:
		l.lost++
		return l.err
	}
	failing := l.err
	if failing != nil {
		done = nil
	}
	l.queue = append(l.queue, item{body, done})
	l.queued += len(body)
	wake(l.wake)
	if done != nil || l.o.Always || l.queued > maxBatch { // somebody waits for it, or it is enough
		wake(l.urgent)
	}
	return failing
}

// take removes from the queue what is to be written next.
func (l *Log) take() (batch []item) {
	l.mu.Lock()
	defer l.mu.Unlock()
	size := 0
	for _, i := range l.queue {
		if len(batch) == maxAtOnce || size > maxBatch {
			break
		}
		batch = append(batch, i)
		size += len(i.body)
	}
	l.queue = l.queue[len(batch):]
	if len(l.queue) == 0 {
		l.queue = nil // lets go of what was written
	}
	l.queued -= size
	l.room.Broadcast()
	return batch
}

// settle answers those who wait. What is not there goes back to the front of the queue, and nobody waits for it any more.
func (l *Log) settle(batch []item, there bool, err error) {
	for i := range batch {
		if batch[i].done != nil {
			batch[i].done <- err
			batch[i].done = nil
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if there {
		l.lines += uint64(len(batch))
	} else {
		for _, i := range batch {
			l.queued += len(i.body)
		}
		l.queue = append(batch, l.queue...)
	}
	l.setErr(err)
}

// setErr notes whether the log can be written, and says so when that changes. l.mu is held.
func (l *Log) setErr(err error) {
	switch {
	case err != nil && l.err == nil:
		l.o.Logger.Error("the audit log cannot be written; what happens is kept in memory, up to a bound, and written when it can be", "error", err)
	case err == nil && l.err != nil:
		l.o.Logger.Warn("the audit log can be written again", "lost", l.lost)
	}
	l.err = err
	l.room.Broadcast()
}

// run writes what is queued until the log is closed.
func (l *Log) run() {
	tick := time.NewTicker(syncEvery)
	defer tick.Stop()
	for {
		select {
		case <-l.quit:
			l.drain()
			return
		case <-l.wake:
			if l.Err() == nil { // else at the next tick
				l.gather()
				l.drain()
			}
		case <-tick.C:
			l.drain()
			if err := l.w.headIfDue(l.now()); err != nil {
				l.fail(err)
			}
		}
	}
}

func wake(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// gather lets more lines come, so that they share a write and its locks.
func (l *Log) gather() {
	t := time.NewTimer(gatherTime)
	defer t.Stop()
	select {
	case <-t.C:
	case <-l.urgent:
	case <-l.quit:
	}
}

func (l *Log) fail(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.setErr(err)
}

// drain writes until nothing is queued, or cannot be written.
func (l *Log) drain() {
	for {
		batch := l.take()
		if len(batch) == 0 {
			return
		}
		there, err := l.w.write(batch)
		l.settle(batch, there, err)
		if err != nil {
			return
		}
	}
}

// runSync brings what was written onto the disk, beside the writing.
func (l *Log) runSync() {
	tick := time.NewTicker(syncEvery)
	defer tick.Stop()
	for {
		select {
		case <-l.quit:
			return
		case <-tick.C:
			if err := l.w.syncWritten(); err != nil {
				l.fail(err)
			}
		}
	}
}

// Close writes what is queued, signs a head, and closes the log. The error says that something could not be written.
func (l *Log) Close() error {
	l.mu.Lock()
	if l.closed {
		l.mu.Unlock()
		return nil
	}
	l.closed = true
	l.room.Broadcast()
	l.mu.Unlock()
	close(l.quit)
	l.ended.Wait()
	err := errors.Join(l.Err(), l.w.finish())
	l.mu.Lock()
	defer l.mu.Unlock()
	if n := len(l.queue); n > 0 {
		err = errors.Join(err, fmt.Errorf("%d entries were not written", n))
	}
	if err != nil {
		err = fmt.Errorf("audit log: %w", err)
	}
	return err
}

func lockContext() (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.Background(), lockTime)
}
