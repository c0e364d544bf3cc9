package main

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"time"

	"golang.org/x/net/netutil"
)

// Bounds of the listener for questions of an authority over HTTP.
const (
	challengeConnections = 64
	challengeTime        = 10 * time.Second // for a whole request
	challengeHeader      = 8 << 10          // bytes
)

// serveChallenges answers the questions of an authority over HTTP (RFC 8555 section 8.3), and sends others who ask for one
// of our names to HTTPS, until ctx ends.
func (s *serving) serveChallenges(ctx context.Context) error {
	addr := s.g.cfg.HTTPS.ACME.HTTPListen
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", addr)
	if err != nil {
		return fmt.Errorf("cannot listen on %s: %w; set https.acme.http_listen to another address, or leave it out", addr, err)
	}
	srv := &http.Server{
		Handler:     s.certs.HTTPChallenges(http.HandlerFunc(s.toHTTPS)),
		ReadTimeout: challengeTime, WriteTimeout: challengeTime, IdleTimeout: challengeTime, MaxHeaderBytes: challengeHeader,
		ErrorLog: slog.NewLogLogger(s.g.log.Handler(), slog.LevelDebug),
	}
	stop := context.AfterFunc(ctx, func() { _ = srv.Close() })
	defer stop()
	if err := srv.Serve(netutil.LimitListener(l, challengeConnections)); ctx.Err() == nil {
		return err
	}
	return nil
}

// toHTTPS redirects to the same name over HTTPS, if it is one of ours: who asks chooses the Host header.
func (s *serving) toHTTPS(w http.ResponseWriter, r *http.Request) {
	host := r.Host
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	if !slices.Contains(s.cfg.Load().HTTPS.ACME.Domains, host) || r.Method != http.MethodGet && r.Method != http.MethodHead {
		http.Error(w, "files are served over HTTPS", http.StatusNotFound)
		return
	}
	w.Header().Set("Connection", "close")
	http.Redirect(w, r, "https://"+host+r.URL.EscapedPath(), http.StatusMovedPermanently)
}
