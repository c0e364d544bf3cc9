package sftpsrv

import (
	"context"
	"crypto/rsa"
	"errors"
	"fmt"
	"net/netip"

	"golang.org/x/crypto/ssh"

	"gateway/auth"
)

// identityKey is under which the final Permissions carry the auth.Identity.
type identityKey struct{}

var (
	errTooLong     = errors.New("user name or password is too long")
	errKeyRefused  = errors.New("key is of a kind or size that is not accepted")
	errNoChallenge = errors.New("keyboard-interactive was not answered")
	errNoIdentity  = errors.New("handshake ended without an identity")
	errNoCodes     = errors.New("the user needs a one-time code, and nothing here can check one")
	errStepMissing = errors.New("the client did not take the next step: a password, or a one-time code by keyboard-interactive")
)

// login checks who a connection is. What it remembers is for counting failures only:
// who logged in is what the Permissions of the handshake say, because a client may
// offer one key and then prove another (CVE-2024-45337).
type login struct {
	ctx      context.Context
	auth     auth.Stepwise
	from     netip.Addr
	keys     bool // a key was offered
	password bool // a password or code was checked: the Authenticator counted it

	// For the log: who it was last said to be, and how the user's key signed ("" if none did).
	user, signature string
}

// config is the handshake of one connection.
func (l *login) config(s *settings, hello clientHello) *ssh.ServerConfig {
	password, interactive := l.askPassword(func(user, password string) (auth.Identity, error) {
		return l.auth.Password(l.ctx, l.from, user, password)
	})
	config := &ssh.ServerConfig{
		Config:                      s.algorithms.config(hello),
		PublicKeyAuthAlgorithms:     s.algorithms.userKeys,
		ServerVersion:               serverVersion,
		PasswordCallback:            password,
		KeyboardInteractiveCallback: interactive,
		PublicKeyCallback: func(conn ssh.ConnMetadata, key ssh.PublicKey) (*ssh.Permissions, error) {
			return l.checkKey(conn.User(), key)
		},
		VerifiedPublicKeyCallback: l.keyProved,
	}
	config.RekeyThreshold = uint64(max(s.RekeyBytes, 0))
	if banner := s.Banner; banner != "" {
		config.BannerCallback = func(ssh.ConnMetadata) string { return banner }
	}
	for _, key := range s.keys {
		config.AddHostKey(key)
	}
	return config
}

// keyProved is called with what checkKey said of the very key that was proved. Where a password or a
// one-time code is needed too, it is asked for next.
func (l *login) keyProved(_ ssh.ConnMetadata, _ ssh.PublicKey, p *ssh.Permissions, signature string) (*ssh.Permissions, error) {
	l.signature = signature
	id, ok := p.ExtraData[identityKey{}].(auth.Identity)
	switch {
	case !ok || !id.NeedsPassword && !id.NeedsCode:
		return p, nil
	case !id.NeedsPassword:
		return nil, l.codeNext(id)
	}
	var next ssh.ServerAuthCallbacks
	next.PasswordCallback, next.KeyboardInteractiveCallback = l.askPassword(func(_, password string) (auth.Identity, error) {
		return l.auth.PasswordToo(l.ctx, l.from, id, password)
	})
	return nil, &ssh.PartialSuccessError{Next: next}
}

// askPassword are the two ways in which SSH asks for a password: RFC 4252 section 8, and RFC 4256. A one-time
// code that is needed too is asked for in the second way: at once, or as the next step.
func (l *login) askPassword(check func(user, password string) (auth.Identity, error)) (
	func(ssh.ConnMetadata, []byte) (*ssh.Permissions, error),
	func(ssh.ConnMetadata, ssh.KeyboardInteractiveChallenge) (*ssh.Permissions, error),
) {
	checked := func(conn ssh.ConnMetadata, password string) (auth.Identity, error) {
		l.user = conn.User()
		if len(conn.User()) > maxUser || len(password) > maxPassword {
			l.keys = true // not seen by the Authenticator, so counted at the end
			return auth.Identity{}, errTooLong
		}
		l.password = true
		return check(conn.User(), password)
	}
	plain := func(conn ssh.ConnMetadata, password []byte) (*ssh.Permissions, error) {
		id, err := checked(conn, string(password))
		if err == nil && id.NeedsCode {
			return nil, l.codeNext(id)
		}
		return permissions(id, err)
	}
	interactive := func(conn ssh.ConnMetadata, ask ssh.KeyboardInteractiveChallenge) (*ssh.Permissions, error) {
		answers, err := ask("", "", []string{"Password: "}, []bool{false})
		if err != nil || len(answers) != 1 {
			return nil, errNoChallenge
		}
		id, err := checked(conn, answers[0])
		if err == nil && id.NeedsCode {
			return l.askCode(id, ask)
		}
		return permissions(id, err)
	}
	return plain, interactive
}

// codeNext is the answer to who has given all but the one-time code (RFC 4252 section 5.1, partial success).
func (l *login) codeNext(id auth.Identity) error {
	return &ssh.PartialSuccessError{Next: ssh.ServerAuthCallbacks{
		KeyboardInteractiveCallback: func(_ ssh.ConnMetadata, ask ssh.KeyboardInteractiveChallenge) (*ssh.Permissions, error) {
			return l.askCode(id, ask)
		},
	}}
}

// askCode asks for the one-time code. It may be seen: it is good once, and programs that know the password
// give it to what must not be seen.
func (l *login) askCode(id auth.Identity, ask ssh.KeyboardInteractiveChallenge) (*ssh.Permissions, error) {
	codes, ok := l.auth.(auth.SecondFactor)
	if !ok {
		return nil, errNoCodes
	}
	answers, err := ask("", "", []string{"One-time code: "}, []bool{true})
	switch {
	case err != nil || len(answers) != 1:
		return nil, errNoChallenge
	case len(answers[0]) > maxPassword:
		return nil, errTooLong
	}
	l.password = true
	return permissions(codes.Code(l.ctx, l.from, id, answers[0]))
}

func (l *login) checkKey(user string, key ssh.PublicKey) (*ssh.Permissions, error) {
	l.keys, l.user = true, user
	if len(user) > maxUser {
		return nil, errTooLong
	}
	for _, k := range keysIn(key) {
		if err := acceptableKey(k); err != nil {
			return nil, err
		}
	}
	return permissions(l.auth.PublicKey(l.ctx, l.from, user, key))
}

// keysIn are the keys that have to be good for key to be: of a certificate its own and the authority's.
func keysIn(key ssh.PublicKey) []ssh.PublicKey {
	if cert, ok := key.(*ssh.Certificate); ok {
		return []ssh.PublicKey{cert.Key, cert.SignatureKey}
	}
	return []ssh.PublicKey{key}
}

// permissions is how an identity travels through the handshake.
func permissions(id auth.Identity, err error) (*ssh.Permissions, error) {
	if err != nil {
		return nil, err
	}
	return &ssh.Permissions{ExtraData: map[any]any{identityKey{}: id}}, nil
}

// identity is who the handshake says that the user is.
func identity(conn *ssh.ServerConn) (auth.Identity, error) {
	if conn.Permissions != nil {
		if id, ok := conn.Permissions.ExtraData[identityKey{}].(auth.Identity); ok && !id.NeedsPassword && !id.NeedsCode {
			return id, nil
		}
	}
	return auth.Identity{}, errNoIdentity
}

// failed counts the connection as a failed login, when nothing counted it before: keys
// are offered before possession is proved, so they do not count one by one.
func (l *login) failed() {
	if l.keys && !l.password {
		l.auth.Failed(l.from)
	}
}

// by is what was tried.
func (l *login) by() string {
	switch {
	case l.password && l.keys:
		return "publickey, password"
	case l.password:
		return "password"
	case l.keys:
		return "publickey"
	}
	return ""
}

// acceptableKey refuses RSA keys that are weak or expensive.
func acceptableKey(key ssh.PublicKey) error {
	crypto, ok := key.(ssh.CryptoPublicKey)
	if !ok {
		return nil
	}
	if public, ok := crypto.CryptoPublicKey().(*rsa.PublicKey); ok {
		if bits := public.N.BitLen(); bits < minRSA || bits > maxRSA {
			return fmt.Errorf("%w: RSA of %d bits", errKeyRefused, bits)
		}
	}
	return nil
}

// usableHostKeys restricts RSA keys to the signatures in rsaAlgorithms, and refuses weak ones.
func usableHostKeys(keys []ssh.Signer, rsaAlgorithms []string) ([]ssh.Signer, error) {
	usable := make([]ssh.Signer, 0, len(keys))
	for _, key := range keys {
		if err := acceptableKey(key.PublicKey()); err != nil {
			return nil, fmt.Errorf("host key: %w", err)
		}
		if key.PublicKey().Type() == ssh.KeyAlgoRSA {
			signer, ok := key.(ssh.AlgorithmSigner)
			if !ok {
				return nil, fmt.Errorf("host key: %w: RSA without SHA-2", errKeyRefused)
			}
			restricted, err := ssh.NewSignerWithAlgorithms(signer, rsaAlgorithms)
			if err != nil {
				return nil, fmt.Errorf("host key: %w", err)
			}
			key = restricted
		}
		usable = append(usable, key)
	}
	return usable, nil
}
