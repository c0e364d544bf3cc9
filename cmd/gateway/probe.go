package main

import (
	"gateway/ftpbridge"
)

type probeCmd struct {
	Source   string `arg:"" help:"URL of the server: ftp://user@host/path, ftps://, ftpes:// or sftp://."`
	Sessions int    `help:"How many sessions to try at once, 1 to 16." default:"8"`
	JSON     bool   `help:"Print what was found out as JSON." name:"json"`
	sourceFlags
}

// Run asks and prints. It changes nothing on the server.
func (c *probeCmd) Run(e *env) error {
	src, err := c.source(e, c.Source)
	if err != nil {
		return err
	}
	if c.Timezone == "" {
		src.Location = nil // it is found out
	}
	p, err := ftpbridge.ProbeServer(e.ctx, src, ftpbridge.ProbeOptions{Connections: c.Sessions})
	if err != nil {
		return err
	}
	if c.JSON {
		return printJSON(e.out, p)
	}
	return p.WriteText(e.out)
}
