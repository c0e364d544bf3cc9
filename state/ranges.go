package state

import (
	"fmt"
	"strconv"
	"strings"
)

// MaxRanges bounds the ranges of one line.
const MaxRanges = 64

// Range is the bytes From to To of a file; To is one behind the last.
type Range struct{ From, To int64 }

// Ranges are in order and none is empty. They may touch: what one was fetched
// with is then not yet known to be of the same version as the next.
type Ranges []Range

// Valid reports whether they are at most MaxRanges, in order and from offset on.
func (rs Ranges) Valid(offset int64) bool {
	for _, r := range rs {
		if r.From < offset || r.To <= r.From {
			return false
		}
		offset = r.To
	}
	return len(rs) <= MaxRanges
}

// String is "10-20 30-40".
func (rs Ranges) String() string {
	var b strings.Builder
	for i, r := range rs {
		if i > 0 {
			b.WriteByte(' ')
		}
		fmt.Fprintf(&b, "%d-%d", r.From, r.To)
	}
	return b.String()
}

// ParseRanges reads what String wrote. The error wraps ErrInvalid.
func ParseRanges(s string) (Ranges, error) {
	var rs Ranges
	for word := range strings.FieldsSeq(s) {
		from, to, _ := strings.Cut(word, "-")
		var r Range
		var err error
		if r.From, err = strconv.ParseInt(from, 10, 64); err == nil {
			r.To, err = strconv.ParseInt(to, 10, 64)
		}
		if err != nil {
			return nil, fmt.Errorf("ranges %.100q: %w", s, ErrInvalid)
		}
		rs = append(rs, r)
	}
	if !rs.Valid(0) {
		return nil, fmt.Errorf("ranges %.100q: %w", s, ErrInvalid)
	}
	return rs, nil
}
