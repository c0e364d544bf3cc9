package servers

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"
)

// Direction of bytes through a Proxy.
type Direction uint8

// The directions, seen from the client.
const (
	Down Direction = iota // server to client: downloads
	Up                    // client to server: uploads
)

// ProxyOptions of StartProxy.
type ProxyOptions struct {
	// FTP relays the data connections too and counts only them. It understands EPSV and PASV on an
	// unencrypted control connection; after a successful AUTH TLS it relays the control connection
	// blindly, and data connections go around it. Without FTP the proxy relays any TCP protocol.
	FTP bool
	// BytesPerSecond slows each counted connection down, 0 = as fast as can be.
	BytesPerSecond int64
	// Delay makes the way long: bytes, and the end of a stream, arrive that much later in each
	// direction, so that a round trip takes two of it; a connection is made at the server three of
	// it after the client asked, as a TCP handshake takes, which no client can shorten. Slow start
	// and losses are not imitated. A client that speaks first on a new connection is answered half
	// a round trip later than in the wild.
	Delay time.Duration
	// Window is how many bytes a connection with a Delay may have under way in a round trip, 0 for
	// about what Linux allows by default, 3 MiB.
	Window int
}

// Proxy is a TCP relay on loopback that counts bytes and can stall or cut a transfer. With it a test
// stops a transfer at a byte, not at a moment, and measures on the server's side what was fetched.
// Its methods are safe for concurrent use.
type Proxy struct {
	Addr string // "127.0.0.1:port": where clients connect

	upstream string
	o        ProxyOptions
	listener net.Listener
	wg       sync.WaitGroup

	mu        sync.Mutex
	conns     map[net.Conn]bool
	closed    bool
	total     [2]int64
	transfers []*Transfer
	trap      *trap
}

// trap is a limit that a Stall or Cut has set.
type trap struct {
	dir     Direction
	left    int64
	cut     bool
	sprung  chan struct{} // closed when the limit was reached
	release chan struct{} // closed when traffic may go on
}

// StartProxy relays connections to upstream, "host:port", until the test ends.
func StartProxy(t testing.TB, upstream string, o ProxyOptions) *Proxy {
	t.Helper()
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &Proxy{Addr: l.Addr().String(), upstream: upstream, o: o, listener: l, conns: map[net.Conn]bool{}}
	p.wg.Go(p.serve)
	t.Cleanup(p.close)
	return p
}

// StallAfter lets n more bytes through in that direction and then holds everything that is counted in
// that direction, connections open, until Resume. The channel closes when the n bytes have passed.
func (p *Proxy) StallAfter(dir Direction, n int64) <-chan struct{} { return p.set(dir, n, false) }

// CutAfter lets n more bytes through in that direction and then resets the connection that carries the
// next one. Other and later connections are not touched. The channel closes when that has happened.
func (p *Proxy) CutAfter(dir Direction, n int64) <-chan struct{} { return p.set(dir, n, true) }

func (p *Proxy) set(dir Direction, n int64, cut bool) <-chan struct{} {
	p.Resume()
	p.mu.Lock()
	defer p.mu.Unlock()
	p.trap = &trap{dir: dir, left: n, cut: cut, sprung: make(chan struct{}), release: make(chan struct{})}
	return p.trap.sprung
}

// Resume takes back StallAfter and CutAfter: what was held goes on.
func (p *Proxy) Resume() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.trap != nil {
		close(p.trap.release)
		p.trap = nil
	}
}

// DropAll resets every connection there is now, as a network failure would. New ones are accepted.
func (p *Proxy) DropAll() {
	p.mu.Lock()
	defer p.mu.Unlock()
	// All are marked before any is closed: one that ends takes its other half with it, which must
	// end as a reset too.
	for c := range p.conns {
		_ = c.(*net.TCPConn).SetLinger(0) // fails only on a connection that is closed already
	}
	for c := range p.conns {
		c.Close()
	}
}

// Bytes returns how many bytes went through in that direction.
func (p *Proxy) Bytes(dir Direction) int64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.total[dir]
}

// Transfers returns what went over FTP data connections, in the order of the commands; Bytes is exact
// and grows while a transfer runs.
func (p *Proxy) Transfers() []Transfer {
	p.mu.Lock()
	defer p.mu.Unlock()
	out := make([]Transfer, len(p.transfers))
	for i, tr := range p.transfers {
		out[i] = *tr
	}
	return out
}

func (p *Proxy) close() {
	p.listener.Close()
	p.Resume()
	p.mu.Lock()
	p.closed = true
	for c := range p.conns {
		c.Close()
	}
	p.mu.Unlock()
	p.wg.Wait()
}

func (p *Proxy) serve() {
	for {
		client, err := p.listener.Accept()
		if err != nil {
			return
		}
		p.wg.Go(func() { p.relay(client) })
	}
}

func (p *Proxy) relay(client net.Conn) {
	time.Sleep(handshakes * p.o.Delay)
	server, err := net.Dial("tcp4", p.upstream)
	if err != nil {
		reset(client)
		return
	}
	defer p.track(client, server)()
	client, server = p.delayed(client), p.delayed(server)
	defer settle(client, server)
	if !p.o.FTP {
		p.pipe(client, server, nil)
		return
	}
	c := &control{p: p, client: client, server: server, auth: make(chan bool, 1)}
	c.run()
}

// track remembers connections so that they can be dropped; the result closes and forgets them.
func (p *Proxy) track(conns ...net.Conn) func() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range conns {
		p.conns[c] = true
		if p.closed {
			c.Close()
		}
	}
	return func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		for _, c := range conns {
			c.Close()
			delete(p.conns, c)
		}
	}
}

// pipe moves and counts bytes both ways until both directions have ended.
func (p *Proxy) pipe(client, server net.Conn, note func(n int64)) {
	var wg sync.WaitGroup
	wg.Go(func() { p.copy(Up, server, client, note) })
	p.copy(Down, client, server, note)
	wg.Wait()
}

// proxyBuffer is the most that passes at once, and so the grain of a slowed connection.
const proxyBuffer = 32 << 10

func (p *Proxy) copy(dir Direction, dst, src net.Conn, note func(n int64)) {
	buf := make([]byte, proxyBuffer)
	for {
		n, err := src.Read(buf)
		for done := 0; done < n; {
			may := p.admit(dir, int64(n-done))
			if may == 0 {
				reset(src)
				reset(dst)
				return
			}
			part := buf[done : done+int(may)]
			if _, err := dst.Write(part); err != nil {
				reset(src)
				return
			}
			p.count(dir, may, note)
			done += int(may)
		}
		if p.o.BytesPerSecond > 0 {
			time.Sleep(time.Duration(n) * time.Second / time.Duration(p.o.BytesPerSecond))
		}
		if err != nil {
			closeWrite(dst, err)
			return
		}
	}
}

// admit says how many of n bytes may pass, waiting while they are held; 0 = cut the connection.
func (p *Proxy) admit(dir Direction, n int64) int64 {
	for {
		p.mu.Lock()
		tr := p.trap
		if tr == nil || tr.dir != dir {
			p.mu.Unlock()
			return n
		}
		if tr.left > 0 {
			n = min(n, tr.left)
			tr.left -= n
			p.mu.Unlock()
			return n
		}
		if tr.cut {
			p.trap = nil
			close(tr.sprung)
			p.mu.Unlock()
			return 0
		}
		select {
		case <-tr.sprung:
		default:
			close(tr.sprung)
		}
		p.mu.Unlock()
		<-tr.release
	}
}

func (p *Proxy) count(dir Direction, n int64, note func(n int64)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.total[dir] += n
	if note != nil {
		note(n)
	}
}

// control is one FTP session through the proxy.
type control struct {
	p              *Proxy
	client, server net.Conn

	auth    chan bool // the answer to AUTH: true = TLS follows
	waiting bool      // for auth; the client's direction alone uses it

	mu      sync.Mutex
	offset  int64     // of the last REST
	current *Transfer // what the next or present data connection is for
	asked   bool      // AUTH was sent and not yet answered
}

func (c *control) run() {
	var wg sync.WaitGroup
	wg.Go(func() {
		c.lines(c.server, c.client, c.command, c.awaitAuth)
		closeWrite(c.server, io.EOF)
	})
	c.lines(c.client, c.server, c.reply, func() bool { return false })
	close(c.auth)
	c.client.Close()
	c.server.Close()
	wg.Wait()
}

// lines copies src to dst line by line through edit, until edit or opaque, which is asked after each
// line, says that lines have ended: then the rest is TLS.
func (c *control) lines(dst, src net.Conn, edit func(line string) (out string, tls bool), opaque func() bool) {
	r := bufio.NewReader(src)
	for {
		line, err := r.ReadString('\n')
		out, tls := edit(line)
		if _, werr := io.WriteString(dst, out); werr != nil || err != nil {
			return
		}
		if tls || opaque() {
			_, _ = io.Copy(dst, r) // either side may end a session as it likes
			return
		}
	}
}

func (c *control) command(line string) (string, bool) {
	verb, arg, _ := strings.Cut(strings.TrimRight(line, "\r\n"), " ")
	c.mu.Lock()
	defer c.mu.Unlock()
	switch verb = strings.ToUpper(verb); verb {
	case "REST":
		c.offset = number(arg)
	case "RETR", "STOR", "APPE", "STOU", "LIST", "NLST", "MLSD":
		c.p.mu.Lock()
		if c.current == nil {
			c.current = &Transfer{}
		}
		c.current.Command, c.current.Path, c.current.Offset = verb, arg, c.offset
		c.p.transfers = append(c.p.transfers, c.current)
		c.p.mu.Unlock()
		c.current, c.offset = nil, 0
	case "AUTH":
		c.asked, c.waiting = true, true
	}
	return line, false
}

// awaitAuth holds the client's bytes back while it is open whether they will be commands or TLS.
func (c *control) awaitAuth() bool {
	if !c.waiting {
		return false
	}
	c.waiting = false
	return <-c.auth
}

var (
	epsvReply = regexp.MustCompile(`^229 .*\(\|\|\|(\d+)\|\)`)
	pasvReply = regexp.MustCompile(`^227 .*?(\d+),(\d+),(\d+),(\d+),(\d+),(\d+)`)
)

func (c *control) reply(line string) (string, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.asked && line != "" {
		c.asked = false
		tls := strings.HasPrefix(line, "234")
		c.auth <- tls
		return line, tls
	}
	host, _, _ := net.SplitHostPort(c.p.upstream)
	if m := epsvReply.FindStringSubmatch(line); m != nil {
		port, err := c.passive(net.JoinHostPort(host, m[1]))
		if err != nil {
			return "425 " + err.Error() + "\r\n", false
		}
		return fmt.Sprintf("229 Entering Extended Passive Mode (|||%d|)\r\n", port), false
	}
	if m := pasvReply.FindStringSubmatch(line); m != nil {
		addr := fmt.Sprintf("%s.%s.%s.%s:%d", m[1], m[2], m[3], m[4], number(m[5])<<8|number(m[6]))
		port, err := c.passive(addr)
		if err != nil {
			return "425 " + err.Error() + "\r\n", false
		}
		return fmt.Sprintf("227 Entering Passive Mode (127,0,0,1,%d,%d)\r\n", port>>8, port&255), false
	}
	return line, false
}

// passive listens for one data connection and relays it to addr. c.mu is held.
func (c *control) passive(addr string) (port int, err error) {
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	transfer := &Transfer{}
	c.current = transfer
	note := func(n int64) { transfer.Bytes += n }
	p := c.p
	p.wg.Go(func() {
		defer l.Close()
		// A client that never connects must not keep the proxy from closing.
		_ = l.(*net.TCPListener).SetDeadline(time.Now().Add(dataWait))
		client, err := l.Accept()
		if err != nil {
			return
		}
		time.Sleep(handshakes * p.o.Delay)
		server, err := net.Dial("tcp4", addr)
		if err != nil {
			reset(client)
			return
		}
		defer p.track(client, server)()
		client, server = p.delayed(client), p.delayed(server)
		defer settle(client, server)
		p.pipe(client, server, note)
	})
	return l.Addr().(*net.TCPAddr).Port, nil
}

// dataWait is how long a data port waits for its client.
const dataWait = 5 * time.Second

// reset closes a connection so that the peer sees an error, not an orderly end.
func reset(c net.Conn) {
	if tcp, ok := c.(interface{ SetLinger(sec int) error }); ok {
		_ = tcp.SetLinger(0) // fails only on a connection that is closed already
	}
	c.Close()
}

// closeWrite passes the end of one direction on: an orderly one as such, an error as a reset.
func closeWrite(c net.Conn, err error) {
	if !errors.Is(err, io.EOF) {
		reset(c)
		return
	}
	if tcp, ok := c.(interface{ CloseWrite() error }); ok {
		_ = tcp.CloseWrite() // the peer may have gone
	}
}
