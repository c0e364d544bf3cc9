package main

import (
	"errors"
	"fmt"
	"io"
	"time"

	"gateway/listing"
)

type parseListCmd struct {
	Now      string `help:"The time to which dates without a year refer (RFC 3339; default: now)." placeholder:"TIME"`
	Timezone string `help:"Zone of times that name none, such as Europe/Berlin." default:"UTC"`
	Syst     string `help:"The server's reply to SYST." placeholder:"TEXT"`
	Charset  string `help:"Charset of the names (default: found out)." placeholder:"NAME"`
	Format   string `help:"Format of the listing (default: found out)." placeholder:"NAME"`
	Report   bool   `help:"Tell in words how well the listing was understood, in place of the entries."`
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

// Run prints an object for each entry, and last one about the listing. It fails when nothing was read.
func (p *parseListCmd) Run(e *env) error {
	o, err := p.options()
	if err != nil {
		return err
	}
	r := listing.NewReader(e.in, o)
	if p.Report {
		err = report(r, e.out)
	} else {
		err = r.WriteJSONLines(e.out)
	}
	if errors.Is(err, listing.ErrUnrecognized) || err == nil && r.Quality().EntriesTotal == 0 {
		return errSilent
	}
	return err
}

func report(r *listing.Reader, w io.Writer) error {
	for _, err := range r.All() {
		if err != nil && !errors.Is(err, listing.ErrUnrecognized) {
			return err
		}
	}
	_, err := io.WriteString(w, r.Quality().String())
	return err
}
