package listing

import "bytes"

// nonstopParser reads the listings of the Guardian file system of HP NonStop, once Tandem.
//
//	File         Code             EOF  Last Modification    Owner  RWEP
//	ACCTS         101             2522 27-Aug-02 13:57:10 155, 76 "nunu"
//	TACLCSTM   O  101              101  4-Mar-01 23:50:06 255,255 "oooo"
//
// An O says that the file is open. The owner is a group and a user number.
type nonstopParser struct {
	row        row
	subvolumes bool // a heading says that names of subvolumes follow
}

func (p *nonstopParser) parse(c *cursor, e *Entry) (verdict, string) {
	r := &p.row
	r.split(c.line)
	if v := p.header(); v != miss {
		return v, ""
	}
	if p.subvolumes && r.n == 1 && len(r.word(0)) <= 8 && capitals(r.word(0)) {
		e.Type = Dir
		c.name(r.at[0].lo, r.at[0].hi)
		return weak, ""
	}
	i := 1
	if ofOnly(r.word(i), "O*?") {
		i++
	}
	if !fileCode(r.word(i)) {
		return miss, "no file code after the name"
	}
	size, n := number(r.word(i + 1))
	if n == 0 || n != len(r.word(i+1)) {
		return miss, "no EOF after the file code"
	}
	t := civil{precision: Day}
	if !dashedMonth(r.word(i+2), &t) {
		return miss, "no date after the EOF"
	}
	if !clock(r.word(i+3), &t) {
		return miss, "no time of day"
	}
	var ok bool
	if e.ModTime, ok = c.dates.resolve(&t); !ok {
		return miss, "no such date"
	}
	e.Size = size
	c.name(r.at[0].lo, r.at[0].hi)
	if !p.owner(c, e, i+4) {
		return weak, ""
	}
	return full, ""
}

// fileCode reports whether b is a number of up to five digits, with the letters and signs that FUP adds to it.
func fileCode(b []byte) bool {
	_, n := number(b)
	return n > 0 && n <= 5 && (n == len(b) || len(b) <= n+3 && ofOnly(b[n:], "ALP+OC*"))
}

// header reads the headings.
func (p *nonstopParser) header() verdict {
	r := &p.row
	switch {
	case r.is(0, false, "File", "Code", "EOF"), r.is(0, false, "CODE", "EOF", "LAST"):
		p.subvolumes = false
		return header
	case string(r.word(0)) == "***" && r.n > 1 && subvolumes(r.word(1)):
		p.subvolumes = true
		return ignore
	}
	return miss
}

// subvolumes reports whether b starts like "Sub-Volumes:".
func subvolumes(b []byte) bool {
	b = bytes.ToLower(clip(b, 16))
	return bytes.HasPrefix(b, []byte("sub-vol")) || bytes.HasPrefix(b, []byte("subvol"))
}

// owner reads "255,255", "244, 10", a lone owner, and the security string behind them. It reports whether the owner
// is a group and a user.
func (p *nonstopParser) owner(c *cursor, e *Entry, i int) bool {
	r := &p.row
	w := r.word(i)
	comma := bytes.IndexByte(w, ',')
	switch {
	case w == nil:
		return false
	case w[0] == '"':
		i--
	case comma < 0:
		e.Owner = c.str(r.at[i].lo, r.at[i].hi)
	case comma+1 < len(w):
		e.Group, e.Owner = c.str(r.at[i].lo, r.at[i].lo+comma), c.str(r.at[i].lo+comma+1, r.at[i].hi)
	case r.word(i+1) != nil:
		e.Group, e.Owner = c.str(r.at[i].lo, r.at[i].lo+comma), c.str(r.at[i+1].lo, r.at[i+1].hi)
		i++
	}
	if s := r.word(i + 1); len(s) > 0 {
		lo, hi := r.at[i+1].lo, r.at[i+1].hi
		if s[0] == '"' {
			lo++
		}
		if hi > lo+1 && r.line[hi-1] == '"' {
			hi--
		}
		e.Mode = c.str(lo, hi)
	}
	return e.Group != "" && allDigits([]byte(e.Group)) && allDigits([]byte(e.Owner))
}
