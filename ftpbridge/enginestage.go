package ftpbridge

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"
)

// stage writes and hashes what comes, and makes progress durable as it goes. What
// is read goes from the memory of the pipe to the destination and to the digests:
// it is not copied in between.
func (t *transferState) stage(ctx context.Context, rc io.Reader) error {
	for {
		in := &stepReader{in: rc, left: max(t.Checkpoint-(t.off-t.durable), 1), until: time.Now().Add(checkpointEvery)}
		out := stagedWriter{transferState: t}
		_, err := t.pipe.Copy(&out, in)
		switch {
		case errors.Is(err, errChanged) && len(out.refused) > 0:
			return t.explain(ctx, err, out.refused)
		case err != nil:
			return err
		case in.ended:
			return nil
		case t.off == t.durable || t.off == t.f.Size:
			continue
		}
		if err := t.checkpoint(ctx); err != nil {
			return err
		}
	}
}

// stepReader reads what comes until the next checkpoint is due, which it reports
// as the end. Each read is of fetchBuffer bytes and more, up to all of the pipe's
// buffer if they are there: long writes and long hashing leave little to the
// scheduler.
type stepReader struct {
	in    io.Reader
	left  int64
	until time.Time
	ended bool // it was the end of in
}

func (r *stepReader) Read(p []byte) (int, error) {
	if r.left <= 0 || time.Now().After(r.until) {
		return 0, io.EOF
	}
	n, err := readAtLeast(r.in, p, min(len(p), fetchBuffer))
	r.left -= int64(n)
	r.ended = err == io.EOF //nolint:errorlint // as Pipe.Copy does: a wrapped EOF is not the end
	return n, err
}

// stagedWriter puts bytes behind those that are staged.
type stagedWriter struct {
	*transferState
	refused []byte // came and was too much
}

func (w *stagedWriter) Write(p []byte) (int, error) {
	t := w.transferState
	if limit := t.f.Size; limit >= 0 && t.off+int64(len(p)) > limit {
		w.refused = p
		return 0, fmt.Errorf("%w: more came than its %d bytes", errChanged, limit)
	}
	if t.off+int64(len(p)) > t.MaxFileSize {
		return 0, fmt.Errorf("%w: more than %d bytes came", ErrTooLarge, t.MaxFileSize)
	}
	if _, err := t.up.WriteAt(p, t.off); err != nil {
		return 0, err
	}
	t.off += int64(len(p))
	t.progress.update(func(r *Report) { r.FetchedBytes += int64(len(p)) })
	t.progress.event(Event{Kind: EventBytes, Path: t.pathOf(*t.f), Size: t.f.Size, Offset: t.off})
	return len(p), nil
}
