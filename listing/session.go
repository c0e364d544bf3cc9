package listing

import (
	"bytes"
	"fmt"
	"slices"
)

// session reads one listing, window by window.
type session struct {
	opts   Options
	dates  dates
	parser parser
	term   terminators
	begun  bool
	first  bool // no line but blank ones so far
	after  bool // the last line was blank
	lines  int

	detector *Detector

	q Quality
}

func newSession(o Options) (*session, error) {
	s := &session{opts: o, first: true}
	s.q.Charset = utf8Name
	if o.Format != "" && newParser(o.Format) == nil {
		return nil, fmt.Errorf("%w: %q; use one of %v", ErrFormat, o.Format, Formats())
	}
	if o.Charset != "" {
		cs, ok := lookupCharset(o.Charset)
		if !ok {
			return nil, fmt.Errorf("%w: %q; use one of %v", ErrCharset, o.Charset, Charsets())
		}
		s.q.Charset, s.q.CharsetConfidence = cs.name, 1
	}
	if o.Format != "" {
		s.q.Format, s.q.FormatConfidence = o.Format, 1
	}
	if s.detector = o.Detector; s.detector == nil {
		s.detector = NewDetector()
	}
	s.dates = newDates(o.Now, o.Location)
	return s, nil
}

// begin decides over the first window how lines end and what format they are in.
func (s *session) begin(raw []byte, text string) {
	s.begun = true
	s.term = findTerminators(raw)
	if s.q.Format == "" {
		s.vote(raw, text)
	}
	if s.parser = newParser(s.q.Format); s.parser == nil {
		s.parser = nothing{reason: "no known format" + encoded(raw)}
	}
}

// nothing is the parser of a listing in no known format.
type nothing struct{ reason string }

func (n nothing) parse(*cursor, *Entry) (verdict, string) { return miss, n.reason }

// encoded says what a listing looks like of which not even the letters are where ASCII has them.
func encoded(raw []byte) string {
	raw = raw[:min(len(raw), 4<<10)]
	zeros, blanks, high := 0, 0, 0
	for i := range raw {
		zeros += when(raw[i] == 0, 1)
		blanks += when(raw[i] == 0x40, 1)
		high += when(raw[i] >= 0x80, 1)
	}
	switch {
	case zeros*3 > len(raw):
		return ": it looks like UTF-16; convert it to UTF-8"
	case high*2 > len(raw) && blanks*20 > len(raw):
		return ": it looks like EBCDIC, as after TYPE E; list with TYPE A"
	}
	return ""
}

// window reads the next whole lines of the listing into entries and returns them with how many bytes it read: unless
// this is the last window, a line that waits for its successor is left for the next one.
//
// It copies raw once: names, owners and modes are parts of that copy, so that an entry allocates nothing.
func (s *session) window(raw []byte, entries []Entry, last bool) ([]Entry, int) {
	all := len(raw)
	if !s.begun {
		raw = bytes.TrimPrefix(raw, []byte("\xef\xbb\xbf"))
	}
	text := string(raw)
	if !s.begun {
		s.begin(raw, text)
	}
	s.survey(raw)
	// most lines are longer than 32 bytes; a flood of short ones must not reserve much
	if n := min(bytes.Count(raw, []byte{'\n'})+1, len(raw)/32+1); cap(entries) < n {
		entries = make([]Entry, 0, n)
	}
	pass := pass{s: s, raw: raw, sp: newSplitter(raw, s.term, s.lines), entries: entries[:0],
		c: cursor{text: text, dates: &s.dates, first: s.first, after: s.after}}
	pass.run()
	if pass.c.held != nil && !last {
		pass.unhold()
		all -= len(raw) - pass.c.heldOff
		s.lines = pass.heldLine - 1
	} else {
		pass.drop()
		s.lines = pass.sp.next - 1
	}
	s.first, s.after = pass.c.first, pass.c.after
	if f, ok := s.parser.(finisher); ok {
		pass.entries = f.finish(pass.entries)
	}
	s.q.EntriesTotal += len(pass.entries)
	s.decode(pass.entries)
	return pass.entries, all
}

func (s *session) survey(raw []byte) {
	p, ok := s.parser.(surveyor)
	if !ok {
		return
	}
	sp := newSplitter(raw, s.term, 0)
	for {
		l, ok := sp.scan()
		if !ok {
			return
		}
		p.survey(raw[l.lo:min(l.hi, l.lo+MaxLine)])
	}
}

// pass is the way through the lines of one window.
type pass struct {
	s       *session
	raw     []byte
	c       cursor
	sp      *splitter
	entries []Entry

	heldLine  int  // number of the first line in c.held
	heldEntry bool // the last entry is what c.held stands for
}

func (p *pass) run() {
	for {
		l, ok := p.sp.scan()
		if !ok {
			return
		}
		if len(p.entries) == cap(p.entries) {
			p.entries = slices.Grow(p.entries, 1+len(p.entries)/4)
		}
		p.entries = p.entries[:len(p.entries)+1]
		e := &p.entries[len(p.entries)-1]
		*e = Entry{Size: -1, Line: p.sp.no}
		v, reason := p.line(l, e)
		if v == ignore && blank(p.c.line) {
			p.pop()
			p.blank()
			continue
		}
		p.place(v, e)
		if v == miss {
			p.s.q.skip(p.sp.no, p.c.line, reason)
		}
		p.c.done(v)
	}
}

// pop takes back the last entry.
func (p *pass) pop() { p.entries = p.entries[:len(p.entries)-1] }

// place keeps or drops e, the last of the entries, and what the lines before it were held for.
func (p *pass) place(v verdict, e *Entry) {
	stands := p.c.stands(v)
	if p.c.goesOn(v) {
		e.Line = p.heldLine
		if p.heldEntry && (stands || v == miss) {
			p.entries[len(p.entries)-2] = *e
			p.pop()
		}
		if v == miss {
			p.s.q.skip(p.heldLine, p.c.held, "the line after it says that it cannot be read")
		}
	} else {
		p.drop()
		p.heldLine, p.heldEntry = p.sp.no, false
	}
	if !stands {
		p.pop()
	}
	p.heldEntry = p.heldEntry || v == held && stands
}

// blank goes over a blank line. Lines that are held stay so for a while.
func (p *pass) blank() {
	p.c.after = true
	if p.c.held != nil && p.c.off-p.c.heldOff > MaxLine {
		p.drop()
	}
}

// drop ends the waiting for what completes the held lines: they are the entry that they stand for, or are skipped.
func (p *pass) drop() {
	if p.c.held != nil && !p.heldEntry {
		p.s.q.skip(p.heldLine, p.c.held, "the line that should complete the entry is missing")
	}
	p.c.held = nil
}

// unhold takes the entry of the held lines back: they will be read again with the next window.
func (p *pass) unhold() {
	if p.heldEntry {
		p.pop()
	}
}

// line parses one line into e.
func (p *pass) line(l line, e *Entry) (verdict, string) {
	c := &p.c
	c.reset(p.raw, l)
	if len(c.line) > MaxLine {
		return miss, fmt.Sprintf("longer than %d bytes", MaxLine)
	}
	if blank(c.line) {
		return ignore, ""
	}
	v, reason := p.s.parser.parse(c, e)
	if !c.stands(v) {
		if v == miss && reason == "" {
			reason = "not a line of format " + string(p.s.q.Format)
		}
		return v, reason
	}
	if l.bare && v != held {
		c.extend(p.sp, p.raw, l)
	}
	c.fill(e)
	return v, ""
}

// extend lets the name (or link target) at the end of the line go on behind a bare LF.
func (c *cursor) extend(sp *splitter, raw []byte, l line) {
	end := &c.nameSpan.hi
	if c.isLink {
		end = &c.linkSpan.hi
	}
	if *end != len(c.line) || c.inHeld && !c.isLink {
		return
	}
	l = sp.extend(l)
	c.line = raw[l.lo:l.hi]
	*end = len(c.line)
}

// fill gives e its raw names, and its readable ones where there is nothing to decode in the whole entry.
func (c *cursor) fill(e *Entry) {
	off, lo, hi := c.off, c.nameSpan.lo, c.nameSpan.hi
	if c.inHeld {
		off = c.heldOff
	}
	e.RawName = c.text[off+lo : off+hi]
	if c.prefix != "" {
		e.RawName = c.prefix + e.RawName
	}
	if c.isLink {
		e.Target = c.str(c.linkSpan.lo, c.linkSpan.hi)
	}
	if plainLine(c.line) && plainLine(c.held) && plain(c.prefix) {
		e.Name, e.charset = e.RawName, 1
	}
}

// decode makes the readable names: what is valid UTF-8 is that, the rest is in the configured or detected charset.
func (s *session) decode(entries []Entry) {
	var ev evidence
	for i := range entries {
		if e := &entries[i]; e.charset == 0 {
			ev.add([]byte(e.RawName))
			ev.add([]byte(e.Target))
		}
	}
	s.q.NonASCII += ev.names
	switch {
	case s.opts.Charset != "":
		s.detector.learn(&ev)
	case ev.names > 0:
		s.q.Charset, s.q.CharsetConfidence = s.detector.decide(&ev)
	case s.q.Charset == utf8Name && s.q.CharsetConfidence == 0:
		s.q.Charset, _ = s.detector.Charset()
	}
	at := charsetPlace(s.q.Charset)
	for i := range entries {
		if e := &entries[i]; e.charset == 0 {
			e.decode(at)
		}
	}
}

// decode makes readable what is to be read by people, with the charset at that place of charsets.
func (e *Entry) decode(at int) {
	cs := &charsets[at]
	var name string
	if e.Name, name = cs.readable(e.RawName); name != cs.name {
		at = charsetPlace(name)
	}
	e.charset = uint8(at + 1)
	for _, s := range []*string{&e.Target, &e.Owner, &e.Group, &e.Mode, &e.Version} {
		*s, _ = cs.readable(*s)
	}
}
