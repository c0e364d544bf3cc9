package auth

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/netip"
	"time"

	"golang.org/x/crypto/ssh"
)

// Logins is the Authenticator over user files.
type Logins struct {
	users *Users
	guard *Guard
	hash  *hasher
	log   *slog.Logger
}

// NewLogins returns the authenticator. It logs why a password was refused; of keys
// that are offered and refused, the front end knows whether they mattered.
func NewLogins(users *Users, guard *Guard, log *slog.Logger) (*Logins, error) {
	h, err := newHasher()
	if err != nil {
		return nil, err
	}
	return &Logins{users: users, guard: guard, hash: h, log: log}, nil
}

// Allowed implements Authenticator.
func (l *Logins) Allowed(from netip.Addr) error { return l.guard.Allowed(from) }

// Failed implements Authenticator.
func (l *Logins) Failed(from netip.Addr) { l.guard.Failed(from) }

// Password implements Authenticator.
func (l *Logins) Password(ctx context.Context, from netip.Addr, user, password string) (Identity, error) {
	if err := l.guard.Allowed(from); err != nil {
		return Identity{}, err
	}
	u, lookup := l.users.Get(ctx, user)
	hash := u.PasswordHash // "" for an unknown user: costs the same, never matches
	ok, err := l.hash.matches(ctx, password, hash)
	if err != nil {
		return Identity{}, fmt.Errorf("check password: %w", err)
	}
	// Asked again: guesses that ran beside this one may have brought the ban.
	if err := l.guard.Decide(ctx, from); err != nil {
		return Identity{}, err
	}
	switch {
	case lookup != nil && !errors.Is(lookup, fs.ErrNotExist):
		l.log.Error("user file cannot be used; its user cannot log in", "error", lookup)
		err = ErrCredentials
	case !ok:
		err = ErrCredentials
	case u.Disabled:
		err = ErrDisabled
	default:
		l.guard.Succeeded(from)
		return Identity{User: u, By: "password"}, nil
	}
	l.log.Info("login refused", "user", user, "from", from, "by", "password", "reason", err)
	l.hold(ctx, l.guard.Failed(from))
	return Identity{}, err
}

// hold waits, so that guessing over one connection is slow.
func (l *Logins) hold(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}

// PublicKey implements Authenticator.
func (l *Logins) PublicKey(ctx context.Context, from netip.Addr, user string, key ssh.PublicKey) (Identity, error) {
	if err := l.guard.Allowed(from); err != nil {
		return Identity{}, err
	}
	u, err := l.users.Get(ctx, user)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		l.log.Error("user file cannot be used; its user cannot log in", "error", err)
	}
	if err != nil {
		return Identity{}, ErrCredentials
	}
	keys, err := u.Keys()
	if err != nil {
		return Identity{}, ErrCredentials // unreachable: Get has checked them
	}
	want := key.Marshal()
	for _, k := range keys {
		if !bytes.Equal(k.Marshal(), want) {
			continue
		}
		if u.Disabled {
			return Identity{}, ErrDisabled
		}
		return Identity{User: u, By: "publickey"}, nil
	}
	return Identity{}, ErrCredentials
}
