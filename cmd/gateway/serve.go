package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"os"
	"os/signal"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/crypto/ssh"

	"gateway/audit"
	"gateway/auth"
	"gateway/config"
	"gateway/ftpbridge"
	"gateway/internal/certificate"
	"gateway/sftpsrv"
	"gateway/storage"
	"gateway/webdav"
)

// sweepEvery is how often expired uploads are removed.
const sweepEvery = time.Hour

type serveCmd struct{}

// Run serves until the context ends, then lets transfers finish.
func (serveCmd) Run(e *env) error {
	collectLess()
	g, err := e.open()
	if err != nil {
		return err
	}
	defer g.Close()
	s, err := newServing(g)
	if err != nil {
		return err
	}
	if s.manager, err = newNotifier(os.Getenv, g.log); err != nil {
		return err
	}
	defer func() { _ = s.manager.close() }() // nothing can be lost with it
	s.notify = func(p phase) { s.manager.told(p, s.cfg.Load().ShutdownTime()) }
	if err := s.listen(); err != nil {
		return err
	}
	var first string
	if s.manager == nil { // else standard output is a log, which is no place for a password
		if first, err = g.firstUser(e.ctx); err == nil {
			err = s.firstAdmin(e.ctx)
		}
		if err != nil {
			return errors.Join(err, s.closeListeners())
		}
	}
	g.note(audit.Entry{Verb: audit.Start, Result: audit.OK, Path: g.cfg.File()})
	s.announce(e, first)
	hangUps := make(chan os.Signal, 1)
	signal.Notify(hangUps, syscall.SIGHUP)
	defer signal.Stop(hangUps)
	s.hangUps, s.load = hangUps, e.config
	err = s.run(e.ctx)
	g.stopAudit(err)
	return err
}

// serving is the two front ends with what they need.
type serving struct {
	g      *gateway
	cfg    atomic.Pointer[config.Config] // in force; g.cfg is that of the start
	logins *auth.Logins
	guard  *auth.Guard
	keys   atomic.Pointer[hostKeys] // in force
	certs  *certificate.Source
	jobs   ftpbridge.Scheduler

	hangUps <-chan os.Signal              // nil: the configuration is not read again
	load    func() (config.Config, error) // reads it
	notify  func(phase)                   // nil: nobody wants to know
	manager *notifier                     // nil: it was not started by one

	sftpServer *sftpsrv.Server // nil: off
	handler    *webdav.Handler // nil: off
	runner     jobRunner
	doors      doors

	sftp, https net.Listener // nil: off
	admin       operatorSide
}

func newServing(g *gateway) (*serving, error) {
	recent := g.keepRecent()
	guard := auth.NewSharedGuard(context.Background(), guardLimits(g.cfg), g.state, g.log)
	logins, err := auth.NewLogins(g.users, guard, g.log)
	if err != nil {
		return nil, err
	}
	trust, err := loadTrust(g.cfg)
	if err != nil {
		return nil, err
	}
	logins.SetTrust(trust)
	logins.SetCodes(g.state)
	if err := g.startAudit(logins); err != nil {
		return nil, err
	}
	g.events.watch()
	if err := g.mountSources(context.Background()); err != nil {
		return nil, err
	}
	s := &serving{g: g, logins: logins, guard: guard}
	s.cfg.Store(&g.cfg)
	s.admin.recent = recent
	if err := s.openAdmin(); err != nil {
		return nil, err
	}
	if s.jobs, err = g.scheduler(); err != nil {
		return nil, err
	}
	s.jobs.Control = s.admin.control
	s.jobs.Room = make(chan struct{}, ftpbridge.MaxRunsAtOnce)
	keys, err := loadHostKeys(g.cfg)
	if err != nil {
		return nil, err
	}
	s.keys.Store(&keys)
	if len(g.cfg.Sources) > 0 { // now and not with the first file, so that the keys are whole when they are copied to other nodes
		if _, err := g.provenanceKeys().signer(); err != nil {
			return nil, err
		}
	}
	certs, err := certificates(g.cfg)
	if err != nil {
		return nil, err
	}
	s.certs, err = certificate.New(certs, g.log.With("front", "https"))
	return s, err
}

// hostKeys are those that are in use, and the next ones.
type hostKeys struct{ used, next []ssh.Signer }

func loadHostKeys(c config.Config) (k hostKeys, err error) {
	if k.used, err = sftpsrv.LoadOrCreateHostKeys(c.KeysDir()); err != nil {
		return k, err
	}
	k.next, err = sftpsrv.LoadNextHostKeys(c.KeysDir())
	return k, err
}

// loadTrust reads which certificates log users in, and which keys are revoked.
func loadTrust(c config.Config) (*auth.Trust, error) {
	trust, err := auth.NewTrust(c.SFTP.UserCA, c.SFTP.RevokedKeys)
	if err != nil {
		return nil, fmt.Errorf("sftp.user_ca or sftp.revoked_keys: %w", err)
	}
	return trust, nil
}

// certificateHosts are the names in a self-signed certificate.
func certificateHosts(listen string) []string {
	hosts := []string{"localhost", "127.0.0.1", "::1"}
	if host, _, err := net.SplitHostPort(listen); err == nil && host != "" && !strings.Contains(strings.Join(hosts, " "), host) {
		hosts = append(hosts, host)
	}
	return hosts
}

func (s *serving) listen() error {
	open := func(front, addr string, off bool) (net.Listener, error) {
		if off {
			return nil, nil
		}
		l, err := new(net.ListenConfig).Listen(context.Background(), "tcp", addr)
		if err != nil {
			return nil, fmt.Errorf("%s: cannot listen on %s: %w; is another gateway running? set %s.listen in the configuration to another address", front, addr, err, front)
		}
		return l, nil
	}
	var err error
	if s.sftp, err = open("sftp", s.g.cfg.SFTP.Listen, s.g.cfg.SFTP.Off); err != nil {
		return err
	}
	if s.https, err = open("https", s.g.cfg.HTTPS.Listen, s.g.cfg.HTTPS.Off); err != nil {
		return errors.Join(err, s.closeListeners())
	}
	if s.admin.listener, err = open("admin", s.g.cfg.Admin.Listen, s.g.cfg.Admin.Off); err != nil {
		return errors.Join(err, s.closeListeners())
	}
	return s.putDoors()
}

func (s *serving) closeListeners() error {
	var errs []error
	for _, l := range []net.Listener{s.sftp, s.https, s.admin.listener} {
		if l != nil {
			errs = append(errs, l.Close())
		}
	}
	return errors.Join(errs...)
}

// firstUser makes a user where there is none and returns the password. A mistake in one
// user's file must not keep the others out.
func (g *gateway) firstUser(ctx context.Context) (password string, err error) {
	users, mistakes := g.users.List(ctx)
	switch {
	case len(users) == 0 && mistakes != nil:
		return "", mistakes
	case mistakes != nil:
		g.log.Error("user files cannot be used; their users cannot log in", "error", mistakes)
		return "", nil
	case len(users) > 0:
		return "", nil
	}
	password = auth.GeneratePassword()
	hash, err := auth.HashPassword(password)
	if err != nil {
		return "", err
	}
	return password, g.users.Put(ctx, auth.User{
		Name:         firstUserName,
		PasswordHash: hash,
		Mounts:       []auth.Mount{{Path: "/", Permissions: auth.Permissions(storage.PermReadWrite)}},
	})
}

const firstUserName = "user"

// announce says where it runs and how to connect. It fits 80 columns.
func (s *serving) announce(e *env, password string) {
	var b strings.Builder
	fmt.Fprintf(&b, "The gateway is running. Its files are in %s\n\n", storagePlace(s.g.cfg, config.DefaultStorage))
	if s.sftp != nil {
		fmt.Fprintf(&b, "  SFTP   %s\n         %s\n", s.sftp.Addr(), strings.Join(sftpsrv.Fingerprints(s.keys.Load().used), "\n         "))
	}
	if s.https != nil {
		fmt.Fprintf(&b, "  HTTPS  https://%s/\n         certificate %s\n", s.https.Addr(), sha256Lines(certificateSum(s.certs)))
		if domains := s.g.cfg.HTTPS.ACME.Domains; len(domains) > 0 {
			fmt.Fprintf(&b, "         and by ACME for %s\n", strings.Join(domains, "\n                         "))
		}
	}
	s.announceAdmin(&b)
	if password != "" {
		fmt.Fprintf(&b, "\nA first user was made; the password is shown only this once:\n\n  %s  %s\n", firstUserName, password)
		s.announceCommands(&b)
	}
	s.announceFirstAdmin(&b)
	if n := scheduled(s.jobs.Jobs); n > 0 {
		fmt.Fprintf(&b, "\n%d migrations and pushes run by schedule; see: gateway jobs\n", n)
	}
	if s.loopbackOnly() {
		b.WriteString("\nOnly this machine can connect. To open it to others, set sftp.listen and\nhttps.listen in gateway.yaml; see docs/configuration.md.\n")
	}
	if s.manager == nil {
		b.WriteString("\nStop with Ctrl-C.\n")
	} else if users, mistakes := s.g.users.List(e.ctx); len(users) == 0 && mistakes == nil {
		b.WriteString("\nThere are no users yet. Add one: gateway user add NAME --generate\n")
	}
	fmt.Fprint(e.out, b.String())
}

func (s *serving) announceCommands(b *strings.Builder) {
	b.WriteString("\nOpen the HTTPS address in a browser, or connect with:\n\n")
	if s.sftp != nil {
		host, port, _ := net.SplitHostPort(s.sftp.Addr().String())
		fmt.Fprintf(b, "  sftp -P %s %s@%s\n", port, firstUserName, reachable(host))
	}
	if s.https != nil {
		host, port, _ := net.SplitHostPort(s.https.Addr().String())
		at := net.JoinHostPort(reachable(host), port)
		fmt.Fprintf(b, "  curl -k -u %s -T FILE https://%s/\n", firstUserName, at)
		fmt.Fprintf(b, "  rclone copy --no-check-certificate --webdav-url https://%s \\\n    --webdav-user %s --webdav-pass \"$(rclone obscure PASSWORD)\" DIR :webdav:\n", at, firstUserName)
	}
}

// reachable is the host to name in a command: this machine for "every address".
func reachable(host string) string {
	if ip := net.ParseIP(host); ip != nil && ip.IsUnspecified() {
		return "127.0.0.1"
	}
	return host
}

func (s *serving) loopbackOnly() bool {
	for _, l := range []net.Listener{s.sftp, s.https, s.admin.listener} {
		if l == nil {
			continue
		}
		if a, ok := l.Addr().(*net.TCPAddr); !ok || !a.IP.IsLoopback() {
			return false
		}
	}
	return true
}

// sha256Lines breaks a fingerprint so that it can be compared by eye.
func sha256Lines(hexsum string) string {
	return "SHA256 " + hexsum[:32] + "\n                            " + hexsum[32:]
}

// run serves until the context ends or a front end fails.
func (s *serving) run(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var wg sync.WaitGroup
	start := func(name string, serve func(context.Context) error) {
		wg.Go(func() {
			err := serve(ctx)
			switch {
			case err == nil:
			case ctx.Err() == nil:
				cancel(fmt.Errorf("%s: %w", name, err))
			default: // it was to end
				s.g.log.Warn("not everything ended well", "part", name, "error", err)
			}
		})
	}
	if s.sftp != nil {
		c, err := s.sftpConfig(s.g.cfg, *s.keys.Load())
		if err != nil {
			return err
		}
		srv, err := sftpsrv.New(c)
		if err != nil {
			return err
		}
		s.sftpServer = srv
		start("sftp", func(ctx context.Context) error { return srv.Serve(ctx, s.sftp) })
	}
	if s.https != nil {
		browsers, err := s.newPage(ctx)
		if err != nil {
			return err
		}
		h, err := webdav.New(webdav.Config{
			Auth: s.logins, Open: s.g.view, Locks: lockAfter{s.g.state, s.g.changes}, Properties: s.g.state, Logger: s.g.log.With("front", "https"),
			Page: browsers,
		})
		if err != nil {
			return err
		}
		h.SetLimits(webLimits(s.g.cfg))
		h.SetClients(s.webClients(s.g.cfg.HTTPS))
		s.handler = h
		start("https", func(ctx context.Context) error { return h.Serve(ctx, s.https, s.certs.TLS()) })
	}
	if s.admin.listener != nil {
		serve, err := s.newAdmin()
		if err != nil {
			return err
		}
		start("admin", serve)
	}
	wg.Go(func() { every(ctx, sweepEvery, s.g.sweep) })
	wg.Go(func() { every(ctx, recoverEvery, s.g.recoverRenames) })
	wg.Go(func() { s.g.events.run(ctx) })
	if s.g.cfg.State.Shared() {
		start("quotas", s.g.shareQuotas)
	}
	s.runner.replace(ctx, s.jobs)
	start("migrations", s.migrations)
	if s.https != nil && s.g.cfg.HTTPS.ACME.HTTPListen != "" {
		start("https.acme", s.serveChallenges)
	}
	wg.Go(func() { s.certs.Watch(ctx) })
	wg.Go(func() { s.reloads(ctx, s.hangUps, s.load) })
	wg.Go(func() { s.watch(ctx) })
	s.manager.Status(s.status())
	s.tell(phaseReady)
	wg.Go(func() { // and is waited for, so that it is said however quickly the rest ends
		<-ctx.Done()
		s.tell(phaseStopping)
		s.g.log.Info("stopping: transfers may go on for a while; a second signal cuts them off", "for", s.cfg.Load().ShutdownTime().String())
	})
	wg.Wait()
	if cause := context.Cause(ctx); cause != nil && !errors.Is(cause, context.Canceled) {
		return cause
	}
	s.g.log.Info("stopped")
	return nil
}

func (s *serving) sftpConfig(all config.Config, keys hostKeys) (sftpsrv.Config, error) {
	c := all.SFTP
	rekey, err := rekeyBytes(c)
	return sftpsrv.Config{
		HostKeys: keys.used, NextHostKeys: keys.next,
		Auth: s.logins, Open: s.g.view, Logger: s.g.log.With("front", "sftp"),
		MaxConnections: c.Connections, MaxPerAddress: c.PerAddress, MaxUnauthenticated: c.Unauthenticated,
		HandshakeTimeout: c.HandshakeTimeout, KeepAlive: c.KeepAlive, IdleTimeout: c.IdleTimeout, StallTimeout: c.StallTimeout,
		ShutdownTimeout: all.ShutdownTime(),
		RekeyBytes:      rekey, Banner: c.Banner, LegacyAlgorithms: c.LegacyAlgorithms,
	}, err
}

// rekeyBytes reads sftp.rekey; 0 means the default.
func rekeyBytes(c config.SFTP) (int64, error) {
	if c.Rekey == "" {
		return 0, nil
	}
	n, err := auth.ParseBytes(c.Rekey)
	if err == nil && n < 1<<20 {
		err = errors.New("must be at least 1MiB")
	}
	if err != nil {
		return 0, fmt.Errorf("sftp.rekey: %w", err)
	}
	return int64(n), nil
}

// migrations waits for the jobs. When the context ends, each run makes durable what it has
// fetched of its files and ends. One that takes longer than transfers may is left to the next
// start, as after a kill.
func (s *serving) migrations(ctx context.Context) error {
	<-ctx.Done()
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		s.runner.wait()
	}()
	select {
	case <-ended:
	case <-time.After(s.cfg.Load().ShutdownTime()):
		s.g.log.Warn("a migration did not end in time; the next start goes on with it")
	}
	return nil
}

// every calls do at each interval, the first time after one, until ctx ends.
func every(ctx context.Context, interval time.Duration, do func(context.Context)) {
	t := time.NewTicker(interval)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
			do(ctx)
		}
	}
}

// sweep removes what expired in the staging folders.
func (g *gateway) sweep(ctx context.Context) {
	swept := maps.Clone(g.storages)
	for name, spool := range g.mounts.spools {
		swept[name+" (spool)"] = spool
	}
	for name, b := range swept {
		if err := b.Sweep(ctx); err != nil && ctx.Err() == nil {
			g.log.Warn("old uploads could not be removed", slog.String("storage", name), slog.Any("error", err))
		}
	}
	if err := g.endOrphans(ctx); err != nil && ctx.Err() == nil {
		g.log.Warn("links that users shared who are gone could not be ended", slog.Any("error", err))
	}
	if err := g.expireUploads(ctx, time.Now()); err != nil && ctx.Err() == nil {
		g.log.Warn("interrupted uploads could not be removed", slog.Any("error", err))
	}
}
