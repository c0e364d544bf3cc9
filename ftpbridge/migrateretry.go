package ftpbridge

import (
	"context"
	"errors"
	"time"

	"github.com/cenkalti/backoff/v5"

	"gateway/internal/pause"
	"gateway/storage"
)

// fatalError ends the run: every other file would meet it too.
type fatalError struct{ error }

func (e fatalError) Unwrap() error { return e.error }

func fatal(err error) error {
	if err == nil {
		return nil
	}
	return fatalError{err}
}

func isFatal(err error) bool {
	var f fatalError
	return errors.As(err, &f) || errors.Is(err, storage.ErrNoSpace) || errors.Is(err, storage.ErrQuota)
}

// passing reports whether a failure may pass by itself. A dial that timed out
// looks like an ended context, so ctx itself is asked.
func passing(ctx context.Context, err error) bool {
	return ctx.Err() == nil && !isFatal(err) &&
		(Temporary(err) || errors.Is(err, ErrUnreachable) || errors.Is(err, ErrTimeout))
}

// retry runs fn with a session, and again, after a growing wait and on another
// session if need be, while it fails for reasons that pass. fn reports whether
// it got on; then the count starts anew. A source that cannot be reached at all
// is fatal; one that was reached before is waited for: it may be starting again.
func (r *run) retry(ctx context.Context, fn func(Remote) (progress bool, err error)) error {
	wait := backoff.NewExponentialBackOff()
	wait.InitialInterval, wait.MaxInterval = r.RetryWait, max(maxRetryWait, r.RetryWait)
	var away time.Time // since when it cannot be reached
	for tries := 1; ; tries++ {
		s, err := r.pool.Get(ctx)
		if err != nil {
			if away.IsZero() {
				away = time.Now()
			}
			waited := !r.reached.Load() || time.Since(away) >= awayWaits*r.RetryWait
			if !passing(ctx, err) || tries >= r.Tries && waited {
				return fatal(err)
			}
		} else {
			r.reached.Store(true)
			var progress bool
			progress, err = fn(s)
			r.pool.Put(s)
			if err == nil || !passing(ctx, err) {
				return err
			}
			if progress {
				tries, away = 0, time.Time{}
				wait.Reset()
			}
			if tries >= r.Tries {
				return err
			}
			if errors.Is(err, ErrBroken) {
				continue // given up by us: nothing to wait for
			}
		}
		r.progress.retried()
		if tries < r.Tries {
			r.Logger.Warn("trying again", "try", tries+1, "of", r.Tries, "error", err)
		} else {
			r.Logger.Warn("waiting for the server", "since", time.Since(away).Round(time.Second), "at most", awayWaits*r.RetryWait, "error", err)
		}
		if err := pause.For(ctx, wait.NextBackOff()); err != nil {
			return err
		}
	}
}
