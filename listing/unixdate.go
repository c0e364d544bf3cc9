package listing

// token is a word of a line.
type token struct{ lo, hi int }

// dateAt reads the date of an ls line that starts at word i. It returns how many words it takes, 0 where there is
// no date. The forms, from the locales and options of ls and from the servers that imitate it:
//
//	Mar  2 15:13             Mar  2  2014          Oct 08, 2002 09:47     Mar 2 15:13:01 2014
//	23 May 2011              26. Juli, 20:10       2. Okt. 2003           01-jun-99
//	2005-04-08 11:22         2005-04-08 11:22:30.5 +0200                  2004.07.15
//	1999/10/12 17:12         24-04-2003 17:12      09-26 2000             09-26 13:45
//	3 29 03:26               3月 2日 15:13         3月 2 2003年           2003 3月 20
func dateAt(line []byte, w []token, i int, t *civil) int {
	b := line[w[i].lo:w[i].hi]
	*t = civil{precision: Day}
	if c := b[0]; c-'0' > 9 {
		if i+2 >= len(w) || line[w[i+1].lo]-'0' > 9 { // no day behind it
			return 0
		}
		if m := month(b); m > 0 {
			t.month = m
			return monthFirst(line, w, i, t)
		}
		return 0
	}
	if i+1 >= len(w) {
		if len(b) < 8 {
			return 0
		}
		return numericDate(line, w, i, t)
	}
	if allDigits(b) || b[len(b)-1] == '.' {
		return numberFirst(line, w, i, t)
	}
	if n := numericDate(line, w, i, t); n > 0 {
		return n
	}
	if m, ok := marked(b, monthMarks()); ok {
		t.month = m
		return monthFirst(line, w, i, t)
	}
	return 0
}

// monthFirst reads the rest of "Mar 2 15:13" and its kin, with the month in t.
func monthFirst(line []byte, w []token, i int, t *civil) int {
	if i+2 >= len(w) {
		return 0
	}
	b := line[w[i+1].lo:w[i+1].hi]
	comma := b[len(b)-1] == ','
	if comma {
		b = b[:len(b)-1]
	}
	d, n := number(b)
	if n < 1 || n > 2 {
		return 0
	}
	if n != len(b) {
		if _, ok := marked(b, dayMarks()); !ok {
			return 0
		}
	}
	t.day = int(d)
	n = yearOrTime(line, w, i+2, t)
	if n == 0 {
		return 0
	}
	if comma && !t.noYear && i+3 < len(w) && clock(line[w[i+3].lo:w[i+3].hi], t) {
		return 4
	}
	return 2 + n
}

// yearOrTime reads "2014" or "15:13" at word i, and the year behind a time with seconds (BSD's ls -lT).
func yearOrTime(line []byte, w []token, i int, t *civil) int {
	b := line[w[i].lo:w[i].hi]
	if y, ok := year(b); ok {
		t.year, t.precision = y, Day
		return 1
	}
	if !clock(b, t) {
		return 0
	}
	t.noYear = true
	if t.precision == Second && i+1 < len(w) {
		if y, ok := year(line[w[i+1].lo:w[i+1].hi]); ok {
			t.year, t.noYear = y, false
			return 2
		}
	}
	return 1
}

// year reads four digits, with a mark behind them in East Asian listings.
func year(b []byte) (int, bool) {
	if len(b) < 4 {
		return 0, false
	}
	y, n := number(b)
	if n != 4 || y < 1900 || y > 2999 {
		return 0, false
	}
	if len(b) == 4 {
		return int(y), true
	}
	_, ok := marked(b, yearMarks())
	return int(y), ok
}

// numberFirst reads the dates that start with a day, a month or a year by itself.
func numberFirst(line []byte, w []token, i int, t *civil) int {
	b := line[w[i].lo:w[i].hi]
	v, n := number(b)
	if i+2 >= len(w) || n == 0 || n == 3 || n > 4 {
		return 0
	}
	next := line[w[i+1].lo:w[i+1].hi]
	if n == 4 {
		if m, ok := marked(next, monthMarks()); ok && v >= 1900 {
			d, k := number(line[w[i+2].lo:w[i+2].hi])
			t.year, t.month, t.day = int(v), m, int(d)
			return when(k > 0 && k < 3, 3)
		}
		return 0
	}
	if m := month(next); m > 0 && v <= 31 {
		t.month, t.day = m, int(v)
		if k := yearOrTime(line, w, i+2, t); k > 0 {
			return 2 + k
		}
		return 0
	}
	// "3 29 03:26": nothing but the time tells it from other numbers.
	if d, k := number(next); v <= 12 && k == len(next) && k < 3 && d <= 31 && clock(line[w[i+2].lo:w[i+2].hi], t) {
		t.month, t.day, t.noYear = int(v), int(d), true
		return 3
	}
	return 0
}

func when(ok bool, n int) int {
	if ok {
		return n
	}
	return 0
}

// numericDate reads the dates that are one word: 2005-04-08, 24-04-2003, 01-jun-99, and 09-26 with a year or time
// behind it; then the time and zone that follow.
func numericDate(line []byte, w []token, i int, t *civil) int {
	b := line[w[i].lo:w[i].hi]
	v, digits, sep, n := separated(b)
	switch {
	case n == len(b) && sep != ':' && digits[0] == 4:
		t.year, t.month, t.day = v[0], v[1], v[2]
	case n == len(b) && sep != ':' && digits[2] == 4:
		t.year, t.month, t.day = v[2], v[1], v[0]
		if v[1] > 12 {
			t.month, t.day = v[0], v[1]
		}
	case n == 0 && dashedMonth(b, t):
	case n == 0 && monthDay(b, t) && i+1 < len(w):
		return when(yearOrTime(line, w, i+1, t) == 1, 2)
	default:
		return 0
	}
	if t.year < 1900 {
		return 0
	}
	return 1 + timeAndZone(line, w, i+1, t)
}

// timeAndZone reads the optional "11:22:30 +0200" at word i.
func timeAndZone(line []byte, w []token, i int, t *civil) int {
	if i >= len(w) || !clock(line[w[i].lo:w[i].hi], t) {
		return 0
	}
	if t.precision == Second && i+1 < len(w) && zone(line[w[i+1].lo:w[i+1].hi], t) {
		return 2
	}
	return 1
}

// dashedMonth reads 01-jun-99 and 1-Jun-1999.
func dashedMonth(b []byte, t *civil) bool {
	d, n := number(b)
	if n < 1 || n > 2 || len(b) < n+7 || b[n] != '-' || b[n+4] != '-' {
		return false
	}
	y, k := number(b[n+5:])
	if n+5+k != len(b) || (k != 2 && k != 4) {
		return false
	}
	t.year, t.month, t.day = fullYear(int(y), k), englishMonth(b[n+1:n+4]), int(d)
	return t.month > 0
}

// monthDay reads 09-26.
func monthDay(b []byte, t *civil) bool {
	m, n := number(b)
	if n < 1 || n > 2 || n+1 >= len(b) || b[n] != '-' || m > 12 {
		return false
	}
	d, k := number(b[n+1:])
	t.month, t.day = int(m), int(d)
	return n+1+k == len(b) && k > 0 && k < 3
}
