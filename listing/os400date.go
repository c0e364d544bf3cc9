package listing

// os400Order finds out the order of the dates of IBM i, which is a setting of the server's job (QDATFMT: *YMD, *MDY,
// *DMY or *JUL) that the listing does not show. All dates of the listing vote: an order that makes a day or a month
// impossible is out; then one that puts a date into the future is; then year, month, day is taken (where dots are the
// separator, day, month, year; no country writes the year first with dots, and many write the day so).
type os400Order struct {
	possible [orders]int
	latest   [orders]int // yyyymmdd
	dots     int
}

const (
	yearMonthDay = iota
	monthDayOfYear
	dayMonthOfYear
	orders
)

// ordered reads the date b, whose parts are kept apart by anything, in the order o.
func ordered(b []byte, o int, t *civil) bool {
	v, digits, _, n := separated(b)
	if n == 0 && pairs(b) {
		for i := range v {
			x, _ := number(b[3*i : 3*i+2])
			v[i], digits[i] = int(x), 2
		}
		n = 8
	}
	if n == 0 || n != len(b) {
		return false
	}
	y, m, d := 0, 1, 2
	switch o {
	case monthDayOfYear:
		y, m, d = 2, 0, 1
	case dayMonthOfYear:
		y, m, d = 2, 1, 0
	}
	if digits[y] != 2 && digits[y] != 4 || digits[m] > 2 || digits[d] > 2 {
		return false
	}
	t.year, t.month, t.day = fullYear(v[y], digits[y]), v[m], v[d]
	return validDay(t.year, t.month, t.day)
}

// pairs reports whether b is three numbers of two digits with the same separator, any, between them.
func pairs(b []byte) bool {
	return len(b) == 8 && b[2]-'0' > 9 && b[2] == b[5] && allDigits(b[:2]) && allDigits(b[3:5]) && allDigits(b[6:])
}

// julian reads 04/078, the 78th day of 2004.
func julian(b []byte, t *civil) bool {
	y, n := number(b)
	if n != 2 && n != 4 || len(b) != n+4 || !allDigits(b[n+1:]) {
		return false
	}
	d, _ := number(b[n+1:])
	t.year, t.month, t.day = fullYear(int(y), n), 1, int(d)
	for t.day > 28 && t.month <= 12 && !validDay(t.year, t.month, t.day) {
		last := 28
		for validDay(t.year, t.month, last+1) {
			last++
		}
		t.day -= last
		t.month++
	}
	return validDay(t.year, t.month, t.day)
}

func (o *os400Order) see(b []byte) {
	var t civil
	for i := range o.possible {
		if ordered(b, i, &t) {
			o.possible[i]++
			o.latest[i] = max(o.latest[i], t.year*10000+t.month*100+t.day)
		}
	}
	if len(b) > 2 && (b[1] == '.' || b[2] == '.') {
		o.dots++
	}
}

// best is the order that the dates seen so far speak for.
func (o *os400Order) best(limit *civil) int {
	first := yearMonthDay
	if o.dots > 0 {
		first = dayMonthOfYear
	}
	now := limit.year*10000 + limit.month*100 + limit.day
	best := first
	for i := range o.possible {
		more := o.possible[i] - o.possible[best]
		if more > 0 || more == 0 && o.latest[i] <= now && o.latest[best] > now {
			best = i
		}
	}
	return best
}

// date reads b in the order of the listing or, where that makes no date of it, in the first that does.
func (o *os400Order) date(d *dates, b []byte, t *civil) bool {
	if julian(b, t) {
		return true
	}
	all := *o
	if all.possible == [orders]int{} {
		all.see(b) // no survey was made
	}
	if ordered(b, all.best(&d.limit), t) {
		return true
	}
	for i := range all.possible {
		if ordered(b, i, t) {
			return true
		}
	}
	return false
}
