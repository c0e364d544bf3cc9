package storage

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"sync"
)

// Create implements FS. The upload belongs to the view's user, whatever
// CreateOptions.Owner says.
func (v *View) Create(ctx context.Context, name string, o CreateOptions) (Upload, error) {
	s, err := v.find(name)
	if err != nil {
		return nil, PathError("create", name, err)
	}
	u, err := v.create(ctx, s, o)
	if err != nil {
		return nil, PathError("create", s.name, err)
	}
	return u, nil
}

func (v *View) create(ctx context.Context, s spot, o CreateOptions) (*viewUpload, error) {
	size, err := v.mayCreate(ctx, s, &o)
	if err != nil {
		return nil, err
	}
	done, err := v.allowTo(ctx, s)
	if err != nil {
		return nil, err
	}
	done() // nothing changes before it is published
	r, err := v.reserve(ctx, size)
	if err != nil {
		return nil, err
	}
	inner, err := s.mount.FS.Create(ctx, s.inner, o)
	if err != nil {
		r.release()
		return nil, err
	}
	return &viewUpload{v: v, s: s, inner: inner, room: r}, nil
}

// mayCreate decides by the options, changes them to what the user may do, and
// says how many bytes the upload begins with or announces.
func (v *View) mayCreate(ctx context.Context, s spot, o *CreateOptions) (size int64, err error) {
	o.Owner = v.user
	size = max(o.Size, 0)
	create, overwrite := s.may(PermCreate), s.may(PermOverwrite)
	switch {
	case s.fixed():
		return 0, ErrIsDir
	case s.mount == nil:
		return 0, v.absent(s)
	case !create && !overwrite,
		o.Exclusive && !create,
		o.Edit && !s.may(PermOverwrite|PermRead):
		return 0, fs.ErrPermission
	case !overwrite:
		o.Exclusive = true
	}
	if !o.Edit && create {
		return size, nil
	}
	info, err := s.mount.FS.Stat(ctx, s.inner)
	if errors.Is(err, fs.ErrNotExist) && !create {
		return 0, fs.ErrPermission
	}
	if o.Edit {
		size = max(size, info.Size)
	}
	return size, err
}

// overwriteTries is how often a user who may only overwrite is overtaken by others
// at the moment of publishing before the upload fails with ErrPrecondition.
const overwriteTries = 8

// publish calls commit with the conditions that the permissions at s add: then the
// backend decides between new and old in the step that publishes.
func (v *View) publish(ctx context.Context, s spot, o CommitOptions, commit func(CommitOptions) (Info, error)) (info Info, err error) {
	create, overwrite := s.may(PermCreate), s.may(PermOverwrite)
	switch {
	case !create && !overwrite, !create && o.IfNoneMatch, !overwrite && o.IfMatch != "":
		return Info{}, fs.ErrPermission
	case !overwrite:
		o.IfNoneMatch = true
	}
	done, err := v.allowTo(ctx, s)
	defer done()
	if err == nil {
		err = v.unbind(ctx, s)
	}
	if err != nil {
		return Info{}, err
	}
	if !overwrite || create || o.IfMatch != "" {
		return commit(o)
	}
	for range overwriteTries {
		old, statErr := s.mount.FS.Stat(ctx, s.inner)
		if errors.Is(statErr, fs.ErrNotExist) {
			return Info{}, fs.ErrPermission
		}
		if statErr != nil {
			return Info{}, statErr
		}
		o.IfMatch = old.ETag
		if info, err = commit(o); !errors.Is(err, ErrPrecondition) {
			break
		}
	}
	return info, err
}

// viewUpload is an upload that counts against the quota and publishes under the
// permissions of its mount.
type viewUpload struct {
	v     *View
	s     spot
	inner Upload
	room  *reservation

	mu    sync.Mutex
	token Token // of the backend, once checkpointed
}

func (u *viewUpload) fail(op string, err error) error {
	if err == io.EOF { //nolint:errorlint // io.ReaderAt returns it bare
		return err
	}
	return PathError(op, u.s.name, err)
}

// Replaced implements Replacer. Who may not learn the name learns nothing, as by Stat.
func (u *viewUpload) Replaced(ctx context.Context) (Info, error) {
	info, err := Replaced(ctx, u.s.mount.FS, u.s.inner, u.inner)
	if err == nil && !u.s.sees() && !u.v.own.has(u.s.name) {
		err = fs.ErrNotExist
	}
	if err != nil {
		return Info{}, err
	}
	_, info.Name = Split(u.s.name)
	return info, nil
}

func (u *viewUpload) WriteAt(p []byte, off int64) (int, error) {
	if err := u.room.grow(context.Background(), off+int64(len(p))); err != nil {
		return 0, u.fail("write", err)
	}
	n, err := u.inner.WriteAt(p, off)
	return n, u.fail("write", err)
}

func (u *viewUpload) ReadAt(p []byte, off int64) (int, error) {
	n, err := u.inner.ReadAt(p, off)
	return n, u.fail("read", err)
}

func (u *viewUpload) Truncate(size int64) error {
	if err := u.room.grow(context.Background(), size); err != nil {
		return u.fail("truncate", err)
	}
	err := u.inner.Truncate(size)
	if err == nil {
		u.room.shrink(size)
	}
	return u.fail("truncate", err)
}

func (u *viewUpload) Size() int64 { return u.inner.Size() }

func (u *viewUpload) Checkpoint(ctx context.Context) (Token, error) {
	u.mu.Lock()
	first := u.token == ""
	u.mu.Unlock()
	if first {
		u.v.makeRoom(ctx, u.s.mount)
	}
	t, err := u.inner.Checkpoint(ctx)
	if err != nil {
		return "", u.fail("checkpoint", err)
	}
	u.setToken(t)
	return u.s.mount.token(t), nil
}

func (u *viewUpload) setToken(t Token) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.token = t
	u.room.setOpen(u.s.mount.token(t))
}

func (u *viewUpload) Suspend(ctx context.Context, o SuspendOptions) (Token, error) {
	u.v.makeRoom(context.WithoutCancel(ctx), u.s.mount)
	size := u.Size()
	t, err := u.inner.Suspend(ctx, o)
	if err != nil {
		u.room.release()
		u.v.quota.freed() // an older checkpoint may still be there
		return "", u.fail("suspend", err)
	}
	u.room.settle(size)
	return u.s.mount.token(t), nil
}

func (u *viewUpload) Commit(ctx context.Context, o CommitOptions) (Info, error) {
	info, err := u.v.publish(ctx, u.s, o, func(o CommitOptions) (Info, error) { return u.inner.Commit(ctx, o) })
	switch {
	case err == nil:
		u.room.settle(u.s.mount.counted(info.Size))
		u.v.quota.freed() // if it replaced a file
		u.v.uploaded(u.s)
		_, info.Name = Split(u.s.name)
	case !CommitRetryable(err):
		_ = u.inner.Abort(context.WithoutCancel(ctx)) // a refusal of the view's own; else it does nothing
		u.room.release()
	}
	return info, u.fail("commit", err)
}

func (u *viewUpload) Abort(ctx context.Context) error {
	err := u.inner.Abort(ctx)
	u.room.release()
	return u.fail("abort", err)
}

// uploaded remembers the name for who could not see it otherwise.
func (v *View) uploaded(s spot) {
	if !s.sees() {
		v.own.add(s.name)
	}
}

// Copy implements Copier, within one mount whose backend does; between mounts
// the bytes have to be read and written, as [Copy] does.
func (v *View) Copy(ctx context.Context, from, to string, o CommitOptions) (Info, error) {
	src, err := v.find(from)
	if err != nil {
		return Info{}, PathError("copy", from, err)
	}
	dst, err := v.find(to)
	if err != nil {
		return Info{}, PathError("copy", to, err)
	}
	switch {
	case src.fixed():
		return Info{}, PathError("copy", src.name, ErrIsDir)
	case src.mount == nil:
		return Info{}, PathError("copy", src.name, fs.ErrNotExist)
	case !src.may(PermRead):
		return Info{}, PathError("copy", src.name, fs.ErrPermission)
	}
	info, err := v.copy(ctx, src, dst, o)
	return info, PathError("copy", dst.name, err)
}

func (v *View) copy(ctx context.Context, src, dst spot, o CommitOptions) (Info, error) {
	if _, err := v.mayCreate(ctx, dst, &CreateOptions{Exclusive: o.IfNoneMatch}); err != nil {
		return Info{}, err
	}
	c, ok := src.mount.FS.(Copier)
	if !ok || src.mount != dst.mount {
		return Info{}, errors.ErrUnsupported
	}
	info, err := src.mount.FS.Stat(ctx, src.inner)
	if err != nil {
		return Info{}, err
	}
	r, err := v.reserve(ctx, info.Size)
	if err != nil {
		return Info{}, err
	}
	defer r.release()
	info, err = v.publish(ctx, dst, o, func(o CommitOptions) (Info, error) {
		return c.Copy(ctx, src.inner, dst.inner, o)
	})
	if err == nil {
		r.settle(dst.mount.counted(info.Size))
		v.quota.freed() // if it replaced a file
		v.uploaded(dst)
		_, info.Name = Split(dst.name)
	}
	return info, err
}
