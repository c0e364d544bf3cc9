package listing

import (
	"bytes"
	"strings"
)

// vmsParser reads what DIRECTORY prints, and the servers of VMS that imitate it: UCX and TCP/IP Services, MultiNet,
// TCPware, CMU, Wollongong, MadGoat.
//
//	Directory DISK$USER:[ANNA]
//
//	LOGIN.COM;3              2/16        21-MAR-1999 10:20:30  [STAFF,ANNA]  (RWED,RWED,RE,)
//	A_NAME_THAT_FILLS_ITS_COLUMN.TXT;12
//	                         7           1-APR-1999 08:00 [ANNA] (RWED,RWED,,)
//
// The version, or the place in the line, ends the name. The fields behind it have forms of their own, so they are
// read in any order: each server has another one.
type vmsParser struct {
	bytes bool // the trailer counts bytes, not blocks: so do the sizes
	seen  bool // an entry came since the first header
	begun bool // a header has named the directory
	base  vmsDir
	// prefix goes before the names of a further directory: its path from base, with "/", which no VMS name has, or
	// all of its specification where it is not below base.
	prefix string
}

func (p *vmsParser) parse(c *cursor, e *Entry) (verdict, string) {
	if v, reason := p.banner(c.line); v != miss || reason != "" {
		return v, reason
	}
	if c.held != nil {
		if v, reason := p.goOn(c, e); v != miss || c.more {
			return v, reason
		}
		*e = Entry{Size: -1, Line: e.Line}
	}
	return p.entry(c, e, c.line, c.off)
}

// goOn reads the line as what follows the lines held before it. A miss belongs to them where c.more is set.
func (p *vmsParser) goOn(c *cursor, e *Entry) (verdict, string) {
	v, reason := p.entry(c, e, c.both(), c.heldOff)
	switch v {
	case weak, full:
		v = joined
	case held:
		c.more = true
	default:
		c.more = reason == vmsUnreadable
		return miss, reason
	}
	c.inHeld = true
	return v, ""
}

// entry reads b, the line or the lines of one entry, which start at off of the window.
func (p *vmsParser) entry(c *cursor, e *Entry, b []byte, off int) (verdict, string) {
	name, ok := vmsNameAt(b)
	if !ok {
		return miss, "no VMS file name with a version"
	}
	f := vmsFields{bytes: p.bytes, size: -1}
	if reason := f.read(b, name.end); reason != "" {
		return miss, reason
	}
	v, reason := f.judge(&name)
	if v == held && name.dotted && f.count == 0 && !p.begun {
		return v, "" // LIBC.SO.6 is a name of other systems too
	}
	if v == miss || v == header || v == held && reason != "" {
		return v, reason
	}
	p.seen = true
	hi := name.hi
	if ext := hi - len(".DIR"); ext > name.lo && strings.EqualFold(string(b[ext:hi]), ".DIR") {
		e.Type, hi = Dir, ext
	}
	c.name(name.lo, hi)
	c.prefix = p.prefix
	at := func(s span) string { return c.text[off+s.lo : off+s.hi] }
	e.Version, e.Owner, e.Group, e.Mode = at(name.version), at(f.owner), at(f.group), at(f.protection)
	if e.Type == File && f.size >= 0 {
		e.Size, e.SizeEstimated = f.size, f.estimated
	}
	if f.dated {
		if e.ModTime, ok = c.dates.resolve(&f.time); !ok {
			return miss, "no such date"
		}
	}
	return v, ""
}

// vmsName is where the parts of a name are.
type vmsName struct {
	lo, hi  int  // the name, without directory and version
	version span // empty where there is none
	end     int  // what is behind it
	dot     bool // it has a dot, as every name that VMS prints does
	dotted  bool // the version is behind a dot
	wild    bool // it is a pattern: "*.*;0"
	blank   bool // it has a blank in it
}

// vmsNameAt reads the name at the start of b.
func vmsNameAt(b []byte) (n vmsName, ok bool) {
	n.lo = blanks(b, 0)
	line := len(b)
	if i := bytes.IndexByte(b, '\n'); i >= 0 {
		line = i
	}
	if i := bytes.IndexByte(b[:line], '\r'); i >= 0 {
		line = i
	}
	for i := n.lo + 1; i < line; i++ {
		if b[i] != ';' || b[i-1] == '^' {
			continue
		}
		if k := vmsVersion(b[i+1:]); k > 0 && vmsBreak(b, i+1+k) {
			n.hi, n.version, n.end = i, span{i + 1, i + 1 + k}, i+1+k
			return n, n.check(b)
		}
	}
	for n.hi = n.lo; n.hi < line && b[n.hi] > ' '; n.hi++ {
		if b[n.hi] == '/' || b[n.hi] == '\\' || b[n.hi] == ';' {
			return n, false
		}
	}
	n.end = n.hi
	if !n.check(b) || !n.dot {
		return n, false
	}
	n.dotted = n.dottedVersion(b)
	return n, true
}

// vmsBreak reports whether b[i] is behind the end of a word.
func vmsBreak(b []byte, i int) bool {
	return i == len(b) || b[i] <= ' ' && (b[i] == ' ' || b[i] == '\t' || b[i] == '\r' || b[i] == '\n')
}

// vmsVersion is the length of the version number at the start of b.
func vmsVersion(b []byte) int {
	n := 0
	for n < len(b) && n < 6 && b[n]-'0' <= 9 {
		n++
	}
	if n > 5 {
		return 0
	}
	return n
}

// check leaves the directory in front of the name out, and reports whether the rest can be a name.
func (n *vmsName) check(b []byte) bool {
	for i := n.lo; i < n.hi; i++ {
		switch c := b[i]; {
		case c == '^':
			i++
		case c == ']' || c == '>' || c == ':':
			n.lo, n.dot, n.blank = i+1, false, false
		case c == '.':
			n.dot = true
		case c == ' ' || c == '\t':
			n.blank = true
		case c < ' ' || c == '"' || c == '=':
			return false
		case c == '*' || c == '%' || c == '?':
			n.wild = true
		}
	}
	return n.lo < n.hi && b[n.lo] > ' '
}

// dottedVersion splits the version off NAME.EXT.12. A further dot in a name would be escaped: NAME^.OLD.EXT.
func (n *vmsName) dottedVersion(b []byte) bool {
	dots, last := 0, 0
	for i := n.lo; i < n.hi; i++ {
		switch b[i] {
		case '^':
			i++
		case '.':
			dots, last = dots+1, i
		}
	}
	if dots != 2 || last+1 == n.hi || vmsVersion(b[last+1:n.hi]) != n.hi-last-1 {
		return false
	}
	n.version, n.hi = span{last + 1, n.hi}, last
	return true
}

// vmsUnreadable is why a file whose attributes are an error message is no entry: the server will not send it either.
const vmsUnreadable = "the server could not read the file's attributes"

// judge says what the fields behind a name make of it. Where they are few, something has to be there that only VMS
// prints. A reason with held means that the line is no entry by itself.
func (f *vmsFields) judge(n *vmsName) (verdict, string) {
	versioned := n.version.lo < n.version.hi
	owned, protected := f.owner.lo < f.owner.hi, f.protection.lo < f.protection.hi
	special := f.pair || f.unit || f.hundredths || owned && protected
	switch {
	case f.notFound && n.wild:
		return header, ""
	case n.wild:
		return miss, "a pattern, not a name"
	case f.failed && versioned:
		return miss, vmsUnreadable
	case f.count == 0 && versioned && !n.blank:
		return held, ""
	case f.count == 0 && !n.blank:
		return held, "nothing behind the name"
	case f.failed || f.count == 0 || !(versioned && n.dot || special):
		return miss, "no VMS file name with a version"
	case f.plain && f.seconds && protected && !owned:
		// UCX prints this kind of time, and it prints both or neither
		return miss, "a protection without an owner"
	case f.plain && f.seconds && owned && !protected:
		return held, "an owner without a protection"
	case owned && !protected:
		return held, ""
	case versioned && f.sized && f.dated:
		return full, ""
	}
	return weak, ""
}

func (p *vmsParser) survey(line []byte) {
	if bytes.HasPrefix(line, []byte("Total of ")) || bytes.HasPrefix(line, []byte("Grand total of ")) {
		p.bytes = p.bytes || bytes.Contains(line, []byte(" bytes"))
	}
}
