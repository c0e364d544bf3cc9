package state

import (
	"context"
	"time"
)

// Bounds of one-time codes.
const (
	// MaxUsedCodes is how many used codes of one user are remembered, those that were used last. It
	// is more than one set-up of a second factor has that are good at a time.
	MaxUsedCodes = 64
	// CodeWindow is for how long wrong codes count after the latest.
	CodeWindow = 24 * time.Hour

	freeCodes   = 3 // wrong ones in a row before there is a wait
	firstWait   = 30 * time.Second
	longestWait = time.Hour
)

// CodeWait is how long a user has to wait after n wrong codes in a row: nothing after the
// first three, then 30 s, doubled with each, up to an hour. Of codes with six digits, three of which are good
// at a time, somebody who has the password thus finds one within a year with a chance of about 1 to 38; more
// where the right codes of the user end the count.
func CodeWait(n int) time.Duration {
	if n < freeCodes {
		return 0
	}
	return min(firstWait<<min(n-freeCodes, 16), longestWait)
}

// Codes remembers what became of the one-time codes of users, for all nodes together.
type Codes interface {
	// TryCode counts a try of the user before the code is looked at, so that tries at once do not pass
	// together. It returns how many there were since the last right code, this one with them, or, where
	// the user still has to wait ([CodeWait], by the database's clock), for how long; then the try does not count and must be
	// refused. ErrInvalid without a user. A try whose answer was lost may count twice.
	TryCode(ctx context.Context, user string) (tries int, wait time.Duration, err error)
	// UseCode spends a right code, and ends the count of tries. code names what made it and step
	// its place there; ErrConflict, and nothing changes, if that step or a later one of it was used before.
	// ErrInvalid without a user or code.
	UseCode(ctx context.Context, user, code string, step int64) error
}
