package listing

import "bytes"

// vxworksParser reads the table of VxWorks' own FTP server (version 5 and older; later ones imitate ls).
//
//	  size          date       time       name
//	--------       ------     ------    --------
//	    2048    Feb-28-1998  05:23:30   logs              <DIR>
//	   61191    Aug-30-2002  17:30:38   FILENAME.C
//
// The column of the names is padded.
type vxworksParser struct {
	row   row
	table bool // the heading was there
}

func (p *vxworksParser) parse(c *cursor, e *Entry) (verdict, string) {
	r := &p.row
	r.split(c.line)
	switch {
	case r.is(0, true, "size", "date", "time", "name"):
		p.table = true
		return header, ""
	case !p.table:
	case r.n == 4 && ofOnly(r.word(0), "-") && ofOnly(r.word(3), "-"), r.is(0, false, "value", "="):
		return ignore, ""
	}
	size, n := number(r.word(0))
	if n == 0 || n != len(r.word(0)) {
		return miss, "no size"
	}
	var t civil
	if !monthDayYear(r.word(1), &t) {
		return miss, "no date after the size"
	}
	if !clock(r.word(2), &t) {
		return miss, "no time of day"
	}
	var ok bool
	if e.ModTime, ok = c.dates.resolve(&t); !ok {
		return miss, "no such date"
	}
	lo, hi, ok := r.rest(3)
	if !ok {
		return miss, "no name"
	}
	e.Size = size
	if dir := []byte("<DIR>"); hi-lo > len(dir) && bytes.EqualFold(c.line[hi-len(dir):hi], dir) {
		e.Type, e.Size = Dir, -1
		hi = lo + len(bytes.TrimRight(c.line[lo:hi-len(dir)], " "))
	}
	c.name(lo, hi)
	return full, ""
}

// monthDayYear reads Feb-28-1998 from all of b into t.
func monthDayYear(b []byte, t *civil) bool {
	if len(b) < 8 || b[3] != '-' {
		return false
	}
	d, n := number(b[4:])
	if n < 1 || n > 2 || 4+n >= len(b) || b[4+n] != '-' {
		return false
	}
	y, k := number(b[5+n:])
	if k != 4 && k != 2 || 5+n+k != len(b) {
		return false
	}
	t.year, t.month, t.day = fullYear(int(y), k), englishMonth(b[:3]), int(d)
	return t.month > 0
}
