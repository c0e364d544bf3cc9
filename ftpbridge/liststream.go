package ftpbridge

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"gateway/listing"
)

// maxStream is the longest listing of one directory that is read without being
// held, in bytes: MaxFolder lines of ls with names of average length.
const maxStream = 256 << 20

// entryLister is a Lister that need not hold a listing in memory. The Quality has
// no entries; otherwise listInto is List.
type entryLister interface {
	listInto(ctx context.Context, dir string, to sink) (listing.Quality, error)
}

// listInto reads one directory of any Lister.
func listInto(ctx context.Context, l Lister, dir string, to sink) (listing.Quality, error) {
	if el, ok := l.(entryLister); ok {
		return el.listInto(ctx, dir, to)
	}
	return listWhole(ctx, l, dir, to)
}

func listWhole(ctx context.Context, l Lister, dir string, to sink) (listing.Quality, error) {
	to.reset()
	res, err := l.List(ctx, dir)
	if err != nil {
		return listing.Quality{}, err
	}
	for i := range res.Entries {
		if err := to.add(&res.Entries[i]); err != nil {
			return listing.Quality{}, err
		}
	}
	return res.Quality, nil
}

// nothing is a sink for those who want to know only whether a folder can be listed.
type nothing struct{}

func (nothing) reset()                   {}
func (nothing) add(*listing.Entry) error { return nil }

// finder is a sink that keeps one entry.
type finder struct {
	name  string
	entry listing.Entry
	found bool
}

func (f *finder) reset() { f.found = false }

func (f *finder) add(e *listing.Entry) error {
	if !f.found && e.RawName == f.name {
		f.entry, f.found = *e, true
	}
	return nil
}

func (p *Pool) listInto(ctx context.Context, dir string, to sink) (q listing.Quality, err error) {
	err = p.again(ctx, func(s Remote) error {
		q, err = listInto(ctx, s, dir, to)
		return err
	})
	return q, err
}

// listInto is List for folders of any size. A server of which it is not known yet
// how it shows hidden files is left to List, unless "." and ".." show it at once;
// so are systems whose listings need a second look.
func (s *Session) listInto(ctx context.Context, dir string, to sink) (listing.Quality, error) {
	verb, format := "MLSD", listing.MLSD
	s.know.mu.Lock()
	hidden := s.know.hidden
	s.know.mu.Unlock()
	switch name := s.dialect.name(); {
	case name != "unix" && name != "dos":
		return listWhole(ctx, s, dir, to)
	case s.offersMLSD():
	case hidden == hiddenPlain || !s.dialect.showsHidden():
		verb, format = "LIST", ""
	default:
		verb, format = "LIST -a", ""
	}
	var q listing.Quality
	var dots int
	hides := false
	names := dotNames{to: to}
	err := s.callAt(ctx, "list", dir, s.fullFolder, func(full string) error {
		s.listed = full
		err := s.enter(full)
		if err == nil {
			q, dots, err = s.readListing(ctx, verb, format, &names)
		}
		if err == nil && verb == "MLSD" {
			hides = s.mlsdHides(ctx, names.n)
		}
		return err
	})
	switch {
	case hides:
		return s.listInto(ctx, dir, to)
	case verb == "MLSD" && errors.Is(err, ErrUnsupported) && !s.Broken():
		s.know.mu.Lock()
		s.know.noMLSD = true
		s.know.mu.Unlock()
		return s.listInto(ctx, dir, to)
	case verb == "LIST -a" && hidden == hiddenUnknown && !s.Broken():
		if err != nil || dots < 2 {
			return listWhole(ctx, s, dir, to)
		}
		s.setHidden(hiddenShown)
	}
	if err == nil && s.sifts(q.Format) {
		return listWhole(ctx, s, dir, to)
	}
	return q, err
}

// readListing lists the current directory and passes the entries on while they
// come. dots counts the entries "." and "..".
func (s *Session) readListing(ctx context.Context, verb string, format listing.Format, to sink) (q listing.Quality, dots int, err error) {
	to.reset()
	t, err := s.transfer(ctx, verb, listToken, 0)
	if err != nil {
		var re *ReplyError
		if errors.As(err, &re) && !s.Broken() && emptyReply(re) {
			return q, 0, nil
		}
		return q, 0, err
	}
	t.op, t.path = "list", s.cwd
	t.end = func() {} // the caller's own call ends the session's turn
	if s.src.Format != "" {
		format = s.src.format()
	}
	raw := &listingReader{r: t, left: maxStream}
	r := listing.NewReader(raw, listing.Options{
		Format: format, Charset: s.src.Charset, Location: s.src.Location,
		Syst: s.info.Syst, Detector: s.know.detector,
	})
	c := cleaner{s: s, to: to}
	for e, rerr := range r.All() {
		if err = rerr; err == nil {
			err = c.add(&e)
		}
		if err != nil {
			break
		}
	}
	q = r.Quality()
	if err = s.settleListing(t, raw, q, format, c, err); err != nil {
		return q, 0, err
	}
	q.Skipped = append(q.Skipped, c.skipped...)
	q.SkippedTotal += c.skippedTotal
	return q, c.dots, nil
}

// settleListing ends the transfer and tells what was wrong: with the connection
// first, then with what came over it.
func (s *Session) settleListing(t *transfer, raw *listingReader, q listing.Quality, format listing.Format, c cleaner, err error) error {
	cerr := t.Close()
	switch {
	case errors.Is(err, ErrTooLarge), errors.Is(err, errAhead):
		return err
	case errors.Is(err, listing.ErrFormat), errors.Is(err, listing.ErrCharset):
		return fmt.Errorf("%w: %w", ErrSource, err)
	case cerr != nil:
		return t.cause
	}
	guessed := (q.Format == listing.Names || q.Format == listing.Table) && format == ""
	if err != nil || guessed || c.n == 0 && q.SkippedTotal > 0 {
		return fmt.Errorf("%w: it begins with %s; no format of listings that is known", ErrListing, firstLines(raw.head))
	}
	return nil
}

// cleaner is clean for entries that come one by one.
type cleaner struct {
	s            *Session
	to           sink
	n, dots      int
	skipped      []listing.Skipped
	skippedTotal int
}

func (c *cleaner) add(e *listing.Entry) error {
	c.n++
	if e.RawName == "." || e.RawName == ".." {
		c.dots++
		return nil
	}
	if kind, _ := e.Fact("type"); strings.EqualFold(kind, "cdir") || strings.EqualFold(kind, "pdir") {
		return nil
	}
	if why := c.s.dialect.unsafe(e.RawName, e.Type == listing.Dir); why != "" {
		c.skippedTotal++
		if len(c.skipped) < listing.MaxSkipped {
			raw := []byte(e.RawName[:min(len(e.RawName), listing.MaxSkippedRaw)])
			c.skipped = append(c.skipped, listing.Skipped{Line: e.Line, Raw: raw, Reason: why})
		}
		return nil
	}
	return c.to.add(e)
}

// listingReader keeps the beginning of a listing, for messages, and its bound.
type listingReader struct {
	r    io.Reader
	left int64
	head []byte
}

func (l *listingReader) Read(p []byte) (int, error) {
	if l.left <= 0 {
		return 0, fmt.Errorf("%w: a listing of more than %d bytes", ErrTooLarge, maxStream)
	}
	n, err := l.r.Read(p[:min(int64(len(p)), l.left)])
	l.left -= int64(n)
	if room := 4*maxQuoted - len(l.head); room > 0 {
		l.head = append(l.head, p[:min(n, room)]...)
	}
	return n, err
}
