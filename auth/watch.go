package auth

import (
	"context"
	"errors"
	"net/netip"
	"time"
)

// LoginEvent is what became of a connection, or of a browser's session, as the front end knows it. Where it
// came from besides its address says storage.OriginOf of the context.
type LoginEvent struct {
	Kind LoginKind
	From netip.Addr
	User string // of a refused login it is what the client said
	By   string // as Identity.By; of a refused login what was tried last, or ""
	// Err is why a login was refused.
	Err error
	// Lasted is how long the user was logged in.
	Lasted time.Duration
}

// LoginKind tells LoginEvents apart.
type LoginKind int

// The kinds of a LoginEvent.
const (
	LoggedIn     LoginKind = iota
	LoginRefused           // one for each connection, however many keys were offered
	LoggedOut
	AddressBanned // because of the login that was refused last
)

// Watcher is an Authenticator that is told by front ends what becomes of logins.
type Watcher interface {
	Authenticator
	Told(ctx context.Context, e LoginEvent)
}

// Tell tells an Authenticator, if it is a Watcher.
func Tell(ctx context.Context, a Authenticator, e LoginEvent) {
	if w, ok := a.(Watcher); ok {
		w.Told(ctx, e)
	}
}

// AddWatch has watch told of logins too. Call it before the first of them.
func (l *Logins) AddWatch(watch func(context.Context, LoginEvent)) {
	before := l.watch
	if before == nil {
		l.watch = watch
		return
	}
	l.watch = func(ctx context.Context, e LoginEvent) {
		before(ctx, e)
		watch(ctx, e)
	}
}

// Told implements Watcher.
func (l *Logins) Told(ctx context.Context, e LoginEvent) {
	if l.watch == nil {
		return
	}
	l.watch(ctx, e)
	if e.Kind == LoginRefused && !errors.Is(e.Err, ErrBanned) && l.guard.Allowed(e.From) != nil {
		l.watch(ctx, LoginEvent{Kind: AddressBanned, From: e.From, User: e.User})
	}
}
