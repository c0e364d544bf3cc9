package state

import (
	"context"
	"time"
)

// QuotaLease is for how long a reservation lasts that its holder does not repeat.
// What is reserved then counts as added: its holder died, and may have kept it.
const QuotaLease = time.Minute

// Quotas sums up what the holders of one user's quota, one on each node, have added
// and reserve, in bytes. What a user keeps is counted from the files; this tells the
// nodes what to add to their counts.
type Quotas interface {
	// ReserveQuota has holder reserve reserved bytes for the user, in place of what
	// it did, until QuotaLease is over, and counts added bytes as added. It changes
	// nothing and is not ok if what was ever added, and what all holders reserve,
	// would then be more than bound. The totals are of all holders. ErrInvalid
	// without a user or holder, or for numbers below 0. A call whose answer was lost may
	// count twice.
	ReserveQuota(ctx context.Context, user, holder string, added, reserved, bound int64) (allAdded, allReserved int64, ok bool, err error)
	// QuotaTotals reads them; of an unknown user they are 0.
	QuotaTotals(ctx context.Context, user string) (allAdded, allReserved int64, err error)
}
