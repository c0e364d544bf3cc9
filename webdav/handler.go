package webdav

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"runtime/debug"
	"sync/atomic"
	"time"

	"gateway/auth"
	"gateway/state"
	"gateway/storage"
)

// Config is what a Handler is made of. Auth and Open are required; every other
// zero value works.
type Config struct {
	// Auth checks the Basic credentials.
	Auth auth.Authenticator
	// Open returns the tree the user sees. It is called at a login, which is
	// remembered for a minute; what it returns serves all requests of that time.
	Open func(ctx context.Context, id auth.Identity) (storage.FS, error)
	// Locks keeps the locks: for all nodes, and beyond the end of the process, where
	// those of a database are given. nil keeps them in memory.
	Locks state.Locks
	// Properties keeps the properties that clients set; nil refuses them.
	Properties state.Properties
	// Page serves people with browsers; nil serves them a plain listing.
	Page Page
	// Logger takes one Info record per changing request, Debug for the rest.
	// Passwords are never in it. nil means none.
	Logger *slog.Logger

	// AllowPlainBasic accepts passwords over HTTP without TLS from anywhere.
	// Connections from a loopback address may always send them.
	AllowPlainBasic bool
	// Realm is shown by browsers when they ask for the password; "" means "files".
	Realm string

	// MaxConnections bounds open TCP connections; 0 means 1024. Further ones wait
	// in the kernel's queue.
	MaxConnections int
	// MaxPerAddress bounds those of one address (of a /64 for IPv6), so that nobody can
	// take them all; 0 means 256. Further ones are closed.
	MaxPerAddress int
	// ReadHeaderTimeout bounds the TLS handshake and the request header; 0 means 10 s.
	ReadHeaderTimeout time.Duration
	// IdleTimeout is how long a connection may be kept between requests; 0 means 2 min.
	IdleTimeout time.Duration
	// ProgressTimeout is the time in which a body, either way, must move on by
	// minProgress bytes; 0 means 60 s. There is no limit on the whole, so a slow
	// honest transfer finishes and a trickle is cut.
	ProgressTimeout time.Duration
	// ShutdownTimeout is how long Serve waits for running requests when its
	// context ends; 0 means 30 s.
	ShutdownTimeout time.Duration
}

// The bounds on what a client can make grow.
const (
	defaultMaxConnections    = 1024
	defaultMaxPerAddress     = 256
	defaultReadHeaderTimeout = 10 * time.Second
	defaultIdleTimeout       = 2 * time.Minute
	defaultProgressTimeout   = time.Minute
	defaultShutdownTimeout   = 30 * time.Second

	maxHeaderBytes       = 32 << 10 // of one request
	maxConcurrentStreams = 100      // of one HTTP/2 connection
)

// Handler serves WebDAV. Safe for concurrent use.
type Handler struct {
	cfg          Config
	log          *slog.Logger
	logins       *loginCache
	sums         *sumCache
	buffers      *bufferPool
	always, file fixedHeaders // of every answer; of one with a file
	locks        state.Locks
	origin       *http.CrossOriginProtection
	now          func() time.Time
	counts       counts
	conns        *connections

	clients atomic.Pointer[Clients] // nil: certificates log nobody in
}

// New checks the configuration and makes a Handler.
func New(cfg Config) (*Handler, error) {
	if cfg.Auth == nil || cfg.Open == nil {
		return nil, errors.New("webdav: Config.Auth and Config.Open are required")
	}
	setDefault(&cfg.MaxConnections, defaultMaxConnections)
	setDefault(&cfg.MaxPerAddress, defaultMaxPerAddress)
	setDefault(&cfg.ReadHeaderTimeout, defaultReadHeaderTimeout)
	setDefault(&cfg.IdleTimeout, defaultIdleTimeout)
	setDefault(&cfg.ProgressTimeout, defaultProgressTimeout)
	setDefault(&cfg.ShutdownTimeout, defaultShutdownTimeout)
	setDefault(&cfg.Realm, "files")
	if cfg.MaxConnections < 0 || cfg.MaxPerAddress < 0 || cfg.ReadHeaderTimeout < 0 || cfg.IdleTimeout < 0 ||
		cfg.ProgressTimeout < 0 || cfg.ShutdownTimeout < 0 {
		return nil, errors.New("webdav: limits and time-outs must not be negative")
	}
	if cfg.Locks == nil {
		cfg.Locks = newMemoryLocks(time.Now)
	}
	log := cfg.Logger
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	h := &Handler{
		cfg:     cfg,
		log:     log,
		locks:   cfg.Locks,
		sums:    newSumCache(),
		buffers: newBufferPool(),
		always: newFixedHeaders(
			[2]string{"X-Content-Type-Options", "nosniff"},
			[2]string{"Cross-Origin-Resource-Policy", "same-origin"},
			[2]string{"Referrer-Policy", "same-origin"}),
		file: newFixedHeaders(
			[2]string{"Cache-Control", "private, no-cache"},
			// Files are other people's: what is in them must not act as this server's page.
			[2]string{"Content-Security-Policy", "sandbox; default-src 'none'; img-src 'self'; media-src 'self'; style-src 'unsafe-inline'"}),
		now:    time.Now,
		origin: http.NewCrossOriginProtection(),
		counts: counts{open: make(map[netip.Prefix]int)},
		conns:  newConnections(),
	}
	h.SetLimits(Limits{MaxConnections: cfg.MaxConnections, MaxPerAddress: cfg.MaxPerAddress, ShutdownTimeout: cfg.ShutdownTimeout})
	h.logins = newLoginCache(h.checkLogin, time.Now)
	if r, ok := cfg.Auth.(auth.Rechecker); ok {
		h.logins.current = r.Current
	}
	if _, err := rand.Read(h.logins.key[:]); err != nil {
		return nil, fmt.Errorf("webdav: make a key: %w", err)
	}
	return h, nil
}

func setDefault[T comparable](p *T, v T) {
	var zero T
	if *p == zero {
		*p = v
	}
}

// request is one request on its way through the handler.
type request struct {
	*http.Request
	h        *Handler
	w        *responseWriter
	from     netip.Addr
	*session // who asks; set once they have logged in

	name   string   // clean name of the target
	slash  bool     // the path ended in a slash
	tokens []string // lock tokens submitted in the If header
}

// methods maps each method to what serves it. OPTIONS is answered before.
func (q *request) method() func(context.Context) error {
	switch q.Method {
	case http.MethodGet, http.MethodHead:
		return q.get
	case http.MethodPut:
		return q.put
	case http.MethodDelete:
		return q.delete
	case "MKCOL":
		return q.mkcol
	case "COPY":
		return q.copy
	case "MOVE":
		return q.move
	case "PROPFIND":
		return q.propfind
	case "PROPPATCH":
		return q.proppatch
	case "LOCK":
		return q.lock
	case "UNLOCK":
		return q.unlock
	}
	return nil
}

const allow = "OPTIONS, GET, HEAD, PUT, DELETE, MKCOL, COPY, MOVE, PROPFIND, PROPPATCH, LOCK, UNLOCK"

// ServeHTTP implements http.Handler.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if h.cfg.Page != nil && h.cfg.Page.Serves(r) {
		h.servePage(w, r)
		return
	}
	rw, body := h.paced(w, r)
	r = body.of(r)
	q := &request{Request: r, h: h, w: rw, from: remoteAddr(r), session: &session{}}
	started := time.Now()
	defer func() {
		body.finish()
		p := recover()
		if p != nil && p != http.ErrAbortHandler { //nolint:errorlint // a panic value, compared as net/http does
			h.log.Error("webdav: panic", "method", r.Method, "path", r.URL.Path, "panic", p, "stack", string(debug.Stack()))
			if rw.status == 0 {
				q.fail(&statusError{status: http.StatusInternalServerError})
				p = nil
			}
		}
		q.logDone(started)
		if p != nil {
			panic(http.ErrAbortHandler)
		}
	}()
	if err := q.serve(r.Context()); err != nil {
		q.fail(err)
	}
}

func (q *request) serve(ctx context.Context) error {
	q.h.always.set(q.w.Header())
	if q.Method == http.MethodOptions {
		return q.options()
	}
	serve := q.method()
	if serve == nil {
		return refuse(http.StatusMethodNotAllowed, "this method is not supported")
	}
	// A browser that remembers the password would send it along with a request
	// that another site made it send.
	if err := q.h.origin.Check(q.Request); err != nil {
		return refuse(http.StatusForbidden, "this request comes from another site")
	}
	var err error
	if q.name, q.slash, err = parsePath(q.URL.EscapedPath()); err != nil {
		return err
	}
	ctx = storage.WithOrigin(ctx, storage.Origin{Protocol: "webdav", Address: q.from})
	if err := q.login(ctx); err != nil {
		return err
	}
	if err := q.checkIf(ctx); err != nil {
		return err
	}
	id, done := LoggedIn(q.Request, q.id.User.Name, "webdav", "")
	defer done()
	ctx = storage.WithOrigin(ctx, storage.Origin{Protocol: "webdav", Address: q.from, Session: id})
	return serve(storage.WithLockTokens(ctx, q.tokens))
}

// fixedHeaders are headers of answers that never change. They are put in as they are, each request
// with the same slices, which net/http copies.
type fixedHeaders []struct {
	name string // canonical
	text []string
}

func newFixedHeaders(pairs ...[2]string) (f fixedHeaders) {
	for _, p := range pairs {
		f = append(f, struct {
			name string
			text []string
		}{http.CanonicalHeaderKey(p[0]), []string{p[1]}})
	}
	return f
}

func (f fixedHeaders) set(hd http.Header) {
	for _, h := range f {
		hd[h.name] = h.text[:1:1] // what is added goes elsewhere
	}
}

// options answers without a login: Windows asks before it has a password, and
// the answer is the same for every path.
func (q *request) options() error {
	hd := q.w.Header()
	hd.Set("Allow", allow)
	hd.Set("DAV", "1, 2")
	hd.Set("MS-Author-Via", "DAV") // without it Windows tries FrontPage first
	hd.Set("Content-Length", "0")
	q.w.WriteHeader(http.StatusOK)
	return nil
}

func (q *request) logDone(started time.Time) {
	level := slog.LevelInfo
	switch q.Method {
	case http.MethodGet, http.MethodHead, http.MethodOptions, "PROPFIND":
		level = slog.LevelDebug
	}
	if !q.h.log.Enabled(q.Context(), level) {
		return
	}
	q.h.log.Log(q.Context(), level, "webdav: request",
		"method", q.Method, "path", q.URL.Path, "status", q.w.status,
		"user", q.id.User.Name, "remote", q.from.String(), "took", time.Since(started))
}

// remoteAddr is the peer of the connection; headers that name another client
// are not believed.
func remoteAddr(r *http.Request) netip.Addr {
	ap, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return netip.Addr{}
	}
	return ap.Addr().Unmap().WithZone("")
}
