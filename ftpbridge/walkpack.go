package ftpbridge

import (
	"encoding/binary"
	"errors"
	"fmt"
	"iter"
	"sync/atomic"
	"time"

	"gateway/listing"
)

// Bounds of what a walk holds in memory, in bytes of packed listings.
const (
	// maxHeld is for all listings together: of the folders on the way, of which
	// only the folders to come are kept, and of those read ahead.
	maxHeld = 96 << 20
	// maxAhead is up to which sum listings are read ahead of their turn, what is
	// kept of the folders on the way aside.
	maxAhead = 16 << 20
)

// errAhead is for a listing that was read ahead and is too long for that; it is
// read when its turn comes.
var errAhead = errors.New("too long to be read ahead")

// sink takes the entries of a listing one by one. Its error ends the listing.
type sink interface {
	// reset forgets what came so far: the listing begins anew.
	reset()
	add(e *listing.Entry) error
}

// packed holds a listing in about twice as many bytes as its names have, without
// a pointer for the garbage collector to follow. Of an entry it keeps what a walk
// needs: see Found.
type packed struct {
	held   *atomic.Int64 // bytes of all listings of a walk but those in kept
	kept   *atomic.Int64 // bytes of what is kept of listings that fn has seen
	urgent *atomic.Bool  // its turn has come; false bounds it by maxAhead
	// keeps is for a part of another one, in place of that: it counts to kept,
	// and has no bound.
	keeps  bool
	chunks [][]byte // whole records
	freed  int      // of the chunks, from the first
	n      int
	dirs   int
	bytes  int64 // of the chunks' room
	loc    *time.Location
}

const (
	minChunk = 256
	maxChunk = 64 << 10
)

// grow counts memory and returns how much is held, that in kept aside.
func (p *packed) grow(n int64) int64 {
	p.bytes += n
	if p.keeps {
		p.kept.Add(n)
		return p.held.Load()
	}
	return p.held.Add(n)
}

func (p *packed) reset() {
	p.grow(-p.bytes)
	p.chunks, p.freed, p.n, p.dirs, p.bytes, p.loc = nil, 0, 0, 0, 0, nil
}

// The first byte of a record.
const (
	packType      = 3      // listing.Type
	packPrecision = 3 << 2 // listing.Precision
	packEstimated = 1 << 4
	packZone      = 1 << 5 // ZoneKnown
	packDecoded   = 1 << 6 // Name differs from RawName
	packMore      = 1 << 7 // Target, Version and the fact unique
)

func (p *packed) add(e *listing.Entry) error {
	if p.n == MaxFolder {
		return fmt.Errorf("%w: a listing of more than %d entries", ErrTooLarge, MaxFolder)
	}
	if p.loc == nil && !e.ModTime.ZoneKnown && e.ModTime.Precision != listing.Unknown {
		p.loc = e.ModTime.Location()
	}
	rec := record(e)
	if err := p.room(len(rec)); err != nil {
		return err
	}
	last := &p.chunks[len(p.chunks)-1]
	*last = append(*last, rec...)
	p.n++
	if e.Type == listing.Dir {
		p.dirs++
	}
	return nil
}

// room makes sure that the last chunk takes n bytes more.
func (p *packed) room(n int) error {
	size := minChunk
	if len(p.chunks) > 0 {
		last := p.chunks[len(p.chunks)-1]
		if cap(last)-len(last) >= n {
			return nil
		}
		size = min(2*cap(last), maxChunk)
	}
	size = max(size, n)
	held := p.grow(int64(size))
	switch {
	case p.keeps:
	case held+p.kept.Load() > maxHeld:
		return fmt.Errorf("%w: it and the folders above it list more than fits into %d bytes together", ErrTooLarge, maxHeld)
	case held > maxAhead && !p.urgent.Load():
		return errAhead
	}
	p.chunks = append(p.chunks, make([]byte, 0, size))
	return nil
}

func record(e *listing.Entry) []byte {
	unique, _ := e.Fact("unique")
	more := unique != "" || e.Target != "" || e.Version != ""
	flags := byte(e.Type)&packType | byte(e.ModTime.Precision)<<2&packPrecision
	for _, f := range []struct {
		set bool
		bit byte
	}{{e.SizeEstimated, packEstimated}, {e.ModTime.ZoneKnown, packZone}, {e.Name != e.RawName, packDecoded}, {more, packMore}} {
		if f.set {
			flags |= f.bit
		}
	}
	b := make([]byte, 1, 64+len(e.Name)+len(e.RawName)+len(unique)+len(e.Target)+len(e.Version))
	b[0] = flags
	text := func(s string) { b = append(binary.AppendUvarint(b, uint64(len(s))), s...) }
	text(e.RawName)
	if e.Name != e.RawName {
		text(e.Name)
	}
	b = binary.AppendVarint(b, e.Size)
	b = binary.AppendUvarint(b, uint64(max(e.Line, 0)))
	if e.ModTime.Precision != listing.Unknown {
		b = binary.AppendVarint(b, e.ModTime.Unix())
		b = binary.AppendUvarint(b, uint64(e.ModTime.Nanosecond()))
	}
	if more {
		text(e.Target)
		text(e.Version)
		text(unique)
	}
	return b
}

// place is between two records.
type place struct{ chunk, at int }

// next reads the record at a place.
func (p *packed) next(from *place) (e listing.Entry, ok bool) {
	for from.chunk < len(p.chunks) && from.at >= len(p.chunks[from.chunk]) {
		from.chunk, from.at = from.chunk+1, 0
	}
	if from.chunk == len(p.chunks) {
		return e, false
	}
	b := p.chunks[from.chunk][from.at:]
	whole := len(b)
	unsigned := func() uint64 {
		v, n := binary.Uvarint(b)
		b = b[n:]
		return v
	}
	signed := func() int64 {
		v, n := binary.Varint(b)
		b = b[n:]
		return v
	}
	text := func() string {
		n := unsigned()
		s := string(b[:n])
		b = b[n:]
		return s
	}
	flags := b[0]
	b = b[1:]
	e.Type, e.SizeEstimated = listing.Type(flags&packType), flags&packEstimated != 0
	e.RawName = text()
	e.Name = e.RawName
	if flags&packDecoded != 0 {
		e.Name = text()
	}
	e.Size, e.Line = signed(), int(unsigned())
	if e.ModTime.Precision = listing.Precision(flags & packPrecision >> 2); e.ModTime.Precision != listing.Unknown {
		sec := signed()
		e.ModTime.Time = time.Unix(sec, int64(unsigned())).UTC()
		if e.ModTime.ZoneKnown = flags&packZone != 0; !e.ModTime.ZoneKnown && p.loc != nil {
			e.ModTime.Time = e.ModTime.In(p.loc)
		}
	}
	if flags&packMore != 0 {
		e.Target, e.Version = text(), text()
		if unique := text(); unique != "" {
			e.Facts = "unique=" + unique + ";"
		}
	}
	from.at += whole - len(b)
	return e, true
}

// all yields the entries with their number, from 0.
func (p *packed) all() iter.Seq2[int, listing.Entry] {
	return func(yield func(int, listing.Entry) bool) {
		var at place
		for i := 0; ; i++ {
			e, ok := p.next(&at)
			if !ok || !yield(i, e) {
				return
			}
		}
	}
}

// drop frees the chunks before a place; what was before it cannot be read again.
func (p *packed) drop(before place) {
	for ; p.freed < before.chunk; p.freed++ {
		p.grow(-int64(cap(p.chunks[p.freed])))
		p.chunks[p.freed] = nil
	}
}
