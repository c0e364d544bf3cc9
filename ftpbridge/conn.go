package ftpbridge

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// listToken is the path with which the library is told to RETR when a listing
// is wanted; it never reaches a server. The library's own List parses lines
// and drops those it does not know, and its NameList knows one command only.
const listToken = "listing"

// control is the control connection as the library sees it. The library writes
// commands and reads replies through it; every reply is read whole, checked
// and mended first, so that the library never sees a line it cannot take. The
// session sends commands of its own with exchange, between the library's.
type control struct {
	raw     net.Conn // TCP
	nc      net.Conn // TCP or TLS over it
	br      *bufio.Reader
	timeout time.Duration
	log     *slog.Logger

	out      []byte // a command that the library has not finished writing
	in       []byte // of a reply, not yet read by the library
	verb     string // of the last command
	swap     string // goes out in place of the library's RETR listToken
	moving   bool   // between the 1yz and the final reply of a transfer
	noEPSV   bool   // the server's EPSV does not work
	active   bool   // the server opens data connections
	account  string // for servers that want one after the password, RFC 959 section 4.1.1
	features map[string]string
	last     reply // as the server sent it
	fault    error // why the last reply was kept from the library
	broke    error // why no reply can be read any more
	dead     atomic.Bool
	early    early
	ahead    ahead
	timed    bool     // MDTM is to go ahead of RETR
	flies    bool     // what follows a login is to go out in one flight
	flown    []string // sent already; their replies come next
}

func newControl(raw net.Conn, timeout time.Duration, log *slog.Logger) *control {
	c := &control{raw: raw, timeout: timeout, log: log, early: early{off: new(atomic.Bool)}}
	c.use(raw)
	return c
}

// use puts nc (TLS, say) in the place of the connection so far.
func (c *control) use(nc net.Conn) {
	c.nc = nc
	c.br = bufio.NewReader(nc)
}

// transferVerbs have a preliminary and a final reply.
var transferVerbs = map[string]bool{"RETR": true, "LIST": true, "MLSD": true, "NLST": true, "STOR": true, "APPE": true}

// Read gives the library one mended reply at a time.
func (c *control) Read(p []byte) (int, error) {
	if len(c.in) == 0 {
		r, err := c.await()
		if err == nil && r.code == 332 && c.account != "" && (c.verb == "USER" || c.verb == "PASS") {
			r, err = c.exchange("ACCT " + c.account)
		}
		if err != nil {
			return 0, err
		}
		c.in = c.filter(r).wire()
	}
	n := copy(p, c.in)
	c.in = c.in[n:]
	return n, nil
}

// filter hides replies that make no sense behind a refusal and remembers why.
func (c *control) filter(r reply) reply {
	if c.verb == "FEAT" && r.ok() {
		c.features = parseFeatures(r)
	}
	if transferVerbs[c.verb] {
		switch {
		case r.code/100 == 1:
			r.code = 150
		case r.ok() && c.moving:
			r.code = 226
		}
		c.moving = r.code/100 == 1
		return r
	}
	c.early.works = c.early.works || c.verb == "EPSV" && r.code == 229
	m, err := mend(c.verb, r)
	if err != nil {
		c.fault = err
		return reply{code: 501, lines: []string{"unusable reply"}}
	}
	return m
}

// await reads the reply that counts: a 1yz counts for the start of a transfer
// only (120 before the greeting is RFC 959 section 5.4).
func (c *control) await() (reply, error) {
	if c.early.state == earlyAsked && !c.moving {
		if err := c.awaitEarly(); err != nil {
			return reply{}, err
		}
	}
	if c.ahead.waiting {
		if err := c.awaitAhead(); err != nil {
			return reply{}, err
		}
	}
	for range maxPreliminary {
		r, err := c.read()
		if err != nil {
			c.broke = err
			c.dead.Store(true)
			return reply{}, err
		}
		if r.code == 229 && c.verb != "EPSV" || c.early.state == earlyAsked && r.code/100 == 5 {
			return reply{}, c.outOfStep(r) // a server that heeds commands during a transfer
		}
		if c.early.state == earlySent {
			c.early.state = earlyAsked
		}
		c.last = r
		if c.log.Enabled(context.Background(), slog.LevelDebug) {
			c.log.Debug("ftp reply", "command", c.verb, "reply", quoteReply(r.code, r.text()))
		}
		if r.code == 421 {
			c.dead.Store(true) // the server closes, RFC 959 section 5.4
		}
		if r.code/100 != 1 || transferVerbs[c.verb] && !c.moving {
			return r, nil
		}
	}
	c.broke = fmt.Errorf("%w: more than %d preliminary replies", ErrProtocol, maxPreliminary)
	c.dead.Store(true)
	return reply{}, c.broke
}

// read allows Timeout for the first byte and Timeout for all the rest, so that
// a reply that comes byte by byte ends too.
func (c *control) read() (reply, error) {
	for range 2 {
		if err := c.nc.SetReadDeadline(time.Now().Add(c.timeout)); err != nil {
			return reply{}, describe(err)
		}
		if _, err := c.br.Peek(1); err != nil {
			return reply{}, describe(err)
		}
	}
	r, err := readReply(c.br)
	if err != nil {
		return reply{}, describe(err)
	}
	return r, nil
}

// Write takes the library's commands line by line.
func (c *control) Write(p []byte) (int, error) {
	if len(c.out)+len(p) > maxCommand {
		return 0, fmt.Errorf("%w: a command of more than %d bytes", ErrName, maxCommand)
	}
	c.out = append(c.out, p...)
	for {
		line, rest, ok := strings.Cut(string(c.out), "\r\n")
		if !ok {
			return len(p), nil
		}
		c.out = append(c.out[:0], rest...)
		if line == "EPSV" && c.active {
			c.in = reply{229, []string{"(|||1|)"}}.wire() // the data connection needs no port of the server's
			continue
		}
		if line == "EPSV" && c.noEPSV {
			c.in = reply{code: 500, lines: []string{"known not to work"}}.wire()
			continue
		}
		if line == "EPSV" {
			r, ok, err := c.takeEarly()
			if err != nil {
				return 0, err
			}
			if c.early.used = ok; ok {
				c.verb, c.fault, c.last = line, nil, r
				c.in = c.filter(r).wire()
				continue
			}
		}
		if strings.HasSuffix(line, "RETR "+listToken) && c.swap != "" {
			line = strings.TrimSuffix(line, "RETR "+listToken) + c.swap
		}
		if c.holdBack(line) {
			continue
		}
		if err := c.sendBehind(line); err != nil {
			return 0, err
		}
	}
}

// send writes one command.
func (c *control) send(line string) error {
	if strings.ContainsAny(line, "\r\n\x00") {
		return ErrName
	}
	return c.fly(line)
}

// sendLines is send for commands that go out in one flight, of which the last
// is the one that counts.
func (c *control) sendLines(line string) error {
	switch {
	case !c.dead.Load():
	case c.broke != nil: // the library tries PASV after any failure of EPSV
		return c.broke
	case c.last.code == 421:
		return c.last.err(c.verb)
	default:
		return ErrBroken
	}
	if !c.moving && c.early.state != earlyAsked && c.pending() {
		// Nobody asked for this: a reply too many would be taken for the
		// answer to every command that follows.
		r, err := c.read()
		c.dead.Store(true)
		if err != nil {
			return describe(err)
		}
		c.last = r
		return fmt.Errorf("%w: unasked reply %s", ErrUnreachable, quoteReply(r.code, r.text()))
	}
	c.fault = nil
	debug := c.log.Enabled(context.Background(), slog.LevelDebug)
	for one := range strings.SplitSeq(line, "\r\n") {
		var arg string
		c.verb, arg, _ = strings.Cut(one, " ")
		if debug && c.verb != "PASS" && c.verb != "ACCT" {
			c.log.Debug("ftp command", "command", c.verb, "argument", arg)
		}
	}
	if c.verb == "RETR" && c.early.deaf && c.wantsEarly() {
		line += "\r\nEPSV"
		c.early.state = earlySent
	}
	return c.write(line)
}

// write puts a line on the connection.
func (c *control) write(line string) error {
	if err := c.nc.SetWriteDeadline(time.Now().Add(c.timeout)); err != nil {
		return describe(err)
	}
	if _, err := io.WriteString(c.nc, line+"\r\n"); err != nil {
		c.dead.Store(true)
		return describe(err)
	}
	return nil
}

// pending reports whether the server said something already. What has arrived may
// be TLS's own as well, session tickets for one, which reading takes in.
func (c *control) pending() bool {
	if c.br.Buffered() > 0 {
		return true
	}
	if !arrived(c.raw) || c.nc.SetReadDeadline(time.Now().Add(strayWait)) != nil {
		return false
	}
	_, err := c.br.Peek(1)
	return err == nil
}

// arrived reports whether nc has bytes that were not read, without waiting.
func arrived(nc net.Conn) bool {
	sc, ok := nc.(syscall.Conn)
	if !ok {
		return false
	}
	raw, err := sc.SyscallConn()
	if err != nil {
		return false
	}
	n := 0
	err = raw.Control(func(fd uintptr) { n, _ = unix.IoctlGetInt(int(fd), unix.TIOCINQ) })
	return err == nil && n > 0
}

// exchange is a command of the session's own. A refusal is not an error here.
func (c *control) exchange(line string) (reply, error) {
	if err := c.send(line); err != nil {
		return reply{}, err
	}
	return c.await()
}

// The rest of net.Conn. Deadlines are control's own business.

func (c *control) Close() error                     { c.dead.Store(true); return c.raw.Close() }
func (c *control) LocalAddr() net.Addr              { return c.raw.LocalAddr() }
func (c *control) RemoteAddr() net.Addr             { return c.raw.RemoteAddr() }
func (c *control) SetDeadline(time.Time) error      { return nil }
func (c *control) SetReadDeadline(time.Time) error  { return nil }
func (c *control) SetWriteDeadline(time.Time) error { return nil }

// dataConn is a data connection with a deadline on progress: it must bring
// minProgress bytes for every timeout that a reader waits for it. The time
// that the reader itself takes is not counted.
type dataConn struct {
	raw     net.Conn
	nc      net.Conn
	timeout time.Duration
	waited  time.Duration
	got     int
	ended   bool // the peer closed in an orderly way
}

// newDataConn wraps raw in TLS when cfg is set. The handshake waits for the
// first Read: servers begin it only after the transfer command.
func newDataConn(raw net.Conn, cfg *tls.Config, timeout time.Duration) *dataConn {
	d := &dataConn{raw: raw, nc: steadyConn{raw, timeout}, timeout: timeout}
	if cfg != nil {
		d.nc = tls.Client(closingConn{d.nc}, cfg)
	}
	return d
}

// errNoGoodbye ends a data connection that was closed without close_notify.
var errNoGoodbye = fmt.Errorf("%w: closed without TLS's goodbye, as by somebody in between who cuts a file short", io.ErrUnexpectedEOF)

// closingConn stands below TLS and makes its end an error: crypto/tls takes an
// end between two records for an orderly one.
type closingConn struct{ net.Conn }

func (c closingConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if errors.Is(err, io.EOF) {
		err = errNoGoodbye
	}
	return n, err
}

// notResumed is what may be behind a refusal that came after a handshake in TLS
// 1.2: sessions there are resumed by tickets only, not by their ids.
func (d *dataConn) notResumed() string {
	tc, ok := d.nc.(*tls.Conn)
	if !ok {
		return ""
	}
	state := tc.ConnectionState()
	if !state.HandshakeComplete || state.Version > tls.VersionTLS12 || state.DidResume {
		return ""
	}
	return "; if the server wants the TLS session resumed, have it give session tickets, or use TLS 1.3"
}

// secured reports whether TLS's handshake, if there is one, is over.
func (d *dataConn) secured() bool {
	tc, ok := d.nc.(*tls.Conn)
	return !ok || tc.ConnectionState().HandshakeComplete
}

// Read ends with io.EOF only when the peer closed in an orderly way; over TLS
// that is with a close_notify (RFC 8446 section 6.1).
func (d *dataConn) Read(p []byte) (int, error) {
	if err := d.nc.SetReadDeadline(time.Now().Add(max(d.timeout-d.waited, time.Millisecond))); err != nil {
		return 0, err
	}
	start := time.Now()
	n, err := d.nc.Read(p)
	d.waited += time.Since(start)
	if d.got += n; d.got >= minProgress {
		d.waited, d.got = 0, 0
	}
	d.ended = d.ended || errors.Is(err, io.EOF)
	return n, err
}

func (d *dataConn) Write(p []byte) (int, error) { return d.nc.Write(p) } // with steadyConn's deadline

// Close reports nothing after the peer's orderly end: everything has arrived
// then, and a peer that is gone already makes TLS's own goodbye fail.
func (d *dataConn) Close() error {
	if err := d.nc.Close(); !d.ended {
		return err
	}
	return nil
}

func (d *dataConn) LocalAddr() net.Addr              { return d.raw.LocalAddr() }
func (d *dataConn) RemoteAddr() net.Addr             { return d.raw.RemoteAddr() }
func (d *dataConn) SetDeadline(time.Time) error      { return nil }
func (d *dataConn) SetReadDeadline(time.Time) error  { return nil }
func (d *dataConn) SetWriteDeadline(time.Time) error { return nil }
