package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"gateway/config"
	"gateway/ftpbridge"
	"gateway/integrity"
	"gateway/state"
)

// passwordVariable may hold the server's password, which on a command line
// every user of the machine could read.
const passwordVariable = "GATEWAY_SOURCE_PASSWORD"

// defaultConnections is how many files are fetched at once.
const defaultConnections = 4

type migrateCmd struct {
	Source       string    `arg:"" help:"URL of the old server, ftp://user@host/path, ftps://, ftpes:// or sftp://; or the name of a source of the configuration." complete:"source"`
	Dest         string    `arg:"" optional:"" help:"Where the files go: a folder, or STORAGE:FOLDER. Not with a name." complete:"place"`
	Policy       string    `help:"What must be proved before a file is published (see docs/integrity.md)." type:"path" placeholder:"FILE"`
	Connections  int       `help:"How many files to fetch at once, 1 to 16 (default: 4)." placeholder:"N"`
	Segments     int       `help:"By how many connections a large file is fetched at once, at most --connections; 1 is off (default: 4)." placeholder:"N"`
	Bwlimit      string    `help:"Bytes a second for all connections together, such as 512k, 10M or 1.5G (default: no limit)." placeholder:"RATE"`
	Include      []string  `help:"Only files and folders with such paths, like '*.iso' or 'pub/**/doc'; repeatable." sep:"none" placeholder:"PATTERN"`
	Exclude      []string  `help:"No files and folders with such paths; repeatable." sep:"none" placeholder:"PATTERN"`
	Since        string    `help:"Only files modified since then: 2024-05-01, or 30d for the last 30 days." placeholder:"TIME"`
	MaxDepth     int       `help:"How many folders deep to go; 1 is the files of the source's own folder." placeholder:"N"`
	Overwrite    bool      `help:"Replace files at the destination that did not come from this source."`
	After        string    `help:"What becomes of published files on the source: keep, delete or move:FOLDER." complete:"keep,delete,move:" placeholder:"WHAT"`
	DeleteExtra  extraFlag `help:"Remove files that are gone from the source; asks first. With =force also if more than half are gone."`
	Yes          bool      `help:"Do not ask before files are removed."`
	Resume       string    `help:"auto goes on in the middle of files, never begins them anew." enum:"auto,never," default:"" placeholder:"auto|never"`
	DryRun       bool      `help:"Fetch and change nothing; say what would be done." xor:"only"`
	ChecksumOnly bool      `help:"Change nothing; fetch every file and compare its bytes with the destination." xor:"only"`
	Report       string    `help:"Write a report into this folder: a page, JSON, the digests of all files, and a signed statement." type:"path" placeholder:"DIR"`
	JSON         bool      `help:"Print events and the report as JSON lines." name:"json"`
	sourceFlags
}

// Validate tells mistakes of the command line before anything is made.
func (m *migrateCmd) Validate() error {
	if m.Dest == "" && strings.Contains(m.Source, "://") {
		return errors.New("<dest> is missing: where the files go, a folder, or STORAGE:FOLDER")
	}
	if m.Report != "" && (m.DryRun || m.ChecksumOnly) {
		return errors.New("--report is about a migration, and this is to be none; take --json")
	}
	if _, err := parseSince(m.Since, time.Now()); err != nil {
		return err
	}
	if _, err := parseRate(m.Bwlimit); err != nil {
		return fmt.Errorf("--bwlimit %w", err)
	}
	_, err := ftpbridge.ParseAfter(m.After)
	return err
}

// Run migrates and reports. The exit status is 0 only if everything on the
// source is published.
func (m *migrateCmd) Run(e *env) error {
	collectLess()
	g, err := e.open()
	if err != nil {
		return err
	}
	defer g.Close()
	o, err := m.options(e, g)
	if err != nil {
		return err
	}
	if o.DeleteExtra != ftpbridge.KeepExtra && !m.DryRun && o.ConfirmRemoval == nil && !m.Yes {
		if !isTerminal(e.in) {
			return errors.New("--delete-extra asks before it removes files, and here is nobody to ask; add --yes, or try it with --dry-run")
		}
		o.ConfirmRemoval = func(_ context.Context, r ftpbridge.Removal) (string, error) { return confirmRemoval(e, r) }
	}
	if err := m.prepareReport(o); err != nil {
		return err
	}
	show := newProgress(e, m.JSON)
	// The bars own the terminal while they are drawn; warnings go through them.
	log := newLogger(show.log(), g.cfg.Log)
	o.Source.Logger, o.Logger, o.Progress = log, log, show.event
	if ask := o.ConfirmRemoval; ask != nil {
		o.ConfirmRemoval = func(ctx context.Context, r ftpbridge.Removal) (string, error) {
			show.close()
			return ask(ctx, r)
		}
	}
	report, err := ftpbridge.Migrate(e.ctx, o)
	show.close()
	if perr := printReport(e, report, m.JSON); perr != nil {
		return errors.Join(err, perr)
	}
	if rerr := m.writeReport(e, g, report, o.Signer); rerr != nil {
		return errors.Join(err, rerr)
	}
	return ended(e, report, err)
}

// ended is what a migration or push that was reported ends the command with.
func ended(e *env, report ftpbridge.Report, err error) error {
	switch {
	case e.ctx.Err() != nil:
		return errors.New("interrupted; run the same command again to go on where it stopped")
	case errors.Is(err, state.ErrClaimed):
		return fmt.Errorf("%w; wait until it has ended, or stop it", err)
	case err != nil:
		return err
	case !report.Complete():
		return errSilent
	}
	return nil
}

// options are those of the configured source of this name, or of the URL, and what
// the flags say beside.
func (m *migrateCmd) options(e *env, g *gateway) (o ftpbridge.MigrateOptions, err error) {
	if _, named := g.cfg.Sources[m.Source]; named || m.Dest == "" && !strings.Contains(m.Source, "://") {
		if m.Dest != "" {
			return o, fmt.Errorf("%q is no URL, and a configured source has its own destination; leave %q out", m.Source, m.Dest)
		}
		if o, err = g.sourceOptions(m.Source); err != nil {
			return o, err
		}
		if err := m.add(e, &o.Source); err != nil {
			return o, err
		}
	} else {
		if o.Source, err = m.source(e, m.Source); err != nil {
			return o, err
		}
		to, err := g.folder(m.Dest)
		if err != nil {
			return o, err
		}
		o.Dest, o.DestName, o.Folder, o.Connections = to.store, to.storage, to.name, defaultConnections
	}
	if m.Policy != "" {
		if o.Policy, err = integrity.LoadPolicy(m.Policy); err != nil {
			return o, err
		}
	}
	if m.Connections != 0 {
		o.Connections = m.Connections
	}
	if m.After != "" {
		if o.After, err = ftpbridge.ParseAfter(m.After); err != nil {
			return o, err
		}
	}
	if m.DeleteExtra != "" {
		o.DeleteExtra, o.ConfirmRemoval = ftpbridge.Extra(m.DeleteExtra), nil
	}
	if len(m.Include)+len(m.Exclude) > 0 { // they go together
		o.Include, o.Exclude = m.Include, m.Exclude
	}
	if m.Since != "" {
		if o.Since, err = parseSince(m.Since, time.Now()); err != nil {
			return o, err
		}
	}
	if m.Bwlimit != "" {
		if o.BytesPerSecond, err = parseRate(m.Bwlimit); err != nil {
			return o, err
		}
	}
	set(&o.Segments, m.Segments)
	set(&o.MaxDepth, m.MaxDepth)
	if m.Resume != "" {
		o.NoResume = m.Resume == "never"
	}
	if m.ChecksumOnly { // changes nothing, whatever the source is configured to
		o.After, o.DeleteExtra = ftpbridge.After{}, ftpbridge.KeepExtra
	}
	o.Overwrite = o.Overwrite || m.Overwrite
	o.DryRun, o.ChecksumOnly, o.Store = m.DryRun, m.ChecksumOnly, g.state
	o.Signer, err = g.provenanceKeys().signer()
	return o, err
}

// source reads the URL and what the flags and the environment add to it.
func (f *sourceFlags) source(e *env, url string) (ftpbridge.Source, error) {
	src, err := ftpbridge.ParseSource(url)
	if err != nil {
		return src, err
	}
	c, err := e.config()
	if err != nil {
		return src, err
	}
	src.Logger = newLogger(e.err, c.Log)
	return src, f.add(e, &src)
}

// add adds what the flags and the environment say.
func (f *sourceFlags) add(_ *env, src *ftpbridge.Source) error {
	if password := os.Getenv(passwordVariable); password != "" {
		src.Password = password
	}
	var err error
	if f.PasswordFile != "" {
		if src.Password, err = (config.Server{PasswordFile: f.PasswordFile}).Password(); err != nil {
			return fmt.Errorf("password file: %w", err)
		}
	}
	if f.Timezone != "" {
		if src.Location, err = time.LoadLocation(f.Timezone); err != nil {
			return fmt.Errorf("--timezone %q is not known; write for example Europe/Berlin", f.Timezone)
		}
	}
	if f.CAFile != "" || f.Fingerprint != "" { // one of them replaces the other
		src.CAFile, src.Fingerprint = f.CAFile, f.Fingerprint
	}
	set(&src.Charset, f.Charset)
	set(&src.Format, f.Format)
	set(&src.Dialect, f.Dialect)
	set(&src.Timeout, f.Timeout)
	set(&src.Account, f.Account)
	set(&src.Active, f.Active)
	if f.Proxy != "" {
		if src.Proxy, err = ftpbridge.ParseProxy(f.Proxy); err != nil {
			return fmt.Errorf("--proxy: %w", err)
		}
	}
	if f.sshFlags == (sshFlags{}) && src.KeyFile+src.KnownHosts != "" {
		return nil // those of the configured source stay
	}
	return f.sshFlags.add(src)
}

// set takes over what is given.
func set[T comparable](to *T, v T) {
	var zero T
	if v != zero {
		*to = v
	}
}
