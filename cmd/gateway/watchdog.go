package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"syscall"

	"gateway/config"
	"gateway/webdav"
)

// watchdogParts is how often the gateway is looked at within the watchdog's time: one look
// may fail, because the machine is busy, and the next still comes in time.
const watchdogParts = 3

// watch says alive to systemd as long as the gateway works, until ctx ends. A timer alone
// would say so of a process whose front ends are stuck.
func (s *serving) watch(ctx context.Context) {
	if s.manager == nil || s.manager.watchdog == 0 {
		return
	}
	each := s.manager.watchdog / watchdogParts
	every(ctx, each, func(ctx context.Context) {
		ctx, cancel := context.WithTimeout(ctx, each)
		defer cancel()
		if err := s.works(ctx); err == nil {
			s.manager.alive()
		} else if !errors.Is(err, context.Canceled) {
			s.g.log.Error("the gateway does not answer itself; if that lasts, systemd starts it anew", "error", err)
		}
	})
}

// status is a line for "systemctl status".
func (s *serving) status() string {
	var fronts []string
	if s.sftp != nil {
		fronts = append(fronts, "SFTP on "+s.sftp.Addr().String())
	}
	if s.https != nil {
		fronts = append(fronts, "HTTPS on "+s.https.Addr().String())
	}
	return "Serving " + strings.Join(fronts, ", ")
}

// works is nil if the front ends answer a client and the database a question. One that other
// nodes share is not asked: to start this node anew does not bring it back.
func (s *serving) works(ctx context.Context) error {
	var wg sync.WaitGroup
	var errs [3]error
	if s.sftp != nil {
		wg.Go(func() { errs[0] = sshTurns(ctx, boundAt(s.cfg.Load().SFTP.Listener, s.sftp)) })
	}
	if s.https != nil {
		wg.Go(func() { errs[1] = httpsTurns(ctx, boundAt(s.cfg.Load().HTTPS.Listener, s.https), s.handler) })
	}
	if !s.g.cfg.State.Shared() {
		wg.Go(func() {
			if _, err := s.g.state.FailuresOf(ctx, "127.0.0.1"); err != nil {
				errs[2] = fmt.Errorf("the database does not answer: %w", err)
			}
		})
	}
	wg.Wait()
	return errors.Join(errs[:]...)
}

// boundAt is l with the address that was bound, whose port need not be that of the configuration.
func boundAt(l config.Listener, bound net.Listener) config.Listener {
	l.Listen = bound.Addr().String()
	return l
}

// sshTurns is nil if something came from behind the listener: a greeting, or the end of the
// connection, by which a client is refused that is one too many or banned. The kernel alone
// would accept the connection too, and send nothing.
func sshTurns(ctx context.Context, at config.Listener) error {
	conn, err := dialListener(ctx, at)
	if err != nil {
		return fmt.Errorf("sftp does not answer on %s: %w", at.Listen, err)
	}
	defer conn.Close()
	if _, err := conn.Read(make([]byte, 1)); err != nil && !refused(err) {
		return fmt.Errorf("sftp does not answer on %s: %w", at.Listen, err)
	}
	return nil
}

// httpsTurns is the same for HTTPS, by a handshake of TLS. There, clients wait when too many
// are connected: then others are being served.
func httpsTurns(ctx context.Context, at config.Listener, h *webdav.Handler) error {
	if h != nil && h.Full() {
		return nil
	}
	conn, err := dialListener(ctx, at)
	if err != nil {
		return fmt.Errorf("https does not answer on %s: %w", at.Listen, err)
	}
	defer conn.Close()
	//nolint:gosec // nothing is sent; whether it answers is the question, not who it is
	err = tls.Client(conn, &tls.Config{MinVersion: tls.VersionTLS12, InsecureSkipVerify: true}).HandshakeContext(ctx)
	if alert := tls.AlertError(0); err != nil && !refused(err) && !errors.As(err, &alert) {
		return fmt.Errorf("https does not answer on %s: %w", at.Listen, err)
	}
	return nil
}

// refused tells the end of a connection, which the other side made, from silence.
func refused(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE)
}
