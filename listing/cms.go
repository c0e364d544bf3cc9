package listing

import (
	"bytes"
	"math"
)

// cmsParser reads z/VM: CMS mini disks and directories of the shared file system, the byte file system, the virtual
// reader, and the output of FILELIST that older servers give.
//
//	PROFILE  EXEC     V         72          9          1 1999-09-20 17:16:18 ANN191
//	TOOLS             DIR        -          -          - 1999-09-20 10:31:11 -
//	PROFILE  EXEC      A1 V      41     21     1       9/16/91   15:10:32
//	05/20/2000 13:38:19 F 1      65758 'notes.txt'
//	0013 ANNA     00000084 1999-12-10 11:47:44 NOTES    TXT
//
// A file has a name and a type, which are joined by a dot in commands. The dot is in no listing, so that the name
// is put together, the one format here that costs allocations for every entry.
type cmsParser struct{}

func (cmsParser) parse(c *cursor, e *Entry) (verdict, string) {
	c.prefix = ""
	var w row
	w.split(c.line)
	switch {
	case w.titled(0, "Filename") && w.titled(1, "FileType"):
		return header, ""
	case w.n < 6 || w.more:
		return miss, "not enough columns"
	}
	var ok bool
	switch {
	case allDigits(w.word(0)) && len(w.word(0)) == 4:
		ok = cmsReader(c, e, &w)
	case w.word(0)[0]-'0' <= 9 && bytes.IndexByte(c.line, '\'') > 0:
		ok = cmsByteFile(c, e, &w)
	}
	if ok || cmsFile(c, e, &w) {
		return full, ""
	}
	return miss, "no record format, three numbers and a date"
}

// cmsFile reads "name [type] [mode] format lrecl records blocks date time [owner]".
func cmsFile(c *cursor, e *Entry, w *row) bool {
	at := 1
	for at < 4 && !cmsFormat(w.word(at)) {
		at++
	}
	// a file may be of type F: what follows decides
	if at < 3 && cmsFormat(w.word(at+1)) {
		at++
	}
	var v [3]int64
	for i := range v {
		var ok bool
		if v[i], ok = w.number(at + 1 + i); !ok {
			return false
		}
	}
	var t civil
	if at == 4 || w.n > at+7 || !w.stamp(at+4, false, &t) || !cmsResolve(c, e, &t) {
		return false
	}
	if w.n == at+7 && !w.is(at+6, false, "-") {
		e.Owner = w.str(c, at+6)
	}
	last := at - 1
	if at > 1 && cmsMode(w.word(last)) && (at == 3 || w.is(at, false, "DIR")) {
		last--
	}
	if w.is(at, false, "DIR") {
		e.Type = Dir
	} else {
		cmsSize(e, w.word(at)[0], v)
	}
	cmsName(c, w, 0, last)
	return true
}

// cmsFormat reports whether b is a record format, or what the shared file system has in its place.
func cmsFormat(b []byte) bool {
	switch string(b) {
	case "F", "V", "DIR", "ALIAS", "EXTRNL", "REVOKED", "ERASED":
		return true
	}
	return false
}

// cmsMode reports whether b is a file mode such as A1.
func cmsMode(b []byte) bool {
	return len(b) == 2 && b[0] >= 'A' && b[0] <= 'Z' && b[1] >= '0' && b[1] <= '6'
}

// cmsSize works out the size of a file from its record length, records and blocks. With fixed records it is exact;
// else it is at most all records at full length, and at most what the blocks hold.
func cmsSize(e *Entry, format byte, v [3]int64) {
	length, records, blocks := v[0], v[1], v[2]
	if length < 0 || records < 0 || length > math.MaxInt32 || records > math.MaxInt32 {
		return
	}
	switch format {
	case 'F':
		e.Size = length * records
	case 'V':
		e.Size, e.SizeEstimated = length*records, true
		if blocks > 0 && blocks < math.MaxInt32 {
			e.Size = min(e.Size, blocks*4096)
		}
	}
}

// cmsName joins the words first and last (which may be the same) by a dot.
func cmsName(c *cursor, w *row, first, last int) {
	if last > first {
		c.prefix = w.str(c, first) + "."
	}
	c.name(w.at[last].lo, w.at[last].hi)
}

func cmsResolve(c *cursor, e *Entry, t *civil) (ok bool) {
	e.ModTime, ok = c.dates.resolve(t)
	return ok
}

// cmsReader reads "spoolid origin records date time name [type]" of the virtual reader.
func cmsReader(c *cursor, e *Entry, w *row) bool {
	var t civil
	if len(w.word(2)) != 8 || !allDigits(w.word(2)) || w.n > 7 || !w.stamp(3, true, &t) || !cmsResolve(c, e, &t) {
		return false
	}
	e.Owner = w.str(c, 1)
	cmsName(c, w, 5, w.n-1)
	return true
}

// cmsByteFile reads "date time kind links size 'name'" of the byte file system.
func cmsByteFile(c *cursor, e *Entry, w *row) bool {
	var t civil
	if len(w.word(2)) != 1 || !w.stamp(0, false, &t) || !cmsResolve(c, e, &t) {
		return false
	}
	_, links := w.number(3)
	size, ok := w.number(4)
	lo, hi := w.at[5].lo+1, bytes.LastIndexByte(c.line, '\'')
	if !links || !ok || w.word(5)[0] != '\'' || hi <= lo {
		return false
	}
	switch w.word(2)[0] {
	case 'F':
		e.Size = size
	case 'D':
		e.Type = Dir
	case 'L', 'E':
		e.Type = Link
	default:
		e.Type = Other
	}
	c.name(lo, hi)
	return true
}
