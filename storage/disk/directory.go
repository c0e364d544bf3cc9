package disk

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// directory is one that is held open. What its methods do is done to one name in
// it, never to a path, and links are not followed. With os.Root and os.File each
// open directory would cost several calls of the system more, and every file that
// is published opens two.
type directory struct {
	fd   int
	stat syscall.Stat_t // as it was when it was opened
}

// openTries is how often a path is walked again that was changed meanwhile.
const openTries = 8

// openDir opens the directory at path. Links on the way are followed as long as
// they stay in the tree, as by os.Root.
func (d *Disk) openDir(path string) (*directory, error) {
	// With "/." at its end nothing but a directory is opened.
	fd, ok, err := d.beneath(path+"/.", unix.O_RDONLY|unix.O_DIRECTORY)
	if !ok {
		fd, err = d.walkTo(path)
	}
	if err != nil {
		return nil, err
	}
	return opened(fd)
}

// beneath lets the kernel walk a path in one call (openat2(2), RESOLVE_BENEATH), as os.Root does in
// several for each of its elements. The error is d.escapes if it leads out of the tree. ok is false where the
// kernel cannot do it, and os.Root has to.
func (d *Disk) beneath(path string, flags uint64) (fd int, ok bool, err error) {
	if d.o.noOpenat2 {
		return -1, false, nil
	}
	how := unix.OpenHow{
		Flags:   flags | unix.O_CLOEXEC,
		Resolve: unix.RESOLVE_BENEATH | unix.RESOLVE_NO_MAGICLINKS,
	}
	err = control(d.top, func(top int) (err error) {
		for range openTries {
			err = again(func() (err error) {
				fd, err = unix.Openat2(top, path, &how)
				return err
			})
			if !errors.Is(err, unix.EAGAIN) {
				break
			}
		}
		return err
	})
	switch {
	case err == nil:
		return fd, true, nil
	case errors.Is(err, unix.EXDEV):
		return -1, true, d.escapes
	case errors.Is(err, unix.ENOSYS), errors.Is(err, unix.EPERM), // an old kernel, or a sandbox that forbids the call
		errors.Is(err, unix.EAGAIN), errors.Is(err, unix.ENAMETOOLONG):
		return -1, false, nil
	}
	return -1, true, err
}

// lstat describes what is at path; a link there is not followed.
func (d *Disk) lstat(path string) (fs.FileInfo, error) {
	fd, ok, err := d.beneath(path, unix.O_PATH|unix.O_NOFOLLOW)
	if !ok {
		return d.root.Lstat(path)
	}
	if err != nil {
		return nil, err
	}
	defer func() { _ = unix.Close(fd) }() // it was opened to be looked at only
	var s unix.Stat_t
	if err := again(func() error { return unix.Fstat(fd, &s) }); err != nil {
		return nil, err
	}
	return &fileInfo{filepath.Base(path), statT(&s)}, nil
}

// walkTo is openDir in steps.
func (d *Disk) walkTo(path string) (fd int, err error) {
	root, err := subRoot(d.root, path)
	if err != nil {
		return -1, err
	}
	defer root.Close()
	f, err := root.Open(".")
	if err != nil {
		return -1, err
	}
	defer f.Close()
	return duplicate(f)
}

// duplicate gives a descriptor of its own for what f has open.
func duplicate(f *os.File) (fd int, err error) {
	err = control(f, func(open int) (err error) {
		fd, err = unix.FcntlInt(uintptr(open), unix.F_DUPFD_CLOEXEC, 0)
		return err
	})
	return fd, err
}

// open opens a directory in it.
func (o *directory) open(base string) (*directory, error) {
	fd := -1
	err := again(func() (err error) {
		fd, err = unix.Openat(o.fd, base, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
		return err
	})
	if err != nil {
		return nil, err
	}
	return opened(fd)
}

func opened(fd int) (*directory, error) {
	var s unix.Stat_t
	if err := again(func() error { return unix.Fstat(fd, &s) }); err != nil {
		_ = unix.Close(fd)
		return nil, err
	}
	return &directory{fd, statT(&s)}, nil
}

func (o *directory) close() { _ = unix.Close(o.fd) }

func (o *directory) id() inodeID { return inodeOf(&o.stat) }

func (o *directory) lstat(base string) (fs.FileInfo, error) {
	var s unix.Stat_t
	err := again(func() error { return unix.Fstatat(o.fd, base, &s, unix.AT_SYMLINK_NOFOLLOW) })
	if err != nil {
		return nil, err
	}
	return &fileInfo{base, statT(&s)}, nil
}

func (o *directory) readlink(base string) (string, error) {
	buf := make([]byte, unix.PathMax)
	n := 0
	err := again(func() (err error) {
		n, err = unix.Readlinkat(o.fd, base, buf)
		return err
	})
	return string(buf[:max(n, 0)]), err
}

func (o *directory) mkdir(base string, perm fs.FileMode) error {
	return again(func() error { return unix.Mkdirat(o.fd, base, uint32(perm.Perm())) })
}

// remove removes a file, a link or an empty directory.
func (o *directory) remove(base string) error {
	err := again(func() error { return unix.Unlinkat(o.fd, base, 0) })
	if errors.Is(err, unix.EISDIR) || errors.Is(err, unix.EPERM) { // the latter is POSIX's word for it
		dirErr := again(func() error { return unix.Unlinkat(o.fd, base, unix.AT_REMOVEDIR) })
		if !errors.Is(dirErr, unix.ENOTDIR) {
			return dirErr
		}
	}
	return err
}

func (o *directory) sync() error { return again(func() error { return unix.Fsync(o.fd) }) }

// again repeats a call that a signal interrupted, which some file systems let happen.
func again(call func() error) error {
	for {
		if err := call(); !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}

// fileInfo is fs.FileInfo of what lstat found.
type fileInfo struct {
	name string
	stat syscall.Stat_t
}

func (i *fileInfo) Name() string       { return i.name }
func (i *fileInfo) Size() int64        { return i.stat.Size }
func (i *fileInfo) ModTime() time.Time { return time.Unix(i.stat.Mtim.Unix()) }
func (i *fileInfo) IsDir() bool        { return i.Mode().IsDir() }
func (i *fileInfo) Sys() any           { return &i.stat }

func (i *fileInfo) Mode() fs.FileMode {
	mode := fs.FileMode(i.stat.Mode & 0o777)
	switch i.stat.Mode & unix.S_IFMT {
	case unix.S_IFREG:
	case unix.S_IFDIR:
		mode |= fs.ModeDir
	case unix.S_IFLNK:
		mode |= fs.ModeSymlink
	case unix.S_IFIFO:
		mode |= fs.ModeNamedPipe
	case unix.S_IFSOCK:
		mode |= fs.ModeSocket
	case unix.S_IFBLK:
		mode |= fs.ModeDevice
	case unix.S_IFCHR:
		mode |= fs.ModeDevice | fs.ModeCharDevice
	default:
		mode |= fs.ModeIrregular
	}
	if i.stat.Mode&unix.S_ISGID != 0 {
		mode |= fs.ModeSetgid
	}
	if i.stat.Mode&unix.S_ISUID != 0 {
		mode |= fs.ModeSetuid
	}
	if i.stat.Mode&unix.S_ISVTX != 0 {
		mode |= fs.ModeSticky
	}
	return mode
}

// statT is s as package os has it.
func statT(s *unix.Stat_t) syscall.Stat_t {
	return syscall.Stat_t{
		Dev: s.Dev, Ino: s.Ino, Nlink: s.Nlink, Mode: s.Mode, Uid: s.Uid, Gid: s.Gid, Rdev: s.Rdev,
		Size: s.Size, Blksize: s.Blksize, Blocks: s.Blocks,
		Atim: syscall.Timespec(s.Atim), Mtim: syscall.Timespec(s.Mtim), Ctim: syscall.Timespec(s.Ctim),
	}
}
