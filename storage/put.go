package storage

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
)

// copyBuffer is the memory in bytes that one Put or Copy takes.
const copyBuffer = 256 << 10

// ReadFile reads a whole file of at most limit bytes; ErrTooLarge if it has more.
func ReadFile(ctx context.Context, fsys FS, name string, limit int64) ([]byte, error) {
	f, err := fsys.Open(ctx, name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if f.Info().Size > limit {
		return nil, PathError("read", name, ErrTooLarge)
	}
	// The size is a hint: the limit holds for what really comes.
	data, err := io.ReadAll(io.LimitReader(Reader(ctx, f), limit+1))
	if err != nil {
		return nil, PathError("read", name, err)
	}
	if int64(len(data)) > limit {
		return nil, PathError("read", name, ErrTooLarge)
	}
	return data, nil
}

// Reader reads f from its beginning until ctx ends. It does not close f.
func Reader(ctx context.Context, f io.ReaderAt) io.Reader {
	return &reader{ctx: ctx, f: f}
}

type reader struct {
	ctx context.Context
	f   io.ReaderAt
	off int64
}

func (r *reader) Read(p []byte) (int, error) {
	if err := r.ctx.Err(); err != nil {
		return 0, err
	}
	n, err := r.f.ReadAt(p, r.off)
	r.off += int64(n)
	if n > 0 && errors.Is(err, io.EOF) {
		err = nil // io.Reader's callers may take the bytes first
	}
	return n, err
}

// Put uploads what r yields and publishes it under name. If r fails, or ctx ends,
// nothing is published. A reader that hides an early end as io.EOF cannot be told from
// a complete one: give CreateOptions.Size, and Put refuses any other length with
// io.ErrUnexpectedEOF (fewer bytes) or ErrTooLarge (more).
func Put(ctx context.Context, fsys FS, name string, r io.Reader, c CreateOptions, o CommitOptions) (Info, error) {
	c.Edit, c.Sequential = false, true // all of it is written anew, from the beginning
	u, err := fsys.Create(ctx, name, c)
	if err != nil {
		return Info{}, err
	}
	defer u.Abort(context.WithoutCancel(ctx))
	n, err := fill(ctx, u, r, c.Size)
	if err != nil {
		return Info{}, PathError("put", name, err)
	}
	if c.Size >= 0 && n != c.Size {
		return Info{}, PathError("put", name, fmt.Errorf("%d of %d bytes came: %w", n, c.Size, io.ErrUnexpectedEOF))
	}
	return u.Commit(ctx, o)
}

// fill writes r into u and stops as soon as there are more than size bytes.
func fill(ctx context.Context, u io.WriterAt, r io.Reader, size int64) (int64, error) {
	buf := make([]byte, copyBuffer)
	var off int64
	for {
		if err := ctx.Err(); err != nil {
			return off, err
		}
		n, err := r.Read(buf)
		if size >= 0 && int64(n) > size-off {
			return off, ErrTooLarge
		}
		if n > 0 {
			if _, err := u.WriteAt(buf[:n], off); err != nil {
				return off, err
			}
			off += int64(n)
		}
		switch {
		case errors.Is(err, io.EOF):
			return off, nil
		case err != nil:
			return off, err
		}
	}
}

// Copy copies one file: by the backend if it is a [Copier], else by reading and
// writing. The copy is published whole or not at all. A directory is ErrIsDir, a file
// onto itself ErrInvalidMove.
func Copy(ctx context.Context, fsys FS, from, to string, o CommitOptions) (Info, error) {
	if from == to {
		return Info{}, PathError("copy", from, ErrInvalidMove)
	}
	if c, ok := fsys.(Copier); ok {
		info, err := c.Copy(ctx, from, to, o)
		if !errors.Is(err, errors.ErrUnsupported) {
			return info, err
		}
	}
	src, err := fsys.Open(ctx, from)
	if err != nil {
		return Info{}, err
	}
	defer src.Close()
	c := CreateOptions{Size: src.Info().Size, ModePerm: src.Info().Mode.Perm(), Exclusive: o.IfNoneMatch}
	return Put(ctx, fsys, to, Reader(ctx, src), c, o)
}

// MkdirAll makes name and what is missing above it. ErrNotDir where a file is in the way.
func MkdirAll(ctx context.Context, fsys FS, name string) error {
	info, err := fsys.Stat(ctx, name)
	switch {
	case err == nil && !info.IsDir():
		return PathError("mkdir", name, ErrNotDir)
	case err == nil:
		return nil
	case !errors.Is(err, fs.ErrNotExist) || name == "":
		return err
	}
	parent, _ := Split(name)
	if err := MkdirAll(ctx, fsys, parent); err != nil {
		return err
	}
	err = fsys.Mkdir(ctx, name)
	if errors.Is(err, fs.ErrExist) { // somebody else was faster
		if info, statErr := fsys.Stat(ctx, name); statErr == nil && info.IsDir() {
			return nil
		}
	}
	return err
}
