package sftpsrv

import (
	"io"
	"sync"
	"sync/atomic"
	"time"
)

// outgoing is a finished packet and what it counts against the connection's buffers.
type outgoing struct {
	buf    *buffer
	weight int64
}

// sender writes the replies of one session. Replies that wait together are joined.
type sender struct {
	w       io.Writer
	pool    *bufferPool
	release func(weight int64)

	mu      sync.Mutex
	wake    *sync.Cond
	queue   []outgoing
	closed  bool
	writing bool

	failed bool         // used by run alone
	since  atomic.Int64 // when the write under way began, Unix nanoseconds; 0: none is
	done   chan struct{}
}

func newSender(w io.Writer, pool *bufferPool, release func(int64)) *sender {
	s := &sender{w: w, pool: pool, release: release, done: make(chan struct{})}
	s.wake = sync.NewCond(&s.mu)
	return s
}

// send queues a packet. It never blocks: the buffers of the connection bound what
// can wait here.
func (s *sender) send(buf *buffer, weight int64) {
	buf.finish()
	s.mu.Lock()
	s.queue = append(s.queue, outgoing{buf, weight})
	s.mu.Unlock()
	s.wake.Signal()
}

// close ends run when all that was queued is written, and waits for it.
func (s *sender) close() {
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	s.wake.Signal()
	<-s.done
}

// stalled reports whether the client has left a piece of an answer untaken for limit.
func (s *sender) stalled(now time.Time, limit time.Duration) bool {
	since := s.since.Load()
	return since != 0 && now.Sub(time.Unix(0, since)) > limit
}

// busy reports whether something is not written yet.
func (s *sender) busy() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.writing || len(s.queue) > 0
}

func (s *sender) run() {
	defer close(s.done)
	var batch []outgoing
	for {
		s.mu.Lock()
		s.writing = false
		for len(s.queue) == 0 && !s.closed {
			s.wake.Wait()
		}
		batch, s.queue = s.queue, batch[:0]
		s.writing = true
		s.mu.Unlock()
		if len(batch) == 0 {
			return
		}
		s.writeBatch(batch)
		clear(batch)
	}
}

// writeBatch writes replies as one stream, cut into SSH packets that are full but the last: most clients ask for
// 32 KiB, and such a reply with its header is a few bytes longer than one packet.
func (s *sender) writeBatch(batch []outgoing) {
	joined := s.pool.get(stallPiece)
	pending := joined.b[:0] // shorter than a packet
	for _, o := range batch {
		rest := o.buf.b
		if len(pending) > 0 {
			n := min(len(rest), stallPiece-len(pending))
			pending, rest = append(pending, rest[:n]...), rest[n:]
		}
		if len(pending) == stallPiece {
			s.write(pending)
			pending = pending[:0]
		}
		full := len(rest) - len(rest)%stallPiece
		s.write(rest[:full])
		pending = append(pending, rest[full:]...)
		s.pool.put(o.buf)
		s.release(o.weight)
	}
	s.write(pending)
	s.pool.put(joined)
}

// write writes in pieces, so that stalled sees that a slow client takes them. After
// an error the rest is dropped: the connection is gone.
func (s *sender) write(b []byte) {
	for len(b) > 0 && !s.failed {
		n := min(len(b), stallPiece)
		s.since.Store(time.Now().UnixNano())
		_, err := s.w.Write(b[:n])
		s.since.Store(0)
		s.failed = err != nil
		b = b[n:]
	}
}
