package sftpsrv

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/semaphore"

	"gateway/storage"
)

// errProtocol ends a session: the stream of packets cannot be followed any more.
var errProtocol = errors.New("protocol error")

// request is one packet from the client, after its id.
type request struct {
	kind   byte
	id     uint32
	body   decoder // aliases buf
	buf    *buffer
	weight int64 // what it holds of the connection's buffers until it is answered
}

// resources are what the sessions of one connection share.
type resources struct {
	fs         storage.FS
	user       string
	log        *slog.Logger
	pool       *bufferPool
	buffers    *semaphore.Weighted // bytes, of the connection
	total      *semaphore.Weighted // bytes, of the server
	workers    chan struct{}
	partials   *partials
	maxHandles int
	keep       time.Duration // how long an interrupted upload is kept; 0: not at all
	now        func() time.Time
	active     func() // called for every request

	checkpointEvery time.Duration
}

func (r *resources) acquire(ctx context.Context, weight int64) error {
	if err := r.buffers.Acquire(ctx, weight); err != nil {
		return err
	}
	if err := r.total.Acquire(ctx, weight); err != nil {
		r.buffers.Release(weight)
		return err
	}
	return nil
}

func (r *resources) release(weight int64) {
	if weight > 0 {
		r.buffers.Release(weight)
		r.total.Release(weight)
	}
}

// session is one SFTP conversation. One goroutine reads requests and puts them into
// queues: one queue for each handle, and one for all requests by path, except for OPENs that
// need not wait for one another. Queues run in parallel; a request by path stops the
// queues of the uploads it touches.
type session struct {
	*resources
	ctx    context.Context
	cancel context.CancelCauseFunc
	in     *bufio.Reader
	out    *sender
	crew   *crew
	paths  queue
	opens  opens
	hangUp func() // ends the channel after a defect

	running sync.WaitGroup // requests that are not answered yet
	pending atomic.Int64   // how many

	// mu guards what follows and the names of uploads, and makes pushing to several
	// queues one step: so all waiting is for something that was pushed
	// earlier, and there is no deadlock.
	mu      sync.Mutex
	handles map[string]*handle // what the client may name
	uploads map[*upload]*handle
	next    uint64
	open    int // handles, with those whose CLOSE is under way
}

func newSession(ctx context.Context, r *resources, in io.Reader, out io.Writer) *session {
	s := &session{
		resources: r,
		in:        bufio.NewReaderSize(in, readBuffer),
		handles:   make(map[string]*handle),
		uploads:   make(map[*upload]*handle),
		hangUp:    func() {},
	}
	s.ctx, s.cancel = context.WithCancelCause(ctx)
	s.crew = newCrew(s.ctx.Done())
	s.paths.crew = s.crew
	s.out = newSender(out, r.pool, r.release)
	return s
}

// serve runs the session until the client ends it (nil), the connection breaks or
// the client leaves the protocol. Requests that came whole are still carried out.
func (s *session) serve() error {
	go s.out.run()
	err := s.receive()
	deadline := time.AfterFunc(drainTime, func() { s.cancel(context.DeadlineExceeded) })
	s.running.Wait()
	deadline.Stop()
	s.abandonAll()
	s.out.close()
	if cause := context.Cause(s.ctx); errors.Is(cause, errPanic) {
		err = cause
	}
	s.cancel(context.Canceled)
	return err
}

// openHandles is how many handles there are, with those whose CLOSE is under way.
func (s *session) openHandles() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.open
}

// busy reports whether the client has something open or waits for an answer.
func (s *session) busy() bool {
	return s.openHandles() > 0 || s.pending.Load() > 0 || s.out.busy()
}

func (s *session) receive() error {
	err := s.handshake()
	for err == nil {
		var r *request
		if r, err = s.readRequest(); err == nil {
			s.active()
			err = s.dispatch(r)
		}
	}
	if errors.Is(err, io.EOF) { // between packets
		return nil
	}
	return err
}

// handshake is the exchange of INIT and VERSION, section 4.
func (s *session) handshake() error {
	r, err := s.readPacket()
	if err != nil {
		return err
	}
	defer s.discard(r)
	if r.kind != fxpInit {
		return fmt.Errorf("%w: packet type %d before INIT", errProtocol, r.kind)
	}
	r.body.uint32() // the client's version; ours is the answer to every one
	if r.body.bad {
		return fmt.Errorf("%w: INIT is too short", errProtocol)
	}
	reply := s.pool.newReply(fxpVersion, protocolVersion, 1024)
	for _, extension := range extensions {
		reply.string(extension.name)
		reply.string(extension.version)
	}
	s.out.send(reply, 0)
	return nil
}

// readPacket reads one packet with the length and type, and nothing else looked at.
func (s *session) readPacket() (*request, error) {
	head, err := s.in.Peek(4)
	if err != nil {
		if len(head) > 0 && errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		return nil, err
	}
	n := binary.BigEndian.Uint32(head)
	if n < 5 || n > maxPacket {
		return nil, fmt.Errorf("%w: packet of %d bytes", errProtocol, n)
	}
	if _, err := s.in.Discard(4); err != nil {
		return nil, err
	}
	r := &request{weight: max(int64(n), minWeight)}
	if err := s.acquire(s.ctx, r.weight); err != nil {
		return nil, err
	}
	r.buf = s.pool.get(int(n))
	if _, err := io.ReadFull(s.in, r.buf.b); err != nil {
		s.discard(r)
		return nil, io.ErrUnexpectedEOF
	}
	r.kind = r.buf.b[0]
	r.body = decoder{b: r.buf.b[1:]}
	return r, nil
}

func (s *session) readRequest() (*request, error) {
	r, err := s.readPacket()
	if err != nil {
		return nil, err
	}
	if r.kind == fxpInit {
		s.discard(r)
		return nil, fmt.Errorf("%w: INIT twice", errProtocol)
	}
	r.id = r.body.uint32()
	return r, nil
}

// discard gives back what a request holds.
func (s *session) discard(r *request) {
	s.pool.put(r.buf)
	s.release(r.weight)
}

// reserve makes room for an answer of n bytes.
func (s *session) reserve(r *request, n int64) error {
	if err := s.acquire(s.ctx, n); err != nil {
		s.discard(r)
		return err
	}
	r.weight += n
	return nil
}

// answer runs an operation and sends its reply. A panic is answered as a failure
// and ends the session.
func (s *session) answer(r *request, operation func() *buffer) {
	reply := s.guard(r, operation)
	s.pool.put(r.buf)
	s.out.send(reply, r.weight)
	s.active() // who waits for a slow answer is not idle
	s.pending.Add(-1)
	s.running.Done()
}

// begin counts a request that is going to be answered.
func (s *session) begin() {
	s.pending.Add(1)
	s.running.Add(1)
}

func (s *session) guard(r *request, operation func() *buffer) (reply *buffer) {
	defer func() {
		if p := recover(); p != nil {
			s.log.Error("request failed by a defect of the server", "type", r.kind, "panic", p, "stack", string(debug.Stack()))
			s.cancel(fmt.Errorf("%w: %v", errPanic, p))
			s.hangUp()
			reply = s.fail(r, errPanic)
		}
	}()
	return operation()
}

// fail is the STATUS for an error; nil is success.
func (s *session) fail(r *request, err error) *buffer {
	code, text, known := statusOf(err)
	if !known && !errors.Is(err, errPanic) {
		s.log.Warn("request failed", "type", r.kind, "error", err)
	}
	return s.pool.status(r.id, code, text)
}

// onPath queues a request by path.
func (s *session) onPath(r *request, operation func() *buffer) {
	s.begin()
	s.opens.queue()
	s.paths.push(func() {
		defer s.opens.done()
		s.opens.turn()
		s.answer(r, operation)
	})
}

// onOpen carries out an OPEN at once, beside others, or queues it.
func (s *session) onOpen(r *request) {
	peek := *r
	name, err := peek.name()
	if err != nil || !s.opens.begin(name) {
		s.onPath(r, func() *buffer { return s.openFile(r) })
		return
	}
	s.begin()
	s.crew.run(func() {
		defer s.opens.end(name)
		s.answer(r, func() *buffer { return s.openFile(r) })
	})
}

// onHandle queues a request on a handle, which comes next in its body.
func (s *session) onHandle(r *request, operation func(*handle) *buffer) {
	s.begin()
	id := r.body.bytes(maxHandleLength)
	s.mu.Lock()
	h := s.handles[string(id)]
	if h != nil && r.kind == fxpClose {
		delete(s.handles, h.id)
	}
	s.mu.Unlock()
	switch {
	case r.body.bad:
		s.answer(r, func() *buffer { return s.fail(r, errBadMessage) })
	case h == nil:
		s.answer(r, func() *buffer { return s.fail(r, errHandle) })
	default:
		h.queue.push(func() {
			s.workers <- struct{}{}
			s.answer(r, func() *buffer { return operation(h) })
			<-s.workers
		})
	}
}

// hold stops the queues of the uploads for which match says so, after all that was
// sent before, until release is called. match runs with mu locked.
func (s *session) hold(match func(*upload) bool) (release func()) {
	var barriers []*barrier
	s.mu.Lock()
	for u, h := range s.uploads {
		if match(u) {
			b := newBarrier()
			h.queue.push(b.run)
			barriers = append(barriers, b)
		}
	}
	s.mu.Unlock()
	for _, b := range barriers {
		<-b.reached
	}
	return func() {
		for _, b := range barriers {
			close(b.done)
		}
	}
}

// upload is the newest open upload to a name, or nil. The caller holds its queue.
func (s *session) upload(name string) *upload {
	s.mu.Lock()
	defer s.mu.Unlock()
	var newest *upload
	for u := range s.uploads {
		if u.name == name && !u.removed && (newest == nil || u.serial > newest.serial) {
			newest = u
		}
	}
	return newest
}
