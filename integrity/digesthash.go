package integrity

import (
	"cmp"
	"hash"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
)

// parallelFrom is the length of a Write from which several algorithms run at
// the same time: below it, handing work over costs more than it saves.
const parallelFrom = 32 << 10

// Digester computes several digests in one pass over the bytes written to it.
// Not safe for concurrent use.
type Digester struct {
	names    []Algorithm
	hashes   []hash.Hash
	order    []int // indices of hashes, the slowest first
	size     int64
	restored bool
}

// NewDigester computes SHA256 and the algorithms named; naming one twice is
// harmless. The error is ErrUnknownAlgorithm.
func NewDigester(algs ...Algorithm) (*Digester, error) {
	d := &Digester{}
	for _, alg := range append([]Algorithm{SHA256}, algs...) {
		if slices.Contains(d.names, alg) {
			continue
		}
		h, err := alg.New()
		if err != nil {
			return nil, err
		}
		d.order = append(d.order, len(d.names))
		d.names = append(d.names, alg)
		d.hashes = append(d.hashes, h)
	}
	slices.SortStableFunc(d.order, func(a, b int) int {
		return cmp.Compare(d.names[b].lookup().cost, d.names[a].lookup().cost)
	})
	return d, nil
}

// Write adds bytes to every digest. It never fails and keeps nothing of p. With
// several algorithms, 32 KiB or more are hashed by at most as many goroutines as
// there are algorithms and processors; they end before Write returns.
func (d *Digester) Write(p []byte) (int, error) {
	workers := 1
	if len(p) >= parallelFrom {
		workers = min(len(d.hashes), runtime.GOMAXPROCS(0))
	}
	if workers > 1 {
		d.writeParallel(p, workers)
	} else {
		for _, h := range d.hashes {
			h.Write(p)
		}
	}
	d.size += int64(len(p))
	return len(p), nil
}

// writeParallel lets each worker take the slowest algorithm that is left, so
// that they end at about the same time.
func (d *Digester) writeParallel(p []byte, workers int) {
	var next atomic.Int32
	work := func() {
		for {
			i := int(next.Add(1)) - 1
			if i >= len(d.order) {
				return
			}
			d.hashes[d.order[i]].Write(p)
		}
	}
	var wg sync.WaitGroup
	for range workers - 1 {
		wg.Go(work)
	}
	work()
	wg.Wait()
}

// Size is the number of bytes that the digests cover.
func (d *Digester) Size() int64 { return d.size }

// Whole reports that every byte that the digests cover went through this
// Digester. It is false after a restore: the digests then rest on what was read
// in an earlier process, from which the bytes at hand may differ. What is
// published must have been hashed whole.
func (d *Digester) Whole() bool { return !d.restored }

// Sums returns the digests of the bytes written until now, SHA256 first. More
// can be written afterwards.
func (d *Digester) Sums() []Digest {
	sums := make([]Digest, len(d.names))
	for i, name := range d.names {
		sums[i] = Digest{name, d.hashes[i].Sum(nil)}
	}
	return sums
}
