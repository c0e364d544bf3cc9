package auth

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"time"
)

// ByClientCertificate is Identity.By of who proved a TLS client certificate.
const ByClientCertificate = "client certificate"

// CertificateLogin is an Authenticator for front ends to which clients prove TLS certificates.
type CertificateLogin interface {
	Stepwise

	// ClientCertificate logs in the user whom a certificate names that was verified and proved: as a key does, so
	// that the user may have to give a password or a code too (Identity.NeedsPassword, NeedsCode). It fails as PublicKey does.
	ClientCertificate(ctx context.Context, from netip.Addr, user string) (Identity, error)
}

// ClientCertificate implements CertificateLogin.
func (l *Logins) ClientCertificate(ctx context.Context, from netip.Addr, user string) (Identity, error) {
	if err := l.guard.Allowed(from); err != nil {
		return Identity{}, err
	}
	version := l.users.version(user)
	u, err := l.users.Get(ctx, user)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		l.log.Error("user file cannot be used; its user cannot log in", "error", err)
	}
	switch {
	case err != nil:
		return Identity{}, fmt.Errorf("%w: there is no user %.64q, whom the client certificate names", ErrCredentials, user)
	case u.over(time.Now()):
		return Identity{}, ErrDisabled
	case !u.comesFrom(from):
		return Identity{}, errFrom
	case len(u.Require) > 0 && !u.requires(ByPublicKey):
		return Identity{}, fmt.Errorf("%w: the user has to give a password, and no key", ErrCredentials)
	}
	id := u.identity(ByClientCertificate, version)
	id.NeedsPassword, id.NeedsCode = u.requires(ByPassword), u.TOTP.On()
	return id, nil
}
