package listing

import "bytes"

// maxColumns is how many words of a line a columns holds. No listing of a mainframe has more.
const maxColumns = 24

// columns is a line split at blanks and tabs. It lives on the stack of its parser.
type columns struct {
	line []byte
	at   [maxColumns]token
	n    int
	more bool // the line has further words
}

func (w *columns) split(line []byte) {
	w.line, w.n, w.more = line, 0, false
	for i := blanks(line, 0); i < len(line); i = blanks(line, i) {
		if w.n == maxColumns {
			w.more = true
			return
		}
		lo := i
		for i < len(line) && line[i] != ' ' && line[i] != '\t' {
			i++
		}
		w.at[w.n] = token{lo, i}
		w.n++
	}
}

// word is the i-th word; it is empty where there is none.
func (w *columns) word(i int) []byte {
	if i < 0 || i >= w.n {
		return nil
	}
	return w.line[w.at[i].lo:w.at[i].hi]
}

func (w *columns) is(i int, s string) bool { return string(w.word(i)) == s }

// titled reports whether the i-th word is the title of a column, which servers write in capitals or not.
func (w *columns) titled(i int, s string) bool { return bytes.EqualFold(w.word(i), []byte(s)) }

// str is the i-th word without a copy; c.line must be the line that was split.
func (w *columns) str(c *cursor, i int) string { return c.str(w.at[i].lo, w.at[i].hi) }

// number reads the i-th word as a number, or as the "-" or "?" that stands for none (-1).
func (w *columns) number(i int) (int64, bool) {
	b := w.word(i)
	if len(b) == 1 && (b[0] == '-' || b[0] == '?') {
		return -1, true
	}
	v, n := number(b)
	return v, n > 0 && n == len(b)
}

// stamp reads a date and a time of day from the words at i and i+1. Where all numbers of the date have two digits,
// yearFirst tells 94/12/15 from 12/15/94.
func (w *columns) stamp(i int, yearFirst bool, t *civil) bool {
	return slashDate(w.word(i), yearFirst, t) && clock(w.word(i+1), t)
}

// slashDate reads 2004/04/22, 94/12/15, 12/15/94, 1/03/100 from all of b.
func slashDate(b []byte, yearFirst bool, t *civil) bool {
	v, digits, _, n := separated(b)
	if n == 0 || n != len(b) || digits[1] > 2 {
		return false
	}
	switch {
	case digits[0] == 4 && digits[2] <= 2, yearFirst && digits[0] == 2 && digits[2] == 2 && v[1] <= 12:
		t.year, t.month, t.day = fullYear(v[0], digits[0]), v[1], v[2]
	case digits[0] <= 2 && digits[2] >= 2:
		t.year, t.month, t.day = fullYear(v[2], digits[2]), v[0], v[1]
	default:
		return false
	}
	t.precision = Day
	return validDay(t.year, t.month, t.day)
}

// upperName reports whether b is a name of 1 to 8 characters as mainframes allow it for members, jobs and users.
func upperName(b []byte) bool {
	if len(b) < 1 || len(b) > 8 || b[0]-'0' <= 9 {
		return false
	}
	return nationals(b)
}

// nationals reports whether b is capitals, digits and the "national" characters @, # and $.
func nationals(b []byte) bool {
	for _, c := range b {
		if (c < 'A' || c > 'Z') && c-'0' > 9 && c != '@' && c != '#' && c != '$' {
			return false
		}
	}
	return len(b) > 0
}
