package main

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"gateway/ftpbridge"
	"gateway/integrity"
	"gateway/state"
)

// passwordVariable may hold the server's password, which on a command line
// every user of the machine could read.
const passwordVariable = "GATEWAY_SOURCE_PASSWORD"

type migrateCmd struct {
	Source      string   `arg:"" help:"URL of the old server: ftp://user@host/path, ftps://, ftpes:// or sftp://."`
	Dest        string   `arg:"" help:"Where the files go: a folder, or STORAGE:FOLDER."`
	Policy      string   `help:"What must be proved before a file is published (see docs/integrity.md)." type:"path" placeholder:"FILE"`
	Connections int      `help:"How many files to fetch at once, 1 to 16." default:"4"`
	Segments    int      `help:"By how many connections a large file is fetched at once, at most --connections; 1 is off." default:"4"`
	Bwlimit     string   `help:"Bytes a second for all connections together, such as 512k, 10M or 1.5G (default: no limit)." placeholder:"RATE"`
	Include     []string `help:"Only files and folders with such paths, like '*.iso' or 'pub/**/doc'; repeatable." sep:"none" placeholder:"PATTERN"`
	Exclude     []string `help:"No files and folders with such paths; repeatable." sep:"none" placeholder:"PATTERN"`
	Since       string   `help:"Only files modified since then: 2024-05-01, or 30d for the last 30 days." placeholder:"TIME"`
	MaxDepth    int      `help:"How many folders deep to go; 1 is the files of the source's own folder." placeholder:"N"`
	Overwrite   bool     `help:"Replace files at the destination that did not come from this source."`
	Report      string   `help:"Write a report into this folder: a page, JSON, the digests of all files, and a signed statement." type:"path" placeholder:"DIR"`
	JSON        bool     `help:"Print events and the report as JSON lines." name:"json"`
	sourceFlags
}

// Run migrates and reports. The exit status is 0 only if everything on the
// source is published.
func (m *migrateCmd) Run(e *env) error {
	src, err := m.source(e, m.Source)
	if err != nil {
		return err
	}
	since, err := parseSince(m.Since, time.Now())
	if err != nil {
		return err
	}
	rate, err := parseRate(m.Bwlimit)
	if err != nil {
		return err
	}
	var policy *integrity.Policy
	if m.Policy != "" {
		if policy, err = integrity.LoadPolicy(m.Policy); err != nil {
			return err
		}
	}
	g, err := e.open()
	if err != nil {
		return err
	}
	defer g.Close()
	to, err := g.place(m.Dest)
	if err != nil {
		return err
	}
	signer, err := g.provenanceKeys().signer()
	if err != nil {
		return err
	}
	if err := m.prepareReport(src, to); err != nil {
		return err
	}
	show := newProgress(e, m.JSON)
	// The bars own the terminal while they are drawn; warnings go through them.
	log := newLogger(show.log(), g.cfg.Log)
	src.Logger = log
	report, err := ftpbridge.Migrate(e.ctx, ftpbridge.MigrateOptions{
		Source: src, Dest: to.disk, DestName: to.storage, Folder: to.name,
		Policy: policy, Store: g.state, Connections: m.Connections, Overwrite: m.Overwrite,
		Segments: m.Segments, BytesPerSecond: rate,
		Include: m.Include, Exclude: m.Exclude, Since: since, MaxDepth: m.MaxDepth,
		Signer: signer, Progress: show.event, Logger: log,
	})
	show.close()
	if perr := printReport(e, report, m.JSON); perr != nil {
		return errors.Join(err, perr)
	}
	if rerr := m.writeReport(e, g, report, signer); rerr != nil {
		return errors.Join(err, rerr)
	}
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

// source reads the URL and what the flags and the environment add to it.
func (f *sourceFlags) source(e *env, url string) (ftpbridge.Source, error) {
	src, err := ftpbridge.ParseSource(url)
	if err != nil {
		return src, err
	}
	src.Password = os.Getenv(passwordVariable)
	if f.PasswordFile != "" {
		data, err := os.ReadFile(f.PasswordFile)
		if err != nil {
			return src, fmt.Errorf("password file: %w", err)
		}
		src.Password = strings.TrimRight(string(data), "\r\n")
	}
	if f.Timezone != "" {
		if src.Location, err = time.LoadLocation(f.Timezone); err != nil {
			return src, fmt.Errorf("--timezone %q is not known; write for example Europe/Berlin", f.Timezone)
		}
	}
	src.Format, src.Dialect = f.Format, f.Dialect
	src.Timeout, src.Charset, src.CAFile, src.Fingerprint = f.Timeout, f.Charset, f.CAFile, f.Fingerprint
	if err := f.add(&src); err != nil {
		return src, err
	}
	c, err := e.config()
	if err != nil {
		return src, err
	}
	src.Logger = newLogger(e.err, c.Log)
	return src, nil
}
