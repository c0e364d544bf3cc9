package webdav

import (
	"net"
	"net/netip"
	"sync"

	"gateway/auth"
)

// addressLimit is a listener that closes the connections of an address that has too
// many open: a login is not needed to keep one, and they are limited in number.
type addressLimit struct {
	net.Listener
	max int

	mu   sync.Mutex
	open map[netip.Prefix]int
}

func limitAddresses(ln net.Listener, limit int) *addressLimit {
	return &addressLimit{Listener: ln, max: limit, open: make(map[netip.Prefix]int)}
}

// Accept implements net.Listener.
func (l *addressLimit) Accept() (net.Conn, error) {
	for {
		conn, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		// Where there is no IP address, all count as one.
		ap, _ := netip.ParseAddrPort(conn.RemoteAddr().String())
		from := auth.Network(ap.Addr())
		if l.enter(from) {
			return &countedConn{Conn: conn, leave: sync.OnceFunc(func() { l.leave(from) })}, nil
		}
		_ = conn.Close() // refused, so nothing can be lost
	}
}

func (l *addressLimit) enter(from netip.Prefix) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.open[from] >= l.max {
		return false
	}
	l.open[from]++
	return true
}

func (l *addressLimit) leave(from netip.Prefix) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.open[from]--; l.open[from] == 0 {
		delete(l.open, from)
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
