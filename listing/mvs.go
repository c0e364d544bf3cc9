package listing

import "bytes"

// mvsParser reads the data sets of z/OS, OS/390 and MVS, and what Co:Z prints for them.
//
//	Volume Unit    Referred Ext Used Recfm Lrecl BlkSz Dsorg Dsname
//	PROD01 3390   2024/05/30  1   15  FB      80 27920  PO  JCL.CNTL
//	PROD02 3390   **NONE**    1+++++  VBS  32760 27998  PS  'AUDIT.SMF'
//	Migrated                                                OLD.DATA
//
// The name is the last word of the line and the attributes are read from there to the left: columns run into each
// other, and servers leave out Unit or add Tracks. "Referred" is when the data set was last opened, not changed.
type mvsParser struct {
	seen   bool // there was a header or an entry
	nameAt int  // the column of the names, 0 while it is unknown
}

// Bytes of a track, from the DEVTYPE tables of the two disks that are still emulated.
const (
	track3380 = 47476
	track3390 = 56664
)

func (p *mvsParser) parse(c *cursor, e *Entry) (verdict, string) {
	var w row
	w.split(c.line)
	if w.titled(0, "Volume") && w.titled(w.n-1, "Dsname") {
		p.seen, p.nameAt = true, w.at[w.n-1].lo-1 // the names start one column to the left of their title
		return header, ""
	}
	if w.n < 2 && !p.seen || w.more {
		return miss, "no attributes before a name"
	}
	lo, hi := dataSetName(c.line)
	if lo >= hi {
		return miss, "no name"
	}
	v := p.row(c, e, &w, lo)
	if v == miss {
		if lo, v = p.odd(c.line, lo, hi); v == miss {
			return miss, "no organization or state of a data set before the name"
		}
	}
	if p.seen = true; p.nameAt == 0 && v == full {
		p.nameAt = lo
	}
	if e.Type != File {
		e.Size, e.SizeEstimated = -1, false
	}
	c.name(lo, hi)
	return v, ""
}

// dataSetName finds the last word of the line, or the quoted name at its end. The quotes mark a name as complete,
// so that the next command needs them.
func dataSetName(b []byte) (lo, hi int) {
	hi = len(b)
	for hi > 0 && (b[hi-1] == ' ' || b[hi-1] == '\t') {
		hi--
	}
	if hi > 1 && b[hi-1] == '\'' {
		if i := bytes.IndexByte(b[:hi-1], '\''); i > 0 && b[i-1] == ' ' {
			return i, hi
		}
	}
	for lo = hi; lo > 0 && b[lo-1] != ' ' && b[lo-1] != '\t'; {
		lo--
	}
	return lo, hi
}

// row reads what stands before the name at lo.
func (p *mvsParser) row(c *cursor, e *Entry, w *row, lo int) verdict {
	b := c.line[:lo]
	if blank(b) {
		return miss
	}
	if p.attributes(e, b) {
		return full
	}
	apart := p.seen || lo >= 2 && blank(b[lo-2:]) || b[lo-1] == '\t'
	from, to := blanks(b, 0), lo
	for to > from && blank(b[to-1:to]) {
		to--
	}
	if apart && mvsState(e, b[from:to]) {
		return full
	}
	// a volume may come before the state: "PROD01 Not Mounted", "PROD01 3390     VSAM"
	rest := w.at[0].hi
	if rest >= to || !volume(b[w.at[0].lo:rest]) {
		return mvsIndex(b[from:to], from >= 20 || p.seen)
	}
	at := blanks(b, rest)
	if apart && (bytes.EqualFold(b[at:to], []byte("Tape")) || mvsState(e, b[at:to])) {
		return full
	}
	if n := mvsUnit(b[at:to]); n > 0 {
		at = blanks(b, at+n)
	} else if !apart {
		return miss
	}
	return mvsIndex(b[min(at, to):to], true)
}

// mvsState reads the words that stand in place of the attributes.
func mvsState(e *Entry, b []byte) bool {
	if bytes.EqualFold(b, []byte("Pseudo Directory")) {
		e.Type = Dir
		return true
	}
	for _, s := range []string{
		"Migrated", "MIGRAT", "Not Mounted", "Not Direct Access Device", "Not a DASD device", "File not on volume",
		"Error determining attributes", "User catalog connector",
	} {
		if bytes.EqualFold(b, []byte(s)) {
			return true
		}
	}
	// "< File not on volume >": further ones are known by their brackets
	return len(b) > 4 && b[0] == '<' && b[1] == ' ' && b[len(b)-1] == '>'
}

// mvsIndex reads the organization of what has no other attributes: a VSAM cluster, the base of a generation group.
func mvsIndex(b []byte, sure bool) verdict {
	switch string(b) {
	case "VSAM", "GDG", "PATH", "AIX", "ALIAS", "VS":
		if sure {
			return full
		}
	}
	return miss
}

// odd accepts a line that is not understood for the column of its name: at nameAt, or one to the right.
func (p *mvsParser) odd(b []byte, lo, hi int) (int, verdict) {
	if !p.seen || p.nameAt < 8 || lo >= hi {
		return lo, miss
	}
	if at := p.nameAt; lo < at && at < hi && at-lo <= 5 && mvsIndex(b[lo:at], true) == full {
		return at, weak // "VSAMPROD.KSDS.DATA": the columns touch
	}
	if (lo == p.nameAt || lo == p.nameAt+1) && !blank(b[:lo]) {
		return lo, weak
	}
	return lo, miss
}

// attributes reads "volume [unit] [referred] ext used recfm lrecl blksz dsorg" from all of b.
func (p *mvsParser) attributes(e *Entry, b []byte) bool {
	i := blanks(b, 0)
	at := i
	for i < len(b) && i < at+6 && volumeChar(b[i]) {
		i++
	}
	if i == at {
		return false
	}
	i = blanks(b, i)
	unit := ""
	n := mvsReferred(b[i:])
	if n == 0 {
		k := mvsUnit(b[i:])
		if k == 0 {
			return false
		}
		unit = mvsDisk(b[i : i+k])
		i = blanks(b, i+k)
		n = mvsReferred(b[i:])
	} else {
		unit = "3390" // the wide formats have no unit; they come from systems that have no other disks
	}
	var f mvsFields
	if !f.scan(b, i+n) {
		return false
	}
	if f.partitioned() {
		e.Type = Dir
	} else if used := f.used(); used >= 0 {
		e.estimate(used, unit)
	}
	return true
}

// estimate gives the room on the tracks that are used: the data set is at most that large.
func (e *Entry) estimate(tracks int64, unit string) {
	switch unit {
	case "3390":
		e.Size, e.SizeEstimated = tracks*track3390, true
	case "3380":
		e.Size, e.SizeEstimated = tracks*track3380, true
	}
}

func volumeChar(c byte) bool { return nationals([]byte{c}) || c == '-' || c == '*' }

// volume reports whether b is the serial of a volume.
func volume(b []byte) bool {
	for _, c := range b {
		if !volumeChar(c) {
			return false
		}
	}
	return len(b) > 0 && len(b) <= 6
}

// mvsUnit is the length of the device type at the start of b: four digits and perhaps a letter, or 0.
func mvsUnit(b []byte) int {
	if len(b) < 5 || !allDigits(b[:4]) {
		return 0
	}
	if b[4] >= 'A' && b[4] <= 'Z' && len(b) > 5 {
		return when(b[5] == ' ', 5)
	}
	return when(b[4] == ' ' || b[4] == '\t', 4)
}

// mvsDisk is the device type where the capacity of its tracks is known.
func mvsDisk(b []byte) string {
	switch string(b[:4]) {
	case "3390":
		return "3390"
	case "3380":
		return "3380"
	}
	return ""
}

// mvsReferred is the length of the date at the start of b, which the next column may touch, or 0.
func mvsReferred(b []byte) int {
	if bytes.HasPrefix(b, []byte("**NONE**")) {
		return 8
	}
	if len(b) > 10 && b[4] == '/' && b[7] == '/' && allDigits(b[:4]) && allDigits(b[5:7]) && allDigits(b[8:10]) {
		return 10
	}
	if len(b) > 8 && b[2] == '/' && b[5] == '/' && allDigits(b[:2]) && allDigits(b[3:5]) && allDigits(b[6:8]) {
		return 8
	}
	return 0
}
