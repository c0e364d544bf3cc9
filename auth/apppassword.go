package auth

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"gateway/storage"
)

// Bounds of app passwords.
const (
	MaxAppPasswords = 32
	appChars        = 28 // of 5 random bits each
)

// AppPassword is a password of one program: made by the gateway, good for one or two protocols, and
// without any other factor. Only its hash is kept.
type AppPassword struct {
	Label     string    `yaml:"label"`     // tells it from others, in lists and the log
	Hash      string    `yaml:"hash"`      // SHA-256 in hex; it has 140 random bits
	Protocols []string  `yaml:"protocols"` // of AppProtocols
	ReadOnly  bool      `yaml:"read_only,omitempty"`
	Created   time.Time `yaml:"created"`
	Expires   time.Time `yaml:"expires,omitempty"` // from when on it is refused; zero: never
}

// AppProtocols are those that an app password may be good for: [storage.Origin.Protocol] of the login.
func AppProtocols() []string { return []string{"webdav", "sftp"} }

var appLabel = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9._@-]{0,31}$`)

// NewAppPassword makes one, with the password that is to be shown once.
func NewAppPassword(user, label string, protocols []string) (AppPassword, string) {
	password := randomText(appChars)
	return AppPassword{
		Label: label, Hash: hashSecret("app password", user, password), Protocols: protocols, Created: time.Now().UTC().Truncate(time.Second),
	}, password
}

// check says what is wrong with one of a user.
func (a AppPassword) check() error {
	switch {
	case !appLabel.MatchString(a.Label):
		return fmt.Errorf("app password: %.40q cannot be a label; use 1 to 32 of letters, digits and . _ @ -, beginning with a letter, digit or _", a.Label)
	case !isHash(a.Hash):
		return fmt.Errorf("app password %s: hash is not one; make it anew with: gateway user app-password NAME --label %s", a.Label, a.Label)
	case len(a.Protocols) == 0:
		return fmt.Errorf("app password %s has no protocols; give some of %s", a.Label, strings.Join(AppProtocols(), ", "))
	}
	for _, p := range a.Protocols {
		if !slices.Contains(AppProtocols(), p) {
			return fmt.Errorf("app password %s: %q is not expected; give some of %s", a.Label, p, strings.Join(AppProtocols(), ", "))
		}
	}
	return nil
}

func checkAppPasswords(all []AppPassword) error {
	if len(all) > MaxAppPasswords {
		return fmt.Errorf("more than %d app passwords", MaxAppPasswords)
	}
	labels := map[string]bool{}
	for _, a := range all {
		if err := a.check(); err != nil {
			return err
		}
		if labels[a.Label] {
			return fmt.Errorf("two app passwords have the label %s; give each its own", a.Label)
		}
		labels[a.Label] = true
	}
	return nil
}

var errNoApp = errors.New("not an app password")

// appPassword finds the app password that was given; errNoApp if there is none such, ErrCredentials if it is not good here.
func (u User) appPassword(ctx context.Context, password string) (AppPassword, error) {
	plain := plainText(password, appChars)
	if plain == "" || len(u.AppPasswords) == 0 {
		return AppPassword{}, errNoApp
	}
	hash := hashSecret("app password", u.Name, plain)
	i := slices.IndexFunc(u.AppPasswords, func(a AppPassword) bool { return sameHash(a.Hash, hash) })
	if i < 0 {
		return AppPassword{}, errNoApp
	}
	a := u.AppPasswords[i]
	protocol := storage.OriginOf(ctx).Protocol
	switch {
	case !slices.Contains(a.Protocols, protocol):
		return a, fmt.Errorf("%w: the app password %s is not for this protocol", ErrCredentials, a.Label)
	case a.over(time.Now()):
		return a, fmt.Errorf("%w: the app password %s has expired", ErrCredentials, a.Label)
	}
	return a, nil
}

// over reports whether it has expired.
func (a AppPassword) over(at time.Time) bool { return !a.Expires.IsZero() && !at.Before(a.Expires) }

// hasApp reports whether the app password with this hash is one of the user's, and good.
func (u User) hasApp(hash string, at time.Time) bool {
	return slices.ContainsFunc(u.AppPasswords, func(a AppPassword) bool { return sameHash(a.Hash, hash) && !a.over(at) })
}

// readOnly is the user without permissions to change anything. Mounts of which nothing is left are left out.
func (u User) readOnly() User {
	mounts := make([]Mount, 0, len(u.Mounts))
	for _, m := range u.Mounts {
		if m.Permissions &= Permissions(storage.PermReadOnly); m.Permissions != 0 {
			mounts = append(mounts, m)
		}
	}
	u.Mounts = mounts
	return u
}
