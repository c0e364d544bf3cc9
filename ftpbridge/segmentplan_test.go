package ftpbridge

import (
	"slices"
	"testing"

	"gateway/state"
)

func TestSegmentPlan(t *testing.T) {
	const size = 100 << 20
	whole := func(p *segmentPlan) (order []state.Range) {
		for s := p.take(); s != nil; s = p.take() {
			from, _ := p.from(s)
			for {
				n := p.room(s, 1<<20)
				if n > 0 {
					p.grow(s, n)
					continue
				}
				if p.last(s) || !p.extend(s) {
					break
				}
			}
			order = append(order, state.Range{From: from, To: s.pos})
			p.ended(s, make([]byte, overlap))
			p.leave(s)
			if fit, _, err := p.join(func([]byte, int64) (bool, error) { return true, nil }); !fit || err != nil {
				t.Fatal(fit, err)
			}
		}
		return order
	}
	for name, have := range map[string]state.Ranges{
		"new":     nil,
		"begun":   {{From: 0, To: 5 << 20}},
		"in two":  {{From: 0, To: 5 << 20}, {From: 50 << 20, To: 60 << 20}},
		"touch":   {{From: 0, To: 50 << 20}, {From: 50 << 20, To: size}},
		"tiny":    {{From: 0, To: 10}, {From: 10, To: 20}, {From: 50 << 20, To: 50<<20 + 1}},
		"all":     {{From: 0, To: size}},
		"outside": {{From: 0, To: 10 << 20}, {From: 90 << 20, To: size + 1}},
	} {
		p := newSegmentPlan(size, have, 25<<20, 1<<20)
		order := whole(p)
		if !p.whole() || p.staged() != size || len(order) == 0 {
			t.Errorf("%s: %v, %d staged", name, order, p.staged())
		}
	}

	// Several at it: each gets a part of its own, until the parts are small.
	p := newSegmentPlan(size, nil, 25<<20, 8<<20)
	for i := range 4 {
		if s := p.take(); s == nil || s.start != int64(i)*25<<20 {
			t.Fatalf("%d: %+v", i, s)
		}
	}
	fifth := p.take()
	if fifth == nil || fifth.start != 25<<19 {
		t.Fatalf("%+v", fifth)
	}
	for n := 5; ; n++ {
		if p.take() == nil {
			break
		}
		if n > 12 {
			t.Fatal("it is divided for ever")
		}
	}
	if _, rs := p.ranges(); len(rs) != 0 {
		t.Errorf("%v", rs)
	}

	// Pieces become smaller to the end, where that is worth it.
	for _, c := range []struct{ size, first, last, count int64 }{
		{6912 << 20, 1 << 30, 216 << 20, 10},
		{1728 << 20, 378 << 20, 54 << 20, 8},
		{432 << 20, 108 << 20, 108 << 20, 4},
		{256 << 20, 64 << 20, 64 << 20, 4},
		{100 << 30, 1 << 30, 50 << 20, 0},
	} {
		p := newSegmentPlan(c.size, nil, min(c.size/4, segmentPiece), segmentLeast)
		p.dwindle(4)
		var sizes []int64
		for at := int64(0); at < c.size; at = p.pieceEnd(at) {
			sizes = append(sizes, min(p.pieceEnd(at), c.size)-at)
		}
		last := sizes[len(sizes)-1]
		if sizes[0] != c.first || last > c.last || last < c.last/2 || c.count > 0 && int64(len(sizes)) != c.count {
			t.Errorf("%d bytes: pieces of %d", c.size, sizes)
		}
		if slices.Min(sizes) < segmentLeast {
			t.Errorf("%d bytes: a piece of %d", c.size, slices.Min(sizes))
		}
	}

	// There are never more than the ledger takes.
	p = newSegmentPlan(1<<40, nil, 1, 1)
	for p.take() != nil {
	}
	for _, s := range p.list {
		p.grow(s, 1)
	}
	if _, rs := p.ranges(); len(rs) != state.MaxRanges || !rs.Valid(1) {
		t.Errorf("%d ranges", len(rs))
	}
}
