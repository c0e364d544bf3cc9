package s3

import (
	"context"
	"crypto/sha256"
	"encoding"
	"errors"
	"fmt"
	"hash"
	"slices"
)

// page is a part of a staged file in memory. What is beyond data is zeros. The fields belong to the
// upload's mu, but for data while busy: then nobody changes it.
type page struct {
	index int64
	data  []byte
	have  spans // what was written since it came into memory, or was in the store
	dirty bool  // differs from what was sent
	busy  bool  // is being sent or fetched
	used  int64 // when, by the clock of the upload
}

// firstGrowth is the memory in bytes that a page begins with: most files are small.
const firstGrowth = 64 << 10

// grow makes data at least n bytes long, and most at most. The first page grows with what
// comes; for those behind it much is coming.
func (p *page) grow(n, most int64) {
	if n <= int64(len(p.data)) {
		return
	}
	size := max(most, n)
	if p.index == 0 {
		size = max(n, min(size, max(firstGrowth, 2*int64(len(p.data)))))
	}
	data := make([]byte, size)
	copy(data, p.data)
	p.data = data
}

func (p *page) read(to []byte, start int64) int {
	n := 0
	if start < int64(len(p.data)) {
		n = copy(to, p.data[start:])
	}
	clear(to[n:])
	return len(to)
}

// bytes are the first n bytes of the page.
func (p *page) bytes(n int64) []byte {
	p.grow(n, n)
	return p.data[:n]
}

// spans are disjoint ranges of offsets, in order. There are few: a page is thrown together again as
// it fills.
type spans []span

type span struct{ from, to int64 }

func (s *spans) add(from, to int64) {
	i, _ := slices.BinarySearchFunc(*s, from, func(x span, at int64) int {
		if x.to < at {
			return -1
		}
		return 1
	})
	j := i
	for ; j < len(*s) && (*s)[j].from <= to; j++ {
		from, to = min(from, (*s)[j].from), max(to, (*s)[j].to)
	}
	*s = slices.Replace(*s, i, j, span{from, to})
}

func (s *spans) cut(at int64) {
	for len(*s) > 0 && (*s)[len(*s)-1].to > at {
		last := &(*s)[len(*s)-1]
		if last.to = at; last.from < at {
			return
		}
		*s = (*s)[:len(*s)-1]
	}
}

func (s spans) covers(n int64) bool { return len(s) == 1 && s[0].from == 0 && s[0].to >= n }

// page returns a page that nobody is sending, fetching it if it was sent before, unless all of it is to
// be written. u.mu is held, and given up while it waits.
func (u *upload) page(index int64, whole bool) (*page, error) {
	for {
		if err := u.usable(); err != nil {
			return nil, err
		}
		pg := u.pages[index]
		switch {
		case pg != nil && pg.busy:
			u.changed.Wait()
			continue
		case pg != nil:
			u.clock++
			pg.used = u.clock
			return pg, nil
		case int64(len(u.pages)) >= u.s.o.Memory/u.s.o.PartSize:
			if err := u.makeRoom(); err != nil {
				return nil, err
			}
			continue
		}
		pg = &page{index: index}
		u.pages[index] = pg
		if whole {
			continue
		}
		if err := u.fetch(pg); err != nil {
			delete(u.pages, index)
			return nil, err
		}
	}
}

// source is where the bytes of a page are in the store; nil if they are zeros. u.mu is held.
func (u *upload) source(index int64) (v *version, off, n int64) {
	off = index * u.s.o.PartSize
	if sent, ok := u.units[index]; ok {
		v := &version{s: u.s, key: u.unitKey(index)}
		v.object.ETag, v.object.Size = sent.etag, sent.size
		return v, 0, sent.size
	}
	if u.base.covers(off) {
		return &u.base.version, off, min(u.s.o.PartSize, u.base.size-off)
	}
	return nil, 0, 0
}

// fetch reads a page that was sent, or that the base has. u.mu is held, and given up while it waits.
func (u *upload) fetch(pg *page) error {
	v, off, n := u.source(pg.index)
	if v == nil {
		return nil
	}
	if u.inPart(pg.index) {
		return fmt.Errorf("%w: byte %d was sent already, by a writer who promised to write in order", errors.ErrUnsupported, pg.index*u.s.o.PartSize)
	}
	pg.busy = true
	u.mu.Unlock()
	data := make([]byte, n)
	err := v.readAt(context.Background(), data, off)
	u.mu.Lock()
	pg.busy = false
	u.changed.Broadcast()
	pg.data = data
	pg.have.add(0, n)
	return err
}

// makeRoom gives up the page that was used least recently: one that was sent, or it is sent now. u.mu
// is held, and given up while it waits.
func (u *upload) makeRoom() error {
	var oldest *page
	busy := false
	for _, pg := range u.pages {
		busy = busy || pg.busy
		if !pg.busy && (oldest == nil || older(pg, oldest)) {
			oldest = pg
		}
	}
	switch {
	case oldest == nil || oldest.dirty && busy:
		u.changed.Wait() // what is being sent will be the oldest
	case !oldest.dirty:
		delete(u.pages, oldest.index)
	case u.direct:
		return fmt.Errorf("%w: writes out of order, by a writer who promised to write in order", errors.ErrUnsupported)
	default:
		u.send(oldest, false)
	}
	return nil
}

// older prefers pages that need not be sent.
func older(a, b *page) bool {
	if a.dirty != b.dirty {
		return b.dirty
	}
	return a.used < b.used
}

// send has a page sent, as a part or only to be kept. u.mu is held.
func (u *upload) send(pg *page, asPart bool) {
	at := pg.index * u.s.o.PartSize
	size := min(u.s.o.PartSize, u.size-at)
	data := pg.bytes(size)
	pg.busy = true
	sum := u.sum
	hashing := size == u.s.o.PartSize && asPart && sum.next == at
	if hashing {
		sum.next = at + size
	}
	go func() {
		if hashing {
			u.digest(sum, at, data)
		}
		u.slots <- struct{}{}
		etag, err := u.transmit(context.Background(), pg.index, data, asPart)
		<-u.slots
		u.mu.Lock()
		defer u.mu.Unlock()
		defer u.changed.Broadcast()
		pg.busy = false
		if err != nil {
			u.failed = fmt.Errorf("the bytes from %d on could not be sent: %w", at, cause(err))
			return
		}
		u.units[pg.index] = unit{size, etag}
		// The end of a direct upload stays here: if the publish is refused it may have to be kept as an object.
		pg.dirty = u.direct && asPart && size < u.s.o.PartSize
		if u.direct && asPart && !pg.dirty {
			delete(u.pages, pg.index)
		}
	}()
}

// settle waits until nothing is being sent. u.mu is held, and given up while it waits.
func (u *upload) settle() {
	for u.busy() {
		u.changed.Wait()
	}
}

func (u *upload) busy() bool {
	for _, pg := range u.pages {
		if pg.busy {
			return true
		}
	}
	return false
}

// flush sends what is dirty, once more if it failed before, and waits for it. Pages that are full become
// parts, and with last those at the end of the file, too. u.mu is held, and given up while it waits.
func (u *upload) flush(last bool) error {
	u.settle()
	u.failed = nil
	for _, pg := range u.pages {
		if pg.dirty {
			full := pg.have.covers(u.s.o.PartSize)
			u.send(pg, full || last)
		}
	}
	u.settle()
	return u.failed
}

// running is the SHA-256 of the bytes from the beginning of a file, as far as they came in order.
type running struct {
	hash hash.Hash
	done int64 // bytes that are in it
	next int64 // bytes that are, or are about to be; by the upload's mu as done
}

func newRunning() *running { return &running{hash: sha256.New()} }

// digest adds a page when those before it are in.
func (u *upload) digest(sum *running, at int64, data []byte) {
	u.mu.Lock()
	for sum.done != at {
		u.changed.Wait()
	}
	u.mu.Unlock()
	sum.hash.Write(data)
	u.mu.Lock()
	defer u.mu.Unlock()
	sum.done = at + int64(len(data))
	u.changed.Broadcast()
}

// state is what goes on from here in another process.
func (r *running) state() []byte {
	m, ok := r.hash.(encoding.BinaryMarshaler)
	if !ok {
		return nil
	}
	b, err := m.MarshalBinary()
	if err != nil {
		return nil
	}
	return b
}

// resumeRunning is the digest that state was taken of; a new one if it cannot be read.
func resumeRunning(state []byte, done int64) *running {
	r := newRunning()
	m, ok := r.hash.(encoding.BinaryUnmarshaler)
	if !ok || len(state) == 0 || m.UnmarshalBinary(state) != nil {
		return newRunning()
	}
	r.done, r.next = done, done
	return r
}
