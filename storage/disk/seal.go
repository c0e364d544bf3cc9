package disk

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"gateway/internal/pause"
	"gateway/storage"
)

// How long a seal waits for another process to close a staged file (a sweep or a
// virus scanner has it open for a moment), and how often it asks.
const (
	sealWait  = 2 * time.Second
	sealRetry = 10 * time.Millisecond
)

// sealTries is how often bytes are hashed at most because another process wanted
// to open the file meanwhile.
const sealTries = 3

// errWanted is for a sealed file that somebody tried to open. While it is sealed
// nobody got it, but the kernel will not keep them waiting for ever.
var errWanted = errors.New("another process wants to open the staged file")

// errExchanged is for a staged file that is not the one that was hashed.
var errExchanged = fmt.Errorf("somebody changed the staged file after it was hashed: %w", storage.ErrDigest)

// seal holds the bytes of a staged file from when they are hashed until they are
// published. It is a write lease (fcntl(2), F_SETLEASE): the kernel grants it only
// while nobody else has the file open for writing, also not mapped into memory,
// and makes whoever wants to open it wait, for up to /proc/sys/fs/lease-break-time,
// until it is released. That it was wanted can be asked.
//
// File systems without leases (NFS, some of FUSE) leave the size, inode and
// change times, which are compared. A write through a mapping that was made
// earlier, or in the same step of the kernel's clock as a change of the gateway's
// own (up to 10 ms), is not seen there.
//
// Neither binds root, who can write to the disk below the file system or into
// the memory of this process; nor does it outlive the publish: a process of the
// gateway's own user can write into any published file.
type seal struct {
	f      *os.File
	leased bool
	before syscall.Stat_t
}

// take seals f. It fails with storage.ErrBusy while another process has it open.
func (s *seal) take(ctx context.Context, f *os.File, noLease bool) error {
	s.f = f
	for start := time.Now(); !noLease; {
		err := setLease(f, unix.F_WRLCK)
		if err == nil {
			s.leased = true
			break
		}
		if !errors.Is(err, unix.EAGAIN) {
			break // this file system has none
		}
		if time.Since(start) > sealWait {
			return fmt.Errorf("another process has the staged file open: %w", storage.ErrBusy)
		}
		if err := pause.For(ctx, sealRetry); err != nil {
			return err
		}
	}
	return s.look()
}

// look remembers the file as it is, after a change of our own.
func (s *seal) look() (err error) {
	s.before, err = statOf(s.f)
	return err
}

// wanted reports that somebody tried to open the file, who will get it when the
// time for that is over.
func (s *seal) wanted() bool {
	if !s.leased {
		return false
	}
	kind := 0
	err := control(s.f, func(fd int) (err error) {
		kind, err = unix.FcntlInt(uintptr(fd), unix.F_GETLEASE, 0)
		return err
	})
	return err != nil || kind != unix.F_WRLCK
}

// intact fails with errExchanged if the file is not what it was, and with
// errWanted if it may soon not be.
func (s *seal) intact() error {
	if s.leased {
		if s.wanted() {
			return errWanted
		}
		return nil // nobody had it open
	}
	now, err := statOf(s.f)
	if err != nil {
		return err
	}
	b := s.before
	if now.Size != b.Size || now.Mtim != b.Mtim || now.Ctim != b.Ctim || now.Nlink != b.Nlink {
		return errExchanged
	}
	return nil
}

// release lets others open the file again.
func (s *seal) release() {
	if s.leased {
		_ = setLease(s.f, unix.F_UNLCK) // closing the file releases it too
		s.leased = false
	}
}

func setLease(f *os.File, kind int) error {
	return control(f, func(fd int) error {
		_, err := unix.FcntlInt(uintptr(fd), unix.F_SETLEASE, kind)
		return err
	})
}

func statOf(f *os.File) (syscall.Stat_t, error) {
	info, err := f.Stat()
	if err != nil {
		return syscall.Stat_t{}, err
	}
	s, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return syscall.Stat_t{}, fs.ErrInvalid
	}
	return *s, nil
}

// fence seals a file that was just made, while it is empty: if the lease holds
// until it is published, nobody else can have had it open, and what is in it is
// what the gateway wrote. Whoever wants it meanwhile waits as for any lease, gets
// it, and what is staged is hashed again after that. nil where there are no leases.
func (d *Disk) fence(f *os.File) *seal {
	if d.o.noLease || setLease(f, unix.F_WRLCK) != nil {
		return nil
	}
	s := &seal{f: f, leased: true}
	if s.look() != nil || s.before.Size != 0 {
		s.release()
		return nil
	}
	return s
}

// fenced makes s the seal that held since the file was made, if it is of use.
// Otherwise whoever wants to open the file need not wait any longer.
func (u *upload) fenced(s *seal, useful bool) bool {
	f := u.fence
	u.fence = nil
	if f == nil {
		return false
	}
	if !useful {
		f.release()
		return false
	}
	*s = *f
	return true
}

// hash seals the staged file and fails with storage.ErrDigest if it has not the
// SHA-256 sum.
func (u *upload) hash(ctx context.Context, s *seal, sum []byte) error {
	if err := s.take(ctx, u.f, u.d.o.noLease); err != nil {
		return err
	}
	h := sha256.New()
	if _, err := io.Copy(h, storage.Reader(ctx, u.f)); err != nil {
		return err
	}
	if !bytes.Equal(h.Sum(nil), sum) {
		return storage.ErrDigest
	}
	return nil
}

// still makes sure that the staged file has the bytes that were hashed. Where
// somebody wanted to open it, they get it, and it is hashed again.
func (u *upload) still(ctx context.Context, s *seal, sum []byte) error {
	err := s.intact()
	for n := 1; errors.Is(err, errWanted) && n < sealTries; n++ {
		s.release()
		if err = u.hash(ctx, s, sum); err == nil {
			err = s.intact()
		}
	}
	if errors.Is(err, errWanted) {
		err = fmt.Errorf("%w, again and again: %w", errWanted, storage.ErrBusy)
	}
	return err
}

// same fails with errExchanged if the staged name leads to another file than s.
func (u *upload) same(s *seal) error {
	info, err := u.d.staging.Lstat(u.id + partSuffix)
	if errors.Is(err, fs.ErrNotExist) {
		return errExchanged
	}
	if err != nil {
		return err
	}
	if inode(info) != inodeOf(&s.before) {
		return errExchanged
	}
	return nil
}
