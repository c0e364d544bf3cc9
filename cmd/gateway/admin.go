package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strings"
	"time"

	"gateway/admin"
	"gateway/audit"
	"gateway/auth"
	"gateway/config"
	"gateway/ftpbridge"
	"gateway/state"
	"gateway/storage"
)

// firstAdminName is who may log in to the operator's page before others are made.
const firstAdminName = "admin"

// operatorSide is what the operator's page needs of serve.
type operatorSide struct {
	listener net.Listener // nil: off
	control  *ftpbridge.Control
	admins   *auth.Users
	logins   *auth.Logins
	tokens   *admin.Tokens
	watch    *admin.Watch
	recent   *admin.Recent
	password string // of the first administrator, if it was made now
}

// keepRecent has the operator's page show the latest warnings of the log.
func (g *gateway) keepRecent() *admin.Recent {
	recent := admin.NewRecent(g.log.Handler())
	g.log = slog.New(recent)
	return recent
}

// openAdmin opens who may log in to the operator's page, and watches the users.
func (s *serving) openAdmin() (err error) {
	s.admin.control = ftpbridge.NewControl()
	if s.g.cfg.Admin.Off {
		return nil
	}
	a := &s.admin
	a.watch = admin.NewWatch()
	s.g.observers = append(s.g.observers, a.watch)
	s.logins.AddWatch(a.countLogin)
	if a.admins, err = auth.OpenUsers(s.g.cfg.AdminsDir()); err != nil {
		return err
	}
	if a.tokens, err = openTokens(s.g.cfg); err != nil {
		return err
	}
	if a.logins, err = auth.NewLogins(a.admins, s.guard, s.g.log.With("front", "admin")); err != nil {
		return err
	}
	a.logins.SetCodes(adminCodes{s.g.state})
	return nil
}

// adminCodes keeps the codes of administrators apart from those of users of the same name.
type adminCodes struct{ codes state.Codes }

// TryCode implements state.Codes.
func (c adminCodes) TryCode(ctx context.Context, name string) (int, time.Duration, error) {
	return c.codes.TryCode(ctx, "administrator "+name)
}

// UseCode implements state.Codes.
func (c adminCodes) UseCode(ctx context.Context, name, code string, step int64) error {
	return c.codes.UseCode(ctx, "administrator "+name, code, step)
}

func openTokens(c config.Config) (*admin.Tokens, error) {
	return admin.OpenTokens(filepath.Join(c.AdminsDir(), "tokens"))
}

// firstAdmin makes an administrator where there is none.
func (s *serving) firstAdmin(ctx context.Context) error {
	if s.admin.listener == nil {
		return nil
	}
	all, mistakes := s.admin.admins.List(ctx)
	switch {
	case mistakes != nil:
		s.g.log.Error("files of administrators cannot be used; they cannot log in", "error", mistakes)
		return nil
	case len(all) > 0:
		return nil
	}
	password := auth.GeneratePassword()
	hash, err := auth.HashPassword(password)
	if err != nil {
		return err
	}
	s.admin.password = password
	return s.admin.admins.Put(ctx, auth.User{Name: firstAdminName, PasswordHash: hash})
}

// announceAdmin says where the operator's page is.
func (s *serving) announceAdmin(b *strings.Builder) {
	if s.admin.listener == nil {
		return
	}
	fmt.Fprintf(b, "  Admin  https://%s/\n", s.admin.listener.Addr())
	if s.https == nil {
		fmt.Fprintf(b, "         certificate %s\n", sha256Lines(certificateSum(s.certs)))
	}
}

// announceFirstAdmin shows the password of an administrator who was made now.
func (s *serving) announceFirstAdmin(b *strings.Builder) {
	if s.admin.password != "" {
		fmt.Fprintf(b, "\nAn administrator was made, for the operator's page; shown only this once:\n\n  %s  %s\n", firstAdminName, s.admin.password)
	}
}

// countLogin counts what became of a login of a user.
func (a *operatorSide) countLogin(ctx context.Context, e auth.LoginEvent) {
	if e.Kind == auth.LoggedIn || e.Kind == auth.LoginRefused {
		a.watch.LoggedIn(storage.OriginOf(ctx).Protocol, e.Kind == auth.LoggedIn)
	}
}

// noteAct writes an act of the operator into the audit log.
func (s *serving) noteAct(ctx context.Context, a admin.Act) {
	o := storage.OriginOf(ctx)
	e := audit.Entry{Verb: audit.Admin, Result: audit.OK, User: a.By, Address: o.Address, Protocol: "admin", Ref: a.What, Path: a.Object, Reason: a.Reason}
	switch a.What {
	case "login":
		e.Verb, e.Ref = audit.Login, ""
	case "logout":
		e.Verb, e.Ref = audit.Logout, ""
	}
	if a.Err != nil {
		e.Result, e.Reason = audit.Failed, a.Err.Error()
		for _, refused := range []error{admin.ErrNotFound, admin.ErrConflict, admin.ErrInvalid, admin.ErrToken, auth.ErrCredentials, auth.ErrBanned, auth.ErrDisabled} {
			if errors.Is(a.Err, refused) {
				e.Result = audit.Refused
			}
		}
	}
	if errors.Is(a.Err, auth.ErrBanned) { // for which there is a line already, and there may be very many
		return
	}
	s.g.note(e)
	if e.Verb == audit.Login && e.Result == audit.Refused && s.guard.Allowed(o.Address) != nil { // as auth.Logins tells of users
		s.g.note(audit.Entry{Verb: audit.Ban, Result: audit.OK, User: a.By, Address: o.Address, Protocol: e.Protocol, Reason: tooManyLogins})
	}
}

// scheduled counts the jobs that run by themselves.
func scheduled(jobs []ftpbridge.ScheduledJob) (n int) {
	for _, j := range jobs {
		if j.Schedule != nil {
			n++
		}
	}
	return n
}

// newAdmin makes the operator's page; serve runs it.
func (s *serving) newAdmin() (serve func(context.Context) error, err error) {
	a, c := &s.admin, s.g.cfg.Admin
	srv, err := admin.New(admin.Config{
		Auth: a.logins, Tokens: a.tokens, Watch: a.watch, Recent: a.recent, Logger: s.g.log.With("front", "admin"),
		MetricsOpen: c.MetricsOpen, Pprof: c.Pprof, Version: buildVersion(),
		Parts: admin.Parts{
			Sessions: operatorSessions{s}, Jobs: operatorJobs{s.now, a.control}, Quarantine: operatorQuarantine{s.g}, Bans: operatorBans{s.guard, s.g.state},
			Storages: operatorStorages{s.g}, Users: operatorUsers{s.g, operatorSessions{s}},
			Certificates: operatorCertificates{s},
			Ready:        s.readyChecks(),
			Outbox:       s.g.state.CountDeliveries,
		},
		Audit: s.noteAct,
	})
	if err != nil {
		return nil, err
	}
	return func(ctx context.Context) error { return srv.Serve(ctx, a.listener, s.adminTLS()) }, nil
}

// now is the gateway with the configuration that is in force.
func (s *serving) now() *gateway {
	g := *s.g
	g.cfg = *s.cfg.Load()
	return &g
}

// adminTLS has the certificates of HTTPS, and asks clients for none of their own.
func (s *serving) adminTLS() *tls.Config {
	c := s.certs.TLS()
	present := c.GetConfigForClient
	c.GetConfigForClient = func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
		made, err := present(hello)
		if err != nil {
			return nil, err
		}
		made = made.Clone()
		made.ClientAuth, made.ClientCAs = tls.NoClientCert, nil
		return made, nil
	}
	return c
}

func buildVersion() admin.Version {
	v := admin.Version{Version: "(unknown)", Go: runtime.Version()}
	if info, ok := debug.ReadBuildInfo(); ok {
		v.Version = info.Main.Version
		for _, s := range info.Settings {
			if s.Key == "vcs.revision" {
				v.Revision = s.Value[:min(12, len(s.Value))]
			}
		}
	}
	return v
}

// readyChecks are what serve needs in order to serve: the database, the storages, the listeners.
func (s *serving) readyChecks() []admin.Check {
	checks := []admin.Check{{Name: "state", Test: func(ctx context.Context) error {
		_, err := s.g.state.FailuresOf(ctx, "192.0.2.0/32") // of a network that is nobody's (RFC 5737)
		return err
	}}}
	for _, name := range s.g.folders() {
		checks = append(checks, admin.Check{Name: "storage " + name, Test: func(ctx context.Context) error {
			_, err := s.g.storages[name].Stat(ctx, "")
			return err
		}})
	}
	if s.sftp != nil {
		checks = append(checks, admin.Check{Name: "sftp", Test: func(ctx context.Context) error {
			l := s.cfg.Load().SFTP.Listener
			l.Listen = s.sftp.Addr().String()
			return checkSSH(ctx, l)
		}})
	}
	if s.https != nil {
		checks = append(checks, admin.Check{Name: "https", Test: func(ctx context.Context) error {
			h := s.cfg.Load().HTTPS
			h.Listen = s.https.Addr().String()
			return checkHTTPS(ctx, h)
		}})
	}
	return checks
}
