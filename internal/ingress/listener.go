// Package ingress stands before a front end's listener: it learns from balancers whose connection they pass on (the PROXY
// protocol), and closes the connections of addresses that are not let in, before the front end sees a byte.
//
// Only balancers that are listed are believed, and they have to say it; what anybody else sends is left to the front end,
// to which a header of the PROXY protocol is nonsense.
package ingress

import (
	"errors"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"
)

// Bounds of a Listener.
const (
	// headerTime is how long a balancer may take for its header. It has it ready when it connects.
	headerTime = 5 * time.Second
	// maxPending is how many connections wait for their header. When there are more, no further ones are accepted.
	maxPending = 256
	// linesAtOnce lines are logged of refused connections, and from then on one a second.
	linesAtOnce = 20
)

// Rules say who is let in. The zero value lets everybody in.
type Rules struct {
	// Balancers have to send a header of the PROXY protocol, and are believed.
	Balancers []netip.Prefix
	// Allow lets in only these, if it is not empty; Deny none of these, whatever Allow says.
	Allow, Deny []netip.Prefix
}

// refuses is why an address is not let in; "" if it is.
func (r *Rules) refuses(addr netip.Addr) string {
	switch {
	case Contains(r.Deny, addr):
		return "its address is denied"
	case len(r.Allow) > 0 && !Contains(r.Allow, addr):
		return "its address is not among those that are allowed"
	}
	return ""
}

// Contains reports whether one of the networks has an address.
func Contains(networks []netip.Prefix, addr netip.Addr) bool {
	addr = addr.Unmap().WithZone("")
	return slices.ContainsFunc(networks, func(n netip.Prefix) bool { return n.Contains(addr) })
}

// Listener is a net.Listener. The addresses of its connections are those of the clients.
type Listener struct {
	inner net.Listener
	log   *slog.Logger
	rules atomic.Pointer[Rules]

	ready   chan accepted
	pending chan struct{} // has room for maxPending
	closed  chan struct{}
	closing sync.Once

	mu      sync.Mutex
	waiting map[net.Conn]struct{} // for their headers
	lines   *rate.Limiter
	silent  int // refusals since the last line
}

type accepted struct {
	conn net.Conn
	err  error
}

// Listen begins to accept from inner, which it closes when it is closed.
func Listen(inner net.Listener, r Rules, log *slog.Logger) *Listener {
	l := &Listener{
		inner: inner, log: log,
		ready: make(chan accepted), pending: make(chan struct{}, maxPending), closed: make(chan struct{}),
		waiting: make(map[net.Conn]struct{}), lines: rate.NewLimiter(1, linesAtOnce),
	}
	l.SetRules(r)
	go l.run()
	return l
}

// SetRules changes who is let in from now on.
func (l *Listener) SetRules(r Rules) { l.rules.Store(&r) }

// Addr implements net.Listener.
func (l *Listener) Addr() net.Addr { return l.inner.Addr() }

// Accept implements net.Listener.
func (l *Listener) Accept() (net.Conn, error) {
	select {
	case a := <-l.ready:
		return a.conn, a.err
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

// Close implements net.Listener. Connections that nobody has accepted are closed.
func (l *Listener) Close() error {
	l.closing.Do(func() { close(l.closed) })
	l.mu.Lock()
	for c := range l.waiting {
		_ = c.Close()
	}
	l.mu.Unlock()
	return l.inner.Close()
}

// run accepts until the listener is closed.
func (l *Listener) run() {
	for {
		conn, err := l.inner.Accept()
		if err != nil {
			if !l.give(nil, err) || errors.Is(err, net.ErrClosed) {
				return
			}
			continue
		}
		peer := addrPort(conn.RemoteAddr())
		rules := l.rules.Load()
		if !Contains(rules.Balancers, peer.Addr()) {
			l.admit(conn, peer.Addr(), rules)
			continue
		}
		select {
		case l.pending <- struct{}{}:
		case <-l.closed:
			_ = conn.Close()
			return
		}
		go func() {
			defer func() { <-l.pending }()
			l.receive(conn, peer, rules)
		}()
	}
}

// give hands a connection or an error to Accept. It reports false when nobody wants it any more.
func (l *Listener) give(conn net.Conn, err error) bool {
	select {
	case l.ready <- accepted{conn, err}:
		return true
	case <-l.closed:
		if conn != nil {
			_ = conn.Close()
		}
		return false
	}
}

// admit hands a connection on if its address is let in.
func (l *Listener) admit(conn net.Conn, from netip.Addr, rules *Rules) {
	if why := rules.refuses(from); why != "" {
		l.refused(from, why)
		_ = conn.Close()
		return
	}
	l.give(conn, nil)
}

// receive reads the header of a balancer.
func (l *Listener) receive(conn net.Conn, peer netip.AddrPort, rules *Rules) {
	h, err := l.header(conn)
	switch {
	case errors.Is(err, io.EOF): // it looks whether somebody is there
		l.log.Debug("a balancer went away without a word", "balancer", peer.Addr())
		_ = conn.Close()
	case err != nil:
		l.refused(peer.Addr(), "it is a balancer's (proxy_protocol) and does not begin with a header of the PROXY protocol: "+err.Error())
		_ = conn.Close()
	case h.local: // the balancer's own, to which the lists of clients do not apply
		l.give(conn, nil)
	case !h.from.IsValid():
		l.admit(conn, peer.Addr(), rules)
	default:
		l.admit(relayedBy(conn, h.from), h.from.Addr(), rules)
	}
}

func (l *Listener) header(conn net.Conn) (header, error) {
	l.mu.Lock()
	l.waiting[conn] = struct{}{}
	l.mu.Unlock()
	defer func() {
		l.mu.Lock()
		delete(l.waiting, conn)
		l.mu.Unlock()
	}()
	select {
	case <-l.closed: // before it was among those that Close closes
		return header{}, net.ErrClosed
	default:
	}
	if err := conn.SetReadDeadline(time.Now().Add(headerTime)); err != nil {
		return header{}, err
	}
	h, err := readHeader(conn)
	if err != nil {
		return h, err
	}
	return h, conn.SetReadDeadline(time.Time{})
}

// refused logs a refusal, unless there are too many.
func (l *Listener) refused(from netip.Addr, why string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.lines.Allow() {
		l.silent++
		return
	}
	args := []any{"from", from, "reason", why}
	if l.silent > 0 {
		args = append(args, "not_logged", l.silent)
	}
	l.silent = 0
	l.log.Warn("connection refused", args...)
}

// relayed is a connection that a balancer passes on.
type relayed struct {
	net.Conn
	from net.Addr
}

// RemoteAddr is the client's.
func (c relayed) RemoteAddr() net.Addr { return c.from }

// relayedTCP is the same of a TCP connection, with what it can do besides.
type relayedTCP struct {
	*net.TCPConn
	from net.Addr
}

// RemoteAddr is the client's.
func (c relayedTCP) RemoteAddr() net.Addr { return c.from }

func relayedBy(conn net.Conn, from netip.AddrPort) net.Conn {
	addr := net.TCPAddrFromAddrPort(from)
	if tcp, ok := conn.(*net.TCPConn); ok {
		return relayedTCP{tcp, addr}
	}
	return relayed{conn, addr}
}

// addrPort is not valid for what is no IP address.
func addrPort(a net.Addr) netip.AddrPort {
	if tcp, ok := a.(*net.TCPAddr); ok {
		return tcp.AddrPort()
	}
	p, _ := netip.ParseAddrPort(a.String())
	return p
}

// Greet sends what a balancer sends on a connection of its own, if the other end takes this end for a balancer: so may a
// program on the same machine that looks whether the listener is there.
func Greet(conn net.Conn, balancers []netip.Prefix) error {
	if !Contains(balancers, addrPort(conn.LocalAddr()).Addr()) {
		return nil
	}
	_, err := io.WriteString(conn, local)
	return err
}
