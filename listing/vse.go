package listing

import "bytes"

// vseParser reads z/VSE: the root, libraries, sublibraries, the queues of POWER, VSAM catalogs and volumes.
//
//	PRD2         <Library>
//	PRODUCT      <Sub Library>      214      2310 04/03/09 10:15:00
//	PAYROLL.PHASE     12    3 04/01/02 09:37:11 04/05/30 12:00:00 S
//	PAYJOB.00123.00   210   4   208   3  D ANNA
//	CUSTOMER.FILE     04/05/30 12:00:00      1210 K
type vseParser struct{}

func (vseParser) parse(c *cursor, e *Entry) (verdict, string) {
	var w row
	w.split(c.line)
	if w.n < 2 || w.more {
		return miss, "not enough columns"
	}
	if vseRoot(c.line[w.at[1].lo:w.at[w.n-1].hi], e) || vsePower(c, e, &w) || vseMember(c, e, &w) ||
		vseCatalog(c, e, &w) || vseSublibrary(c, e, &w) {
		c.name(w.at[0].lo, w.at[0].hi)
		return full, ""
	}
	return miss, "no kind of a z/VSE file"
}

// vseRoot reads the kind behind a name in the root directory.
func vseRoot(b []byte, e *Entry) bool {
	switch string(b) {
	case "<Directory>", "<VSE VTOC>", "<Library>", "<Power Queues>", "<VSAM Catalog>":
		e.Type = Dir
		return true
	case "Entry Seq VSAM", "Key Seq VSAM", "Rel Rec VSAM":
		return true
	}
	return false
}

// vseSublibrary reads "name <Sub Library> members blocks [date time]".
func vseSublibrary(c *cursor, e *Entry, w *row) bool {
	if !w.is(1, false, "<Sub") || !w.is(2, false, "Library>") {
		return false
	}
	e.Type = Dir
	return w.n < 7 || vseTime(c, e, w, 5)
}

// vsePower reads "job.number.suffix records pages lines priority disposition [owner]".
func vsePower(c *cursor, e *Entry, w *row) bool {
	if w.n < 6 || w.n > 7 || len(w.word(5)) != 1 || bytes.Count(w.word(0), []byte{'.'}) != 2 {
		return false
	}
	for i := 1; i < 5; i++ {
		if !allDigits(w.word(i)) {
			return false
		}
	}
	if bytes.IndexByte([]byte("ADHKLXYZGINT*"), w.word(5)[0]) < 0 {
		return false
	}
	if w.n == 7 {
		e.Owner = w.str(c, 6)
	}
	return true
}

// vseMember reads "name.type size blocks created [changed] format": the size counts the bytes of a string (S) and
// the records of 80 bytes of a fixed format (F).
func vseMember(c *cursor, e *Entry, w *row) bool {
	last := w.n - 1
	if last != 5 && last != 7 || !allDigits(w.word(2)) || !w.is(last, false, "F") && !w.is(last, false, "S") {
		return false
	}
	n, ok := w.number(1)
	if !ok || !vseTime(c, e, w, last-2) {
		return false
	}
	if w.is(last, false, "F") && n >= 0 && n < 1<<40 {
		n *= 80
	}
	e.Size, e.SizeEstimated = n, n >= 0
	return true
}

// vseCatalog reads "name date time count kind" of a VSAM catalog or a volume: the count is of records or of the
// bytes of one, so that the size is unknown.
func vseCatalog(c *cursor, e *Entry, w *row) bool {
	if w.n != 5 || !allDigits(w.word(3)) || len(w.word(4)) != 1 {
		return false
	}
	return bytes.IndexByte([]byte("EKRSDVIU"), w.word(4)[0]) >= 0 && vseTime(c, e, w, 1)
}

func vseTime(c *cursor, e *Entry, w *row, i int) (ok bool) {
	var t civil
	if w.stamp(i, true, &t) {
		e.ModTime, ok = c.dates.resolve(&t)
	}
	return ok
}
