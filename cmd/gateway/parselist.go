package main

import (
	"errors"
	"fmt"
	"io"
	"time"

	"gateway/listing"
)

// maxListing is the longest listing that parse-list reads, in bytes.
const maxListing = 1 << 30

type parseListCmd struct {
	Now      string `help:"The time to which dates without a year refer (RFC 3339; default: now)." placeholder:"TIME"`
	Timezone string `help:"Zone of times that name none, such as Europe/Berlin." default:"UTC"`
	Syst     string `help:"The server's reply to SYST." placeholder:"TEXT"`
	Charset  string `help:"Charset of the names (default: found out)." placeholder:"NAME"`
	Format   string `help:"Format of the listing (default: found out)." placeholder:"NAME"`
}

func (p *parseListCmd) options() (listing.Options, error) {
	o := listing.Options{Now: time.Now(), Syst: p.Syst, Charset: p.Charset, Format: listing.Format(p.Format)}
	var err error
	if p.Now != "" {
		if o.Now, err = time.Parse(time.RFC3339, p.Now); err != nil {
			return o, fmt.Errorf("--now %q is not a time; write for example 2026-01-31T12:00:00Z", p.Now)
		}
	}
	if o.Location, err = time.LoadLocation(p.Timezone); err != nil {
		return o, fmt.Errorf("--timezone %q is not known; write for example Europe/Berlin", p.Timezone)
	}
	return o, nil
}

// Run prints an object for each entry, and last one about the listing. It fails
// when nothing was read.
func (p *parseListCmd) Run(e *env) error {
	o, err := p.options()
	if err != nil {
		return err
	}
	raw, err := io.ReadAll(io.LimitReader(e.in, maxListing+1))
	if err != nil {
		return fmt.Errorf("standard input: %w", err)
	}
	if len(raw) > maxListing {
		return fmt.Errorf("the listing is longer than %d bytes", maxListing)
	}
	r, err := listing.Parse(raw, o)
	if err != nil && !errors.Is(err, listing.ErrUnrecognized) {
		return err
	}
	if err := r.WriteJSONLines(e.out); err != nil {
		return err
	}
	if len(r.Entries) == 0 {
		return errSilent
	}
	return nil
}
