package listing

// mvsFields is the columns from Ext to Dsorg, split where a blank or a change between letters and digits is.
type mvsFields struct {
	line []byte
	at   [maxMVSFields]token
	n    int
}

// maxMVSFields is one more than Ext, Tracks, Used, Recfm, Lrecl, BlkSz and Dsorg.
const maxMVSFields = 8

// scan splits b[i:] and checks it from the right: dsorg, two numbers, recfm, and one to three numbers before it.
func (f *mvsFields) scan(b []byte, i int) bool {
	f.line = b
	for i = blanks(b, i); i < len(b); i = blanks(b, i) {
		if f.n == maxMVSFields {
			return false
		}
		end := f.end(i)
		f.at[f.n] = token{i, end}
		f.n++
		i = end
	}
	if f.n < 5 || f.n == maxMVSFields {
		return false
	}
	for k := range f.n - 4 {
		if !f.numeric(k) {
			return false
		}
	}
	return f.recordFormat() && f.numeric(f.n-3) && f.numeric(f.n-2) && f.organization()
}

// end is where the field at i ends.
func (f *mvsFields) end(i int) int {
	b := f.line
	digits := mvsDigit(b[i])
	for i < len(b) && b[i] != ' ' && b[i] != '\t' && mvsDigit(b[i]) == digits {
		i++
	}
	if digits && i < len(b) && b[i] == 'K' && (i+1 == len(b) || b[i+1] == ' ') {
		i++ // 9999K: a count that is too wide for its column
	}
	return i
}

// mvsDigit is for numbers and for the signs that stand for one that is unknown or too large.
func mvsDigit(c byte) bool { return c-'0' <= 9 || c == '+' || c == '?' }

func (f *mvsFields) field(i int) []byte { return f.line[f.at[i].lo:f.at[i].hi] }

func (f *mvsFields) numeric(i int) bool { return mvsDigit(f.field(i)[0]) }

func (f *mvsFields) recordFormat() bool {
	b := f.field(f.n - 4)
	if string(b) == "NONE" || string(b) == "?" {
		return true
	}
	for _, c := range b {
		switch c {
		case 'F', 'V', 'U', 'B', 'S', 'A', 'M', 'T', 'D', 'R', 'X', '-':
		default:
			return false
		}
	}
	return len(b) <= 5
}

func (f *mvsFields) organization() bool {
	b := f.field(f.n - 1)
	for _, c := range b {
		if (c < 'A' || c > 'Z') && c != '-' && c != '?' {
			return string(b) == "Partitioned"
		}
	}
	return len(b) <= 5
}

func (f *mvsFields) partitioned() bool {
	switch string(f.field(f.n - 1)) {
	case "PO", "PO-E", "POE", "POU", "Partitioned":
		return true
	}
	return false
}

// used is the number of tracks in use, -1 where it is not shown.
func (f *mvsFields) used() int64 {
	b := f.field(f.n - 5)
	scale := int64(1)
	if b[len(b)-1] == 'K' {
		b, scale = b[:len(b)-1], 1000
	}
	if f.n == 5 {
		// Ext and Used touch: 115807 is 1 and 15807, since Used is five digits wide
		if len(b) < 6 {
			return -1
		}
		b = b[len(b)-5:]
	}
	if v, n := number(b); n == len(b) && v < 1<<40 {
		return v * scale
	}
	return -1
}
