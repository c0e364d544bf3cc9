package ftpbridge

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"gateway/state"
	"gateway/storage"
)

// keep hashes the file from its beginning on while it grows, and makes its
// progress durable, until the sessions are over and, if all is there, to the end.
func (x *segmented) keep(ctx context.Context, over <-chan struct{}) (err error) {
	tick := time.NewTicker(checkpointEvery / 4)
	defer tick.Stop()
	last, durable := time.Now(), x.plan.staged()
	for ended := false; ; {
		n := min(x.plan.prefix()-x.off, hashStep)
		if n > 0 && !(ended && !x.plan.whole()) {
			if err := x.hash(ctx, n); err != nil {
				x.fail(err)
				return err
			}
		} else if ended {
			return nil
		}
		grown := x.plan.staged() - durable
		if !ended && (grown >= x.Checkpoint || grown > 0 && time.Since(last) >= checkpointEvery) {
			if durable, err = x.secure(ctx); err != nil {
				x.fail(err)
				return err
			}
			last = time.Now()
		}
		if n > 0 {
			continue
		}
		select {
		case <-x.plan.moved:
		case <-tick.C:
		case <-over:
			ended, over = true, nil
		}
	}
}

// hash reads the next n bytes of the beginning back, out of the memory of the
// system, mostly.
func (x *segmented) hash(ctx context.Context, n int64) error {
	from := io.NewSectionReader(readerAt{ctx, x.up}, x.off, n)
	got, err := x.pipe.Copy(io.Discard, from)
	x.off += got
	if err == nil && got != n {
		err = fmt.Errorf("staged bytes at %d: %w", x.off, io.ErrUnexpectedEOF)
	}
	return err
}

// readerAt ends with a context.
type readerAt struct {
	ctx context.Context
	io.ReaderAt
}

func (r readerAt) ReadAt(p []byte, off int64) (int, error) {
	if err := r.ctx.Err(); err != nil {
		return 0, err
	}
	return r.ReaderAt.ReadAt(p, off)
}

// secure is a checkpoint while the sessions go on. durable is how many bytes it
// has: more may be staged by the time it is written down.
func (x *segmented) secure(ctx context.Context) (durable int64, err error) {
	x.io.Lock()
	token, err := x.up.Checkpoint(ctx)
	durable = x.plan.staged()
	x.f.Offset, x.f.Ranges = x.plan.ranges()
	x.io.Unlock()
	if errors.Is(err, errors.ErrUnsupported) {
		return durable, nil
	}
	if err != nil {
		return 0, err
	}
	return durable, x.noteSegments(ctx, token)
}

// noteSegments writes down what is durable, which f has.
func (t *transferState) noteSegments(ctx context.Context, token storage.Token) error {
	t.f.Phase, t.f.Token, t.f.Updated = state.Fetching, string(token), t.now()
	return fatal(t.store.PutFiles(ctx, *t.f))
}
