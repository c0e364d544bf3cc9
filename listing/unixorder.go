package listing

// hint says what a date tells about the others of its listing, or needs to be told by them.
type hint uint8

const (
	isDayFirst      hint = iota + 1 // 25/02/2009
	isMonthFirst                    // 02/25/2009
	takenDayFirst                   // 02.03.2009
	takenMonthFirst                 // 02/03/2009
	isCroatian                      // a month name that only Croatian has
	maybeCroatian                   // one that means the month before there: lip, srp, lis
)

// byOrder fills in the month and the day from two numbers; dayFirst is how they are taken where both could be
// the month.
func byOrder(a, b int, dayFirst bool, t *civil) {
	switch {
	case a > 12:
		dayFirst, t.hint = true, isDayFirst
	case b > 12:
		dayFirst, t.hint = false, isMonthFirst
	case dayFirst:
		t.hint = takenDayFirst
	default:
		t.hint = takenMonthFirst
	}
	t.month, t.day = a, b
	if dayFirst {
		t.month, t.day = b, a
	}
}

// order gathers what the dates of a listing say of how it writes dates, and settles those that were read one way and
// might as well have been read another.
type order struct {
	dayFirst, monthFirst, croatian int

	open  []openDate
	dates *dates
}

// openDate is the date of an entry that the rest of the listing may change.
type openDate struct {
	entry int
	date  civil
}

// weigh takes note of t, the date of the entry with this index.
func (o *order) weigh(t *civil, entry int, d *dates) {
	switch t.hint {
	case isDayFirst:
		o.dayFirst++
	case isMonthFirst:
		o.monthFirst++
	case isCroatian:
		o.croatian++
	default:
		o.dates = d
		o.open = append(o.open, openDate{entry, *t})
	}
}

// settle mends the open dates among the entries.
func (o *order) settle(entries []Entry) {
	for i := range o.open {
		t := &o.open[i].date
		switch {
		case t.hint == takenDayFirst && o.monthFirst > o.dayFirst, t.hint == takenMonthFirst && o.dayFirst > o.monthFirst:
			t.month, t.day = t.day, t.month
		case t.hint == maybeCroatian && o.croatian > 0:
			t.month--
		default:
			continue
		}
		if n := o.open[i].entry; n < len(entries) {
			if at, ok := o.dates.resolve(t); ok {
				entries[n].ModTime = at
			}
		}
	}
	o.open = o.open[:0]
}
