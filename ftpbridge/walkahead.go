package ftpbridge

import (
	"container/list"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"hash/maphash"
	"slices"
	"strconv"
	"sync/atomic"

	"gateway/listing"
)

// maxAheadFolders is how many folders may be listed, or under way, before fn
// heard of them.
const maxAheadFolders = 64

// walkedDir is a folder on the way of a walk, or to come.
type walkedDir struct {
	Found
	up     *walkedDir
	from   *subfolders // where it comes from, and its place there
	index  int
	unique string // RFC 3659 section 7.5.2
	tag    any    // of WalkOptions.Folder
	step   *list.Element

	state  dirState
	urgent atomic.Bool // its turn has come
	gone   bool        // left out, and all below

	// What the listing gave.
	err     error
	list    *packed
	quality listing.Quality
	sum     [sha256.Size]byte
	rich    bool
	again   bitset // entries whose name came before, or that fn left out
	cut     int    // fn left out all entries from here on; 0: none
	rest    *subfolders
}

type dirState uint8

const (
	dirWaiting dirState = iota
	dirAsked
	dirListed
)

// subfolders are the folders of a listing that were not made steps yet.
type subfolders struct {
	of   *walkedDir
	list *packed
	at   place
	i    int  // entries before at
	own  bool // the list has nothing but these folders, and is given up with them
}

// leftOut reports whether fn refused the folder, or one above it, since it became a step.
func (d *walkedDir) leftOut() bool {
	return d.gone || d.up != nil && (d.up.gone || d.index >= 0 && d.up.leavesOut(d.index))
}

func (d *walkedDir) leavesOut(i int) bool {
	return d.again.has(i) || d.cut > 0 && i >= d.cut
}

// forget drops a folder that was left out; those below it follow.
func (w *walker) forget(d *walkedDir) {
	d.gone = true
	if d == w.tooLong {
		w.tooLong = nil
	}
	w.steps.Remove(d.step)
	if d.state != dirWaiting {
		w.ahead--
	}
	if d.state == dirListed && d.list != nil {
		d.list.reset()
	}
}

// nextFolder takes the next folder off.
func (w *walker) nextFolder(s *subfolders) (*walkedDir, bool) {
	for !s.of.gone {
		i := s.i
		e, ok := s.list.next(&s.at)
		if !ok {
			break
		}
		s.i++
		if e.Type != listing.Dir || !s.own && s.of.leavesOut(i) {
			continue
		}
		f := w.found(s.of, e)
		if w.o.Enter != nil && !w.o.Enter(f) {
			continue
		}
		d := &walkedDir{Found: f, up: s.of, from: s, index: i}
		if s.own {
			d.index = -1
			s.list.drop(s.at)
		}
		d.unique, _ = e.Fact("unique")
		if d.err = w.barred(d); d.err != nil {
			d.state = dirListed
			w.ahead++
		}
		return d, true
	}
	if s.own {
		s.list.reset()
	}
	return nil, false
}

// barred is why a folder is not even listed.
func (w *walker) barred(d *walkedDir) error {
	for u := d.up; u != nil && d.unique != ""; u = u.up {
		if u.unique == d.unique {
			d.sum = sha256.Sum256([]byte("unique " + d.unique))
			return fmt.Errorf("%s: %w", quoteLine(w.l.Show(d.Path)), ErrLoop)
		}
	}
	if d.Depth >= w.o.MaxDepth {
		return fmt.Errorf("%s: %w: the limit is %d", quoteLine(w.l.Show(d.Path)), ErrTooDeep, w.o.MaxDepth)
	}
	return nil
}

// await has the folder at the front listed, and further ones meanwhile.
func (w *walker) await(ctx context.Context, d *walkedDir) error {
	d.urgent.Store(true)
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		if d == w.tooLong {
			w.tooLong = nil
		}
		if d.state == dirWaiting {
			w.start(ctx, d)
		}
		w.readAhead(ctx)
		if d.state == dirListed {
			return nil
		}
		select {
		case l := <-w.listed:
			w.arrived(l)
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// readAhead starts listing the folders that come next.
func (w *walker) readAhead(ctx context.Context) {
	for more := true; more; { // what came meanwhile makes room
		select {
		case l := <-w.listed:
			w.arrived(l)
		default:
			more = false
		}
	}
	if w.o.Connections < 2 || w.tooLong != nil {
		return
	}
	for e := w.steps.Front(); e != nil && w.asked < w.o.Connections && w.ahead < maxAheadFolders && w.held.Load() < maxAhead; {
		switch s := e.Value.(type) {
		case *subfolders:
			d, ok := w.nextFolder(s)
			if ok {
				d.step = w.steps.InsertBefore(d, e)
				e = d.step
				continue
			}
			next := e.Next()
			w.steps.Remove(e)
			e = next
		case *walkedDir:
			if s.state == dirWaiting && !s.leftOut() {
				w.start(ctx, s)
			}
			e = e.Next()
		}
	}
}

func (w *walker) start(ctx context.Context, d *walkedDir) {
	d.state = dirAsked
	w.asked++
	w.ahead++
	w.wg.Go(func() {
		w.list(ctx, d)
		select {
		case w.listed <- d:
		case <-ctx.Done():
		}
	})
}

// arrived takes a listing over.
func (w *walker) arrived(d *walkedDir) {
	w.asked--
	switch {
	case d.gone:
		d.list.reset()
		return
	case errors.Is(d.err, errAhead):
		d.list.reset()
		d.state, d.err = dirWaiting, nil
		if w.tooLong == nil {
			w.tooLong = d
		}
		w.ahead--
		return
	}
	d.state = dirListed
	limit := maxSameListing
	if d.rich {
		limit = maxSameRich
	}
	if d.err == nil && d.list.n > 0 && d.same() >= limit {
		d.err = fmt.Errorf("%s: %w: %d folders on the way have the same listing", quoteLine(w.show(d.Path)), ErrLoop, limit)
	}
	if d.err != nil {
		d.list.reset()
		return
	}
	if d.list.dirs > 0 && !w.known(d) {
		d.rest = &subfolders{of: d, list: d.list}
		w.steps.InsertAfter(d.rest, d.step)
	}
}

// known reports another way into a loop that was reported.
func (w *walker) known(d *walkedDir) bool { return w.loops[d.sum] && d.same() > 0 }

// same counts the folders above d that have its listing.
func (d *walkedDir) same() int {
	n := 0
	for u := d.up; u != nil; u = u.up {
		if u.sum == d.sum {
			n++
		}
	}
	return n
}

// keepFolders gives up a listing that fn has seen, but for the folders that are
// not steps yet.
func (w *walker) keepFolders(d *walkedDir) {
	s := d.rest
	if s == nil {
		d.list.reset()
		return
	}
	kept := &packed{held: &w.held, kept: &w.kept, keeps: true}
	for {
		e, ok := s.list.next(&s.at)
		if !ok {
			break
		}
		if e.Type == listing.Dir && !d.leavesOut(s.i) {
			_ = kept.add(&e) // cannot fail: no bound
		}
		s.i++
		s.list.drop(s.at)
	}
	s.list.reset()
	d.list, s.list, s.at, s.i, s.own = nil, kept, place{}, 0, true
}

// list reads a folder. It runs beside the walk.
func (w *walker) list(ctx context.Context, d *walkedDir) {
	in := &listingSink{packed: &packed{held: &w.held, kept: &w.kept, urgent: &d.urgent}, seed: w.seed, hash: sha256.New()}
	d.quality, d.err = listInto(ctx, w.l, d.Path, in)
	d.list = in.packed
	if d.err != nil {
		return
	}
	d.sum, d.rich = [sha256.Size]byte(in.hash.Sum(nil)), in.rich()
	d.again = in.repeated()
	if d.up == nil && d.quality.Format == listing.MLSD {
		// Only facts tell a folder's identity, and only for it does the root matter.
		if e, err := w.l.Stat(ctx, d.Path); err == nil {
			d.unique, _ = e.Fact("unique")
		}
	}
}

// listingSink packs a listing and learns by what it can be known again.
type listingSink struct {
	*packed
	seed     maphash.Seed
	hash     hash.Hash
	line     []byte
	names    []uint32 // hashes; that few bits only cost a second look
	files    int
	timeless bool
}

func (in *listingSink) reset() {
	in.packed.reset()
	in.hash.Reset()
	in.names, in.files, in.timeless = in.names[:0], 0, false
}

func (in *listingSink) add(e *listing.Entry) error {
	if err := in.packed.add(e); err != nil {
		return err
	}
	in.names = append(in.names, nameHash(in.seed, e))
	if e.Type == listing.File {
		in.files++
	}
	in.timeless = in.timeless || e.ModTime.Precision == listing.Unknown
	in.line = append(in.line[:0], e.RawName...)
	in.line = strconv.AppendInt(append(in.line, 0), e.Size, 10)
	in.line = strconv.AppendInt(append(in.line, ' '), e.ModTime.Unix(), 10)
	in.line = strconv.AppendInt(append(in.line, ' '), int64(e.Type), 10)
	in.hash.Write(in.line)
	return nil
}

// rich reports whether such a listing is hardly the same as another's by chance.
func (in *listingSink) rich() bool {
	return in.n >= richListing && in.files > 0 && !in.timeless
}

func nameHash(seed maphash.Seed, e *listing.Entry) uint32 {
	var h maphash.Hash
	h.SetSeed(seed)
	_, _ = h.WriteString(e.RawName)
	_ = h.WriteByte(0)
	_, _ = h.WriteString(e.Version)
	return uint32(h.Sum64())
}

// repeated marks the entries whose name and version came before.
func (in *listingSink) repeated() (again bitset) {
	twice := repeatedHashes(in.names)
	if len(twice) == 0 {
		return nil
	}
	seen := make(map[string]bool)
	for i, e := range in.all() {
		if !twice[nameHash(in.seed, &e)] {
			continue
		}
		key := e.RawName + "\x00" + e.Version
		if seen[key] {
			again.set(i)
		}
		seen[key] = true
	}
	return again
}

// repeatedHashes gives those that are there more than once. It sorts them.
func repeatedHashes(hashes []uint32) map[uint32]bool {
	slices.Sort(hashes)
	var twice map[uint32]bool
	for i := 1; i < len(hashes); i++ {
		if hashes[i] == hashes[i-1] && !twice[hashes[i]] {
			if twice == nil {
				twice = make(map[uint32]bool)
			}
			twice[hashes[i]] = true
		}
	}
	return twice
}

// bitset is a set of small numbers.
type bitset []uint64

func (b bitset) has(i int) bool { return i/64 < len(b) && b[i/64]&(1<<(i%64)) != 0 }

func (b *bitset) set(i int) {
	if n := i/64 + 1; n > len(*b) {
		*b = append(*b, make([]uint64, n-len(*b))...)
	}
	(*b)[i/64] |= 1 << (i % 64)
}
