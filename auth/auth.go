// Package auth decides who may enter and what they may then do.
//
// Users are YAML files, one each, in a folder ([Users]). [Authenticator] checks
// passwords in a time that does not tell whether the user exists, and public keys and
// certificates ([Trust]), and slows down and bans addresses that keep failing ([Guard]).
//
// It does not speak SSH or HTTP, and it does not touch files of users: what a
// user may do is a list of mounts with permissions, which storage.View enforces.
package auth

import (
	"context"
	"errors"
	"net/netip"
	"strings"
	"time"

	"golang.org/x/crypto/ssh"
)

// Sentinels of a refused login. To the client every one of them reads
// "login refused"; only the log says which.
var (
	ErrCredentials = errors.New("wrong user name, password or key")
	ErrBanned      = errors.New("too many failed logins from this address")
	ErrDisabled    = errors.New("user is disabled or expired")
	ErrBusy        = errors.New("too many logins are being checked")
	// ErrSessions is for a user who has proved who they are, and may be told.
	ErrSessions = errors.New("the user has as many sessions open as they may have")
)

// Identity is a user who has proved who they are.
type Identity struct {
	User User // as it was at login
	// By is "password", "publickey", "certificate", or "app-password:" with its label; what was given after it is
	// added with a plus: "publickey+password", "password+code".
	By string
	// NeedsPassword says that the key is not enough: the user has to give a password too
	// ([Stepwise]), and must not be let in before.
	NeedsPassword bool
	// NeedsCode says that a one-time code is asked for besides ([SecondFactor]), and that the user must not be
	// let in before.
	NeedsCode bool

	version fileVersion   // of the user's file
	key     ssh.PublicKey // that was proved; nil: none
	app     string        // hash of the app password that let them in; "" if none did
	until   time.Time     // when that ends by itself; zero: never
}

// byPassword reports whether a password was given.
func (id Identity) byPassword() bool {
	return id.By == "password" || strings.HasPrefix(id.By, "password+") || strings.Contains(id.By, "+password")
}

// Authenticator checks credentials. Safe for concurrent use.
type Authenticator interface {
	// Password checks a password without a key before it: of a user who has to prove a
	// key, none is right but app passwords, which are good for the protocol of the context's
	// [storage.Origin] only. Over WebDAV, which cannot ask for a code, no other is right of a user who needs one. It takes about the same time whether the user
	// exists or not, and fails with ErrCredentials, ErrBanned, ErrDisabled or
	// ErrBusy. A failure counts against the address.
	Password(ctx context.Context, from netip.Addr, user, password string) (Identity, error)

	// PublicKey reports whether the key, or the certificate, may log the user in, or is the first
	// step to it (Identity.NeedsPassword). SSH clients offer
	// keys they may not use, before they prove possession; so a refusal does not
	// count against the address by itself: the front end calls Failed when the
	// connection ends without a login.
	PublicKey(ctx context.Context, from netip.Addr, user string, key ssh.PublicKey) (Identity, error)

	// Allowed says at connection time whether the address may try at all: nil or ErrBanned.
	Allowed(from netip.Addr) error

	// Failed counts one failed login against the address.
	Failed(from netip.Addr)
}

// Stepwise is an Authenticator for front ends that can ask for a password after a key.
type Stepwise interface {
	Authenticator

	// PasswordToo checks the password of a user who has proved the key of id, which has to have
	// NeedsPassword. It fails as Password does.
	PasswordToo(ctx context.Context, from netip.Addr, id Identity, password string) (Identity, error)
}

// SecondFactor is an Authenticator whose users may have to give a one-time code.
type SecondFactor interface {
	Authenticator

	// Code checks the code of a user who has proved all else, with NeedsCode. A code is good once. It fails
	// as Password does.
	Code(ctx context.Context, from netip.Addr, id Identity, code string) (Identity, error)
}

// Rechecker is an Authenticator that can tell whether what it said of a user still
// holds, at much less than the cost of a login.
type Rechecker interface {
	// Current reports whether what is kept of the user is what it was at the login: no
	// other password, not disabled, not removed, not expired since.
	Current(id Identity) bool
}
