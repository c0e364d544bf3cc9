package main

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"text/tabwriter"
	"time"

	"gateway/audit"
	"gateway/auth"
	"gateway/state"
)

type bansCmd struct {
	List bansListCmd `cmd:"" default:"1" help:"List the addresses that may not log in for a while (the default)."`
	Lift bansLiftCmd `cmd:"" help:"Let an address log in again."`
}

type bansListCmd struct{}

// Help implements kong.HelpProvider.
func (bansListCmd) Help() string {
	return `Addresses whose logins fail too often are banned, on all nodes and over all protocols. Those that last longest come first.`
}

// Run prints the bans, those that last longest first.
func (bansListCmd) Run(e *env) error {
	g, err := e.open()
	if err != nil {
		return err
	}
	defer g.Close()
	list, err := g.state.Banned(e.ctx)
	if err != nil {
		return err
	}
	if len(list) == 0 {
		_, err := fmt.Fprintln(e.out, "No address is banned.")
		return err
	}
	slices.SortFunc(list, func(a, b state.Failures) int { return cmp.Compare(b.Banned, a.Banned) })
	w := tabwriter.NewWriter(e.out, 0, 0, 2, ' ', 0)
	for _, f := range list {
		fmt.Fprintf(w, "%s\tfor %v\n", f.Network, max(f.Banned.Round(time.Second), time.Second))
	}
	return w.Flush()
}

type bansLiftCmd struct {
	Address string `arg:"" help:"The address, or its network as it is listed."`
}

// Help implements kong.HelpProvider.
func (bansLiftCmd) Help() string {
	return `Its failed logins are forgotten too. A gateway that runs knows of it within seconds.

  gateway bans lift 192.0.2.7`
}

// Run lifts the ban in the state, from where every gateway learns of it.
func (x *bansLiftCmd) Run(e *env) error {
	network, err := auth.ParseNetwork(x.Address)
	if err != nil {
		return err
	}
	g, err := e.open()
	if err != nil {
		return err
	}
	defer g.Close()
	err = g.state.LiftBan(e.ctx, network.String())
	if errors.Is(err, state.ErrNotFound) {
		return fmt.Errorf("%s is not banned; see: gateway bans", network)
	}
	if err != nil {
		return err
	}
	g.note(audit.Entry{Verb: audit.Admin, Result: audit.OK, Ref: "lift ban", Path: network.String()})
	_, err = fmt.Fprintf(e.out, "the ban of %s is lifted\n", network)
	return err
}
