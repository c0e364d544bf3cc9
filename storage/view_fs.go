package storage

import (
	"context"
	"errors"
	"io/fs"
	"iter"
	"maps"
	"slices"
	"time"
)

// Stat implements FS.
func (v *View) Stat(ctx context.Context, name string) (Info, error) {
	s, err := v.find(name)
	if err != nil {
		return Info{}, PathError("stat", name, err)
	}
	info, err := v.stat(ctx, s)
	return info, PathError("stat", s.name, err)
}

func (v *View) stat(ctx context.Context, s spot) (Info, error) {
	_, base := Split(s.name)
	if s.mount == nil {
		if s.fixed() {
			return virtualDir(base), nil
		}
		return Info{}, fs.ErrNotExist
	}
	info, err := s.mount.FS.Stat(ctx, s.inner)
	if s.fixed() && (err == nil && !info.IsDir() || errors.Is(err, fs.ErrNotExist)) {
		return virtualDir(base), nil
	}
	switch {
	case err != nil && !s.sees() && !v.own.has(s.name) && ctx.Err() == nil:
		return Info{}, fs.ErrNotExist
	case err != nil:
		return Info{}, err
	case !info.IsDir() && !s.sees() && !v.own.has(s.name):
		return Info{}, fs.ErrNotExist
	}
	info.Name = base
	return info, nil
}

// virtualDir describes a directory that is there because a mount is below it.
func virtualDir(base string) Info { return Info{Name: base, Mode: fs.ModeDir | 0o555} }

// List implements FS.
func (v *View) List(ctx context.Context, name string) iter.Seq2[Info, error] {
	return func(yield func(Info, error) bool) {
		s, err := v.find(name)
		if err != nil {
			yield(Info{}, PathError("list", name, err))
			return
		}
		more, err := v.listInner(ctx, s, yield)
		if err != nil {
			yield(Info{}, PathError("list", s.name, err))
			return
		}
		if more && s.fixed() {
			v.listMounts(ctx, s, yield)
		}
	}
}

// listInner yields what the backend has, without what mounts hide.
func (v *View) listInner(ctx context.Context, s spot, yield func(Info, error) bool) (more bool, err error) {
	hasMounts := s.fixed() && len(s.node.children) > 0
	switch {
	case s.mount == nil && s.fixed():
		return true, nil
	case s.mount == nil:
		return false, fs.ErrNotExist
	case !s.may(PermList) && hasMounts:
		return true, nil
	case !s.may(PermList):
		return false, fs.ErrPermission
	}
	for info, err := range s.mount.FS.List(ctx, s.inner) {
		if err != nil {
			if s.fixed() && (errors.Is(err, fs.ErrNotExist) || errors.Is(err, ErrNotDir)) {
				return true, nil
			}
			return false, err
		}
		if !ValidElement(info.Name) || s.fixed() && s.node.child(info.Name, s.mount.fold) != nil {
			continue
		}
		if !yield(info, nil) {
			return false, nil
		}
	}
	return true, nil
}

func (v *View) listMounts(ctx context.Context, s spot, yield func(Info, error) bool) {
	for _, base := range slices.Sorted(maps.Keys(s.node.children)) {
		info, err := v.Stat(ctx, Join(s.name, base))
		if err != nil {
			info = virtualDir(base) // one backend that is down must not hide the others
		}
		if !yield(info, nil) {
			return
		}
	}
}

// Open implements FS.
func (v *View) Open(ctx context.Context, name string) (File, error) {
	s, err := v.find(name)
	switch {
	case err != nil:
		return nil, PathError("open", name, err)
	case s.fixed():
		return nil, PathError("open", s.name, ErrIsDir)
	case s.mount == nil:
		return nil, PathError("open", s.name, fs.ErrNotExist)
	case !s.may(PermRead):
		return nil, PathError("open", s.name, fs.ErrPermission)
	}
	f, err := s.mount.FS.Open(ctx, s.inner)
	if err != nil {
		return nil, PathError("open", s.name, err)
	}
	return f, nil
}

// Mkdir implements FS.
func (v *View) Mkdir(ctx context.Context, name string) error {
	s, err := v.find(name)
	done := nothing
	switch {
	case err != nil:
		return PathError("mkdir", name, err)
	case s.fixed():
		err = fs.ErrExist
	case s.mount == nil:
		err = v.absent(s)
	case !s.may(PermMkdir):
		err = fs.ErrPermission
	default:
		done, err = v.allow(ctx, Change{Key: v.key(s), Member: true})
	}
	defer done()
	if err == nil {
		err = s.mount.FS.Mkdir(ctx, s.inner)
	}
	if err == nil {
		v.gone(ctx, s) // what was there before
	}
	return PathError("mkdir", s.name, err)
}

// removable finds what is to be removed.
func (v *View) removable(name string) (spot, error) {
	s, err := v.find(name)
	switch {
	case err != nil:
		return spot{name: name}, err
	case s.fixed():
		return s, fs.ErrPermission
	case s.mount == nil:
		return s, fs.ErrNotExist
	case !s.may(PermDelete):
		return s, fs.ErrPermission
	}
	return s, nil
}

// Remove implements FS.
func (v *View) Remove(ctx context.Context, name string) error {
	s, err := v.removable(name)
	if err != nil {
		return PathError("remove", s.name, err)
	}
	done, err := v.allow(ctx, Change{Key: v.key(s), Member: true})
	defer done()
	if err == nil {
		err = s.mount.FS.Remove(ctx, s.inner)
	}
	if err == nil {
		v.gone(ctx, s)
		v.freed(s)
	}
	return PathError("remove", s.name, err)
}

// RemoveAll implements TreeRemover. A tree with a mount point in it is refused.
func (v *View) RemoveAll(ctx context.Context, name string) error {
	s, err := v.removable(name)
	if err != nil {
		return PathError("remove", s.name, err)
	}
	r, ok := s.mount.FS.(TreeRemover)
	if !ok {
		return PathError("remove", s.name, errors.ErrUnsupported)
	}
	done, err := v.allow(ctx, Change{Key: v.key(s), Tree: true, Member: true})
	defer done()
	if err != nil {
		return PathError("remove", s.name, err)
	}
	if err = r.RemoveAll(ctx, s.inner); err == nil {
		v.gone(ctx, s)
	}
	v.freed(s) // even on error some may be gone
	return PathError("remove", s.name, err)
}

func (v *View) freed(s spot) {
	v.own.remove(s.name)
	v.quota.freed()
}

// Rename implements FS.
func (v *View) Rename(ctx context.Context, from, to string, o RenameOptions) error {
	src, err := v.find(from)
	if err != nil {
		return PathError("rename", from, err)
	}
	dst, err := v.find(to)
	if err != nil {
		return PathError("rename", to, err)
	}
	done := nothing
	switch {
	case src.fixed() || dst.fixed():
		err = fs.ErrPermission
	case src.mount == nil:
		err = fs.ErrNotExist
	case !src.may(PermRename):
		err = fs.ErrPermission
	case dst.mount == nil:
		err = v.absent(dst)
	case !dst.may(PermRename):
		err = fs.ErrPermission
	case src.mount != dst.mount:
		err = ErrCrossMount
	default:
		done, err = v.allowTo(ctx, dst, Change{Key: v.key(src), Tree: true, Member: true})
	}
	defer done()
	if err == nil {
		o.Replace = o.Replace && dst.may(PermOverwrite)
		err = src.mount.FS.Rename(ctx, src.inner, dst.inner, o)
	}
	if err != nil {
		return PathError("rename", src.name, err)
	}
	v.moved(ctx, src, dst)
	if v.own.has(src.name) {
		v.own.add(dst.name)
	}
	v.own.remove(src.name)
	if o.Replace {
		v.quota.freed()
	}
	return nil
}

// SetModTime implements FS.
func (v *View) SetModTime(ctx context.Context, name string, t time.Time) error {
	s, err := v.find(name)
	switch {
	case err != nil:
		return PathError("set time", name, err)
	case s.fixed():
		err = fs.ErrPermission
	case s.mount == nil:
		err = fs.ErrNotExist
	case !s.may(PermSetTime):
		err = fs.ErrPermission
	case !s.sees():
		_, err = v.stat(ctx, s)
	}
	if err != nil {
		return PathError("set time", s.name, err)
	}
	done, err := v.allow(ctx, Change{Key: v.key(s)})
	defer done()
	if err == nil {
		err = s.mount.FS.SetModTime(ctx, s.inner, t)
	}
	return PathError("set time", s.name, err)
}

// Space implements SpaceReporter. With a quota it is the smaller of the two.
func (v *View) Space(ctx context.Context, name string) (Space, error) {
	s, err := v.find(name)
	if err != nil {
		return Space{}, PathError("space", name, err)
	}
	space, err := Space{}, errors.ErrUnsupported
	if s.mount != nil {
		if r, ok := s.mount.FS.(SpaceReporter); ok {
			space, err = r.Space(ctx, s.inner)
		}
	}
	if v.quota == nil || err != nil && !errors.Is(err, errors.ErrUnsupported) {
		return space, PathError("space", s.name, err)
	}
	used, limit, quotaErr := v.Usage(ctx)
	if quotaErr != nil {
		return Space{}, PathError("space", s.name, quotaErr)
	}
	left := max(limit-used, 0)
	if err != nil { // the backend does not know its space: the quota is all there is
		return Space{Total: limit, Free: left, Available: left}, nil //nolint:nilerr // ErrUnsupported is no failure
	}
	return Space{
		Total: min(space.Total, limit), Free: min(space.Free, left), Available: min(space.Available, left),
	}, nil
}
