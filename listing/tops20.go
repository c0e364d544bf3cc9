package listing

import (
	"bytes"
	"strings"
)

// tops20Parser reads what the server of TOPS-20 prints: names with their generation and, from LIST of one file or a
// server with longer lines, protection, account, pages and the dates of creation, writing and reading.
//
//	<ANNA>LOGIN.CMD.3;P777700;AMATHS,2,11-Nov-1985 11:43:39,12-Nov-1985 09:02:10,16-Nov-1858 16:00:00
//
//	PS:<ANNA>
//	LOGIN.CMD.3
//
// and VDIRECTORY of its command processor:
//
//	LOGIN.CMD.3;P777700     2 3172(7)   12-Nov-85 09:02:10 ANNA
type tops20Parser struct {
	headed bool // a line has named the directory: bare names follow
}

// tops20Page is the size of a page in characters: 512 words of five.
const tops20Page = 512 * 5

// CTRL/V quotes the character behind it in a name.
const tops20Quote = 0x16

func (p *tops20Parser) parse(c *cursor, e *Entry) (verdict, string) {
	b := c.line
	lo := blanks(b, 0)
	hi := len(b)
	for hi > lo && vmsBreak(b, hi-1) {
		hi--
	}
	if v := p.banner(b[lo:hi]); v != miss {
		return v, ""
	}
	at, inDir := lo, false
	if n := tops20Dir(b[lo:hi]); n > 0 {
		at, inDir = lo+n, true
	}
	end := at
	for end < hi && (b[end] > ' ' || b[end] == tops20Quote) && b[end] != ';' && b[end] != ',' {
		end += 1 + when(b[end] == tops20Quote && end+1 < hi, 1)
	}
	if !p.name(c, e, at, min(end, hi)) {
		return miss, "no name with a type and a generation"
	}
	switch {
	case end == hi && (inDir || p.headed):
		return weak, ""
	case end == hi:
		return miss, "no directory before the name"
	case b[end] == ';' && inDir:
		return p.facts(c, e, end, hi)
	case b[end] == ';' || p.headed:
		return p.columns(c, e, end, hi)
	}
	return miss, "unknown text after the name"
}

// banner reads the lines around the entries.
func (p *tops20Parser) banner(b []byte) verdict {
	if n := tops20Dir(b); n == len(b) && n > 0 && b[0] != '<' {
		p.headed = true
		return header
	}
	rest, total := bytes.CutPrefix(b, []byte("Total of "))
	if _, n := number(rest); total && n > 0 && bytes.HasPrefix(rest[n:], []byte(" page")) {
		return header
	}
	return miss
}

// tops20Dir is the length of "PS:<ANNA.MAIL>" or "<ANNA>" at the start of b.
func tops20Dir(b []byte) int {
	n := 0
	for n < len(b) && (letter(b[n]) || b[n]-'0' <= 9 || b[n] == '-' || b[n] == '_' || b[n] == '$') {
		n++
	}
	if n > 0 {
		if n == len(b) || b[n] != ':' {
			return 0
		}
		n++
	}
	if n == len(b) || b[n] != '<' {
		return 0
	}
	k := bytes.IndexByte(b[n:], '>')
	if k < 2 || bytes.ContainsAny(b[n+1:n+k], " <;,/=\"") {
		return 0
	}
	return n + k + 1
}

// name reads NAME.TYPE.GENERATION from b[lo:hi].
func (p *tops20Parser) name(c *cursor, e *Entry, lo, hi int) bool {
	b := c.line
	last := lo + bytes.LastIndexByte(b[lo:hi], '.')
	if last <= lo || last+1 == hi || hi-last > 7 || !allDigits(b[last+1:hi]) {
		return false
	}
	dot := lo + bytes.LastIndexByte(b[lo:last], '.')
	if dot <= lo {
		return false
	}
	e.Version = c.str(last+1, hi)
	if strings.EqualFold(c.str(dot+1, last), "DIRECTORY") {
		e.Type, last = Dir, dot
	}
	c.name(lo, last)
	return true
}

// facts reads ";P777700;AMATHS,2,date,date,date" from i on. Of the dates the first is that of creation, and the second,
// where it is there, that of writing.
func (p *tops20Parser) facts(c *cursor, e *Entry, i, hi int) (verdict, string) {
	b := c.line
	for i < hi && b[i] == ';' {
		lo := i + 1
		for i = lo; i < hi && b[i] != ';' && b[i] != ','; i++ {
		}
		p.attribute(c, e, lo, i)
	}
	if i == hi {
		return weak, ""
	}
	at := blanks(b, i+1)
	pages, n := number(b[at:hi])
	if at += n; n == 0 || at < hi && b[at] != ',' {
		return miss, "no pages after the name"
	}
	p.pages(e, pages)
	var written civil
	for k := 0; k < 2 && at < hi && b[at] == ','; k++ {
		var t civil
		lo := blanks(b, at+1)
		if n = tops20Date(b[min(lo, hi):hi], &t); n == 0 {
			return miss, "no date after the pages"
		}
		at = lo + n
		if !t.unset() {
			written = t
		}
	}
	return p.date(c, e, &written)
}

// attribute reads what follows a ";" of a name: P and the protection, A and the account.
func (p *tops20Parser) attribute(c *cursor, e *Entry, lo, hi int) {
	if lo == hi {
		return
	}
	switch c.line[lo] | 0x20 {
	case 'p':
		e.Mode = c.str(lo+1, hi)
	case 'a':
		e.Group = c.str(lo+1, hi)
	}
}

func (p *tops20Parser) pages(e *Entry, n int64) {
	if e.Type == File && n < 1<<50 {
		e.Size, e.SizeEstimated = n*tops20Page, true
	}
}

// date gives e the time t, if there is one.
func (p *tops20Parser) date(c *cursor, e *Entry, t *civil) (verdict, string) {
	var ok bool
	if t.month == 0 {
		return weak, ""
	}
	if e.ModTime, ok = c.dates.resolve(t); !ok {
		return miss, "no such date"
	}
	return full, ""
}

// tops20Date reads 12-Nov-1985 09:02:10 from the start of b and returns its length, 0 for something else.
func tops20Date(b []byte, t *civil) int {
	n := decDay(b, t)
	if n == 0 || t.month == 0 {
		return 0
	}
	lo := blanks(b, n)
	hi := lo
	for hi < len(b) && (b[hi]-'0' <= 9 || b[hi] == ':') {
		hi++
	}
	switch {
	case hi > lo && lo > n && clock(b[lo:hi], t):
		n = hi
	case hi > lo:
		return 0
	}
	if n < len(b) && b[n] != ',' && b[n] != ' ' {
		return 0
	}
	return n
}

// columns reads ";P777700     2 3172(7)   12-Nov-85 09:02:10 ANNA" from i on.
func (p *tops20Parser) columns(c *cursor, e *Entry, i, hi int) (verdict, string) {
	b := c.line
	for i < hi && b[i] == ';' {
		lo := i + 1
		for i = lo; i < hi && b[i] != ';' && b[i] > ' '; i++ {
		}
		p.attribute(c, e, lo, i)
	}
	i = blanks(b, i)
	if i >= hi {
		if p.headed {
			return weak, ""
		}
		return miss, "no directory before the name"
	}
	pages, n := number(b[i:hi])
	if n == 0 || i+n < hi && b[i+n] > ' ' {
		return miss, "no pages after the name"
	}
	p.pages(e, pages)
	i = blanks(b, i+n)
	if v, n := tops20Bytes(b[i:max(i, hi)]); n > 0 {
		if e.Type == File && v >= 0 {
			e.Size, e.SizeEstimated = v, false
		}
		i = blanks(b, i+n)
	}
	if i >= hi {
		return weak, ""
	}
	var t civil
	if n = tops20Date(b[i:hi], &t); n == 0 {
		return miss, "no date after the pages"
	}
	if i = blanks(b, i+n); i < hi {
		e.Owner = c.str(i, hi)
	}
	if t.unset() {
		t = civil{}
	}
	return p.date(c, e, &t)
}

// tops20Bytes reads 3172(7), a number of bytes and how many bits one has, from the start of b. Bytes of seven or
// eight bits come as one each; of other sizes the number says little, and -1 is returned.
func tops20Bytes(b []byte) (v int64, n int) {
	v, n = number(b)
	if n == 0 || n == len(b) || b[n] != '(' {
		return 0, 0
	}
	bits, k := number(b[n+1:])
	if k == 0 || n+1+k == len(b) || b[n+1+k] != ')' {
		return 0, 0
	}
	if bits != 7 && bits != 8 {
		v = -1
	}
	return v, n + k + 2
}
