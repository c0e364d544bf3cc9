package auth

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"slices"
	"time"

	"golang.org/x/crypto/ssh"

	"gateway/storage"
)

// ErrEnded is why a session that is open has to end: what let its user in does not hold any more.
var ErrEnded = errors.New("the session has to end")

// Overseer is an Authenticator that can tell whether a session that stays open may go on.
type Overseer interface {
	// Holds is nil while what let the user in still does. It wraps ErrEnded when the session has to end: the
	// user was removed, disabled or has expired, the key or app password was removed or revoked, the password was changed, or something that the
	// user could do was taken away. Any other error says that it is not known, and the session goes on.
	Holds(ctx context.Context, from netip.Addr, id Identity) error
}

// Holds implements Overseer. It reads the user's file where that has changed since the login.
func (l *Logins) Holds(ctx context.Context, from netip.Addr, id Identity) error {
	trust := l.trust.Load()
	if id.key != nil {
		if err := trust.usable(id.key); err != nil {
			return ended("its key", err)
		}
		if cert, ok := id.key.(*ssh.Certificate); ok {
			if err := trust.authority(cert); err != nil {
				return ended("its certificate", err)
			}
		}
	}
	if l.Current(id) {
		return nil
	}
	u, err := l.users.Get(ctx, id.User.Name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("%w: the user was removed", ErrEnded)
	case err != nil: // nobody has said that the user may not go on
		return fmt.Errorf("what the user may do now cannot be read; the session goes on as it was: %w", err)
	}
	return u.holds(from, id)
}

// holds compares what let the user in with what the file says now.
func (u User) holds(from netip.Addr, id Identity) error {
	switch {
	case u.over(time.Now()):
		return fmt.Errorf("%w: the user is disabled or has expired", ErrEnded)
	case !u.comesFrom(from):
		return fmt.Errorf("%w: the user may not come from this address any more", ErrEnded)
	case id.app != "" && !u.hasApp(id.app, time.Now()):
		return fmt.Errorf("%w: its app password was revoked or has expired", ErrEnded)
	case id.app == "" && u.TOTP.On() && u.TOTP.Secret != id.User.TOTP.Secret:
		return fmt.Errorf("%w: a second factor was set up", ErrEnded)
	case id.byPassword() && u.PasswordHash != id.User.PasswordHash:
		return fmt.Errorf("%w: the password was changed", ErrEnded)
	case !slices.Equal(u.Require, id.User.Require):
		return fmt.Errorf("%w: what is needed to log in was changed", ErrEnded)
	case u.lacks(id.User.Mounts):
		return fmt.Errorf("%w: something that the user could do was taken away", ErrEnded)
	}
	if id.key == nil {
		return nil
	}
	if _, ok := id.key.(*ssh.Certificate); !ok && !u.has(id.key) {
		return fmt.Errorf("%w: its key was removed", ErrEnded)
	}
	return nil
}

// lacks reports whether a user has less than the mounts: one is gone, leads elsewhere, or has fewer
// permissions.
func (u User) lacks(mounts []Mount) bool {
	return slices.ContainsFunc(mounts, func(had Mount) bool {
		return !slices.ContainsFunc(u.Mounts, func(m Mount) bool {
			return m.Path == had.Path && m.Storage == had.Storage && m.Folder == had.Folder &&
				storage.Permission(m.Permissions)&storage.Permission(had.Permissions) == storage.Permission(had.Permissions)
		})
	})
}

// ended says that a session ends because of a key, unless the files of a Trust cannot be read: those who
// log in are refused then, and those who are in go on.
func ended(what string, err error) error {
	if unusable(err) {
		return err
	}
	return fmt.Errorf("%w: %s: %w", ErrEnded, what, err)
}
