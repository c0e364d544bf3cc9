package listing

import (
	"bytes"
	"slices"
	"strings"
)

// verdict is what a parser says of one line.
type verdict uint8

const (
	miss   verdict = iota // no line of this format
	ignore                // a blank line, or a header or trailer that other formats may have as well
	header                // a header or trailer that only this format has
	weak                  // an entry, by a lenient rule
	full                  // an entry
	held                  // the first part of an entry, that the next line completes
	joined                // an entry together with the lines held before
)

// entry reports whether the verdict comes with an entry.
func (v verdict) entry() bool { return v == weak || v == full || v == joined }

// votes is the weight of one verdict in the choice of the format.
func (v verdict) votes() int {
	switch v {
	case full, joined, header:
		return 4
	case weak, ignore:
		return 1
	default:
		return 0
	}
}

// parser reads the lines of one listing in one format. It has the state that the format needs between lines.
type parser interface {
	// parse reads c.line. Where the verdict is an entry it has filled in e, whose Type is File and whose Size is
	// -1 at the start, and has called c.name; where it is a miss it may give a reason. A line that is held after
	// c.name was called is an entry by itself, unless the next line that is not blank is joined to it.
	parse(c *cursor, e *Entry) (verdict, string)
}

// surveyor is a parser that wants to see all lines of a window before the first is parsed.
type surveyor interface {
	survey(line []byte)
}

// finisher is a parser that mends the entries of a window when all are known.
type finisher interface {
	finish([]Entry) []Entry
}

// cursor is the line under the parser.
type cursor struct {
	line  []byte
	first bool   // no line before it, or only blank ones
	after bool   // the line before it is blank
	held  []byte // the lines before it that are held

	text     string // the whole window
	off      int    // of line in text
	heldOff  int    // of held in text
	nameSpan span
	inHeld   bool // nameSpan is a part of held
	more     bool // with the verdict held: the line goes on the lines held before; with miss: so it does, and they are void
	linkSpan span
	isLink   bool
	prefix   string // goes before the name: the directory in a recursive listing
	dates    *dates
}

// span is a part of the cursor's line.
type span struct{ lo, hi int }

// reset goes to the line text[lo:hi], which is buf[lo:hi].
func (c *cursor) reset(buf []byte, l line) {
	c.line, c.off = buf[l.lo:l.hi], l.lo
	c.nameSpan, c.inHeld, c.isLink, c.more = span{}, false, false, false
}

// done keeps what the next line needs to know about this one.
func (c *cursor) done(v verdict) {
	switch {
	case v != held:
		c.held = nil
	case c.goesOn(v):
		c.held = c.both()
	default:
		c.held, c.heldOff = c.line, c.off
	}
	c.first, c.after = false, false
}

// both is the held lines and the current one, with the line ends between them.
func (c *cursor) both() []byte { return c.held[:c.off-c.heldOff+len(c.line)] }

// goesOn reports whether the line with this verdict belongs to the entry that the held lines began.
func (c *cursor) goesOn(v verdict) bool {
	return c.held != nil && (v == joined || (v == held || v == miss) && c.more)
}

// stands reports whether the line with this verdict is an entry even where no other completes it.
func (c *cursor) stands(v verdict) bool {
	return v.entry() || v == held && c.nameSpan.lo < c.nameSpan.hi
}

// str returns line[lo:hi] without copying.
func (c *cursor) str(lo, hi int) string { return c.text[c.off+lo : c.off+hi] }

func (c *cursor) name(lo, hi int) { c.nameSpan = span{lo, hi} }

func (c *cursor) target(lo, hi int) { c.linkSpan, c.isLink = span{lo, hi}, true }

// arrow splits the name at the first " -> " of a link.
func (c *cursor) arrow(lo, hi int) {
	i := bytes.Index(c.line[lo:hi], []byte(" -> "))
	if i <= 0 {
		// the target may be missing, and the blank before it cut with it
		if b := c.line[lo:hi]; len(b) > 3 && bytes.HasSuffix(b, []byte(" ->")) {
			hi -= 3
		}
		c.name(lo, hi)
		return
	}
	c.name(lo, lo+i)
	c.target(lo+i+4, hi)
}

// formatSpec is a row of the table of formats.
type formatSpec struct {
	name Format
	new  func() parser
	syst []string // beginnings of SYST replies, in upper case, that settle a tie
}

// isSyst reports whether a reply to SYST names a system with this format.
func (f formatSpec) isSyst(syst string) bool {
	syst = strings.ToUpper(syst)
	return slices.ContainsFunc(f.syst, func(t string) bool { return strings.HasPrefix(syst, t) })
}

// formats is every format that takes part in the vote; where votes are equal the earlier one wins.
func formats() []formatSpec {
	return []formatSpec{
		{Unix, func() parser { return new(unixParser) }, []string{"UNIX", "NETWARE", "MACOS"}},
		{MSDOS, func() parser { return new(msdosParser) }, []string{"WINDOWS", "MSDOS"}},
		{MLSD, func() parser { return new(mlsdParser) }, nil},
		{VMS, func() parser { return new(vmsParser) }, []string{"VMS", "OPENVMS", "VAX/VMS"}},
		{VOS, func() parser { return new(vosParser) }, []string{"VOS"}},
		{TOPS20, func() parser { return new(tops20Parser) }, []string{"TOPS20", "TOPS-20"}},
		{MVS, func() parser { return new(mvsParser) }, []string{"MVS"}},
		{PDS, func() parser { return new(pdsParser) }, []string{"MVS"}},
		{JES, func() parser { return new(jesParser) }, []string{"MVS"}},
		{Sterling, func() parser { return sterlingParser{} }, []string{"CONNECT:ENTERPRISE"}},
		{CMS, func() parser { return cmsParser{} }, []string{"VM ", "Z/VM"}},
		{VSE, func() parser { return vseParser{} }, []string{"VSE", "Z/VSE"}},
		{EPLF, func() parser { return eplfParser{} }, nil},
		{OS400, func() parser { return new(os400Parser) }, []string{"OS/400", "AS/400", "IBM I"}},
		{OS2, func() parser { return new(os2Parser) }, []string{"OS/2"}},
		{NonStop, func() parser { return new(nonstopParser) }, []string{"NONSTOP", "GUARDIAN", "TANDEM"}},
		{MPE, func() parser { return new(mpeParser) }, []string{"MPE"}},
		{Unisys, func() parser { return new(unisysParser) }, []string{"UNISYS", "MCP", "OS2200", "OS 2200", "A SERIES"}},
		{VxWorks, func() parser { return new(vxworksParser) }, []string{"VXWORKS"}},
		{OS9, func() parser { return new(os9Parser) }, []string{"OS-9", "OS9", "OS/9"}},
		{Win16, func() parser { return new(win16Parser) }, nil},
		{DLS, func() parser { return new(dlsParser) }, nil},
	}
}

// Formats lists the formats that Options.Format can name.
func Formats() []Format {
	var out []Format
	for _, f := range formats() {
		out = append(out, f.name)
	}
	return append(out, Names, Table)
}

// newParser returns a parser for f, or nil.
func newParser(f Format) parser {
	switch f {
	case Names:
		return new(namesParser)
	case Table:
		return new(tableParser)
	case MLSD:
		return &mlsdParser{factless: true}
	case PDS:
		return &pdsParser{chosen: true}
	}
	for _, s := range formats() {
		if s.name == f {
			return s.new()
		}
	}
	return nil
}

// How many lines vote, half of them from the start of the window and half from its middle: a few where they agree, or
// else more.
const (
	fewVotes  = 64
	voteLines = 1024
)

// leastShare is one in how many lines a format must read; fewer are chance, as in a file that is no listing.
const leastShare = 100

// Confidence in the last resorts: any line could be a name, and in a table of no known format much is guessed.
const (
	namesConfidence = 0.5
	tableConfidence = 0.3
)

// vote chooses the format that reads most lines of the window. It is "" where no format reads any.
func (s *session) vote(raw []byte, text string) {
	for _, lines := range []int{fewVotes, voteLines} {
		best, second := ballot{}, ballot{}
		for _, f := range formats() {
			b := s.ballot(f, raw, text, lines)
			switch {
			case b.votes > best.votes:
				best, second = b, best
			case b.votes > second.votes:
				second = b
			}
		}
		if best.votes*leastShare <= best.missed {
			continue // chance
		}
		s.q.Format, s.q.RunnerUp = best.format, second.format
		lead := 1 - float64(second.votes)/float64(2*best.votes)
		s.q.FormatConfidence = lead * float64(best.votes) / float64(best.votes+best.missed*full.votes())
		if s.q.FormatConfidence > doubtfulFormat {
			return
		}
	}
	switch {
	case s.q.Format != "":
	case namesOnly(raw, s.term):
		s.q.Format, s.q.FormatConfidence = Names, namesConfidence
	case s.named(raw, text):
	case tableOnly(raw, s.term):
		s.q.Format, s.q.FormatConfidence = Table, tableConfidence
	}
}

// named chooses the format of the system that SYST names, where its parser reads a line once it knows that it may.
func (s *session) named(raw []byte, text string) bool {
	for _, f := range formats() {
		if !f.isSyst(s.opts.Syst) {
			continue
		}
		f.new = func() parser { return newParser(f.name) }
		if s.ballot(f, raw, text, voteLines).votes > 0 {
			s.q.Format, s.q.FormatConfidence = f.name, namesConfidence
			return true
		}
	}
	return false
}

// ballot is how a format does in the vote.
type ballot struct {
	format        Format
	votes, missed int
}

// ballot lets f read a sample of the window.
func (s *session) ballot(f formatSpec, raw []byte, text string, lines int) ballot {
	out, p := ballot{format: f.name}, f.new()
	sp := newSplitter(raw, s.term, 0)
	c := cursor{text: text, dates: &s.dates, first: true}
	var e Entry
	for i := 0; i < lines; i++ {
		if i == lines/2 {
			skipToMiddle(sp)
			c.held = nil
		}
		l, ok := sp.scan()
		if !ok {
			break
		}
		if c.reset(raw, l); len(c.line) > MaxLine || blank(c.line) {
			c.after = true
			continue
		}
		e = Entry{Size: -1}
		v, _ := p.parse(&c, &e)
		out.votes += v.votes()
		if v == held && c.stands(v) {
			out.votes += weak.votes()
		}
		out.missed += when(v == miss, 1)
		c.done(v)
	}
	if out.votes > 0 && f.isSyst(s.opts.Syst) {
		out.votes++
	}
	return out
}

// skipToMiddle goes on at the line after the middle of the buffer, if the splitter is still before it.
func skipToMiddle(s *splitter) {
	mid := len(s.buf) / 2
	if i := bytes.IndexByte(s.buf[mid:], '\n'); s.pos < mid && i >= 0 {
		s.pos = mid + i + 1
	}
}
