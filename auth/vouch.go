package auth

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io/fs"

	"go.yaml.in/yaml/v3"
)

// Voucher is an Authenticator that lets users in who have proved who they are before, and were
// remembered since: in a session of a browser, or by somebody else who is trusted.
type Voucher interface {
	Authenticator

	// Vouched is the identity of a user; by says how they proved who they are. ErrCredentials if there
	// is no such user, ErrDisabled if they may not log in any more.
	Vouched(ctx context.Context, user, by string) (Identity, error)
}

// Vouched implements Voucher.
func (l *Logins) Vouched(ctx context.Context, user, by string) (Identity, error) {
	version := l.users.version(user) // before it is read: a change in between is one
	u, err := l.users.Get(ctx, user)
	switch {
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		l.log.Error("user file cannot be used; its user cannot log in", "error", err)
		return Identity{}, ErrCredentials
	case err != nil:
		return Identity{}, ErrCredentials
	case u.Disabled:
		return Identity{}, ErrDisabled
	}
	return Identity{User: u, By: by, version: version}, nil
}

// Stamp tells a user from what they are after any change: another password, other folders. It is
// the same on every node, and nothing can be learned from it.
func (u User) Stamp() string {
	data, err := yaml.Marshal(u)
	if err != nil {
		return "" // cannot be: it came from YAML
	}
	sum := sha256.Sum256(append([]byte("gateway user\x00"), data...))
	return hex.EncodeToString(sum[:])
}
