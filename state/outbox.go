package state

import (
	"context"
	"fmt"
	"sync"
	"time"
)

// Bounds of an Outbox.
const (
	MaxDeliveries   = 1_000_000 // that wait; beyond it new ones are refused, within some thousand
	MaxDead         = 10_000    // that were given up; beyond it the oldest go
	MaxPayload      = 64 << 10  // bytes of one
	MaxHookName     = 64        // bytes
	maxDeliveryText = 2000      // bytes of an error that are kept
)

// Delivery is something that a hook is to be told.
type Delivery struct {
	ID      int64 // grows; of one hook the lower is delivered first
	Hook    string
	Payload []byte
	Created time.Time
	Wait    time.Duration // until it is tried next
	Tries   int           // that failed
	Error   string        // of the last of them
	Dead    bool          // given up; kept until it is retried or dropped
}

// Failure is what becomes of a delivery that failed.
type Failure struct {
	Error string
	Wait  time.Duration // until it is tried again
	Dead  bool          // or it is given up
}

// Outbox keeps what hooks are to be told until they were. Of several processes one at a time delivers
// to a hook, so that the order is kept; whatever happens between a delivery and its end, it is delivered again.
type Outbox interface {
	// AddDeliveries adds those, all or none; only Hook and Payload count. ErrLimit if MaxDeliveries wait,
	// ErrInvalid without a hook, ErrTooLarge beyond MaxPayload. A call whose answer was lost may count twice.
	AddDeliveries(ctx context.Context, list ...Delivery) error
	// HoldHook has holder deliver to the hook until lease is over; repeated, it lasts longer. It is false while
	// another one holds it, or until the pause of LeaveHook is over.
	HoldHook(ctx context.Context, hook, holder string, lease time.Duration) (bool, error)
	// LeaveHook ends that, if holder has it. Nobody can hold the hook before pause is over.
	LeaveHook(ctx context.Context, hook, holder string, pause time.Duration) error
	// NextDeliveries returns the first that are not dead, in their order.
	NextDeliveries(ctx context.Context, hook string, limit int) ([]Delivery, error)
	// EndDeliveries removes what was delivered; ErrClaimed if holder does not hold the hook.
	EndDeliveries(ctx context.Context, hook, holder string, ids ...int64) error
	// FailDelivery counts a try that failed; ErrClaimed if holder does not hold the hook.
	FailDelivery(ctx context.Context, hook, holder string, id int64, f Failure) error
	// Deliveries returns at most limit, oldest first: those that wait, or those that are dead.
	Deliveries(ctx context.Context, dead bool, limit int) ([]Delivery, error)
	// RetryDelivery puts one to the end of its hook's, as if it were new; ErrNotFound.
	RetryDelivery(ctx context.Context, id int64) error
	// DropDelivery removes one; ErrNotFound.
	DropDelivery(ctx context.Context, id int64) error
	// CountDeliveries says how many wait, and how many are dead.
	CountDeliveries(ctx context.Context) (waiting, dead int64, err error)
}

// ValidDeliveries is the error of AddDeliveries for those that cannot be kept.
func ValidDeliveries(list []Delivery) error {
	for _, d := range list {
		switch {
		case d.Hook == "" || len(d.Hook) > MaxHookName:
			return fmt.Errorf("a delivery to the hook %q: %w", d.Hook, ErrInvalid)
		case len(d.Payload) > MaxPayload:
			return fmt.Errorf("a delivery of %d bytes to %s: %w", len(d.Payload), d.Hook, ErrTooLarge)
		}
	}
	return nil
}

// Text is the error as it is kept.
func (f Failure) Text() string { return f.Error[:min(len(f.Error), maxDeliveryText)] }

// OutboxRoom is how much more an implementation of Outbox takes before it counts what it has. The zero
// value counts first.
type OutboxRoom struct {
	mu   sync.Mutex
	left int64
	full time.Time // it was, then
}

// Take takes room for n. It fails with ErrLimit where there is none.
func (r *OutboxRoom) Take(n int64, count func() (int64, error)) error {
	const (
		atOnce  = 1000 // is taken without counting
		believe = time.Second
	)
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.left < n {
		if time.Since(r.full) < believe {
			return ErrLimit
		}
		have, err := count()
		if err != nil {
			return err
		}
		if r.left = min(MaxDeliveries-have, max(atOnce, n)); r.left < n {
			r.full = time.Now()
			return ErrLimit
		}
	}
	r.left -= n
	return nil
}
