package listing

// os9Parser reads what DIR -E of Microware OS-9 prints.
//
//	                            Directory of . 11:44:44
//	 Owner    Last modified  Attributes Sector Bytecount Name
//	-------   -------------  ---------- ------ --------- ----
//	   0.0    01/02/13 0945   d-----wr     3C0    148724 W_017
//
// Dates are year first; the sector is hexadecimal, the byte count is not.
type os9Parser struct{ row row }

func (p *os9Parser) parse(c *cursor, e *Entry) (verdict, string) {
	r := &p.row
	r.split(c.line)
	if v := p.header(); v != miss {
		return v, ""
	}
	if !numbers(r.word(0), '.') {
		return miss, "no owner"
	}
	t := civil{precision: Day}
	v, digits, sep, n := separated(r.word(1))
	if n == 0 || n != len(r.word(1)) || sep != '/' || digits[1] > 2 || digits[2] > 2 {
		return miss, "no date after the owner"
	}
	t.year, t.month, t.day = fullYear(v[0], digits[0]), v[1], v[2]
	if digits[0] == 1 {
		t.year += 2000
	}
	if !bare(r.word(2), &t) && !clock(r.word(2), &t) {
		return miss, "no time of day"
	}
	if !os9Attributes(r.word(3)) {
		return miss, "no attributes"
	}
	size, n := number(r.word(5))
	if !ofOnly(r.word(4), "0123456789abcdefABCDEF") || n == 0 || n != len(r.word(5)) {
		return miss, "no sector and byte count"
	}
	var ok bool
	if e.ModTime, ok = c.dates.resolve(&t); !ok {
		return miss, "no such date"
	}
	if r.n < 7 {
		return miss, "no name"
	}
	e.Owner, e.Mode = c.str(r.at[0].lo, r.at[0].hi), c.str(r.at[3].lo, r.at[3].hi)
	if e.Size = size; e.Mode[0] == 'd' {
		e.Type, e.Size = Dir, -1
	}
	c.name(r.at[6].lo, len(c.line))
	return full, ""
}

func (p *os9Parser) header() verdict {
	r := &p.row
	switch {
	case r.is(0, false, "Owner", "Last", "modified", "Attributes", "Sector"):
		return header
	case r.is(0, false, "Directory", "of") && r.n >= 4, r.n >= 6 && ofOnly(r.word(0), "-") && ofOnly(r.word(5), "-"):
		return ignore
	}
	return miss
}

// os9Attributes reports whether b is dsewrewr, each in its place or replaced by "-".
func os9Attributes(b []byte) bool {
	if len(b) != 8 {
		return false
	}
	for i, c := range b {
		if c != '-' && c != "dsewrewr"[i] {
			return false
		}
	}
	return true
}

// numbers reports whether b is two numbers with sep between them.
func numbers(b []byte, sep byte) bool {
	_, n := number(b)
	return n > 0 && n < len(b) && b[n] == sep && allDigits(b[n+1:])
}
