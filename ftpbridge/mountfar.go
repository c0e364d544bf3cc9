package ftpbridge

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"sync"
	"time"
)

// farCompared is how many bytes of a transfer from an offset are held against the
// beginning of the file. Not more than lie between a reader and a far offset.
const farCompared = 4 << 10

// errInOrder is for a read that must wait for the bytes before it: the server does
// not begin where it is told to, or it cannot be seen whether it did.
var errInOrder = errors.New("the file can be read in order only")

// farReader reads where the stream is not and will not be soon: a transfer of its
// own from an offset. It goes on while reads follow one another, and gives its
// session back when they do not.
type farReader struct {
	mu     sync.Mutex
	r      Remote
	rc     io.ReadCloser
	at     int64
	idle   *time.Timer
	closed bool
	cancel context.CancelFunc
}

// readAt fills p, which lies inside the file.
func (f *farReader) readAt(file *mountFile, p []byte, off int64) (int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.rc == nil || f.at != off {
		f.end()
		if err := f.begin(file, off); err != nil {
			return 0, err
		}
	}
	f.idle.Stop()
	n, err := readFull(f.rc, p)
	f.at += int64(n)
	last := f.at == file.info.Size
	if err == nil && last {
		// Its end may be given out only if the server says so too.
		var more [1]byte
		if m, eof := f.rc.Read(more[:]); m > 0 || !errors.Is(eof, io.EOF) {
			err = errReplaced
		}
	}
	if errors.Is(err, io.EOF) && n == len(p) {
		err = nil
	}
	if err == nil && last {
		err = file.s.same(file.s.m.ctx, f.r)
	}
	if errors.Is(err, io.EOF) {
		err = errReplaced // the file ended before its size
	}
	if err != nil || last {
		f.end()
		return n, err
	}
	f.idle = time.AfterFunc(idleRead, f.expire)
	return n, nil
}

func (f *farReader) begin(file *mountFile, off int64) error {
	if f.closed {
		return fs.ErrClosed
	}
	s, ctx := file.s, file.ctx
	from := min(off, file.info.Size-farCompared) // so much is to come
	// By the beginning of the file it shows whether the server goes there instead.
	var start [farCompared]byte
	if err := s.await(ctx, nil, farCompared); err != nil {
		return err
	}
	if _, err := s.readAt(start[:], 0); err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	r, err := s.m.pool.Get(ctx)
	if err != nil {
		cancel()
		return err
	}
	err = s.same(ctx, r)
	var rc io.ReadCloser
	if err == nil {
		rc, err = r.Fetch(ctx, s.path, from)
	}
	if errors.Is(err, ErrUnsupported) {
		s.setInOrder()
		err = errInOrder
	}
	if err != nil {
		s.m.pool.Put(r)
		cancel()
		return err
	}
	f.r, f.rc, f.at = r, rc, off
	f.cancel = func() {
		cancel()
		s.m.pool.Put(r)
	}
	f.idle = time.AfterFunc(idleRead, f.expire)
	return f.check(s, start[:], off-from)
}

// check reads the first bytes of a transfer, and refuses those of the beginning of
// the file. The reader wants those behind skip.
func (f *farReader) check(s *stream, start []byte, skip int64) error {
	first := make([]byte, len(start))
	n, err := readFull(f.rc, first)
	switch {
	case n == len(first) && bytes.Equal(first, start):
		s.setInOrder()
		err = errInOrder
	case n == len(first):
		f.rc = readCloser{io.MultiReader(bytes.NewReader(first[skip:]), f.rc), f.rc}
		return nil
	case errors.Is(err, io.EOF):
		err = errReplaced // the file ended before its size
	}
	f.end()
	return err
}

type readCloser struct {
	io.Reader
	io.Closer
}

// end gives the session back; f.mu is held.
func (f *farReader) end() {
	if f.rc == nil {
		return
	}
	f.idle.Stop()
	f.rc.Close()
	f.cancel()
	f.r, f.rc = nil, nil
}

func (f *farReader) expire() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.end()
}

func (f *farReader) close() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.closed = true
	f.end()
}
