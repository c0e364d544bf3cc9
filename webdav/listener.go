package webdav

import (
	"net"
	"net/netip"
	"sync"
	"time"

	"gateway/auth"
)

// Limits bound the connections of a Handler, and its end. They can change while it serves.
type Limits struct {
	// MaxConnections and MaxPerAddress are those of Config; 0 means their defaults.
	MaxConnections, MaxPerAddress int
	// ShutdownTimeout is that of Config; 0 means its default.
	ShutdownTimeout time.Duration
}

// SetLimits changes the limits. Lower ones close no connection that is open.
func (h *Handler) SetLimits(l Limits) {
	setDefault(&l.MaxConnections, defaultMaxConnections)
	setDefault(&l.MaxPerAddress, defaultMaxPerAddress)
	setDefault(&l.ShutdownTimeout, defaultShutdownTimeout)
	h.counts.mu.Lock()
	defer h.counts.mu.Unlock()
	h.counts.limits = l
	h.counts.wake()
}

// Full reports whether as many connections are open as may be: a further one waits for its turn.
func (h *Handler) Full() bool {
	h.counts.mu.Lock()
	defer h.counts.mu.Unlock()
	return h.counts.room != nil
}

// counts are the connections of a Handler that are open: a login is not needed to keep one, and they
// are limited in number.
type counts struct {
	mu     sync.Mutex
	limits Limits
	all    int
	open   map[netip.Prefix]int
	room   chan struct{} // closed when there may be some; nil: nobody waits
}

// wake lets those look again who wait for room. The caller holds mu.
func (c *counts) wake() {
	if c.room != nil {
		close(c.room)
		c.room = nil
	}
}

// await returns when one more connection may be open, and counts it, or when stop is closed: then it
// reports false.
func (c *counts) await(stop <-chan struct{}) bool {
	for {
		c.mu.Lock()
		if c.all < c.limits.MaxConnections {
			c.all++
			c.mu.Unlock()
			return true
		}
		if c.room == nil {
			c.room = make(chan struct{})
		}
		room := c.room
		c.mu.Unlock()
		select {
		case <-room:
		case <-stop:
			return false
		}
	}
}

// leave takes back what await counted.
func (c *counts) leave() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.all--
	c.wake()
}

func (c *counts) enterFrom(from netip.Prefix) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.open[from] >= c.limits.MaxPerAddress {
		return false
	}
	c.open[from]++
	return true
}

func (c *counts) leaveFrom(from netip.Prefix) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.open[from]--; c.open[from] == 0 {
		delete(c.open, from)
	}
}

// limitedListener lets further connections wait in the kernel's queue while there are enough, and closes
// those of an address that has too many.
type limitedListener struct {
	net.Listener
	counts *counts

	closing sync.Once
	closed  chan struct{}
}

func limitConnections(ln net.Listener, c *counts) *limitedListener {
	return &limitedListener{Listener: ln, counts: c, closed: make(chan struct{})}
}

// Close implements net.Listener.
func (l *limitedListener) Close() error {
	l.closing.Do(func() { close(l.closed) })
	return l.Listener.Close()
}

// Accept implements net.Listener.
func (l *limitedListener) Accept() (net.Conn, error) {
	if !l.counts.await(l.closed) {
		return nil, net.ErrClosed
	}
	for {
		conn, err := l.Listener.Accept()
		if err != nil {
			l.counts.leave()
			return nil, err
		}
		// Where there is no IP address, all count as one.
		ap, _ := netip.ParseAddrPort(conn.RemoteAddr().String())
		from := auth.Network(ap.Addr())
		if l.counts.enterFrom(from) {
			return &countedConn{Conn: conn, leave: sync.OnceFunc(func() {
				l.counts.leaveFrom(from)
				l.counts.leave()
			})}, nil
		}
		_ = conn.Close() // refused, so nothing can be lost
	}
}

// countedConn is a connection that is counted until it is closed, and gathers what is written where it is told to.
type countedConn struct {
	net.Conn
	leave func()
	gathered
}

// Close implements net.Conn.
func (c *countedConn) Close() error {
	defer c.leave()
	c.last(c.Conn)
	return c.Conn.Close()
}

// Write implements net.Conn.
func (c *countedConn) Write(p []byte) (int, error) { return c.write(c.Conn, p) }
