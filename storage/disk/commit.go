package disk

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"gateway/storage"
)

// Commit implements storage.Upload. If the last step, the syncing of the directory,
// fails, the file is published but may not survive a loss of power; the error says so.
func (u *upload) Commit(ctx context.Context, o storage.CommitOptions) (storage.Info, error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.f == nil {
		return storage.Info{}, u.fail("commit", fs.ErrClosed)
	}
	info, err := u.commit(ctx, o)
	if err != nil && storage.CommitRetryable(err) {
		_, u.mode = u.f.Chmod(partMode), unknownMode // as Resume needs it; the folder is closed to others anyway
		return storage.Info{}, u.fail("commit", err)
	}
	if err != nil {
		_ = u.d.forget(u.id) // else the sweep does
	}
	u.close()
	return info, u.fail("commit", err)
}

// commit does what must be done in the one order in which a crash between any two
// steps leaves the old file or the new one, and only leftovers that a sweep knows.
func (u *upload) commit(ctx context.Context, o storage.CommitOptions) (storage.Info, error) {
	d := u.d
	s := &seal{}
	defer s.release()
	if err := u.ready(ctx, &o, s); err != nil {
		return storage.Info{}, err
	}
	d.o.step("ready")
	p, err := u.place(ctx, s, o)
	if p != nil {
		defer p.close()
	}
	if err != nil {
		return storage.Info{}, err
	}
	s.release() // readers may be waiting
	d.o.step("published")
	if err := d.syncs.sync(p); err != nil {
		return storage.Info{}, fmt.Errorf("published, but the folder could not be synced: %w", cause(err))
	}
	d.o.step("directory synced")
	if u.checkpointed {
		_ = d.removeStaged(u.id + sidecarSuffix) // else the sweep does: there is no part any more
	}
	d.o.step("forgotten")
	info, err := u.f.Stat()
	if err != nil {
		return storage.Info{}, err
	}
	return describe(u.name, entry{info, false}), nil
}

// place moves the staged file to where it is published.
func (u *upload) place(ctx context.Context, s *seal, o storage.CommitOptions) (*place, error) {
	d := u.d
	noReplace := o.IfNoneMatch || u.o.Exclusive
	p, err := d.place(u.name)
	if err != nil {
		return nil, err
	}
	if !noReplace {
		info, err := p.dir.lstat(p.base)
		if errors.Is(err, fs.ErrNotExist) && o.IfMatch == "" && !d.o.noRenameat2 {
			if err := u.placeNew(ctx, s, p, o); !errors.Is(err, unix.EEXIST) && !noFlags(err) {
				return p, err
			}
		}
		if err != nil || !info.IsDir() && !info.Mode().IsRegular() {
			if p, err = d.target(p); err != nil {
				return p, err
			}
		}
		// Without this the publish itself refuses to replace.
		unlock, err := d.lock(ctx, p)
		if err != nil {
			return p, err
		}
		defer unlock()
	}
	old, err := d.conditions(ctx, p, o.IfMatch, noReplace)
	if err == nil {
		err = u.finish(ctx, s, p, old, o)
	}
	if err == nil {
		err = d.publish(u.id, p, noReplace)
	}
	return p, err
}

// placeNew is place for a name under which nothing is. That is decided by the rename, so that no lock is needed: EEXIST if
// something has come, or an error of noFlags where it cannot be.
func (u *upload) placeNew(ctx context.Context, s *seal, p *place, o storage.CommitOptions) error {
	if err := u.finish(ctx, s, p, entry{}, o); err != nil {
		return err
	}
	return control(u.d.stagingDir, func(staging int) error {
		return rename(staging, u.id+partSuffix, p.dir.fd, p.base, unix.RENAME_NOREPLACE)
	})
}

// finish makes the staged file what is to be published. If its bytes were hashed
// it makes sure, last of all, that they are still those.
func (u *upload) finish(ctx context.Context, s *seal, p *place, old entry, o storage.CommitOptions) error {
	hashed := o.SHA256 != nil
	if hashed {
		if err := s.intact(); err != nil && !errors.Is(err, errWanted) {
			return err
		}
	}
	if err := u.dress(p, old, o.ModTime); err != nil {
		return err
	}
	if hashed && !s.leased {
		if err := s.look(); err != nil {
			return err
		}
	}
	u.d.o.step("dressed")
	if err := u.f.Sync(); err != nil {
		return err
	}
	u.d.o.step("synced")
	if err := ctx.Err(); err != nil { // the last moment
		return err
	}
	if !hashed {
		return nil
	}
	if err := u.still(ctx, s, o.SHA256); err != nil {
		return err
	}
	return u.same(s)
}

// ready checks what needs no lock: that every write succeeded, and the digest.
func (u *upload) ready(ctx context.Context, o *storage.CommitOptions, s *seal) error {
	fenced := u.fenced(s, o.SHA256 != nil)
	if err := ctx.Err(); err != nil {
		return err
	}
	if at := u.failed.Load(); at != neverFailed {
		return fmt.Errorf("a write at byte %d failed", at)
	}
	if o.ModTime.IsZero() {
		o.ModTime = time.Now()
	}
	if !storage.ValidModTime(o.ModTime) {
		return fs.ErrInvalid
	}
	if o.SHA256 == nil {
		return nil
	}
	if fenced {
		return nil
	}
	return u.hash(ctx, s, o.SHA256)
}

// target is where an upload to p goes: to the file that a link there leads to. It closes p if that is elsewhere.
func (d *Disk) target(p *place) (*place, error) {
	if _, err := d.lookAt(p); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return p, err
	}
	return d.follow(p)
}

// conditions looks at what is to be replaced, with p locked. Nothing there is an
// entry without FileInfo.
func (d *Disk) conditions(ctx context.Context, p *place, ifMatch string, noReplace bool) (entry, error) {
	old, err := d.lookAt(p)
	switch {
	case errors.Is(err, fs.ErrNotExist) && ifMatch == "":
		return entry{}, nil
	case errors.Is(err, fs.ErrNotExist):
		return entry{}, storage.ErrPrecondition
	case noReplace:
		return entry{}, fs.ErrExist
	case err != nil:
		return entry{}, err
	case old.IsDir():
		return entry{}, storage.ErrIsDir
	case ifMatch != "" && ifMatch != etag(old.FileInfo):
		return entry{}, storage.ErrPrecondition
	}
	return old, settle(ctx, old)
}

// dress gives the staged file owner, permission bits and time.
func (u *upload) dress(p *place, old entry, modTime time.Time) error {
	mode := u.o.ModePerm.Perm()
	if mode == 0 {
		mode = u.d.o.FileMode.Perm()
	}
	uid, gid := -1, -1
	if old.FileInfo != nil {
		mode = old.Mode().Perm()
		if s, ok := old.Sys().(*syscall.Stat_t); ok {
			uid, gid = int(s.Uid), int(s.Gid)
		}
	} else if dir := p.dir.stat; dir.Mode&unix.S_ISGID != 0 {
		gid = int(dir.Gid) // as if it had been made here
	}
	if uid >= 0 || gid >= 0 {
		// A process that may not give files away publishes them as its own.
		if err := u.f.Chown(uid, gid); err != nil && !errors.Is(err, fs.ErrPermission) {
			return err
		}
	}
	if mode != u.mode {
		if err := u.f.Chmod(mode); err != nil {
			return err
		}
		u.mode = mode
	}
	at, err := unix.TimeToTimespec(modTime)
	if err != nil {
		return err
	}
	times := []unix.Timespec{{Nsec: unix.UTIME_OMIT}, at}
	return control(u.d.stagingDir, func(staging int) error {
		return unix.UtimesNanoAt(staging, u.id+partSuffix, times, unix.AT_SYMLINK_NOFOLLOW)
	})
}

// publish moves the staged file to p. A rename that refuses to replace is one step;
// file systems without it have links, which never replace.
func (d *Disk) publish(id string, p *place, noReplace bool) error {
	part := id + partSuffix
	var flags uint
	if noReplace {
		flags = unix.RENAME_NOREPLACE
	}
	err := error(unix.EINVAL)
	if !noReplace || !d.o.noRenameat2 {
		err = control(d.stagingDir, func(from int) error { return rename(from, part, p.dir.fd, p.base, flags) })
	}
	if !noReplace || !noFlags(err) {
		return err
	}
	err = control(d.stagingDir, func(from int) error { return unix.Linkat(from, part, p.dir.fd, p.base, 0) })
	if err != nil {
		return err
	}
	d.o.step("linked")
	_ = d.removeStaged(part) // else, as after a crash here, the sweep does
	return nil
}
