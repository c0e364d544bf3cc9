package storage

import (
	"context"
	"time"

	"golang.org/x/time/rate"
)

// MinBandwidth is the least that a [Bandwidth] can be, in bytes a second: with less, one piece of a transfer would be held back
// for longer than clients wait.
const MinBandwidth = 64 << 10

// Bandwidth bounds how many bytes a second pass, of all transfers together that share it. nil is no bound.
// Safe for concurrent use.
type Bandwidth struct{ limiter *rate.Limiter }

// NewBandwidth bounds bytes a second, at least [MinBandwidth]. A quarter of a second's bytes may pass at once.
func NewBandwidth(bytes int64) *Bandwidth {
	b := &Bandwidth{rate.NewLimiter(0, 0)}
	b.Set(bytes)
	return b
}

// Set changes the bound, also for transfers that are under way.
func (b *Bandwidth) Set(bytes int64) {
	bytes = max(bytes, MinBandwidth)
	b.limiter.SetLimit(rate.Limit(bytes))
	b.limiter.SetBurst(int(min(max(bytes/4, MinBandwidth), 1<<30)))
}

// wait holds n bytes back until they may pass, or the context has ended: then who wanted them is gone.
func (b *Bandwidth) wait(ctx context.Context, n int) {
	for n > 0 && ctx.Err() == nil {
		piece := min(n, b.limiter.Burst())
		r := b.limiter.ReserveN(time.Now(), piece)
		if !r.OK() { // it was lowered just now
			continue
		}
		n -= piece
		if d := r.Delay(); d > 0 {
			t := time.NewTimer(d)
			select {
			case <-t.C:
			case <-ctx.Done():
				t.Stop()
				r.Cancel()
			}
		}
	}
}

// Throttle makes v hold back what is uploaded through it by each of up, and what is downloaded by each of down, and returns it. What is
// copied inside a storage is not held back, nor what a command reads to make a checksum of ([Origin], "ssh"). Call it
// before the view is used.
func (v *Observed) Throttle(up, down []*Bandwidth) *Observed {
	v.up, v.down = up, down
	return v
}

func (v *Observed) throttledFile(ctx context.Context, f File) File {
	if len(v.down) == 0 || OriginOf(ctx).Protocol == "ssh" {
		return f
	}
	return &throttledFile{f, ctx, v.down}
}

func (v *Observed) throttledUpload(ctx context.Context, u *observedUpload) Upload {
	if len(v.up) == 0 {
		return u
	}
	return &throttledUpload{u, ctx, v.up}
}

type throttledFile struct {
	File
	ctx  context.Context //nolint:containedctx // of the open: its end is that of who reads
	down []*Bandwidth
}

// ReadAt implements io.ReaderAt.
func (f *throttledFile) ReadAt(p []byte, off int64) (int, error) {
	n, err := f.File.ReadAt(p, off)
	waitAll(f.ctx, f.down, n)
	return n, err
}

type throttledUpload struct {
	*observedUpload
	ctx context.Context //nolint:containedctx // as in throttledFile
	up  []*Bandwidth
}

// WriteAt implements io.WriterAt. The bytes are there already; that the next ones are not taken slows the client down.
func (u *throttledUpload) WriteAt(p []byte, off int64) (int, error) {
	waitAll(u.ctx, u.up, len(p))
	return u.observedUpload.WriteAt(p, off)
}

func waitAll(ctx context.Context, all []*Bandwidth, n int) {
	for _, b := range all {
		b.wait(ctx, n)
	}
}
