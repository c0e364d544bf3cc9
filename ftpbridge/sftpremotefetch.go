package ftpbridge

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"time"
)

const (
	// sftpChunk is how many bytes one request reads or writes: what every server
	// must take (draft-ietf-secsh-filexfer-02 section 3).
	sftpChunk = 32 << 10
	// sftpDepth is how many requests are on their way at most. 64 of 32 KiB fill the
	// window of an SSH channel.
	sftpDepth = 64
	// sftpFirstDepth is how many before the size is known.
	sftpFirstDepth = 2
)

func isStatus(err error, code uint32) bool {
	var s *StatusError
	return errors.As(err, &s) && s.Code == code
}

// Fetch reads a file from offset on, with many requests on their way.
//
// Read gives io.EOF only if the server says at the end that the file is as long as
// what came; else an error that wraps io.ErrUnexpectedEOF. Close before the end
// gives ErrAborted; the session goes on. ctx governs the whole transfer until Close.
func (s *SFTPSession) Fetch(ctx context.Context, path string, offset int64) (io.ReadCloser, error) {
	end, err := s.begin(ctx)
	if err != nil {
		return nil, s.failed(ctx, "fetch", path, err)
	}
	f := &sftpFetch{s: s, ctx: ctx, path: path, end: end, off: offset, next: offset, start: offset, size: -1, depth: sftpFirstDepth}
	f.progress.timeout = s.src.timeout()
	full, err := s.full(path)
	if err == nil && offset < 0 {
		err = fmt.Errorf("offset %d: %w", offset, fs.ErrInvalid)
	}
	if err == nil {
		f.handle, err = s.conn.open(sftpOpen, func(q request) request {
			return q.string(full).uint32(sftpForReading).uint32(0)
		})
	}
	if err != nil {
		end()
		return nil, s.failed(ctx, "fetch", path, err)
	}
	return f, nil
}

// sftpFetch is an open file that is read from one end to the other.
type sftpFetch struct {
	s        *SFTPSession
	ctx      context.Context // of the Fetch that returned it; Read and Close have none of their own
	path     string
	handle   string
	end      func()
	start    int64 // where it began
	off      int64 // of the next byte that Read gives
	next     int64 // of the next chunk to ask for
	depth    int   // requests that may be on their way
	queue    []*chunk
	progress drip

	size     int64  // by FSTAT; -1 before
	sizeID   uint32 // of the FSTAT on its way, 0 for none
	sizeSent uint32 // of the latest FSTAT: it is newer than the reads with lower numbers
	readSent uint32 // of the latest READ
	dataID   uint32 // of the READ that gave the latest bytes

	done  bool
	cause error
	err   error
}

// chunk is a part of the file that was asked for.
type chunk struct {
	id    uint32
	off   int64
	n     int // bytes asked for
	reply *sftpReply
	data  []byte
	err   error // a status in place of data
}

func (f *sftpFetch) Read(p []byte) (int, error) {
	if f.done {
		return 0, f.err
	}
	if len(p) == 0 {
		return 0, nil
	}
	for {
		if f.met() {
			f.over(io.EOF)
			return 0, f.err
		}
		if len(f.queue) > 0 && f.queue[0].reply != nil {
			c := f.queue[0]
			if len(c.data) > 0 {
				return f.give(c, p), nil
			}
			err := c.err
			if isStatus(err, statusEOF) {
				err = f.whole(c)
			}
			f.over(err)
			return 0, f.err
		}
		if err := f.ask(); err != nil {
			f.over(err)
			return 0, f.err
		}
		if err := f.receive(); err != nil {
			f.over(err)
			return 0, f.err
		}
	}
}

// met reports whether the end is known without a further question: the file is as
// long as what came, said after it came, and there is nothing behind.
func (f *sftpFetch) met() bool {
	if f.off != f.size || f.sizeID != 0 || f.sizeSent < f.dataID {
		return false
	}
	for _, c := range f.queue {
		if c.reply != nil {
			return isStatus(c.err, statusEOF)
		}
	}
	return false
}

// give copies out of the first chunk. A server may send less than it was asked for;
// the rest is then asked for again.
func (f *sftpFetch) give(c *chunk, p []byte) int {
	n := copy(p, c.data)
	c.data = c.data[n:]
	f.off += int64(n)
	f.dataID = c.id
	c.off += int64(n)
	c.n -= n
	if len(c.data) > 0 {
		return n
	}
	f.s.conn.release(c.reply)
	c.reply = nil
	if c.n > 0 {
		c.id = 0
	} else {
		f.queue = f.queue[1:]
	}
	return n
}

// ask keeps as many requests on their way as make sense: up to one chunk past the
// end, and then the size once more.
func (f *sftpFetch) ask() error {
	if len(f.queue) > 0 && f.queue[0].id == 0 { // the rest of a short answer
		if err := f.request(f.queue[0]); err != nil {
			return err
		}
	}
	for len(f.queue) < f.depth && (f.size < 0 || f.next < f.size+sftpChunk || len(f.queue) == 0) {
		c := &chunk{off: f.next, n: sftpChunk}
		if err := f.request(c); err != nil {
			return err
		}
		f.queue = append(f.queue, c)
		f.next += sftpChunk
	}
	all := f.size >= 0 && f.next >= f.size+sftpChunk
	if f.sizeID == 0 && (f.size < 0 || all && f.sizeSent < f.readSent) {
		return f.askSize()
	}
	return nil
}

func (f *sftpFetch) request(c *chunk) (err error) {
	c.id, err = f.s.conn.send(sftpRead, func(q request) request {
		return q.string(f.handle).uint64(uint64(c.off)).uint32(uint32(c.n))
	})
	f.readSent = c.id
	return err
}

func (f *sftpFetch) askSize() (err error) {
	f.sizeID, err = f.s.conn.send(sftpFstat, func(q request) request { return q.string(f.handle) })
	f.sizeSent = f.sizeID
	return err
}

// awaitSize takes replies until that to the FSTAT on its way, if there is one.
func (f *sftpFetch) awaitSize() error {
	for f.sizeID != 0 {
		if err := f.receive(); err != nil {
			return err
		}
	}
	return nil
}

// receive takes one reply.
func (f *sftpFetch) receive() error {
	began := time.Now()
	r, err := f.s.conn.next(f.progress.limit())
	if err != nil {
		return err
	}
	f.progress.note(began, len(r.buf))
	if r.id == f.sizeID {
		return f.sized(r)
	}
	for _, c := range f.queue {
		if c.id == r.id && c.reply == nil {
			return f.fill(c, r)
		}
	}
	return f.s.conn.unasked(r)
}

func (f *sftpFetch) fill(c *chunk, r *sftpReply) error {
	c.err = f.s.conn.expect(r, sftpData, sftpRead)
	if f.s.Broken() {
		return c.err
	}
	c.reply = r
	if c.err != nil {
		return nil //nolint:nilerr // the chunk's own: who reads that far gets it
	}
	c.data = r.bytes()
	if r.short || len(c.data) == 0 || len(c.data) > c.n {
		return f.s.conn.broken(fmt.Errorf("%w: %d bytes in answer to a READ of %d", ErrProtocol, len(c.data), c.n))
	}
	f.depth = min(f.depth+1, sftpDepth) // as long as it is quick enough to answer
	return nil
}

// sized takes the size of the open file.
func (f *sftpFetch) sized(r *sftpReply) error {
	f.sizeID = 0
	if err := f.s.conn.expect(r, sftpAttrs, sftpFstat); err != nil {
		return err
	}
	a := r.attributes()
	if r.short {
		return f.s.conn.broken(fmt.Errorf("%w: attributes that end early", ErrProtocol))
	}
	f.s.conn.release(r)
	if a.size < 0 {
		return fmt.Errorf("%w: the server tells no size of an open file", ErrUnsupported)
	}
	f.size = a.size
	return nil
}

// whole reports by io.EOF that everything came: the size of the open file, told
// after the end was met, is where the end is.
func (f *sftpFetch) whole(last *chunk) error {
	if err := f.awaitSize(); err != nil {
		return err
	}
	if f.sizeSent < last.id { // it was told too early
		if err := f.askSize(); err != nil {
			return err
		}
		if err := f.awaitSize(); err != nil {
			return err
		}
	}
	if f.size != f.off {
		return fmt.Errorf("%w at byte %d, the file has %d", io.ErrUnexpectedEOF, f.off, f.size)
	}
	return io.EOF
}

// over settles how the transfer ended and frees the session.
func (f *sftpFetch) over(err error) {
	f.cause = err
	if !f.s.Broken() {
		for _, c := range f.queue {
			if c.reply == nil && c.id != 0 {
				f.s.conn.ignored[c.id] = true
			}
		}
		if f.sizeID != 0 {
			f.s.conn.ignored[f.sizeID] = true
		}
		f.s.conn.leave(f.handle)
	}
	f.queue = nil
	if !errors.Is(err, io.EOF) {
		if f.s.Broken() {
			err = fmt.Errorf("%w after %d bytes: %w", io.ErrUnexpectedEOF, f.off-f.start, err)
		}
		err = f.s.failed(f.ctx, "fetch", f.path, err)
	}
	f.done, f.err = true, err
	f.end()
}

// Close ends the transfer; see Fetch. Calling it again gives the same answer.
func (f *sftpFetch) Close() error {
	if !f.done {
		f.over(fmt.Errorf("%w after %d bytes", ErrAborted, f.off-f.start))
	}
	if errors.Is(f.cause, io.EOF) {
		return nil
	}
	return f.err
}
