package auth

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
)

// Voucher is an Authenticator that lets users in who have proved who they are before, and were
// remembered since: in a session of a browser, or by somebody else who is trusted.
type Voucher interface {
	Authenticator

	// Vouched is the identity of a user who comes from an address; by says how they proved who they are. The zero
	// Addr is for what is not done by the user themselves, and from anywhere. ErrCredentials if there is no such
	// user, or if they may not come from there or have to prove a key and by is not [ByClientCertificate] (with whatever
	// behind it), ErrDisabled if they may not log in any more.
	Vouched(ctx context.Context, from netip.Addr, user, by string) (Identity, error)
}

// Vouched implements Voucher.
func (l *Logins) Vouched(ctx context.Context, from netip.Addr, user, by string) (Identity, error) {
	version := l.users.version(user) // before it is read: a change in between is one
	u, err := l.users.Get(ctx, user)
	switch {
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		l.log.Error("user file cannot be used; its user cannot log in", "error", err)
		return Identity{}, ErrCredentials
	case err != nil:
		return Identity{}, ErrCredentials
	case u.over(time.Now()):
		return Identity{}, ErrDisabled
	case from.IsValid() && !u.comesFrom(from):
		return Identity{}, errFrom
	case from.IsValid() && u.requires(ByPublicKey) && !strings.HasPrefix(by, ByClientCertificate):
		// With a certificate the key was proved; a password or a provider is not enough.
		return Identity{}, fmt.Errorf("%w: the user has to prove a key", ErrCredentials)
	}
	return u.identity(by, version), nil
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
