package listing

import "bytes"

// vosParser reads what the FTP servers of Stratus VOS print.
//
//	Files: 2  Blocks: 163
//
//	w    158 stm       98-05-19 11:53:44  acctng.cobol
//	r      5 seq       98-07-02 08:00:10  log.98-07-02
//
//	Dirs: 1
//
//	m      1           97-11-30 16:20:05  old
//
//	Links: 1
//
//	98-01-13 21:15:43  archive  ->
//	+%sys#disk>Group>archive
type vosParser struct{ section byte } // 'F', 'D' or 'L', by the last header

// A block has 4096 bytes.
const vosBlock = 4096

func (p *vosParser) parse(c *cursor, e *Entry) (verdict, string) {
	b := c.line
	i := blanks(b, 0)
	if p.header(b[i:]) {
		return header, ""
	}
	if b[i] == '+' {
		return p.target(c, e, i+1)
	}
	if p.section == 'L' {
		return p.link(c, e, i)
	}
	// u, n: no access; e, r, w: execute, read and write a file; s, m: list and modify a directory
	if bytes.IndexByte([]byte("unerwsm"), b[i]) < 0 || i+1 == len(b) || b[i+1] != ' ' {
		return miss, "no access right"
	}
	e.Mode = c.str(i, i+1)
	i = blanks(b, i+1)
	blocks, n := number(b[i:])
	if n == 0 || i+n == len(b) || b[i+n] != ' ' {
		return miss, "no number of blocks"
	}
	i = blanks(b, i+n)
	typed := i < len(b) && b[i]-'0' > 9
	if typed {
		i = blanks(b, vosWord(b, i))
	}
	at, reason := p.when(c, e, i)
	if reason != "" {
		return miss, reason
	}
	switch {
	case p.section == 'D' || !typed:
		e.Type = Dir
	case blocks < 1<<50:
		e.Size, e.SizeEstimated = blocks*vosBlock, true
	}
	c.name(at, vosEnd(b))
	return full, ""
}

// vosWord is where the word at i, of at most eight letters and signs, ends.
func vosWord(b []byte, i int) int {
	end := i
	for end < len(b) && end < i+8 && b[end] > ' ' {
		end++
	}
	return end
}

// vosEnd is where the blanks at the end of b begin.
func vosEnd(b []byte) int {
	hi := len(b)
	for hi > 0 && vmsBreak(b, hi-1) {
		hi--
	}
	return hi
}

// header reads "Files: 4  Blocks: 609", "Dirs: 0" and "Links: 1".
func (p *vosParser) header(b []byte) bool {
	for _, s := range []string{"Files:", "Dirs:", "Links:"} {
		if rest, ok := bytes.CutPrefix(b, []byte(s)); ok {
			rest = rest[blanks(rest, 0):]
			_, n := number(rest)
			rest = rest[n:]
			rest = rest[blanks(rest, 0):]
			if n == 0 || len(rest) > 0 && !bytes.HasPrefix(rest, []byte("Blocks:")) {
				return false
			}
			p.section = s[0]
			return true
		}
	}
	return false
}

// when reads the time 98-05-19 11:53:44 at i into e. It returns where the name begins, or a reason.
func (p *vosParser) when(c *cursor, e *Entry, i int) (at int, reason string) {
	b := c.line
	v, digits, sep, n := separated(b[min(i, len(b)):])
	if n == 0 || sep != '-' || digits[0] != 2 && digits[0] != 4 || digits[1] != 2 || digits[2] != 2 {
		return 0, "no date"
	}
	t := civil{year: fullYear(v[0], digits[0]), month: v[1], day: v[2]}
	lo := blanks(b, i+n)
	hi := vosWord(b, lo)
	if lo == i+n || !clock(b[lo:hi], &t) {
		return 0, "no time of day"
	}
	var ok bool
	if e.ModTime, ok = c.dates.resolve(&t); !ok {
		return 0, "no such date"
	}
	if at = blanks(b, hi); at == hi || at >= vosEnd(b) {
		return 0, "no name"
	}
	return at, ""
}

// link reads "98-01-13 21:15:43  archive  -> %sys#disk>Group>archive", the target of which may be on the next line.
func (p *vosParser) link(c *cursor, e *Entry, i int) (verdict, string) {
	at, reason := p.when(c, e, i)
	if reason != "" {
		return miss, reason
	}
	e.Type = Link
	b, hi := c.line, vosEnd(c.line)
	arrow := bytes.Index(b[at:hi], []byte(" ->"))
	if arrow <= 0 {
		c.name(at, hi)
		return weak, ""
	}
	end := vosEnd(b[:at+arrow])
	if end <= at {
		return miss, "no name"
	}
	c.name(at, end)
	if to := blanks(b, at+arrow+3); to < hi {
		c.target(to, hi)
		return full, ""
	}
	return held, ""
}

// target reads "+%sys#disk>Group>archive", what a link on the line before leads to.
func (p *vosParser) target(c *cursor, e *Entry, at int) (verdict, string) {
	if p.section != 'L' || c.held == nil || at >= vosEnd(c.line) {
		return miss, "this goes on no line"
	}
	line := *c
	c.line, c.off = line.held, line.heldOff
	v, _ := p.link(c, e, blanks(c.line, 0))
	name := c.nameSpan
	*c = line
	if v != held {
		return miss, "this goes on no link"
	}
	c.nameSpan, c.inHeld = name, true
	c.target(at, vosEnd(c.line))
	return joined, ""
}
