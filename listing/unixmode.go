package listing

import "bytes"

// typeOf reads the first letter of a mode.
func typeOf(c byte) Type {
	switch c {
	case 'd':
		return Dir
	case 'l':
		return Link
	case '-', 'f', 'a', 'm', 'M', 'n', 'C', 'o':
		// regular; Plan 9 append-only; migrated to tape (m, M); HP-UX network special; contiguous; off-line
		return File
	}
	return Other
}

// unknownType reports whether no ls prints c as a file type: then the line is something else.
// b, c, p, s: POSIX; D, P: Solaris door and event port; e, E: external link of z/OS; w: BSD whiteout; h: HP-UX.
func unknownType(c byte) bool {
	return bytes.IndexByte([]byte("bcpsDPeEwh?xXL"), c) < 0
}

// modeAt reads a mode at b[i:], without the mark for an ACL behind it, and returns its end.
//
//	drwxr-xr-x   -rwSr-sr-T   drwxr-x (cut short)   d [RWCEAFMS]   d[RWCEMFA]
func modeAt(b []byte, i int) (end int, ok bool) {
	if i+7 > len(b) || !letter(b[i]) && b[i] != '-' && b[i] != '?' {
		return 0, false
	}
	if b[i+1] == '[' || b[i+1] == ' ' && b[i+2] == '[' {
		return netwareMode(b, i)
	}
	n := 1
	for n < 10 && i+n < len(b) && permission(b[i+n], (n-1)%3) {
		n++
	}
	at := i + n
	if n != 10 && (n < 7 || at < len(b) && b[at] != ' ') {
		return 0, false
	}
	if at == len(b) {
		return at, true
	}
	switch c := b[at]; {
	case c == ' ', c == '\t', c-'0' <= 9:
		return at, true
	case c == '-': // AIX says so of a file without an ACL
		return at, at+1 == len(b) || b[at+1] == ' '
	}
	return at, aclMark(b[at])
}

// aclMark reports whether c can stand behind a mode, for an access control list, a security context or the like.
func aclMark(c byte) bool {
	return c == '+' || c == '.' || c == '@' || c == '?' || c == '*' || c == '-'
}

// permission reports whether c may stand at the place of r, w or x (0, 1, 2).
func permission(c byte, place int) bool {
	if c == '-' {
		return true
	}
	switch place {
	case 0:
		return c == 'r'
	case 1:
		return c == 'w'
	}
	switch c {
	case 'x', 's', 'S', 't', 'T', 'l', 'L':
		return true
	}
	return false
}

// netwareMode reads the rights of NetWare, in brackets.
func netwareMode(b []byte, i int) (end int, ok bool) {
	if b[i] != 'd' && b[i] != '-' {
		return 0, false
	}
	end = bytes.IndexByte(b[i:min(len(b), i+16)], ']')
	if end < 0 {
		return 0, false
	}
	for _, c := range b[i+1 : i+end] {
		if c != ' ' && c != '[' && c != '-' && (c < 'A' || c > 'Z') {
			return 0, false
		}
	}
	return i + end + 1, true
}

// afterNumbers skips one or two numbers, the inode and the blocks, and the blanks behind them.
func afterNumbers(b []byte, i int) int {
	for range 2 {
		_, n := number(b[i:])
		if n == 0 || i+n >= len(b) || b[i+n] != ' ' {
			break
		}
		for i += n; i < len(b) && b[i] == ' '; i++ {
		}
	}
	return i
}

// afterCode skips the code of a reply with several lines, as in "213-drwxr-xr-x".
func afterCode(b []byte, i int) int {
	if i+4 < len(b) && b[i] == '2' && b[i+1] <= '1' && b[i+3] == '-' && allDigits(b[i:i+3]) {
		return i + 4
	}
	return i
}

// status reports whether b is the first or last line of a reply to STAT: "213-Status of /pub:", "213 End of status".
func status(b []byte) bool {
	if len(b) > 4 && b[0] == '2' && b[1] <= '1' && (b[3] == '-' || b[3] == ' ') && allDigits(b[:3]) {
		b = b[4:]
	}
	return hasFold(b, "status of ") || hasFold(b, "status follows") || hasFold(b, "end of status")
}

// hasFold reports whether b starts with the lower-case prefix, in any case.
func hasFold(b []byte, prefix string) bool {
	return len(b) >= len(prefix) && bytes.EqualFold(b[:len(prefix)], []byte(prefix))
}

// aclLine reports whether b is a rule that the ls -le of macOS prints below an entry: "0: group:everyone deny delete".
func aclLine(b []byte) bool {
	_, n := number(b)
	if n == 0 || !bytes.HasPrefix(b[n:], []byte(": ")) {
		return false
	}
	b = b[n+2:]
	return (bytes.HasPrefix(b, []byte("user:")) || bytes.HasPrefix(b, []byte("group:"))) &&
		(bytes.Contains(b, []byte(" allow ")) || bytes.Contains(b, []byte(" deny ")))
}

// header reports whether b is a line that ls prints around the entries: "total 12", "./dir:".
func (p *unixParser) header(c *cursor, b []byte) bool {
	if (p.entries == 0 || p.fresh) && len(b) < 80 && isTotal(b) {
		return true
	}
	if status(b) || p.entries > 0 && aclLine(b) {
		return true
	}
	if n := len(b); n < 2 || b[n-1] != ':' || !c.first && !c.after {
		return false
	}
	if _, mode := modeAt(b, 0); mode || c.first && b[0] != '.' && b[0] != '/' && bytes.IndexByte(b, ' ') >= 0 {
		return false // "Access denied:" is no empty directory
	}
	p.enter(b[:len(b)-1])
	return true
}

// isTotal reports whether b is the word for a total and a number, which may have a sign and a unit.
func isTotal(b []byte) bool {
	b = bytes.TrimRight(b, " ")
	i := bytes.IndexByte(b, ' ')
	if i < 3 || !totalWord(b[:i]) {
		return false
	}
	n := bytes.TrimLeft(b[i:], " -")
	if len(n) > 1 && unit(n[len(n)-1]) > 0 {
		n = bytes.Replace(n[:len(n)-1], []byte{'.'}, nil, 1)
	}
	return allDigits(n)
}

// totalWord reports whether b may be what ls calls the total in some language. All words with letters beyond ASCII may
// be, but of the others only these: "Killed 9" is no empty directory.
func totalWord(b []byte) bool {
	for _, w := range [...]string{"total", "totale", "totaal", "totalt", "totalo", "insgesamt", "gesamt", "summe", "summa",
		"razem", "celkem", "celkom", "toplam", "ukupno", "skupaj", "samtals", "osszesen", "yhteensa", "kokku", "viso",
		"kopa", "jumlah", "guztira"} {
		if len(b) == len(w) && hasFold(b, w) {
			return true
		}
	}
	return b[0]-'0' > 9 && !plain(b) && !bytes.ContainsAny(b, "./\\")
}

// enter begins a directory of a recursive listing. Names below the first one get its path in front.
func (p *unixParser) enter(dir []byte) {
	p.fresh = true
	if !p.hasBase {
		p.hasBase = true
		if dir = bytes.TrimSuffix(dir, []byte{'/'}); p.entries == 0 {
			p.base = bytes.Clone(dir)
			return
		}
		p.base = []byte{'.'}
	}
	if rel, ok := bytes.CutPrefix(dir, append(bytes.Clone(p.base), '/')); ok {
		dir = rel
	}
	p.prefix = string(bytes.TrimPrefix(dir, []byte("./"))) + "/"
}

// odd reads the lines without a mode that can be read: octal ids and times, VShell's old form, and lines that are
// all right but for the mode. at is the first byte that is no blank.
func (p *unixParser) odd(c *cursor, e *Entry, at int) (verdict, string) {
	b := c.line
	if modeShaped(b[at:]) {
		return miss, "unknown file type letter"
	}
	w := p.split(b, at)
	if v, ok := p.numeric(c, e, w); ok {
		return v, ""
	}
	var t civil
	i, n := findDate(b, w, &t)
	if n == 0 {
		return miss, "no mode and no date after a size"
	}
	if i == 1 && letter(b[w[1].lo]) { // 206876  Apr 04, 2000 21:06 name
		if !p.size(e, b[w[0].lo:w[0].hi]) {
			return miss, "the size is no number"
		}
		if b[len(b)-1] == '/' {
			e.Type, e.Size = Dir, -1
		}
		return p.rest(c, e, w[i+n-1].hi, &t, weak, false)
	}
	// anything, links, owner, group, size
	if i < 5 || !allDigits(b[w[i-4].lo:w[i-4].hi]) {
		return miss, "no mode"
	}
	if !p.size(e, b[w[i-1].lo:w[i-1].hi]) {
		return miss, "the size is no number"
	}
	e.Owner, e.Group = c.str(w[i-3].lo, w[i-3].hi), c.str(w[i-2].lo, w[i-2].hi)
	p.endsInMode(c, e, w[0])
	return p.rest(c, e, w[i+n-1].hi, &t, weak, false)
}

// endsInMode takes the type and the mode from a word that ends in one: what stands before it may be the code of a reply,
// a stray CR or the colours of a terminal. Plan 9 prints two letters before the permissions, the first of which counts.
func (p *unixParser) endsInMode(c *cursor, e *Entry, w token) {
	b := c.line[w.lo:w.hi]
	if len(b) > 65 {
		return
	}
	at := len(b) - 9
	for i := range 9 {
		if at < 1 || !permission(b[at+i], i%3) {
			return
		}
	}
	kind := b[at-1]
	if len(b) == 11 && kind == '-' && (b[0] == 'd' || b[0] == 'a') {
		kind = b[0]
	}
	if e.Type = typeOf(kind); e.Type == Other && unknownType(kind) {
		e.Type = File
		return
	}
	if e.Mode = c.str(w.lo+at, w.hi); e.Type != File {
		e.Size, e.SizeEstimated = -1, false
	}
}

// modeShaped reports whether b starts with a letter and nine permissions.
func modeShaped(b []byte) bool {
	if len(b) < 11 || b[10] != ' ' || !letter(b[0]) {
		return false
	}
	for i := 1; i < 10; i++ {
		if !permission(b[i], (i-1)%3) {
			return false
		}
	}
	return true
}

// numeric reads "0100644 500 101 12345 123456789 name": mode, owner, group, size, time.
func (p *unixParser) numeric(c *cursor, e *Entry, w []token) (verdict, bool) {
	b := c.line
	if len(w) < 6 || w[0].hi-w[0].lo < 6 || w[0].hi-w[0].lo > 7 {
		return miss, false
	}
	var v [5]int64
	for i := range v {
		n := 0
		if v[i], n = number(b[w[i].lo:w[i].hi]); n != w[i].hi-w[i].lo {
			return miss, false
		}
	}
	mode := 0
	for _, d := range b[w[0].lo:w[0].hi] {
		if d > '7' {
			return miss, false
		}
		mode = mode<<3 | int(d-'0')
	}
	switch mode >> 12 {
	case 04:
		e.Type = Dir
	case 010:
		e.Size = v[3]
	case 012:
		e.Type = Link
	default:
		e.Type = Other
	}
	if v[4] > 253402300799 {
		return miss, false
	}
	e.Mode, e.Owner, e.Group = c.str(w[0].lo, w[0].hi), c.str(w[1].lo, w[1].hi), c.str(w[2].lo, w[2].hi)
	e.ModTime = unixTime(v[4])
	p.setName(c, e, w[5].lo)
	return full, true
}
