package sftpsrv

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/crypto/ssh"
	"golang.org/x/sync/semaphore"

	"gateway/auth"
	"gateway/storage"
)

// Defaults of Config.
const (
	DefaultMaxConnections     = 1024
	DefaultMaxUnauthenticated = 128
	DefaultMaxPerAddress      = 256
	DefaultMaxHandles         = 1024
	DefaultMaxBuffered        = 512 << 20
	DefaultHandshakeTimeout   = 2 * time.Minute
	DefaultKeepAlive          = 30 * time.Second
	DefaultStallTimeout       = time.Minute
	DefaultShutdownTimeout    = 30 * time.Second
	DefaultKeepPartial        = 24 * time.Hour
)

// Config says how a Server works. HostKeys, Auth and Open are required; for the
// rest the zero value means the default of that name above.
type Config struct {
	// HostKeys prove who the server is; see LoadOrCreateHostKeys. RSA keys sign with
	// SHA-2 only and need 2,048 to 8,192 bits.
	HostKeys []ssh.Signer
	// NextHostKeys are announced to clients together with HostKeys, so that they know them when they
	// are put into use; see LoadNextHostKeys.
	NextHostKeys []ssh.Signer
	// Auth decides who may log in.
	Auth auth.Stepwise
	// Open returns what a user sees. It is called once for each login, and its error
	// ends the connection.
	Open func(ctx context.Context, id auth.Identity) (storage.FS, error)
	// Logger takes logins, ends of sessions and failures; nil discards them.
	Logger *slog.Logger

	// MaxConnections bounds the connections of the server, MaxPerAddress those of one
	// address (of a /64 for IPv6), and MaxUnauthenticated those that have not logged
	// in: from half of it on some are dropped at random, and one address gets a
	// quarter of it.
	MaxConnections, MaxPerAddress, MaxUnauthenticated int
	// MaxHandles bounds the files and directories that one session has open.
	MaxHandles int
	// MaxBuffered bounds the requests and answers in memory, in bytes, over all
	// connections. One connection holds 8 MiB of it at most. At least 16 MiB.
	MaxBuffered int64

	// HandshakeTimeout is how long a client may take from connecting to being logged
	// in. People type their passwords in it.
	HandshakeTimeout time.Duration
	// IdleTimeout ends a connection that sent no request for so long; 0 means never: a
	// mounted folder may be idle for days, and dead peers are found by KeepAlive.
	IdleTimeout time.Duration
	// KeepAlive is how often a client is asked whether it is there; three
	// times without an answer end the connection.
	KeepAlive time.Duration
	// StallTimeout is how long a client may leave 32 KiB of an answer untaken.
	StallTimeout time.Duration
	// ShutdownTimeout is how long transfers may go on after the context of Serve ended.
	ShutdownTimeout time.Duration
	// KeepPartial is for how long interrupted uploads are kept for their owner to be
	// continued; negative: not at all.
	KeepPartial time.Duration

	// Banner is shown before the login; "" shows none.
	Banner string
	// RekeyBytes is after how many bytes in one direction the keys of a connection are made anew; 0
	// means 64 GiB with AES (RFC 4344 section 3.2) and 1 GiB otherwise. Clients may do so earlier, and by time.
	RekeyBytes int64
	// LegacyAlgorithms lets old clients in with algorithms that are not safe any more. Each login
	// that uses one is logged.
	LegacyAlgorithms bool

	checkpointEvery time.Duration // 0 means the constant; shorter in tests
}

func (c Config) withDefaults() (Config, error) {
	switch {
	case c.Auth == nil:
		return c, errors.New("sftpsrv: Config.Auth is not set")
	case c.Open == nil:
		return c, errors.New("sftpsrv: Config.Open is not set")
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	c.MaxConnections = positive(c.MaxConnections, DefaultMaxConnections)
	c.MaxPerAddress = positive(c.MaxPerAddress, DefaultMaxPerAddress)
	c.MaxUnauthenticated = positive(c.MaxUnauthenticated, DefaultMaxUnauthenticated)
	c.MaxHandles = positive(c.MaxHandles, DefaultMaxHandles)
	c.MaxBuffered = max(positive(c.MaxBuffered, DefaultMaxBuffered), 2*connectionBuffers)
	c.HandshakeTimeout = positive(c.HandshakeTimeout, DefaultHandshakeTimeout)
	c.KeepAlive = positive(c.KeepAlive, DefaultKeepAlive)
	c.StallTimeout = positive(c.StallTimeout, DefaultStallTimeout)
	c.ShutdownTimeout = positive(c.ShutdownTimeout, DefaultShutdownTimeout)
	c.checkpointEvery = positive(c.checkpointEvery, checkpointEvery)
	switch {
	case c.KeepPartial == 0:
		c.KeepPartial = DefaultKeepPartial
	case c.KeepPartial < 0:
		c.KeepPartial = 0
	}
	return c, nil
}

func positive[T int | int64 | time.Duration](v, otherwise T) T {
	if v > 0 {
		return v
	}
	return otherwise
}

// Server is an SFTP server. Make it with New.
type Server struct {
	settings atomic.Pointer[settings]
	pool     bufferPool
	buffered *semaphore.Weighted
	admit    admission
	open     claims
	serials  atomic.Uint64 // of connections

	ctx    context.Context // of everything that is done for clients
	cancel context.CancelFunc
	wait   sync.WaitGroup // connections

	mu        sync.Mutex
	closing   bool
	listeners map[net.Listener]struct{}
	conns     map[*connection]struct{}
	changed   chan struct{} // has room for one: a connection ended or became idle
}

// New makes a server. It fails when something required is missing from the
// configuration or a host key cannot be used.
func New(c Config) (*Server, error) {
	made, err := newSettings(c)
	if err != nil {
		return nil, err
	}
	s := &Server{
		buffered:  semaphore.NewWeighted(made.MaxBuffered),
		admit:     admission{from: make(map[netip.Prefix]*arrivals)},
		listeners: make(map[net.Listener]struct{}),
		conns:     make(map[*connection]struct{}),
		changed:   make(chan struct{}, 1),
	}
	s.settings.Store(made)
	s.admit.limit(made.Config)
	s.ctx, s.cancel = context.WithCancel(context.Background())
	return s, nil
}

// Serve accepts connections on l until ctx ends or Shutdown is called; then, and only
// then, it returns nil, after what Shutdown does with Config.ShutdownTimeout. It
// closes l. Several listeners may be served at once; they end together.
func (s *Server) Serve(ctx context.Context, l net.Listener) error {
	if !s.addListener(l) {
		l.Close()
		return nil
	}
	stop := context.AfterFunc(ctx, s.closeListeners)
	defer stop()
	err := s.accept(l)
	l.Close()
	if err != nil {
		return err
	}
	bounded, cancel := context.WithTimeout(context.Background(), s.settings.Load().ShutdownTimeout)
	defer cancel()
	if err := s.Shutdown(bounded); err != nil {
		s.settings.Load().Logger.Warn("transfers were cut off by the end of the server", "error", err)
	}
	return nil
}

// Shutdown closes the listeners and the connections that are idle, waits until the
// others have no file open any more, and closes what is left when ctx ends: then it
// returns the context's error. No goroutine of the server is left after it.
func (s *Server) Shutdown(ctx context.Context) error {
	s.closeListeners()
	ticker := time.NewTicker(100 * time.Millisecond)
	defer ticker.Stop()
	var err error
	for s.closeIdle() > 0 && err == nil {
		select {
		case <-s.changed:
		case <-ticker.C:
		case <-ctx.Done():
			err = ctx.Err()
		}
	}
	s.cancel()
	s.closeAll()
	s.wait.Wait()
	return err
}

func (s *Server) addListener(l net.Listener) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closing {
		return false
	}
	s.listeners[l] = struct{}{}
	return true
}

func (s *Server) closeListeners() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closing = true
	for l := range s.listeners {
		l.Close()
	}
}

func (s *Server) isClosing() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.closing
}

// closeIdle closes the connections that have nothing open, and counts the others.
func (s *Server) closeIdle() (busy int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.conns {
		if c.busy() {
			busy++
		} else {
			c.close()
		}
	}
	return busy
}

func (s *Server) closeAll() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.conns {
		c.close()
	}
}

// accept runs until the listener is closed. Errors of single connections, and
// running out of descriptors, pass.
func (s *Server) accept(l net.Listener) error {
	const longest = time.Second
	pause := 5 * time.Millisecond
	for {
		conn, err := l.Accept()
		switch {
		case err == nil:
			pause = 5 * time.Millisecond
			s.start(conn)
		case s.isClosing():
			return nil
		case errors.Is(err, net.ErrClosed):
			return err
		default:
			s.settings.Load().Logger.Warn("connection was not accepted", "error", err)
			time.Sleep(pause)
			pause = min(2*pause, longest)
		}
	}
}

// start serves a connection in a goroutine of its own, if it is admitted.
func (s *Server) start(conn net.Conn) {
	from := remoteAddr(conn)
	current := s.settings.Load()
	log := current.Logger.With("from", from)
	if err := current.Auth.Allowed(from); err != nil {
		log.Info("connection refused", "reason", err)
		conn.Close()
		return
	}
	place, reason := s.admit.enter(from)
	if place == nil {
		log.Warn("connection refused", "reason", reason)
		conn.Close()
		return
	}
	c := newConnection(s, current, conn, from, place, log)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closing {
		conn.Close()
		place.leave()
		return
	}
	s.conns[c] = struct{}{}
	s.wait.Go(func() {
		defer s.ended(c)
		c.serve()
	})
}

func (s *Server) ended(c *connection) {
	c.close()
	c.place.leave()
	s.mu.Lock()
	delete(s.conns, c)
	s.mu.Unlock()
	s.noteChange()
}

func (s *Server) noteChange() {
	select {
	case s.changed <- struct{}{}:
	default:
	}
}

func remoteAddr(conn net.Conn) netip.Addr {
	if tcp, ok := conn.RemoteAddr().(*net.TCPAddr); ok {
		return tcp.AddrPort().Addr().Unmap()
	}
	if parsed, err := netip.ParseAddrPort(conn.RemoteAddr().String()); err == nil {
		return parsed.Addr().Unmap()
	}
	return netip.Addr{}
}
