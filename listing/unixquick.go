package listing

// quick reads the lines that most listings are made of, in one walk:
//
//	-rw-r--r--   1 owner    group        4096 Mar  2 15:13 name
//	drwxr-xr-x   2 1000     1000         4096 Mär  2  2014 name
//
// Type and permissions without a mark, links, owner, group, size, month by name, day, year or time, one blank, name.
// Of all other lines it reads nothing. What it reads it reads as general does: TestQuick and FuzzQuick hold it to that.
func (p *unixParser) quick(c *cursor, e *Entry) bool {
	b := c.line
	if len(b) < 32 || b[10] != ' ' || !p.sameMode(b) {
		return false
	}
	var w [6]token // owner, group, size, month, day, year or time; links come before them
	at, ok := figures(b, 10)
	for i := range w {
		if w[i], at = wordAt(b, at); !ok || at < 0 {
			return false
		}
	}
	size, ok := fileSize(b[w[2].lo:w[2].hi])
	if !ok || !whole(b, w[0]) || !whole(b, w[1]) {
		return false
	}
	var t civil
	if !monthName(b[w[3].lo:w[3].hi], &t) || t.hint != 0 || !dayAndTime(b, w[4], w[5], &t) {
		return false
	}
	lo := at + 1
	if lo >= len(b) || b[lo] <= ' ' { // leading blanks are for general
		return false
	}
	if e.ModTime, ok = c.dates.resolve(&t); !ok {
		return false
	}
	switch b[0] {
	case '-':
		e.Type, e.Size = File, size
	case 'd':
		e.Type, e.Size = Dir, -1
	default:
		e.Type, e.Size = Link, -1
	}
	e.Mode = c.str(1, 10)
	e.Owner, e.Group = c.str(w[0].lo, w[0].hi), c.str(w[1].lo, w[1].hi)
	g := &p.gap[when(t.precision == Day, 1)]
	g.names, g.least, g.wide = g.names+1, 0, 0
	p.dated = true
	p.setName(c, e, lo)
	return true
}

// sameMode reports whether b starts with the type and the permissions of a file, directory or link. Those of the
// line before need no second look.
func (p *unixParser) sameMode(b []byte) bool {
	m := [10]byte(b)
	if m == p.mode {
		return true
	}
	if m[0] != '-' && m[0] != 'd' && m[0] != 'l' {
		return false
	}
	for i, ch := range m[1:] {
		if !permission(ch, i%3) {
			return false
		}
	}
	p.mode = m
	return true
}

// figures skips blanks and the digits behind them, and returns where those end.
func figures(b []byte, at int) (end int, ok bool) {
	for at < len(b) && b[at] == ' ' {
		at++
	}
	end = at
	for end < len(b) && b[end]-'0' <= 9 {
		end++
	}
	return end, end > at && end < len(b) && b[end] == ' '
}

// wordAt finds the word behind the blanks at at. It ends at end, in a blank; -1 is anything else.
func wordAt(b []byte, at int) (w token, end int) {
	for at < len(b) && b[at] == ' ' {
		at++
	}
	end = at
	for end < len(b) && b[end] > ' ' {
		end++
	}
	if end == at || end == len(b) || b[end] != ' ' {
		return w, -1
	}
	return token{at, end}, end
}

// fileSize reads a size that is nothing but digits.
func fileSize(b []byte) (v int64, ok bool) {
	for _, c := range b {
		if c -= '0'; c > 9 {
			return 0, false
		}
		v = v*10 + int64(c)
	}
	return v, len(b) <= 18
}

// whole reports whether w is nothing but digits, if it starts with one: 2014-03-02 may be the date.
func whole(b []byte, w token) bool {
	return b[w.lo]-'0' > 9 || allDigits(b[w.lo:w.hi])
}

// dayAndTime reads the day and the year or time into t.
func dayAndTime(b []byte, day, last token, t *civil) bool {
	switch v := b[day.lo] - '0'; {
	case v > 9 || day.hi-day.lo > 2:
		return false
	case day.hi-day.lo == 1:
		t.day = int(v)
	default:
		u := b[day.lo+1] - '0'
		if t.day = int(v)*10 + int(u); u > 9 {
			return false
		}
	}
	var v [5]int
	l := b[last.lo:last.hi]
	if len(l) > 5 || len(l) < 4 {
		return false
	}
	for i, c := range l {
		v[i] = int(c - '0')
		if v[i] > 9 && (c != ':' || i != len(l)-3) {
			return false
		}
	}
	switch {
	case len(l) == 4 && v[1] <= 9:
		t.year, t.precision = v[0]*1000+v[1]*100+v[2]*10+v[3], Day
		return t.year > 0
	case len(l) == 4:
		t.hour, t.min = v[0], v[2]*10+v[3]
	case v[2] > 9:
		t.hour, t.min = v[0]*10+v[1], v[3]*10+v[4]
	default:
		return false
	}
	t.noYear, t.precision = true, Minute
	return t.hour < 24 && t.min < 60
}
