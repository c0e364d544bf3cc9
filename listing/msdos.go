package listing

import (
	"bytes"
	"strings"
)

// msdosParser reads the listings of IIS, of Windows CE and of DIR.
//
//	02-05-01  05:52PM       <DIR>          20Year
//	10/3/2018   2:58 PM    34,359,738,368  win10.img
//	2013-09-02  19:06                9,730 File17
//
// The month comes first, unless more dates of the listing have a first field over 12 than a second one.
type msdosParser struct {
	dayFirst, monthFirst int // dates that can only be read so
	gap                  gap
}

func (p *msdosParser) survey(line []byte) {
	v, digits, sep, n := separated(bytes.TrimLeft(line, " "))
	if n == 0 || digits[0] > 2 || sep == '.' {
		return
	}
	if v[0] > 12 && v[0] <= 31 && v[1] <= 12 {
		p.dayFirst++
	}
	if v[1] > 12 && v[1] <= 31 && v[0] <= 12 {
		p.monthFirst++
	}
}

func (p *msdosParser) parse(c *cursor, e *Entry) (verdict, string) {
	b := c.line
	i := blanks(b, 0)
	if dirHeader(b[i:]) {
		return ignore, ""
	}
	var t civil
	n := p.date(b[i:], &t)
	if n == 0 {
		return miss, "no date"
	}
	i += n
	if i >= len(b) || b[i] != ' ' && b[i] != '\t' {
		return miss, "no blank after the date"
	}
	i = blanks(b, i)
	half, n := halfBefore(b[i:])
	i = blanks(b, i+n)
	if n = dosClock(b[i:], &t); n == 0 {
		return miss, "no time of day"
	}
	t.half(half)
	i = blanks(b, i+n)
	var ok bool
	if e.ModTime, ok = c.dates.resolve(&t); !ok {
		return miss, "no such date"
	}
	if i < len(b) && b[i] == '<' {
		return p.marked(c, e, i)
	}
	end := i
	for end < len(b) && b[end] != ' ' {
		end++
	}
	if end == i || !dosSize(e, b[i:end]) {
		return miss, "the size is no number"
	}
	if end+1 >= len(b) || blank(b[end:]) {
		return miss, "no name"
	}
	p.gap.see(b[end+1:])
	c.name(end+1, len(b))
	return full, ""
}

// date reads 02-05-01, 10/3/2018, 25.06.2007, 2013-09-02 from the start of b.
func (p *msdosParser) date(b []byte, t *civil) int {
	v, digits, sep, n := separated(b)
	switch {
	case n == 0:
		return 0
	case digits[0] == 4 && digits[1] <= 2 && digits[2] <= 2:
		t.year, t.month, t.day = v[0], v[1], v[2]
		return n
	case digits[0] > 2 || digits[1] > 2 || digits[2] < 2:
		return 0
	}
	t.year, t.month, t.day = fullYear(v[2], digits[2]), v[0], v[1]
	dayFirst := sep == '.' || p.dayFirst > p.monthFirst || v[0] > 12
	if dayFirst && v[1] <= 12 {
		t.month, t.day = v[1], v[0]
	}
	return n
}

// dosClock reads 05:52PM, 5:52 PM, 17:52 and 17:52:01 from the start of b.
func dosClock(b []byte, t *civil) int {
	end := 0
	for end < len(b) && (b[end]-'0' <= 9 || b[end] == ':') {
		end++
	}
	if !clock(b[:end], t) {
		return 0
	}
	at := blanks(b, end)
	if at == len(b) {
		return end
	}
	half := b[at] | 0x20
	n := halfDay(b[at:])
	stops := at+n == len(b) || b[at+n] == ' ' || b[at+n] == '\t' || b[at+n] == '<'
	switch {
	case half != 'a' && half != 'p' || !stops:
		// 24 hours; a letter right behind the digits is no time at all
		return when(b[end] == ' ' || b[end] == '<', end)
	}
	t.half(half)
	return at + n
}

// half counts the hours of t in halves of a day, 'a' and 'p'.
func (t *civil) half(of byte) {
	switch {
	case of == 'a' && t.hour == 12:
		t.hour = 0
	case of == 'p' && t.hour < 12:
		t.hour += 12
	}
}

// halfBefore reads the half of the day that East Asian systems print before the time, and its length.
func halfBefore(b []byte) (half byte, n int) {
	if len(b) == 0 || b[0] < 0x80 {
		return 0, 0
	}
	for _, h := range [...]struct {
		half  byte
		words string // in UTF-8 and the code pages
	}{
		{'a', "上午/\xC9\xCF\xCE\xE7/\xA4\x57\xA4\xC8/오전/\xBF\xC0\xC0\xFC/午前/\x8C\xDF\x91\x4F"},
		{'p', "下午/\xCF\xC2\xCE\xE7/\xA4\x55\xA4\xC8/오후/\xBF\xC0\xC8\xC4/午後/\x8C\xDF\x8C\xE3"},
	} {
		for w := range strings.SplitSeq(h.words, "/") {
			if len(b) > len(w) && string(b[:len(w)]) == w {
				return h.half, len(w)
			}
		}
	}
	return 0, 0
}

// halfDay is the length of the p, pm, p.m. or "p. m." at the start of b, or of the a that stands there.
func halfDay(b []byte) int {
	for _, s := range []string{"m", ".m.", ". m."} {
		if hasFold(b[1:], s) {
			return 1 + len(s)
		}
	}
	return 1
}

// marked reads "<DIR>   name", "<JUNCTION>  name [target]" and the like; b[i] is the "<".
func (p *msdosParser) marked(c *cursor, e *Entry, i int) (verdict, string) {
	b := c.line
	n := bytes.IndexByte(b[i:], '>')
	if n < 0 {
		return miss, "no end of the <type>"
	}
	switch string(b[i+1 : i+n]) {
	case "DIR", "REP", "KAT": // as English, French and Swedish systems print it
		e.Type = Dir
	case "JUNCTION", "SYMLINKD", "SYMLINK", "LNK", "LINK":
		e.Type = Link
	default:
		return miss, "unknown <type>"
	}
	lo := blanks(b, i+n+1)
	if lo == len(b) {
		return miss, "no name"
	}
	c.name(lo, len(b))
	if e.Type == Link {
		splitJunction(c, lo)
	}
	return full, ""
}

// splitJunction finds the target in "name -> target", "name => target" and "name [target]".
func splitJunction(c *cursor, lo int) {
	b := c.line
	for _, sep := range []string{" -> ", " => "} {
		if i := bytes.Index(b[lo:], []byte(sep)); i > 0 {
			c.name(lo, lo+i)
			c.target(lo+i+4, len(b))
			return
		}
	}
	if i := bytes.Index(b[lo:], []byte(" [")); i > 0 && b[len(b)-1] == ']' {
		c.name(lo, lo+i)
		c.target(lo+i+2, len(b)-1)
	}
}

// dosSize reads a size with the separators of thousands that the server's locale prints.
func dosSize(e *Entry, b []byte) bool {
	if v, n := number(b); n == len(b) {
		e.Size = v
		return true
	}
	var v int64
	for i := 0; i < len(b); i++ {
		switch c := b[i]; {
		case c-'0' <= 9 && v < 1<<58:
			v = v*10 + int64(c-'0')
		case i > 0 && (c == ',' || c == '.' || c == '\'' || c == 0xA0 || c == 0xFF):
			// 0xA0 is the no-break space in the ANSI code pages, 0xFF in the OEM ones
		case i > 0 && c == 0xC2 && i+1 < len(b) && b[i+1] == 0xA0:
			i++
		case i > 0 && c == 0xE2 && i+2 < len(b) && b[i+1] == 0x80 && b[i+2] == 0xAF: // narrow no-break space
			i += 2
		default:
			return false
		}
	}
	e.Size = v
	return b[len(b)-1]-'0' <= 9
}

// dirHeader reports whether b is one of the lines that DIR prints around the entries.
func dirHeader(b []byte) bool {
	for _, s := range []string{"Volume in drive ", "Volume Serial Number ", "Directory of "} {
		if bytes.HasPrefix(b, []byte(s)) {
			return true
		}
	}
	_, n := number(b)
	if n == 0 || n >= len(b) || b[n] != ' ' {
		return false
	}
	rest := b[blanks(b, n):]
	return bytes.HasPrefix(rest, []byte("File(s)")) || bytes.HasPrefix(rest, []byte("Dir(s)"))
}

// blanks skips blanks and tabs from i on.
func blanks(b []byte, i int) int {
	for i < len(b) && (b[i] == ' ' || b[i] == '\t') {
		i++
	}
	return i
}

// finish cuts the blanks that a server puts before the name of every file.
func (p *msdosParser) finish(entries []Entry) []Entry {
	if n := p.gap.common(); n > 0 {
		for i := range entries {
			if entries[i].Type == File {
				entries[i].cutLeft(n)
			}
		}
	}
	p.gap = gap{}
	return entries
}
