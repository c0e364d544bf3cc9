package listing

import "bytes"

// rowWords is how many words of a table's line are looked at: no table has more columns before the name.
const rowWords = 24

// row is a line of a table, cut into words at blanks and tabs.
type row struct {
	line []byte
	at   [rowWords]token
	n    int
	more bool // the line has further words
}

func (r *row) split(b []byte) {
	r.line, r.n, r.more = b, 0, false
	for at := blanks(b, 0); at < len(b); at = blanks(b, at) {
		if r.n == rowWords {
			r.more = true
			return
		}
		lo := at
		for at < len(b) && b[at] != ' ' && b[at] != '\t' {
			at++
		}
		r.at[r.n] = token{lo, at}
		r.n++
	}
}

// word is the i-th word, nil behind the last.
func (r *row) word(i int) []byte {
	if i < 0 || i >= r.n {
		return nil
	}
	return r.line[r.at[i].lo:r.at[i].hi]
}

// titled reports whether the i-th word is the title of a column, which servers write in capitals or not.
func (r *row) titled(i int, s string) bool { return bytes.EqualFold(r.word(i), []byte(s)) }

// str is the i-th word without a copy; c.line must be the line that was split.
func (r *row) str(c *cursor, i int) string { return c.str(r.at[i].lo, r.at[i].hi) }

// number reads the i-th word as a number, or as the "-" or "?" that stands for none (-1).
func (r *row) number(i int) (int64, bool) {
	b := r.word(i)
	if len(b) == 1 && (b[0] == '-' || b[0] == '?') {
		return -1, true
	}
	v, n := number(b)
	return v, n > 0 && n == len(b)
}

// is reports whether the words from the i-th on are these, and no others follow where whole is set.
func (r *row) is(i int, whole bool, words ...string) bool {
	if i+len(words) > r.n || whole && i+len(words) != r.n {
		return false
	}
	for k, s := range words {
		if string(r.word(i+k)) != s {
			return false
		}
	}
	return true
}

// rest is where the i-th word starts and where the line ends without its trailing blanks, for the tables that pad
// the column of the name.
func (r *row) rest(i int) (lo, hi int, ok bool) {
	if i >= r.n {
		return 0, 0, false
	}
	return r.at[i].lo, len(bytes.TrimRight(r.line, " \t")), true
}

// dayOrder finds out whether numeric dates that end in the year start with the day or with the month: that is said
// by the dates of the listing that can only be read one way.
type dayOrder struct{ dayFirst, monthFirst int }

// see takes a date as separated reads it.
func (o *dayOrder) see(v [3]int) {
	if v[0] > 12 && v[0] <= 31 && v[1] <= 12 {
		o.dayFirst++
	}
	if v[1] > 12 && v[1] <= 31 && v[0] <= 12 {
		o.monthFirst++
	}
}

// date reads 12-30-97, 04-23-103, 30.12.1997 and 1997-12-30 from all of b into t.
func (o *dayOrder) date(b []byte, t *civil) bool {
	v, digits, sep, n := separated(b)
	switch {
	case n == 0 || n != len(b) || sep == ':' || digits[1] > 2:
		return false
	case digits[0] == 4 && digits[2] <= 2:
		t.year, t.month, t.day = v[0], v[1], v[2]
		return true
	case digits[0] > 2 || digits[2] < 2:
		return false
	}
	t.year, t.month, t.day = fullYear(v[2], digits[2]), v[0], v[1]
	if (sep == '.' || o.dayFirst > o.monthFirst || v[0] > 12) && v[1] <= 12 {
		t.month, t.day = v[1], v[0]
	}
	return true
}

// dotted reads a time of day from all of b into t, also one whose parts are kept apart by dots or commas.
func dotted(b []byte, t *civil) bool {
	var buf [8]byte
	if len(b) < 3 || len(b) > len(buf) || bytes.IndexByte(b, ':') >= 0 {
		return clock(b, t)
	}
	for i, c := range b {
		if buf[i] = c; c == '.' || c == ',' {
			buf[i] = ':'
		}
	}
	return clock(buf[:len(b)], t)
}

// bare reads hhmm from all of b into t.
func bare(b []byte, t *civil) bool {
	v, n := number(b)
	if n != 4 || n != len(b) || v/100 > 23 || v%100 > 59 {
		return false
	}
	t.hour, t.min, t.precision = int(v/100), int(v%100), Minute
	return true
}

// ofOnly reports whether b is not empty and has no byte but those of set.
func ofOnly(b []byte, set string) bool {
	for _, c := range b {
		if bytes.IndexByte([]byte(set), c) < 0 {
			return false
		}
	}
	return len(b) > 0
}

// capitals reports whether b is a word of capital letters and digits that starts with a letter.
func capitals(b []byte) bool {
	for i, c := range b {
		if (c < 'A' || c > 'Z') && (i == 0 || c-'0' > 9) {
			return false
		}
	}
	return len(b) > 0
}
