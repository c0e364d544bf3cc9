package disk

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"syscall"

	"gateway/storage"
)

// cause strips the wrappers of package os, which carry paths of the machine.
func cause(err error) error {
	for {
		var next error
		switch e := err.(type) { //nolint:errorlint // it takes the wrappers off one by one
		case *fs.PathError:
			next = e.Err
		case *os.LinkError:
			next = e.Err
		case *os.SyscallError:
			next = e.Err
		}
		if next == nil {
			return err
		}
		err = next
	}
}

// sentinel says what an error of the system means in the contract; errno itself
// where it has no meaning there.
func sentinel(errno syscall.Errno) error {
	switch errno {
	case syscall.ENOENT, syscall.ELOOP:
		return fs.ErrNotExist
	case syscall.EEXIST:
		return fs.ErrExist
	case syscall.EPERM, syscall.EACCES, syscall.EROFS:
		return fs.ErrPermission
	case syscall.ENOTEMPTY:
		return storage.ErrNotEmpty
	case syscall.EISDIR:
		return storage.ErrIsDir
	case syscall.ENOTDIR:
		return storage.ErrNotDir
	case syscall.EXDEV:
		return storage.ErrCrossMount
	case syscall.ENOSPC, syscall.EDQUOT, syscall.EFBIG: // the last: no room for a file of this size
		return storage.ErrNoSpace
	case syscall.ENAMETOOLONG, syscall.EILSEQ:
		return storage.ErrName
	case syscall.EBUSY, syscall.ETXTBSY:
		return storage.ErrBusy
	}
	return errno
}

// fail translates err and wraps it with the name inside the tree.
func (d *Disk) fail(op, name string, err error) error {
	if err == nil {
		return nil
	}
	err = cause(err)
	if errno, ok := errors.AsType[syscall.Errno](err); ok {
		err = sentinel(errno)
	} else if errors.Is(err, d.escapes) {
		err = fs.ErrNotExist
	}
	return storage.PathError(op, name, err)
}

// failReading is fail for what only looks: a name beneath a file, or one that is
// hidden, is a name where there is nothing.
func (d *Disk) failReading(op, name string, err error) error {
	if d.isNothing(err) {
		err = fs.ErrNotExist
	}
	return d.fail(op, name, err)
}

// failChanging is fail for what changes something: a name beneath a file is a name
// where there is nothing, but what is hidden is in the way.
func (d *Disk) failChanging(op, name string, err error) error {
	if errors.Is(err, syscall.ENOTDIR) {
		err = fs.ErrNotExist
	}
	return d.fail(op, name, err)
}

// failIO is fail for reads and writes, where io.EOF is no failure.
func (d *Disk) failIO(op, name string, err error) error {
	if err == io.EOF { //nolint:errorlint // io.ReaderAt returns it bare
		return err
	}
	return d.fail(op, name, err)
}
