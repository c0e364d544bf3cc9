package main

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"gateway/config"
)

// reloading is a gateway that runs, to be told to read its configuration again.
type reloading struct {
	t      *testing.T
	e      *env
	s      *serving
	log    *syncBuffer
	signal chan os.Signal
	told   chan phase
}

const quietListeners = "sftp:\n  listen: 127.0.0.1:0\nhttps:\n  listen: 127.0.0.1:0\nadmin:\n  listen: 127.0.0.1:0\n"

func startReloading(t *testing.T) (r *reloading, stop func()) {
	t.Helper()
	e, _, _ := newEnv(t)
	r = &reloading{t: t, e: e, log: &syncBuffer{}, signal: make(chan os.Signal), told: make(chan phase, 10)}
	e.err = r.log
	r.write(quietListeners)
	g := openGateway(t, e)
	var err error
	if r.s, err = newServing(g); err != nil {
		t.Fatal(err)
	}
	if err := r.s.listen(); err != nil {
		t.Fatal(err)
	}
	r.s.hangUps, r.s.load = r.signal, e.config
	r.s.notify = func(p phase) { r.told <- p }
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- r.s.run(ctx) }()
	r.expect(phaseReady)
	return r, func() {
		t.Helper()
		cancel()
		r.expect(phaseStopping)
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
}

func (r *reloading) write(text string) {
	r.t.Helper()
	if err := os.WriteFile(config.DefaultFile, []byte(text), 0o600); err != nil {
		r.t.Fatal(err)
	}
}

// expect waits for what whoever started the gateway is told next.
func (r *reloading) expect(want phase) {
	r.t.Helper()
	select {
	case got := <-r.told:
		if got != want {
			r.t.Errorf("it says %q, want %q", got, want)
		}
	case <-time.After(time.Minute):
		r.t.Fatalf("it does not say %q: %s", want, r.log)
	}
}

// reload has another configuration read, and returns what is logged of it.
func (r *reloading) reload(text string) string {
	r.t.Helper()
	r.write(text)
	before := len(r.log.String())
	r.signal <- os.Interrupt
	r.expect(phaseReloading)
	r.expect(phaseReady)
	return r.log.String()[before:]
}

// TestReloadIsToldOf: whoever started the gateway learns of each step, and of a configuration that cannot be only that
// it is over.
func TestReloadIsToldOf(t *testing.T) {
	r, stop := startReloading(t)
	defer stop()
	if log := r.reload(quietListeners + "logins:\n  failures: 3\n"); !strings.Contains(log, "changed=logins.failures") {
		t.Errorf("log: %s", log)
	}
	if got := r.s.cfg.Load().Logins.Failures; got != 3 {
		t.Errorf("%d failures are in force", got)
	}
	const source = "sources:\n  a:\n    url: ftp://127.0.0.1:1/\n    to: %s\n"
	if log := r.reload(quietListeners + "storages:\n  new:\n    path: new\n" + fmt.Sprintf(source, "new:x")); !strings.Contains(log, `there is no storage \"new\"`) || !strings.Contains(log, "needs a restart") {
		t.Errorf("log: %s", log)
	}
	if c := r.s.cfg.Load(); c.Logins.Failures != 3 || len(c.Sources) > 0 {
		t.Error("part of what was refused is in force")
	}
	log := r.reload(quietListeners + "storages:\n  new:\n    path: new\n" + fmt.Sprintf(source, "x") + "log:\n  format: json\nhttps:\n")
	if !strings.Contains(log, "already defined") && !strings.Contains(log, "mapping key") {
		t.Errorf("log: %s", log)
	}
	log = r.reload(quietListeners + "storages:\n  new:\n    path: new\n" + fmt.Sprintf(source, "x") + "log:\n  format: json\n")
	if !strings.Contains(log, `keys="log.format, storages.new"`) || !strings.Contains(log, `changed="logins.failures, sources.a"`) {
		t.Errorf("log: %s", log)
	}
	if _, ok := r.s.cfg.Load().Storages["new"]; ok {
		t.Error("a storage that needs a restart is in force")
	}
}

// TestLiveKeys: a key that nobody has said anything of needs a restart.
func TestLiveKeys(t *testing.T) {
	var now []string
	for _, key := range []string{"data", "state.url", "storages.a", "sftp.listen", "sftp.banner", "https.off", "https.acme.domains", "https.acme.http_listen", "log.level", "log.format", "sources.a", "something.new"} {
		if live(key) {
			now = append(now, key)
		}
	}
	if want := []string{"sftp.banner", "https.acme.domains", "log.level", "sources.a"}; !slices.Equal(now, want) {
		t.Errorf("%q count at once, want %q", now, want)
	}
}
