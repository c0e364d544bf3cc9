package disk

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"gateway/storage"
)

// Create implements storage.FS.
func (d *Disk) Create(ctx context.Context, name string, o storage.CreateOptions) (storage.Upload, error) {
	u, err := d.create(ctx, name, o)
	if err != nil {
		return nil, d.fail("create", name, err)
	}
	return u, nil
}

func (d *Disk) create(ctx context.Context, name string, o storage.CreateOptions) (*upload, error) {
	if name == "" {
		return nil, storage.ErrIsDir
	}
	p, err := d.changing(ctx, name)
	if err != nil {
		return nil, err
	}
	defer p.close()
	if p.id.device != d.device {
		return nil, storage.ErrCrossMount
	}
	e, err := d.lookAt(p)
	exists := err == nil
	switch {
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		return nil, err
	case exists && e.IsDir():
		return nil, storage.ErrIsDir
	case exists && o.Exclusive:
		return nil, fs.ErrExist
	case !exists && o.Edit:
		return nil, fs.ErrNotExist
	}
	if err := hasRoom(p.dir.fd, o.Size); err != nil {
		return nil, err
	}
	id, f, mode, err := d.newPart(d.stagedMode(o.ModePerm))
	if err != nil {
		return nil, err
	}
	u := newUpload(d, id, name, f, o)
	u.mode = mode
	if exists {
		u.old = describe(name, e)
	}
	if o.Hashed && !o.Edit {
		u.fence = d.fence(f)
	}
	if o.Edit {
		if err := u.copyFrom(ctx, p.path); err != nil {
			u.close()
			_ = d.forget(id) // else the sweep does
			return nil, err
		}
	}
	return u, nil
}

// roomFrom is from which size on, in bytes, it is asked whether an upload has room:
// the writes of a smaller one tell soon enough.
const roomFrom = 1 << 20

func hasRoom(dir int, size int64) error {
	if size < roomFrom {
		return nil
	}
	space, err := spaceOf(dir)
	if err == nil && size > space.Available {
		err = fmt.Errorf("%w: %d bytes are to be written, %d are free", storage.ErrNoSpace, size, space.Available)
	}
	return err
}

// upload is a staged file. Reads and writes hold mu for reading, the rest for
// writing; so a caller who overlaps them, against the contract, waits.
type upload struct {
	d    *Disk
	id   string
	name string
	o    storage.CreateOptions

	mu           sync.RWMutex
	f            *os.File     // nil when closed
	mode         fs.FileMode  // the permission bits of the staged file; unknownMode
	old          storage.Info // what was there when it was begun; without a name: nothing
	checkpointed bool         // there is a sidecar
	fence        *seal        // since the file was made; nil without one, and once it was used
	size         atomic.Int64
	// failed is the lowest offset at which a write failed. What comes after it
	// cannot be trusted to be whole: it is neither published nor kept.
	failed atomic.Int64
}

const neverFailed = math.MaxInt64

// Replaced implements storage.Replacer.
func (u *upload) Replaced(context.Context) (storage.Info, error) {
	if u.old.Name == "" {
		return storage.Info{}, fs.ErrNotExist
	}
	return u.old, nil
}

func newUpload(d *Disk, id, name string, f *os.File, o storage.CreateOptions) *upload {
	u := &upload{d: d, id: id, name: name, f: f, o: o, mode: unknownMode}
	u.failed.Store(neverFailed)
	return u
}

func (u *upload) fail(op string, err error) error { return u.d.failIO(op, u.name, err) }

// copyChunk is how many bytes are copied between two looks at the context.
const copyChunk = 64 << 20

// copyFrom fills the staged file with a copy of the file at path; the kernel
// copies, or shares the blocks where the file system can.
func (u *upload) copyFrom(ctx context.Context, path string) error {
	src, err := u.d.root.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK|unix.O_NOCTTY, 0)
	if err != nil {
		return err
	}
	defer src.Close()
	if info, err := src.Stat(); err != nil {
		return err
	} else if !info.Mode().IsRegular() {
		return errHidden
	}
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		n, err := io.CopyN(u.f, src, copyChunk)
		u.size.Add(n)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

func (u *upload) WriteAt(p []byte, off int64) (int, error) {
	u.mu.RLock()
	defer u.mu.RUnlock()
	if u.f == nil {
		return 0, u.fail("write", fs.ErrClosed)
	}
	if off < 0 || off > math.MaxInt64-int64(len(p)) {
		return 0, u.fail("write", fs.ErrInvalid)
	}
	n, err := u.f.WriteAt(p, off)
	if n > 0 {
		raise(&u.size, off+int64(n))
	}
	if err != nil {
		lower(&u.failed, off+int64(n))
	}
	return n, u.fail("write", err)
}

func raise(v *atomic.Int64, to int64) {
	for old := v.Load(); old < to && !v.CompareAndSwap(old, to); old = v.Load() {
	}
}

func lower(v *atomic.Int64, to int64) {
	for old := v.Load(); old > to && !v.CompareAndSwap(old, to); old = v.Load() {
	}
}

func (u *upload) ReadAt(p []byte, off int64) (int, error) {
	u.mu.RLock()
	defer u.mu.RUnlock()
	if u.f == nil {
		return 0, u.fail("read", fs.ErrClosed)
	}
	if off < 0 {
		return 0, u.fail("read", fs.ErrInvalid)
	}
	n, err := u.f.ReadAt(p, off)
	return n, u.fail("read", err)
}

func (u *upload) Truncate(size int64) error {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.f == nil {
		return u.fail("truncate", fs.ErrClosed)
	}
	if size < 0 {
		return u.fail("truncate", fs.ErrInvalid)
	}
	if err := u.f.Truncate(size); err != nil {
		return u.fail("truncate", err)
	}
	u.size.Store(size)
	if u.failed.Load() >= size { // what failed is cut off
		u.failed.Store(neverFailed)
	}
	return nil
}

func (u *upload) Size() int64 { return u.size.Load() }

func (u *upload) Checkpoint(ctx context.Context) (storage.Token, error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return "", u.fail("checkpoint", err)
	}
	return u.keep(time.Now().Add(u.d.o.Keep))
}

// Suspend keeps the bytes whether or not the context has ended: the connection that
// it belongs to usually has.
func (u *upload) Suspend(_ context.Context, o storage.SuspendOptions) (storage.Token, error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	t, err := u.keep(o.Until)
	if u.f == nil {
		return t, err
	}
	if err != nil && !u.checkpointed {
		_ = u.d.forget(u.id) // else the sweep does
	}
	// A child process that is being started has u.f open too until it is executed,
	// and the lock would live as long as that.
	_ = flock(u.f, unix.LOCK_UN)
	u.close()
	return t, err
}

// keep makes the staged bytes, and that they can be resumed, durable.
func (u *upload) keep(until time.Time) (storage.Token, error) {
	if u.f == nil {
		return "", u.fail("checkpoint", fs.ErrClosed)
	}
	var err error
	if whole := u.failed.Load(); whole < u.size.Load() {
		if err = u.f.Truncate(whole); err == nil {
			u.size.Store(whole)
		}
	}
	if err == nil {
		err = u.f.Sync()
	}
	u.d.o.step("bytes synced")
	if err == nil {
		err = u.d.writeSidecar(u.id, sidecar{
			Name: u.name, Owner: u.o.Owner, Size: u.size.Load(), Exclusive: u.o.Exclusive,
			ModePerm: u.o.ModePerm, Updated: time.Now().UTC(), Until: until.UTC(),
		})
	}
	if err != nil {
		return "", u.fail("checkpoint", err)
	}
	u.d.o.step("kept")
	u.checkpointed = true
	return storage.Token(u.id), nil
}

// Abort removes the staged bytes whether or not the context has ended.
func (u *upload) Abort(context.Context) error {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.f == nil {
		return nil
	}
	err := u.d.forget(u.id)
	u.close()
	return u.fail("abort", err)
}

// close gives up the lock; nothing was written that is not synced or unwanted, so
// that there is nothing to learn from its error.
func (u *upload) close() {
	u.f.Close()
	u.f = nil
}
