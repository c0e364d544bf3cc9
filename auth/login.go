package auth

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/netip"
	"slices"
	"sync/atomic"
	"time"

	"golang.org/x/crypto/ssh"

	"gateway/state"
	"gateway/storage"
)

// Logins is the Authenticator over user files.
type Logins struct {
	users *Users
	guard *Guard
	hash  *hasher
	trust atomic.Pointer[Trust] // nil: no certificates, nothing revoked
	codes state.Codes           // nil: no one-time code is good
	log   *slog.Logger
	watch func(context.Context, LoginEvent) // nil: nobody
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

// SetTrust says which certificates log users in, and which keys do not.
func (l *Logins) SetTrust(t *Trust) { l.trust.Store(t) }

// Current implements Rechecker: it looks at the user's file, and does not read it.
func (l *Logins) Current(id Identity) bool {
	if !id.until.IsZero() && !time.Now().Before(id.until) {
		return false
	}
	return id.version != fileVersion{} && id.version == l.users.version(id.User.Name)
}

// Password implements Authenticator.
func (l *Logins) Password(ctx context.Context, from netip.Addr, user, password string) (Identity, error) {
	if id, err := l.appPassword(ctx, from, user, password); !errors.Is(err, errNoApp) {
		return id, err
	}
	return l.password(ctx, from, user, password, "password", nil, func(u User) bool { return !u.requires(ByPublicKey) })
}

// appPassword checks whether it is one of the user's app passwords; else it fails with errNoApp, and it
// may be the user's own. That it takes less time tells nothing to those who have none.
func (l *Logins) appPassword(ctx context.Context, from netip.Addr, user, password string) (Identity, error) {
	if plainText(password, appChars) == "" {
		return Identity{}, errNoApp
	}
	version := l.users.version(user)
	u, err := l.users.Get(ctx, user)
	if err != nil {
		return Identity{}, errNoApp // logged with the other passwords
	}
	app, err := u.appPassword(ctx, password)
	if errors.Is(err, errNoApp) {
		return Identity{}, err
	}
	if err := l.guard.Decide(ctx, from); err != nil {
		return Identity{}, err
	}
	switch {
	case err != nil:
	case u.over(time.Now()):
		err = ErrDisabled
	case !u.comesFrom(from):
		err = errFrom
	}
	by := "app-password:" + app.Label
	if err != nil {
		return Identity{}, l.refuse(ctx, from, user, by, err)
	}
	l.guard.Succeeded(from)
	id := u.identity(by, version)
	id.app = app.Hash
	id.until = earlier(id.until, app.Expires)
	if app.ReadOnly {
		id.User = u.readOnly()
	}
	return id, nil
}

// identity is the user, who has given all that is needed so far.
func (u User) identity(by string, version fileVersion) Identity {
	return Identity{User: u, By: by, version: version, until: u.Expires}
}

// earlier is the earlier one of two times; zero is never.
func earlier(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}

// refuse logs why there is no login, counts it, and holds back the answer.
func (l *Logins) refuse(ctx context.Context, from netip.Addr, user, by string, reason error) error {
	l.log.Info("login refused", "user", user, "from", from, "by", by, "reason", reason)
	l.hold(ctx, l.guard.Failed(from))
	return reason
}

// PasswordToo implements Stepwise.
func (l *Logins) PasswordToo(ctx context.Context, from netip.Addr, id Identity, password string) (Identity, error) {
	return l.password(ctx, from, id.User.Name, password, id.By+"+password", id.key, func(User) bool { return id.NeedsPassword })
}

// password checks a password; enough says whether the right one of a user lets them in.
func (l *Logins) password(ctx context.Context, from netip.Addr, user, password, by string, key ssh.PublicKey, enough func(User) bool) (Identity, error) {
	if err := l.guard.Allowed(from); err != nil {
		return Identity{}, err
	}
	version := l.users.version(user) // before it is read: a change in between is one
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
	case !enough(u): // to the client as if it were wrong: else passwords could be guessed without the key
		err = errKeyToo
	case u.over(time.Now()):
		err = ErrDisabled
	case !u.comesFrom(from):
		err = errFrom
	case u.TOTP.On() && storage.OriginOf(ctx).Protocol == "webdav":
		err = errCodeToo
	default:
		id := u.identity(by, version)
		id.key = key
		if id.NeedsCode = u.TOTP.On(); !id.NeedsCode { // else failures would be forgotten before each guess at the code
			l.guard.Succeeded(from)
		}
		return id, nil
	}
	return Identity{}, l.refuse(ctx, from, user, by, err)
}

// errKeyToo is only for the log.
var errKeyToo = fmt.Errorf("%w: the password is right, but the user has to prove a key first", ErrCredentials)

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
	version := l.users.version(user)
	u, err := l.users.Get(ctx, user)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		l.log.Error("user file cannot be used; its user cannot log in", "error", err)
	}
	if err != nil {
		return Identity{}, ErrCredentials
	}
	by, err := l.keyOf(u, from, key)
	switch {
	case unusable(err):
		l.log.Error("no key can be accepted", "error", err)
		return Identity{}, ErrCredentials
	case err != nil:
		return Identity{}, err
	case u.over(time.Now()):
		return Identity{}, ErrDisabled
	case !u.comesFrom(from):
		return Identity{}, errFrom
	case len(u.Require) > 0 && !u.requires(ByPublicKey):
		return Identity{}, fmt.Errorf("%w: the user has to give a password, and no key", ErrCredentials)
	}
	id := u.identity(by, version)
	id.key, id.NeedsPassword, id.NeedsCode = key, u.requires(ByPassword), u.TOTP.On()
	return id, nil
}

// keyOf says how a key is the user's: "publickey", or "certificate".
func (l *Logins) keyOf(u User, from netip.Addr, key ssh.PublicKey) (by string, err error) {
	trust := l.trust.Load()
	if err := trust.usable(key); err != nil {
		return "", err
	}
	if cert, ok := key.(*ssh.Certificate); ok {
		return "certificate", trust.certificate(u.Name, from, cert)
	}
	if !u.has(key) {
		return "", ErrCredentials
	}
	return ByPublicKey, nil
}

// has reports whether the key is one of the user's.
func (u User) has(key ssh.PublicKey) bool {
	keys, err := u.Keys()
	if err != nil {
		return false // unreachable: Get has checked them
	}
	want := key.Marshal()
	return slices.ContainsFunc(keys, func(k ssh.PublicKey) bool { return bytes.Equal(k.Marshal(), want) })
}
