package ftpbridge

import (
	"slices"
	"sync"

	"gateway/state"
)

// segment is a stretch of a file that one session fetches at a time: the bytes
// from start to pos are staged, those from pos to end are missing.
type segment struct {
	start, pos, end int64
	owned           bool
	// done is set when the transfer went on to what is behind end: the server's
	// confirmation for the last segment; for the others some bytes, the tail, to be
	// compared with those that are staged there.
	done bool
	tail []byte
}

// segmentPlan divides a file. The segments are in order and cover it without
// gaps. Two become one when the first is whole and its server's next bytes are
// those with which the second begins; so the file is whole, and of one version,
// when a single segment is left and nothing of it is missing.
//
// No segment is shorter than an overlap, so that there is enough to compare, and
// there are at most state.MaxRanges. It is safe for concurrent use.
type segmentPlan struct {
	size  int64
	piece int64 // what a session takes at once, at most
	least int64 // what is left to both when a rest is divided

	sessions int64 // for which pieces dwindle; 0: they do not

	mu    sync.Mutex
	list  []*segment
	got   int64         // staged bytes in all segments
	moved chan struct{} // gets a value when something has grown
}

// newSegmentPlan begins with what is staged, of which nothing is taken for done.
// Ranges without enough bytes to compare are not used.
func newSegmentPlan(size int64, have state.Ranges, piece, least int64) *segmentPlan {
	least = max(least, 2*fetchBuffer, 2*overlap)
	p := &segmentPlan{size: size, piece: max(piece, least), least: least, moved: make(chan struct{}, 1)}
	last := &segment{}
	p.list = []*segment{last}
	for _, r := range have {
		switch {
		case r.To > size || r.To-r.From < overlap || r.From > 0 && r.From < overlap:
		case r.From == 0:
			last.pos = r.To
		default:
			last.end = r.From
			last = &segment{start: r.From, pos: r.To}
			p.list = append(p.list, last)
		}
	}
	last.end = size
	for _, s := range p.list {
		p.got += s.pos - s.start
	}
	return p
}

// dwindle has the file fetched in rounds in which each session takes one piece: in
// the first seven eighths of it, then the same of the rest while that is much, and
// then the rest. Digests go from the beginning to the end, and the pieces of a
// round come all at the same time: so most of what came in a round is hashed in the
// next, and little is left after the last. To go from one piece to the next takes
// some six round trips in which nothing comes, so that the rounds are few.
func (p *segmentPlan) dwindle(sessions int64) { p.sessions = sessions }

// pieceEnd is where a piece ends that begins at an offset.
func (p *segmentPlan) pieceEnd(at int64) int64 {
	if p.sessions == 0 {
		return at + p.piece
	}
	from, rest := int64(0), p.size
	for rest > p.size/8 || rest > latePiece*p.sessions {
		round := rest / 8 * 7
		if (rest-round)/p.sessions < 2*p.least {
			break // another transfer would take longer than to hash it
		}
		end := at + min(p.piece, (round+p.sessions-1)/p.sessions)
		switch from += round; {
		case end+p.least <= from:
			return end
		case at+p.least <= from:
			return from
		}
		rest -= round
	}
	return max(at, from) + min(p.piece, (rest+p.sessions-1)/p.sessions)
}

// take gives a segment to fetch: one that waits, or else the second half of the
// longest rest; nil if there is none that is worth a transfer of its own.
func (p *segmentPlan) take() *segment {
	p.mu.Lock()
	defer p.mu.Unlock()
	for i, s := range p.list {
		if !s.owned && !s.done {
			p.cut(i, p.pieceEnd(s.pos))
			s.owned = true
			return s
		}
	}
	longest := -1
	for i, s := range p.list {
		if longest < 0 || s.end-s.pos > p.list[longest].end-p.list[longest].pos {
			longest = i
		}
	}
	s := p.list[longest]
	if !p.cut(longest, s.pos+(s.end-s.pos)/2) {
		return nil
	}
	second := p.list[longest+1]
	second.owned = true
	return second
}

// cut divides a segment at an offset if both sides have enough to do.
func (p *segmentPlan) cut(i int, at int64) bool {
	s := p.list[i]
	if at-s.pos < p.least || s.end-at < p.least || len(p.list) > state.MaxRanges {
		return false
	}
	p.list = slices.Insert(p.list, i+1, &segment{start: at, pos: at, end: s.end})
	s.end = at
	return true
}

// from is where a fetch of the segment begins: some bytes before its first missing
// one, if they are staged. fresh reports that nothing of it is.
func (p *segmentPlan) from(s *segment) (at int64, fresh bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return max(s.start, s.pos-overlap), s.pos == s.start && s.start > 0
}

// last reports whether the segment goes to the end of the file.
func (p *segmentPlan) last(s *segment) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return s.end == p.size
}

// room is how many of n further bytes belong to the segment.
func (p *segmentPlan) room(s *segment, n int) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return int(min(int64(n), s.end-s.pos))
}

// grow notes that n more bytes of the segment are staged.
func (p *segmentPlan) grow(s *segment, n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	s.pos += int64(n)
	p.got += int64(n)
	p.signal()
}

func (p *segmentPlan) signal() {
	select {
	case p.moved <- struct{}{}:
	default:
	}
}

// extend lets a segment that is whole go on into the next where nobody is at it
// and little is staged there: the transfer that is under way saves another.
func (p *segmentPlan) extend(s *segment) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	i := slices.Index(p.list, s)
	if i+1 == len(p.list) {
		return false
	}
	next := p.list[i+1]
	if next.owned || next.pos-next.start >= overlap {
		return false
	}
	p.got -= next.pos - next.start
	s.end = next.end
	p.list = slices.Delete(p.list, i+1, i+2)
	p.cut(i, p.pieceEnd(s.pos))
	return true
}

// ended notes what the server has behind the end of a segment.
func (p *segmentPlan) ended(s *segment, tail []byte) {
	p.mu.Lock()
	defer p.mu.Unlock()
	s.done, s.tail = true, tail
}

// leave gives a segment back, whole or not.
func (p *segmentPlan) leave(s *segment) {
	p.mu.Lock()
	defer p.mu.Unlock()
	s.owned = false
}

// join makes one of any two neighbours that are known to fit. same compares bytes
// with those staged at an offset; where they differ join reports where.
func (p *segmentPlan) join(same func(b []byte, at int64) (bool, error)) (fit bool, at int64, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for i := 0; i+1 < len(p.list); {
		s, next := p.list[i], p.list[i+1]
		if !s.done || next.pos-next.start < overlap {
			i++
			continue
		}
		if fit, err := same(s.tail, s.end); err != nil || !fit {
			return false, s.end, err
		}
		next.start = s.start
		p.list = slices.Delete(p.list, i, i+1)
		if i == 0 {
			p.signal()
		}
	}
	return true, 0, nil
}

// prefix is how many bytes from the beginning of the file on are staged and known
// to be of one version.
func (p *segmentPlan) prefix() int64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.list[0].pos
}

// staged is how many bytes are staged in all.
func (p *segmentPlan) staged() int64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.got
}

// whole reports whether nothing is missing and all fits.
func (p *segmentPlan) whole() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.list) == 1 && p.list[0].done
}

// ranges is the prefix and what is staged beyond it.
func (p *segmentPlan) ranges() (prefix int64, rs state.Ranges) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, s := range p.list[1:] {
		if s.pos > s.start {
			rs = append(rs, state.Range{From: s.start, To: s.pos})
		}
	}
	return p.list[0].pos, rs
}
