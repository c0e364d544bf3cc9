package main

import (
	"errors"
	"fmt"
	"time"

	"gateway/events"
	"gateway/state"
)

// maxEvents is how many events are listed.
const maxEvents = 1000

type eventsCmd struct {
	List  eventsListCmd  `cmd:"" default:"withargs" help:"List what hooks could not be told, and was given up (the default)."`
	Retry eventsRetryCmd `cmd:"" help:"Try an event again, behind those that wait."`
	Drop  eventsDropCmd  `cmd:"" help:"Throw an event away."`
}

type eventsListCmd struct {
	Waiting bool `help:"List what is still to be told instead."`
	JSON    bool `help:"Print JSON lines." name:"json"`
}

// Run prints the oldest of them.
func (l *eventsListCmd) Run(e *env) error {
	g, err := e.open()
	if err != nil {
		return err
	}
	defer g.Close()
	waiting, dead, err := g.state.CountDeliveries(e.ctx)
	if err != nil {
		return err
	}
	list, err := g.state.Deliveries(e.ctx, !l.Waiting, maxEvents)
	if err != nil {
		return err
	}
	for _, d := range list {
		if err := l.print(e, d); err != nil {
			return err
		}
	}
	if l.JSON {
		return nil
	}
	_, err = fmt.Fprintf(e.out, "%d events wait, %d were given up\n", waiting, dead)
	return err
}

func (l *eventsListCmd) print(e *env, d state.Delivery) error {
	ev, err := events.Parse(d.Payload)
	if err != nil {
		ev = events.Event{Kind: "(unreadable)", Time: d.Created}
	}
	if l.JSON {
		return printJSON(e.out, map[string]any{
			"id": d.ID, "hook": d.Hook, "event": ev, "tries": d.Tries, "error": d.Error, "dead": d.Dead, "wait_seconds": d.Wait.Seconds(),
		})
	}
	what := ev.Key
	if what == "" {
		what = ev.Path
	}
	_, err = fmt.Fprintf(e.out, "%d  %s  %s  %s  %s\n", d.ID, ev.Time.UTC().Format(time.RFC3339), d.Hook, ev.Kind, printable(what))
	if err == nil && d.Tries > 0 {
		_, err = fmt.Fprintf(e.out, "  %d tries: %s\n", d.Tries, printable(d.Error))
	}
	return err
}

// eventID is an event on a command line.
type eventID struct {
	ID int64 `arg:"" help:"ID from the list."`
}

func (i eventID) act(e *env, done string, do func(g *gateway) error) error {
	g, err := e.open()
	if err != nil {
		return err
	}
	defer g.Close()
	switch err := do(g); {
	case errors.Is(err, state.ErrNotFound):
		return fmt.Errorf("there is no event %d; see: gateway events", i.ID)
	case err != nil:
		return err
	}
	_, err = fmt.Fprintf(e.out, "event %d %s\n", i.ID, done)
	return err
}

type eventsRetryCmd struct{ eventID }

// Run has the event tried again.
func (r *eventsRetryCmd) Run(e *env) error {
	return r.act(e, "is tried again, under a new ID", func(g *gateway) error { return g.state.RetryDelivery(e.ctx, r.ID) })
}

type eventsDropCmd struct{ eventID }

// Run removes the event.
func (d *eventsDropCmd) Run(e *env) error {
	return d.act(e, "was thrown away", func(g *gateway) error { return g.state.DropDelivery(e.ctx, d.ID) })
}
