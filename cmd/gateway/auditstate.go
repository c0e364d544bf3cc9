package main

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	"gateway/audit"
	"gateway/ftpbridge"
	"gateway/state"
	"gateway/storage"
)

// watchedLedger is a ledger that tells what is published and held back. It writes down what was done, and so
// after it is in the ledger.
type watchedLedger struct {
	state.Ledger
	g    *gateway
	mu   *sync.Mutex
	jobs map[int64]state.Job // that were asked for
}

func (g *gateway) watchLedger(l state.Ledger) watchedLedger {
	return watchedLedger{l, g, &sync.Mutex{}, map[int64]state.Job{}}
}

// job is the job of a line; an unknown one has only its number.
func (w watchedLedger) job(ctx context.Context, id int64) state.Job {
	w.mu.Lock()
	defer w.mu.Unlock()
	if j, ok := w.jobs[id]; ok {
		return j
	}
	for j, err := range w.Jobs(ctx) {
		if err != nil {
			break
		}
		w.jobs[j.ID] = j
	}
	if j, ok := w.jobs[id]; ok {
		return j
	}
	return state.Job{ID: id}
}

// Publish implements state.Ledger.
func (w watchedLedger) Publish(ctx context.Context, f state.File, p state.Publication) error {
	err := w.Ledger.Publish(ctx, f, p)
	if err == nil {
		verb := audit.Publish
		if ftpbridge.Released(p) {
			verb = audit.Release
		}
		w.g.bridged(ctx, bridgeEvent{
			verb: verb, key: p.Target, source: p.Source, size: p.Size, verdict: p.Verdict, reason: p.Reason,
		})
	}
	return err
}

// Withdraw implements state.Ledger.
func (w watchedLedger) Withdraw(ctx context.Context, f state.File, target string, at time.Time) error {
	err := w.Ledger.Withdraw(ctx, f, target, at)
	if err == nil {
		w.g.bridged(ctx, bridgeEvent{verb: audit.Withdraw, key: target, source: w.job(ctx, f.Job).Source, size: -1, reason: "gone from the source"})
	}
	return err
}

// PutFiles implements state.Ledger.
func (w watchedLedger) PutFiles(ctx context.Context, files ...state.File) error {
	var held []state.File
	for _, f := range files {
		if f.Phase != state.Quarantined && f.Phase != state.Rejected {
			continue
		}
		// A file that is judged again, and stays, is no news.
		if old, err := w.GetFile(ctx, f.Job, f.Path); err != nil || old.Phase != f.Phase {
			held = append(held, f)
		}
	}
	err := w.Ledger.PutFiles(ctx, files...)
	if err != nil {
		return err
	}
	for _, f := range held {
		verb := audit.Quarantine
		if f.Phase == state.Rejected {
			verb = audit.Reject
		}
		j := w.job(ctx, f.Job)
		w.g.bridged(ctx, bridgeEvent{
			verb: verb, key: keyOf(j, f.Target), source: j.Source, size: f.Size, verdict: f.Verdict, reason: f.Reason,
		})
	}
	return nil
}

// AddRun implements state.Ledger.
func (w watchedLedger) AddRun(ctx context.Context, r state.Run) error {
	err := w.Ledger.AddRun(ctx, r)
	if err == nil {
		j := w.job(ctx, r.Job)
		w.g.bridged(ctx, bridgeEvent{
			verb: audit.Run, key: j.Destination, source: j.Source, size: r.FetchedBytes, result: r.Result,
			reason: fmt.Sprintf("%s: %d published, %d unchanged, %d in quarantine, %d failed, %d removed%s",
				r.Result, r.Published, r.Unchanged, r.Held, r.Failed, r.Removed, afterColon(r.Error)),
		})
	}
	return err
}

func afterColon(text string) string {
	if text == "" {
		return ""
	}
	return ": " + text
}

// keyOf names a file of a job's destination as publications do.
func keyOf(j state.Job, target string) string {
	name, _, _ := strings.Cut(j.Destination, ":")
	return name + ":" + target
}

// jobFailed tells of a job that did not even begin, and so has no run in the ledger.
func (g *gateway) jobFailed(ctx context.Context, name string, err error) {
	g.bridged(ctx, bridgeEvent{verb: audit.Run, source: name, size: -1, result: state.Broken, reason: "did not begin: " + err.Error()})
}

// bridgeEvent is something that became of a file on its way through the bridge, or of a job.
type bridgeEvent struct {
	verb            audit.Verb
	key             string // STORAGE:NAME
	source          string // URL without the password
	size            int64  // -1: unknown
	verdict, reason string
	result          state.Result // of a run
}

// bridged tells who watches of it.
func (g *gateway) bridged(ctx context.Context, b bridgeEvent) {
	e := audit.Entry{Verb: b.verb, Result: audit.OK, Key: b.key, Ref: b.source, Bytes: max(b.size, 0), Reason: b.reason}
	if b.verdict != "" {
		e.Reason = b.verdict + ": " + e.Reason
	}
	switch {
	case b.verb == audit.Quarantine:
		e.Result = audit.Refused
	case b.result == state.Broken || b.result == state.Incomplete:
		e.Result = audit.Failed
	}
	if o := storage.OriginOf(ctx); o.Protocol != "" { // an operator's, through a page
		e.Address, e.Protocol, e.Session = o.Address, o.Protocol, o.Session
	}
	g.note(e)
	g.events.bridged(ctx, b)
}

// watchedState is a state whose ledger is watched.
type watchedState struct {
	state.Store
	ledger watchedLedger
}

// Publish implements state.Ledger.
func (w watchedState) Publish(ctx context.Context, f state.File, p state.Publication) error {
	return w.ledger.Publish(ctx, f, p)
}

// Withdraw implements state.Ledger.
func (w watchedState) Withdraw(ctx context.Context, f state.File, target string, at time.Time) error {
	return w.ledger.Withdraw(ctx, f, target, at)
}

// PutFiles implements state.Ledger.
func (w watchedState) PutFiles(ctx context.Context, files ...state.File) error {
	return w.ledger.PutFiles(ctx, files...)
}

// AddRun implements state.Ledger.
func (w watchedState) AddRun(ctx context.Context, r state.Run) error { return w.ledger.AddRun(ctx, r) }

// watchState has what happens in the state told to who watches.
func (g *gateway) watchState() {
	watched := func(s state.Store) state.Store { return watchedState{s, g.watchLedger(s)} }
	if c, ok := g.state.(*calm); ok {
		c.Store = watched(c.Store)
	} else {
		g.state = watched(g.state)
	}
}

// AddShare implements state.Shares. Who lets others in is to be known later, too.
func (w watchedState) AddShare(ctx context.Context, v state.Share) error {
	if err := w.ledger.g.auditReady(); err != nil {
		return err
	}
	err := w.Store.AddShare(ctx, v)
	if err == nil {
		w.ledger.g.noteShare(ctx, audit.Share, v, "until "+v.Expires.UTC().Format(time.RFC3339))
	}
	return err
}

// RemoveShare implements state.Shares. That a share ends with its file, or with its time, has no line.
func (w watchedState) RemoveShare(ctx context.Context, id string) error {
	v, lookup := w.Store.Share(ctx, id)
	err := w.Store.RemoveShare(ctx, id)
	if err == nil && lookup == nil {
		w.ledger.g.noteShare(ctx, audit.Unshare, v, "")
	}
	return err
}

func (g *gateway) noteShare(ctx context.Context, verb audit.Verb, v state.Share, reason string) {
	o := storage.OriginOf(ctx)
	g.note(audit.Entry{
		Verb: verb, Result: audit.OK, User: v.User, Address: o.Address, Protocol: o.Protocol, Session: o.Session,
		Path: slashed(v.Name), Key: storageKey(v.Key), Ref: v.ID[:min(len(v.ID), 12)], Reason: reason,
	})
}
