package listing

// pdsParser reads the members of a partitioned data set on z/OS, with the statistics of ISPF, as load modules, or
// as mere names.
//
//	 Name     VV.MM   Created       Changed      Size  Init   Mod   Id
//	IEFBR14   01.03 2012/09/12 2024/05/30 09:37    11    11     0 ANNA
//	NOSTATS
//
//	 Name      Size     TTR   Alias-of AC --------- Attributes --------- Amode Rmode
//	PAYROLL   0005F48   000011 PAYALIAS 00 FO             RN RU            31    ANY
//
// The Size of a source member counts lines, so its bytes are unknown; that of a load module is in hexadecimal bytes.
type pdsParser struct {
	chosen bool // the listing is one of members, so that a lone word is one
	seen   bool // there was a header, or a member with its attributes
}

// pdsPadding is how many blanks follow the name of a member without statistics at least: the line has the full width.
const pdsPadding = 40

func (p *pdsParser) parse(c *cursor, e *Entry) (verdict, string) {
	var w row
	w.split(c.line)
	switch {
	case w.titled(0, "Name") && (w.titled(1, "VV.MM") || w.titled(1, "Size") && w.titled(2, "TTR")):
		p.seen = true
		return header, ""
	case w.n == 0 || w.more:
		return miss, "not a member"
	}
	v, reason := p.member(c, e, &w)
	if v.entry() {
		c.name(w.at[0].lo, w.at[0].hi)
	}
	return v, reason
}

func (p *pdsParser) member(c *cursor, e *Entry, w *row) (verdict, string) {
	switch {
	case w.n == 1:
		return p.bare(c, w)
	case pdsStatistics(c, e, w), pdsModule(e, w):
		p.seen = true
		return full, ""
	case p.seen && upperName(w.word(0)):
		return weak, "" // other programs use the room of the statistics in ways of their own
	}
	return miss, "no statistics and no attributes of a load module"
}

// bare judges a line that is one word.
func (p *pdsParser) bare(c *cursor, w *row) (verdict, string) {
	b := w.word(0)
	padded := len(c.line)-w.at[0].hi >= pdsPadding && upperName(b)
	if padded || p.seen || p.chosen && noLower(b) {
		return weak, ""
	}
	return miss, "a word without attributes"
}

// pdsStatistics reads "VV.MM created changed time size init mod id" after the name.
func pdsStatistics(c *cursor, e *Entry, w *row) bool {
	var t civil
	if w.n < 5 || !pdsVersion(w.word(1)) || !slashDate(w.word(2), true, &t) || !w.stamp(3, true, &t) {
		return false
	}
	var ok bool
	if e.ModTime, ok = c.dates.resolve(&t); !ok {
		return false
	}
	e.Version = w.str(c, 1)
	if last := w.n - 1; last >= 8 || last > 4 && !allDigits(w.word(last)) {
		e.Owner = w.str(c, last)
	}
	return true
}

// noLower reports whether b has no letters but capitals, and no control characters.
func noLower(b []byte) bool {
	for _, c := range b {
		if c < '!' || c >= 'a' && c <= 'z' || c >= 0x7F {
			return false
		}
	}
	return true
}

// pdsVersion reads 01.03.
func pdsVersion(b []byte) bool {
	_, n := number(b)
	return n > 0 && n <= 2 && n < len(b) && b[n] == '.' && len(b)-n <= 3 && allDigits(b[n+1:])
}

// pdsModule reads "size ttr [alias-of] ac attributes amode rmode" after the name.
func pdsModule(e *Entry, w *row) bool {
	size, ok := hexadecimal(w.word(1))
	if _, ttr := hexadecimal(w.word(2)); !ok || !ttr || w.n < 6 {
		return false
	}
	ac := 3
	if b := w.word(3); len(b) != 2 || !allDigits(b) {
		ac = 4
	}
	if b := w.word(ac); len(b) != 2 || !allDigits(b) || ac > w.n-3 {
		return false
	}
	for i := ac + 1; i < w.n-2; i++ {
		if !nationals(w.word(i)) {
			return false
		}
	}
	if !addressing(w.word(w.n-2)) || !addressing(w.word(w.n-1)) {
		return false
	}
	e.Size = size
	return true
}

// hexadecimal reads five to eight digits.
func hexadecimal(b []byte) (v int64, ok bool) {
	for _, c := range b {
		switch {
		case c-'0' <= 9:
			v = v<<4 | int64(c-'0')
		case c|0x20 >= 'a' && c|0x20 <= 'f':
			v = v<<4 | int64(c|0x20-'a'+10)
		default:
			return 0, false
		}
	}
	return v, len(b) >= 5 && len(b) <= 8
}

// addressing reports whether b is an addressing or residence mode.
func addressing(b []byte) bool {
	switch string(b) {
	case "24", "31", "64", "ANY", "MIN", "SPLIT":
		return true
	}
	return false
}
