package listing

import "bytes"

// os400Parser reads the native listings of IBM i, once called OS/400 (SITE LISTFMT 0).
//
//	ANNA             8192 04/03/24 14:06:34 *DIR       invoices/
//	QPGMR        16347136 29.06.13 15:45:09 *FILE      BACKUP.SAVF
//	QPGMR                                   *MEM       ORDERS.FILE/MAY.MBR
//
// Owner, size and time may each be missing. The order of the date is the server job's and not said: see os400Order.
type os400Parser struct {
	row   row
	order os400Order
	gap   gap
}

// os400Columns says which words of a line are what; -1 is a column that is not there.
type os400Columns struct {
	kind           int // the object type
	size, date, at int // at is the time of day
	dates          int // how many words the date has
	glued          int // length of the size that is glued to the date
	owners         int // how many words come before
}

func (p *os400Parser) survey(line []byte) {
	p.row.split(line)
	if k, ok := p.columns(); ok && k.date >= 0 {
		p.order.see(p.row.line[p.row.at[k.date].lo+k.glued : p.row.at[k.date+k.dates-1].hi])
	}
}

// columns finds the object type and, from there to the left, time, date, size and owner.
func (p *os400Parser) columns() (os400Columns, bool) {
	r := &p.row
	k := os400Columns{kind: -1, size: -1, date: -1, at: -1}
	for i := 0; i < r.n && i < 8; i++ {
		if w := r.word(i); len(w) > 3 && w[0] == '*' && capitals(w[1:]) {
			k.kind = i
			break
		}
	}
	if k.kind < 0 && r.n == 5 && r.word(0)[0] == '/' && folderType(r.word(4)) {
		k.kind = 4 // "/QDLS/LETTERS  0 11/09/95 07:19:30 DIR": release 3 shows folders so
	}
	if k.kind < 0 {
		return k, false
	}
	j := k.kind - 1
	if timeShaped(r.word(j)) {
		k.at = j
		j--
		j = p.dateColumns(&k, j)
	}
	if k.glued == 0 && j >= 0 && allDigits(r.word(j)) {
		k.size = j
		j--
	}
	k.owners = j + 1
	return k, true
}

// dateColumns finds the date that ends at word j and returns the word before it.
func (p *os400Parser) dateColumns(k *os400Columns, j int) int {
	r := &p.row
	w := r.word(j)
	switch _, _, _, n := separated(w); {
	case n > 0 && n == len(w), pairs(w), numbers(w, '/'), numbers(w, '-'), numbers(w, '.'):
		k.date, k.dates = j, 1
		return j - 1
	case j >= 2 && pairs(r.line[r.at[j-2].lo:r.at[j].hi]): // the job separates with a blank
		k.date, k.dates = j-2, 3
		return j - 3
	case len(w) > 8 && allDigits(w[:len(w)-8]) && pairs(w[len(w)-8:]):
		k.date, k.dates, k.glued, k.size = j, 1, len(w)-8, j
		return j - 1
	}
	return j
}

// timeShaped reports whether b is three numbers of up to two digits, separated by colons, dots or commas.
func timeShaped(b []byte) bool {
	for i := range 3 {
		_, n := number(b)
		if n < 1 || n > 2 {
			return false
		}
		b = b[n:]
		if i == 2 || len(b) == 0 || b[0] != ':' && b[0] != '.' && b[0] != ',' {
			return i == 2 && len(b) == 0
		}
		b = b[1:]
	}
	return false
}

func folderType(b []byte) bool {
	switch string(b) {
	case "DIR", "FLR", "DOC":
		return true
	}
	return false
}

func (p *os400Parser) parse(c *cursor, e *Entry) (verdict, string) {
	r := &p.row
	r.split(c.line)
	k, ok := p.columns()
	if !ok {
		return miss, "no object type"
	}
	known := os400Type(e, bytes.TrimPrefix(r.word(k.kind), []byte{'*'}))
	lo, hi := r.at[0].lo, r.at[0].hi
	if r.word(k.kind)[0] == '*' {
		if k.kind+1 >= r.n {
			return miss, "no name"
		}
		// the column of the type has ten bytes and a blank
		lo, hi = min(r.at[k.kind+1].lo, r.at[k.kind].lo+11), len(c.line)
		if k.owners > 0 {
			e.Owner = c.str(r.at[0].lo, r.at[k.owners-1].hi)
		}
		p.gap.see(c.line[lo:])
	}
	v := full
	timed := p.time(c, e, k)
	if k.owners > 1 || !known && k.at < 0 || k.glued > 0 || !timed {
		v = weak
	}
	p.size(e, k)
	p.name(c, e, k, lo, hi)
	return v, ""
}

// os400Type reads the object type. It reports whether it is one that can be listed by FTP.
func os400Type(e *Entry, b []byte) bool {
	switch string(b) {
	case "DIR", "DDIR", "LIB", "FLR":
		e.Type = Dir
	case "SYMLNK":
		e.Type = Link
	case "BLKSF", "CHRSF", "FIFO", "SOCKET":
		e.Type = Other
	case "FILE", "MEM":
		// records: what is transferred is longer or shorter than the object
		e.SizeEstimated = true
	case "STMF", "DSTMF", "DOC", "SAVF", "PGM", "SRVPGM", "USRSPC", "MODULE", "CMD", "DTAARA", "OUTQ", "JOBQ", "MSGQ":
	default:
		return false
	}
	return true
}

// size reads the size of what has one.
func (p *os400Parser) size(e *Entry, k os400Columns) {
	if k.size >= 0 && e.Type == File {
		w := p.row.word(k.size)
		if k.glued > 0 {
			w = w[:k.glued]
		}
		if v, n := number(w); n == len(w) {
			e.Size = v
		}
	}
	e.SizeEstimated = e.SizeEstimated && e.Size >= 0
}

// time reads date and time. It reports whether they are right or not there.
func (p *os400Parser) time(c *cursor, e *Entry, k os400Columns) bool {
	if k.at < 0 {
		return true
	}
	var t civil
	if k.date < 0 || !dotted(p.row.word(k.at), &t) {
		return false
	}
	r := &p.row
	if !p.order.date(c.dates, r.line[r.at[k.date].lo+k.glued:r.at[k.date+k.dates-1].hi], &t) {
		return false
	}
	at, ok := c.dates.resolve(&t)
	if ok {
		e.ModTime = at
	}
	return ok
}

// name takes the last element of the path in c.line[lo:hi]; what ends in a slash is a directory. The member of a file
// keeps the name of its file, since one is no use without the other.
func (p *os400Parser) name(c *cursor, e *Entry, k os400Columns, lo, hi int) {
	b := c.line
	if hi > lo+1 && b[hi-1] == '/' {
		hi--
		if e.Type == File {
			e.Type, e.Size, e.SizeEstimated = Dir, -1, false
		}
	}
	if string(p.row.word(k.kind)) != "*MEM" {
		if i := bytes.LastIndexByte(b[lo:hi], '/'); i >= 0 && lo+i+1 < hi {
			lo += i + 1
		}
	}
	c.name(lo, hi)
}

// finish cuts the blanks that stand before every name.
func (p *os400Parser) finish(entries []Entry) []Entry {
	if n := p.gap.common(); n > 0 {
		for i := range entries {
			entries[i].cutLeft(n)
		}
	}
	p.gap = gap{}
	return entries
}
