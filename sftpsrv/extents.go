package sftpsrv

import "slices"

// extents remembers which bytes of an upload arrived, as far as is needed to know
// its unbroken beginning: clients write ahead of one another, and only what has
// no gap may be continued by size later.
type extents struct {
	end   int64  // everything before it is there
	later []span // sorted, disjoint, not touching, all beyond end; at most maxExtents
}

type span struct{ from, to int64 }

// add notes that the bytes from..to were written.
func (e *extents) add(from, to int64) {
	if from > e.end {
		e.insert(span{from, to})
		return
	}
	e.end = max(e.end, to)
	for len(e.later) > 0 && e.later[0].from <= e.end {
		e.end = max(e.end, e.later[0].to)
		e.later = e.later[1:]
	}
}

func (e *extents) insert(s span) {
	i, _ := slices.BinarySearchFunc(e.later, s.from, func(have span, from int64) int {
		if have.to < from {
			return -1
		}
		return 1
	})
	j := i
	for j < len(e.later) && e.later[j].from <= s.to {
		s.from, s.to = min(s.from, e.later[j].from), max(s.to, e.later[j].to)
		j++
	}
	e.later = slices.Replace(e.later, i, j, s)
	if len(e.later) > maxExtents {
		e.later = e.later[:maxExtents] // forgotten ranges only make end smaller than it could be
	}
}

// truncate notes that the file now ends at size.
func (e *extents) truncate(size int64) {
	e.end = min(e.end, size)
	for len(e.later) > 0 {
		last := &e.later[len(e.later)-1]
		if last.from < size {
			last.to = min(last.to, size)
			return
		}
		e.later = e.later[:len(e.later)-1]
	}
}
