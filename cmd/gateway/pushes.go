package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"

	"gateway/config"
	"gateway/ftpbridge"
	"gateway/state"
	"gateway/storage"
)

// defaultPushConnections is how many files are sent at once.
const defaultPushConnections = 2

// configuredPush makes the server of a configured push into one of the bridge, all but the secrets.
func configuredPush(c config.Config, name string) (ftpbridge.Source, error) {
	p, key := c.Pushes[name], "pushes."+name
	if p.Connections == 0 {
		p.Connections = defaultPushConnections
	}
	return configuredServer(c, key, key+".to", p.To, p.Server)
}

// checkPush finds mistakes in the configuration of a push.
func checkPush(c config.Config, name string) error {
	_, err := configuredPush(c, name)
	if _, terr := pushTemporary(c, name); terr != nil {
		err = errors.Join(err, terr)
	}
	return err
}

// pushTemporary is the pattern of temporary names of a push.
func pushTemporary(c config.Config, name string) (string, error) {
	pattern := c.Pushes[name].Temporary
	if err := ftpbridge.CheckTemporary(pattern); err != nil {
		return "", c.Mistake("pushes."+name+".temporary", err)
	}
	return pattern, nil
}

// checkPushFiles looks at what a push reads at the beginning of each run.
func checkPushFiles(c config.Config, name string) error {
	p, key := c.Pushes[name], "pushes."+name
	return checkServerFiles(c, key, key+".to", p.To, p.Server)
}

// pushOptions are the options of a configured push. Its password is read anew each time.
func (g *gateway) pushOptions(name string) (o ftpbridge.PushOptions, err error) {
	p, ok := g.cfg.Pushes[name]
	if !ok {
		known := strings.Join(g.cfg.PushNames(), ", ")
		if known == "" {
			known = "none"
		}
		return o, fmt.Errorf("%q is no push of the configuration; there are: %s; to send a folder, name a URL too", name, known)
	}
	key := "pushes." + name
	if o.Dest, err = configuredPush(g.cfg, name); err != nil {
		return o, err
	}
	if err := addSecrets(g.cfg, key, p.Server, &o.Dest); err != nil {
		return o, err
	}
	from, err := g.folder(p.From)
	if err != nil {
		return o, g.cfg.Mistake(key+".from", err)
	}
	o.Source, o.SourceName, o.Folder, o.Store = from.store, from.storage, from.name, g.state
	o.After, o.Overwrite = ftpbridge.AfterPush(p.After), p.Overwrite
	o.Temporary, err = pushTemporary(g.cfg, name)
	return o, err
}

func (g *gateway) pushJob(name string) (configuredJob, error) {
	if err := checkPush(g.cfg, name); err != nil {
		return configuredJob{}, err
	}
	dest, err := configuredPush(g.cfg, name)
	if err != nil {
		return configuredJob{}, err
	}
	from, err := g.folder(g.cfg.Pushes[name].From)
	if err != nil {
		return configuredJob{}, g.cfg.Mistake("pushes."+name+".from", err)
	}
	schedule, err := g.cfg.Pushes[name].Schedule()
	return configuredJob{
		name: name, action: ftpbridge.ActionPush,
		source: ftpbridge.Destination(from.storage, from.name), destination: dest.Redacted(), schedule: schedule, when: whenText(g.cfg.Pushes[name].When),
		check: checkPushFiles(g.cfg, name),
		run:   func(ctx context.Context) error { return g.runPush(ctx, name) },
	}, err
}

// runPush runs a push once, in the background: one line of the log says what came of it.
func (g *gateway) runPush(ctx context.Context, name string) error {
	log := g.log.With("push", name)
	o, err := g.pushOptions(name)
	if err != nil {
		log.Error("push did not begin", "error", err)
		g.jobFailed(ctx, name, err)
		return err
	}
	// A folder that nobody has put anything into yet is no failure.
	if err := storage.MkdirAll(ctx, o.Source, o.Folder); err != nil {
		log.Error("push did not begin", "error", err)
		g.jobFailed(ctx, name, err)
		return err
	}
	o.Logger, o.Dest.Logger, o.Quiet = log, log, true
	event, done := g.runs.begin(configuredJob{name: name, action: ftpbridge.ActionPush}.id())
	defer done()
	o.Progress = event
	report, err := ftpbridge.Push(ctx, o)
	if errors.Is(err, state.ErrClaimed) && report.Started.IsZero() {
		log.Debug("push did not begin: another run of it is under way")
		return err
	}
	logPush(ctx, log, report, err)
	return err
}

// logPush sums a report up in one line. A run that found nothing to do is told at debug level.
func logPush(ctx context.Context, log *slog.Logger, r ftpbridge.Report, err error) {
	level, what := slog.LevelInfo, "push complete"
	switch {
	case ctx.Err() != nil:
		what = "push interrupted; the next run goes on"
	case err != nil:
		level, what = slog.LevelError, "push failed"
	case !r.Complete():
		level, what = slog.LevelWarn, "push incomplete"
	case r.Published.Files == 0 && r.Deleted == 0 && len(r.Warnings) == 0:
		level = slog.LevelDebug
	}
	args := []any{
		"found", r.Found.Files, "sent", r.Published.Files, "unchanged", r.Unchanged.Files, "failed", r.Failed.Total,
		"pending", r.Pending.Files, "deleted", r.Deleted, "sent_bytes", r.SentBytes, "seconds", r.Seconds,
	}
	if len(r.Warnings) > 0 {
		args = append(args, "warnings", r.Warnings)
	}
	if err != nil {
		args = append(args, "error", err)
	}
	log.Log(context.WithoutCancel(ctx), level, what, args...)
}
