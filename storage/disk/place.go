package disk

import (
	"context"
	"errors"
	"hash/fnv"
	"io/fs"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"gateway/internal/pause"
	"gateway/storage"
)

// place is a name whose directory is held open, so that what is checked, locked,
// changed and synced is in one directory, wherever that is moved meanwhile.
type place struct {
	path string
	dir  *directory
	base string
	id   inodeID // of the directory
}

func (d *Disk) place(path string) (*place, error) {
	base := path[strings.LastIndexByte(path, '/')+1:]
	dir, err := d.openDir(parentOf(path))
	if err != nil {
		return nil, err
	}
	return &place{path, dir, base, dir.id()}, nil
}

func parentOf(path string) string {
	if i := strings.LastIndexByte(path, '/'); i >= 0 {
		return path[:i]
	}
	return "."
}

// subRoot opens a directory below root. With "/." at the end the kernel is asked for a
// directory (O_DIRECTORY); without, os.Root would open, and wait at, a named pipe.
func subRoot(root *os.Root, path string) (*os.Root, error) { return root.OpenRoot(path + "/.") }

func (p *place) close() { p.dir.close() }

// changing is place for the operations that change what is at name, the root excepted.
func (d *Disk) changing(ctx context.Context, name string) (*place, error) {
	path, err := d.reading(ctx, name)
	if err != nil {
		return nil, err
	}
	if name == "" {
		return nil, fs.ErrPermission
	}
	return d.place(path)
}

// lookAt describes what is at p, like look.
func (d *Disk) lookAt(p *place) (entry, error) {
	info, err := p.dir.lstat(p.base)
	if err != nil {
		return entry{}, err
	}
	return d.show(info, p.path)
}

// maxLinks is how many links in a row are followed, as by the kernel.
const maxLinks = 40

// follow returns the place where the links that start at p end, closing p if it
// is another.
func (d *Disk) follow(p *place) (*place, error) {
	for range maxLinks {
		info, err := p.dir.lstat(p.base)
		if errors.Is(err, fs.ErrNotExist) || err == nil && info.Mode()&fs.ModeSymlink == 0 {
			return p, nil
		}
		var target string
		if err == nil {
			target, err = p.dir.readlink(p.base)
		}
		p.close()
		if err != nil {
			return nil, err
		}
		// Not cleaned: os.Root resolves "..", which after a link means another place.
		target = strings.TrimSuffix(p.path, p.base) + strings.TrimRight(target, "/")
		if p, err = d.place(target); err != nil {
			return nil, err
		}
		if p.base == ".." || p.base == "." {
			p.close()
			return nil, storage.ErrIsDir
		}
	}
	p.close()
	return nil, syscall.ELOOP
}

// lock takes the locks of places, which exclude each other within this process
// and among all processes that have the folder open.
func (d *Disk) lock(ctx context.Context, places ...*place) (unlock func(), err error) {
	var keys []int64
	for _, p := range places {
		keys = append(keys, d.key(p))
	}
	slices.Sort(keys) // everybody in one order
	var held []func()
	unlock = func() {
		for _, f := range slices.Backward(held) {
			f()
		}
	}
	for _, key := range slices.Compact(keys) {
		release, err := d.lockKey(ctx, key)
		if err != nil {
			unlock()
			return nil, err
		}
		held = append(held, release)
	}
	return unlock, nil
}

// key is a hash of the directory and the name in it. If two names share one, they
// wait for each other, no more.
func (d *Disk) key(p *place) int64 {
	base := p.base
	if d.insensitive {
		base = strings.ToLower(strings.ToUpper(base))
	}
	h := fnv.New64a()
	h.Write([]byte(strconv.FormatUint(p.id.device, 16) + "/" + strconv.FormatUint(p.id.number, 16) + "/" + base))
	return int64(h.Sum64() >> 1)
}

// lockKey takes the lock of this process and then one byte, at the offset of the
// key, of the lock file. There is no waiting for the second that a context could end,
// and another process on the same name is rare: it is asked for again and again.
func (d *Disk) lockKey(ctx context.Context, key int64) (unlock func(), err error) {
	release, err := d.names.Lock(ctx, key)
	if err != nil {
		return nil, err
	}
	for {
		err := d.lockByte(unix.F_WRLCK, key)
		if err == nil {
			break
		}
		if errors.Is(err, unix.EAGAIN) || errors.Is(err, unix.EACCES) {
			err = pause.For(ctx, 5*time.Millisecond)
		}
		if err != nil {
			release()
			return nil, err
		}
	}
	return func() {
		_ = d.lockByte(unix.F_UNLCK, key) // fails only when the folder was closed, which unlocks
		release()
	}, nil
}

func (d *Disk) lockByte(kind int16, offset int64) error {
	return control(d.lockFile, func(fd int) error {
		return unix.FcntlFlock(uintptr(fd), unix.F_OFD_SETLK, &unix.Flock_t{Type: kind, Start: offset, Len: 1})
	})
}

// tick is the coarsest step of a kernel's clock for change times (at 100 Hz).
const tick = 10 * time.Millisecond

// settle waits until the version that is about to go has existed for a tick, so
// that the change time of whatever comes next is later. See etag.
func settle(ctx context.Context, going entry) error {
	s, ok := going.Sys().(*syscall.Stat_t)
	if !ok || !going.Mode().IsRegular() {
		return nil
	}
	age := time.Since(time.Unix(s.Ctim.Unix()))
	if age < 0 || age > tick { // below 0: the clock was set back, waiting does not help
		return nil
	}
	return pause.For(ctx, tick-age+time.Millisecond)
}

// control runs f on the descriptor of file.
func control(file *os.File, f func(fd int) error) error {
	conn, err := file.SyscallConn()
	if err != nil {
		return err
	}
	var inner error
	if err := conn.Control(func(fd uintptr) { inner = f(int(fd)) }); err != nil {
		return err
	}
	return inner
}

// rename moves oldBase in oldDir to newBase in newDir, both directories of the tree.
// The last elements are not followed.
func rename(oldDir int, oldBase string, newDir int, newBase string, flags uint) error {
	if flags == 0 {
		return unix.Renameat(oldDir, oldBase, newDir, newBase)
	}
	return unix.Renameat2(oldDir, oldBase, newDir, newBase, flags)
}

// noFlags reports whether err says that this file system's rename knows no flags.
func noFlags(err error) bool {
	return errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENOSYS) || errors.Is(err, unix.EOPNOTSUPP)
}
