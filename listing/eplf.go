package listing

import "bytes"

// eplfParser reads Bernstein's Easily Parsed LIST Format: "+", facts that each end in a comma, a tab, the name.
//
//	+i8388621.48594,m825718503,r,s280,up755<tab>djb.html
//	+i8388621.50690,m824255907,/,<tab>514
//
// https://cr.yp.to/ftp/list/eplf.html
type eplfParser struct{}

func (eplfParser) parse(c *cursor, e *Entry) (verdict, string) {
	b := c.line
	if b[0] != '+' {
		return miss, "does not start with +"
	}
	tab, v := bytes.IndexByte(b, '\t'), full
	if tab < 0 {
		// listings that were copied from a terminal have lost their tabs
		tab, v = bytes.IndexByte(b, ' '), weak
	}
	if tab < 2 || tab+1 == len(b) {
		return miss, "no facts or no name"
	}
	known, odd, file := 0, 0, false
	for lo := 1; lo < tab; {
		n := bytes.IndexByte(b[lo:tab], ',')
		if n < 0 {
			n = tab - lo
		}
		if n > 0 && eplfFact(c, e, lo, lo+n) {
			known++
			file = file || b[lo] == 'r'
		} else {
			odd++
		}
		lo += n + 1
	}
	switch {
	case known == 0:
		return miss, "no fact that is known"
	case !file && e.Type != Dir && e.Size < 0:
		return miss, "neither a directory (/) nor a file that can be retrieved (r)"
	case e.Type == Dir:
		e.Size = -1
	}
	if odd > known {
		v = weak
	}
	c.name(tab+1, len(b))
	return v, ""
}

// eplfFact reads the fact b[lo:hi] and reports whether it is one that the format defines.
func eplfFact(c *cursor, e *Entry, lo, hi int) bool {
	b := c.line[lo:hi]
	rest := b[1:]
	switch b[0] {
	case '/':
		e.Type = Dir
		return len(rest) == 0
	case 'r':
		return len(rest) == 0
	case 's':
		v, n := number(rest)
		if n == 0 || n != len(rest) {
			return false
		}
		e.Size = v
		return true
	case 'm':
		v, n := number(rest)
		if n == 0 || n != len(rest) || v > 253402300799 {
			return false
		}
		e.ModTime = unixTime(v)
		return true
	case 'u':
		if len(rest) < 2 || rest[0] != 'p' {
			return false
		}
		e.Mode = c.str(lo+2, hi)
		return true
	case 'i':
		return len(rest) > 0
	}
	return false
}
