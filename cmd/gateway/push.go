package main

import (
	"errors"
	"fmt"

	"gateway/ftpbridge"
	"gateway/state"
)

type pushCmd struct {
	Folder      string `arg:"" help:"Where the files arrive: a folder, or STORAGE:FOLDER."`
	Dest        string `arg:"" help:"URL of the partner's folder: ftp://user@host/path, ftps://, ftpes:// or sftp://."`
	After       string `help:"What becomes of a file here once the partner has it: keep or delete." enum:"keep,delete" default:"keep"`
	Connections int    `help:"How many files to send at once, 1 to 16." default:"2"`
	Overwrite   bool   `help:"Replace files at the partner that did not come from here."`
	Temporary   string `help:"Name of a file on the server while it is sent, with * for its own; digits are added." default:".*.part-" placeholder:"PATTERN"`
	JSON        bool   `help:"Print events and the report as JSON lines." name:"json"`
	sourceFlags
}

// Run sends and reports. The exit status is 0 only if the partner has everything.
func (p *pushCmd) Run(e *env) error {
	dest, err := p.source(e, p.Dest)
	if err != nil {
		return err
	}
	g, err := e.open()
	if err != nil {
		return err
	}
	defer g.Close()
	from, err := g.folder(p.Folder)
	if err != nil {
		return err
	}
	show := newProgress(e, p.JSON)
	log := newLogger(show.log(), g.cfg.Log)
	dest.Logger = log
	report, err := ftpbridge.Push(e.ctx, ftpbridge.PushOptions{
		Source: from.disk, SourceName: from.storage, Folder: from.name, Dest: dest, Store: g.state,
		Connections: p.Connections, After: ftpbridge.AfterPush(p.After), Overwrite: p.Overwrite, Temporary: p.Temporary,
		Progress: show.event, Logger: log,
	})
	show.close()
	if perr := printReport(e, report, p.JSON); perr != nil {
		return errors.Join(err, perr)
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

// printReport is the end of a migration or push, for people or as a line of JSON.
func printReport(e *env, r ftpbridge.Report, asJSON bool) error {
	if r.Started.IsZero() {
		return nil // it did not begin; the error says why
	}
	if asJSON {
		return printJSON(e.out, map[string]any{"event": "report", "report": r})
	}
	nothing := ftpbridge.Tally{}
	if r.Error != "" && r.Found == nothing && r.Pending == nothing {
		return nil // it did not see the source; the error says all
	}
	return r.WriteText(e.out)
}
