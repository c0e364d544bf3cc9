package listing

// stamp reads a date and a time of day from the words at i and i+1. Where all numbers of the date have two digits,
// yearFirst tells 94/12/15 from 12/15/94.
func (r *row) stamp(i int, yearFirst bool, t *civil) bool {
	return slashDate(r.word(i), yearFirst, t) && clock(r.word(i+1), t)
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
