package listing

import "bytes"

// tableParser reads tables in no known format: a line with a date or a time of day is an entry, and its name is what
// stands behind the columns that are understood or, where nothing does, before them. Numbers could mean anything, so
// sizes stay unknown, and so do dates that can be read in two ways.
//
//	BACKUP   2011-03-02 10:15   17   nightly run.tar
type tableParser struct {
	behind, before int // lines with words behind the last column, and with words only before the first
	words          [maxWords]token
}

// column is what a word of a table is.
type column uint8

const (
	word column = iota
	amount
	moment // a date or a time of day
	folder
)

func (p *tableParser) survey(line []byte) {
	first, last, ok := p.columns(line, nil, nil)
	switch {
	case !ok:
	case last < len(p.split(line)):
		p.behind++
	case first > 0:
		p.before++
	}
}

func (p *tableParser) parse(c *cursor, e *Entry) (verdict, string) {
	var t civil
	first, last, ok := p.columns(c.line, e, &t)
	if !ok {
		return miss, "no known format: no date or time of day in it"
	}
	w := p.split(c.line)
	switch {
	case p.behind >= p.before && last < len(w):
		c.name(w[last].lo, len(c.line))
	case p.behind < p.before && first > 0:
		c.name(w[0].lo, w[first-1].hi)
	default:
		return miss, "no known format: no name beside the columns"
	}
	if t.year > 0 {
		e.ModTime, _ = c.dates.resolve(&t)
	}
	return weak, ""
}

func (p *tableParser) split(line []byte) []token {
	n := 0
	for at := 0; n < maxWords; n++ {
		at = blanks(line, at)
		if at == len(line) {
			break
		}
		lo := at
		for at < len(line) && line[at] != ' ' && line[at] != '\t' {
			at++
		}
		p.words[n] = token{lo, at}
	}
	return p.words[:n]
}

// columns finds the first word that is a column and the first one behind the last column. ok is set where one of them
// is a moment.
func (p *tableParser) columns(line []byte, e *Entry, t *civil) (first, last int, ok bool) {
	first = -1
	for i, w := range p.split(line) {
		k := columnOf(line[w.lo:w.hi], t)
		if k == word {
			if ok && last == i {
				return max(first, 0), last, true // the name may have words that look like columns
			}
			continue
		}
		if first < 0 {
			first = i
		}
		if k == folder && e != nil {
			e.Type = Dir
		}
		ok, last = ok || k == moment, i+1
	}
	return max(first, 0), last, ok
}

// columnOf tells what a word is. A date that can be read in one way only is kept in t.
func columnOf(b []byte, t *civil) column {
	var u civil
	if t == nil {
		t = &u
	}
	if allDigits(b) {
		return amount
	}
	v, digits, sep, n := separated(b)
	switch {
	case clock(b, t):
		return moment
	case dashedMonth(b, &u):
		t.year, t.month, t.day = u.year, u.month, u.day
	case n != len(b) || sep == ':':
		return named(b)
	case digits[0] == 4:
		t.year, t.month, t.day = v[0], v[1], v[2]
	}
	if t.precision == Unknown {
		t.precision = Day
	}
	return moment
}

func named(b []byte) column {
	for _, s := range []string{"<DIR>", "DIR", "*DIR"} {
		if bytes.EqualFold(b, []byte(s)) {
			return folder
		}
	}
	return word
}

// tableOnly reports whether a listing that no format reads is a table: most of its lines, and more than one, have a
// moment and a name.
func tableOnly(raw []byte, t terminators) bool {
	sp := newSplitter(raw, t, 0)
	p, lines := new(tableParser), 0
	for lines < voteLines {
		l, ok := sp.scan()
		if !ok {
			break
		}
		if b := raw[l.lo:l.hi]; !blank(b) && len(b) <= MaxLine {
			lines++
			p.survey(b)
		}
	}
	most := max(p.behind, p.before)
	return most > 1 && most*4 >= lines*3
}
