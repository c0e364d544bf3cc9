package ftpbridge

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"gateway/listing"
)

const (
	freshFor    = 20 * time.Second // an idle session of this age is asked with NOOP before it is given out
	busyTries   = 6                // when the server has no room at all
	busyWait    = time.Second      // before the second try; doubles
	maxBusyWait = 30 * time.Second
	maxGrowWait = 5 * time.Minute // between tries to go beyond the number that the server took
)

// Pool is up to Source.Connections sessions of one source, which share what
// they learn. When the server says that it has enough (421, or 530 with such
// words), the pool stays at the number it has. It is safe for concurrent use.
type Pool struct {
	src  Source
	know *knowledge

	mu     sync.Mutex
	idle   []idleSession // the latest last
	open   int           // idle, given out, or being dialled
	limit  int
	grow   time.Duration // what the server's last refusal is waited out with; 0 before the first
	growAt time.Time     // when limit may grow by one, where it is below Source.Connections
	closed bool
	wake   chan struct{} // closed when something above changed
}

type idleSession struct {
	Remote
	since time.Time
}

// NewPool makes a pool. It connects to nothing yet. The error wraps ErrSource.
func NewPool(src Source) (*Pool, error) {
	if err := src.validate(); err != nil {
		return nil, err
	}
	return &Pool{src: src, know: newKnowledge(), limit: src.connections(), wake: make(chan struct{})}, nil
}

// Get gives a session, waiting for one where all are out. Give it back with
// Put. Errors are those of Dial, ErrClosed, or the context's.
func (p *Pool) Get(ctx context.Context) (Remote, error) {
	for tries := 1; ; {
		s, wake, d, err := p.take()
		switch {
		case err != nil:
			return nil, err
		case s != nil:
			if time.Since(s.since) < freshFor || s.ping(ctx) {
				return s.Remote, nil
			}
			p.drop(s.Remote)
			continue
		case wake != nil:
			if err := wait(ctx, wake, d); err != nil {
				return nil, p.waited(err)
			}
			continue
		}
		fresh, err := dialRemote(ctx, p.src, p.know)
		if err == nil {
			return fresh, nil
		}
		alone := p.failedDial(err)
		if !errors.Is(err, ErrBusy) {
			return nil, err
		}
		if !alone {
			continue
		}
		if tries == busyTries {
			return nil, fmt.Errorf("%w (tried %d times)", err, tries)
		}
		if err := wait(ctx, nil, min(busyWait<<(tries-1), maxBusyWait)); err != nil {
			return nil, p.waited(err)
		}
		tries++
	}
}

// take gives an idle session, or what to wait for and for how long at most (0:
// no matter how long), or neither: the caller may dial.
func (p *Pool) take() (s *idleSession, wake chan struct{}, d time.Duration, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return nil, nil, 0, fmt.Errorf("ftp: %s: pool: %w", p.src.addr(), ErrClosed)
	}
	if n := len(p.idle); n > 0 {
		last := p.idle[n-1]
		p.idle = p.idle[:n-1]
		return &last, nil, 0, nil
	}
	if p.open >= p.limit && p.limit < p.src.connections() {
		if d = time.Until(p.growAt); d <= 0 {
			p.limit++
		}
	}
	if p.open < p.limit {
		p.open++
		return nil, nil, 0, nil
	}
	return nil, p.wake, max(d, 0), nil
}

// failedDial gives the place back and reports whether no other session is
// open. A server that is full with some open will not take more.
func (p *Pool) failedDial(err error) (alone bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.open--
	if errors.Is(err, ErrBusy) && p.open > 0 && p.open < p.limit {
		if p.grow == 0 {
			p.src.logger().Warn("the server takes no more connections", "source", p.src, "open", p.open, "wanted", p.limit)
		}
		p.limit = p.open
		p.grow = min(max(2*p.grow, busyWait), maxGrowWait)
		p.growAt = time.Now().Add(p.grow)
	}
	p.changed()
	return p.open == 0
}

// Warm opens sessions in the background until n are idle, as far as the pool may have
// more, for somebody who will soon ask for that many. What fails is left to Get.
func (p *Pool) Warm(ctx context.Context, n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return
	}
	for range min(n-len(p.idle), p.limit-p.open) {
		p.open++
		go func() {
			s, err := dialRemote(ctx, p.src, p.know)
			if err != nil {
				p.failedDial(err)
				return
			}
			p.Put(s)
		}()
	}
}

func (p *Pool) changed() {
	close(p.wake)
	p.wake = make(chan struct{})
}

func (p *Pool) waited(err error) error {
	return fmt.Errorf("ftp: %s: wait for a connection: %w", p.src.addr(), err)
}

// wait ends with wake, after d (where d is not 0), or with ctx.
func wait(ctx context.Context, wake <-chan struct{}, d time.Duration) error {
	var after <-chan time.Time
	if d > 0 {
		t := time.NewTimer(d)
		defer t.Stop()
		after = t.C
	}
	select {
	case <-wake:
	case <-after:
	case <-ctx.Done():
		return ctx.Err()
	}
	return nil
}

// Put gives a session back. A broken one, or one with an open fetch, is closed.
func (p *Pool) Put(s Remote) {
	p.mu.Lock()
	if !p.closed && !s.Broken() && !s.inUse() && p.open <= p.limit {
		p.idle = append(p.idle, idleSession{s, time.Now()})
		p.changed()
		p.mu.Unlock()
		return
	}
	p.mu.Unlock()
	p.drop(s)
}

func (p *Pool) drop(s Remote) {
	_ = s.Close()
	p.mu.Lock()
	defer p.mu.Unlock()
	p.open--
	p.changed()
}

// Limit is how many sessions the pool opens at most for now.
func (p *Pool) Limit() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.limit
}

// Close closes the idle sessions, and the others when they are put back.
func (p *Pool) Close() error {
	p.mu.Lock()
	idle := p.idle
	p.idle, p.closed = nil, true
	p.open -= len(idle)
	p.changed()
	p.mu.Unlock()
	for _, s := range idle {
		_ = s.Close()
	}
	return nil
}

// Do runs fn with a session of the pool.
func (p *Pool) Do(ctx context.Context, fn func(Remote) error) error {
	s, err := p.Get(ctx)
	if err != nil {
		return err
	}
	defer p.Put(s)
	return fn(s)
}

// again runs fn, and once more on a new session where the first one broke: a
// server may have closed it while it was idle.
func (p *Pool) again(ctx context.Context, fn func(Remote) error) error {
	for tries := 1; ; tries++ {
		var broken bool
		err := p.Do(ctx, func(s Remote) error {
			err := fn(s)
			broken = s.Broken()
			return err
		})
		if err == nil || !broken || tries == 2 || !Temporary(err) {
			return err
		}
	}
}

// List is Session.List on some session.
func (p *Pool) List(ctx context.Context, dir string) (res listing.Result, err error) {
	err = p.again(ctx, func(s Remote) error {
		res, err = s.List(ctx, dir)
		return err
	})
	return res, err
}

// Stat is Session.Stat on some session.
func (p *Pool) Stat(ctx context.Context, path string) (e listing.Entry, err error) {
	err = p.again(ctx, func(s Remote) error {
		e, err = s.Stat(ctx, path)
		return err
	})
	return e, err
}

// Join is Session.Join.
func (p *Pool) Join(dir, name string) string { return joinPath(dir, name) }

// Show is Session.Show.
func (p *Pool) Show(path string) string { return p.know.show(p.src.Charset, path) }
