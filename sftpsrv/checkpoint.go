package sftpsrv

import (
	"context"
	"errors"
	"math"
	"sync"
	"sync/atomic"

	"gateway/storage"
)

// Uploads outlive this process: while one is written, its beginning is made durable every
// checkpointEvery, so that a client whose gateway was killed goes on there, through whatever
// gateway it finds next.

// claims are the uploads that connections of this server have open and storage lists as
// suspended. Nobody may continue them, and so nobody is told their size.
type claims struct {
	mu   sync.Mutex
	held map[storage.Token]struct{} // bounded by the handles of all sessions

	changes atomic.Uint64 // how often an upload was suspended, or was not what a list said
}

func (c *claims) add(t storage.Token) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.held == nil {
		c.held = make(map[storage.Token]struct{})
	}
	c.held[t] = struct{}{}
}

func (c *claims) remove(t storage.Token) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.held, t)
}

func (c *claims) has(t storage.Token) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	_, held := c.held[t]
	return held
}

// checkpoint keeps what an upload has, if it is time and [session.abandon] would keep it. One that
// cannot be kept goes on all the same.
func (s *session) checkpoint(u *upload) {
	now := s.now()
	due := now.Sub(u.kept) >= s.checkpointEvery || u.early()
	if !due || u.extents.end < u.staged.Size() || !s.keepable(s.ctx, u) {
		return
	}
	u.kept, u.tried = now, true
	if u.token == "" {
		s.partials.forget()
		s.partials.discard(s.ctx, s.log, u.target, "")
	}
	token, err := u.staged.Checkpoint(s.ctx)
	switch {
	case errors.Is(err, errors.ErrUnsupported): // this mount keeps nothing
		u.kept = now.Add(math.MaxInt64)
	case err != nil:
		s.log.Warn("upload would not survive a crash", "name", u.target, "error", err)
	case u.token == "":
		u.token = token
		s.partials.open.add(token)
		s.partials.forget()
	}
}

// early reports whether the first checkpoint is due before its time. Without one the file that is to be replaced, or
// the upload that this one begins anew, is all there is after a crash, and a client that then asks how much it
// has sent would put the rest of the new file behind that.
func (u *upload) early() bool {
	replaces := u.base != nil && u.base.Size > 0 && u.extents.end >= earlyCheckpoint
	return !u.tried && !u.edit && (replaces || u.anew)
}

// keepable reports whether what an upload has may be continued in another session.
func (s *session) keepable(ctx context.Context, u *upload) bool {
	s.mu.Lock()
	unnamed := u.removed || u.name != u.target
	s.mu.Unlock()
	progress := u.extents.end
	if u.edit {
		progress -= u.base.Size
	}
	return !unnamed && !u.inPlace && progress > 0 && s.partials.enabled() && !s.overtaken(ctx, u)
}
