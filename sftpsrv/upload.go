package sftpsrv

import (
	"context"
	"errors"
	"io/fs"
	"math"
	"time"

	"gateway/storage"
)

// upload is a file that is open for writing. Except for name and removed it
// belongs to the queue of its handle.
type upload struct {
	staged storage.Upload
	flags  uint32 // of OPEN
	perm   fs.FileMode
	serial uint64

	name    string // where RENAME wants it in the end; guarded by session.mu
	removed bool   // REMOVE took it away: CLOSE publishes nothing; guarded by session.mu

	target  string // where storage will publish it
	replace bool   // whether name may be taken when target is moved there

	base   *storage.Info // what was published under the name at OPEN
	edit   bool          // began as a copy of base
	dirty  bool          // something was written or cut
	failed error         // the first WRITE that did not succeed

	modTime time.Time // as the client set it; zero: when it is published
	touched time.Time // when it was last written
	kept    time.Time // when it was last checkpointed, or opened
	tried   bool      // there was a checkpoint, also one that failed
	anew    bool      // another that was interrupted is kept under the name

	resumed bool          // continues a suspended upload, but the client has not shown yet that it knows
	token   storage.Token // of that one, or of its own checkpoint
	extents extents
	inPlace bool // something before the end of base was changed
	arrival bool // for APPEND: offsets do not mean anything, bytes go to the end
	placed  bool // for APPEND: the first WRITE decided about arrival
}

// create begins an upload for OPEN.
func (s *session) create(name string, flags uint32, perm fs.FileMode) (*upload, error) {
	exclusive := flags&openCreat != 0 && flags&openExcl != 0
	if exclusive && s.upload(name) != nil {
		return nil, storage.PathError("open", name, fs.ErrExist)
	}
	u := &upload{flags: flags, perm: perm, name: name, target: name, touched: s.now(), kept: s.now()}
	if flags&openCreat != 0 && flags&openTrunc != 0 && !exclusive {
		return u, s.anew(u)
	}
	info, err := s.fs.Stat(s.ctx, name)
	if err == nil && info.IsDir() {
		return nil, storage.PathError("open", name, storage.ErrIsDir)
	}
	if err == nil {
		u.base = &info
	}
	if flags&openCreat == 0 && flags&openTrunc != 0 && err != nil {
		return nil, err
	}
	if flags&(openTrunc|openRead) == 0 && !exclusive {
		if resumed, err := s.resume(u); resumed || err != nil {
			return u, err
		}
	}
	if flags&openTrunc != 0 {
		_, u.anew = s.partials.find(s.ctx, name)
	}
	return u, s.stage(u, exclusive)
}

// anew begins an upload that has nothing of what is there, which is how most begin. It looks once.
func (s *session) anew(u *upload) error {
	if err := s.stage(u, false); err != nil {
		return err
	}
	if info, err := storage.Replaced(s.ctx, s.fs, u.name, u.staged); err == nil {
		u.base = &info
	}
	_, u.anew = s.partials.find(s.ctx, u.name)
	return nil
}

// stage makes the staged file of u: a copy of the present file where the client
// did not ask to cut it, an empty one otherwise.
func (s *session) stage(u *upload, exclusive bool) error {
	o := storage.CreateOptions{Owner: s.user, Size: -1, ModePerm: u.perm, Exclusive: exclusive}
	if u.flags&openTrunc == 0 && !exclusive {
		o.Edit = true
		staged, err := s.fs.Create(s.ctx, u.target, o)
		if err == nil {
			if u.base == nil { // it has just been published
				u.base = &storage.Info{Size: staged.Size()}
			}
			u.staged, u.edit = staged, true
			u.extents = extents{end: staged.Size()}
			return nil
		}
		if !errors.Is(err, fs.ErrNotExist) || u.flags&openCreat == 0 {
			return err
		}
		o.Edit = false
	}
	staged, err := s.fs.Create(s.ctx, u.target, o)
	if err != nil {
		return err
	}
	u.staged, u.edit, u.extents = staged, false, extents{}
	return nil
}

// write carries out one WRITE. After a failure the upload can only be closed: a file
// with a hole in it must not be published.
func (s *session) write(u *upload, offset uint64, data []byte) error {
	if u.failed != nil {
		return u.failed
	}
	u.failed = s.writeAt(u, offset, data)
	if errors.Is(u.failed, storage.ErrNoSpace) { // clients say "Failure"; the operator must learn why
		s.log.Error("upload failed: the disk is full", "name", u.target)
	}
	if u.failed == nil {
		s.checkpoint(u)
	}
	return u.failed
}

func (s *session) writeAt(u *upload, offset uint64, data []byte) error {
	if offset > uint64(math.MaxInt64-len(data)) {
		return errOffset
	}
	if err := s.settle(u, int64(offset)); err != nil {
		return err
	}
	at := u.position(int64(offset))
	n, err := u.staged.WriteAt(data, at)
	if n > 0 {
		u.dirty = true
		u.touched = s.now()
		u.inPlace = u.inPlace || u.edit && at < u.base.Size
		u.extents.add(at, at+int64(n))
	}
	return err
}

// position is where the bytes of a WRITE go. Without APPEND that is the offset.
//
// With APPEND the draft says the end, and OpenSSH's server ignores the offset; but
// its client sends true ones (put -a), which may arrive in any order from clients
// that write in parallel. So the offsets count when the first one is not before
// the end of the file; clients that count from 0 get their bytes put to the end
// in the order of arrival. What is there is never overwritten.
func (u *upload) position(offset int64) int64 {
	if u.flags&openAppend == 0 {
		return offset
	}
	if !u.placed {
		u.placed = true
		u.arrival = offset < u.extents.end
	}
	if u.arrival || offset < u.extents.end {
		return u.staged.Size()
	}
	return offset
}

// truncate carries out a change of size.
func (s *session) truncate(u *upload, size uint64) error {
	if u.failed != nil {
		return u.failed
	}
	if size > math.MaxInt64 {
		return errOffset
	}
	if err := s.settle(u, -1); err != nil {
		return err
	}
	if err := u.staged.Truncate(int64(size)); err != nil {
		u.failed = err
		return err
	}
	u.dirty = true
	u.touched = s.now()
	u.inPlace = u.inPlace || u.edit && int64(size) < u.base.Size
	u.extents.truncate(int64(size))
	return nil
}

// info describes the upload to its own session.
func (s *session) uploadInfo(u *upload) storage.Info {
	info := storage.Info{Size: u.staged.Size(), Mode: u.perm, ModTime: u.touched}
	if u.resumed {
		info.Size = toldSize(info.Size)
	}
	if u.base != nil {
		info.Mode = u.base.Mode
		if !u.dirty && u.edit {
			info.ModTime = u.base.ModTime
		}
	}
	if !u.modTime.IsZero() {
		info.ModTime = u.modTime
	}
	return info
}

// publish is CLOSE of an upload.
func (s *session) publish(u *upload) error {
	defer u.staged.Abort(context.WithoutCancel(s.ctx))
	s.mu.Lock()
	name, removed := u.name, u.removed
	s.mu.Unlock()
	switch {
	case u.failed != nil:
		return u.failed
	case removed:
		return nil
	case u.resumed:
		s.abandon(u)
		if u.base != nil {
			return nil
		}
		return errIncomplete
	case u.edit && !u.dirty:
		if u.modTime.IsZero() {
			return nil
		}
		return s.fs.SetModTime(s.ctx, name, u.modTime)
	}
	moved := name != u.target
	_, err := u.staged.Commit(s.ctx, storage.CommitOptions{ModTime: u.modTime, IfNoneMatch: moved})
	if err != nil {
		if s.ctx.Err() != nil { // the server ends before it could be published
			s.abandon(u)
		}
		return err
	}
	s.partials.discard(s.ctx, s.log, u.target, "")
	if moved {
		return s.fs.Rename(s.ctx, u.target, name, storage.RenameOptions{Replace: u.replace})
	}
	return nil
}

// abandon ends an upload whose connection broke: its unbroken beginning is
// suspended where that can be continued, the rest is thrown away.
func (s *session) abandon(u *upload) {
	// The session may have ended by its context; the bytes are kept all the same.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(s.ctx), drainTime)
	defer cancel()
	defer u.staged.Abort(ctx)
	if !s.keepable(ctx, u) {
		return
	}
	s.partials.discard(ctx, s.log, u.target, u.token)
	if u.extents.end < u.staged.Size() {
		if err := u.staged.Truncate(u.extents.end); err != nil {
			s.log.Warn("interrupted upload is lost", "name", u.target, "error", err)
			return
		}
	}
	token, err := u.staged.Suspend(ctx, storage.SuspendOptions{Until: s.now().Add(s.keep)})
	switch {
	case errors.Is(err, errors.ErrUnsupported): // this mount keeps nothing
		return
	case err != nil:
		s.log.Warn("interrupted upload is lost", "name", u.target, "error", err)
		return
	}
	s.partials.forget()
	if s.overtaken(ctx, u) { // by a session that published before it could know of this
		_ = s.partials.resumer.Discard(ctx, token) // or the next one who publishes does
		return
	}
	s.log.Info("upload suspended", "name", u.target, "size", u.extents.end, "hours", s.keep.Hours())
}

// overtaken reports whether something else was published under the name since OPEN. It
// happens when a client comes back and sends the file again before its first
// connection is found to be dead.
func (s *session) overtaken(ctx context.Context, u *upload) bool {
	info, err := s.fs.Stat(ctx, u.target)
	if err != nil {
		return false
	}
	return u.base == nil || u.base.ETag != info.ETag
}
