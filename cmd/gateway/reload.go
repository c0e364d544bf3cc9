package main

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"

	"gateway/auth"
	"gateway/config"
	"gateway/ftpbridge"
	"gateway/internal/certificate"
	"gateway/sftpsrv"
	"gateway/webdav"
)

// phase is what whoever started the gateway is told of it (serving.notify).
type phase string

const (
	phaseReady     phase = "ready"     // it serves; also after a reload, whatever came of that
	phaseReloading phase = "reloading" // it reads its configuration again
	phaseStopping  phase = "stopping"  // it ends, and takes nothing new
)

// live reports whether a changed key counts for what begins after a reload. All others need a restart:
// something is open that was made of them.
func live(key string) bool {
	fixed := []string{"sftp.listen", "sftp.off", "https.listen", "https.off", "https.acme.http_listen", "log.format"}
	if slices.Contains(fixed, key) {
		return false
	}
	part, _, _ := strings.Cut(key, ".")
	return slices.Contains([]string{"sftp", "https", "logins", "log", "limits", "sources", "pushes", "shutdown_timeout"}, part)
}

// reloads reads the configuration again with each signal, until ctx ends.
func (s *serving) reloads(ctx context.Context, signals <-chan os.Signal, load func() (config.Config, error)) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-signals:
			s.tell(phaseReloading)
			next, err := load()
			if err == nil {
				err = s.reload(ctx, next)
			}
			s.g.noteReload(err)
			if err != nil {
				s.g.log.Error("the configuration has mistakes, and the one before is kept", "error", err)
			}
			s.tell(phaseReady)
		}
	}
}

// reload puts another configuration into force for what begins from now on. When it fails nothing has
// changed.
func (s *serving) reload(ctx context.Context, next config.Config) error {
	if err := checkConfiguration(next); err != nil {
		return err
	}
	running := *s.cfg.Load()
	changed := config.Changed(running, next)
	next = config.Keep(running, next, func(key string) bool { return !live(key) })
	if err := next.Validate(); err != nil { // a job may name a storage that needs a restart
		return fmt.Errorf("%w; part of what was changed needs a restart", err)
	}
	made, err := s.prepare(next)
	if err != nil {
		return err
	}
	if err := s.apply(ctx, made); err != nil {
		return err
	}
	level := logLevel(next.Log)
	s.g.level.Set(min(level, s.g.level.Level())) // until it is told
	s.sayReloaded(running, changed)
	s.g.level.Set(level)
	return nil
}

// prepared is what is made of a configuration before anything is changed.
type prepared struct {
	g     *gateway
	trust *auth.Trust
	certs certificate.Config
	doors doorRules
	keys  hostKeys
	sftp  sftpsrv.Config
	jobs  ftpbridge.Scheduler
}

func (s *serving) prepare(c config.Config) (p prepared, err error) {
	g := *s.g
	g.cfg = c
	p.g = &g
	if p.trust, err = loadTrust(c); err != nil {
		return p, err
	}
	if p.doors, err = allRules(c); err != nil {
		return p, err
	}
	if p.certs, err = certificates(c); err != nil {
		return p, err
	}
	if p.jobs, err = p.g.scheduler(); err != nil {
		return p, err
	}
	p.jobs.Room, p.jobs.Control = s.jobs.Room, s.jobs.Control
	if p.keys, err = loadHostKeys(c); err != nil {
		return p, err
	}
	if p.sftp, err = s.sftpConfig(c, p.keys); err != nil {
		return p, err
	}
	return p, sftpsrv.Check(p.sftp)
}

// apply puts it into force. Only certificates can still fail, whose files are read once more: they come first.
func (s *serving) apply(ctx context.Context, p prepared) error {
	if err := s.certs.Set(p.certs); err != nil {
		return err
	}
	c := p.g.cfg
	if s.sftpServer != nil {
		if err := s.sftpServer.Reconfigure(p.sftp); err != nil {
			return err // unreachable: prepare has checked it
		}
		s.keys.Store(&p.keys) // which the operator's page shows
	}
	if err := s.g.bandwidths.configure(c); err != nil {
		return err // unreachable too
	}
	s.doors.set(p.doors)
	s.logins.SetTrust(p.trust)
	s.guard.SetLimits(guardLimits(c))
	if s.handler != nil {
		s.handler.SetLimits(webLimits(c))
		s.handler.SetClients(s.webClients(c.HTTPS))
	}
	s.jobs = p.jobs
	s.runner.replace(ctx, p.jobs)
	s.cfg.Store(&c)
	return nil
}

// sayReloaded logs what changed, and what of it waits for a restart.
func (s *serving) sayReloaded(before config.Config, changed []string) {
	var now, restart []string
	for _, key := range changed {
		name, isSource := strings.CutPrefix(key, "sources.")
		if !live(key) {
			restart = append(restart, key)
			continue
		}
		now = append(now, key)
		if isSource && before.Mounted(name) {
			restart = append(restart, key+" (as it is mounted)")
		}
	}
	s.g.log.Info("the configuration was read again", "changed", listed(now))
	if len(restart) > 0 {
		s.g.log.Warn("what was changed in the configuration counts from the next start on", "keys", listed(restart))
	}
}

// maxListed is how many keys one line of the log names.
const maxListed = 50

func listed(keys []string) string {
	if len(keys) == 0 {
		return "nothing"
	}
	if more := len(keys) - maxListed; more > 0 {
		keys = append(slices.Clone(keys[:maxListed]), fmt.Sprintf("and %d more", more))
	}
	return strings.Join(keys, ", ")
}

// tell tells whoever wants to know what the gateway is about to do.
func (s *serving) tell(p phase) {
	if s.notify != nil {
		s.notify(p)
	}
}

func guardLimits(c config.Config) auth.GuardLimits {
	return auth.GuardLimits{Failures: c.Logins.Failures, Window: c.Logins.Window, Ban: c.Logins.Ban}
}

func webLimits(c config.Config) webdav.Limits {
	return webdav.Limits{MaxConnections: c.HTTPS.Connections, MaxPerAddress: c.HTTPS.PerAddress, ShutdownTimeout: c.ShutdownTime()}
}

// jobRunner runs the jobs that have a schedule, of one configuration after another.
type jobRunner struct {
	mu   sync.Mutex
	stop context.CancelFunc // begins no further run of the present ones; nil: there are none
	runs sync.WaitGroup
	over bool // there are no more
}

// replace begins no further run of the jobs that there were, and runs others. Runs that are under way end by
// themselves: one of a job that has changed holds the job until then, so that it does not run twice.
func (r *jobRunner) replace(ctx context.Context, jobs ftpbridge.Scheduler) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.over {
		return
	}
	if r.stop != nil {
		r.stop()
	}
	begin, stop := context.WithCancel(ctx)
	r.stop = stop
	r.runs.Go(func() { jobs.RunUntil(ctx, begin) })
}

// wait returns when no run is under way, after the context of replace has ended.
func (r *jobRunner) wait() {
	r.mu.Lock()
	r.over = true
	r.mu.Unlock()
	r.runs.Wait()
}
