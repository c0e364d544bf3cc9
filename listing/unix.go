package listing

import (
	"bytes"
	"strings"
)

// unixParser reads ls -l and what imitates it.
//
//	[inode [blocks]] mode [links] [owner [group]] size date name[ -> target]
//
// The columns are found from the date: the word before it is the size, the words between mode and size are the
// rest, and the name starts after the one blank that follows.
type unixParser struct {
	entries int
	fresh   bool   // a directory of a recursive listing has begun, without entries yet
	base    []byte // the first directory of a recursive listing, without ":"
	hasBase bool
	prefix  string
	words   [maxWords]token
	gap     [2]gap // of lines whose date ends in a year, and in a time
}

// maxWords is how many words of a line are looked at for the date: groups can have blanks in their names.
const maxWords = 32

func (p *unixParser) parse(c *cursor, e *Entry) (verdict, string) {
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
		// inode and blocks may come before the mode
		if j := afterNumbers(b, i); j > i {
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
	for at < len(b) && (b[at] == '+' || b[at] == '.' || b[at] == '@' || b[at] == '?' || b[at] == '*') {
		at++
	}
	w := p.split(b, at)
	var t civil
	i, n := findDate(b, w, &t)
	v := full
	if n == 0 {
		if i, n = p.gluedDate(b, w, &t); n == 0 {
			return miss, "no date after a size"
		}
		v = weak
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
	p.gap[when(t.precision == Day, 1)].see(b[lo:])
	p.setName(c, e, lo)
	return v, ""
}

// setName takes the name from lo to the end of the line.
func (p *unixParser) setName(c *cursor, e *Entry, lo int) {
	p.entries++
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

// sizeLike is a quick look at whether a word can be the size.
func sizeLike(b []byte) bool {
	c := b[len(b)-1]
	return c-'0' <= 9 || unit(c) > 0 && b[0]-'0' <= 9 || b[0] == '0' && len(b) > 1 && b[1] == 'x'
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

// sizeColumn reads the size, the word before the date at word d. last is the number of words before it; a group that
// is glued to the size is one of them.
func (p *unixParser) sizeColumn(b []byte, e *Entry, w []token, d int, kind byte) (last int, ok bool) {
	last = d - 1
	size := b[w[last].lo:w[last].hi]
	device := kind == 'b' || kind == 'c'
	switch {
	case device && bytes.IndexByte(size, ',') > 0: // "109,767": major and minor number
	case device && d >= 2 && b[w[d-2].hi-1] == ',': // "1,   3"
		last--
	case !p.size(e, size):
		n := gluedSize(size)
		if n == 0 || !p.size(e, size[n:]) {
			return 0, false
		}
		w[last].hi = w[last].lo + n
		last = d
	}
	if device && e.Size > 0 {
		e.Type = File // a device has two numbers or nothing for a size
	}
	if e.Type != File {
		e.Size, e.SizeEstimated = -1, false
	}
	return last, true
}

// forks reports whether the words are three numbers, the last the sum of the others.
func forks(b []byte, w []token) bool {
	if len(w) != 3 {
		return false
	}
	var v [3]int64
	for i, t := range w {
		n := 0
		if v[i], n = number(b[t.lo:t.hi]); n != t.hi-t.lo {
			return false
		}
	}
	return v[0]+v[1] == v[2]
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

// size reads a size in bytes: 4096, 1,234,567, 33.5k. A negative or oversized one is unknown.
func (p *unixParser) size(e *Entry, b []byte) bool {
	v, n := number(b)
	if n == len(b) {
		e.Size = v
		return true
	}
	if b[0] == '-' && allDigits(b[1:]) || allDigits(b) {
		return true // negative, or over 18 digits: -1 printed without its sign
	}
	if len(b) > 2 && b[0] == '0' && b[1] == 'x' {
		return true // HP-UX prints device numbers so
	}
	if v, ok := grouped(b); ok {
		e.Size = v
		return true
	}
	if v, ok := rounded(b); ok {
		e.Size, e.SizeEstimated = v, true
		return true
	}
	return false
}

// grouped reads 1,234,567.
func grouped(b []byte) (int64, bool) {
	var v int64
	run, groups := 0, 0
	for _, c := range b {
		switch {
		case c-'0' <= 9 && run < 3 && v < 1<<56:
			v, run = v*10+int64(c-'0'), run+1
		case c == ',' && run > 0 && (groups == 0 || run == 3):
			run, groups = 0, groups+1
		default:
			return 0, false
		}
	}
	return v, groups > 0 && run == 3
}

// rounded reads 33.5k, 12M, 1.2G.
func rounded(b []byte) (int64, bool) {
	shift := unit(b[len(b)-1])
	if shift == 0 {
		return 0, false
	}
	b = b[:len(b)-1]
	v, n := number(b)
	if n == 0 || n > 6 {
		return 0, false
	}
	v <<= shift
	if n == len(b) {
		return v, true
	}
	frac, k := number(b[n+1:])
	if (b[n] != '.' && b[n] != ',') || k < 1 || k > 3 || n+1+k != len(b) {
		return 0, false
	}
	div := int64(1)
	for range k {
		div *= 10
	}
	return v + frac<<shift/div, true
}

// unit is the shift for a binary unit, 0 for none.
func unit(c byte) uint {
	switch c {
	case 'k', 'K':
		return 10
	case 'M', 'm':
		return 20
	case 'G', 'g':
		return 30
	case 'T':
		return 40
	}
	return 0
}

// gluedSize finds where the digits start in "ftpadmin125435904"; 0 where there are none, or nothing else.
func gluedSize(b []byte) int {
	i := len(b)
	for i > 0 && b[i-1]-'0' <= 9 {
		i--
	}
	if i == len(b) || i > 0 && !letter(b[i-1]) && b[i-1] < 0x80 || len(b)-i > 18 {
		return 0
	}
	for _, c := range b[:i] {
		if c-'0' <= 9 || c == ':' {
			return 0
		}
	}
	return i
}

func letter(c byte) bool { return c|0x20 >= 'a' && c|0x20 <= 'z' }

// finish cuts the blanks that a server puts before every name, where the listing shows that it does.
func (p *unixParser) finish(entries []Entry) []Entry {
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

// gap is how many blanks all names seen so far start with. One name alone proves nothing.
type gap struct{ names, least int }

func (g *gap) see(name []byte) {
	n := len(name) - len(bytes.TrimLeft(name, " "))
	if g.names == 0 || n < g.least {
		g.least = n
	}
	g.names++
}

func (g *gap) common() int {
	if g.names < 2 {
		return 0
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
