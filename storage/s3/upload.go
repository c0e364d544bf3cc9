package s3

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"sync"

	"gateway/storage"
	"gateway/storage/internal/uploadid"
)

// Create implements storage.FS. Nothing is sent before a part is full, or for a file that fits into
// one, before Commit.
func (s *Store) Create(ctx context.Context, name string, o storage.CreateOptions) (storage.Upload, error) {
	u, err := s.create(ctx, name, o)
	if err != nil {
		return nil, s.fail("create", name, err)
	}
	return u, nil
}

func (s *Store) create(ctx context.Context, name string, o storage.CreateOptions) (*upload, error) {
	if name == "" {
		return nil, storage.ErrIsDir
	}
	if err := s.changing(ctx, name); err != nil {
		return nil, err
	}
	if err := s.parent(ctx, name); err != nil {
		return nil, err
	}
	e, err := s.exists(ctx, name)
	there := err == nil
	switch {
	case err != nil && !isMissing(err):
		return nil, err
	case there && e.isDir:
		return nil, storage.ErrIsDir
	case there && o.Exclusive:
		return nil, fs.ErrExist
	case !there && o.Edit:
		return nil, fs.ErrNotExist
	case o.Size > MaxSize:
		return nil, fmt.Errorf("%w: %d bytes; an object has %d at most", storage.ErrTooLarge, o.Size, int64(MaxSize))
	}
	u := s.newUpload(uploadid.New(), name, o, o.Sequential && !o.Edit)
	if o.Edit {
		u.base = &base{version: version{s: s, key: u.key(), object: e.object}, size: e.object.Size}
		u.size = e.object.Size
	}
	return u, s.enter(u)
}

// MaxSize is the size of the largest object, in bytes.
const MaxSize = 5 << 40

// upload is a staged file; see the package comment for the two ways in which it is staged.
type upload struct {
	s      *Store
	id     string
	name   string
	o      storage.CreateOptions
	direct bool // parts go into the multipart upload and cannot be read again

	mu      sync.Mutex
	changed *sync.Cond // by mu; a page, a slot or the digest moved on
	closed  bool
	size    int64
	pages   map[int64]*page // in memory, Options.Memory at most
	units   map[int64]unit  // what was sent, by page
	base    *base           // what is there where nothing was written; nil means zeros
	clock   int64           // orders the uses of pages
	sum     *running
	failed  error // a part could not be sent: what was written is not whole
	slots   chan struct{}

	multi  *multipart // the one that is completed as the publish
	sendMu sync.Mutex // guards what follows
	bigs   map[int64]*multipart
	zeros  *version // an object of zeros, one page long
	staged bool     // there are objects of it below Store.own

	kept claim // what is known about it in the bucket, once checkpointed
}

// base is the file that an edit began with. It is not copied before it is known which parts of it stay;
// if somebody replaces it meanwhile the upload fails.
type base struct {
	version
	size int64 // what is left of it
}

// unit is a page in the store: an object, or, of a direct upload, a part.
type unit struct {
	size int64
	etag string
}

// sending is how many parts of one upload are on their way at once.
const sending = 4

func (s *Store) newUpload(id, name string, o storage.CreateOptions, direct bool) *upload {
	u := &upload{
		s: s, id: id, name: name, o: o, direct: direct,
		pages: map[int64]*page{}, units: map[int64]unit{}, sum: newRunning(), slots: make(chan struct{}, sending),
	}
	u.changed = sync.NewCond(&u.mu)
	u.multi = newMultipart(s, u.key(), id)
	u.bigs = map[int64]*multipart{}
	return u
}

// enter makes the upload one that is open in this process; storage.ErrBusy if it is already.
func (s *Store) enter(u *upload) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return fs.ErrClosed
	}
	if s.open[u.id] != nil {
		return storage.ErrBusy
	}
	s.open[u.id] = u
	return nil
}

func (s *Store) leave(u *upload) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.open[u.id] == u {
		delete(s.open, u.id)
	}
}

func (s *Store) isOpen(id string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.open[id] != nil
}

func (u *upload) fail(op string, err error) error { return u.s.failIO(op, u.name, err) }

// usable reports why the upload can take no more; u.mu is held.
func (u *upload) usable() error {
	switch {
	case u.closed:
		return fs.ErrClosed
	case u.kept.isLost():
		return errLost
	}
	return u.failed
}

// errLost says that another gateway took the upload over.
var errLost = fmt.Errorf("%w: another gateway goes on with this upload", storage.ErrBusy)

func (u *upload) WriteAt(p []byte, off int64) (int, error) {
	n, err := u.writeAt(p, off)
	return n, u.fail("write", err)
}

func (u *upload) writeAt(p []byte, off int64) (n int, err error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if err := u.usable(); err != nil {
		return 0, err
	}
	switch {
	case off < 0:
		return 0, fs.ErrInvalid
	case off > MaxSize-int64(len(p)):
		return 0, fmt.Errorf("%w: an object has %d bytes at most", storage.ErrTooLarge, int64(MaxSize))
	}
	for n < len(p) {
		at := off + int64(n)
		index, start := at/u.s.o.PartSize, at%u.s.o.PartSize
		piece := p[n:min(int64(len(p)), int64(n)+u.s.o.PartSize-start)]
		pg, err := u.page(index, int64(len(piece)) == u.s.o.PartSize)
		if err != nil {
			return n, err
		}
		u.write(pg, piece, start)
		n += len(piece)
	}
	return n, nil
}

// write puts bytes into a page and has it sent if it is full. u.mu is held.
func (u *upload) write(pg *page, piece []byte, start int64) {
	end := start + int64(len(piece))
	pg.grow(end, u.capacity(pg.index))
	copy(pg.data[start:end], piece)
	pg.dirty = true
	pg.have.add(start, end)
	u.size = max(u.size, pg.index*u.s.o.PartSize+end)
	if pg.index*u.s.o.PartSize < u.sum.next {
		u.sum = newRunning() // of what is no longer
	}
	if pg.have.covers(u.s.o.PartSize) {
		u.send(pg, true)
	}
}

// capacity is how many bytes a page can come to have.
func (u *upload) capacity(index int64) int64 {
	if u.o.Size > 0 {
		if left := u.o.Size - index*u.s.o.PartSize; left > 0 && left < u.s.o.PartSize {
			return left
		}
	}
	return u.s.o.PartSize
}

func (u *upload) ReadAt(p []byte, off int64) (int, error) {
	n, err := u.readAt(p, off)
	return n, u.fail("read", err)
}

func (u *upload) readAt(p []byte, off int64) (n int, err error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if err := u.usable(); err != nil {
		return 0, err
	}
	if off < 0 {
		return 0, fs.ErrInvalid
	}
	n, err = u.readPages(p[:max(0, min(int64(len(p)), u.size-off))], off)
	if err == nil && n < len(p) {
		err = io.EOF
	}
	return n, err
}

// readPages fills p, which must lie inside the file. u.mu is held, and given up while it waits.
func (u *upload) readPages(p []byte, off int64) (n int, err error) {
	for n < len(p) {
		at := off + int64(n)
		index, start := at/u.s.o.PartSize, at%u.s.o.PartSize
		piece := p[n:min(int64(len(p)), int64(n)+u.s.o.PartSize-start)]
		if !u.known(index) {
			clear(piece)
			n += len(piece)
			continue
		}
		pg, err := u.page(index, false)
		if err != nil {
			return n, err
		}
		n += pg.read(piece, start)
	}
	return n, nil
}

// known reports whether there is anything but zeros in a page. u.mu is held.
func (u *upload) known(index int64) bool {
	_, sent := u.units[index]
	return sent || u.pages[index] != nil || u.base.covers(index*u.s.o.PartSize)
}

func (b *base) covers(off int64) bool { return b != nil && off < b.size }

// key is that of the file.
func (u *upload) key() string { return u.s.fileKey(u.name) }

func (u *upload) Truncate(size int64) error { return u.fail("truncate", u.truncate(size)) }

func (u *upload) truncate(size int64) error {
	u.mu.Lock()
	defer u.mu.Unlock()
	if err := u.usable(); err != nil {
		return err
	}
	switch {
	case size < 0:
		return fs.ErrInvalid
	case size > MaxSize:
		return fmt.Errorf("%w: an object has %d bytes at most", storage.ErrTooLarge, int64(MaxSize))
	}
	return u.cut(size)
}

// cut sets the size. What was beyond a smaller one must not come back when the file grows again.
func (u *upload) cut(size int64) error {
	if size >= u.size {
		u.size = size
		return nil
	}
	u.settle()
	last := size / u.s.o.PartSize
	if u.direct {
		if err := u.cutDirect(last); err != nil {
			return err
		}
	}
	if rest := size % u.s.o.PartSize; rest > 0 {
		if sent, ok := u.units[last]; u.pages[last] != nil || ok && sent.size > rest {
			pg, err := u.page(last, false)
			if err != nil {
				return err
			}
			if int64(len(pg.data)) > rest {
				clear(pg.data[rest:])
			}
			pg.have.cut(rest)
			pg.dirty = true
		}
		last++
	}
	for index := range u.pages {
		if index >= last {
			delete(u.pages, index)
		}
	}
	for index := range u.units {
		if index < last {
			continue
		}
		if !u.direct {
			if err := u.s.remove(context.Background(), u.unitKey(index)); err != nil {
				return err
			}
		}
		delete(u.units, index)
		u.forgetPart(index)
	}
	if size < u.sum.next {
		u.sum = newRunning()
	}
	if u.base != nil {
		u.base.size = min(u.base.size, size)
	}
	u.size = size
	return nil
}

// cutDirect cuts what was sent off a direct upload: all of it, or nothing. u.mu is held.
func (u *upload) cutDirect(last int64) error {
	for index := range u.units {
		if index < last || !u.inPart(index) {
			continue
		}
		if last > 0 {
			return fmt.Errorf("%w: byte %d was sent already, by a writer who promised to write in order", errors.ErrUnsupported, index*u.s.o.PartSize)
		}
		u.units = map[int64]unit{}
		u.sendMu.Lock()
		u.bigs = map[int64]*multipart{}
		u.sendMu.Unlock()
		return u.multi.abort(context.Background())
	}
	return nil
}

func (u *upload) Size() int64 {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.size
}

// Abort removes what was staged, whether or not the context has ended.
func (u *upload) Abort(ctx context.Context) error {
	u.mu.Lock()
	if u.closed {
		u.mu.Unlock()
		return nil
	}
	u.close()
	u.mu.Unlock()
	return u.fail("abort", u.forget(context.WithoutCancel(ctx)))
}

// close ends the upload for this process. u.mu is held.
func (u *upload) close() {
	u.settle()
	u.closed, u.pages = true, nil
	u.s.leave(u)
}
