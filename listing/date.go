package listing

import "time"

// dates turns the civil dates of a listing into times.
type dates struct {
	loc   *time.Location
	utc   bool
	limit civil // now and 24 hours: no date without a year is later
}

// civil is a date and time of day as written, without a zone.
type civil struct {
	year, month, day, hour, min, sec int
	nano                             int
	precision                        Precision
	noYear                           bool
	zoned                            bool
	offset                           int // seconds east of UTC, where zoned

	hint     hint // see order
	wideYear bool // the column of the year has a blank too many behind it
}

func newDates(now time.Time, loc *time.Location) dates {
	if now.IsZero() {
		now = time.Now()
	}
	if loc == nil {
		loc = time.UTC
	}
	l := now.In(loc).Add(24 * time.Hour)
	return dates{loc: loc, utc: loc == time.UTC, limit: civil{
		year: l.Year(), month: int(l.Month()), day: l.Day(), hour: l.Hour(), min: l.Minute(), sec: l.Second(),
	}}
}

// after reports whether t is later in its year than u is.
func (t *civil) after(u *civil) bool {
	switch {
	case t.month != u.month:
		return t.month > u.month
	case t.day != u.day:
		return t.day > u.day
	case t.hour != u.hour:
		return t.hour > u.hour
	case t.min != u.min:
		return t.min > u.min
	default:
		return t.sec > u.sec
	}
}

// resolve returns t as a time. A year that is not given is the latest that does not put t more than 24 hours after
// now; for the 29th of February that is a leap year. It reports whether there is such a date.
func (d *dates) resolve(t *civil) (Time, bool) {
	year := t.year
	if t.noYear {
		year = d.limit.year
		if t.after(&d.limit) {
			year--
		}
		for n := 0; t.month == 2 && t.day == 29 && !leap(year) && n < 8; n++ {
			year--
		}
	}
	// 24:00 is the end of the day
	if !validDay(year, t.month, t.day) || t.hour*3600+t.min*60+t.sec > 86400 || t.min > 59 || t.sec > 60 {
		return Time{}, false
	}
	out := Time{Precision: t.precision, ZoneKnown: t.zoned}
	if d.utc || t.zoned {
		sec := daysTo(year, t.month, t.day)*86400 + int64(t.hour*3600+t.min*60+t.sec-t.offset)
		out.Time = time.Unix(sec, int64(t.nano)).UTC()
		if t.offset != 0 {
			out.Time = out.Time.In(time.FixedZone("", t.offset))
		}
		return out, true
	}
	out.Time = time.Date(year, time.Month(t.month), t.day, t.hour, t.min, t.sec, t.nano, d.loc)
	return out, true
}

func leap(y int) bool { return y%4 == 0 && (y%100 != 0 || y%400 == 0) }

func validDay(y, m, d int) bool {
	if y < 1 || y > 9999 || m < 1 || m > 12 || d < 1 {
		return false
	}
	switch m {
	case 4, 6, 9, 11:
		return d <= 30
	case 2:
		return d <= 28 || d == 29 && leap(y)
	}
	return d <= 31
}

// daysTo is the number of days from 1970-01-01 to the date, by the method of counting years from March, so that
// the leap day is the last of its year.
func daysTo(y, m, d int) int64 {
	if m <= 2 {
		y--
		m += 12
	}
	return int64(365*y+y/4-y/100+y/400) + int64((153*(m-3)+2)/5) + int64(d) - 719469
}

// fullYear reads a year of two, three (years since 1900, as some write after 1999) or four digits.
func fullYear(n, digits int) int {
	switch {
	case digits == 2 && n >= 70:
		return 1900 + n
	case digits == 2:
		return 2000 + n
	case digits == 3:
		return 1900 + n
	}
	return n
}

// number reads the digits at the start of b; n is their count, 0 where b starts with none or with more than 18.
func number(b []byte) (v int64, n int) {
	for n < len(b) && b[n]-'0' <= 9 {
		if n == 18 {
			return 0, 0
		}
		v = v*10 + int64(b[n]-'0')
		n++
	}
	return v, n
}

// allDigits reports whether b is digits and nothing else.
func allDigits(b []byte) bool {
	for _, c := range b {
		if c-'0' > 9 {
			return false
		}
	}
	return len(b) > 0
}

// clock reads h:mm or h:mm:ss, with a fraction of a second, from all of b into t.
func clock(b []byte, t *civil) bool {
	h, n := number(b)
	if n < 1 || n > 2 || n >= len(b) || b[n] != ':' {
		return false
	}
	b = b[n+1:]
	m, n := number(b)
	if n < 1 || n > 2 || h > 23 && (h > 24 || m > 0) || m > 59 {
		return false
	}
	t.hour, t.min, t.sec, t.nano, t.precision = int(h), int(m), 0, 0, Minute
	if n == len(b) {
		return true
	}
	if b[n] != ':' {
		return false
	}
	b = b[n+1:]
	s, n := number(b)
	if n != 2 || s > 60 || h == 24 && s > 0 {
		return false
	}
	t.sec, t.precision = int(s), Second
	return n == len(b) || fraction(b[n:], t)
}

// fraction reads ".123456789" into t.
func fraction(b []byte, t *civil) bool {
	if (b[0] != '.' && b[0] != ',') || !allDigits(b[1:]) {
		return false
	}
	t.nano = 0
	for i := 1; i <= 9; i++ {
		t.nano *= 10
		if i < len(b) {
			t.nano += int(b[i] - '0')
		}
	}
	return true
}

// zone reads +hhmm, +hh:mm or Z from all of b into t.
func zone(b []byte, t *civil) bool {
	if len(b) == 1 && b[0] == 'Z' {
		t.zoned, t.offset = true, 0
		return true
	}
	if len(b) == 6 && b[3] == ':' {
		b = []byte{b[0], b[1], b[2], b[4], b[5]}
	}
	if len(b) != 5 || (b[0] != '+' && b[0] != '-') || !allDigits(b[1:]) {
		return false
	}
	v, _ := number(b[1:])
	if v/100 > 14 || v%100 > 59 {
		return false
	}
	t.zoned, t.offset = true, int(v/100*3600+v%100*60)
	if b[0] == '-' {
		t.offset = -t.offset
	}
	return true
}

// separated reads a date of three numbers such as 2005-06-07, 24.04.2003 or 06/25/07 from the start of b, as they
// stand, with how many digits each has and the separator, and the length of the whole (0 for no such date).
func separated(b []byte) (v [3]int, digits [3]int, sep byte, n int) {
	for i := range v {
		x, k := number(b[n:])
		if k < 1 || k > 4 {
			return v, digits, 0, 0
		}
		v[i], digits[i] = int(x), k
		n += k
		if i == 2 {
			return v, digits, sep, n
		}
		if n >= len(b) || (i == 1 && b[n] != sep) {
			return v, digits, 0, 0
		}
		switch sep = b[n]; sep {
		case '-', '/', '.', ':':
		default:
			return v, digits, 0, 0
		}
		n++
	}
	return v, digits, sep, n
}

// unixTime is a time given as seconds since 1970.
func unixTime(sec int64) Time {
	return Time{Time: time.Unix(sec, 0).UTC(), Precision: Second, ZoneKnown: true}
}
