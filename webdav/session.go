package webdav

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"

	"gateway/auth"
	"gateway/storage"
)

// session is a user who has logged in.
type session struct {
	id    auth.Identity
	fs    storage.FS
	roots []lockTree
	fold  bool // names that differ only in case are one file
}

// lockTree is a mount of the user and the key under which its locks are kept. The
// key is that of the folder, not of where the user sees it: users who share a
// folder share its locks.
type lockTree struct{ path, key string }

func (h *Handler) newSession(ctx context.Context, id auth.Identity) (*session, error) {
	tree, err := h.cfg.Open(ctx, id)
	if err != nil {
		return nil, fmt.Errorf("open the files of %q: %w", id.User.Name, err)
	}
	s := &session{id: id, fs: tree, fold: !tree.Properties().CaseSensitive}
	for _, m := range id.User.Mounts {
		path, err := storage.CleanName(m.Path)
		folder, folderErr := storage.CleanName(m.Folder)
		if err := errors.Join(err, folderErr); err != nil {
			return nil, fmt.Errorf("a mount of %q: %w", id.User.Name, err)
		}
		s.roots = append(s.roots, lockTree{path, "/s:" + url.PathEscape(m.Storage) + slashed(folder)})
	}
	return s, nil
}

func slashed(name string) string {
	if name == "" {
		return ""
	}
	return "/" + name
}

// lockKey is where the locks of a name are kept. All names that a user or a
// backend has for one file have one key, so far as mounts and case go.
func (s *session) lockKey(name string) string {
	root := lockTree{"", "/u:" + url.PathEscape(s.id.User.Name)} // above all mounts
	found := false
	for _, r := range s.roots {
		if storage.Within(name, r.path) && (!found || len(r.path) > len(root.path)) {
			root, found = r, true
		}
	}
	key := root.key + slashed(strings.TrimPrefix(strings.TrimPrefix(name, root.path), "/"))
	if s.fold {
		key = strings.ToLower(key)
	}
	return key
}

// mountsBelow are the keys of the mounts strictly below a name: other trees,
// which no lock on the name reaches.
func (s *session) mountsBelow(name string) []string {
	var keys []string
	for _, r := range s.roots {
		if r.path != name && storage.Within(r.path, name) {
			keys = append(keys, s.lockKey(r.path))
		}
	}
	return keys
}

// may reports whether the user has a permission at a name. A tree that is no
// storage.View knows of none and decides when it is asked to act.
func (s *session) may(name string, p storage.Permission) bool {
	v, ok := s.fs.(interface {
		Permissions(name string) storage.Permission
	})
	return !ok || v.Permissions(name)&p == p
}
