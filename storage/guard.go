package storage

import (
	"context"
	"errors"
	"io/fs"
	"net/url"
	"strings"
)

// Change is what a [View] is about to change, by its key: see [View.Key].
type Change struct {
	Key    string
	Tree   bool // all below as well
	Member bool // the name appears in its folder, or disappears from it
}

// Guard knows what is bound to the names of files and is not in the backends: locks, and the
// properties that clients gave them. It is one for all views, so that what one front end binds
// holds in the others.
type Guard interface {
	// Allow fails with ErrLocked where a lock keeps the user from one of the changes. Locks
	// whose tokens the caller has do not: see [WithLockTokens]. What is allowed is under way until done is
	// called; a lock on it that is granted meanwhile is told to its user only then, so that nothing
	// changes under a lock that its user knows of.
	Allow(ctx context.Context, user string, changes ...Change) (done func(), err error)
	// Bound reports whether the key has properties.
	Bound(ctx context.Context, key string) (bool, error)
	// Moved is told that a tree is now elsewhere, in place of what was there. That cannot be
	// undone any more, so there is no error to return.
	Moved(ctx context.Context, from, to string)
	// Removed is told that a tree is gone, or that there was nothing where something begins
	// now; as Moved.
	Removed(ctx context.Context, tree string)
}

type lockTokens struct{}

// WithLockTokens is a context for calls of who has the tokens of these locks.
func WithLockTokens(ctx context.Context, tokens []string) context.Context {
	if len(tokens) == 0 && LockTokens(ctx) == nil {
		return ctx
	}
	return context.WithValue(ctx, lockTokens{}, tokens)
}

// LockTokens are those of WithLockTokens, for a Guard.
func LockTokens(ctx context.Context) []string {
	tokens, _ := ctx.Value(lockTokens{}).([]string)
	return tokens
}

// Key is what a [Guard] knows a name by. It is that of the file and not of where the user sees it:
// users who share a folder have the same keys, and all spellings of a name on a backend that
// does not tell case. A key is elements with a slash before each, so that trees of names are trees
// of keys; what is above all mounts is the user's own.
func (v *View) Key(name string) string {
	s, err := v.find(name)
	if err != nil {
		s = spot{name: name}
	}
	return v.key(s)
}

func (v *View) key(s spot) string {
	if s.mount == nil {
		return "/u:" + url.PathEscape(v.user) + slashed(s.name)
	}
	key := "/s:" + url.PathEscape(s.mount.Key) + slashed(s.inner)
	if s.mount.fold {
		key = strings.ToLower(key)
	}
	return key
}

func slashed(name string) string {
	if name == "" {
		return ""
	}
	return "/" + name
}

// Locate says where a file of the view is kept: the Key of its mount, and its name inside that
// mount's FS. ok is false for a name in no mount.
func (v *View) Locate(name string) (key, inner string, ok bool) {
	s, err := v.find(name)
	if err != nil || s.mount == nil {
		return "", "", false
	}
	return s.mount.Key, s.inner, true
}

// KeysBelow are the keys of the mounts strictly below a name: other trees, whose keys are not
// below that of the name.
func (v *View) KeysBelow(name string) []string {
	var keys []string
	for _, m := range v.mounts {
		if m.Path != name && Within(m.Path, name) {
			keys = append(keys, v.Key(m.Path))
		}
	}
	return keys
}

// allow asks the guard. done is to be called when the changes have been made, or have failed; also after an error.
func (v *View) allow(ctx context.Context, changes ...Change) (done func(), err error) {
	if v.guard == nil {
		return nothing, nil
	}
	done, err = v.guard.Allow(ctx, v.user, changes...)
	if err != nil {
		return nothing, err
	}
	return done, nil
}

func nothing() {}

// allowTo is allow with a last change at s, where something new comes or what is there is
// replaced. Only the former changes the folder, and which it is matters only if that is locked.
func (v *View) allowTo(ctx context.Context, s spot, changes ...Change) (done func(), err error) {
	to := Change{Key: v.key(s), Tree: len(changes) > 0, Member: true}
	done, err = v.allow(ctx, append(changes, to)...)
	if !errors.Is(err, ErrLocked) {
		return done, err
	}
	if _, statErr := s.mount.FS.Stat(ctx, s.inner); statErr != nil {
		return done, err
	}
	to.Member = false
	return v.allow(ctx, append(changes, to)...)
}

// unbind keeps what is about to begin at s from inheriting what was bound to the name of something
// that was removed behind the gateway's back.
func (v *View) unbind(ctx context.Context, s spot) error {
	if v.guard == nil {
		return nil
	}
	key := v.key(s)
	bound, err := v.guard.Bound(ctx, key)
	if err != nil || !bound {
		return err
	}
	if _, err := s.mount.FS.Stat(ctx, s.inner); errors.Is(err, fs.ErrNotExist) {
		v.guard.Removed(ctx, key)
	}
	return nil
}

func (v *View) moved(ctx context.Context, from, to spot) {
	if v.guard == nil {
		return
	}
	if a, b := v.key(from), v.key(to); a != b {
		v.guard.Moved(context.WithoutCancel(ctx), a, b)
	}
}

func (v *View) gone(ctx context.Context, s spot) {
	if v.guard != nil {
		v.guard.Removed(context.WithoutCancel(ctx), v.key(s))
	}
}
