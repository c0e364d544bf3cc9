package main

import (
	"errors"

	"gateway/ftpbridge"
)

type pushCmd struct {
	Folder      string `arg:"" help:"Where the files arrive: a folder, or STORAGE:FOLDER; or the name of a push of the configuration." complete:"push"`
	Dest        string `arg:"" optional:"" help:"URL of the partner's folder: ftp://user@host/path, ftps://, ftpes:// or sftp://. Not with a name."`
	After       string `help:"What becomes of a file here once the partner has it: keep (default) or delete." enum:"keep,delete," default:"" placeholder:"WHAT"`
	Connections int    `help:"How many files to send at once, 1 to 16 (default: 2)." placeholder:"N"`
	Overwrite   bool   `help:"Replace files at the partner that did not come from here."`
	Temporary   string `help:"Name of a file on the server while it is sent, with * for its own; digits are added (default: .*.part-)." placeholder:"PATTERN"`
	JSON        bool   `help:"Print events and the report as JSON lines." name:"json"`
	sourceFlags
}

// Run sends and reports. The exit status is 0 only if the partner has everything.
func (p *pushCmd) Run(e *env) error {
	collectLess()
	g, err := e.open()
	if err != nil {
		return err
	}
	defer g.Close()
	o, err := p.options(e, g)
	if err != nil {
		return err
	}
	show := newProgress(e, p.JSON)
	log := newLogger(show.log(), g.cfg.Log)
	o.Dest.Logger, o.Logger, o.Progress = log, log, show.event
	report, err := ftpbridge.Push(e.ctx, o)
	show.close()
	if perr := printReport(e, report, p.JSON); perr != nil {
		return errors.Join(err, perr)
	}
	return ended(e, report, err)
}

// options are those of the configured push of this name, or of the folder and URL, and
// what the flags say beside.
func (p *pushCmd) options(e *env, g *gateway) (o ftpbridge.PushOptions, err error) {
	if p.Dest == "" {
		if o, err = g.pushOptions(p.Folder); err != nil {
			return o, err
		}
		if err := p.add(e, &o.Dest); err != nil {
			return o, err
		}
	} else {
		if o.Dest, err = p.source(e, p.Dest); err != nil {
			return o, err
		}
		from, err := g.folder(p.Folder)
		if err != nil {
			return o, err
		}
		o.Source, o.SourceName, o.Folder, o.Store = from.store, from.storage, from.name, g.state
		o.Connections = defaultPushConnections
	}
	set(&o.Connections, p.Connections)
	set(&o.After, ftpbridge.AfterPush(p.After))
	set(&o.Temporary, p.Temporary)
	o.Overwrite = o.Overwrite || p.Overwrite
	return o, nil
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
