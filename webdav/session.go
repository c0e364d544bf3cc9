package webdav

import (
	"context"
	"fmt"
	"net/url"

	"gateway/auth"
	"gateway/storage"
)

// session is a user who has logged in.
type session struct {
	id auth.Identity
	fs storage.FS
}

func (h *Handler) newSession(ctx context.Context, id auth.Identity) (*session, error) {
	tree, err := h.cfg.Open(ctx, id)
	if err != nil {
		return nil, fmt.Errorf("open the files of %q: %w", id.User.Name, err)
	}
	return &session{id: id, fs: tree}, nil
}

// lockKey is where the locks and properties of a name are kept: by the file and not by where the
// user sees it, where the tree is a storage.View.
func (s *session) lockKey(name string) string {
	if v, ok := s.fs.(interface{ Key(name string) string }); ok {
		return v.Key(name)
	}
	key := "/u:" + url.PathEscape(s.id.User.Name)
	if name != "" {
		key += "/" + name
	}
	return key
}

// mountsBelow are the keys of the mounts strictly below a name: other trees,
// which no lock on the name reaches.
func (s *session) mountsBelow(name string) []string {
	if v, ok := s.fs.(interface{ KeysBelow(name string) []string }); ok {
		return v.KeysBelow(name)
	}
	return nil
}

// may reports whether the user has a permission at a name. A tree that is no
// storage.View knows of none and decides when it is asked to act.
func (s *session) may(name string, p storage.Permission) bool {
	v, ok := s.fs.(interface {
		Permissions(name string) storage.Permission
	})
	return !ok || v.Permissions(name)&p == p
}
