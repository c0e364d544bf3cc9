package listing

import "bytes"

// vmsFields is what is behind the name in a line of VMS. The spans are parts of the lines of the entry.
type vmsFields struct {
	count int // fields so far

	bytes     bool // a size without a unit is in bytes
	sized     bool
	pair      bool // the size is used/allocated
	unit      bool
	plain     bool  // the size is a number of blocks and nothing else
	size      int64 // in bytes; -1 where unknown
	estimated bool

	date       bool // there is a date
	dated      bool // and it can be read
	time       civil
	seconds    bool // the time of day has seconds, but no hundredths
	hundredths bool

	group, owner, protection span

	failed   bool // there is an error message instead
	notFound bool // and it says that there is no such file
}

// read reads the fields of b from i on; it says what it cannot read.
func (f *vmsFields) read(b []byte, i int) string {
	for {
		for i < len(b) && vmsBreak(b, i) {
			i++
		}
		if i == len(b) {
			return ""
		}
		n := f.field(b, i)
		if n == 0 {
			return "unknown field after the name"
		}
		f.count++
		i += n
	}
}

// field reads one field of b at i and returns its length.
func (f *vmsFields) field(b []byte, i int) int {
	n := vmsWord(b, i)
	switch c := b[i]; {
	case c == '[':
		return f.bracketed(b, i)
	case c == '(':
		return f.protect(b, i)
	case c == '*' || c-'0' <= 9:
		if bytes.IndexByte(b[i:i+n], '-') > 0 {
			return f.day(b, i, n)
		}
		return when(f.amounts(b[i:i+n]), n)
	case c == '<' || c == '%':
		return f.message(b, i)
	case n == 3 && englishMonth(b[i:i+3]) > 0:
		return f.monthFirst(b, i)
	case letter(c) || c == '$' || c == '_':
		return f.word(b, i, n)
	}
	return 0
}

// vmsWord is the length of the word at i.
func vmsWord(b []byte, i int) int {
	n := 0
	for !vmsBreak(b, i+n) {
		n++
	}
	return n
}

// amounts reads 12, 12/16, 9KB, 1.5MB/2MB or ****** into the size.
func (f *vmsFields) amounts(b []byte) bool {
	if f.sized {
		return false
	}
	f.sized = true
	v, n := f.amount(b)
	if n == 0 {
		return false
	}
	second := int64(-1)
	if f.pair = n < len(b) && b[n] == '/'; f.pair {
		k := 0
		if second, k = f.amount(b[n+1:]); k == 0 {
			return false
		}
		n += 1 + k
	}
	if n < len(b) {
		return false
	}
	f.plain = !f.pair && !f.unit
	f.size, f.estimated = v, true
	switch {
	case v < 0 || f.unit:
	case f.bytes:
		f.estimated = false
	case f.pair && v > second && (v+511)/512 == second:
		// Wollongong prints bytes/blocks. No file uses more blocks than it has.
	case v < 1<<53:
		f.size = v * 512
	default:
		f.size = -1
	}
	return true
}

// amount reads a number with or without a unit, or the stars in place of one that does not fit, from the start of b.
// It returns -1 for stars and the length it has, 0 for something else.
func (f *vmsFields) amount(b []byte) (v int64, n int) {
	for n < len(b) && b[n] == '*' {
		n++
	}
	if n > 0 {
		return -1, n
	}
	for n < len(b) && (b[n]-'0' <= 9 || b[n] == '.') {
		n++
	}
	word := n
	for n < len(b) && letter(b[n]) {
		n++
	}
	if word == n {
		v, k := number(b)
		return v, when(k == n, n)
	}
	f.unit = true
	switch u := bytes.ToUpper(b[word:min(n, word+6)]); {
	case n-word == 1 && u[0] == 'B' || string(u) == "BYTES":
		v, k := number(b)
		return v, when(k == word, n)
	case n-word == 1 || n-word == 2 && u[1] == 'B':
		v, ok := rounded(b[:word+1])
		return v, when(ok, n)
	}
	return 0, 0
}

// day reads 2-JUN-1998, with the time of day where that follows as a word or behind a colon.
func (f *vmsFields) day(b []byte, i, n int) int {
	end := decDay(b[i:i+n], &f.time)
	if f.date || end == 0 {
		return 0
	}
	f.date, f.dated = true, f.time.month > 0 && !f.time.unset()
	if end < n {
		if b[i+end] != ':' || !f.clock(b[i+end+1:i+n]) {
			return 0
		}
		return n
	}
	return f.clockAfter(b, i, n)
}

// decDay reads 2-JUN-1998 from the start of b and returns its length, 0 for something else. The month is 0 where its
// name is in no known language.
func decDay(b []byte, t *civil) int {
	day, k := number(b)
	if k < 1 || k > 2 || k == len(b) || b[k] != '-' {
		return 0
	}
	m := k + 1
	for m < len(b) && m < k+24 && (letter(b[m]) || b[m] >= 0x80 || b[m] == '.') {
		m++
	}
	if m == len(b) || b[m] != '-' || m-k-1 < 3 {
		return 0
	}
	year, y := number(b[m+1:])
	if y != 2 && y != 4 {
		return 0
	}
	*t = civil{year: fullYear(int(year), y), month: vmsMonth(b[k+1 : m]), day: int(day), precision: Day}
	return m + 1 + y
}

// unset reports whether t is the day that DEC's systems count from, which they print for a time that was never set.
// In a zone west of Greenwich it is the day before.
func (t *civil) unset() bool { return t.year == 1858 && t.month == 11 && (t.day == 16 || t.day == 17) }

// clockAfter reads the time of day in the word behind the n bytes at i, if one is there, and returns the length of both.
func (f *vmsFields) clockAfter(b []byte, i, n int) int {
	at := blanks(b, i+n)
	k := vmsWord(b, at)
	w := b[at : at+k]
	if k == 0 || w[0]-'0' > 9 || bytes.IndexByte(w, ':') < 0 {
		return n
	}
	if !f.clock(w) {
		return 0
	}
	return at + k - i
}

func (f *vmsFields) clock(b []byte) bool {
	if !clock(b, &f.time) {
		return false
	}
	f.hundredths = bytes.IndexByte(b, '.') > 0
	f.seconds = f.time.precision == Second && !f.hundredths
	return true
}

// vmsMonth reads the name of a month, cut to three letters in every language. JUI is July: June is JUN.
func vmsMonth(b []byte) int {
	if bytes.EqualFold(b, []byte("jui")) {
		return 7
	}
	return month(b)
}

// monthFirst reads MAR 22 16:04 1993, as a server prints that gives sizes in bytes.
func (f *vmsFields) monthFirst(b []byte, i int) int {
	w := [4]span{{i, i + 3}}
	for k := 1; k < len(w); k++ {
		lo := blanks(b, w[k-1].hi)
		w[k] = span{lo, lo + vmsWord(b, lo)}
	}
	day, k := number(b[w[1].lo:w[1].hi])
	year, y := number(b[w[3].lo:w[3].hi])
	if f.date || k < 1 || k > 2 || k != w[1].hi-w[1].lo || y != 4 || y != w[3].hi-w[3].lo || !f.clock(b[w[2].lo:w[2].hi]) {
		return 0
	}
	f.time.year, f.time.month, f.time.day = int(year), englishMonth(b[i:i+3]), int(day)
	f.date, f.dated, f.bytes, f.seconds = true, true, true, false
	return w[3].hi - i
}

// bracketed reads [GROUP,MEMBER], [MEMBER] or [200,10]. The end is missing where the column was too narrow.
func (f *vmsFields) bracketed(b []byte, i int) int {
	if f.owner.lo < f.owner.hi {
		return 0
	}
	hi := i + 1
	for hi < len(b) && b[hi] != ']' && b[hi] != '(' && b[hi] != '\n' && b[hi] != '[' {
		hi++
	}
	n := hi - i
	if hi < len(b) && b[hi] == ']' {
		n++
	} else if hi < len(b) && b[hi] == '[' {
		return 0
	}
	lo := i + 1
	if comma := bytes.IndexByte(b[lo:hi], ','); comma >= 0 {
		f.group = trimSpan(b, lo, lo+comma)
		lo += comma + 1
	}
	f.owner = trimSpan(b, lo, hi)
	return when(f.owner.lo < f.owner.hi, n)
}

// trimSpan is b[lo:hi] without the blanks at its ends.
func trimSpan(b []byte, lo, hi int) span {
	for lo < hi && vmsBreak(b, lo) {
		lo++
	}
	for lo < hi && vmsBreak(b, hi-1) {
		hi--
	}
	return span{lo, hi}
}

// protect reads (RWED,RWED,RE,): what system, owner, group and world may do, each in this order.
func (f *vmsFields) protect(b []byte, i int) int {
	if f.protection.lo < f.protection.hi {
		return 0
	}
	at := i + 1
	for who := range 4 {
		for _, right := range []byte("RWED") {
			if at < len(b) && b[at]&^0x20 == right {
				at++
			}
		}
		end := byte(',')
		if who == 3 {
			end = ')'
		}
		if at >= len(b) || b[at] != end {
			return 0
		}
		at++
	}
	f.protection = span{i, at}
	return at - i
}

// word reads an owner without brackets, which has its protection behind it, or an error message.
func (f *vmsFields) word(b []byte, i, n int) int {
	if at := blanks(b, i+n); f.count > 0 && at < len(b) && b[at] == '(' && f.owner.lo == f.owner.hi {
		f.owner = span{i, i + n}
		return n
	}
	for _, s := range vmsErrors() {
		if len(b)-i >= len(s) && bytes.EqualFold(b[i:i+len(s)], []byte(s)) {
			return f.message(b, i)
		}
	}
	return 0
}

// vmsErrors is how the messages begin that servers print without %FACILITY-S-IDENT.
func vmsErrors() []string {
	return []string{
		"insufficient privilege", "no privilege", "file protection violation", "file access conflict",
		"file currently locked", "access denied", "permission denied", "error ",
	}
}

// message reads an error in place of all fields: %RMS-E-PRV, text or <%RMS-E-PRV, text>. Other words between < and >
// stand for a date that was never set.
func (f *vmsFields) message(b []byte, i int) int {
	text := bytes.TrimPrefix(b[i:], []byte{'<'})
	if b[i] == '<' && (len(text) == 0 || text[0] != '%') {
		end := bytes.IndexByte(text, '>')
		if f.date || end < 0 {
			return 0
		}
		f.date = true
		return end + 2
	}
	_, ident := vmsMessage(text)
	if f.count > 0 || text[0] == '%' && ident == "" {
		return 0
	}
	f.failed, f.notFound = true, nothingFound(ident)
	return len(b) - i
}

// vmsMessage splits %FACILITY-S-IDENT, text at the start of b.
func vmsMessage(b []byte) (severity byte, ident string) {
	if len(b) == 0 || b[0] != '%' {
		return 0, ""
	}
	end := 1
	for end < len(b) && end < 40 && (b[end] >= 'A' && b[end] <= 'Z' || b[end]-'0' <= 9 || b[end] == '-' || b[end] == '_' || b[end] == '$') {
		end++
	}
	parts := bytes.Split(b[1:end], []byte{'-'})
	if len(parts) != 3 || len(parts[0]) == 0 || len(parts[1]) != 1 || len(parts[2]) == 0 || end == len(b) || b[end] != ',' {
		return 0, ""
	}
	return parts[1][0], string(parts[2])
}

// nothingFound reports whether a message says that the directory is empty.
func nothingFound(ident string) bool {
	return ident == "FNF" || ident == "NOFILES" || ident == "NMF" || ident == "NOSUCHFILE"
}
