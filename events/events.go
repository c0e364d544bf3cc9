// Package events tells programs and people outside of what happened to files: a command that is run, a webhook
// that is called, a mail.
//
// What is to be told lies in an outbox in the state (state.Outbox) until it was told, so that it outlives a
// restart, a loss of power, and whoever is to be told being away: at least once, in order for each hook, each
// event with an ID by which it is known again. [Hooks] chooses what goes in, [Dispatcher] delivers.
//
// It does not see files, and what happened is not undone if nobody could be told.
package events

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"gateway/state"
)

// Kind is what happened.
type Kind string

// The kinds.
const (
	Upload   Kind = "upload"
	Download Kind = "download"
	Delete   Kind = "delete"
	Rename   Kind = "rename"
	Copy     Kind = "copy"
	Mkdir    Kind = "mkdir"

	Publish    Kind = "publish"
	Quarantine Kind = "quarantine"
	Release    Kind = "release"
	Reject     Kind = "reject"
	Withdraw   Kind = "withdraw"
	JobFailed  Kind = "job-failed"
)

// Kinds are all of them.
func Kinds() []Kind {
	return []Kind{Upload, Download, Delete, Rename, Copy, Mkdir, Publish, Quarantine, Release, Reject, Withdraw, JobFailed}
}

// Event is what a hook is told.
type Event struct {
	ID       string    `json:"id"` // the same for each hook and each try
	Kind     Kind      `json:"event"`
	Time     time.Time `json:"time"`
	Node     string    `json:"node,omitempty"`
	User     string    `json:"user,omitempty"`
	Address  string    `json:"address,omitempty"`
	Protocol string    `json:"protocol,omitempty"`
	Path     string    `json:"path,omitempty"`   // as the user calls it
	Key      string    `json:"key,omitempty"`    // STORAGE:NAME
	To       string    `json:"to,omitempty"`     // of a rename or copy, as Path
	ToKey    string    `json:"to_key,omitempty"` // as Key
	Bytes    int64     `json:"bytes,omitempty"`
	Source   string    `json:"source,omitempty"` // URL of a job's source, without the password
	Verdict  string    `json:"verdict,omitempty"`
	Reason   string    `json:"reason,omitempty"`
}

// maxField is how many bytes of one text of an event are kept.
const maxField = 4096

// Hook is who is told of what.
type Hook struct {
	Name string
	On   []Kind
	// Match and Users narrow it: to the key of the file, or where it went; to who did it. nil is all.
	Match func(key string) bool
	Users []string

	Deliver Deliverer
	// GiveUp is after how long nothing is tried any more; Tries after how many tries that were refused.
	GiveUp time.Duration
	Tries  int
}

// The defaults of a Hook.
const (
	DefaultGiveUp = 72 * time.Hour
	DefaultTries  = 5
)

// Deliverer tells somebody of events.
type Deliverer interface {
	// Batch is how many it takes at once; at least 1.
	Batch() int
	// Deliver tells of all of them, or fails. The error is a *Refused if trying again will hardly help.
	Deliver(ctx context.Context, list []Event) error
	// Pause is for how long nothing more is to be told after something was.
	Pause() time.Duration
}

// Refused is an error of who was told: the command failed, the server does not want it.
type Refused struct{ Err error }

func (r *Refused) Error() string { return r.Err.Error() }

// Unwrap is for errors.Is.
func (r *Refused) Unwrap() error { return r.Err }

func (h *Hook) wants(e Event) bool {
	return slices.Contains(h.On, e.Kind) &&
		(len(h.Users) == 0 || slices.Contains(h.Users, e.User)) &&
		(h.Match == nil || h.Match(e.Key) || e.ToKey != "" && h.Match(e.ToKey))
}

// Hooks are all that there are.
type Hooks []Hook

// Wants reports whether any hook is to be told of such events at all.
func (hs Hooks) Wants(k Kind) bool {
	return slices.ContainsFunc(hs, func(h Hook) bool { return slices.Contains(h.On, k) })
}

// Put puts an event into the outbox for each hook that wants it, all in one transaction. When none does it costs nothing.
// The names are of the hooks.
func (hs Hooks) Put(ctx context.Context, box state.Outbox, e Event) (names []string, err error) {
	var list []state.Delivery
	for i := range hs {
		if !hs[i].wants(e) {
			continue
		}
		if e.ID == "" {
			e.ID = rand.Text()
			if e.Time.IsZero() {
				e.Time = time.Now()
			}
			e.Time = e.Time.UTC()
			for _, text := range []*string{&e.User, &e.Path, &e.Key, &e.To, &e.ToKey, &e.Source, &e.Reason} {
				*text = (*text)[:min(len(*text), maxField)]
			}
		}
		payload, err := json.Marshal(e)
		if err != nil {
			return nil, fmt.Errorf("event %s: %w", e.Kind, err)
		}
		list = append(list, state.Delivery{Hook: hs[i].Name, Payload: payload})
		names = append(names, hs[i].Name)
	}
	if len(list) == 0 {
		return nil, nil
	}
	return names, box.AddDeliveries(ctx, list...)
}

// Parse reads what Put wrote.
func Parse(payload []byte) (Event, error) {
	var e Event
	if err := json.Unmarshal(payload, &e); err != nil {
		return e, fmt.Errorf("an event in the outbox cannot be read: %w", err)
	}
	if e.ID == "" || e.Kind == "" {
		return e, errors.New("an event in the outbox has no ID or says not what happened")
	}
	return e, nil
}
