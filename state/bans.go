package state

import (
	"context"
	"fmt"
	"time"
)

// MaxNetworks is how many networks Bans remembers, about; beyond it those go that
// would be forgotten first.
const MaxNetworks = 1 << 16

// Failures are the failed logins from one network that still count.
type Failures struct {
	Network string        // as its user writes it; not ""
	Count   int           // none since the ban, if it is banned
	Banned  time.Duration // for how long it is still banned, by the database's clock; 0: it is not
}

// FailureLimits say when a network is banned.
type FailureLimits struct {
	Failures int           // which bring the ban; at least 1
	Window   time.Duration // without a failure, after which they are forgotten
	Ban      time.Duration
}

// Another is what one more failure makes of them, since after the latest one.
func (f Failures) Another(since time.Duration, l FailureLimits) Failures {
	if since > l.Window {
		f.Count = 0
	}
	if f.Count++; f.Count >= l.Failures {
		f.Count, f.Banned = 0, l.Ban
	}
	return f
}

// Valid fails with ErrInvalid, and says why, where the limits cannot be kept to.
func (l FailureLimits) Valid() error {
	if l.Failures < 1 || l.Window <= 0 || l.Ban <= 0 {
		return fmt.Errorf("a ban of %v after %d failures within %v: %w", l.Ban, l.Failures, l.Window, ErrInvalid)
	}
	return nil
}

// Bans counts failed logins by network and keeps bans, for all nodes together.
type Bans interface {
	// AddFailure counts one and returns what that makes. ErrInvalid without a
	// network, or if a limit is not above 0.
	AddFailure(ctx context.Context, network string, l FailureLimits) (Failures, error)
	// FailuresOf is zero, but for the network, where none count.
	FailuresOf(ctx context.Context, network string) (Failures, error)
	// ForgetFailures ends the count of a network, but no ban.
	ForgetFailures(ctx context.Context, network string) error
	// Ban bans a network from now on, whatever was counted, in place of the ban it has. ErrInvalid without
	// a network, or if d is not above 0.
	Ban(ctx context.Context, network string, d time.Duration) error
	// LiftBan ends the ban of a network and forgets its failures; ErrNotFound if it is not banned.
	LiftBan(ctx context.Context, network string) error
	// Banned returns those that are banned, at most MaxNetworks.
	Banned(ctx context.Context) ([]Failures, error)
}
