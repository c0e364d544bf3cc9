package ftpbridge

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"sync"
	"time"

	"gateway/listing"
	"gateway/storage"
)

const (
	// readAhead is how far in bytes a file is read beyond what was asked for.
	readAhead = 8 << 20
	// seekAhead is up to what distance in bytes a reader waits for the bytes
	// between rather than have the server begin elsewhere.
	seekAhead = 16 << 20
	// idleRead is how long a transfer waits for readers before it gives its
	// session back.
	idleRead = 2 * time.Second
	// settleSize bounds what is fetched for readers of a file that is about to be
	// replaced, in bytes. Readers of larger ones get an error behind what they have.
	settleSize  = 64 << 20
	streamTries = 4
)

// errReplaced is for the rest of a file that is no longer there.
var errReplaced = errors.New("the file was replaced on the server while it was read; open it again")

// stream is one version of a file on its way from the server into the spool.
// All who have that version open share it. It fetches while somebody waits, or
// a little ahead, and holds no session otherwise.
type stream struct {
	m    *Mount
	name string
	path string // on the server
	key  string

	// ctx is of the transfer; cancel when nobody wants it any more: it may be waiting
	// for a server that sends next to nothing.
	ctx    context.Context
	cancel context.CancelFunc
	demand chan struct{} // has a token when wanted or refs changed

	mu      sync.Mutex
	wake    chan struct{} // closed when readers have something to look at
	size    int64         // -1: unknown until the end
	mdtm    time.Time     // zero: the server does not tell
	up      storage.Upload
	file    storage.File // when it is whole
	staged  int64        // bytes in up
	ready   int64        // of them, given out to readers
	wanted  int64        // up to where readers asked
	refs    int
	running bool
	gone    bool // replaced on the server: fetch no more
	inOrder bool // the server does not begin where it is told to
	err     error
}

// Open implements storage.FS. A file of which the server does not tell the size
// is fetched whole first.
func (m *Mount) Open(ctx context.Context, name string) (f storage.File, err error) {
	err = m.frame(ctx, "open", name, func() error {
		if name == "" {
			return storage.ErrIsDir
		}
		if m.o.Prove != nil {
			f, err = m.openProved(ctx, name)
			return err
		}
		f, err = m.open(ctx, name)
		return err
	})
	if err != nil {
		return nil, err
	}
	return f, nil
}

func (m *Mount) open(ctx context.Context, name string) (storage.File, error) {
	m.names.RLock()
	s, e, err := m.attach(ctx, name)
	m.names.RUnlock() // what follows may take long, and has its version
	if err != nil {
		return nil, err
	}
	f := &mountFile{s: s, name: name, closed: make(chan struct{})}
	f.ctx, f.cancel = context.WithCancel(m.ctx)
	if e.size < 0 {
		if err := s.whole(ctx); err != nil {
			_ = f.Close() // cannot fail
			return nil, err
		}
		e = m.measured(name, e, s.length())
	}
	f.info = m.info(name, e)
	return f, nil
}

// attach finds the stream of the version that is there now, or makes one.
func (m *Mount) attach(ctx context.Context, name string) (*stream, *mountEntry, error) {
	e, err := m.lookup(ctx, name)
	if err != nil {
		return nil, nil, err
	}
	if e.typ == listing.Dir {
		return nil, nil, storage.ErrIsDir
	}
	d, err := m.readDir(ctx, parent(name))
	if err != nil {
		return nil, nil, err
	}
	path := d.join(e.raw)
	size, at, err := m.current(ctx, path)
	if err != nil {
		m.forget(name)
		return nil, nil, err
	}
	e = m.update(name, e, size, at)
	info := m.info(name, e)
	s := &stream{m: m, name: name, path: path, size: e.size, mdtm: at, wake: make(chan struct{}), demand: make(chan struct{}, 1)}
	if !at.IsZero() && e.size >= 0 {
		s.key = cacheKey(path, info.ETag, at)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	id := path + "\x00" + info.ETag + "\x00" + at.String()
	if old := m.streams[id]; old != nil && old.take() {
		return old, e, nil
	}
	s.refs = 1
	if err := s.begin(ctx); err != nil {
		return nil, nil, err
	}
	s.ctx, s.cancel = context.WithCancel(m.ctx)
	m.streams[id] = s
	return s, e, nil
}

// current asks what the server says of a file now. -1 and the zero time are for
// what it cannot tell.
func (m *Mount) current(ctx context.Context, path string) (size int64, at time.Time, err error) {
	err = m.ask(ctx, func(r Remote) error {
		size, at, err = describeNow(ctx, r, path)
		return err
	})
	return size, at, err
}

func describeNow(ctx context.Context, r Remote, path string) (size int64, at time.Time, err error) {
	size, err = r.Size(ctx, path)
	if errors.Is(err, ErrUnsupported) {
		size, err = -1, nil
	}
	if err != nil {
		return 0, time.Time{}, err
	}
	at, err = r.ModTime(ctx, path)
	if errors.Is(err, ErrUnsupported) {
		return size, time.Time{}, nil
	}
	return size, at, err
}

// update puts what the server said just now into the listing.
func (m *Mount) update(name string, e *mountEntry, size int64, at time.Time) *mountEntry {
	now := *e
	if size >= 0 {
		now.size, now.estimated = size, false
	}
	// A listing's time stays as it is where it agrees: an ETag must not depend on
	// whether somebody has opened the file.
	if !at.IsZero() && (e.precision == 0 || e.precision <= time.Minute && !sameTime(at, e.mod, e.precision)) {
		now.mod, now.precision = at, time.Second
	}
	if now == *e {
		return e
	}
	m.patch(name, &now)
	return &now
}

// measured puts the size that a file turned out to have into the listing, if that
// still speaks of the same.
func (m *Mount) measured(name string, e *mountEntry, size int64) *mountEntry {
	known := *e
	known.size = size
	up, base := storage.Split(name)
	m.mu.Lock()
	defer m.mu.Unlock()
	if d := m.dirs[up]; d != nil && d.entries[base] == e {
		d.entries[base] = &known
	}
	return &known
}

// take adds a reader, unless the stream is at its end.
func (s *stream) take() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.refs == 0 || s.gone || s.err != nil {
		return false
	}
	s.refs++
	return true
}

// begin opens the version in the cache, or a place for it.
func (s *stream) begin(ctx context.Context) error {
	if s.key != "" {
		if f, err := s.m.cache.open(ctx, s.m.o.Spool, s.key); err == nil {
			if f.Info().Size == s.size {
				s.file, s.staged, s.ready = f, s.size, s.size
				return nil
			}
			f.Close()
		}
	}
	name := spooledName
	if s.key != "" {
		name = cacheName(s.key)
	}
	var err error
	s.up, err = s.m.o.Spool.Create(ctx, name, storage.CreateOptions{Size: max(s.size, -1)})
	return err
}

// release takes a reader away; the last one takes the bytes with it.
func (s *stream) release() {
	s.m.mu.Lock()
	s.mu.Lock()
	s.refs--
	last := s.refs == 0
	if last {
		for id, other := range s.m.streams {
			if other == s {
				delete(s.m.streams, id)
			}
		}
	}
	s.ask()
	running := s.running
	s.mu.Unlock()
	s.m.mu.Unlock()
	if last {
		s.cancel()
	}
	if last && !running {
		s.discard()
	}
}

// discard ends a stream that nobody reads.
func (s *stream) discard() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.file != nil {
		s.file.Close()
		s.file = nil
	}
	if s.up != nil {
		s.up.Abort(context.WithoutCancel(s.m.ctx))
		s.up = nil
	}
}

// ask tells the transfer that readers want something else.
func (s *stream) ask() {
	select {
	case s.demand <- struct{}{}:
	default: // it has not heard the last word yet
	}
}

// changed wakes the readers; s.mu is held.
func (s *stream) changed() {
	close(s.wake)
	s.wake = make(chan struct{})
}

func (s *stream) length() int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.size
}

// whole fetches all of it.
func (s *stream) whole(ctx context.Context) error {
	return s.await(ctx, nil, 1<<62)
}

// await returns when the bytes before end are ready, or the file is whole.
func (s *stream) await(ctx context.Context, closed <-chan struct{}, end int64) error {
	for {
		s.mu.Lock()
		if s.ready >= end || s.file != nil {
			s.mu.Unlock()
			return nil
		}
		if err := s.err; err != nil {
			s.mu.Unlock()
			return err
		}
		s.wanted = max(s.wanted, end)
		if !s.running {
			s.running = true
			s.m.wg.Go(s.run)
		}
		s.ask()
		wake := s.wake
		s.mu.Unlock()
		select {
		case <-wake:
		case <-closed:
			return fs.ErrClosed
		case <-ctx.Done():
			return ctx.Err()
		case <-s.m.ctx.Done():
			return fs.ErrClosed
		}
	}
}

// settle makes sure that whoever has the file open still gets it whole before it
// is replaced: what is missing is fetched, if it is not too much.
func (m *Mount) settle(ctx context.Context, name string) {
	m.mu.Lock()
	var open []*stream
	for _, s := range m.streams {
		if storage.Within(s.name, name) && s.take() {
			open = append(open, s)
		}
	}
	m.mu.Unlock()
	ctx, cancel := context.WithTimeout(ctx, m.settleTime)
	defer cancel()
	for _, s := range open {
		if s.length()-s.progress() > settleSize || s.whole(ctx) != nil {
			s.replaced()
		}
		s.release()
	}
}

// replaced ends a stream whose version is about to go.
func (s *stream) replaced() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.file == nil {
		s.gone, s.err = true, errReplaced
		s.cancel()
		s.ask()
		s.changed()
	}
}

// mountFile is one reader of a stream.
type mountFile struct {
	s    *stream
	name string
	info storage.Info

	once   sync.Once
	closed chan struct{}
	ctx    context.Context // of far; ends with Close
	cancel context.CancelFunc
	far    farReader
}

// Info implements storage.File.
func (f *mountFile) Info() storage.Info { return f.info }

// ReadAt implements storage.File.
func (f *mountFile) ReadAt(p []byte, off int64) (int, error) {
	n, err := f.readAt(p, off)
	if err != nil && !errors.Is(err, io.EOF) {
		err = storage.PathError("read", f.name, err)
	}
	return n, err
}

func (f *mountFile) readAt(p []byte, off int64) (int, error) {
	select {
	case <-f.closed:
		return 0, fs.ErrClosed
	default:
	}
	switch {
	case off < 0:
		return 0, fs.ErrInvalid
	case off >= f.info.Size:
		return 0, io.EOF
	}
	end := min(off+int64(len(p)), f.info.Size)
	short := end-off < int64(len(p))
	p = p[:end-off]
	var n int
	var err error
	ahead := f.s.distance(off) > seekAhead
	if ahead {
		n, err = f.far.readAt(f, p, off)
		if errors.Is(err, errInOrder) {
			ahead = false
		}
	}
	if !ahead {
		if err = f.s.await(f.s.m.ctx, f.closed, end); err == nil {
			n, err = f.s.readAt(p, off)
		}
	}
	if err == nil && short {
		err = io.EOF
	}
	return n, err
}

// distance is how many bytes lie between what is ready and off. It is 0 where the
// file can be read in order only: without a time of the file, nothing would tell
// that a transfer from another place is of another version.
func (s *stream) distance(off int64) int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.file != nil || s.inOrder || s.mdtm.IsZero() {
		return 0
	}
	return off - s.staged
}

// Close implements storage.File.
func (f *mountFile) Close() error {
	f.once.Do(func() {
		close(f.closed)
		f.cancel() // a read of far may be waiting for the server
		f.far.close()
		f.s.release()
	})
	return nil
}
