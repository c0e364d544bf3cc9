// Package pause waits for a time that a context can end early.
package pause

import (
	"context"
	"time"
)

// For returns nil after d, and the error of ctx if it ends before that or has ended already.
func For(ctx context.Context, d time.Duration) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
