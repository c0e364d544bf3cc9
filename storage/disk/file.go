package disk

import (
	"errors"
	"io"
	"io/fs"
	"math"
	"path/filepath"
	"sync"

	"golang.org/x/sys/unix"

	"gateway/storage"
)

// file is an open file. Files are replaced, never written in place, so the open
// descriptor keeps its one version.
//
// It is no os.File: that asks the kernel of each descriptor that was opened without waiting whether
// it can be waited for, in two calls more, and files are never waited for.
type file struct {
	info storage.Info
	d    *Disk

	mu sync.RWMutex // held for reading by reads: a descriptor that is closed may at once be another file's
	fd int          // -1 when closed
}

// openFile opens what is at path for reading, without waiting for the other end of a pipe, and describes it.
func (d *Disk) openFile(path string) (*file, fs.FileInfo, error) {
	const flags = unix.O_RDONLY | unix.O_NONBLOCK | unix.O_NOCTTY
	fd, ok, err := d.beneath(path, flags)
	if !ok {
		fd, err = d.openByRoot(path, flags)
	}
	if err != nil {
		return nil, nil, err
	}
	var s unix.Stat_t
	if err := again(func() error { return unix.Fstat(fd, &s) }); err != nil {
		_ = unix.Close(fd)
		return nil, nil, err
	}
	return &file{d: d, fd: fd}, &fileInfo{filepath.Base(path), statT(&s)}, nil
}

// openByRoot is openFile's opening where the kernel cannot do it in one call.
func (d *Disk) openByRoot(path string, flags int) (fd int, err error) {
	f, err := d.root.OpenFile(path, flags, 0)
	if err != nil {
		return -1, err
	}
	defer f.Close()
	return duplicate(f)
}

func (f *file) Info() storage.Info { return f.info }

// maxRead bounds one call of the system, in bytes; the kernel's own bound is just below 2 GiB.
const maxRead = 1 << 30

func (f *file) ReadAt(p []byte, off int64) (int, error) {
	n, err := f.readAt(p, off)
	return n, f.d.failIO("read", f.info.Name, err)
}

func (f *file) readAt(p []byte, off int64) (n int, err error) {
	f.mu.RLock()
	defer f.mu.RUnlock()
	if f.fd < 0 {
		return 0, fs.ErrClosed
	}
	if off < 0 || off > math.MaxInt64-int64(len(p)) {
		return 0, fs.ErrInvalid
	}
	for n < len(p) {
		m, err := unix.Pread(f.fd, p[n:min(len(p), n+maxRead)], off+int64(n))
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case err != nil:
			return n, err
		case m == 0:
			return n, io.EOF
		}
		n += m
	}
	return n, nil
}

func (f *file) Close() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.fd < 0 {
		return f.d.fail("close", f.info.Name, fs.ErrClosed)
	}
	err := unix.Close(f.fd) // not again after EINTR: Linux has closed it then
	f.fd = -1
	return f.d.fail("close", f.info.Name, err)
}
