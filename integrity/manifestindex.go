package integrity

import (
	"bytes"
	"hash/maphash"
	"strings"
)

// manifestIndex holds the digests of a manifest, and finds names in it. A mirror
// has a million of them, so everything lies in blocks that are never copied once
// they are full: about 130 bytes for an entry with SHA-256 and a name of 40 bytes.
type manifestIndex struct {
	seed    maphash.Seed // nobody can choose names that collide
	slots   []slot       // open addressing; a power of two long
	records [][]record
	count   int32    // of records
	names   int      // different names
	sums    [][]byte // every digest's bytes, none across two blocks
	block   strings.Builder
}

// slot points to a name's first record; 0 is an empty slot.
type slot struct {
	hash  uint32
	after int32 // the record's number + 1
}

// record is one digest.
type record struct {
	name  string
	size  int64  // bytes, -1 if not told; in the name's first record
	sum   uint32 // block and offset in sums
	line  int32
	next  int32 // further digest of the same name, 0 for none
	alg   uint8
	first bool // the name's first record
}

const (
	recordBits = 12 // records in a block
	sumBits    = 16 // bytes of digests in a block
	nameBlock  = 64 << 10
)

func newManifestIndex() manifestIndex {
	return manifestIndex{seed: maphash.MakeSeed(), slots: make([]slot, 8)}
}

func (x *manifestIndex) record(i int32) *record {
	return &x.records[i>>recordBits][i&(1<<recordBits-1)]
}

func (x *manifestIndex) sum(r *record, size int) []byte {
	return x.sums[r.sum>>sumBits][r.sum&(1<<sumBits-1):][:size]
}

// find returns the name's first record, -1 if there is none.
func (x *manifestIndex) find(name string) int32 {
	i, _ := search(x, uint32(maphash.String(x.seed, name)), name)
	return i
}

// search returns the record, or -1 and the slot where it would be.
func search[T string | []byte](x *manifestIndex, hash uint32, name T) (rec int32, at uint32) {
	mask := uint32(len(x.slots) - 1)
	for at = hash & mask; ; at = (at + 1) & mask {
		s := x.slots[at]
		if s.after == 0 {
			return -1, at
		}
		if s.hash == hash && x.record(s.after-1).name == string(name) {
			return s.after - 1, at
		}
	}
}

// insert adds the first record of a name that is not there, at its slot.
func (x *manifestIndex) insert(name []byte, hash, at uint32, r record) int32 {
	if (x.names+1)*4 > len(x.slots)*3 {
		x.grow()
		_, at = search(x, hash, name)
	}
	r.name, r.first = x.keepName(name), true
	i := x.push(r)
	x.slots[at] = slot{hash, i + 1}
	x.names++
	return i
}

func (x *manifestIndex) grow() {
	old := x.slots
	x.slots = make([]slot, 2*len(old))
	mask := uint32(len(x.slots) - 1)
	for _, s := range old {
		if s.after == 0 {
			continue
		}
		at := s.hash & mask
		for x.slots[at].after != 0 {
			at = (at + 1) & mask
		}
		x.slots[at] = s
	}
}

// push appends a record. The first block grows as it must, so that a manifest
// of one line stays small; the others come whole.
func (x *manifestIndex) push(r record) int32 {
	last := len(x.records) - 1
	if last < 0 || len(x.records[last]) == 1<<recordBits {
		var fresh []record
		if last >= 0 {
			fresh = make([]record, 0, 1<<recordBits)
		}
		x.records = append(x.records, fresh)
		last++
	}
	x.records[last] = append(x.records[last], r)
	x.count++
	return x.count - 1
}

// keepSum stores a digest's bytes.
func (x *manifestIndex) keepSum(sum []byte) uint32 {
	last := len(x.sums) - 1
	if last < 0 || len(x.sums[last])+len(sum) > 1<<sumBits {
		var fresh []byte
		if last >= 0 {
			fresh = make([]byte, 0, 1<<sumBits)
		}
		x.sums = append(x.sums, fresh)
		last++
	}
	at := len(x.sums[last])
	x.sums[last] = append(x.sums[last], sum...)
	return uint32(last<<sumBits | at)
}

// keepName copies a name into the current block, so that a million names are
// not a million allocations. A block is never grown: earlier names point into it.
func (x *manifestIndex) keepName(name []byte) string {
	if room := x.block.Cap() - x.block.Len(); room < len(name) {
		next := min(2*x.block.Cap(), nameBlock)
		x.block.Reset()
		x.block.Grow(max(next, len(name)))
	}
	start := x.block.Len()
	x.block.Write(name)
	return x.block.String()[start:]
}

// add stores a digest of a name. It returns the name's first record, and the
// record of the same algorithm if that has another digest.
func (x *manifestIndex) add(name, sum []byte, r record) (head int32, conflict *record) {
	r.size = -1
	hash := uint32(maphash.Bytes(x.seed, name))
	head, at := search(x, hash, name)
	if head < 0 {
		r.sum = x.keepSum(sum)
		return x.insert(name, hash, at, r), nil
	}
	for i := head; ; i = x.record(i).next {
		old := x.record(i)
		if old.alg == r.alg {
			if bytes.Equal(x.sum(old, len(sum)), sum) {
				return head, nil
			}
			return head, old
		}
		if old.next == 0 {
			r.name, r.sum = old.name, x.keepSum(sum)
			next := x.push(r)
			x.record(i).next = next // push may have moved old
			return head, nil
		}
	}
}
