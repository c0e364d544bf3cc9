package main

import (
	"bytes"
	"context"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// listening is a gateway that listens and answers nobody yet.
func listening(t *testing.T) *serving {
	t.Helper()
	e, _, _ := newEnv(t)
	if err := os.WriteFile("gateway.yaml", []byte("sftp: {listen: '127.0.0.1:0'}\nhttps: {listen: '127.0.0.1:0', connections: 1}\nadmin: {off: true}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	s, err := newServing(openGateway(t, e))
	if err != nil {
		t.Fatal(err)
	}
	if err := s.listen(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.closeListeners() })
	return s
}

// TestWorksIsNoTimer: front ends that nobody serves, though the kernel takes their connections, and a database that is
// gone, are found; and while all is well, also with as many clients as may be, nothing is.
func TestWorksIsNoTimer(t *testing.T) {
	s := listening(t)
	short, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	err := s.works(short)
	if err == nil || !strings.Contains(err.Error(), "sftp does not answer") || !strings.Contains(err.Error(), "https does not answer") {
		t.Fatalf("nobody serves: %v", err)
	}

	ctx, stop := context.WithCancel(t.Context())
	ready := make(chan struct{})
	s.notify = func(p phase) {
		if p == phaseReady {
			close(ready)
		}
	}
	ended := make(chan error, 1)
	go func() { ended <- s.run(ctx) }()
	<-ready
	long, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for err = s.works(long); err != nil && long.Err() == nil; err = s.works(long) {
	}
	if err != nil {
		t.Errorf("it serves: %v", err)
	}
	client, err := net.Dial("tcp", s.https.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	for !s.handler.Full() && long.Err() == nil {
		time.Sleep(time.Millisecond)
	}
	if err := s.works(long); err != nil {
		t.Errorf("all connections are taken: %v", err)
	}
	client.Close()
	stop()
	if err := <-ended; err != nil {
		t.Error(err)
	}

	if err := s.g.state.Close(); err != nil {
		t.Fatal(err)
	}
	s.sftp, s.https = nil, nil
	if err := s.works(t.Context()); err == nil || !strings.Contains(err.Error(), "the database does not answer") {
		t.Errorf("the database is closed: %v", err)
	}
}

func TestNotifier(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "notify")
	l, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: socket, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	var log bytes.Buffer
	env := map[string]string{"NOTIFY_SOCKET": socket, "WATCHDOG_USEC": "3000000", "WATCHDOG_PID": "1"}
	getenv := func(key string) string { return env[key] }
	n, err := newNotifier(getenv, slog.New(slog.NewTextHandler(&log, nil)))
	if err != nil {
		t.Fatal(err)
	}
	defer n.close()
	if n.watchdog != 0 {
		t.Errorf("the watchdog of another process: %v", n.watchdog)
	}
	delete(env, "WATCHDOG_PID")
	if d, err := watchdogTime(getenv); d != 3*time.Second || err != nil {
		t.Errorf("%v, %v", d, err)
	}
	for _, bad := range []string{"0", "-1", "soon", "99999999999999999"} {
		env["WATCHDOG_USEC"] = bad
		if d, err := watchdogTime(getenv); err == nil {
			t.Errorf("WATCHDOG_USEC=%s is %v", bad, d)
		}
	}
	for _, tt := range []struct {
		say  func()
		want string
	}{
		{n.Ready, `^READY=1$`},
		{n.Reloading, `^RELOADING=1\nMONOTONIC_USEC=[1-9]\d*$`},
		{func() { n.Stopping(time.Minute) }, `^STOPPING=1\nWATCHDOG=1\nEXTEND_TIMEOUT_USEC=75000000$`},
		{func() { n.Status("two\nREADY=1") }, `^STATUS=two$`},
		{func() { n.Status(strings.Repeat("ä", maxStatus)) }, `^STATUS=(ä){100}$`},
	} {
		tt.say()
		message := make([]byte, 1000)
		length, err := l.Read(message)
		if err != nil || !regexp.MustCompile(tt.want).Match(message[:length]) {
			t.Errorf("%q (%v), want %s", message[:length], err, tt.want)
		}
	}
	l.Close()
	n.Ready() // to nobody
	if !strings.Contains(log.String(), "the service manager cannot be told") {
		t.Errorf("the log: %s", &log)
	}
	var nobody *notifier
	nobody.Ready()
	nobody.Status("is not asked for")
	if err := nobody.close(); err != nil {
		t.Error(err)
	}
}

// TestWatchSaysNothing: while the gateway does not answer itself, the watchdog is not held off.
func TestWatchSaysNothing(t *testing.T) {
	s := listening(t)
	socket := filepath.Join(t.TempDir(), "notify")
	l, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: socket, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	errs := &countedErrors{}
	s.g.log = slog.New(errs)
	if s.manager, err = newNotifier(func(key string) string {
		return map[string]string{"NOTIFY_SOCKET": socket, "WATCHDOG_USEC": "90000"}[key]
	}, s.g.log); err != nil {
		t.Fatal(err)
	}
	defer s.manager.close()
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() { s.watch(ctx); close(ended) }()
	for errs.n.Load() < 3 && t.Context().Err() == nil {
		time.Sleep(time.Millisecond)
	}
	stop()
	<-ended
	if err := l.SetReadDeadline(time.Now().Add(-time.Second)); err != nil {
		t.Fatal(err)
	}
	message := make([]byte, 100)
	if n, err := l.Read(message); err == nil {
		t.Errorf("it said %q", message[:n])
	}
}

// countedErrors counts what is logged as an error.
type countedErrors struct{ n atomic.Int64 }

func (c *countedErrors) Enabled(context.Context, slog.Level) bool { return true }
func (c *countedErrors) WithAttrs([]slog.Attr) slog.Handler       { return c }
func (c *countedErrors) WithGroup(string) slog.Handler            { return c }
func (c *countedErrors) Handle(_ context.Context, r slog.Record) error {
	if r.Level >= slog.LevelError {
		c.n.Add(1)
	}
	return nil
}
