package postgres

import (
	"math"
	"time"
)

// text is a string in a bytea column: one from outside may hold a NUL or bytes
// that are no UTF-8, which PostgreSQL's text cannot.
type text string

// ScanBytes implements pgtype.BytesScanner.
func (t *text) ScanBytes(v []byte) error {
	*t = text(v)
	return nil
}

// BytesValue implements pgtype.BytesValuer.
func (t text) BytesValue() ([]byte, error) { return []byte(t), nil }

// toNano is NULL for the zero time and the nearest time that fits for one that
// an int64 of nanoseconds cannot hold.
func toNano(t time.Time) *int64 {
	var n int64
	switch {
	case t.IsZero():
		return nil
	case t.Before(time.Unix(0, math.MinInt64)):
		n = math.MinInt64
	case t.After(time.Unix(0, math.MaxInt64)):
		n = math.MaxInt64
	default:
		n = t.UnixNano()
	}
	return &n
}

func fromNano(n *int64) time.Time {
	if n == nil {
		return time.Time{}
	}
	return time.Unix(0, *n).UTC()
}
