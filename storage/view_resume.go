package storage

import (
	"context"
	"errors"
	"io/fs"
	"iter"
	"net/url"
	"slices"
	"strings"
)

// A token of a view says which mount it belongs to: the escaped path of the
// mount, a colon (which escaping leaves to us), and the backend's token.
func (m *mount) token(t Token) Token { return Token(url.QueryEscape(m.Path)+":") + t }

// route finds a token of the view's user. Whatever is not theirs, or is not to be
// seen in this view, is fs.ErrNotExist.
func (v *View) route(ctx context.Context, t Token) (*mount, Suspended, error) {
	escaped, inner, _ := strings.Cut(string(t), ":")
	path, err := url.QueryUnescape(escaped)
	if err != nil {
		return nil, Suspended{}, fs.ErrNotExist
	}
	for _, m := range v.mounts {
		if m.Path != path {
			continue
		}
		for u, err := range v.suspended(ctx, m) {
			if err != nil {
				return nil, Suspended{}, err
			}
			if u.Token == Token(inner) {
				return m, u, nil
			}
		}
	}
	return nil, Suspended{}, fs.ErrNotExist
}

// suspended yields the user's uploads on one mount, with the backend's tokens and
// names. Where the backend is no Resumer there are none.
func (v *View) suspended(ctx context.Context, m *mount) iter.Seq2[Suspended, error] {
	return func(yield func(Suspended, error) bool) {
		r, ok := m.FS.(Resumer)
		if !ok {
			return
		}
		for u, err := range r.Suspended(ctx, v.user) {
			if err == nil {
				_, visible := v.outer(m, u.Name)
				if !visible || u.Owner != v.user {
					continue
				}
			}
			if !yield(u, err) {
				return
			}
		}
	}
}

// Suspended implements Resumer: the uploads of the view's user. For another
// owner there are none; "" means the user.
func (v *View) Suspended(ctx context.Context, owner string) iter.Seq2[Suspended, error] {
	return func(yield func(Suspended, error) bool) {
		if owner != "" && owner != v.user {
			return
		}
		for _, m := range v.mounts {
			for u, err := range v.suspended(ctx, m) {
				if err != nil && errors.Is(err, errors.ErrUnsupported) {
					break
				}
				if err != nil {
					yield(Suspended{}, PathError("list suspended uploads", m.Path, err))
					return
				}
				u.Name, _ = v.outer(m, u.Name)
				u.Token = m.token(u.Token)
				if !yield(u, nil) {
					return
				}
			}
		}
	}
}

// Resume implements Resumer.
func (v *View) Resume(ctx context.Context, t Token) (Upload, error) {
	m, kept, err := v.route(ctx, t)
	if err != nil {
		return nil, PathError("resume", "", err)
	}
	name, _ := v.outer(m, kept.Name)
	s, err := v.find(name)
	if err == nil && !m.Permissions.writes() {
		err = fs.ErrPermission
	}
	if err != nil {
		return nil, PathError("resume", name, err)
	}
	// Counted as open from here on, and no longer as suspended.
	room, err := v.reserve(ctx, kept.Size, t)
	if err != nil {
		return nil, PathError("resume", name, err)
	}
	inner, err := m.FS.(Resumer).Resume(ctx, kept.Token)
	if err != nil {
		room.release()
		return nil, PathError("resume", name, err)
	}
	return &viewUpload{v: v, s: s, inner: inner, room: room, token: kept.Token}, nil
}

// Discard implements Resumer.
func (v *View) Discard(ctx context.Context, t Token) error {
	m, kept, err := v.route(ctx, t)
	if err == nil {
		err = m.FS.(Resumer).Discard(ctx, kept.Token)
	}
	if err == nil {
		v.quota.freed()
	}
	return PathError("discard", "", err)
}

// makeRoom discards the user's oldest suspended uploads on m until one more is
// allowed; those that are open somewhere stay. On errors there is one too many, which
// the next call sees again.
func (v *View) makeRoom(ctx context.Context, m *mount) {
	var kept []Suspended // a few more than maxSuspended at most
	for u, err := range v.suspended(ctx, m) {
		if err != nil {
			return
		}
		kept = append(kept, u)
	}
	slices.SortFunc(kept, func(a, b Suspended) int { return a.Updated.Compare(b.Updated) })
	excess := len(kept) - v.maxSuspended + 1
	for _, u := range kept {
		if excess <= 0 {
			return
		}
		if err := m.FS.(Resumer).Discard(ctx, u.Token); err == nil {
			excess--
			v.quota.freed()
		}
	}
}
