package ftpbridge

import (
	"context"
	"io"

	"golang.org/x/time/rate"
)

// MinBytesPerSecond is the smallest MigrateOptions.BytesPerSecond: with less,
// servers take the client for dead.
const MinBytesPerSecond = 1 << 10

// maxBurst bounds what comes at once under a bandwidth limit, in bytes; smaller
// limits have a tenth of a second.
const maxBurst = 64 << 10

// newBandwidth is the one bucket of a run; nil without a limit.
func newBandwidth(bytesPerSecond int64) *rate.Limiter {
	if bytesPerSecond == 0 {
		return nil
	}
	return rate.NewLimiter(rate.Limit(bytesPerSecond), int(min(max(bytesPerSecond/10, 1), maxBurst)))
}

// limit slows a reader down to what the run may fetch.
func (r *run) limit(ctx context.Context, in io.Reader) io.Reader {
	if r.bandwidth == nil {
		return in
	}
	return &limitedReader{ctx, in, r.bandwidth}
}

type limitedReader struct {
	ctx    context.Context // of the transfer
	in     io.Reader
	bucket *rate.Limiter
}

// Read waits after the bytes came, for as many as came: what waits meanwhile is
// in the buffers of the connection, and the server is slowed down when they are full.
func (l *limitedReader) Read(p []byte) (int, error) {
	n, err := l.in.Read(p[:min(len(p), l.bucket.Burst())])
	if n > 0 {
		if werr := l.bucket.WaitN(l.ctx, n); werr != nil {
			if cerr := l.ctx.Err(); cerr != nil {
				werr = cerr
			}
			return 0, werr
		}
	}
	return n, err
}
