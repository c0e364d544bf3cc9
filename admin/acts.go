package admin

import (
	"context"
	"fmt"
	"net/http"
	"time"
)

// Acts of the operator, the same for the page and the API.

func (s *Server) closeSession(r *http.Request, id string) error {
	return s.act(r, Act{What: "session.close", Object: id}, func(ctx context.Context) error {
		if s.cfg.Sessions == nil {
			return fmt.Errorf("%w: no session %q", ErrNotFound, id)
		}
		return s.cfg.Sessions.CloseSession(ctx, id)
	})
}

func (s *Server) actOnJob(r *http.Request, what, id string) error {
	return s.act(r, Act{What: "job." + what, Object: id}, func(ctx context.Context) error {
		jobs, by := s.cfg.Jobs, operatorOf(r.Context()).name
		if jobs == nil {
			return fmt.Errorf("%w: no job %q", ErrNotFound, id)
		}
		switch what {
		case "run":
			return jobs.RunJob(ctx, id, by)
		case "stop":
			return jobs.StopJob(ctx, id, by)
		case "resume":
			return jobs.ResumeJob(ctx, id, by)
		}
		return fmt.Errorf("%w: a job can be run, stopped and resumed", ErrInvalid)
	})
}

func (s *Server) decide(r *http.Request, what, storage, id, reason string) error {
	return s.act(r, Act{What: "quarantine." + what, Object: storage + ":" + id, Reason: reason}, func(ctx context.Context) error {
		q, by := s.cfg.Quarantine, operatorOf(r.Context()).name
		if q == nil {
			return fmt.Errorf("%w: nothing is in quarantine", ErrNotFound)
		}
		if err := checkReason(reason); err != nil {
			return err
		}
		if what == "release" {
			return q.Release(ctx, storage, id, by, reason)
		}
		return q.Reject(ctx, storage, id, by, reason)
	})
}

// maxBan is the longest ban that can be set by hand.
const maxBan = 366 * 24 * time.Hour

func (s *Server) ban(r *http.Request, network string, seconds int64, reason string) error {
	return s.act(r, Act{What: "ban.add", Object: network, Reason: reason}, func(ctx context.Context) error {
		if seconds < 1 || seconds > int64(maxBan/time.Second) {
			return fmt.Errorf("%w: a ban lasts 1 to %d seconds", ErrInvalid, int64(maxBan/time.Second))
		}
		if len(reason) > maxReason {
			return checkReason(reason)
		}
		if s.cfg.Bans == nil {
			return fmt.Errorf("%w: bans are not kept", ErrConflict)
		}
		return s.cfg.Bans.Ban(ctx, network, time.Duration(seconds)*time.Second)
	})
}

func (s *Server) liftBan(r *http.Request, network string) error {
	return s.act(r, Act{What: "ban.lift", Object: network}, func(ctx context.Context) error {
		if s.cfg.Bans == nil {
			return fmt.Errorf("%w: no ban of %q", ErrNotFound, network)
		}
		return s.cfg.Bans.LiftBan(ctx, network)
	})
}

func (s *Server) disableUser(r *http.Request, name string, disabled bool) error {
	what := "user.enable"
	if disabled {
		what = "user.disable"
	}
	return s.act(r, Act{What: what, Object: name}, func(ctx context.Context) error {
		if s.cfg.Users == nil {
			return fmt.Errorf("%w: no user %q", ErrNotFound, name)
		}
		return s.cfg.Users.DisableUser(ctx, name, disabled)
	})
}

func (s *Server) revokeToken(r *http.Request, name string) error {
	return s.act(r, Act{What: "token.revoke", Object: name}, func(context.Context) error { return s.cfg.Tokens.Revoke(name) })
}
