package ftpbridge

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"gateway/listing"
)

// command sends verb with path, in the spellings that the server may want, and
// returns the first reply for which good is true, or the refusal.
func (s *Session) command(verb, path string, good func(code int) bool) (reply, error) {
	var refusal error
	for _, p := range s.spellings(path) {
		r, err := s.ctl.exchange(verb + " " + p)
		if err != nil {
			return reply{}, err
		}
		if good(r.code) {
			s.learn(path, p)
			return r, nil
		}
		if refusal == nil {
			refusal = r.err(verb)
		}
	}
	return reply{}, refusal
}

func (s *Session) spellings(path string) []string {
	s.know.mu.Lock()
	defer s.know.mu.Unlock()
	return spellings(path, s.know.doubling)
}

// learn remembers by which spelling of path the server found it.
func (s *Session) learn(path, sent string) {
	if !strings.Contains(path, "\xff") {
		return
	}
	s.know.mu.Lock()
	defer s.know.mu.Unlock()
	if s.know.doubling = doublingNo; sent != path {
		s.know.doubling = doublingYes
	}
}

// Size asks for the size in bytes (SIZE, RFC 3659 section 4; the session is
// always in TYPE I). It wraps ErrUnsupported where the server has no SIZE.
func (s *Session) Size(ctx context.Context, path string) (int64, error) {
	var size int64
	err := s.call(ctx, "ask the size of", path, func(full string) (err error) {
		size, err = s.size(full)
		return err
	})
	return size, err
}

func (s *Session) size(full string) (int64, error) {
	if !s.knowsBytes() {
		return 0, fmt.Errorf("the size of a data set: %w", ErrUnsupported)
	}
	r, err := s.command("SIZE", full, func(code int) bool { return code == 213 })
	if err != nil {
		return 0, s.cannotTell(err)
	}
	size, err := strconv.ParseInt(strings.TrimSpace(r.text()), 10, 64)
	if err != nil || size < 0 {
		return 0, fmt.Errorf("%w: the size is %s", ErrProtocol, quoteLine(r.text()))
	}
	return size, nil
}

// ModTime asks for the modification time (MDTM, RFC 3659 section 3), in UTC and
// exact to the second. It wraps ErrUnsupported where the server has no MDTM.
// It costs a round trip: an MLSD listing already has the same time.
func (s *Session) ModTime(ctx context.Context, path string) (time.Time, error) {
	var t time.Time
	err := s.call(ctx, "ask the time of", path, func(full string) (err error) {
		t, err = s.modTime(full)
		return err
	})
	return t, err
}

func (s *Session) modTime(full string) (time.Time, error) {
	if !s.knowsBytes() {
		return time.Time{}, fmt.Errorf("the time of a data set: %w", ErrUnsupported)
	}
	r, err := s.command("MDTM", full, func(code int) bool { return code == 213 })
	if err != nil {
		return time.Time{}, s.cannotTell(err)
	}
	return parseMDTM(r.text())
}

// Stat asks for the facts of one path (MLST, RFC 3659 section 7); "" is Root.
// It wraps ErrUnsupported where the server has no MLST. The entry's names are
// as the server gives them there, often a whole path.
func (s *Session) Stat(ctx context.Context, path string) (listing.Entry, error) {
	var e listing.Entry
	err := s.call(ctx, "stat", path, func(full string) error {
		r, err := s.command("MLST", full, func(code int) bool { return code == 250 })
		if err != nil {
			return err
		}
		if len(r.lines) < 3 {
			return fmt.Errorf("%w: the reply to MLST has no facts", ErrProtocol)
		}
		e, err = listing.ParseFacts([]byte(strings.TrimLeft(r.lines[1], " ")), listing.Options{
			Charset: s.src.Charset, Location: s.src.Location, Detector: s.know.detector,
		})
		if err != nil {
			return fmt.Errorf("%w: %w", ErrProtocol, err)
		}
		return nil
	})
	return e, err
}
