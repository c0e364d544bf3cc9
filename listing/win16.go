package listing

import "bytes"

// win16Parser reads the listings that start with a short name: Chameleon/NEWT and SuperTCP for Windows 3, Distinct
// TCP/IP, and the wfFtp of Nortel's routers.
//
//	DESIGN1.DOC     11264      May 11 1995 14:20   RA
//	INSTALL         <DIR>           11-16-94        17:17
//	TESTDI~1     <DIR>     11-29-2004  22:16 Test Dir
//	image.exe          1014196  06/03/04  Thur.   10:20:03
type win16Parser struct {
	row   row
	order dayOrder
}

func (p *win16Parser) survey(line []byte) {
	p.row.split(line)
	if v, digits, _, n := separated(p.row.word(2)); n > 0 && digits[0] <= 2 {
		p.order.see(v)
	}
}

func (p *win16Parser) parse(c *cursor, e *Entry) (verdict, string) {
	r := &p.row
	r.split(c.line)
	if r.n < 4 || r.at[0].lo != 0 {
		return miss, "no name at the start of the line"
	}
	size := r.word(1)
	if string(size) == "<DIR>" {
		e.Type = Dir
	} else if v, n := number(size); n > 0 && n == len(size) {
		e.Size = v
	} else {
		return miss, "no size after the name"
	}
	var t civil
	i := 3
	long := p.order.date(r.word(2), &t)
	if !long {
		if i = p.wordyDate(&t); i == 0 {
			return miss, "no date after the size"
		}
	} else if w := r.word(i); len(w) > 2 && w[len(w)-1] == '.' && letter(w[0]) {
		i++ // the day of the week
	}
	if !clock(r.word(i), &t) {
		return miss, "no time of day"
	}
	var ok bool
	if e.ModTime, ok = c.dates.resolve(&t); !ok {
		return miss, "no such date"
	}
	return p.rest(c, e, i+1, long), "no long name behind the time"
}

// wordyDate reads "Nov 16 1994" from the third word on and returns the word behind it, 0 where there is none.
func (p *win16Parser) wordyDate(t *civil) int {
	r := &p.row
	if len(r.word(2)) != 3 || r.n < 6 {
		return 0
	}
	d, n := number(r.word(3))
	y, ok := year(r.word(4))
	t.month = englishMonth(r.word(2))
	if t.month == 0 || n < 1 || n > 2 || n != len(r.word(3)) || !ok {
		return 0
	}
	t.year, t.day = y, int(d)
	return 5
}

// rest reads what follows the time: attributes, or the long name where long says that there can be one.
func (p *win16Parser) rest(c *cursor, e *Entry, i int, long bool) verdict {
	r := &p.row
	c.name(r.at[0].lo, r.at[0].hi)
	switch {
	case i >= r.n:
		return full
	case i+1 == r.n && len(r.word(i)) <= 5 && r.at[i].lo-r.at[i-1].hi > 1 && ofOnly(r.word(i), "RHSAdrwahs-"),
		!long && ofOnly(r.line[r.at[i].lo:], " \tRHSAdrwahs-"):
		e.Mode = c.str(r.at[i].lo, r.at[r.n-1].hi)
		return full
	case long && bytes.ContainsAny(r.line[r.at[i].lo:], `"*/:<>?\|`):
		return miss // no name for Windows
	case long:
		// one blank, then the name; Windows allows a blank at its start
		c.name(r.at[i-1].hi+1, len(c.line))
		return full
	}
	return weak
}
