package disk

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"os"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"gateway/storage"
	"gateway/storage/internal/uploadid"
)

// The staging folder holds, for an upload with a random id,
//
//	id.part   its bytes; whoever has the upload open holds a lock (flock) on it
//	id.json   written when it is checkpointed: what Resume has to know
//	id.new    id.json being written
//	id.trash  a directory that is being removed
//
// and "locks", whose bytes are the locks of names. A part that nobody holds and
// that has no id.json is what a dead process left.
const (
	partSuffix    = ".part"
	sidecarSuffix = ".json"
	newSuffix     = ".new"
	trashSuffix   = ".trash"
	lockName      = "locks"
)

// maxSidecar bounds what is read of an id.json, in bytes: a name of MaxName bytes,
// escaped, and the rest.
const maxSidecar = 64 << 10

func (d *Disk) openStaging() error {
	err := d.root.Mkdir(storage.StagingName, 0o700)
	if err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	info, err := d.root.Lstat(storage.StagingName)
	if err != nil {
		return err
	}
	if !info.IsDir() {
		return errors.New("is not a directory: move it away")
	}
	if s, ok := info.Sys().(*syscall.Stat_t); ok && int(s.Uid) != os.Geteuid() {
		return fmt.Errorf("belongs to user %d, the gateway runs as %d: change the owner of one", s.Uid, os.Geteuid())
	}
	if d.staging, err = subRoot(d.root, storage.StagingName); err != nil {
		return err
	}
	if d.stagingDir, err = d.staging.Open("."); err != nil {
		return err
	}
	if err := d.stagingDir.Chmod(0o700); err != nil {
		return err
	}
	if d.lockFile, err = d.staging.OpenFile(lockName, os.O_RDWR|os.O_CREATE|syscall.O_NOFOLLOW, 0o600); err != nil {
		return err
	}
	if err := flock(d.lockFile, unix.LOCK_SH); err != nil {
		return fmt.Errorf("the file system has no locks, which the gateway needs: %w", err)
	}
	root, err := d.root.Open(".")
	if err != nil {
		return err
	}
	defer root.Close()
	return root.Sync()
}

// foldsCase asks for the staging folder in capitals.
func (d *Disk) foldsCase() bool {
	upper, err := d.root.Lstat(strings.ToUpper(storage.StagingName))
	if err != nil {
		return false
	}
	info, err := d.root.Lstat(storage.StagingName)
	return err == nil && os.SameFile(upper, info)
}

func flock(f *os.File, how int) error {
	return control(f, func(fd int) error {
		for {
			if err := unix.Flock(fd, how|unix.LOCK_NB); !errors.Is(err, unix.EINTR) {
				return err
			}
		}
	})
}

// partTries is how often newPart may be overtaken by sweeps.
const partTries = 10

// The permission bits of a staged file: what Resume needs, and what no file has.
const (
	partMode    fs.FileMode = 0o600
	unknownMode fs.FileMode = fs.ModeIrregular
)

// stagedMode is what the staged file of a new file with the bits perm is made with: those, so that they need not be set
// when it is published, if it can be resumed with them. The staging folder is closed to others.
func (d *Disk) stagedMode(perm fs.FileMode) fs.FileMode {
	if perm = perm.Perm(); perm == 0 {
		perm = d.o.FileMode.Perm()
	}
	if perm&partMode != partMode {
		return partMode
	}
	return perm
}

// newPart makes a staged file and locks it. A sweep may see it in between and
// take it for abandoned; then another is made. mode is what the umask has left of perm.
func (d *Disk) newPart(perm fs.FileMode) (id string, f *os.File, mode fs.FileMode, err error) {
	for range partTries {
		id = uploadid.New()
		if f, err = d.makePart(id+partSuffix, perm); err != nil {
			return "", nil, 0, err
		}
		mode, err = d.ownPart(f)
		if err == nil {
			return id, f, mode, nil
		}
		f.Close()
		if !errors.Is(err, storage.ErrBusy) && !errors.Is(err, fs.ErrNotExist) {
			break
		}
	}
	_ = d.removeStaged(id + partSuffix)
	return "", nil, 0, err
}

// makePart is os.Root's OpenFile without asking whether the file can be waited for.
func (d *Disk) makePart(name string, perm fs.FileMode) (f *os.File, err error) {
	fd := -1
	err = control(d.stagingDir, func(staging int) error {
		return again(func() (err error) {
			fd, err = unix.Openat(staging, name, unix.O_RDWR|unix.O_CREAT|unix.O_EXCL|unix.O_NOFOLLOW|unix.O_CLOEXEC, uint32(perm))
			return err
		})
	})
	if err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(fd), name), nil
}

// openPart opens and locks the staged file of an upload that nobody has open:
// ErrBusy, or fs.ErrNotExist.
func (d *Disk) openPart(id string) (*os.File, error) {
	f, err := d.staging.OpenFile(id+partSuffix, os.O_RDWR|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0)
	if errors.Is(err, unix.EWOULDBLOCK) { // it is sealed, to be published
		return nil, storage.ErrBusy
	}
	if err != nil {
		return nil, err
	}
	if _, err := d.ownPart(f); err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// ownPart locks f and makes sure that it is still nothing but a staged file: with
// two names it was published by a process that died before it could take away the
// first, and to write to it would be to write into the published file.
func (d *Disk) ownPart(f *os.File) (mode fs.FileMode, err error) {
	if err := flock(f, unix.LOCK_EX); err != nil {
		if errors.Is(err, unix.EWOULDBLOCK) {
			err = storage.ErrBusy
		}
		return 0, err
	}
	info, err := f.Stat()
	if err != nil {
		return 0, err
	}
	if links(info) != 1 || !info.Mode().IsRegular() {
		return 0, fs.ErrNotExist
	}
	return info.Mode().Perm(), nil
}

// sidecar is the content of id.json.
type sidecar struct {
	Name      string      `json:"name"`
	Owner     string      `json:"owner,omitempty"`
	Size      int64       `json:"size"` // bytes that are durable
	Exclusive bool        `json:"exclusive,omitempty"`
	ModePerm  fs.FileMode `json:"mode,omitempty"`
	Updated   time.Time   `json:"updated"`
	Until     time.Time   `json:"until,omitzero"`
}

func (s sidecar) expired() bool { return !s.Until.IsZero() && time.Now().After(s.Until) }

// writeSidecar makes s durable; with it, the name of the staged file is.
func (d *Disk) writeSidecar(id string, s sidecar) (err error) {
	f, err := d.staging.OpenFile(id+newSuffix, os.O_WRONLY|os.O_CREATE|os.O_TRUNC|syscall.O_NOFOLLOW, 0o600)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_ = d.staging.Remove(id + newSuffix)
		}
	}()
	err = json.NewEncoder(f).Encode(s)
	if err == nil {
		err = f.Sync()
	}
	if err := errors.Join(err, f.Close()); err != nil {
		return cause(err)
	}
	err = control(d.stagingDir, func(fd int) error { return rename(fd, id+newSuffix, fd, id+sidecarSuffix, 0) })
	if err != nil {
		return err
	}
	return d.stagingDir.Sync()
}

// readSidecar fails with fs.ErrNotExist if there is none that is whole and in force.
func (d *Disk) readSidecar(id string) (sidecar, error) {
	f, err := d.staging.OpenFile(id+sidecarSuffix, os.O_RDONLY|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0)
	if err != nil {
		return sidecar{}, err
	}
	defer f.Close()
	var s sidecar
	if err := json.NewDecoder(io.LimitReader(f, maxSidecar)).Decode(&s); err != nil {
		return sidecar{}, fs.ErrNotExist
	}
	if clean, err := storage.CleanName(s.Name); err != nil || clean != s.Name || clean == "" || s.Size < 0 || s.expired() {
		return sidecar{}, fs.ErrNotExist
	}
	return s, nil
}

// forget removes all that is staged of an upload, whatever of it there is.
func (d *Disk) forget(id string) error {
	var errs []error
	for _, suffix := range []string{newSuffix, sidecarSuffix, partSuffix} {
		errs = append(errs, d.removeStaged(id+suffix))
	}
	return errors.Join(errs...)
}

// Resume implements storage.Resumer. What was written after the last checkpoint is
// cut off; bytes before it that were written again since may be either.
func (d *Disk) Resume(ctx context.Context, t storage.Token) (storage.Upload, error) {
	u, err := d.resume(ctx, string(t))
	if err != nil {
		return nil, d.fail("resume", "", err)
	}
	return u, nil
}

func (d *Disk) resume(ctx context.Context, id string) (*upload, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if !uploadid.Valid(id) {
		return nil, fs.ErrNotExist
	}
	f, err := d.openPart(id)
	if err != nil {
		return nil, err
	}
	s, err := d.readSidecar(id)
	if err != nil {
		f.Close()
		return nil, err
	}
	info, err := f.Stat()
	size := s.Size
	if err == nil && info.Size() > size {
		err = f.Truncate(size)
	} else if err == nil {
		size = info.Size()
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	o := storage.CreateOptions{Owner: s.Owner, Size: -1, Exclusive: s.Exclusive, ModePerm: s.ModePerm}
	u := newUpload(d, id, s.Name, f, o)
	u.size.Store(size)
	u.checkpointed = true
	return u, nil
}

// Suspended implements storage.Resumer. Uploads that are open and have been
// checkpointed are among them; to resume one is ErrBusy.
func (d *Disk) Suspended(ctx context.Context, owner string) iter.Seq2[storage.Suspended, error] {
	return func(yield func(storage.Suspended, error) bool) {
		err := d.eachStaged(ctx, func(id, suffix string) (bool, error) {
			if suffix != sidecarSuffix {
				return true, nil
			}
			if _, err := d.staging.Lstat(id + partSuffix); err != nil {
				return true, nil //nolint:nilerr // no part: nothing to resume
			}
			s, err := d.readSidecar(id)
			if errors.Is(err, fs.ErrNotExist) || err == nil && owner != "" && s.Owner != owner {
				return true, nil
			}
			if err != nil {
				return false, err
			}
			return yield(storage.Suspended{
				Token: storage.Token(id), Name: s.Name, Owner: s.Owner,
				Size: s.Size, Updated: s.Updated, Until: s.Until,
			}, nil), nil
		})
		if err != nil {
			yield(storage.Suspended{}, d.fail("list suspended uploads", "", err))
		}
	}
}

// Discard implements storage.Resumer. ErrBusy while the upload is open.
func (d *Disk) Discard(ctx context.Context, t storage.Token) error {
	return d.fail("discard", "", d.discard(ctx, string(t)))
}

func (d *Disk) discard(ctx context.Context, id string) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if !uploadid.Valid(id) {
		return fs.ErrNotExist
	}
	f, err := d.openPart(id)
	if err != nil {
		return err
	}
	defer f.Close()
	if _, err := d.readSidecar(id); err != nil {
		return err
	}
	return d.forget(id)
}

// eachStaged calls f with each id and suffix in the staging folder until it
// returns false.
func (d *Disk) eachStaged(ctx context.Context, f func(id, suffix string) (bool, error)) error {
	dir, err := d.staging.Open(".")
	if err != nil {
		return err
	}
	defer dir.Close()
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		names, err := dir.Readdirnames(listBatch)
		for _, name := range names {
			id, suffix, _ := strings.Cut(name, ".")
			if !uploadid.Valid(id) {
				continue
			}
			if more, err := f(id, "."+suffix); err != nil || !more {
				return err
			}
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// Sweep removes what dead processes left and suspended uploads whose time has
// passed. Open does it once; a long-lived process should do it every hour or so.
// It goes on past what it cannot remove and returns all those errors.
func (d *Disk) Sweep(ctx context.Context) error {
	var errs []error
	err := d.eachStaged(ctx, func(id, suffix string) (bool, error) {
		if err := d.sweep(id, suffix); err != nil {
			errs = append(errs, fmt.Errorf("staged %s%s: %w", id, suffix, err))
		}
		return true, nil
	})
	if err := errors.Join(append(errs, cause(err))...); err != nil {
		return fmt.Errorf("storage/disk: sweep: %w", err)
	}
	return nil
}

func (d *Disk) sweep(id, suffix string) error {
	if suffix == trashSuffix {
		return cause(d.staging.RemoveAll(id + suffix))
	}
	part, err := d.staging.Lstat(id + partSuffix)
	if errors.Is(err, fs.ErrNotExist) {
		return d.forget(id)
	}
	if err != nil {
		return cause(err)
	}
	// What is to be kept is not locked, so that a Resume does not find it busy.
	if _, err := d.readSidecar(id); err == nil && links(part) == 1 && suffix != newSuffix {
		return nil
	}
	f, err := d.openPart(id)
	switch {
	case errors.Is(err, storage.ErrBusy):
		return nil
	case errors.Is(err, fs.ErrNotExist):
		return d.forget(id)
	case err != nil:
		return cause(err)
	}
	defer f.Close()
	if _, err := d.readSidecar(id); err == nil {
		return d.removeStaged(id + newSuffix)
	}
	return d.forget(id)
}

func (d *Disk) removeStaged(name string) error {
	if err := d.staging.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return cause(err)
	}
	return nil
}
