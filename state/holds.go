package state

import (
	"context"
	"fmt"
	"time"
)

// Hold is an operator's word that a job is not to run.
type Hold struct {
	Job int64
	By  string // who said so
	At  time.Time
}

// Holds keeps them, for all nodes together.
type Holds interface {
	// HoldJob holds a job, in place of the hold it has. ErrNotFound for an unknown job.
	HoldJob(ctx context.Context, h Hold) error
	// UnholdJob ends a hold; ErrNotFound if there is none.
	UnholdJob(ctx context.Context, job int64) error
	// HoldOf is that of a job; ErrNotFound if there is none.
	HoldOf(ctx context.Context, job int64) (Hold, error)
}

// ValidBan fails with ErrInvalid for a ban that cannot be kept.
func ValidBan(network string, d time.Duration) error {
	if network == "" || d <= 0 {
		return fmt.Errorf("a ban of %q for %v: %w", network, d, ErrInvalid)
	}
	return nil
}
