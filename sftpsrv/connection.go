package sftpsrv

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"runtime/debug"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/crypto/ssh"
	"golang.org/x/sync/semaphore"

	"gateway/auth"
	"gateway/storage"
)

// connection is one TCP connection, from accept to close.
type connection struct {
	server *Server
	with   *settings // of when it came
	raw    net.Conn
	from   netip.Addr
	place  *ticket
	log    *slog.Logger

	id         auth.Identity // once logged in
	signature  string        // how the user's key signed; "" if none did
	lastActive atomic.Int64  // Unix nanoseconds of the last request
	asked      atomic.Int64  // when a keepalive was sent that is not answered; 0: none
	alive      sync.WaitGroup

	serial string                   // names it to who watches
	about  atomic.Pointer[loggedIn] // nil until the login

	mu       sync.Mutex
	sessions map[*session]struct{}
	commands map[*command]struct{}
	channels int
}

func newConnection(s *Server, with *settings, raw net.Conn, from netip.Addr, place *ticket, log *slog.Logger) *connection {
	return &connection{
		server: s, with: with, raw: raw, from: from, place: place, log: log, serial: s.newSerial(),
		sessions: make(map[*session]struct{}), commands: make(map[*command]struct{}),
	}
}

func (c *connection) close() { c.raw.Close() }

// busy reports whether a client has a file open, waits for an answer, or runs a command.
func (c *connection) busy() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.commands) > 0 {
		return true
	}
	for s := range c.sessions {
		if s.busy() {
			return true
		}
	}
	return false
}

func (c *connection) serve() {
	defer func() {
		if p := recover(); p != nil {
			c.log.Error("connection ended by a defect of the server", "panic", p, "stack", string(debug.Stack()))
		}
	}()
	ctx, cancel := context.WithCancel(c.server.ctx)
	defer cancel()
	ctx = storage.WithOrigin(ctx, storage.Origin{Protocol: "sftp", Address: c.from, Session: c.serial})
	conn, channels, requests, err := c.handshake(ctx)
	if err != nil {
		return // logged by handshake
	}
	defer func() {
		cancel()
		_ = conn.Close()
		_ = conn.Wait() // says how it ended, which is known
		c.alive.Wait()
	}()
	shared, err := c.login(ctx, conn)
	if err != nil {
		c.refused(err, channels, requests)
		return
	}
	c.log.Info("login", "client", string(conn.ClientVersion()))
	began := time.Now()
	c.about.Store(&loggedIn{user: shared.user, client: string(conn.ClientVersion()), since: began})
	c.alive.Go(func() { c.serveRequests(conn, requests) })
	c.announce(conn)
	c.alive.Go(func() { c.watch(ctx, conn) })
	c.serveChannels(ctx, channels, shared)
	lasted := time.Since(began).Round(time.Millisecond)
	c.log.Info("logout", "after", lasted)
	auth.Tell(ctx, c.with.Auth, auth.LoginEvent{Kind: auth.LoggedOut, From: c.from, User: shared.user, Lasted: lasted})
}

// handshake is everything up to a proved identity.
func (c *connection) handshake(ctx context.Context) (*ssh.ServerConn, <-chan ssh.NewChannel, <-chan *ssh.Request, error) {
	if tcp, ok := c.raw.(interface {
		SetKeepAliveConfig(config net.KeepAliveConfig) error
	}); ok {
		// Without it the keepalive of SSH still finds dead peers.
		_ = tcp.SetKeepAliveConfig(net.KeepAliveConfig{Enable: true, Idle: 30 * time.Second, Interval: 15 * time.Second, Count: 4})
	}
	deadline := time.Now().Add(c.with.HandshakeTimeout)
	ctx, cancel := context.WithDeadline(ctx, deadline)
	defer cancel()
	greeted, hello, err := greet(c.raw, deadline)
	if err != nil && len(greeted.read) == 0 { // a balancer looks every few seconds whether somebody is there
		c.log.Debug("went away without a word")
		return nil, nil, nil, err
	}
	if errors.Is(err, errNotSSH) {
		c.logRefused("", err)
		return nil, nil, nil, err
	}
	l := &login{ctx: ctx, auth: c.with.Auth, from: c.from}
	conn, channels, requests, err := ssh.NewServerConn(greeted, l.config(c.with, hello))
	if err != nil {
		l.failed()
		reason := refusal(err)
		c.logRefused(l.user, reason)
		if l.user != "" {
			auth.Tell(ctx, l.auth, auth.LoginEvent{Kind: auth.LoginRefused, From: c.from, User: l.user, By: l.by(), Err: reason})
		}
		return nil, nil, nil, err
	}
	if err := c.raw.SetDeadline(time.Time{}); err != nil {
		_ = conn.Close()
		return nil, nil, nil, err
	}
	c.place.loggedIn()
	c.signature = l.signature
	return conn, channels, requests, nil
}

// refusal is why there was no login: what was wrong with the last attempt.
func refusal(err error) error {
	reason := err
	var failures *ssh.ServerAuthError
	if errors.As(err, &failures) {
		for _, failure := range failures.Errors {
			if !errors.Is(failure, ssh.ErrNoAuth) {
				reason = failure
			}
		}
	}
	var unfinished *ssh.PartialSuccessError
	if errors.As(reason, &unfinished) {
		reason = errStepMissing
	}
	return reason
}

// logRefused says why there was no login. Clients choose part of the text, so it is cut.
func (c *connection) logRefused(user string, reason error) {
	text := reason.Error()
	c.log.Info("no login", "user", user[:min(len(user), maxUser)], "reason", text[:min(len(text), 300)])
}

// login opens what the user sees.
func (c *connection) login(ctx context.Context, conn *ssh.ServerConn) (*resources, error) {
	id, err := identity(conn)
	if err != nil {
		return nil, err
	}
	c.id = id
	config := c.with.Config
	c.log = c.log.With("user", id.User.Name, "by", id.By)
	if agreed, ok := conn.Conn.(ssh.AlgorithmsConnMetadata); ok {
		if old := modern().lacks(agreed.Algorithms(), c.signature); len(old) > 0 {
			c.log.Warn("login with algorithms that are not safe any more", "algorithms", strings.Join(old, ","))
		}
	}
	tree, err := config.Open(ctx, id)
	told := auth.LoginEvent{Kind: auth.LoggedIn, From: c.from, User: id.User.Name, By: id.By, Err: err}
	if err != nil {
		told.Kind = auth.LoginRefused
	}
	auth.Tell(ctx, config.Auth, told)
	if err != nil {
		return nil, err
	}
	c.active()
	return &resources{
		fs: tree, user: id.User.Name, log: c.log,
		pool:       &c.server.pool,
		buffers:    semaphore.NewWeighted(connectionBuffers),
		total:      c.server.buffered,
		workers:    make(chan struct{}, maxWorkers),
		partials:   newPartials(tree, id.User.Name, config.KeepPartial, &c.server.open, time.Now),
		maxHandles: config.MaxHandles,
		keep:       config.KeepPartial,
		now:        time.Now,
		active:     c.active,

		checkpointEvery: config.checkpointEvery,
	}, nil
}

func (c *connection) active() { c.lastActive.Store(time.Now().UnixNano()) }

// watch ends a connection whose client is gone, idle for too long, or does not
// take its answers.
func (c *connection) watch(ctx context.Context, conn *ssh.ServerConn) {
	config := c.with.Config
	period := min(config.KeepAlive, config.StallTimeout)
	if config.IdleTimeout > 0 {
		period = min(period, max(config.IdleTimeout/4, 10*time.Millisecond))
	}
	ticker := time.NewTicker(period)
	defer ticker.Stop()
	login := recheck{id: c.id, at: time.Now()}
	var lastAsked time.Time
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-ticker.C:
			if reason := c.overdue(now); reason != "" {
				c.log.Warn("connection is closed", "reason", reason)
				c.close()
				return
			}
			if c.endedByLogin(ctx, &login, now) {
				c.close()
				return
			}
			if now.Sub(lastAsked) >= config.KeepAlive/2 && c.asked.CompareAndSwap(0, now.UnixNano()) {
				lastAsked = now
				c.alive.Go(func() { c.ask(conn) })
			}
		}
	}
}

func (c *connection) overdue(now time.Time) string {
	const untaken = "the client does not take its answers"
	config := c.with.Config
	if asked := c.asked.Load(); asked != 0 && now.Sub(time.Unix(0, asked)) > 3*config.KeepAlive {
		return "the client does not answer"
	}
	if config.IdleTimeout > 0 && now.Sub(time.Unix(0, c.lastActive.Load())) > config.IdleTimeout {
		return "idle for too long"
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for s := range c.sessions {
		if s.out.stalled(now, config.StallTimeout) {
			return untaken
		}
	}
	for cmd := range c.commands {
		if cmd.stalled(now, config.StallTimeout) {
			return untaken
		}
	}
	return ""
}

// ask sends a keepalive and waits for any answer to it.
func (c *connection) ask(conn *ssh.ServerConn) {
	if _, _, err := conn.SendRequest("keepalive@openssh.com", true, nil); err == nil {
		c.asked.Store(0)
	}
}

// serveChannels serves sessions until the connection ends, and waits for them.
func (c *connection) serveChannels(ctx context.Context, channels <-chan ssh.NewChannel, shared *resources) {
	var wait sync.WaitGroup
	defer wait.Wait()
	for open := range channels {
		if open.ChannelType() != "session" {
			_ = open.Reject(ssh.UnknownChannelType, "only sessions are served here")
			continue
		}
		if !c.takeChannel() {
			_ = open.Reject(ssh.ResourceShortage, "too many sessions")
			continue
		}
		wait.Go(func() {
			defer c.freeChannel()
			c.serveChannel(ctx, open, shared)
		})
	}
}

func (c *connection) takeChannel() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.channels >= maxChannels {
		return false
	}
	c.channels++
	return true
}

func (c *connection) freeChannel() {
	c.mu.Lock()
	c.channels--
	c.mu.Unlock()
}

// subsystemRequest is the payload of the request, RFC 4254 section 6.5.
type subsystemRequest struct{ Name string }

// execRequest is the payload of the request, RFC 4254 section 6.5.
type execRequest struct{ Command string }

// exitStatus is the payload of exit-status, RFC 4254 section 6.10.
type exitStatus struct{ Status uint32 }

// serveChannel serves one channel. It returns when both sides have closed it: before
// that the library keeps its state, which must count.
func (c *connection) serveChannel(ctx context.Context, open ssh.NewChannel, shared *resources) {
	channel, requests, err := open.Accept()
	if err != nil {
		return
	}
	wanted := choosePurpose(requests)
	commandCtx, cancel := context.WithCancel(ctx)
	defer cancel()
	var discard sync.WaitGroup
	discard.Go(func() {
		ssh.DiscardRequests(requests)
		cancel() // the client has closed the channel, and takes nothing more
	})
	var status exitStatus
	switch wanted.purpose {
	case purposeSFTP:
		if err := c.serveSFTP(ctx, channel, shared); err != nil {
			status.Status = 255 // as OpenSSH's sftp-server
		}
	case purposeCommand:
		status.Status = c.serveCommand(commandCtx, channel, shared, wanted.command)
	case purposeShell:
		_, _ = io.WriteString(channel.Stderr(), onlyThese)
		status.Status = exitFailure
	}
	if wanted.purpose != purposeNone {
		// Answers to a client that is gone are lost, and so are the errors of sending them.
		_, _ = channel.SendRequest("exit-status", false, ssh.Marshal(status))
	}
	_ = channel.Close()
	discard.Wait()
}

// purpose is what a channel is for.
type purpose int

const (
	purposeNone purpose = iota // the client closed it before it said
	purposeSFTP
	purposeCommand
	purposeShell
)

// wanted is what a client asked a channel to be.
type wanted struct {
	purpose
	command string
}

// choosePurpose waits for the request that says what a channel is for.
func choosePurpose(requests <-chan *ssh.Request) wanted {
	for r := range requests {
		var granted wanted
		switch r.Type {
		case "subsystem":
			var asked subsystemRequest
			if ssh.Unmarshal(r.Payload, &asked) == nil && asked.Name == "sftp" {
				granted.purpose = purposeSFTP
			}
		case "exec":
			var asked execRequest
			if ssh.Unmarshal(r.Payload, &asked) == nil {
				granted = wanted{purposeCommand, asked.Command}
			}
		case "shell":
			granted.purpose = purposeShell
		default: // pty-req, env, x11-req, auth-agent-req and the like
		}
		if err := r.Reply(granted.purpose != purposeNone, nil); err != nil {
			return wanted{}
		}
		if granted.purpose != purposeNone {
			return granted
		}
	}
	return wanted{}
}

// serveCommand carries out a command line.
func (c *connection) serveCommand(ctx context.Context, channel ssh.Channel, shared *resources, line string) (status uint32) {
	cmd := newCommand(ctx, shared, channel, channel, channel.Stderr())
	c.mu.Lock()
	c.commands[cmd] = struct{}{}
	c.mu.Unlock()
	defer func() {
		if p := recover(); p != nil {
			c.log.Error("command failed by a defect of the server", "panic", p, "stack", string(debug.Stack()))
			status = exitFailure
		}
		c.mu.Lock()
		delete(c.commands, cmd)
		c.mu.Unlock()
		c.server.noteChange()
	}()
	c.active()
	status = cmd.run(line)
	c.log.Debug("command", "line", line[:min(len(line), 200)], "status", status)
	return status
}

func (c *connection) serveSFTP(ctx context.Context, channel ssh.Channel, shared *resources) error {
	s := newSession(ctx, shared, channel, channel)
	s.hangUp = func() { _ = channel.Close() }
	c.mu.Lock()
	c.sessions[s] = struct{}{}
	c.mu.Unlock()
	defer func() {
		c.mu.Lock()
		delete(c.sessions, s)
		c.mu.Unlock()
		c.server.noteChange()
	}()
	err := s.serve()
	if err != nil && !errors.Is(err, context.Canceled) {
		c.log.Warn("session ended early", "error", err)
	}
	return err
}
