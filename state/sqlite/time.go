package sqlite

import (
	"database/sql"
	"math"
	"time"
)

// toNano is NULL for the zero time and the nearest time that fits for one that
// an int64 of nanoseconds cannot hold.
func toNano(t time.Time) sql.NullInt64 {
	switch {
	case t.IsZero():
		return sql.NullInt64{}
	case t.Before(time.Unix(0, math.MinInt64)):
		return sql.NullInt64{Int64: math.MinInt64, Valid: true}
	case t.After(time.Unix(0, math.MaxInt64)):
		return sql.NullInt64{Int64: math.MaxInt64, Valid: true}
	}
	return sql.NullInt64{Int64: t.UnixNano(), Valid: true}
}

func fromNano(n sql.NullInt64) time.Time {
	if !n.Valid {
		return time.Time{}
	}
	return time.Unix(0, n.Int64).UTC()
}
