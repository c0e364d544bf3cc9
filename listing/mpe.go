package listing

import "bytes"

// mpeParser reads the listings of HP 3000 MPE/iX: LISTF and LISTFILE, in their formats 1 and 2.
//
//	ACCOUNT=  SALES       GROUP=  PUB
//	FILENAME  CODE  ------------LOGICAL RECORD-----------  ----SPACE----
//	                  SIZE  TYP        EOF      LIMIT R/B  SECTORS #X MX
//	ORDERS             80B  FA          45         45   3       16  1  1
//
// and, where the names are POSIX ones, with the name last:
//
//	PATH= /SALES/PUB/
//	 CODE  ------------LOGICAL RECORD-----------  ----SPACE----  FILENAME
//	          16W  HBD          0   67107839   1       32  1  *  incoming/
//
// SIZE is the length of a record, in bytes (B) or words of two (W); EOF is the number of records. No time is given.
type mpeParser struct {
	row   row
	posix bool // the last heading has FILENAME at its end
	brief bool // and no SPACE
}

func (p *mpeParser) parse(c *cursor, e *Entry) (verdict, string) {
	r := &p.row
	r.split(c.line)
	if v := p.header(); v != miss {
		return v, ""
	}
	at := p.record()
	if at < 0 {
		return miss, "no record size, type, EOF and limit"
	}
	last := min(at+8, r.n) // behind R/B, SECTORS, #X and MX
	if p.brief {
		last = at + 4
	}
	for i := at + 4; i < last; i++ {
		if !allDigits(r.word(i)) && !ofOnly(r.word(i), "*") {
			last = i
		}
	}
	lo, hi := r.at[0].lo, r.at[0].hi
	switch {
	case last < r.n:
		lo, hi, _ = r.rest(last)
	case p.posix || at == 0 || lo > 8:
		return miss, "no name"
	}
	hi -= len(c.line[lo:hi]) - len(bytes.TrimRight(c.line[lo:hi], "*")) // the mark of an open file
	if lo >= hi {
		return miss, "no name"
	}
	p.attributes(e, at)
	if c.line[hi-1] == '/' && hi-lo > 1 {
		hi--
		e.Type, e.Size, e.SizeEstimated = Dir, -1, false
	}
	c.name(lo, hi)
	return full, ""
}

// header reads the headings and remembers which table they begin.
func (p *mpeParser) header() verdict {
	r := &p.row
	switch {
	case r.is(0, false, "SIZE", "TYP", "EOF", "LIMIT"):
		p.brief = p.brief && r.n <= 4
		return header
	case bytes.HasPrefix(r.word(0), []byte("PATH=")), bytes.HasPrefix(r.word(0), []byte("ACCOUNT=")):
		p.brief = false
		return header
	case r.is(0, false, "FILENAME", "CODE"):
		p.posix, p.brief = false, !bytes.Contains(r.line, []byte("-SPACE-"))
		return header
	case r.n > 2 && r.is(0, false, "CODE") && r.is(r.n-1, true, "FILENAME"):
		p.posix, p.brief = true, !bytes.Contains(r.line, []byte("-SPACE-"))
		return header
	case r.is(1, true, "not", "found") && bytes.IndexByte(r.word(0), '@') >= 0:
		return ignore
	}
	return miss
}

// record finds the four columns of the logical record: the first is one of the first three words.
func (p *mpeParser) record() int {
	r := &p.row
	for i := range min(r.n, 3) {
		w := r.word(i)
		_, n := number(w)
		if n == 0 || n+1 != len(w) || w[n] != 'B' && w[n] != 'W' {
			continue
		}
		kind := r.word(i + 1)
		if len(kind) <= 4 && capitals(kind) && allDigits(r.word(i+2)) && allDigits(r.word(i+3)) {
			return i
		}
	}
	return -1
}

// attributes reads the size, and from the type (H, B and D: a directory) what it is.
func (p *mpeParser) attributes(e *Entry, at int) {
	w := p.row.word(at)
	length, _ := number(w)
	records, n := number(p.row.word(at + 2))
	bytewise := length == 1 && w[len(w)-1] == 'B'
	if w[len(w)-1] == 'W' {
		length *= 2
	}
	kind := p.row.word(at + 1)
	if kind[0] == 'H' && kind[len(kind)-1] == 'D' {
		e.Type = Dir
		return
	}
	if n > 0 && n <= 12 && length < 1<<17 {
		e.Size, e.SizeEstimated = length*records, !bytewise
	}
}
