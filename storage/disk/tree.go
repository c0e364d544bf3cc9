package disk

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"gateway/storage"
	"gateway/storage/internal/uploadid"
)

// Mkdir implements storage.FS.
func (d *Disk) Mkdir(ctx context.Context, name string) error {
	if name == "" {
		return d.fail("mkdir", name, fs.ErrExist)
	}
	return d.fail("mkdir", name, d.mkdir(ctx, name))
}

func (d *Disk) mkdir(ctx context.Context, name string) error {
	p, err := d.changing(ctx, name)
	if err != nil {
		return err
	}
	defer p.close()
	if err := p.dir.mkdir(p.base, d.o.DirMode); err != nil {
		return err
	}
	d.o.step("made")
	if err := d.chmodDir(p); err != nil {
		return err
	}
	return d.synced(p)
}

// chmodDir undoes the umask and keeps the group that a directory inherits.
func (d *Disk) chmodDir(p *place) error {
	made, err := p.dir.open(p.base)
	if err != nil {
		return err
	}
	defer made.close()
	want := uint32(d.o.DirMode.Perm())
	if made.stat.Mode&0o777 == want {
		return nil
	}
	return again(func() error { return unix.Fchmod(made.fd, want|made.stat.Mode&unix.S_ISGID) })
}

func (d *Disk) synced(places ...*place) error {
	for i, p := range places {
		if i > 0 && p.id == places[0].id {
			continue
		}
		if err := d.syncs.sync(p); err != nil {
			return err
		}
	}
	d.o.step("directory synced")
	return nil
}

// Remove implements storage.FS.
func (d *Disk) Remove(ctx context.Context, name string) error {
	p, _, unlock, err := d.going(ctx, name)
	if err != nil {
		return d.failChanging("remove", name, err)
	}
	defer unlock()
	err = p.dir.remove(p.base)
	d.o.step("removed")
	if err == nil {
		err = d.synced(p)
	}
	return d.fail("remove", name, err)
}

// going prepares for something to be removed: its place is open and locked, and
// it has settled. unlock also closes the place.
func (d *Disk) going(ctx context.Context, name string) (p *place, e entry, unlock func(), err error) {
	if p, err = d.changing(ctx, name); err != nil {
		return nil, entry{}, nil, err
	}
	release, err := d.lock(ctx, p)
	if err == nil {
		if e, err = d.lookAt(p); err == nil && !e.link {
			err = settle(ctx, e)
		}
		if err != nil {
			release()
		}
	}
	if err != nil {
		p.close()
		return nil, entry{}, nil, err
	}
	return p, e, func() { release(); p.close() }, nil
}

// RemoveAll implements storage.TreeRemover. The whole tree goes from sight in one
// step, into the staging folder, and is then removed there; if the process dies
// meanwhile, the sweep goes on. The context is heeded until that step.
func (d *Disk) RemoveAll(ctx context.Context, name string) error {
	if name == "" { // the root stays, and with it the staging folder
		return d.fail("remove", name, errors.ErrUnsupported)
	}
	p, e, unlock, err := d.going(ctx, name)
	if err != nil {
		return d.failChanging("remove", name, err)
	}
	defer unlock()
	if !e.IsDir() || e.link {
		err = p.dir.remove(p.base)
	} else {
		err = d.removeTree(p)
	}
	if err == nil {
		err = d.synced(p)
	}
	return d.fail("remove", name, err)
}

func (d *Disk) removeTree(p *place) error {
	trash := uploadid.New() + trashSuffix
	// It cannot be moved from another file system, or without the right to
	// write into it.
	err := control(d.stagingDir, func(staging int) error { return rename(p.dir.fd, p.base, staging, trash, 0) })
	if err != nil {
		return d.removeAt(p)
	}
	d.o.step("trashed")
	if err := d.syncs.sync(p); err != nil {
		return err
	}
	time.Sleep(tick) // settle, for all of it
	return d.staging.RemoveAll(trash)
}

// removeAt removes the tree at p entry by entry.
func (d *Disk) removeAt(p *place) error {
	root, err := subRoot(d.root, parentOf(p.path))
	if err != nil {
		return err
	}
	defer root.Close()
	info, err := root.Stat(".")
	if err == nil && inode(info) != p.id {
		err = storage.ErrBusy // it was moved meanwhile
	}
	if err != nil {
		return err
	}
	return root.RemoveAll(p.base)
}

// Rename implements storage.FS.
func (d *Disk) Rename(ctx context.Context, from, to string, o storage.RenameOptions) error {
	return d.failChanging("rename", from, d.rename(ctx, from, to, o))
}

func (d *Disk) rename(ctx context.Context, from, to string, o storage.RenameOptions) error {
	if strings.HasPrefix(to, from+"/") {
		if _, err := d.Stat(ctx, from); err != nil {
			return err
		}
		return storage.ErrInvalidMove
	}
	src, err := d.changing(ctx, from)
	if err != nil {
		return err
	}
	defer src.close()
	if _, err := d.lookAt(src); err != nil {
		return err // before anything is said about the target
	}
	dst, err := d.changing(ctx, to)
	if errors.Is(err, unix.ENOTDIR) {
		return storage.ErrNotDir
	}
	if err != nil {
		return err
	}
	defer dst.close()
	unlock, err := d.lock(ctx, src, dst)
	if err != nil {
		return err
	}
	defer unlock()
	moved, err := d.lookAt(src)
	if err != nil {
		return err
	}
	if err := d.move(ctx, src, dst, moved, o.Replace); err != nil {
		return err
	}
	d.o.step("renamed")
	return d.synced(dst, src)
}

// move does the rename, with both places locked.
func (d *Disk) move(ctx context.Context, src, dst *place, moved entry, replace bool) error {
	old, err := d.lookAt(dst)
	if errors.Is(err, fs.ErrNotExist) {
		if err = d.moveToNew(src, dst); !replace || !errors.Is(err, fs.ErrExist) {
			return err
		}
		old, err = d.lookAt(dst) // an upload was published there, which takes no lock
	}
	if err != nil {
		return err
	}
	same := d.sameEntry(src, dst)
	respelled := same && src.id == dst.id && src.base != dst.base && d.insensitive
	switch {
	case respelled: // "a" to "A", one and the same file
		return rename(src.dir.fd, src.base, dst.dir.fd, dst.base, 0)
	case !replace:
		return fs.ErrExist
	case src.id == dst.id && src.base == dst.base:
		return nil
	case same: // two hard links: the system would do nothing
		return src.dir.remove(src.base)
	case old.IsDir() && !moved.IsDir():
		return storage.ErrIsDir
	case !old.IsDir() && moved.IsDir():
		return storage.ErrNotDir
	}
	if !old.link {
		if err := settle(ctx, old); err != nil {
			return err
		}
	}
	err = rename(src.dir.fd, src.base, dst.dir.fd, dst.base, 0)
	if errors.Is(err, unix.EEXIST) { // POSIX lets it be either
		return storage.ErrNotEmpty
	}
	return renameFault(err)
}

// moveToNew renames without replacing. Where no rename can promise that, the lock
// of the name keeps all gateways out, and what comes from elsewhere in that instant
// would be replaced.
func (d *Disk) moveToNew(src, dst *place) error {
	d.o.step("moving")
	err := error(unix.EINVAL)
	if !d.o.noRenameat2 {
		err = rename(src.dir.fd, src.base, dst.dir.fd, dst.base, unix.RENAME_NOREPLACE)
	}
	if noFlags(err) {
		err = rename(src.dir.fd, src.base, dst.dir.fd, dst.base, 0)
	}
	return renameFault(err)
}

func (d *Disk) sameEntry(a, b *place) bool {
	x, err := a.dir.lstat(a.base)
	if err != nil {
		return false
	}
	y, err := b.dir.lstat(b.base)
	return err == nil && inode(x) == inode(y)
}

// renameFault says what the system means by the errors that rename has for
// itself: the parents were opened before, so they are not about these.
func renameFault(err error) error {
	switch {
	case errors.Is(err, unix.EINVAL): // by way of a link or another case
		return storage.ErrInvalidMove
	case errors.Is(err, unix.ENOTDIR):
		return storage.ErrNotDir
	}
	return err
}

// SetModTime implements storage.FS.
func (d *Disk) SetModTime(ctx context.Context, name string, t time.Time) error {
	path, err := d.reading(ctx, name)
	if err == nil && !storage.ValidModTime(t) {
		err = fs.ErrInvalid
	}
	if err == nil {
		_, err = d.look(path)
	}
	if err != nil {
		return d.failChanging("set time", name, err)
	}
	return d.failChanging("set time", name, d.root.Chtimes(path, time.Time{}, t))
}

// Copy implements storage.Copier.
func (d *Disk) Copy(ctx context.Context, from, to string, o storage.CommitOptions) (storage.Info, error) {
	info, err := d.Stat(ctx, from)
	if err == nil && info.IsDir() {
		err = storage.ErrIsDir
	}
	if err == nil && from == to {
		err = storage.ErrInvalidMove
	}
	if err != nil {
		return storage.Info{}, d.fail("copy", from, err)
	}
	c := storage.CreateOptions{Size: info.Size, ModePerm: info.Mode.Perm(), Exclusive: o.IfNoneMatch}
	u, err := d.create(ctx, to, c)
	if err != nil {
		return storage.Info{}, d.fail("copy", to, err)
	}
	defer func() { _ = u.Abort(ctx) }() // after a commit it does nothing
	if err := u.copyFrom(ctx, from); err != nil {
		return storage.Info{}, d.failReading("copy", from, err)
	}
	return u.Commit(ctx, o)
}

// Space implements storage.SpaceReporter: of the file system that name is on.
func (d *Disk) Space(ctx context.Context, name string) (storage.Space, error) {
	path, err := d.reading(ctx, name)
	if err == nil {
		_, err = d.look(path) // so that no pipe or device is opened
	}
	if err != nil {
		return storage.Space{}, d.failReading("space", name, err)
	}
	f, err := d.root.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK|unix.O_NOCTTY, 0)
	if err != nil {
		return storage.Space{}, d.failReading("space", name, err)
	}
	defer f.Close()
	var space storage.Space
	err = control(f, func(fd int) error {
		space, err = spaceOf(fd)
		return err
	})
	return space, d.fail("space", name, err)
}

func spaceOf(fd int) (space storage.Space, err error) {
	var s unix.Statfs_t
	err = again(func() error { return unix.Fstatfs(fd, &s) })
	unit := int64(s.Frsize) //nolint:unconvert // narrower on some architectures
	if unit == 0 {
		unit = int64(s.Bsize) //nolint:unconvert // as above
	}
	return storage.Space{
		Total:     int64(s.Blocks) * unit,
		Free:      int64(s.Bfree) * unit,
		Available: int64(s.Bavail) * unit,
	}, err
}
