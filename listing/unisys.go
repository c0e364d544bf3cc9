package listing

// unisysParser reads the native directory format of Unisys ClearPath, MCP and OS 2200 alike.
//
//	Report for: (ANNA)REPORTS ON PACK
//	REPORTS/2004/MAY        SEQDATA       84 06/09/2004  12:03
//	          1 Files      84 Octets
//
// Titles are names with slashes in them, not paths. A title that is too long has the line to itself.
type unisysParser struct {
	row   row
	order dayOrder
}

func (p *unisysParser) survey(line []byte) {
	p.row.split(line)
	for i := 2; i < 4; i++ {
		if v, digits, _, n := separated(p.row.word(i)); n > 0 && digits[0] <= 2 {
			p.order.see(v)
		}
	}
}

func (p *unisysParser) parse(c *cursor, e *Entry) (verdict, string) {
	r := &p.row
	r.split(c.line)
	switch {
	case r.is(0, false, "Report", "for:"):
		return header, ""
	case r.n == 4 && allDigits(r.word(0)) && (r.is(1, false, "Files") || r.is(1, false, "File")) &&
		(r.is(3, true, "Octets") || r.is(3, true, "Octet")):
		return header, ""
	case r.n == 1 && r.at[0].lo == 0 && title(r.word(0)):
		return held, ""
	}
	from := 1
	if c.held != nil && c.line[0] == ' ' {
		from = 0
	}
	if reason := p.columns(c, e, from); reason != "" {
		return miss, reason
	}
	if from == 0 {
		c.inHeld = true
		c.name(0, len(c.held))
		return joined, ""
	}
	c.name(r.at[0].lo, r.at[0].hi)
	return full, ""
}

// columns reads kind, size, date and time, and says why they are none.
func (p *unisysParser) columns(c *cursor, e *Entry, i int) string {
	r := &p.row
	if r.n != i+4 || !capitals(r.word(i)) {
		return "no title, kind, size, date and time"
	}
	size, n := number(r.word(i + 1))
	if n == 0 || n != len(r.word(i+1)) {
		return "no size after the kind of the file"
	}
	var t civil
	if !p.order.date(r.word(i+2), &t) || !clock(r.word(i+3), &t) {
		return "no date and time after the size"
	}
	var ok bool
	if e.ModTime, ok = c.dates.resolve(&t); !ok {
		return "no such date"
	}
	e.Size = size
	return ""
}

// title reports whether b can be the title of a file: capital letters and digits, in nodes between slashes, perhaps
// with a user in parentheses or a star before them, or quoted nodes.
func title(b []byte) bool {
	slash, letters := false, 0
	for _, c := range b {
		switch {
		case c >= 'A' && c <= 'Z':
			letters++
		case c == '/':
			slash = true
		case c-'0' > 9 && c != '-' && c != '_' && c != '.' && c != '(' && c != ')' && c != '*' && c != '"':
			return false
		}
	}
	return slash && letters > 0 && len(b) > 17
}
