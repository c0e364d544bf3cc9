package listing

import (
	"bytes"
	"strings"
	"time"
)

// unixParser reads ls -l and what imitates it.
//
//	[inode [blocks]] mode [links] [owner [group]] size date name[ -> target]
//
// The columns are found from the date: the word before it is the size, the words between mode and size are the
// rest, and the name starts after the one blank that follows.
type unixParser struct {
	entries int
	// inWindow counts the entries since finish was called last.
	inWindow int
	dated    bool   // an entry had a date
	fresh    bool   // a directory of a recursive listing has begun, without entries yet
	base     []byte // the first directory of a recursive listing, without ":"
	hasBase  bool
	prefix   string
	words    [maxWords]token
	gap      [2]gap // of lines whose date ends in a year, and in a time
	order    order
	mode     [10]byte // of the last line that was quick to read
}

// maxWords is how many words of a line are looked at for the date: groups can have blanks in their names.
const maxWords = 32

func (p *unixParser) parse(c *cursor, e *Entry) (verdict, string) {
	if p.quick(c, e) {
		return full, ""
	}
	return p.general(c, e)
}

// general reads a line of any shape.
func (p *unixParser) general(c *cursor, e *Entry) (verdict, string) {
	b := c.line
	i := 0
	for i < len(b) && (b[i] == ' ' || b[i] == '\t') {
		i++
	}
	if p.header(c, b[i:]) {
		return ignore, ""
	}
	end, ok := modeAt(b, i)
	if !ok {
		// inode and blocks may come before the mode, or the code of a reply to STAT
		if j := afterNumbers(b, i); j > i {
			if end, ok = modeAt(b, j); ok {
				i = j
			}
		} else if j = afterCode(b, i); j > i {
			if end, ok = modeAt(b, j); ok {
				i = j
			}
		}
	}
	if !ok {
		return p.odd(c, e, i)
	}
	e.Type = typeOf(b[i])
	if e.Type == Other && unknownType(b[i]) {
		return miss, "unknown file type letter"
	}
	e.Mode = c.str(i+1, end)
	return p.columns(c, e, i, end)
}

// columns reads what follows the mode that is b[mode:at].
func (p *unixParser) columns(c *cursor, e *Entry, mode, at int) (verdict, string) {
	b := c.line
	for at < len(b) && aclMark(b[at]) {
		at++
	}
	w := p.split(b, at)
	var t civil
	i, n := findDate(b, w, &t)
	v := full
	if n == 0 {
		v = weak
		if i, n = p.gluedDate(b, w, &t); n == 0 {
			if i, n = sizeless(b, w, &t); n == 0 || e.Type == File {
				return p.dateless(c, e, w)
			}
			p.owner(c, e, w[:i])
			return p.rest(c, e, w[i+n-1].hi, &t, v, false)
		}
	}
	if reason := p.middle(c, e, w, i, b[mode]); reason != "" {
		return miss, reason
	}
	return p.rest(c, e, w[i+n-1].hi, &t, v, b[mode+1] == '[' || b[mode+1] == ' ' || n == 1)
}

// rest resolves the date and takes the name after it.
// trim is for the layouts that pad the columns: all blanks before the name go.
func (p *unixParser) rest(c *cursor, e *Entry, at int, t *civil, v verdict, trim bool) (verdict, string) {
	b := c.line
	var ok bool
	if t.hint == maybeCroatian && t.month == 11 && t.day == 31 {
		t.month, t.hint = 10, isCroatian
	}
	if e.ModTime, ok = c.dates.resolve(t); !ok {
		return miss, "no such date"
	}
	if at+1 >= len(b) || blank(b[at+1:]) {
		return miss, "no name"
	}
	lo := at + 1
	for trim && b[lo] == ' ' {
		lo++
	}
	if t.hint != 0 {
		p.order.weigh(t, p.inWindow, c.dates)
	}
	p.dated = true
	g := &p.gap[when(t.precision == Day, 1)]
	g.see(b[lo:])
	g.wide = when(t.wideYear, 1)
	p.setName(c, e, lo)
	return v, ""
}

// dateless reads an entry whose date is missing altogether: links, owner, group, size and name. As a line that was
// cut short looks like that too, this is for listings without any date, and for no name that may be a part of one.
func (p *unixParser) dateless(c *cursor, e *Entry, w []token) (verdict, string) {
	const why = "no date after a size"
	b := c.line
	if p.dated || len(w) < 5 || !allDigits(b[w[0].lo:w[0].hi]) || !allDigits(b[w[3].lo:w[3].hi]) {
		return miss, why
	}
	lettered := false
	for _, ch := range b[w[4].lo:] {
		lettered = lettered || letter(ch) || ch >= 0x80
	}
	var t civil
	cut := p.entries == 0 && len(w) == 5 && cutDate(b[w[4].lo:w[4].hi])
	if monthName(b[w[4].lo:w[4].hi], &t) {
		cut = len(w) == 5 || b[w[5].lo]-'0' <= 9
	}
	if !lettered || cut || b[w[3].hi] != ' ' {
		return miss, why
	}
	at := w[3].hi + 1
	if dateShaped(b, w[4:]) {
		// of a word in ASCII the month should have been known
		if at = w[6].hi + 1; plain(b[w[4].lo:w[4].hi]) || at >= len(b) {
			return miss, why
		}
	}
	if !p.size(e, b[w[3].lo:w[3].hi]) {
		return miss, why
	}
	if e.Type != File {
		e.Size = -1
	}
	p.owner(c, e, w[1:3])
	p.setName(c, e, at)
	return weak, ""
}

// dateShaped reports whether the words start with a word, a day and a year or a time, as dates do.
func dateShaped(b []byte, w []token) bool {
	if len(w) < 3 {
		return false
	}
	_, day := dayOf(b[w[1].lo:w[1].hi])
	var t civil
	return day && yearOrTime(b, w, 2, &t) > 0
}

// setName takes the name from lo to the end of the line.
func (p *unixParser) setName(c *cursor, e *Entry, lo int) {
	p.entries++
	p.inWindow++
	p.fresh = false
	hi := len(c.line)
	switch e.Type {
	case Link:
		c.arrow(lo, hi)
	case Dir:
		// ls -F and VShell mark directories; no name has a slash
		if hi-lo > 1 && c.line[hi-1] == '/' {
			hi--
		}
		c.name(lo, hi)
	default:
		c.name(lo, hi)
	}
	c.prefix = p.prefix
}

// split finds the words from at on; the last may be cut off at maxWords.
func (p *unixParser) split(b []byte, at int) []token {
	n := 0
	for n < maxWords {
		for at < len(b) && (b[at] == ' ' || b[at] == '\t') {
			at++
		}
		if at == len(b) {
			break
		}
		lo := at
		for at < len(b) && b[at] != ' ' && b[at] != '\t' {
			at++
		}
		p.words[n] = token{lo, at}
		n++
	}
	return p.words[:n]
}

// findDate looks for the first date that follows a word that ends in a digit (or a unit), the size.
func findDate(b []byte, w []token, t *civil) (at, n int) {
	for i := 1; i < len(w); i++ {
		if !sizeLike(b[w[i-1].lo:w[i-1].hi]) {
			continue
		}
		n := dateAt(b, w, i, t)
		if n == 0 {
			continue
		}
		// "may 12 2048 Oct 2 10:59": the first is an owner named like a month, a group and the size
		if i == 1 && i+n < len(w) && sizeLike(b[w[i+n-1].lo:w[i+n-1].hi]) {
			var u civil
			if k := dateAt(b, w, i+n, &u); k > 0 && i+n+k < len(w) {
				*t = u
				return i + n, k
			}
		}
		return i, n
	}
	return 0, 0
}

// gluedDate finds a month name at the end of a longer word: "4096Feb 23 2001", "/a/linkFeb  8  2007".
func (p *unixParser) gluedDate(b []byte, w []token, t *civil) (at, n int) {
	for i := range w {
		lo, hi := w[i].lo, w[i].hi
		if hi-lo < 4 || b[hi-3] < 'A' || b[hi-3] > 'Z' || englishMonth(b[hi-3:hi]) == 0 || i+2 >= len(w) {
			continue
		}
		w[i].lo = hi - 3
		if n = dateAt(b, w, i, t); n == 0 {
			w[i].lo = lo
			continue
		}
		if v, k := number(b[lo : hi-3]); k == hi-3-lo && v >= 0 && len(w) < maxWords {
			// the size takes a word of its own
			copy(p.words[i+1:], w[i:])
			w = p.words[:len(w)+1]
			w[i] = token{lo, hi - 3}
			return i + 1, n
		}
		return i, n
	}
	return 0, 0
}

// sizeless finds the "2005-04-08 11:22" behind an owner and perhaps a group: the ls of Android's toolbox prints neither
// the links nor the size of a directory.
func sizeless(b []byte, w []token, t *civil) (at, n int) {
	for i := 1; i <= 2 && i+2 < len(w); i++ {
		if _, digits, _, k := separated(b[w[i].lo:w[i].hi]); k > 0 && digits[0] == 4 {
			*t = civil{precision: Day}
			if n = numericDate(b, w, i, t); n > 1 {
				return i, n
			}
		}
	}
	return 0, 0
}

// middle reads links, owner, group and size: the words before the date at word d. kind is the letter of the type.
// It returns why they make no sense, or "".
func (p *unixParser) middle(c *cursor, e *Entry, w []token, d int, kind byte) string {
	if d == 0 {
		return "no size before the date"
	}
	b := c.line
	last, ok := p.sizeColumn(b, e, w, d, kind)
	if !ok {
		return "the size is no number"
	}
	from := 0
	hasLinks := last > 0 && allDigits(b[w[0].lo:w[0].hi])
	if hasLinks {
		from = 1
	} else if last > 2 {
		return "the link count is no number"
	}
	// NetPresenz has the resource fork, the data fork and their sum, or "folder"
	folder := last == 1 && !hasLinks && e.Type == Dir && string(b[w[0].lo:w[0].hi]) == "folder"
	if last > from && !folder && !forks(b, w[:d]) {
		p.owner(c, e, w[from:last])
	}
	return ""
}

// owner splits the words into owner and group: at the first wide gap, else after the first word.
func (p *unixParser) owner(c *cursor, e *Entry, w []token) {
	cut := 1
	for i := 1; i < len(w); i++ {
		if w[i].lo-w[i-1].hi > 1 {
			cut = i
			break
		}
	}
	e.Owner = c.str(w[0].lo, w[cut-1].hi)
	if cut < len(w) {
		e.Group = c.str(w[cut].lo, w[len(w)-1].hi)
	}
}

// finish cuts the blanks that a server puts before every name, where the listing shows that it does, and settles the
// dates that can be read in two ways.
func (p *unixParser) finish(entries []Entry) []Entry {
	p.order.settle(entries)
	timesInNames(entries)
	p.inWindow = 0
	year, clock := p.gap[1].common(), p.gap[0].common()
	p.gap = [2]gap{}
	if year+clock == 0 {
		return entries
	}
	for i := range entries {
		n := clock
		if entries[i].ModTime.Precision == Day {
			n = year
		}
		entries[i].cutLeft(n)
	}
	return entries
}

// timesInNames moves the time of day from the names to the dates, where every name behind a year starts with one: a
// few servers print both, and of a name alone nobody could tell.
func timesInNames(entries []Entry) {
	n := 0
	for i := range entries {
		if e := &entries[i]; e.ModTime.Precision == Day {
			if n++; !startsWithTime(e.RawName) {
				return
			}
		}
	}
	if n < 2 {
		return
	}
	for i := range entries {
		if e := &entries[i]; e.ModTime.Precision == Day {
			var t civil
			clock([]byte(e.RawName[:5]), &t)
			year, month, day := e.ModTime.Date()
			e.ModTime.Time = time.Date(year, month, day, t.hour, t.min, 0, 0, e.ModTime.Location())
			e.ModTime.Precision = Minute
			if e.RawName = e.RawName[6:]; e.Name != "" {
				e.Name = e.RawName
			}
		}
	}
}

// startsWithTime reports whether a name starts with "15:13 " and goes on.
func startsWithTime(name string) bool {
	var t civil
	return len(name) > 6 && name[5] == ' ' && name[2] == ':' && clock([]byte(name[:5]), &t)
}

// gap is how many blanks all names seen so far start with. One name alone proves nothing, unless the column before
// it is out of line by as many blanks (wide).
type gap struct{ names, least, wide int }

func (g *gap) see(name []byte) {
	n := len(name) - len(bytes.TrimLeft(name, " "))
	if g.names == 0 || n < g.least {
		g.least = n
	}
	g.names++
}

func (g *gap) common() int {
	if g.names < 2 {
		return min(g.least, g.wide)
	}
	return g.least
}

// cutLeft drops n blanks from the start of the name.
func (e *Entry) cutLeft(n int) {
	if n >= len(e.RawName) || strings.Trim(e.RawName[:n], " \t") != "" {
		return
	}
	if e.RawName = e.RawName[n:]; e.Name != "" {
		e.Name = e.RawName
	}
}
