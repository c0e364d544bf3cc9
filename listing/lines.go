package listing

import (
	"bytes"
	"encoding/binary"
)

// terminators says how the lines of a listing end.
type terminators struct {
	// crlf is set where the last line of the listing ends in CR LF, and so does the first or half of them all: a last
	// name that ends in CR must not turn a listing of LFs into one line. A bare LF in such a listing belongs to a
	// name: RFC 959 ends lines with CR LF, Unix allows LF in names, and a name made of "\n" and a forged line must
	// not become an entry of its own. (After a line that is no entry, such as "total 5", a bare LF does end the line.)
	crlf bool
	// crcrlf is set where most lines end in CR CR LF, as they do when a text-mode stream is converted twice.
	// Elsewhere only one CR is cut, since "Icon\r" is a name on the Macintosh.
	crcrlf bool
	// cr is set where there is no LF at all: then CR ends lines.
	cr bool
}

func findTerminators(buf []byte) terminators {
	last := bytes.LastIndexByte(buf, '\n')
	if last < 0 {
		return terminators{cr: bytes.IndexByte(buf, '\r') >= 0}
	}
	var t terminators
	sample := buf[:min(len(buf), 64<<10)]
	if last > 0 && buf[last-1] == '\r' {
		first := bytes.IndexByte(buf, '\n')
		t.crlf = first > 0 && buf[first-1] == '\r' ||
			bytes.Count(sample, []byte("\r\n"))*2 >= bytes.Count(sample, []byte{'\n'})
	}
	if t.crlf {
		t.crcrlf = bytes.Count(sample, []byte("\r\r\n"))*2 > bytes.Count(sample, []byte{'\n'})
	}
	return t
}

// splitter walks over the lines of buf. It splits at LF (or CR) only: 0x85, a line end in some charsets, is the
// second byte of many Shift_JIS characters.
type splitter struct {
	buf  []byte
	term terminators
	pos  int // start of the next line
	no   int // number of the line returned last
	next int // its successor's number
}

// line is one line without its terminator: buf[lo:hi].
type line struct {
	lo, hi int
	bare   bool // it ends in LF, in a listing whose lines end in CR LF
}

func newSplitter(buf []byte, t terminators, no int) *splitter {
	return &splitter{buf: buf, term: t, no: no, next: no + 1}
}

// scan returns the next line. A bare LF ends it, for the time being: see extend.
func (s *splitter) scan() (line, bool) {
	if s.pos >= len(s.buf) {
		return line{}, false
	}
	s.no = s.next
	end := byte('\n')
	if s.term.cr {
		end = '\r'
	}
	l := line{lo: s.pos, hi: len(s.buf)}
	i := bytes.IndexByte(s.buf[s.pos:], end)
	if i < 0 {
		s.pos = len(s.buf)
	} else {
		l.hi = s.pos + i
		s.pos = l.hi + 1
		s.next++
		l.bare = s.term.crlf && (i == 0 || s.buf[l.hi-1] != '\r')
	}
	if !l.bare {
		l.hi = s.trim(l.lo, l.hi)
	}
	return l, true
}

// extend makes the line returned last go on behind its bare LF, to the next CR LF. At MaxLine it stops.
func (s *splitter) extend(l line) line {
	for l.bare && s.pos < len(s.buf) {
		i := bytes.IndexByte(s.buf[s.pos:], '\n')
		if i < 0 {
			i = len(s.buf) - s.pos
		}
		if s.pos+i-l.lo > MaxLine {
			break
		}
		l.hi = s.pos + i
		l.bare = i == 0 || s.buf[l.hi-1] != '\r'
		s.pos = min(l.hi+1, len(s.buf))
		s.next++
	}
	if !l.bare {
		l.hi = s.trim(l.lo, l.hi)
	}
	return l
}

func (s *splitter) trim(lo, hi int) int {
	if hi > lo && s.buf[hi-1] == '\r' {
		hi--
	}
	for s.term.crcrlf && hi > lo && s.buf[hi-1] == '\r' {
		hi--
	}
	return hi
}

// blank reports whether b has nothing but blanks, tabs and CR.
func blank(b []byte) bool {
	for _, c := range b {
		if c != ' ' && c != '\t' && c != '\r' {
			return false
		}
	}
	return true
}

// plainLine is plain, eight bytes at a time: every line of a listing goes through it.
func plainLine(b []byte) bool {
	const (
		ones  = 0x0101010101010101
		highs = 0x80 * ones
	)
	for ; len(b) >= 8; b = b[8:] {
		x := binary.LittleEndian.Uint64(b)
		low := x &^ highs
		// in each byte the high bit: of x; of 0x7F + 1; and not of what is under 0x20, plus 0x60
		if (x|(low+ones)|^(low+0x60*ones))&highs != 0 {
			return false
		}
	}
	return plain(b)
}
