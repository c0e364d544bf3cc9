package tests

import (
	"bytes"
	"crypto/sha256"
	bigendian "encoding/binary"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"sync"
)

// A file of the soak proves itself. It is a row of parts, each
//
//	"SOAK", its version (8 bytes), its whole length (4 bytes), a body,
//	and the SHA-256 of the sum before it and all of this
//
// so that a file that is torn, mixed of two, or cut anywhere but between parts is seen as
// such. Its version is that of its last part, and belongs to no other file.
const (
	partHead = 4 + 8 + 4
	partMin  = partHead + sha256.Size
)

// Versions of what is no file of parts.
const (
	versionEmpty  uint64 = 0 // what LOCK makes of a name that has nothing
	versionAbsent uint64 = math.MaxUint64
)

// addPart returns data with one more part, whose body is random.
func addPart(data []byte, version uint64, size int, random *rand.Rand) []byte {
	part := make([]byte, partHead+size, partMin+size)
	copy(part, "SOAK")
	for i := partHead; i < len(part); i++ {
		part[i] = byte(random.Uint32())
	}
	return sealPart(data, part, version)
}

// sealPart returns data with the head and body in part, of which it makes one of this version.
func sealPart(data, part []byte, version uint64) []byte {
	bigendian.BigEndian.PutUint64(part[4:], version)
	bigendian.BigEndian.PutUint32(part[12:], uint32(len(part)+sha256.Size))
	sum := sha256.New()
	if len(data) > 0 {
		sum.Write(data[len(data)-sha256.Size:])
	}
	sum.Write(part)
	return sum.Sum(append(bytes.Clone(data), part...))
}

var errTorn = errors.New("the file is torn")

// readParts returns the version of a file and where its last part begins.
func readParts(data []byte) (version uint64, last int, err error) {
	for at := 0; at < len(data); {
		rest := data[at:]
		if len(rest) < partMin || string(rest[:4]) != "SOAK" {
			return 0, 0, fmt.Errorf("%w: no part begins at %d of %d", errTorn, at, len(data))
		}
		n := int(bigendian.BigEndian.Uint32(rest[12:]))
		if n < partMin || n > len(rest) {
			return 0, 0, fmt.Errorf("%w: the part at %d has %d bytes, %d are there", errTorn, at, n, len(rest))
		}
		sum := sha256.New()
		if at > 0 {
			sum.Write(data[at-sha256.Size : at])
		}
		sum.Write(rest[:n-sha256.Size])
		if !bytes.Equal(sum.Sum(nil), rest[n-sha256.Size:n]) {
			return 0, 0, fmt.Errorf("%w: the part at %d, version %d, has another sum", errTorn, at, bigendian.BigEndian.Uint64(rest[4:]))
		}
		version, last, at = bigendian.BigEndian.Uint64(rest[4:]), at, at+n
	}
	return version, last, nil
}

// register is a name that many write, and what may be read of it: whatever was not
// certainly replaced before the read began.
type register struct {
	name string

	mu     sync.Mutex
	clock  int
	writes []*registerWrite
}

// registerWrite is a change of the name: it takes effect between began and done.
type registerWrite struct {
	version uint64
	began   int
	done    int // math.MaxInt: nobody knows
	refused bool
}

func newRegister(name string) *register {
	r := &register{name: name}
	r.done(r.begin(versionAbsent))
	return r
}

func (r *register) now() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.clock++
	return r.clock
}

func (r *register) begin(version uint64) *registerWrite {
	w := &registerWrite{version: version, began: r.now(), done: math.MaxInt}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.writes = append(r.writes, w)
	return w
}

// done says that a write was acknowledged.
func (r *register) done(w *registerWrite) {
	now := r.now()
	r.mu.Lock()
	defer r.mu.Unlock()
	w.done = now
}

// refused says that a write has no effect, ever.
func (r *register) refused(w *registerWrite) {
	r.mu.Lock()
	defer r.mu.Unlock()
	w.refused = true
}

// check says what is wrong with having read a version in a read that began at since.
func (r *register) check(since int, version uint64) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	var newest *registerWrite // begun last of what was done before the read
	for _, w := range r.writes {
		if !w.refused && w.done < since && (newest == nil || w.began > newest.began) {
			newest = w
		}
	}
	reason := "was never written here"
	for _, w := range r.writes {
		switch {
		case w.version != version:
		case w.refused:
			reason = "was refused or broken off"
		case w.done < newest.began:
			reason = fmt.Sprintf("was replaced by version %d before the read", newest.version)
		default:
			return nil
		}
	}
	return fmt.Errorf("%s: version %d is read, which %s", r.name, version, reason)
}
