package storage

import (
	"context"
	"errors"
	"time"
)

// ClaimTime is for how long a backend at most takes an upload for open because a process had it
// that died since, and of which nobody can know. Resume returns ErrBusy until then.
const ClaimTime = 20 * time.Second

const (
	claimSlack = 5 * time.Second // for clocks that differ
	claimPause = time.Second     // between two tries
)

// ResumeClaimed is r.Resume for an upload that may have been open in a process that died: while
// it is ErrBusy, it waits, for little more than ClaimTime.
func ResumeClaimed(ctx context.Context, r Resumer, t Token) (Upload, error) {
	for end := time.Now().Add(ClaimTime + claimSlack); ; {
		u, err := r.Resume(ctx, t)
		if !errors.Is(err, ErrBusy) || time.Now().After(end) {
			return u, err
		}
		select {
		case <-time.After(claimPause):
		case <-ctx.Done():
			return nil, err
		}
	}
}
