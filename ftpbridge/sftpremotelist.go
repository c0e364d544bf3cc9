package ftpbridge

import (
	"context"
	"fmt"
	"strings"
	"time"

	"gateway/listing"
)

// maxSFTPFolder bounds the names of one folder, in bytes, that is read without being
// held in memory.
const maxSFTPFolder = maxStream

// List reads one directory. "." and ".." are left out; names that cannot be part of
// a path are in Skipped, with the reason. More than MaxFolder entries, or MaxListing
// bytes of names, are ErrTooLarge.
func (s *SFTPSession) List(ctx context.Context, dir string) (listing.Result, error) {
	var res listing.Result
	bytes := 0
	q, err := s.listBatches(ctx, dir, func(entries []listing.Entry) error {
		for i := range entries {
			bytes += len(entries[i].RawName) + 32
		}
		if bytes > MaxListing || len(res.Entries)+len(entries) > MaxFolder {
			return fmt.Errorf("%w: a folder of more than %d entries or %d bytes of names", ErrTooLarge, MaxFolder, MaxListing)
		}
		res.Entries = append(res.Entries, entries...)
		return nil
	})
	res.Quality = q
	return res, err
}

// listInto is List without holding the listing.
func (s *SFTPSession) listInto(ctx context.Context, dir string, to sink) (listing.Quality, error) {
	to.reset()
	return s.listBatches(ctx, dir, func(entries []listing.Entry) error {
		for i := range entries {
			if err := to.add(&entries[i]); err != nil {
				return err
			}
		}
		return nil
	})
}

// listBatch is how many entries are decoded together: the names that tell a charset.
const listBatch = 4096

// listBatches gives a directory to take in parts that it may not keep. An error of
// take ends the listing, not the session.
func (s *SFTPSession) listBatches(ctx context.Context, dir string, take func([]listing.Entry) error) (listing.Quality, error) {
	q := listing.Quality{Format: sftpFormat, FormatConfidence: 1}
	err := s.call(ctx, "list", dir, func(full string) error {
		if full == "" {
			full = "."
		}
		return s.list(full, &q, func(entries []listing.Entry) error {
			if err := s.targets(full, entries); err != nil {
				return err
			}
			part, err := s.decode(entries)
			if err != nil {
				return err
			}
			q.EntriesTotal += part.EntriesTotal
			q.NonASCII += part.NonASCII
			if part.NonASCII > 0 || q.Charset == "" {
				q.Charset, q.CharsetConfidence = part.Charset, part.CharsetConfidence
			}
			return take(entries)
		})
	})
	return q, err
}

func (s *SFTPSession) decode(entries []listing.Entry) (listing.Quality, error) {
	q, err := listing.DecodeNames(entries, listing.Options{Charset: s.src.Charset, Detector: s.know.detector})
	if err != nil {
		err = fmt.Errorf("%w: %w", ErrSource, err)
	}
	return q, err
}

// list reads a folder and gives its entries to take, listBatch or a few more at a time.
func (s *SFTPSession) list(dir string, q *listing.Quality, take func([]listing.Entry) error) error {
	handle, err := s.conn.open(sftpOpendir, func(r request) request { return r.string(dir) })
	if err != nil {
		return err
	}
	l := &sftpListing{s: s, q: q, progress: drip{timeout: s.src.timeout()}}
	for err == nil {
		if err = l.names(handle); err == nil && len(l.batch) < listBatch {
			continue
		}
		end := err
		if end == nil || isStatus(end, statusEOF) {
			err = take(l.batch)
			l.batch = l.batch[:0]
		}
		if err == nil {
			err = end
		}
	}
	if !s.Broken() {
		s.conn.leave(handle)
	}
	if isStatus(err, statusEOF) {
		return nil
	}
	return err
}

// sftpListing is a folder that is being read.
type sftpListing struct {
	s           *SFTPSession
	q           *listing.Quality
	progress    drip
	batch       []listing.Entry
	bytes, line int
}

// names asks for the next names. Its error at the end is a status.
func (l *sftpListing) names(handle string) error {
	c := l.s.conn
	id, err := c.send(sftpReaddir, func(r request) request { return r.string(handle) })
	if err != nil {
		return err
	}
	began := time.Now()
	r, err := c.next(l.progress.limit())
	if err != nil {
		return err
	}
	l.progress.note(began, len(r.buf))
	if r.id != id {
		return c.unasked(r)
	}
	if err := c.expect(r, sftpName, sftpReaddir); err != nil {
		return err
	}
	for n := r.uint32(); n > 0; n-- {
		name, long := r.string(), r.bytes()
		attrs := r.attributes()
		if r.short {
			return c.broken(fmt.Errorf("%w: a list of names that ends early", ErrProtocol))
		}
		if l.bytes += len(name) + 32; l.bytes > maxSFTPFolder {
			return fmt.Errorf("%w: a folder of more than %d bytes of names", ErrTooLarge, maxSFTPFolder)
		}
		l.take(attrs.entry(name, long))
	}
	c.release(r)
	return nil
}

// take keeps an entry, or says in Skipped why not.
func (l *sftpListing) take(e listing.Entry) {
	l.line++
	e.Line = l.line
	switch name := e.RawName; {
	case name == "." || name == "..":
	case name == "" || strings.ContainsAny(name, "/\x00"):
		l.q.SkippedTotal++
		if len(l.q.Skipped) < listing.MaxSkipped {
			l.q.Skipped = append(l.q.Skipped, listing.Skipped{
				Line: l.line, Raw: []byte(name[:min(len(name), listing.MaxSkippedRaw)]), Reason: "the name is empty, or has a slash or NUL in it",
			})
		}
	default:
		l.batch = append(l.batch, e)
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
