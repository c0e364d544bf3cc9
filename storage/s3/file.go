package s3

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/minio/minio-go/v7"

	"gateway/storage"
)

// Bounds of reading. A reader who goes on where the last read ended gets what comes next before it asks,
// in chunks that double from firstChunk to Options.PartSize; others get what they ask for. Of one open
// file, readChunks chunks are held, or as many as Options.Memory has room for.
const (
	firstChunk = 1 << 20   // bytes that come with Open: a small file needs no second request
	readChunks = 4         // chunks held at once
	nearby     = 1 << 20   // how far from the expected offset a read still counts as going on
	chunkAlign = 256 << 10 // where a run of chunks may begin
)

// Open implements storage.FS. The first bytes are read at once; a small file is whole in memory then.
func (s *Store) Open(ctx context.Context, name string) (storage.File, error) {
	f, err := s.openFile(ctx, name)
	if err != nil {
		return nil, s.fail("open", name, err)
	}
	return f, nil
}

func (s *Store) openFile(ctx context.Context, name string) (*file, error) {
	if err := s.check(ctx, name); err != nil {
		return nil, err
	}
	if name == "" {
		return nil, storage.ErrIsDir
	}
	v := version{s: s, key: s.fileKey(name)}
	var head []byte
	err := s.try(ctx, func() (err error) {
		head, err = v.open(ctx)
		return err
	})
	if isMissing(err) {
		if e, lookErr := s.exists(ctx, name); lookErr == nil && e.isDir {
			return nil, storage.ErrIsDir
		}
	}
	if err != nil {
		return nil, err
	}
	stamps, err := s.stamps(ctx, ofFile, name)
	if err != nil {
		return nil, err
	}
	_, base := storage.Split(name)
	f := &file{version: v, name: name, head: head, info: fileInfo(base, v.object, stamps), front: int64(len(head)), window: firstChunk}
	f.ctx, f.cancel = context.WithCancel(context.WithoutCancel(ctx))
	return f, nil
}

// version is one version of an object.
type version struct {
	s      *Store
	key    string
	object minio.ObjectInfo // Size is that of the whole object
}

// open reads the first bytes of what is there now, and thereby fixes the version.
func (v *version) open(ctx context.Context) ([]byte, error) {
	var o minio.GetObjectOptions
	if err := o.SetRange(0, firstChunk-1); err != nil {
		return nil, err
	}
	body, object, header, err := v.s.core.GetObject(ctx, v.s.o.Bucket, v.key, o)
	if code(err) == "InvalidRange" { // it is empty
		v.object, err = v.s.core.StatObject(ctx, v.s.o.Bucket, v.key, minio.StatObjectOptions{})
		if err == nil && v.object.Size != 0 {
			err = errChanged
		}
		return nil, err
	}
	if err != nil {
		return nil, err
	}
	defer body.Close()
	v.object = object
	if v.object.Size, err = wholeSize(header); err != nil {
		return nil, err
	}
	head := make([]byte, min(v.object.Size, firstChunk))
	_, err = io.ReadFull(body, head)
	return head, err
}

// errChanged says that an object changed between two requests, of which the first must be done again.
var errChanged = minio.ErrorResponse{Code: "OperationAborted", Message: "the object changed meanwhile", StatusCode: http.StatusConflict}

// wholeSize is the size of the object that an answer is a range of, or all of.
func wholeSize(h http.Header) (int64, error) {
	text := h.Get("Content-Length")
	if r := h.Get("Content-Range"); r != "" {
		_, text, _ = strings.Cut(r, "/")
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n < 0 {
		return 0, fmt.Errorf("the store does not say how large the object is: Content-Range %q", h.Get("Content-Range"))
	}
	return n, nil
}

// readAt fills p from off, which must lie inside the object.
func (v *version) readAt(ctx context.Context, p []byte, off int64) error {
	if len(p) == 0 {
		return nil
	}
	return v.s.try(ctx, func() error {
		var o minio.GetObjectOptions
		if err := o.SetRange(off, off+int64(len(p))-1); err != nil {
			return err
		}
		if err := o.SetMatchETag(v.object.ETag); err != nil {
			return err
		}
		o.VersionID = v.object.VersionID // "" where the bucket keeps none
		body, _, header, err := v.s.core.GetObject(ctx, v.s.o.Bucket, v.key, o)
		if isCondition(err) || isMissing(err) {
			return fmt.Errorf("%w: it was replaced or removed while it was read", storage.ErrPrecondition)
		}
		if err != nil {
			return err
		}
		defer body.Close()
		if size, err := wholeSize(header); err != nil || size != v.object.Size {
			return fmt.Errorf("%w: it has %d bytes now", storage.ErrPrecondition, size)
		}
		_, err = io.ReadFull(body, p)
		return err
	})
}

// file is an open file.
type file struct {
	version
	name   string
	info   storage.Info
	head   []byte // its first bytes
	ctx    context.Context
	cancel context.CancelFunc

	mu     sync.Mutex
	closed bool
	front  int64    // where the last read ended
	window int64    // bytes of the next chunk
	chunks []*chunk // in no order, readChunks at most
}

// chunk is a run of bytes that has been read, or is being read.
type chunk struct {
	off    int64
	data   []byte
	cancel context.CancelFunc
	done   chan struct{} // closed when data and err are final
	err    error
}

func (c *chunk) end() int64 { return c.off + int64(len(c.data)) }

func (f *file) Info() storage.Info { return f.info }

func (f *file) Close() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed {
		return f.s.fail("close", f.name, fs.ErrClosed)
	}
	f.closed, f.chunks = true, nil
	f.cancel()
	return nil
}

func (f *file) ReadAt(p []byte, off int64) (int, error) {
	n, err := f.readAll(p, off)
	return n, f.s.failIO("read", f.name, err)
}

func (f *file) readAll(p []byte, off int64) (n int, err error) {
	if off < 0 {
		return 0, fs.ErrInvalid
	}
	for n < len(p) {
		at := off + int64(n)
		if at >= f.info.Size && f.ctx.Err() == nil {
			return n, io.EOF
		}
		m, err := f.readSome(p[n:min(int64(len(p)), int64(n)+f.info.Size-at)], at)
		n += m
		if err != nil {
			if f.ctx.Err() != nil {
				err = fs.ErrClosed
			}
			return n, err
		}
	}
	return n, nil
}

// readSome reads a part of p at least, which does not reach beyond the end.
func (f *file) readSome(p []byte, off int64) (int, error) {
	if f.ctx.Err() != nil {
		return 0, fs.ErrClosed
	}
	if off < int64(len(f.head)) {
		return copy(p, f.head[off:]), nil
	}
	c := f.chunkAt(off, int64(len(p)))
	if c == nil {
		return len(p), f.version.readAt(f.ctx, p, off)
	}
	select {
	case <-c.done:
	case <-f.ctx.Done():
		return 0, fs.ErrClosed
	}
	if c.err != nil {
		f.drop(c)
		if errors.Is(c.err, context.Canceled) { // another read took its place
			return len(p), f.version.readAt(f.ctx, p, off)
		}
		return 0, c.err
	}
	return copy(p, c.data[off-c.off:]), nil
}

// chunkAt finds the chunk that holds off, and has those that come next read; nil for a read that
// does not go on from the last.
func (f *file) chunkAt(off, n int64) *chunk {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed {
		return nil
	}
	goesOn := off >= f.front-nearby && off <= f.front+nearby
	f.front = off + n
	c := f.find(off)
	if c == nil && !goesOn {
		return nil
	}
	if c == nil {
		f.window = firstChunk
		c = f.fetch(max(off-off%chunkAlign, int64(len(f.head))), off)
	}
	for last, held := c, 1; held < f.most(); held++ {
		next := f.find(last.end())
		if next == nil && last.end() < f.info.Size {
			next = f.fetch(last.end(), off)
		}
		if next == nil {
			break
		}
		last = next
	}
	return c
}

// most is how many chunks may be held.
func (f *file) most() int { return int(min(readChunks, (f.s.o.Memory-firstChunk)/f.s.o.PartSize)) }

func (f *file) find(off int64) *chunk {
	for _, c := range f.chunks {
		if off >= c.off && off < c.end() {
			return c
		}
	}
	return nil
}

// fetch has a chunk read, in place of the one that is farthest from what is being read at.
func (f *file) fetch(off, at int64) *chunk {
	if len(f.chunks) >= f.most() {
		far := 0
		for i, c := range f.chunks {
			if distance(c, at) > distance(f.chunks[far], at) {
				far = i
			}
		}
		f.chunks[far].cancel()
		f.chunks = slices.Delete(f.chunks, far, far+1)
	}
	size := min(f.window, f.info.Size-off)
	f.window = min(f.window*2, f.s.o.PartSize)
	c := &chunk{off: off, data: make([]byte, size), done: make(chan struct{})}
	var ctx context.Context
	ctx, c.cancel = context.WithCancel(f.ctx)
	f.chunks = append(f.chunks, c)
	go func() {
		defer close(c.done)
		defer c.cancel()
		c.err = f.version.readAt(ctx, c.data, c.off)
	}()
	return c
}

// distance is how far a chunk is from a read at off; what lies behind counts as farthest.
func distance(c *chunk, at int64) int64 {
	switch {
	case at >= c.end():
		return 1<<62 + (at - c.end())
	case at < c.off:
		return c.off - at
	}
	return 0
}

// drop forgets a chunk that could not be read, so that the next read tries again.
func (f *file) drop(c *chunk) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.chunks = slices.DeleteFunc(f.chunks, func(held *chunk) bool { return held == c })
}
