package ftpbridge

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"sync"
	"time"
)

// maxStrangers is how many connections from other addresses are turned away
// while the server's own is awaited.
const maxStrangers = 64

// listenData prepares a data connection that the server opens: it listens on the
// address by which the server knows us and tells it the port with PORT (RFC 959
// section 4.1.2), or with EPRT (RFC 2428 section 2) where PORT cannot say it or
// is refused.
func (s *Session) listenData() (net.Conn, error) {
	local, err := addrOf(s.ctl.LocalAddr())
	if err != nil {
		return nil, err
	}
	peer, err := addrOf(s.ctl.RemoteAddr())
	if err != nil {
		return nil, err
	}
	ln, err := net.ListenTCP("tcp", net.TCPAddrFromAddrPort(netip.AddrPortFrom(local, 0)))
	if err != nil {
		return nil, fmt.Errorf("%w: listen for the server's data connection: %w", ErrUnreachable, err)
	}
	port := uint16(ln.Addr().(*net.TCPAddr).Port)
	if err := s.announce(netip.AddrPortFrom(local.WithZone(""), port)); err != nil {
		_ = ln.Close()
		return nil, err
	}
	return &activeConn{ln: ln, peer: peer, patience: min(s.src.timeout(), maxDataDial)}, nil
}

// addrOf is the address alone, an IPv4 one in its short form.
func addrOf(a net.Addr) (netip.Addr, error) {
	tcp, ok := a.(*net.TCPAddr)
	if !ok {
		return netip.Addr{}, fmt.Errorf("%w: active mode needs a TCP connection to the server", ErrUnreachable)
	}
	return tcp.AddrPort().Addr().Unmap(), nil
}

// announce tells the server where to connect to.
func (s *Session) announce(to netip.AddrPort) error {
	commands := []string{fmt.Sprintf("EPRT |2|%s|%d|", to.Addr(), to.Port())}
	if to.Addr().Is4() {
		ip := strings.ReplaceAll(to.Addr().String(), ".", ",")
		commands = []string{
			fmt.Sprintf("PORT %s,%d,%d", ip, to.Port()>>8, to.Port()&255),
			fmt.Sprintf("EPRT |1|%s|%d|", to.Addr(), to.Port()),
		}
	}
	var refusal error
	for _, c := range commands {
		r, err := s.ctl.exchange(c)
		if err != nil {
			return err
		}
		if r.done() {
			return nil
		}
		if refusal == nil {
			refusal = r.err(s.ctl.verb)
		}
	}
	return fmt.Errorf("active mode: %w; try passive mode", refusal)
}

// activeConn is a data connection that the server has yet to open: it does so
// after the transfer command, so the first Read or Write waits for it. Nobody but
// the control connection's peer is let in.
type activeConn struct {
	ln       *net.TCPListener
	peer     netip.Addr
	patience time.Duration

	once sync.Once
	err  error // of the accept

	mu     sync.Mutex // guards the rest
	nc     *net.TCPConn
	read   time.Time // deadlines for nc
	write  time.Time
	closed bool
}

// conn waits for the server, the first time.
func (a *activeConn) conn() (*net.TCPConn, error) {
	a.once.Do(func() { a.err = a.accept() })
	if a.err != nil {
		return nil, a.err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.nc, nil
}

func (a *activeConn) accept() error {
	defer func() { _ = a.ln.Close() }() // one connection is enough
	if err := a.ln.SetDeadline(time.Now().Add(a.patience)); err != nil {
		return err
	}
	var stranger net.Addr
	for range maxStrangers {
		nc, err := a.ln.AcceptTCP()
		switch {
		case err != nil && stranger != nil:
			return fmt.Errorf("%w: the data connection came from %s and not from the server, %s", ErrUnreachable, stranger, a.peer)
		case err != nil:
			var ne net.Error
			if errors.As(err, &ne) && ne.Timeout() {
				return fmt.Errorf("%w: it did not open the data connection within %v; a firewall may be in its way: try passive mode", ErrUnreachable, a.patience)
			}
			return err
		}
		if from, err := addrOf(nc.RemoteAddr()); err == nil && from == a.peer {
			return a.take(nc)
		}
		stranger = nc.RemoteAddr()
		_ = nc.Close()
	}
	return fmt.Errorf("%w: %d data connections came from %s and elsewhere, none from the server, %s", ErrUnreachable, maxStrangers, stranger, a.peer)
}

func (a *activeConn) take(nc *net.TCPConn) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.closed {
		_ = nc.Close()
		return net.ErrClosed
	}
	a.nc = nc
	if err := nc.SetReadDeadline(a.read); err != nil {
		return err
	}
	return nc.SetWriteDeadline(a.write)
}

func (a *activeConn) Read(p []byte) (int, error) {
	nc, err := a.conn()
	if err != nil {
		return 0, err
	}
	return nc.Read(p)
}

func (a *activeConn) Write(p []byte) (int, error) {
	nc, err := a.conn()
	if err != nil {
		return 0, err
	}
	return nc.Write(p)
}

// CloseWrite ends our side of it; a server that did not connect yet is awaited,
// as for an empty file.
func (a *activeConn) CloseWrite() error {
	nc, err := a.conn()
	if err != nil {
		return err
	}
	return nc.CloseWrite()
}

// Close may come from any goroutine, at any time.
func (a *activeConn) Close() error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.closed {
		return net.ErrClosed
	}
	a.closed = true
	_ = a.ln.Close() // it may be closed already
	if a.nc != nil {
		return a.nc.Close()
	}
	return nil
}

// SetLinger is net.TCPConn's.
func (a *activeConn) SetLinger(sec int) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.nc == nil {
		return nil
	}
	return a.nc.SetLinger(sec)
}

func (a *activeConn) SetReadDeadline(t time.Time) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.read = t; a.nc != nil {
		return a.nc.SetReadDeadline(t)
	}
	return nil
}

func (a *activeConn) SetWriteDeadline(t time.Time) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.write = t; a.nc != nil {
		return a.nc.SetWriteDeadline(t)
	}
	return nil
}

func (a *activeConn) SetDeadline(t time.Time) error {
	return errors.Join(a.SetReadDeadline(t), a.SetWriteDeadline(t))
}

func (a *activeConn) LocalAddr() net.Addr { return a.ln.Addr() }

// RemoteAddr is the listener's own until the server has connected.
func (a *activeConn) RemoteAddr() net.Addr {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.nc != nil {
		return a.nc.RemoteAddr()
	}
	return a.ln.Addr()
}
