package listing

// os2Parser reads the listings of OS/2: IBM's TCP/IP for OS/2 and others that imitate it.
//
//	73098      A          04-06-97   15:15  minutes.txt
//	    0           DIR   12-11-95   13:55  drafts
//	36611     RA          04-23-103  10:57  year 2003
//
// The attributes are letters of RHSA, in the first or the second of two columns; DIR may stand in either.
type os2Parser struct {
	row   row
	order dayOrder
	gap   gap
}

func (p *os2Parser) survey(line []byte) {
	p.row.split(line)
	if i := p.dateColumn(); i >= 0 {
		if v, digits, _, n := separated(p.row.word(i)); n > 0 && digits[0] <= 2 {
			p.order.see(v)
		}
	}
}

// dateColumn is the word after size and attributes, -1 where they are none.
func (p *os2Parser) dateColumn() int {
	i := 0
	if allDigits(p.row.word(0)) {
		i = 1
	}
	from := i
	for i < p.row.n && i < from+4 && os2Attributes(p.row.word(i)) {
		i++
	}
	if i == 0 || i+2 >= p.row.n {
		return -1
	}
	return i
}

// os2Attributes reports whether b is DIR or a word of attributes.
func os2Attributes(b []byte) bool {
	return isDIR(b) || len(b) <= 6 && ofOnly(b, "RHSADErhsa-")
}

func isDIR(b []byte) bool {
	return len(b) == 3 && b[0]|0x20 == 'd' && b[1]|0x20 == 'i' && b[2]|0x20 == 'r'
}

func (p *os2Parser) parse(c *cursor, e *Entry) (verdict, string) {
	r := &p.row
	r.split(c.line)
	d := p.dateColumn()
	if d < 0 {
		return miss, "no size, attributes, date, time and name"
	}
	var t civil
	if !p.order.date(r.word(d), &t) {
		return miss, "no date after the size and the attributes"
	}
	// only the word: a name behind it may be "a" or "p"
	if w := r.word(d + 1); dosClock(w, &t) != len(w) {
		return miss, "no time of day"
	}
	var ok bool
	if e.ModTime, ok = c.dates.resolve(&t); !ok {
		return miss, "no such date"
	}
	v := full
	from := 0
	if size, n := number(r.word(0)); n > 0 && n == len(r.word(0)) {
		e.Size, from = size, 1
	} else {
		v = weak
	}
	p.attributes(c, e, from, d)
	// two blanks come before the name; what is more belongs to it
	end := r.at[d+1].hi
	lo := min(blanks(c.line, end), end+2)
	if blank(c.line[lo:]) {
		return miss, "no name"
	}
	p.gap.see(c.line[lo:])
	c.name(lo, len(c.line))
	return v, ""
}

// attributes reads the words from i to the date.
func (p *os2Parser) attributes(c *cursor, e *Entry, i, date int) {
	for ; i < date; i++ {
		if isDIR(p.row.word(i)) {
			e.Type, e.Size = Dir, -1
		} else {
			e.Mode = c.str(p.row.at[i].lo, p.row.at[i].hi)
		}
	}
}

// finish cuts the blanks that a server puts before every name.
func (p *os2Parser) finish(entries []Entry) []Entry {
	if n := p.gap.common(); n > 0 {
		for i := range entries {
			entries[i].cutLeft(n)
		}
	}
	p.gap = gap{}
	return entries
}
