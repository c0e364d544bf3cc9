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
//	2003. febr. 20.          2005년 1월 6일        Mon Jan 5 10:11:12 2009
//	2003年3月6日             11月6日 10:20
func dateAt(line []byte, w []token, i int, t *civil) int {
	b := line[w[i].lo:w[i].hi]
	*t = civil{precision: Day}
	if b[0]-'0' > 9 {
		if i+2 >= len(w) {
			return 0
		}
		if line[w[i+1].lo]-'0' > 9 { // no day behind it
			return afterWeekday(line, w, i, t)
		}
		if monthName(b, t) {
			return monthFirst(line, w, i, t)
		}
		return afterWeekday(line, w, i, t)
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
	*t = civil{precision: Day}
	if m, ok := marked(b); ok && m <= 12 {
		t.month = m
		return monthFirst(line, w, i, t)
	}
	if y, ok := year(b); ok {
		return yearFirst(line, w, i, y, t)
	}
	return gluedMarks(line, w, i, t)
}

// gluedMarks reads an East Asian date without blanks: "2003年3月6日" and "11月6日 10:20".
func gluedMarks(line []byte, w []token, i int, t *civil) int {
	b := line[w[i].lo:w[i].hi]
	var v, digits [3]int
	n := 0
	for ; len(b) > 0; n++ {
		x, k := number(b)
		end := k
		for end < len(b) && b[end]-'0' > 9 {
			end++
		}
		if n == 3 || k == 0 {
			return 0
		}
		if _, ok := marked(b[:end]); !ok {
			return 0
		}
		v[n], digits[n], b = int(x), k, b[end:]
	}
	switch {
	case n == 3 && digits[0] == 4 && digits[1] <= 2 && digits[2] <= 2:
		t.year, t.month, t.day = v[0], v[1], v[2]
		return 1 + timeAndZone(line, w, i+1, t)
	case n == 2 && digits[0] <= 2 && digits[1] <= 2:
		t.month, t.day = v[0], v[1]
		if k := yearOrTime(line, w, i+1, t); k > 0 {
			return 1 + k
		}
	}
	return 0
}

// afterWeekday reads "Mon Jan 5 10:11:12 2009" and "Mon, 05 Jan 2009 10:11:12".
func afterWeekday(line []byte, w []token, i int, t *civil) int {
	if !weekday(line[w[i].lo:w[i].hi]) || weekday(line[w[i+1].lo:w[i+1].hi]) {
		return 0
	}
	n := dateAt(line, w, i+1, t)
	if n == 0 || t.noYear {
		return 0 // whoever prints the day of the week prints the year
	}
	n++
	if t.precision == Day {
		n += timeAndZone(line, w, i+n, t)
	}
	return n
}

// weekday reports whether b is an English day of the week, cut to three letters.
func weekday(b []byte) bool {
	if n := len(b); n == 4 && (b[3] == ',' || b[3] == '.') {
		b = b[:3]
	}
	if len(b) != 3 {
		return false
	}
	switch string([]byte{b[0] | 0x20, b[1] | 0x20, b[2] | 0x20}) {
	case "mon", "tue", "wed", "thu", "fri", "sat", "sun":
		return true
	}
	return false
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
	d, ok := dayOf(b)
	if !ok {
		return 0
	}
	t.day = d
	n := yearOrTime(line, w, i+2, t)
	if n == 0 {
		return 0
	}
	if comma && !t.noYear && i+3 < len(w) && clock(line[w[i+3].lo:w[i+3].hi], t) {
		t.wideYear = false
		return 4
	}
	return 2 + n
}

// dayOf reads a day of the month, with a dot or an East Asian mark behind it.
func dayOf(b []byte) (int, bool) {
	d, n := number(b)
	if n < 1 || n > 2 {
		return 0, false
	}
	if n == len(b) || n+1 == len(b) && b[n] == '.' {
		return int(d), true
	}
	_, ok := marked(b)
	return int(d), ok
}

// yearOrTime reads "2014" or "15:13" at word i, and the year behind a time with seconds (BSD's ls -lT).
func yearOrTime(line []byte, w []token, i int, t *civil) int {
	b := line[w[i].lo:w[i].hi]
	if y, ok := year(b); ok {
		t.year, t.precision = y, Day
		// a year that is not set off by the blank which the column has for "15:13", and blanks behind it instead
		t.wideYear = w[i].lo == w[i-1].hi+1 && w[i].hi+1 < len(line) && line[w[i].hi+1] == ' '
		return 1
	}
	if !clock(b, t) && !dottedClock(b, t) {
		return 0
	}
	t.noYear = true
	if t.precision != Second || i+1 >= len(w) {
		return 1
	}
	n := 1
	if i+2 < len(w) && zoneWord(line[w[i+1].lo:w[i+1].hi], t) {
		n = 2
	}
	if y, ok := year(line[w[i+n].lo:w[i+n].hi]); ok {
		t.year, t.noYear = y, false
		return n + 1
	}
	t.zoned, t.offset = false, 0
	return 1
}

// zoneWord reads +0200, UTC, GMT, and skips the other names of zones, which mean several things.
func zoneWord(b []byte, t *civil) bool {
	if zone(b, t) {
		return true
	}
	if len(b) < 3 || len(b) > 5 {
		return false
	}
	for _, c := range b {
		if c < 'A' || c > 'Z' {
			return false
		}
	}
	if s := string(b); s == "UTC" || s == "GMT" {
		t.zoned, t.offset = true, 0
	}
	return true
}

// dottedClock reads 15.13, the time of day of Finland.
func dottedClock(b []byte, t *civil) bool {
	if len(b) != 5 || b[2] != '.' {
		return false
	}
	return clock([]byte{b[0], b[1], ':', b[3], b[4]}, t)
}

// year reads four digits, with a mark behind them in East Asian listings and a dot in Hungarian ones.
func year(b []byte) (int, bool) {
	if len(b) < 4 {
		return 0, false
	}
	y, n := number(b)
	if n != 4 || y < 1 {
		return 0, false
	}
	if len(b) == 4 || len(b) == 5 && b[4] == '.' {
		return int(y), true
	}
	_, ok := marked(b)
	return int(y), ok
}

// numberFirst reads the dates that start with a day, a month or a year by itself.
func numberFirst(line []byte, w []token, i int, t *civil) int {
	b := line[w[i].lo:w[i].hi]
	v, n := number(b)
	if i+2 >= len(w) || n == 0 || n == 3 || n > 4 || n+1 < len(b) {
		return 0
	}
	if n == 4 {
		if v < 1900 && n == len(b) {
			return 0
		}
		return yearFirst(line, w, i, int(v), t)
	}
	next := line[w[i+1].lo:w[i+1].hi]
	if v <= 31 && monthName(next, t) {
		t.day = int(v)
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

// yearFirst reads "2003 3月 20", "2003 kov 20", "2003. febr. 20. 10:11", "2005년 1월 6일".
func yearFirst(line []byte, w []token, i, y int, t *civil) int {
	if i+2 >= len(w) {
		return 0
	}
	next := line[w[i+1].lo:w[i+1].hi]
	if next[0]-'0' > 9 {
		if !monthName(next, t) {
			return 0
		}
	} else if m, ok := marked(next); ok && m <= 12 {
		t.month = m
	} else {
		return 0
	}
	d, ok := dayOf(line[w[i+2].lo:w[i+2].hi])
	if !ok {
		return 0
	}
	t.year, t.day = y, d
	if i+3 == len(w) {
		return 3
	}
	var u civil
	if w[i].hi-w[i].lo > 4 {
		return 3 + timeAndZone(line, w, i+3, t)
	}
	// four digits before "Mar 20 10:11" are the size
	return when(yearOrTime(line, w, i+3, &u) == 0, 3)
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
	if n > 0 && sep == ':' {
		return 0
	}
	switch {
	case n > 0 && digits[0] == 4:
		t.year, t.month, t.day = v[0], v[1], v[2]
		if n < len(b) {
			return isoTime(line, w, i, n, t)
		}
	case n > 0 && n < len(b):
		return 0
	case n > 0 && digits[2] == 4:
		t.year = v[2]
		byOrder(v[0], v[1], sep != '/', t)
	case n > 0 && digits[2] == 2:
		t.year = fullYear(v[2], 2)
		byOrder(v[0], v[1], sep == '.', t)
		return when(timeAndZone(line, w, i+1, t) == 1, 2)
	case n == 0 && dashedMonth(b, t):
	case n == 0 && monthDay(b, t) && i+1 < len(w):
		return when(yearOrTime(line, w, i+1, t) == 1, 2)
	default:
		return 0
	}
	return 1 + timeAndZone(line, w, i+1, t)
}

// isoTime reads the "T10:11:12Z" at b[n:], where b is the word i.
func isoTime(line []byte, w []token, i, n int, t *civil) int {
	b := line[w[i].lo+n : w[i].hi]
	if b[0] != 'T' {
		return 0
	}
	b = b[1:]
	k := 0
	for k < len(b) && b[k] != 'Z' && b[k] != '+' && b[k] != '-' {
		k++
	}
	return when(clock(b[:k], t) && (k == len(b) || zone(b[k:], t)), 1)
}

// timeAndZone reads the optional "11:22:30 +0200" or "11:22 PM" at word i.
func timeAndZone(line []byte, w []token, i int, t *civil) int {
	if i >= len(w) || !clock(line[w[i].lo:w[i].hi], t) {
		return 0
	}
	if i+1 >= len(w) {
		return 1
	}
	next := line[w[i+1].lo:w[i+1].hi]
	if t.precision == Second && zone(next, t) {
		return 2
	}
	if i+2 < len(w) && t.hour >= 1 && t.hour <= 12 && (string(next) == "AM" || string(next) == "PM") {
		t.hour %= 12
		if next[0] == 'P' {
			t.hour += 12
		}
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

// cutDate reports whether b may be what is left of an English month at the end of a line that was cut short.
func cutDate(b []byte) bool {
	const months = "janfebmaraprmayjunjulaugsepoctnovdec"
	for i := 0; i < len(months); i += 3 {
		if len(b) < 3 && months[i] == b[0]|0x20 && (len(b) == 1 || months[i+1] == b[1]|0x20) {
			return true
		}
	}
	return false
}
