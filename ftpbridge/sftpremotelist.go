package ftpbridge

import (
	"context"
	"fmt"
	"strings"
	"time"

	"gateway/listing"
)

// List reads one directory. "." and ".." are left out; names that cannot be part of
// a path are in Skipped, with the reason. More than MaxFolder entries, or MaxListing
// bytes of names, are ErrTooLarge.
func (s *SFTPSession) List(ctx context.Context, dir string) (listing.Result, error) {
	var res listing.Result
	err := s.call(ctx, "list", dir, func(full string) error {
		if full == "" {
			full = "."
		}
		var err error
		if res, err = s.list(full); err != nil {
			return err
		}
		if err := s.targets(full, res.Entries); err != nil {
			return err
		}
		q, err := s.decode(res.Entries)
		if err != nil {
			return err
		}
		q.Skipped, q.SkippedTotal = res.Skipped, res.SkippedTotal
		q.Format, q.FormatConfidence = sftpFormat, 1
		res.Quality = q
		return nil
	})
	return res, err
}

func (s *SFTPSession) decode(entries []listing.Entry) (listing.Quality, error) {
	q, err := listing.DecodeNames(entries, listing.Options{Charset: s.src.Charset, Detector: s.know.detector})
	if err != nil {
		err = fmt.Errorf("%w: %w", ErrSource, err)
	}
	return q, err
}

func (s *SFTPSession) list(dir string) (listing.Result, error) {
	var res listing.Result
	handle, err := s.conn.open(sftpOpendir, func(q request) request { return q.string(dir) })
	if err != nil {
		return res, err
	}
	bytes, line, progress := 0, 0, drip{timeout: s.src.timeout()}
	for {
		id, err := s.conn.send(sftpReaddir, func(q request) request { return q.string(handle) })
		if err != nil {
			return res, err
		}
		began := time.Now()
		r, err := s.conn.next(progress.limit())
		if err != nil {
			return res, err
		}
		progress.note(began, len(r.buf))
		if r.id != id {
			return res, s.conn.unasked(r)
		}
		if err := s.conn.expect(r, sftpName, sftpReaddir); err != nil {
			if !s.Broken() {
				s.conn.leave(handle)
			}
			if isStatus(err, statusEOF) {
				err = nil
			}
			return res, err
		}
		for n := r.uint32(); n > 0; n-- {
			name, long, a := r.string(), r.bytes(), fields{}
			a.b, a.short = r.b, r.short
			attrs := a.attributes()
			if a.short {
				return res, s.conn.broken(fmt.Errorf("%w: a list of names that ends early", ErrProtocol))
			}
			r.b = a.b
			line++
			if bytes += len(name) + 32; bytes > MaxListing || len(res.Entries) == MaxFolder {
				s.conn.leave(handle)
				return res, fmt.Errorf("%w: a folder of more than %d entries or %d bytes of names", ErrTooLarge, MaxFolder, MaxListing)
			}
			s.take(&res, attrs.entry(name, long), line)
		}
		s.conn.release(r)
	}
}

// take keeps an entry, or says in Skipped why not.
func (s *SFTPSession) take(res *listing.Result, e listing.Entry, line int) {
	e.Line = line
	switch name := e.RawName; {
	case name == "." || name == "..":
	case name == "" || strings.ContainsAny(name, "/\x00"):
		res.SkippedTotal++
		if len(res.Skipped) < listing.MaxSkipped {
			res.Skipped = append(res.Skipped, listing.Skipped{
				Line: line, Raw: []byte(name[:min(len(name), listing.MaxSkippedRaw)]), Reason: "the name is empty, or has a slash or NUL in it",
			})
		}
	default:
		res.Entries = append(res.Entries, e)
	}
}

// targets asks where links lead, many at a time. A link that cannot be read stays
// without a target.
func (s *SFTPSession) targets(dir string, entries []listing.Entry) error {
	pending := map[uint32]*listing.Entry{}
	next := 0
	for {
		for ; next < len(entries) && len(pending) < sftpDepth; next++ {
			e := &entries[next]
			if e.Type != listing.Link {
				continue
			}
			id, err := s.conn.send(sftpReadlink, func(q request) request { return q.string(s.Join(dir, e.RawName)) })
			if err != nil {
				return err
			}
			pending[id] = e
		}
		if len(pending) == 0 {
			return nil
		}
		r, err := s.conn.next(s.src.timeout())
		if err != nil {
			return err
		}
		e, ok := pending[r.id]
		if !ok {
			return s.conn.unasked(r)
		}
		delete(pending, r.id)
		if s.conn.expect(r, sftpName, sftpReadlink) == nil {
			if e.Target, err = s.conn.name(r); err != nil {
				return err
			}
		} else if s.Broken() {
			return ErrBroken
		}
	}
}
