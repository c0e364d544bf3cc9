package sftpsrv

import (
	"context"
	"errors"
	"time"

	"gateway/auth"
)

// recheck asks from time to time whether what let a user in still holds.
type recheck struct {
	id    auth.Identity
	at    time.Time // when it was last asked
	known string    // why it was not known then; "": it was
}

// endedByLogin reports whether the session has to end because its login does not hold any more, which it logs. It is asked with
// each keepalive, so that a user who was removed, disabled or has lost the key is out after Config.KeepAlive.
func (c *connection) endedByLogin(ctx context.Context, r *recheck, now time.Time) bool {
	asker, ok := c.with.Auth.(auth.Overseer)
	if !ok || now.Sub(r.at) < c.with.KeepAlive/2 {
		return false
	}
	r.at = now
	err := asker.Holds(ctx, c.from, r.id)
	switch {
	case errors.Is(err, auth.ErrEnded):
		c.log.Warn("connection is closed", "reason", err)
		return true
	case err == nil:
		r.known = ""
	case err.Error() != r.known: // once, and not with each keepalive
		r.known = err.Error()
		c.log.Error("a session cannot be checked again", "error", err)
	}
	return false
}
