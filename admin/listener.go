package admin

import (
	"net"
	"net/netip"
	"sync"

	"gateway/auth"
)

// maxPerAddress bounds the connections of one address (of a /64 for IPv6), which need no login to be kept:
// else one that is not let in could take them all, and the operator would not get in.
const maxPerAddress = maxConnections / 2

// fairListener closes the connections of an address that has too many.
type fairListener struct {
	net.Listener
	mu   sync.Mutex
	open map[netip.Prefix]int
}

func newFairListener(ln net.Listener) *fairListener {
	return &fairListener{Listener: ln, open: map[netip.Prefix]int{}}
}

// Accept implements net.Listener.
func (l *fairListener) Accept() (net.Conn, error) {
	for {
		conn, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		ap, _ := netip.ParseAddrPort(conn.RemoteAddr().String()) // where there is no IP address, all count as one
		from := auth.Network(ap.Addr())
		if l.enter(from) {
			return &fairConn{Conn: conn, leave: sync.OnceFunc(func() { l.leave(from) })}, nil
		}
		_ = conn.Close() // nothing was said on it
	}
}

func (l *fairListener) enter(from netip.Prefix) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.open[from] >= maxPerAddress {
		return false
	}
	l.open[from]++
	return true
}

func (l *fairListener) leave(from netip.Prefix) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.open[from]--; l.open[from] == 0 {
		delete(l.open, from)
	}
}

// fairConn is counted until it is closed.
type fairConn struct {
	net.Conn
	leave func()
}

// Close implements net.Conn.
func (c *fairConn) Close() error {
	c.leave()
	return c.Conn.Close()
}
