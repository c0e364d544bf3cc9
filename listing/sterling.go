package listing

import "bytes"

// sterlingParser reads the batches and mailboxes of Sterling Connect:Enterprise and the symbolic files of
// Connect:Express.
//
//	-ARTE-----TCP A anna       22159    629629 Aug 06 05:47 INVOICES
//	anna     00000014 00000606 <INVOICES>        990929-1306 A R  TCP BIN
//	d   -   -   -  -  -  -  - anna
//	-D 2 T VB  00244 18000 INVOICES!PROD.INVOICES
//
// The number of the batch is in Group, since there is no other place for it.
type sterlingParser struct{}

func (sterlingParser) parse(c *cursor, e *Entry) (verdict, string) {
	var w row
	w.split(c.line)
	switch {
	case sterlingFooter(&w):
		return header, ""
	case w.n >= 9 && sterlingFlags(w.word(0)):
		return sterlingBatch(c, e, &w)
	case w.n > 4 && w.word(3)[0] == '<':
		return sterlingRemote(c, e, &w)
	case sterlingMailbox(c, e, &w), sterlingExpress(c, &w):
		return full, ""
	}
	return miss, "no flags of a batch"
}

// sterlingFooter recognizes "Total Number of batches listed: 5" and "Total number of Mailboxes = 3".
func sterlingFooter(w *row) bool {
	return w.n >= 5 && w.titled(0, "Total") && w.titled(1, "number") && w.titled(2, "of") &&
		(w.titled(3, "batches") || w.titled(3, "mailboxes"))
}

// sterlingFlags reports whether b is ten flags and a protocol, such as -ARTE-----TCP or -SR--M-------.
func sterlingFlags(b []byte) bool {
	if len(b) < 12 || len(b) > 14 || b[0] != '-' {
		return false
	}
	for _, c := range b {
		if (c < 'A' || c > 'Z') && c != '-' {
			return false
		}
	}
	return true
}

// sterlingBatch reads "flags type owner number size date name".
func sterlingBatch(c *cursor, e *Entry, w *row) (verdict, string) {
	var ok bool
	if e.Size, ok = w.number(4); !ok || len(w.word(1)) != 1 || !allDigits(w.word(3)) {
		return miss, "no number and size of a batch"
	}
	var t civil
	n := dateAt(c.line, w.at[:w.n], 5, &t)
	if n == 0 || 5+n >= w.n {
		return miss, "no date and name of a batch"
	}
	if e.ModTime, ok = c.dates.resolve(&t); !ok {
		return miss, "no such date"
	}
	e.Mode, e.Owner, e.Group = w.str(c, 0), w.str(c, 2), w.str(c, 3)
	c.name(w.at[4+n].hi+1, len(c.line))
	return full, ""
}

// sterlingRemote reads "mailbox number size <name> date flags protocol type", as LIST $$ gives it.
func sterlingRemote(c *cursor, e *Entry, w *row) (verdict, string) {
	b := c.line
	lo := w.at[3].lo + 1
	n := bytes.LastIndexByte(b[lo:], '>') // a name may have one as well
	var ok bool
	if e.Size, ok = w.number(2); n <= 0 || !ok || !allDigits(w.word(1)) {
		return miss, "no number, size and <name> of a batch"
	}
	hi := lo + n
	at := hi + 1
	if at < len(b) && b[at] == '+' {
		at++ // the batch has more parts
	}
	at = blanks(b, at)
	var t civil
	if len(b) < at+11 || !compactStamp(b[at:at+11], &t) {
		return miss, "no date behind the <name> of a batch"
	}
	if e.ModTime, ok = c.dates.resolve(&t); !ok {
		return miss, "no such date"
	}
	e.Owner, e.Group = w.str(c, 0), w.str(c, 1)
	if flags, end := blanks(b, at+11), w.at[w.n-1].hi; !w.more && end > flags {
		e.Mode = c.str(flags, end)
	}
	c.name(lo, hi)
	return full, ""
}

// compactStamp reads 990929-1306.
func compactStamp(b []byte, t *civil) bool {
	if b[6] != '-' || !allDigits(b[:6]) || !allDigits(b[7:]) {
		return false
	}
	d, _ := number(b[:6])
	h, _ := number(b[7:])
	t.year, t.month, t.day = fullYear(int(d/10000), 2), int(d/100%100), int(d%100)
	t.hour, t.min, t.precision = int(h/100), int(h%100), Minute
	return true
}

// sterlingMailbox reads "d   -   -   -  -  -  -  - name".
func sterlingMailbox(c *cursor, e *Entry, w *row) bool {
	if w.n < 9 || !w.is(0, false, "d") {
		return false
	}
	for i := 1; i < 8; i++ {
		if !w.is(i, false, "-") {
			return false
		}
	}
	e.Type = Dir
	c.name(w.at[7].hi+1, len(c.line))
	return true
}

// sterlingExpress reads "-allocation rule direction recfm lrecl blksize name" of Connect:Express.
func sterlingExpress(c *cursor, w *row) bool {
	if w.n != 7 || !w.is(0, false, "-D") && !w.is(0, false, "-F") || len(w.word(1)) != 1 || len(w.word(2)) != 1 {
		return false
	}
	_, lrecl := w.number(4)
	_, blksize := w.number(5)
	direction := bytes.IndexByte([]byte("TR*"), w.word(2)[0]) >= 0
	if !lrecl || !blksize || !direction || !allDigits(w.word(1)) {
		return false
	}
	c.name(w.at[6].lo, w.at[6].hi)
	return true
}
