package ftpbridge

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/crypto/ssh"
)

// sftpConn speaks SFTP version 3 over one SSH channel. It is synchronous: whoever
// sends requests waits for their replies in the same goroutine, many at a time if
// need be. Replies that nobody waits for any more are known by their number.
//
// It is written for this package, since a bridge has to see what client libraries
// hide or do without: the exact bytes of names with slashes in them, which facts were
// given, a server that answers a read with fewer bytes than were asked for, how many
// bytes of a write were confirmed, and a bound and a deadline on everything.
type sftpConn struct {
	raw        net.Conn
	ch         ssh.Channel
	br         *bufio.Reader
	timeout    time.Duration
	extensions map[string]string
	lastID     uint32
	ignored    map[uint32]bool // replies to come that do not matter
	free       [][]byte        // buffers of replies, used again
	dead       atomic.Bool

	mu    sync.Mutex
	cause error // why the connection was cut from here
}

// sftpReply is one packet of the server.
type sftpReply struct {
	kind byte
	id   uint32
	fields
	buf []byte // give it back with release
}

// openSFTP starts the subsystem on a connection that has a user.
func openSFTP(raw net.Conn, client *ssh.Client, timeout time.Duration) (*sftpConn, error) {
	ch, requests, err := client.OpenChannel("session", nil)
	if err != nil {
		return nil, fmt.Errorf("%w: the server opens no session: %w", ErrUnreachable, err)
	}
	go ssh.DiscardRequests(requests)
	// What it says there would fill the window, and the data would stop.
	go func() { _, _ = io.Copy(io.Discard, ch.Stderr()) }()
	ok, err := ch.SendRequest("subsystem", true, ssh.Marshal(struct{ Name string }{"sftp"}))
	if err != nil {
		return nil, fmt.Errorf("%w: subsystem sftp: %w", ErrUnreachable, err)
	}
	if !ok {
		return nil, fmt.Errorf("%w: the server has SSH but no SFTP", ErrUnsupported)
	}
	c := &sftpConn{raw: raw, ch: ch, br: bufio.NewReaderSize(ch, 64<<10), timeout: timeout, extensions: map[string]string{}, ignored: map[uint32]bool{}}
	return c, c.hello()
}

// hello agrees on version 3 (section 4). A server that knows newer ones takes it too.
func (c *sftpConn) hello() error {
	if err := c.write([]byte{0, 0, 0, 5, sftpInit, 0, 0, 0, 3}); err != nil {
		return err
	}
	r, err := c.receive(c.timeout)
	if err != nil {
		return err
	}
	if r.kind != sftpVersion || r.id != 3 { // the version is where others have their number
		return c.broken(fmt.Errorf("%w: the server speaks no SFTP version 3", ErrProtocol))
	}
	for len(r.b) > 0 && !r.short {
		name := r.string()
		c.extensions[name] = r.string()
	}
	c.release(r)
	return nil
}

// cut ends the connection. It may be called at any time, from any goroutine; the
// first cause counts.
func (c *sftpConn) cut(cause error) {
	c.mu.Lock()
	if c.cause == nil {
		c.cause = cause
	}
	c.mu.Unlock()
	c.dead.Store(true)
	_ = c.raw.Close()
}

func (c *sftpConn) broken(err error) error {
	c.cut(err)
	return err
}

// failed is why the connection does not work any more.
func (c *sftpConn) failed(err error) error {
	c.cut(describe(err))
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.cause
}

// guard cuts the connection if what follows takes longer than limit.
func (c *sftpConn) guard(limit time.Duration) (end func()) {
	t := time.AfterFunc(limit, func() { c.cut(ErrTimeout) })
	return func() { t.Stop() }
}

func (c *sftpConn) write(p []byte) error {
	defer c.guard(c.timeout)()
	if _, err := c.ch.Write(p); err != nil {
		return c.failed(err)
	}
	return nil
}

// id numbers the next request.
func (c *sftpConn) id() uint32 {
	c.lastID++
	return c.lastID
}

// send writes a request and returns its number.
func (c *sftpConn) send(kind byte, fill func(request) request) (uint32, error) {
	id := c.id()
	return id, c.write(fill(newRequest(kind, id)).wire())
}

// receive reads one packet, which must be there whole within limit.
func (c *sftpConn) receive(limit time.Duration) (*sftpReply, error) {
	defer c.guard(limit)()
	var head [5]byte
	if _, err := io.ReadFull(c.br, head[:]); err != nil {
		return nil, c.failed(ended(err))
	}
	n := int(binary.BigEndian.Uint32(head[:4])) - 1
	if n < 4 || n > maxSFTPPacket {
		return nil, c.broken(fmt.Errorf("%w: an SFTP packet of %d bytes", ErrProtocol, n+1))
	}
	buf := c.buffer(n)
	if _, err := io.ReadFull(c.br, buf); err != nil {
		return nil, c.failed(ended(err))
	}
	return &sftpReply{kind: head[4], id: binary.BigEndian.Uint32(buf), fields: fields{b: buf[4:]}, buf: buf}, nil
}

// ended makes a packet that is cut short look as what it is, a connection that ended.
func ended(err error) error {
	if errors.Is(err, io.ErrUnexpectedEOF) {
		return io.EOF
	}
	return err
}

// maxFree is how many buffers wait for another reply.
const maxFree = sftpDepth

func (c *sftpConn) buffer(n int) []byte {
	if last := len(c.free) - 1; last >= 0 && cap(c.free[last]) >= n {
		b := c.free[last]
		c.free = c.free[:last]
		return b[:n]
	}
	return make([]byte, n, max(n, sftpChunk+64))
}

func (c *sftpConn) release(r *sftpReply) {
	if len(c.free) < maxFree && cap(r.buf) <= sftpChunk+64 {
		c.free = append(c.free, r.buf)
	}
	r.buf, r.b = nil, nil
}

// next is the next reply that somebody waits for.
func (c *sftpConn) next(limit time.Duration) (*sftpReply, error) {
	for {
		r, err := c.receive(limit)
		if err != nil {
			return nil, err
		}
		if !c.ignored[r.id] {
			return r, nil
		}
		delete(c.ignored, r.id)
		c.release(r)
	}
}

// ask sends one request and waits for its reply. A status is an error unless it is OK.
func (c *sftpConn) ask(want byte, kind byte, fill func(request) request) (*sftpReply, error) {
	id, err := c.send(kind, fill)
	if err != nil {
		return nil, err
	}
	r, err := c.next(c.timeout)
	if err != nil {
		return nil, err
	}
	if r.id != id {
		return nil, c.unasked(r)
	}
	return r, c.expect(r, want, kind)
}

func (c *sftpConn) unasked(r *sftpReply) error {
	return c.broken(fmt.Errorf("%w: a reply to request %d, which was not sent", ErrProtocol, r.id))
}

// expect is nil for a reply of the wanted kind, or a status that says OK where a
// status is wanted.
func (c *sftpConn) expect(r *sftpReply, want, kind byte) error {
	if r.kind == sftpStatus {
		s := &StatusError{Request: sftpRequests[kind], Code: r.uint32()}
		if r.short {
			return c.broken(fmt.Errorf("%w: a status without a code", ErrProtocol))
		}
		if s.Code == statusOK && want == sftpStatus {
			return nil
		}
		if len(r.b) > 0 { // some send no text
			s.Text = r.string()
			if len(s.Text) > maxReplyText {
				s.Text = s.Text[:maxReplyText]
			}
		}
		return s
	}
	if r.kind != want {
		return c.broken(fmt.Errorf("%w: packet %d in answer to %s", ErrProtocol, r.kind, sftpRequests[kind]))
	}
	return nil
}

// do is ask for requests whose answer is a status.
func (c *sftpConn) do(kind byte, fill func(request) request) error {
	r, err := c.ask(sftpStatus, kind, fill)
	if err == nil {
		c.release(r)
	}
	return err
}

// open is ask for a file or folder to read or write.
func (c *sftpConn) open(kind byte, fill func(request) request) (handle string, err error) {
	r, err := c.ask(sftpHandle, kind, fill)
	if err != nil {
		return "", err
	}
	handle = r.string()
	if r.short || len(handle) > 256 { // section 6.2
		return "", c.broken(fmt.Errorf("%w: a handle of %d bytes", ErrProtocol, len(handle)))
	}
	c.release(r)
	return handle, nil
}

// leave closes a handle without waiting for the answer.
func (c *sftpConn) leave(handle string) {
	id, err := c.send(sftpClose, func(r request) request { return r.string(handle) })
	if err == nil {
		c.ignored[id] = true
	}
}

// attributes asks for those of a path or handle.
func (c *sftpConn) attributes(kind byte, of string) (attributes, error) {
	r, err := c.ask(sftpAttrs, kind, func(q request) request { return q.string(of) })
	if err != nil {
		return attributes{}, err
	}
	a := r.attributes()
	if r.short {
		return a, c.broken(fmt.Errorf("%w: attributes that end early", ErrProtocol))
	}
	c.release(r)
	return a, nil
}

// name asks for the one name that answers REALPATH and READLINK.
func (c *sftpConn) name(r *sftpReply) (string, error) {
	n, name := r.uint32(), r.string()
	if r.short || n != 1 {
		return "", c.broken(fmt.Errorf("%w: %d names in place of one", ErrProtocol, n))
	}
	c.release(r)
	return name, nil
}

// drip is the deadline on progress that dataConn keeps, for packets: minProgress
// bytes for every timeout that somebody waits for them.
type drip struct {
	timeout, waited time.Duration
	got             int
}

func (d *drip) limit() time.Duration { return max(d.timeout-d.waited, time.Millisecond) }

func (d *drip) note(since time.Time, n int) {
	d.waited += time.Since(since)
	if d.got += n; d.got >= minProgress {
		d.waited, d.got = 0, 0
	}
}
