package listing

import "bytes"

// sizeLike is a quick look at whether a word can be the size.
func sizeLike(b []byte) bool {
	c := b[len(b)-1]
	return c-'0' <= 9 || (unit(c) > 0 || c == 'B') && b[0]-'0' <= 9 || b[0] == '0' && len(b) > 1 && b[1] == 'x'
}

// sizeColumn reads the size, the word before the date at word d. last is the number of words before it; a group that
// is glued to the size is one of them.
func (p *unixParser) sizeColumn(b []byte, e *Entry, w []token, d int, kind byte) (last int, ok bool) {
	last = d - 1
	size := b[w[last].lo:w[last].hi]
	device := kind == 'b' || kind == 'c'
	switch {
	case device && bytes.IndexByte(size, ',') > 0: // "109,767": major and minor number
	case device && d >= 2 && b[w[d-2].hi-1] == ',': // "1,   3"
		last--
	case !p.size(e, size):
		n := gluedSize(size)
		if n == 0 || !p.size(e, size[n:]) {
			return 0, false
		}
		w[last].hi = w[last].lo + n
		last = d
	}
	if device && e.Size > 0 {
		e.Type = File // a device has two numbers or nothing for a size
	}
	if e.Type != File {
		e.Size, e.SizeEstimated = -1, false
	}
	return last, true
}

// forks reports whether the words are three numbers, the last the sum of the others.
func forks(b []byte, w []token) bool {
	if len(w) != 3 {
		return false
	}
	var v [3]int64
	for i, t := range w {
		n := 0
		if v[i], n = number(b[t.lo:t.hi]); n != t.hi-t.lo {
			return false
		}
	}
	return v[0]+v[1] == v[2]
}

// size reads a size in bytes: 4096, 1,234,567, 33.5k. A negative or oversized one is unknown.
func (p *unixParser) size(e *Entry, b []byte) bool {
	v, n := number(b)
	if n == len(b) {
		e.Size = v
		return true
	}
	if b[0] == '-' && allDigits(b[1:]) || allDigits(b) {
		return true // negative, or over 18 digits: -1 printed without its sign
	}
	if len(b) > 2 && b[0] == '0' && b[1] == 'x' {
		return true // HP-UX prints device numbers so
	}
	if n > 0 && n == len(b)-1 && b[n] == 'B' {
		e.Size = v // the ls -h of BSD counts below 1 K in bytes
		return true
	}
	if v, ok := grouped(b); ok {
		e.Size = v
		return true
	}
	if v, ok := rounded(b); ok {
		e.Size, e.SizeEstimated = v, true
		return true
	}
	return false
}

// grouped reads 1,234,567, and 1.234.567 and 1'234'567 where there are two separators at least: one dot may be that
// of a decimal fraction.
func grouped(b []byte) (int64, bool) {
	var v int64
	var sep byte
	run, groups := 0, 0
	for _, c := range b {
		switch {
		case c-'0' <= 9 && run < 3 && v < 1<<56:
			v, run = v*10+int64(c-'0'), run+1
		case (c == ',' || c == '.' || c == '\'') && run > 0 && (groups == 0 || run == 3 && c == sep):
			sep, run, groups = c, 0, groups+1
		default:
			return 0, false
		}
	}
	return v, run == 3 && (groups > 1 || groups == 1 && sep == ',')
}

// rounded reads 33.5k, 12M, 1.2G, 4KB, 4KiB.
func rounded(b []byte) (int64, bool) {
	if n := len(b); b[n-1] == 'B' && n > 2 {
		b = b[:n-1]
		if b[n-2] == 'i' {
			b = b[:n-2]
		}
	}
	shift := unit(b[len(b)-1])
	if shift == 0 {
		return 0, false
	}
	b = b[:len(b)-1]
	v, n := number(b)
	if n == 0 || n > 6 {
		return 0, false
	}
	v <<= shift
	if n == len(b) {
		return v, true
	}
	frac, k := number(b[n+1:])
	if (b[n] != '.' && b[n] != ',') || k < 1 || k > 3 || n+1+k != len(b) {
		return 0, false
	}
	div := int64(1)
	for range k {
		div *= 10
	}
	return v + frac<<shift/div, true
}

// unit is the shift for a binary unit, 0 for none.
func unit(c byte) uint {
	switch c {
	case 'k', 'K':
		return 10
	case 'M', 'm':
		return 20
	case 'G', 'g':
		return 30
	case 'T':
		return 40
	}
	return 0
}

// gluedSize finds where the digits start in "ftpadmin125435904"; 0 where there are none, or nothing else.
func gluedSize(b []byte) int {
	i := len(b)
	for i > 0 && b[i-1]-'0' <= 9 {
		i--
	}
	if i == len(b) || i > 0 && !letter(b[i-1]) && b[i-1] < 0x80 || len(b)-i > 18 {
		return 0
	}
	for _, c := range b[:i] {
		if c-'0' <= 9 || c == ':' {
			return 0
		}
	}
	return i
}

func letter(c byte) bool { return c|0x20 >= 'a' && c|0x20 <= 'z' }
