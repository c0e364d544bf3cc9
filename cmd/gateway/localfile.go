package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"syscall"

	"golang.org/x/sys/unix"

	"gateway/integrity"
)

var (
	// errChangedMeanwhile is for a file of which nobody can say what it is now.
	errChangedMeanwhile = errors.New("it changed while it was read; run the command again when nobody writes to it")
	// errNotRegular is for pipes, devices and folders where a file was expected.
	errNotRegular = errors.New("it is no regular file")
)

// readBuffer is how many bytes are read and hashed at once.
const readBuffer = 256 << 10

// openLocal opens a regular file below root. A link that leads out of root is an
// error of os.Root; a pipe is not waited for.
func openLocal(root *os.Root, name string) (*os.File, os.FileInfo, error) {
	f, err := root.OpenFile(name, os.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, nil, err
	}
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = errNotRegular
	}
	if err != nil {
		f.Close()
		return nil, nil, err
	}
	return f, info, nil
}

// hashLocal hashes a file below root, given what openLocal told of it. If it is
// not the same file to the end, the error is errChangedMeanwhile.
func hashLocal(ctx context.Context, root *os.Root, name string, f *os.File, info os.FileInfo, d *integrity.Digester) error {
	if err := hashAll(ctx, f, info.Size(), d); err != nil {
		return err
	}
	after, err := f.Stat()
	if err != nil {
		return err
	}
	named, err := root.Stat(name)
	if err != nil || !sameVersion(info, after) || !sameVersion(info, named) {
		return errChangedMeanwhile
	}
	return nil
}

// sameVersion compares also the time of the last change of the inode, which no
// ordinary program can set.
func sameVersion(a, b os.FileInfo) bool {
	return os.SameFile(a, b) && a.Size() == b.Size() && a.ModTime().Equal(b.ModTime()) && changeTime(a) == changeTime(b)
}

func changeTime(info os.FileInfo) syscall.Timespec {
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		return st.Ctim
	}
	return syscall.Timespec{}
}

// hashAll hashes exactly size bytes, and errChangedMeanwhile if there are fewer or more.
func hashAll(ctx context.Context, r io.ReaderAt, size int64, d *integrity.Digester) error {
	buf := make([]byte, min(readBuffer, size+1))
	for off := int64(0); ; {
		if err := ctx.Err(); err != nil {
			return err
		}
		n, err := r.ReadAt(buf, off)
		off += int64(n)
		if _, werr := d.Write(buf[:n]); werr != nil {
			return werr
		}
		switch {
		case off > size || errors.Is(err, io.EOF) && off < size:
			return errChangedMeanwhile
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return fmt.Errorf("read: %w", err)
		}
	}
}
