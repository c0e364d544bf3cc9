package sftpsrv

import (
	"errors"
	"io/fs"

	"gateway/storage"
)

// remove is REMOVE of a file or RMDIR of a directory.
func (s *session) remove(r *request, directory bool) error {
	name, err := r.name()
	if err != nil {
		return err
	}
	defer s.hold(func(u *upload) bool { return u.name == name || below(u.name, name) })()
	if directory && s.uploadsBelow(name) {
		return storage.ErrNotEmpty
	}
	staged := !directory && s.removeUploads(name)
	info, err := s.fs.Stat(s.ctx, name)
	switch {
	case err == nil && directory && (!info.IsDir() || info.Link):
		return storage.ErrNotDir
	case err == nil && !directory && info.IsDir() && !info.Link:
		return storage.ErrIsDir
	}
	err = s.fs.Remove(s.ctx, name)
	missing := errors.Is(err, fs.ErrNotExist)
	if !directory && (err == nil || missing) && s.partials.discard(s.ctx, s.log, name, "") || missing && staged {
		return nil
	}
	return err
}

// removeUploads makes the open uploads to a name end without a publish, as a file
// does that is unlinked while it is open. It reports whether there was one.
func (s *session) removeUploads(name string) (found bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for u := range s.uploads {
		if u.name == name {
			u.removed, found = true, true
		}
	}
	return found
}

// rename is RENAME, which never replaces, and posix-rename@openssh.com, which does.
func (s *session) rename(r *request, replace bool) error {
	from, err := r.name()
	if err != nil {
		return err
	}
	to, err := r.name()
	if err != nil {
		return err
	}
	defer s.hold(func(u *upload) bool {
		return u.name == from || u.name == to || below(u.name, from)
	})()
	u, taken := s.upload(from), s.upload(to)
	switch {
	case s.uploadsBelow(from):
		return storage.ErrBusy // their place would be gone when they are published
	case taken != nil && !replace:
		return fs.ErrExist
	case u != nil && u == taken:
		return nil
	case u != nil:
		return s.renameUploads(from, to, replace)
	}
	if err := s.fs.Rename(s.ctx, from, to, storage.RenameOptions{Replace: replace}); err != nil {
		return err
	}
	s.removeUploads(to) // another file has their name now
	return nil
}

// uploadsBelow reports whether something inside of a folder is open for writing in this session.
func (s *session) uploadsBelow(dir string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for u := range s.uploads {
		if !u.removed && (below(u.name, dir) || below(u.target, dir)) {
			return true
		}
	}
	return false
}

// permissioner is an FS that knows beforehand what is allowed: storage.View.
type permissioner interface {
	Permissions(name string) storage.Permission
}

// renameUploads moves a file that is open for writing in this session, which clients do
// that send CLOSE late (sshfs). What is published under the old name moves now,
// the uploads when they are closed.
func (s *session) renameUploads(from, to string, replace bool) error {
	err := s.fs.Rename(s.ctx, from, to, storage.RenameOptions{Replace: replace})
	moved := err == nil
	if errors.Is(err, fs.ErrNotExist) {
		if view, ok := s.fs.(permissioner); ok && view.Permissions(from)&storage.PermRename == 0 {
			return fs.ErrPermission
		}
		_, err = s.fs.Stat(s.ctx, to)
		switch {
		case err == nil && !replace:
			return fs.ErrExist
		case err != nil && !errors.Is(err, fs.ErrNotExist):
			return err
		}
		err = nil
	}
	if err != nil {
		return err
	}
	s.removeUploads(to)
	s.mu.Lock()
	defer s.mu.Unlock()
	for u := range s.uploads {
		if u.name == from && !u.removed {
			u.name, u.replace = to, replace || moved
		}
	}
	return nil
}
