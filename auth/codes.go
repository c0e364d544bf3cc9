package auth

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"gateway/state"
)

// Reasons why a code is refused, for the log.
var (
	errWrongCode = fmt.Errorf("%w: the one-time code is wrong", ErrCredentials)
	errUsedCode  = fmt.Errorf("%w: the one-time code was used before", ErrCredentials)
	errChanged   = fmt.Errorf("%w: the user's file was changed during the login", ErrCredentials)
	// errCodeToo is for protocols that cannot ask for a code.
	errCodeToo = fmt.Errorf("%w: the password is right, but the user has to give a one-time code, which this protocol cannot ask for; "+
		"make a password for the app with: gateway user app-password NAME", ErrCredentials)
)

// waitError is an ErrBusy of a user for whom too many wrong codes were given.
type waitError struct{ wait time.Duration }

func (e waitError) Error() string {
	return fmt.Sprintf("too many wrong one-time codes were given for this user; the next is taken in %v", e.wait.Round(time.Second))
}

func (waitError) Is(target error) bool { return target == ErrBusy }

// suspicious is how many wrong codes in a row are worth a warning: who gives them has the password.
const suspicious = 3

// SetCodes says where it is remembered which codes were used. Without it no code is good. Call it before the first login.
func (l *Logins) SetCodes(c state.Codes) { l.codes = c }

// Code implements SecondFactor. Wrong codes count against the address as wrong passwords do, and
// against the user: after some the user has to wait, however many addresses they come from
// ([state.CodeWait]). A recovery code, which cannot be guessed, is taken meanwhile.
func (l *Logins) Code(ctx context.Context, from netip.Addr, id Identity, code string) (Identity, error) {
	if err := l.guard.Allowed(from); err != nil {
		return Identity{}, err
	}
	err := l.useCode(ctx, id, code)
	// Asked again: guesses that ran beside this one may have brought the ban.
	if err := l.guard.Decide(ctx, from); err != nil {
		return Identity{}, err
	}
	if err == nil {
		l.guard.Succeeded(from)
		id.NeedsCode = false
		id.By += "+code"
		return id, nil
	}
	if !errors.Is(err, ErrCredentials) && !errors.Is(err, ErrDisabled) && !errors.Is(err, ErrBusy) {
		l.log.Error("one-time codes cannot be checked", "user", id.User.Name, "from", from, "error", err)
		return Identity{}, err
	}
	return Identity{}, l.refuse(ctx, from, id.User.Name, id.By+"+code", err)
}

// useCode spends the code of a user, if it is right.
func (l *Logins) useCode(ctx context.Context, id Identity, code string) error {
	switch {
	case l.codes == nil:
		return errors.New("there is no database to remember one-time codes in")
	case !id.NeedsCode || id.NeedsPassword:
		return fmt.Errorf("%w: a one-time code is given last", ErrCredentials)
	}
	u, err := l.users.Get(ctx, id.User.Name)
	switch {
	case err != nil || !l.Current(id):
		return errChanged
	case u.over(time.Now()):
		return ErrDisabled
	}
	if plain := plainText(code, recoveryChars); plain != "" {
		return l.useRecovery(ctx, u, plain)
	}
	digits := digitsOf(code)
	if len(digits) != totpDigits {
		return errWrongCode
	}
	// Counted before it is looked at, so that guesses at once do not all pass.
	tries, wait, err := l.codes.TryCode(ctx, u.Name)
	if err != nil {
		return err
	}
	if wait > 0 {
		return waitError{wait}
	}
	step, ok := u.TOTP.step(digits, time.Now())
	if !ok {
		if tries >= suspicious {
			l.log.Warn("wrong one-time codes in a row; whoever gives them has the user's password or key", "user", u.Name, "codes", tries)
		}
		return errWrongCode
	}
	return spent(l.codes.UseCode(ctx, u.Name, u.TOTP.id(u.Name), step))
}

func (l *Logins) useRecovery(ctx context.Context, u User, code string) error {
	hash := hashSecret("recovery code", u.Name, code)
	if !slices.ContainsFunc(u.TOTP.Recovery, func(h string) bool { return sameHash(h, hash) }) {
		return errWrongCode
	}
	err := spent(l.codes.UseCode(ctx, u.Name, "recovery "+hash, 0))
	if err == nil {
		l.log.Warn("a recovery code was used in place of a one-time code", "user", u.Name)
	}
	return err
}

// spent is what UseCode's error says of a code.
func spent(err error) error {
	if errors.Is(err, state.ErrConflict) {
		return errUsedCode
	}
	return err
}
