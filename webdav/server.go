package webdav

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"
)

// maxFrameSize bounds a frame of HTTP/2, in bytes, and with it a buffer of each connection. net/http's own bound
// is 1 MiB.
const maxFrameSize = 64 << 10

// NewHTTPServer is an http.Server with the limits of the configuration. There is
// no limit on the time of a whole request: bodies are held to a pace instead.
func (h *Handler) NewHTTPServer() *http.Server {
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	protocols.SetHTTP2(true)
	idle := newIdleConns(h.cfg.IdleTimeout)
	return &http.Server{
		Handler:           h,
		ReadHeaderTimeout: h.cfg.ReadHeaderTimeout,
		ConnContext: func(ctx context.Context, c net.Conn) context.Context {
			return h.conns.begin(context.WithValue(ctx, connKey{}, gatheringConn(c)), c)
		},
		ConnState: func(c net.Conn, s http.ConnState) {
			if s == http.StateIdle { // an answer has been written whole
				gatheringConn(c).end(h.cfg.ProgressTimeout)
			}
			idle.state(c, s)
			h.conns.state(c, s)
		},
		MaxHeaderBytes: maxHeaderBytes,
		ErrorLog:       slog.NewLogLogger(h.log.Handler(), slog.LevelDebug),
		Protocols:      protocols,
		HTTP2: &http.HTTP2Config{
			MaxConcurrentStreams:          maxConcurrentStreams,
			MaxReadFrameSize:              maxFrameSize,
			MaxReceiveBufferPerConnection: 4 << 20,
			MaxReceiveBufferPerStream:     1 << 20,
			SendPingTimeout:               h.cfg.ProgressTimeout,
			WriteByteTimeout:              h.cfg.ProgressTimeout,
		},
	}
}

// Serve answers on ln, over TLS unless tlsConfig is nil, until ctx ends. Then it
// takes no more requests, waits for the running ones up to
// Config.ShutdownTimeout, and returns nil; an error says that requests were cut
// off or that the listener failed. ln is closed in any case.
func (h *Handler) Serve(ctx context.Context, ln net.Listener, tlsConfig *tls.Config) error {
	srv := h.NewHTTPServer()
	ln = limitConnections(ln, &h.counts)
	failed := make(chan error, 1)
	go func() {
		if tlsConfig == nil {
			failed <- srv.Serve(ln)
			return
		}
		srv.TLSConfig = tlsConfig.Clone()
		srv.Handler = noChallenge(srv.Handler)
		srv.TLSConfig.MinVersion = max(srv.TLSConfig.MinVersion, tls.VersionTLS12)
		failed <- srv.ServeTLS(ln, "", "")
	}()
	select {
	case err := <-failed:
		_ = srv.Close()
		return fmt.Errorf("webdav: serve on %s: %w", ln.Addr(), err)
	case <-ctx.Done():
	}
	return h.shutdown(srv, failed)
}

func (h *Handler) shutdown(srv *http.Server, failed <-chan error) error {
	h.counts.mu.Lock()
	limit := h.counts.limits.ShutdownTimeout
	h.counts.mu.Unlock()
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	err := srv.Shutdown(ctx)
	if err != nil {
		err = fmt.Errorf("webdav: requests still ran %v after the stop and were cut off: %w",
			limit.Round(time.Second), errors.Join(err, srv.Close()))
	}
	if serving := <-failed; !errors.Is(serving, http.ErrServerClosed) {
		err = errors.Join(err, serving)
	}
	return err
}

// acmeProtocol is what an authority asks for to see that a name is ours (RFC 8737).
const acmeProtocol = "acme-tls/1"

// noChallenge refuses requests on a connection that was made for an authority's question (RFC 8737): it was not asked for a
// client certificate.
func noChallenge(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.TLS != nil && r.TLS.NegotiatedProtocol == acmeProtocol {
			w.Header().Set("Connection", "close")
			w.WriteHeader(http.StatusMisdirectedRequest)
			return
		}
		next.ServeHTTP(w, r)
	})
}
