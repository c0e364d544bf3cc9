package main

import (
	"context"
	"fmt"
	"sync"
	"time"

	"gateway/auth"
	"gateway/storage"
)

// httpsSession is for how long an address counts as a session over HTTPS, which has none, after its login, or after a transfer
// has begun or ended. It is longer than logins are remembered, so that one who goes on working stays.
const httpsSession = 2 * time.Minute

// sessions counts those of users who may have only some, on this node. The zero value counts from none.
type sessions struct {
	now func() time.Time // nil: time.Now

	mu    sync.Mutex
	users map[string]*userSessions // those that have some
}

type userSessions struct {
	connections int                          // over SSH
	https       map[storage.Origin]time.Time // until when each counts
}

// enter counts a session of a user, or fails with auth.ErrSessions. One over SSH ends with ctx.
func (s *sessions) enter(ctx context.Context, u auth.User) error {
	if u.MaxSessions == 0 {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	mine := s.of(u.Name)
	origin := httpsOrigin(ctx)
	if _, ok := mine.https[origin]; ok {
		mine.https[origin] = s.time().Add(httpsSession)
		return nil
	}
	if n := mine.connections + len(mine.https); n >= u.MaxSessions {
		return fmt.Errorf("%w: %s has %d of %d (max_sessions)", auth.ErrSessions, u.Name, n, u.MaxSessions)
	}
	if origin != (storage.Origin{}) {
		mine.https[origin] = s.time().Add(httpsSession)
		return nil
	}
	mine.connections++
	context.AfterFunc(ctx, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		mine.connections--
		if s.of(u.Name); mine.connections+len(mine.https) == 0 {
			delete(s.users, u.Name)
		}
	})
	return nil
}

// httpsOrigin is the one that a session over HTTPS counts by; zero over SSH.
func httpsOrigin(ctx context.Context) storage.Origin {
	o := storage.OriginOf(ctx)
	switch o.Protocol {
	case "sftp", "scp", "ssh":
		return storage.Origin{}
	}
	o.Session = "" // a browser that logs in anew at the same address is the same
	return o
}

// of are the sessions of a user, without those that are over. The caller holds mu.
func (s *sessions) of(user string) *userSessions {
	mine := s.users[user]
	if mine == nil {
		if s.users == nil {
			s.users = map[string]*userSessions{}
		}
		mine = &userSessions{https: map[storage.Origin]time.Time{}}
		s.users[user] = mine
	}
	now := s.time()
	for origin, until := range mine.https { // at most max_sessions
		if !now.Before(until) {
			delete(mine.https, origin)
		}
	}
	return mine
}

func (s *sessions) time() time.Time {
	if s.now != nil {
		return s.now()
	}
	return time.Now()
}

// Began implements storage.Observer.
func (s *sessions) Began(ctx context.Context, t *storage.Transfer) { s.active(ctx, t.User) }

// Ended implements storage.Observer.
func (s *sessions) Ended(ctx context.Context, e storage.Event) { s.active(ctx, e.User) }

// active keeps a session over HTTPS that does something.
func (s *sessions) active(ctx context.Context, user string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	mine, origin := s.users[user], httpsOrigin(ctx)
	if mine == nil {
		return
	}
	if _, ok := mine.https[origin]; ok {
		mine.https[origin] = s.time().Add(httpsSession)
	}
}
