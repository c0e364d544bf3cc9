package main

import (
	"fmt"

	"gateway/ftpbridge"
)

type probeCmd struct {
	Source   string `arg:"" help:"URL of the server: ftp://user@host/path, ftps://, ftpes:// or sftp://."`
	Sessions int    `help:"How many sessions to try at once, 1 to 16." default:"8"`
	JSON     bool   `help:"Print what was found out as JSON." name:"json"`
	sourceFlags
}

// Validate tells mistakes of the command line before the server is asked.
func (c *probeCmd) Validate() error {
	if c.Sessions < 1 || c.Sessions > ftpbridge.MaxConnections {
		return fmt.Errorf("--sessions %d; must be 1 to %d", c.Sessions, ftpbridge.MaxConnections)
	}
	return nil
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
