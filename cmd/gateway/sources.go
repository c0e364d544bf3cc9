package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"gateway/config"
	"gateway/ftpbridge"
	bridgereport "gateway/ftpbridge/report"
	"gateway/integrity"
	"gateway/internal/durable"
	"gateway/state"
)

// keptReports is how many reports of one source are kept in its folder.
const keptReports = 100

// configuredSource makes a source of the configuration into one of the bridge, all
// but the secrets.
func configuredSource(c config.Config, name string) (ftpbridge.Source, error) {
	s, ok := c.Sources[name]
	if !ok {
		known := strings.Join(c.SourceNames(), ", ")
		if known == "" {
			known = "none"
		}
		return ftpbridge.Source{}, fmt.Errorf("%q is neither a URL nor a source of the configuration; there are: %s", name, known)
	}
	key := "sources." + name
	return configuredServer(c, key, key+".url", s.URL, s.Server)
}

// configuredServer makes a server of the configuration into a source of the bridge,
// all but the secrets. Mistakes are named by the keys of the server and of its URL.
func configuredServer(c config.Config, key, urlKey, url string, s config.Server) (ftpbridge.Source, error) {
	src, err := ftpbridge.ParseSource(url)
	if err != nil {
		return src, c.Mistake(urlKey, err)
	}
	if s.Timezone != "" {
		if src.Location, err = time.LoadLocation(s.Timezone); err != nil {
			return src, c.Mistake(key+".timezone", err)
		}
	}
	src.CAFile, src.Fingerprint = s.CAFile, s.Fingerprint
	src.KnownHosts, src.KeyFile, src.LegacySSH = s.KnownHosts, s.KeyFile, s.LegacySSH
	src.Charset, src.Format, src.Dialect, src.Timeout = s.Charset, s.Format, s.Dialect, s.Timeout
	src.Account, src.Active = s.Account, s.Active
	if s.Proxy != "" {
		if src.Proxy, err = ftpbridge.ParseProxy(s.Proxy); err != nil {
			return src, c.Mistake(key+".proxy", err)
		}
	}
	src.Connections = s.Connections
	if src.Connections == 0 {
		src.Connections = defaultConnections
	}
	if err := src.Validate(); err != nil {
		return src, c.Mistake(key, err)
	}
	return src, nil
}

// addSecrets reads the secrets of a server from where the configuration says they are.
func addSecrets(c config.Config, key string, s config.Server, src *ftpbridge.Source) (err error) {
	if src.Password, err = s.Password(); err != nil {
		return c.Mistake(key, err)
	}
	if src.KeyPassphrase, err = keyPassphrase(s.PassphraseFile); err != nil {
		return c.Mistake(key+".passphrase_file", err)
	}
	return nil
}

// checkSource finds mistakes in the configuration of a source.
func checkSource(c config.Config, name string) error {
	_, err := configuredSource(c, name)
	if _, aerr := ftpbridge.ParseAfter(c.Sources[name].After); aerr != nil {
		err = errors.Join(err, c.Mistake("sources."+name+".after", aerr))
	}
	if _, serr := parseSince(c.Sources[name].Since, time.Now()); serr != nil {
		err = errors.Join(err, c.Mistake("sources."+name+".since", serr))
	}
	if _, rerr := parseRate(c.Sources[name].Bwlimit); rerr != nil {
		err = errors.Join(err, c.Mistake("sources."+name+".bwlimit", rerr))
	}
	return err
}

// checkSourceFiles looks at what a source reads at the beginning of each run.
func checkSourceFiles(c config.Config, name string) error {
	s, key := c.Sources[name], "sources."+name
	errs := []error{checkServerFiles(c, key, key+".url", s.URL, s.Server)}
	if s.Policy != "" {
		if _, err := integrity.LoadPolicy(s.Policy); err != nil {
			errs = append(errs, c.Mistake(key+".policy", err))
		}
	}
	return errors.Join(errs...)
}

// sourceOptions are the options of a configured source. Its password and policy are
// read anew each time.
func (g *gateway) sourceOptions(name string) (o ftpbridge.MigrateOptions, err error) {
	if o.Source, err = configuredSource(g.cfg, name); err != nil {
		return o, err
	}
	s, key := g.cfg.Sources[name], "sources."+name
	if err := addSecrets(g.cfg, key, s.Server, &o.Source); err != nil {
		return o, err
	}
	if s.To == "" {
		return o, g.cfg.Mistake(key, errors.New("it is only mounted; a migration needs to, where the files go"))
	}
	to, err := g.folder(s.To)
	if err != nil {
		return o, g.cfg.Mistake(key+".to", err)
	}
	o.Dest, o.DestName, o.Folder = to.store, to.storage, to.name
	if s.Policy != "" {
		if o.Policy, err = integrity.LoadPolicy(s.Policy); err != nil {
			return o, err
		}
	}
	if o.After, err = ftpbridge.ParseAfter(s.After); err != nil {
		return o, g.cfg.Mistake(key+".after", err)
	}
	if o.Since, err = parseSince(s.Since, time.Now()); err != nil {
		return o, g.cfg.Mistake(key+".since", err)
	}
	if o.BytesPerSecond, err = parseRate(s.Bwlimit); err != nil {
		return o, g.cfg.Mistake(key+".bwlimit", err)
	}
	o.Segments = s.Segments
	o.Include, o.Exclude, o.MaxDepth = s.Include, s.Exclude, s.MaxDepth
	o.Store, o.Overwrite, o.NoResume = g.state, s.Overwrite, s.Resume == "never"
	if s.DeleteExtra > 0 {
		o.DeleteExtra = ftpbridge.RemoveExtra
		o.ConfirmRemoval = func(_ context.Context, r ftpbridge.Removal) (string, error) {
			if r.List.Total <= int64(s.DeleteExtra) {
				return "", nil
			}
			return fmt.Sprintf("%d files are gone from the source, and sources.%s.delete_extra allows %d in one run", r.List.Total, name, s.DeleteExtra), nil
		}
	}
	o.Signer, err = g.provenanceKeys().signer()
	return o, err
}

// runSource runs a source once, in the background: one line of the log says what
// came of it, a file in its folder all of it.
func (g *gateway) runSource(ctx context.Context, name string) error {
	log := g.log.With("source", name)
	o, err := g.sourceOptions(name)
	if err != nil {
		log.Error("migration did not begin", "error", err)
		g.jobFailed(ctx, name, err)
		return err
	}
	o.Logger, o.Source.Logger = log, log
	g.share(name, &o)
	event, done := g.runs.begin(configuredJob{name: name}.id())
	defer done()
	o.Progress = event
	report, err := ftpbridge.Migrate(ctx, o)
	if errors.Is(err, state.ErrClaimed) && report.Started.IsZero() {
		log.Debug("migration did not begin: another run of it is under way")
		return err
	}
	logReport(ctx, log, report, err)
	if folder := g.cfg.Sources[name].Reports; folder != "" && !report.Started.IsZero() {
		rerr := errors.Join(writeReport(folder, name, report), g.writePage(ctx, filepath.Join(folder, name), report, o.Signer))
		if rerr != nil {
			log.Error("the report cannot be written", "error", rerr)
		}
	}
	return err
}

// logReport sums a report up in one line.
func logReport(ctx context.Context, log *slog.Logger, r ftpbridge.Report, err error) {
	level, what := slog.LevelInfo, "migration complete"
	switch {
	case ctx.Err() != nil:
		what = "migration interrupted; the next run goes on"
	case err != nil:
		level, what = slog.LevelError, "migration failed"
	case !r.Complete():
		level, what = slog.LevelWarn, "migration incomplete"
	}
	args := []any{
		"found", r.Found.Files, "published", r.Published.Files, "unchanged", r.Unchanged.Files,
		"failed", r.Failed.Total, "quarantined", r.Quarantined.Total, "suspect", r.Suspect.Total, "unread", r.Unread.Total,
		"pending", r.Pending.Files, "removed", r.Removed.Total, "disposed", r.Disposed.Files, "not_disposed", r.NotDisposed.Total,
		"fetched_bytes", r.FetchedBytes, "seconds", r.Seconds,
	}
	if r.ExtraRefused != "" {
		args = append(args, "removal_refused", r.ExtraRefused)
	}
	if err != nil {
		args = append(args, "error", err)
	}
	log.Log(context.WithoutCancel(ctx), level, what, args...)
}

// writePage writes all of a report into a folder of its own, over that of the run
// before. A run that was interrupted has none: it goes on at the next start.
func (g *gateway) writePage(ctx context.Context, dir string, r ftpbridge.Report, signer *integrity.ProvenanceSigner) error {
	if ctx.Err() != nil {
		return nil
	}
	if err := bridgereport.Prepare(dir, r.Source, r.Destination); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), reportTime)
	defer cancel()
	return bridgereport.Write(ctx, bridgereport.Options{Dir: dir, Report: r, Store: g.state, Signer: signer})
}

// writeReport writes a report to NAME-TIME.json in a folder, which is made, and
// removes the oldest beyond keptReports.
func writeReport(folder, name string, r ftpbridge.Report) error {
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return err
	}
	data, err := r.JSON()
	if err != nil {
		return err
	}
	const stamp = "20060102T150405.000Z"
	if err := durable.WriteFile(filepath.Join(folder, name+"-"+r.Started.UTC().Format(stamp)+".json"), data); err != nil {
		return err
	}
	all, err := filepath.Glob(filepath.Join(folder, name+"-[0-9]*Z.json"))
	if err != nil {
		return err
	}
	// A source "a-1" has its reports beside those of "a".
	all = slices.DeleteFunc(all, func(file string) bool {
		at := strings.TrimSuffix(strings.TrimPrefix(filepath.Base(file), name+"-"), ".json")
		_, err := time.Parse(stamp, at)
		return err != nil
	})
	slices.Sort(all)
	for _, old := range all[:max(0, len(all)-keptReports)] {
		if err := os.Remove(old); err != nil {
			return err
		}
	}
	return nil
}
