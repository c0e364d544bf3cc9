package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"gateway/audit"
	"gateway/auth"
	"gateway/config"
	"gateway/storage"
)

// auditKeyFile is in the folder of keys; what is behind its name is audit.PublicSuffix for the public ones.
const auditKeyFile = "audit_ed25519_key"

// tooManyLogins is why an address is banned.
const tooManyLogins = "too many failed logins"

var errNoAudit = errors.New("the audit log cannot be written, and audit.on_failure says that nothing is done then")

// auditing is the audit log of a process, opened with the first entry.
type auditing struct {
	mu       sync.Mutex
	log      *audit.Log // nil: off, or not opened yet
	failed   error      // why it could not be opened
	protocol string     // of what is no user's: "job" in serve; "" is "command"
}

// auditOptions reads how the log is to be kept.
func auditOptions(c config.Config) (audit.Options, error) {
	a := c.Audit
	o := audit.Options{Dir: c.AuditDir(), Node: a.Node, RotateEvery: a.RotateEvery, Keep: a.Keep, Always: a.Sync == "always", HeadEvery: a.HeadEvery}
	size, err := auth.ParseBytes(a.RotateSize)
	if err == nil && size < 1<<20 && size != 0 {
		err = errors.New("must be at least 1MiB, or 0 for never")
	}
	if err != nil {
		return o, c.Mistake("audit.rotate_size", err)
	}
	o.RotateSize = int64(size)
	if o.Node == "" {
		o.Node, _ = os.Hostname() // without a name the lines are without one
	}
	return o, nil
}

// auditLog opens the log; nil without an error if it is off.
func (g *gateway) auditLog() (*audit.Log, error) {
	if g.cfg.Audit.Off {
		return nil, nil
	}
	a := g.audit
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.log != nil || a.failed != nil {
		return a.log, a.failed
	}
	a.log, a.failed = g.openAudit()
	if a.failed != nil {
		g.log.Error("there is no audit log", "error", a.failed)
	}
	return a.log, a.failed
}

func (g *gateway) openAudit() (*audit.Log, error) {
	o, err := auditOptions(g.cfg)
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(g.cfg.KeysDir(), 0o700); err != nil {
		return nil, err
	}
	if o.Key, err = audit.LoadKey(filepath.Join(g.cfg.KeysDir(), auditKeyFile)); err != nil {
		return nil, err
	}
	o.Logger = g.log
	if g.audit.protocol != "" { // serve: its log may be kept on another machine
		o.Heads = func(h audit.Head) { g.log.Info("head of the audit log", "head", h.String()) }
	}
	return audit.Open(o)
}

// note writes a line of what no user of a front end did. Errors are logged by the log.
func (g *gateway) note(e audit.Entry) {
	log, err := g.auditLog()
	if log == nil || err != nil {
		return
	}
	if e.Protocol == "" {
		e.Protocol = g.audit.protocol
	}
	if e.Protocol == "" {
		e.Protocol, e.User = "command", operator()
	}
	_ = log.Write(e)
}

// noteAdmin writes down that the operator did something by a command, to what.
func (e *env) noteAdmin(act, what string) {
	c, err := e.config()
	if err != nil {
		return // the command has failed for it
	}
	g := &gateway{cfg: c, log: newLogger(e.err, c.Log), audit: new(auditing)}
	g.note(audit.Entry{Verb: audit.Admin, Result: audit.OK, Ref: act, Path: what})
	if err := g.audit.close(); err != nil {
		g.log.Error("the audit log does not tell of it", "error", err)
	}
}

// auditReady fails if nothing is to be done since it could not be written down.
func (g *gateway) auditReady() error {
	if g.cfg.Audit.OnFailure != "refuse" {
		return nil
	}
	log, err := g.auditLog()
	if log != nil && err == nil {
		err = log.Err()
	}
	if err != nil {
		return fmt.Errorf("%w: %w", errNoAudit, err)
	}
	return nil
}

// startAudit opens the log of serve, which tells of users and of what runs by schedule.
func (g *gateway) startAudit(logins *auth.Logins) error {
	g.audit.protocol = "job"
	log, err := g.auditLog()
	if err != nil || log == nil {
		return err
	}
	w := auditWatch{g: g, log: log}
	logins.AddWatch(w.login)
	g.observers = append(g.observers, w)
	return nil
}

// noteReload writes what came of reading the configuration again.
func (g *gateway) noteReload(err error) {
	e := audit.Entry{Verb: audit.Reload, Result: audit.OK, Path: g.cfg.File()}
	if err != nil {
		e.Result, e.Reason = audit.Failed, err.Error()
	}
	g.note(e)
}

// stopAudit writes why serve ends.
func (g *gateway) stopAudit(err error) {
	e := audit.Entry{Verb: audit.Stop, Result: audit.OK}
	if err != nil {
		e.Result, e.Reason = audit.Failed, err.Error()
	}
	g.note(e)
}

func (a *auditing) close() error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.log == nil {
		return nil
	}
	return a.log.Close()
}

// auditWatch writes down what users do.
type auditWatch struct {
	g   *gateway
	log *audit.Log
}

var _ storage.Gate = auditWatch{}

// Began implements storage.Observer.
func (auditWatch) Began(context.Context, *storage.Transfer) {}

// May implements storage.Gate.
func (w auditWatch) May(context.Context, storage.Verb) error { return w.g.auditReady() }

// Ended implements storage.Observer. What changed something is in the log before its user is told.
func (w auditWatch) Ended(_ context.Context, e storage.Event) {
	line := audit.Entry{
		Time: e.Ended, Verb: audit.Verb(e.Verb), Result: auditResult(e.Err), User: e.User,
		Address: e.Origin.Address, Protocol: e.Origin.Protocol, Session: e.Origin.Session,
		Path: slashed(e.Name), Key: storageKey(e.Key), ToKey: storageKey(e.ToKey), Bytes: e.Bytes,
	}
	if e.ToKey != "" {
		line.To = slashed(e.To)
	}
	if e.Err != nil {
		line.Reason = e.Err.Error()
	}
	if e.Verb != storage.VerbDownload {
		_ = w.log.Write(line)
	} else if w.g.cfg.Audit.Downloads || line.Result == audit.Refused {
		w.log.Note(line)
	}
}

// slashed is a name in a user's tree as the user sees it.
func slashed(name string) string {
	if name == "" || name[0] != '/' {
		return "/" + name
	}
	return name
}

// storageKey is a key of storage.View as publications name files: STORAGE:NAME.
func storageKey(key string) string {
	rest, ok := strings.CutPrefix(key, "/s:")
	if !ok {
		return key
	}
	name, path, _ := strings.Cut(rest, "/")
	return name + ":" + path
}

// auditResult tells what was not allowed from what did not work.
func auditResult(err error) audit.Result {
	if err == nil {
		return audit.OK
	}
	for _, refused := range []error{fs.ErrPermission, storage.ErrLocked, storage.ErrQuota, storage.ErrName, storage.ErrPrecondition, storage.ErrTooLarge, errNoAudit} {
		if errors.Is(err, refused) {
			return audit.Refused
		}
	}
	return audit.Failed
}

// login writes down what became of a login. Who is banned already is not worth a line for each try: the log
// could be filled by it.
func (w auditWatch) login(ctx context.Context, e auth.LoginEvent) {
	o := storage.OriginOf(ctx)
	line := audit.Entry{Result: audit.OK, User: e.User, By: e.By, Address: e.From, Protocol: o.Protocol, Session: o.Session}
	switch e.Kind {
	case auth.LoggedIn:
		line.Verb = audit.Login
	case auth.LoginRefused:
		if errors.Is(e.Err, auth.ErrBanned) {
			return
		}
		line.Verb, line.Result, line.Reason = audit.Login, audit.Refused, e.Err.Error()
	case auth.LoggedOut:
		line.Verb, line.Reason = audit.Logout, "after "+e.Lasted.String()
	case auth.AddressBanned:
		line.Verb, line.Reason = audit.Ban, tooManyLogins
	}
	_ = w.log.Write(line)
}
