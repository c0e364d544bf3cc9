package webdav

import (
	"context"
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"net/http"

	"gateway/auth"
)

// Clients says what client certificates are for. They are verified by the TLS configuration of Serve.
type Clients struct {
	// User is the name of the user whom a certificate is of; "" for one that names none. nil: certificates log nobody in.
	User func(*x509.Certificate) string
	// Required lets in only whom the certificate names. Else others may log in with their passwords.
	Required bool
}

// SetClients changes what client certificates are for, from the next request on.
func (h *Handler) SetClients(c Clients) { h.clients.Store(&c) }

// certificate is what the client has proved, nil if nothing. It does not count where certificates log nobody in.
func (q *request) certificate() (*x509.Certificate, *Clients) {
	c := q.h.clients.Load()
	if c == nil || c.User == nil {
		return nil, &Clients{}
	}
	if q.TLS == nil || len(q.TLS.VerifiedChains) == 0 {
		return nil, c
	}
	cert := q.TLS.VerifiedChains[0][0]
	if q.h.now().After(cert.NotAfter) { // a connection may be open for longer than the certificate is good
		return nil, c
	}
	return cert, c
}

// loginByCertificate logs in the user whom the client certificate names. It reports whether that decides the login:
// where certificates are optional, somebody else may give a password over the same connection.
func (q *request) loginByCertificate(ctx context.Context) (decided bool, err error) {
	cert, clients := q.certificate()
	if cert == nil {
		if clients.Required {
			return true, refuse(http.StatusForbidden, "a client certificate is required")
		}
		return false, nil
	}
	user := clients.User(cert)
	name, password, given := q.BasicAuth()
	if given && name != user {
		if clients.Required {
			return true, refuse(http.StatusForbidden, "the client certificate is another user's")
		}
		return false, nil
	}
	s, err := q.certificateSession(ctx, cert, user, password)
	switch {
	case err == nil:
		q.session = s
		return true, nil
	case errors.Is(err, errPasswordToo):
		return true, q.challenge()
	case !clients.Required && (errors.Is(err, auth.ErrCredentials) || errors.Is(err, auth.ErrDisabled)):
		return false, nil // a certificate that is for something else
	case errors.Is(err, auth.ErrCredentials), errors.Is(err, auth.ErrDisabled):
		q.h.tellRefused(ctx, q.from, user, auth.ByClientCertificate, err)
		q.h.cfg.Auth.Failed(q.from) // a program that does not stop is banned, as one with a wrong password
		return true, refuse(http.StatusForbidden, "the client certificate lets nobody in")
	}
	return true, q.refuseLogin(err)
}

// errPasswordToo says that the certificate is not enough.
var errPasswordToo = errors.New("webdav: a password is needed too")

// certificateSession is the session of a proved certificate, remembered like that of a password.
func (q *request) certificateSession(ctx context.Context, cert *x509.Certificate, user, password string) (*session, error) {
	login, ok := q.h.cfg.Auth.(auth.CertificateLogin)
	if !ok || user == "" {
		return nil, auth.ErrCredentials
	}
	sum := sha256.Sum256(cert.Raw)
	key := q.h.logins.keyOf("certificate", q.from.String(), user, string(sum[:]), password)
	return q.h.logins.getBy(ctx, key, func(ctx context.Context) (*session, error) {
		id, err := login.ClientCertificate(ctx, q.from, user)
		if err == nil && (id.NeedsPassword || id.NeedsCode) {
			switch {
			case password == "":
				return nil, errPasswordToo
			case id.NeedsCode: // there is no place for one: only an app password is right
				id, err = login.Password(ctx, q.from, user, password)
			default:
				id, err = login.PasswordToo(ctx, q.from, id, password)
			}
			if errors.Is(err, auth.ErrCredentials) {
				q.h.tellRefused(ctx, q.from, user, auth.ByClientCertificate+"+"+auth.ByPassword, err)
				err = errPasswordToo
			}
		}
		switch {
		case err != nil:
			q.h.log.Debug("client certificate refused", "user", user, "from", q.from, "reason", err)
			return nil, err
		case id.NeedsCode:
			return nil, auth.ErrCredentials
		}
		return q.h.begin(ctx, q.from, id)
	})
}
