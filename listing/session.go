package listing

import (
	"bytes"
	"fmt"
)

// session reads one listing, window by window.
type session struct {
	opts   Options
	dates  dates
	format Format
	parser parser
	term   terminators
	begun  bool
	first  bool // no line but blank ones so far
	after  bool // the last line was blank
	lines  int

	detector   *Detector
	charset    string
	confidence float64

	skipped      []Skipped
	skippedTotal int
}

func newSession(o Options) (*session, error) {
	s := &session{opts: o, format: o.Format, first: true, charset: utf8Name}
	if o.Format != "" && newParser(o.Format) == nil {
		return nil, fmt.Errorf("%w: %q; use one of %v", ErrFormat, o.Format, Formats())
	}
	if o.Charset != "" {
		cs, ok := lookupCharset(o.Charset)
		if !ok {
			return nil, fmt.Errorf("%w: %q", ErrCharset, o.Charset)
		}
		s.charset, s.confidence = cs.name, 1
	}
	if s.detector = o.Detector; s.detector == nil {
		s.detector = NewDetector()
	}
	s.dates = newDates(o.Now, o.Location)
	return s, nil
}

// begin decides over the first window how lines end and what format they are in.
func (s *session) begin(buf []byte, text string) {
	s.begun = true
	s.term = findTerminators(buf)
	if s.format == "" {
		s.format = s.vote(buf, text)
	}
	if s.parser = newParser(s.format); s.parser == nil {
		s.parser = nothing{}
	}
}

// nothing is the parser of a listing in no known format.
type nothing struct{}

func (nothing) parse(*cursor, *Entry) (verdict, string) { return miss, "no known format" }

// window reads the next whole lines of the listing. It copies raw, once as bytes and once as text, so that names,
// owners and modes are parts of the copies: no allocation an entry.
func (s *session) window(raw []byte) []Entry {
	if !s.begun {
		raw = bytes.TrimPrefix(raw, []byte("\xef\xbb\xbf"))
	}
	buf, text := bytes.Clone(raw), string(raw)
	if !s.begun {
		s.begin(buf, text)
	}
	s.survey(buf)
	// most lines are longer than 32 bytes; a flood of short ones must not reserve much
	entries := make([]Entry, 0, min(bytes.Count(buf, []byte{'\n'})+1, len(buf)/32+1))
	c := cursor{text: text, dates: &s.dates, first: s.first, after: s.after}
	sp := newSplitter(buf, s.term, s.lines)
	heldLine := 0
	drop := func() {
		if c.held != nil {
			s.skip(heldLine, c.held, "the line that should complete the entry is missing")
		}
	}
	for {
		l, ok := sp.scan()
		if !ok {
			break
		}
		entries = append(entries, Entry{Size: -1, Line: sp.no})
		e := &entries[len(entries)-1]
		v, reason := s.line(&c, sp, buf, l, e)
		if v != joined {
			drop()
		} else {
			e.Line = heldLine
		}
		if v == held {
			heldLine = sp.no
		}
		if !v.entry() {
			entries = entries[:len(entries)-1]
		}
		if v == miss {
			s.skip(sp.no, c.line, reason)
		}
		if wasBlank := v == ignore && blank(c.line); wasBlank {
			c.after, c.held = true, nil
		} else {
			c.done(v)
		}
	}
	drop()
	s.lines, s.first, s.after = sp.next-1, c.first, c.after
	if f, ok := s.parser.(finisher); ok {
		entries = f.finish(entries)
	}
	s.decode(entries)
	return entries
}

func (s *session) survey(buf []byte) {
	p, ok := s.parser.(surveyor)
	if !ok {
		return
	}
	sp := newSplitter(buf, s.term, 0)
	for {
		l, ok := sp.scan()
		if !ok {
			return
		}
		p.survey(buf[l.lo:min(l.hi, l.lo+MaxLine)])
	}
}

// line parses one line into e.
func (s *session) line(c *cursor, sp *splitter, buf []byte, l line, e *Entry) (verdict, string) {
	c.reset(buf, l)
	if len(c.line) > MaxLine {
		return miss, fmt.Sprintf("longer than %d bytes", MaxLine)
	}
	if blank(c.line) && c.held == nil {
		return ignore, ""
	}
	v, reason := s.parser.parse(c, e)
	if !v.entry() {
		if v == miss && reason == "" {
			reason = "not a line of format " + string(s.format)
		}
		return v, reason
	}
	if l.bare {
		c.extend(sp, buf, l)
	}
	s.fill(c, e)
	return v, ""
}

// extend lets the name (or link target) at the end of the line go on behind a bare LF.
func (c *cursor) extend(sp *splitter, buf []byte, l line) {
	end := &c.nameSpan.hi
	if c.isLink {
		end = &c.linkSpan.hi
	}
	if *end != len(c.line) || c.inHeld && !c.isLink {
		return
	}
	l = sp.extend(l)
	c.line = buf[l.lo:l.hi]
	*end = len(c.line)
}

// fill gives e its raw names.
func (s *session) fill(c *cursor, e *Entry) {
	from, off := c.line, c.off
	if c.inHeld {
		from, off = c.held, c.heldOff
	}
	lo, hi := c.nameSpan.lo, c.nameSpan.hi
	e.RawName, e.Name = from[lo:hi:hi], c.text[off+lo:off+hi]
	if c.prefix != "" {
		e.Name = c.prefix + e.Name
		e.RawName = []byte(e.Name)
	}
	if c.isLink {
		lo, hi := c.linkSpan.lo, c.linkSpan.hi
		e.RawTarget, e.Target = c.line[lo:hi:hi], c.str(lo, hi)
	}
}

func (s *session) skip(line int, raw []byte, reason string) {
	s.skippedTotal++
	if len(s.skipped) < MaxSkipped {
		s.skipped = append(s.skipped, Skipped{Line: line, Raw: bytes.Clone(clip(raw, MaxSkippedRaw)), Reason: reason})
	}
}

// decode makes the readable names: what is valid UTF-8 is that, the rest is in the configured or detected charset.
func (s *session) decode(entries []Entry) {
	var ev evidence
	for i := range entries {
		ev.add(entries[i].RawName)
		ev.add(entries[i].RawTarget)
	}
	switch {
	case s.opts.Charset != "":
		s.detector.learn(&ev)
	case ev.names > 0:
		s.charset, s.confidence = s.detector.decide(&ev)
	case s.charset == utf8Name && s.confidence == 0:
		s.charset, _ = s.detector.Charset()
	}
	cs, _ := lookupCharset(s.charset)
	for i := range entries {
		e := &entries[i]
		e.Name, e.Charset = cs.readable(e.Name)
		if e.Target != "" {
			e.Target, _ = cs.readable(e.Target)
		}
		e.Owner, _ = cs.readable(e.Owner)
		e.Group, _ = cs.readable(e.Group)
		e.Mode, _ = cs.readable(e.Mode)
		e.Version, _ = cs.readable(e.Version)
	}
}
