package state

import (
	"context"
	"fmt"
	"time"
)

// Bounds of Sessions and Shares.
const (
	MaxSessions = 50   // of one user; one more, and the one that was used longest ago goes
	MaxShares   = 1000 // of one user
)

// Session is a browser in which a user has logged in.
type Session struct {
	ID      string // what the database knows it by: never what the browser has
	User    string
	Stamp   string // tells what the user was at the login from what they are after a change
	By      string // how they proved who they are
	Address string // from where, to be shown

	Created, Used, Expires time.Time
}

// Valid fails with ErrInvalid, and says why, where the session cannot be kept.
func (s Session) Valid() error {
	if s.ID == "" || s.User == "" || s.Expires.IsZero() {
		return fmt.Errorf("a session without id, user or end: %w", ErrInvalid)
	}
	return nil
}

// Sessions keeps logins of browsers: for all nodes, and beyond the end of a process.
type Sessions interface {
	// AddSession keeps a session and removes what had expired when it was created.
	AddSession(ctx context.Context, s Session) error
	// Session fails with ErrNotFound. It may be one that has expired.
	Session(ctx context.Context, id string) (Session, error)
	// UseSession notes that it was used, and when it now expires; ErrNotFound.
	UseSession(ctx context.Context, id string, used, expires time.Time) error
	// EndSession removes it; none is no error.
	EndSession(ctx context.Context, id string) error
	// EndSessionsOf removes all of a user.
	EndSessionsOf(ctx context.Context, user string) error
}

// Share lets whoever has its link read one file until it expires.
type Share struct {
	ID   string
	User string // who shares it
	Name string // as the user sees it
	Key  string // of the file, as locks and properties have one

	Created, Expires time.Time
}

// Valid fails with ErrInvalid, and says why, where the share cannot be kept.
func (s Share) Valid() error {
	if s.ID == "" || s.User == "" || s.Name == "" || s.Key == "" || s.Expires.IsZero() {
		return fmt.Errorf("a share without id, user, name, key or end: %w", ErrInvalid)
	}
	return nil
}

// Shares keeps the files that users share.
type Shares interface {
	// AddShare keeps a share and removes what had expired when it was created. ErrLimit if
	// the user then has MaxShares already.
	AddShare(ctx context.Context, s Share) error
	// Share fails with ErrNotFound. It may be one that has expired.
	Share(ctx context.Context, id string) (Share, error)
	// SharesOf returns those of a user, the newest first; of all users for "".
	SharesOf(ctx context.Context, user string) ([]Share, error)
	// RemoveShare removes it; none is no error.
	RemoveShare(ctx context.Context, id string) error
	// RemoveSharesBelow removes those of a key and of all below it.
	RemoveSharesBelow(ctx context.Context, key string) error
}
