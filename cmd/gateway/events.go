package main

import (
	"context"
	"crypto/rand"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/sync/semaphore"

	"gateway/audit"
	"gateway/config"
	"gateway/events"
	"gateway/integrity"
	"gateway/internal/certificate"
	"gateway/state"
	"gateway/storage"
)

const (
	putTime      = time.Minute // for how long the database is waited for
	defaultEvery = 15 * time.Minute
)

// eventing is who is told of what happens, in one process.
type eventing struct {
	g          *gateway
	node       string
	dispatcher events.Dispatcher
	lost       atomic.Uint64 // events that could not be put into the outbox
}

// newEventing makes the hooks of a configuration. Its secrets are read when they are needed.
func (g *gateway) newEventing() (*eventing, error) {
	e := &eventing{g: g, node: g.cfg.Audit.Node}
	if e.node == "" {
		e.node, _ = os.Hostname() // without a name events are without one
	}
	var errs []error
	slots := semaphore.NewWeighted(events.MaxCommands)
	for _, name := range g.cfg.EventNames() {
		h, err := g.hook(name, slots)
		if err != nil {
			errs = append(errs, err)
		}
		e.dispatcher.Hooks = append(e.dispatcher.Hooks, h)
	}
	if g.cfg.Mail.Server != "" {
		h, err := g.mailHook(e.node)
		if err != nil {
			errs = append(errs, err)
		}
		e.dispatcher.Hooks = append(e.dispatcher.Hooks, h)
	}
	return e, errors.Join(errs...)
}

// kindsOf reads names of kinds.
func kindsOf(c config.Config, key string, names []string) ([]events.Kind, error) {
	var kinds []events.Kind
	for _, n := range names {
		k := events.Kind(n)
		if !slices.Contains(events.Kinds(), k) {
			return nil, c.Mistake(key, fmt.Errorf("%q is not one of %s", n, joined(events.Kinds())))
		}
		kinds = append(kinds, k)
	}
	return kinds, nil
}

func joined[T ~string](list []T) string {
	words := make([]string, len(list))
	for i, w := range list {
		words[i] = string(w)
	}
	return strings.Join(words, ", ")
}

func (g *gateway) hook(name string, slots *semaphore.Weighted) (events.Hook, error) {
	c, key := g.cfg.Events[name], "events."+name
	h := events.Hook{Name: name, Users: c.Users, GiveUp: c.GiveUp, Tries: c.Tries}
	var err error
	if h.On, err = kindsOf(g.cfg, key+".on", c.On); err != nil {
		return h, err
	}
	if h.Match, err = matchKeys(c.Paths); err != nil {
		return h, g.cfg.Mistake(key+".paths", err)
	}
	if c.URL == "" {
		if err := events.CheckCommand(c.Command); err != nil {
			return h, g.cfg.Mistake(key+".command", err)
		}
		h.Deliver = &events.Command{Argv: c.Command, Timeout: c.Timeout, File: g.localFile, Slots: slots, Logger: g.log.With("hook", name)}
		return h, nil
	}
	if err := events.CheckURL(c.URL); err != nil {
		return h, g.cfg.Mistake(key+".url", err)
	}
	roots, err := rootsOf(c.CAFile)
	if err != nil {
		return h, g.cfg.Mistake(key+".ca_file", err)
	}
	h.Deliver = &events.Webhook{URL: c.URL, Client: events.NewClient(c.Timeout, roots), Secret: func() ([]byte, error) {
		text, err := c.Secret()
		if err != nil {
			return nil, err
		}
		return events.ParseSecret(text)
	}}
	return h, nil
}

func (g *gateway) mailHook(node string) (events.Hook, error) {
	c := g.cfg.Mail
	m := &events.Mail{
		Server: c.Server, From: c.From, To: c.To, Username: c.Username, Password: c.Password,
		TLS: c.TLS, Every: c.Every, Node: node,
	}
	if m.TLS == "" {
		m.TLS = events.StartTLS
	}
	if m.Every == 0 {
		m.Every = defaultEvery
	}
	h := events.Hook{Name: config.MailHook, Deliver: m}
	var err error
	if m.Roots, err = rootsOf(c.CAFile); err != nil {
		return h, g.cfg.Mistake("mail.ca_file", err)
	}
	if err := m.Check(); err != nil {
		return h, g.cfg.Mistake("mail", err)
	}
	on := c.On
	if len(on) == 0 {
		on = []string{string(events.Quarantine), string(events.JobFailed)}
	}
	h.On, err = kindsOf(g.cfg, "mail.on", on)
	return h, err
}

// rootsOf reads certificates of authorities; nil, for the system's, without a file.
func rootsOf(file string) (*x509.CertPool, error) {
	if file == "" {
		return nil, nil
	}
	return certificate.Authorities(file)
}

// matchKeys makes patterns into one match of STORAGE:NAME; nil if there are none.
func matchKeys(patterns []string) (func(key string) bool, error) {
	type match struct {
		storage string
		pattern integrity.Pattern
	}
	var all []match
	for _, text := range patterns {
		storage, rest, ok := strings.Cut(text, ":")
		if !ok {
			storage, rest = config.DefaultStorage, text
		}
		p, err := integrity.ParsePattern(strings.TrimPrefix(rest, "/"))
		if err != nil {
			return nil, fmt.Errorf("%q: %w", text, err)
		}
		all = append(all, match{storage, p})
	}
	if len(all) == 0 {
		return nil, nil
	}
	return func(key string) bool {
		storage, name, _ := strings.Cut(key, ":")
		return slices.ContainsFunc(all, func(m match) bool { return m.storage == storage && m.pattern.Match(name) })
	}, nil
}

// localFile is where a file of a folder on this machine lies, "" for others.
func (g *gateway) localFile(key string) string {
	name, path, ok := strings.Cut(key, ":")
	s, there := g.cfg.Storages[name]
	if !ok || !there || s.Path == "" || s.S3 != nil || s.Source != "" {
		return ""
	}
	return filepath.Join(s.Path, path)
}

// checkEvents finds mistakes in the hooks, and tries what they need.
func checkEvents(c config.Config) error {
	g := &gateway{cfg: c, log: newLogger(os.Stderr, c.Log)}
	_, err := g.newEventing()
	errs := []error{err}
	for _, name := range c.EventNames() {
		h, key := c.Events[name], "events."+name
		if len(h.Command) > 0 {
			if info, err := os.Stat(h.Command[0]); err != nil {
				errs = append(errs, c.Mistake(key+".command", err))
			} else if info.IsDir() || info.Mode().Perm()&0o111 == 0 {
				errs = append(errs, c.Mistake(key+".command", fmt.Errorf("%s is no program", h.Command[0])))
			}
		}
		if h.URL != "" {
			text, err := h.Secret()
			if err == nil {
				_, err = events.ParseSecret(text)
			}
			if err != nil {
				errs = append(errs, c.Mistake(key+".secret_file", err))
			}
		}
	}
	if _, err := c.Mail.Password(); err != nil {
		errs = append(errs, c.Mistake("mail.password_file", err))
	}
	return errors.Join(errs...)
}

// put puts an event into the outbox, if somebody wants to know. It is there when put returns.
func (e *eventing) put(ctx context.Context, ev events.Event) {
	if e == nil || !e.dispatcher.Hooks.Wants(ev.Kind) {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), putTime)
	defer cancel()
	ev.Node = e.node
	names, err := e.dispatcher.Hooks.Put(ctx, e.g.state, ev)
	if err != nil {
		e.lost.Add(1)
		if errors.Is(err, state.ErrLimit) {
			err = fmt.Errorf("%w: %d events wait already; see: gateway events", err, state.MaxDeliveries)
		}
		e.g.log.Error("an event is lost: it cannot be put into the outbox", "event", ev.Kind, "key", ev.Key, "error", err)
		return
	}
	e.dispatcher.Wake(names...)
}

// run delivers until ctx ends.
func (e *eventing) run(ctx context.Context) {
	e.dispatcher.Box, e.dispatcher.Logger, e.dispatcher.Holder = e.g.state, e.g.log, rand.Text()
	e.dispatcher.Run(ctx)
}

// watch has what users do told, if some hook wants to know of it.
func (e *eventing) watch() {
	if len(e.dispatcher.Hooks) > 0 {
		e.g.observers = append(e.g.observers, eventWatch{e})
	}
}

// eventWatch tells of what users did.
type eventWatch struct{ e *eventing }

// Began implements storage.Observer.
func (eventWatch) Began(context.Context, *storage.Transfer) {}

// Ended implements storage.Observer.
func (w eventWatch) Ended(ctx context.Context, e storage.Event) {
	if e.Err != nil {
		return
	}
	ev := events.Event{
		Kind: events.Kind(e.Verb), Time: e.Ended, User: e.User, Protocol: e.Origin.Protocol,
		Path: slashed(e.Name), Key: storageKey(e.Key), ToKey: storageKey(e.ToKey), Bytes: e.Bytes,
	}
	if e.Origin.Address.IsValid() {
		ev.Address = e.Origin.Address.String()
	}
	if e.ToKey != "" {
		ev.To = slashed(e.To)
	}
	w.e.put(ctx, ev)
}

// bridged tells of what the bridge did.
func (e *eventing) bridged(ctx context.Context, b bridgeEvent) {
	ev := events.Event{Kind: events.Kind(b.verb), Key: b.key, Bytes: max(b.size, 0), Source: b.source, Verdict: b.verdict, Reason: b.reason}
	if b.verb == audit.Run {
		if b.result != state.Broken && b.result != state.Incomplete {
			return
		}
		ev.Kind = events.JobFailed
	}
	e.put(ctx, ev)
}
