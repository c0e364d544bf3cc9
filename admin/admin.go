// Package admin is the operator's side of the gateway: a page, the same as JSON, health and metrics,
// on a listener of its own and over TLS only.
//
// It shows and acts on the gateway through the small interfaces of [Parts], which the command
// implements, and watches transfers as a storage.Observer ([Watch]). It promises that every act needs a
// login of an administrator ([Config].Auth, not the users') or a token ([Tokens]), that a browser cannot
// be made to act by another site, and that each act is told to Config.Audit.
//
// It decides nothing about files: what may be released from quarantine, or which job may run, is the
// business of who implements the interfaces.
package admin

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"

	"golang.org/x/net/netutil"

	"gateway/auth"
)

// The bounds of the listener.
const (
	maxConnections  = 64
	maxHeaderBytes  = 16 << 10
	maxBody         = 64 << 10         // of a request
	headerTimeout   = 10 * time.Second // TLS handshake and header
	requestTimeout  = 30 * time.Second // reading the whole request
	answerTimeout   = 2 * time.Minute  // a profile takes 30 s
	idleTimeout     = 2 * time.Minute
	shutdownTimeout = 5 * time.Second
	workTimeout     = time.Minute // for what a request asks of the gateway
)

// Config is what a Server is made of. Auth and Tokens are required.
type Config struct {
	Parts
	// Auth checks the passwords of administrators. It is not that of the users, but should share their
	// auth.Guard.
	Auth auth.Authenticator
	// Tokens are those of the API.
	Tokens *Tokens
	// Watch is told what users do; nil shows no transfers and no rates.
	Watch *Watch
	// Recent holds the latest warnings and errors of the log; nil shows none.
	Recent *Recent
	// Audit is told of each act of an operator, done or refused, before it is answered; nil: nobody is.
	Audit func(ctx context.Context, a Act)
	// Logger takes logins and acts; nil discards them.
	Logger *slog.Logger
	// MetricsOpen answers /metrics without a login.
	MetricsOpen bool
	// Pprof serves profiles below /debug/pprof/.
	Pprof bool
	// Version is shown, and told by the metrics.
	Version Version
}

// Version is what the build recorded.
type Version struct {
	Version  string `json:"version"`
	Revision string `json:"revision"`
	Go       string `json:"go"`
}

// Act is one thing that an operator did, or tried to.
type Act struct {
	By      string // the administrator, or "token NAME"; "token" for one that nobody knows
	Address string // where from
	What    string // "login", "logout", "job.run", "job.stop", "job.resume", "quarantine.release", "quarantine.reject", "session.close", "ban.add", "ban.lift", "user.disable", "user.enable", "token.revoke"
	Object  string // what it was done to: a job, file, session, network, user or token
	Reason  string // what the operator gave as the reason; "" for none
	Err     error  // why it was not done; nil: it was
}

// Server is the operator's page and API. Make it with New.
type Server struct {
	cfg      Config
	log      *slog.Logger
	handler  http.Handler
	sessions *loginSessions
	ready    *readiness
	metrics  *metrics
	started  time.Time
}

// New checks the configuration and makes a Server.
func New(cfg Config) (*Server, error) {
	if cfg.Auth == nil || cfg.Tokens == nil {
		return nil, errors.New("admin: Config.Auth and Config.Tokens are required")
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if cfg.Watch == nil {
		cfg.Watch = NewWatch()
	}
	if cfg.Recent == nil {
		cfg.Recent = NewRecent(slog.DiscardHandler)
	}
	s := &Server{cfg: cfg, log: cfg.Logger, started: time.Now()}
	current := func(auth.Identity) bool { return true }
	if r, ok := cfg.Auth.(auth.Rechecker); ok {
		current = r.Current
	}
	s.sessions = newLoginSessions(time.Now, current)
	s.ready = newReadiness(cfg.Ready)
	s.metrics = newMetrics(s)
	s.handler = s.routes()
	return s, nil
}

// ServeHTTP implements http.Handler.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) { s.handler.ServeHTTP(w, r) }

// Serve answers on ln over TLS until ctx ends, and closes ln. Requests under way get some seconds to
// end. An error says that the listener failed.
func (s *Server) Serve(ctx context.Context, ln net.Listener, config *tls.Config) error {
	srv := &http.Server{
		Handler:           s,
		ReadHeaderTimeout: headerTimeout, ReadTimeout: requestTimeout, WriteTimeout: answerTimeout, IdleTimeout: idleTimeout,
		MaxHeaderBytes: maxHeaderBytes,
		ErrorLog:       slog.NewLogLogger(s.log.Handler(), slog.LevelDebug),
		TLSConfig:      config.Clone(),
	}
	srv.TLSConfig.MinVersion = max(srv.TLSConfig.MinVersion, tls.VersionTLS12)
	failed := make(chan error, 1)
	go func() { failed <- srv.ServeTLS(netutil.LimitListener(newFairListener(ln), maxConnections), "", "") }()
	ticker := time.NewTicker(sampleEvery)
	defer ticker.Stop()
	for {
		select {
		case err := <-failed:
			_ = srv.Close()
			return fmt.Errorf("admin: serve on %s: %w", ln.Addr(), err)
		case now := <-ticker.C:
			s.cfg.Watch.sample(now)
			continue
		case <-ctx.Done():
		}
		break
	}
	bounded, cancel := context.WithTimeout(context.WithoutCancel(ctx), shutdownTimeout)
	defer cancel()
	if srv.Shutdown(bounded) != nil {
		_ = srv.Close() // nothing is lost by it
	}
	if err := <-failed; !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("admin: serve on %s: %w", ln.Addr(), err)
	}
	return nil
}
