package listing

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
)

// mlsdParser reads facts, RFC 3659 section 7:
//
//	Type=file;Size=25730;Modify=19940728095854;Perm=r; cap60.tar.Z
//
// The last ";" may be missing, as in the drafts before the seventh. A line without facts starts with the blank that
// ends them.
type mlsdParser struct {
	factless bool // read lines without facts too; in the vote, any line with a blank in front would do
	bySame   bool // some link is without a target, which an entry of the same Unique may give
}

// maxFacts is how many facts of a line are written out as such; Entry.Facts has them all.
const maxFacts = 64

func (p *mlsdParser) parse(c *cursor, e *Entry) (verdict, string) {
	b := c.line
	start := 0
	if b[0] == ' ' || b[0] == '\t' {
		// some servers put blanks before the facts as they do in the reply to MLST
		if start = blanks(b, 0); !knownFact(b[start:]) {
			return p.bare(c, e)
		}
	}
	f := facts{p: p, c: c, e: e}
	v, reason := f.read(start)
	switch {
	case v == miss:
		return miss, reason
	case f.self && start == 1 && p.factless:
		c.isLink = false
		return p.bare(c, e) // by the RFC it has no facts, and this reading would lose it
	case f.self:
		return ignore, ""
	}
	return v, ""
}

// bare reads a line without facts: a blank and a name.
func (p *mlsdParser) bare(c *cursor, e *Entry) (verdict, string) {
	if !p.factless || c.line[0] != ' ' || len(c.line) < 2 {
		return miss, "no facts and a name"
	}
	*e = Entry{Size: -1, Line: e.Line}
	c.name(1, len(c.line))
	return weak, ""
}

// facts reads the facts of one line into an entry.
type facts struct {
	p *mlsdParser
	c *cursor
	e *Entry

	known                int  // how many of them have a name that servers use
	self                 bool // the listed directory itself or its parent, which are no entries of it
	typed                bool
	size                 int64
	ownerRank, groupRank uint8
}

// read walks over the facts from start on, to the name.
func (f *facts) read(start int) (verdict, string) {
	b := f.c.line
	f.size = -1
	lo := start
	for lo < len(b) && b[lo] != ' ' && b[lo] != '\t' {
		eq, hi := factAt(b, lo)
		if eq < 0 {
			// a name that no blank sets off from the facts
			if f.known == 0 || hi < len(b) && b[hi] == ';' {
				return miss, "a fact without '='"
			}
			return f.end(start, lo, lo, weak)
		}
		f.fact(lo, eq, hi)
		if lo = hi; lo < len(b) && b[lo] == ';' {
			lo++
		}
	}
	v := full
	switch {
	case lo == start:
		return miss, "no facts and a name"
	case f.known == 0 && !f.p.factless && !factNames(b[start:lo]):
		return miss, "no fact that any server gives" // any line with a "=" would have a vote
	case f.known == 0:
		v = weak
	}
	return f.end(start, lo, lo+1, v)
}

// end takes what comes behind the facts, which end at at, for the name.
func (f *facts) end(start, at, name int, v verdict) (verdict, string) {
	b := f.c.line
	if name >= len(b) {
		return miss, "no facts and a name"
	}
	if b[name] <= ' ' && blank(b[name:]) {
		return miss, "no name"
	}
	if f.e.Type == File {
		f.e.Size = f.size
	}
	f.e.Facts = f.c.str(start, at)
	f.c.name(name, len(b))
	return v, ""
}

// factAt finds the end of the fact that starts at lo: a ";", a blank, or the end of the line. Its "=" is at eq, -1
// where it has none. Values of some facts may have blanks.
func factAt(b []byte, lo int) (eq, hi int) {
	eq = -1
	for hi = lo; hi < len(b); hi++ {
		switch b[hi] {
		case '=':
			if eq < 0 {
				eq = hi
			}
		case ';':
			return eq, hi
		case ' ', '\t':
			if eq > lo && blanksIn(b[lo:hi]) {
				if i := bytes.IndexByte(b[hi:], ';'); i > 0 {
					return eq, hi + i
				}
			}
			return eq, hi
		}
	}
	return eq, hi
}

// blanksIn reports whether the value of the fact b may have blanks: the target of a link, the name of a user.
func blanksIn(b []byte) bool {
	return hasFold(b, "unix.owner") || hasFold(b, "unix.group") || hasFold(b, "type=os.unix=slink:") ||
		hasFold(b, "type=os.unix=symlink:")
}

// fact takes from line[lo:hi], with its "=" at eq, what the fields of an entry can hold.
func (f *facts) fact(lo, eq, hi int) {
	key, value := f.c.line[lo:eq], f.c.line[eq+1:hi]
	if !knownKey(key) {
		return
	}
	f.known++
	switch {
	case isFold(key, "type"):
		f.typed = true
		f.kind(eq+1, hi)
	case isFold(key, "size"):
		f.size = -1
		if n, k := number(value); k > 0 && k == len(value) {
			f.size = n
		}
	case isFold(key, "modify"):
		f.e.ModTime = factTime(value)
	case isFold(key, "sizd"):
		if !f.typed && len(value) > 0 {
			f.e.Type = Dir // the size of a directory
		}
	case len(key) > 5 && key[4] == '.':
		f.unix(key[5:], f.c.str(eq+1, hi))
	}
}

// unix takes one of the facts unix.mode, unix.owner, unix.ownername, unix.uid and the like. Names go before numbers.
func (f *facts) unix(key []byte, value string) {
	rank := func(names ...string) uint8 {
		for i, s := range names {
			if isFold(key, s) && value != "" {
				return uint8(i + 1)
			}
		}
		return 0
	}
	switch key[0] | 0x20 {
	case 'm':
		if isFold(key, "mode") {
			f.e.Mode = value
		}
	case 'o', 'u':
		if r := rank("uid", "owner", "ownername"); r > 0 && r >= f.ownerRank {
			f.e.Owner, f.ownerRank = value, r
		}
	case 'g':
		if r := rank("gid", "group", "groupname"); r > 0 && r >= f.groupRank {
			f.e.Group, f.groupRank = value, r
		}
	}
}

// factNames reports whether b is facts, the last one ended by ";", whose names are letters, digits and ". - _".
func factNames(b []byte) bool {
	name := true
	for _, c := range b {
		switch {
		case c == '=':
			name = false
		case c == ';':
			name = true
		case name && !letter(c) && c-'0' > 9 && c != '.' && c != '-' && c != '_':
			return false
		}
	}
	return name
}

// knownFact reports whether b starts with the name of a fact that servers use, and "=".
func knownFact(b []byte) bool {
	eq := bytes.IndexByte(b[:min(len(b), 32)], '=')
	return eq > 0 && knownKey(b[:eq])
}

// knownKey reports whether b is the name of a fact in RFC 3659 or one that servers have added.
func knownKey(b []byte) bool {
	switch len(b) {
	case 4:
		return isFold(b, "type") || isFold(b, "size") || isFold(b, "perm") || isFold(b, "lang") || isFold(b, "sizd")
	case 6:
		return isFold(b, "modify") || isFold(b, "unique") || isFold(b, "create")
	}
	switch {
	case len(b) == 0:
		return false
	case b[0]|0x20 == 'u':
		return hasFold(b, "unix.")
	case b[0]|0x20 == 'x':
		return len(b) > 2 && b[1] == '.'
	}
	return hasFold(b, "win32.") || isFold(b, "media-type") || isFold(b, "charset")
}

// isFold reports whether b is the lower-case word, in any case.
func isFold(b []byte, word string) bool {
	if len(b) != len(word) {
		return false
	}
	for i := range b {
		if b[i]|0x20 != word[i] {
			return false
		}
	}
	return true
}

// kind reads the type fact, line[lo:hi].
func (f *facts) kind(lo, hi int) {
	v := f.c.line[lo:hi]
	f.self, f.c.isLink = false, false
	switch {
	case len(v) == 0 || isFold(v, "file"):
		f.e.Type = File
	case isFold(v, "dir"):
		f.e.Type = Dir
	case isFold(v, "cdir") || isFold(v, "pdir"):
		f.e.Type, f.self = Dir, true
	case hasFold(v, "os.unix=slink"), hasFold(v, "os.unix=symlink"), isFold(v, "link"), isFold(v, "slink"), isFold(v, "symlink"):
		f.e.Type = Link
		if i := bytes.IndexByte(v, ':'); i >= 0 && i+1 < len(v) {
			f.c.target(lo+i+1, hi)
		} else {
			f.p.bySame = true
		}
	default:
		f.e.Type = Other
	}
}

// factTime reads YYYYMMDDHHMMSS[.sss], in UTC, and the same without seconds or without a time of day. Anything else is
// an unknown time.
func factTime(b []byte) Time {
	n := 0
	for n < len(b) && b[n]-'0' <= 9 {
		n++
	}
	if n == 15 && b[0] == '1' && b[1] == '9' && b[2] == '1' {
		// "19" and the years since 1900: 19104 is 2004
		b, n = append([]byte("20"), b[3:]...), 14
	}
	two := func(i int) int { return int(b[i]-'0')*10 + int(b[i+1]-'0') }
	t := civil{zoned: true}
	switch {
	case n == 14:
		t.hour, t.min, t.sec, t.precision = two(8), two(10), two(12), Second
	case n == 12 && n == len(b):
		t.hour, t.min, t.precision = two(8), two(10), Minute
	case n == 8 && n == len(b):
		t.precision = Day
	default:
		return Time{}
	}
	t.year, t.month, t.day = two(0)*100+two(2), two(4), two(6)
	if n < len(b) && string(b[n:]) != "Z" && !fraction(b[n:], &t) {
		return Time{}
	}
	out, ok := new(dates).resolve(&t)
	if !ok {
		return Time{}
	}
	return out
}

// finish gives the links without a target the name of the entry that has the same Unique; a name with a slash is
// there only to say so, and no entry of the directory.
func (p *mlsdParser) finish(entries []Entry) []Entry {
	if !p.bySame {
		return entries
	}
	p.bySame = false
	wanted, found := map[string]bool{}, map[string]int{}
	for i := range entries {
		e := &entries[i]
		if u, _ := e.Fact("unique"); e.Type == Link && e.Target == "" && u != "" {
			wanted[u] = true
		}
	}
	for i := range entries {
		if u, _ := entries[i].Fact("unique"); entries[i].Type != Link && wanted[u] {
			found[u] = i
		}
	}
	for i := range entries {
		e := &entries[i]
		u, _ := e.Fact("unique")
		if j, ok := found[u]; ok && e.Type == Link && e.Target == "" {
			e.Target, e.charset = entries[j].RawName, 0
		}
	}
	i := -1
	return slices.DeleteFunc(entries, func(e Entry) bool {
		i++
		u, _ := e.Fact("unique")
		j, ok := found[u]
		return ok && i == j && strings.Contains(e.RawName, "/")
	})
}

// ParseFacts reads one line of an MLST reply or an MLSD listing (RFC 3659 section 7); the blank that a reply has in
// front is skipped, and so are line ends. The listed directory itself (type cdir) and its parent are entries here.
// Of o it uses Charset and Detector. The error wraps ErrFacts, or ErrCharset for an unknown charset.
func ParseFacts(line []byte, o Options) (Entry, error) {
	o.Format = MLSD
	s, err := newSession(o)
	if err != nil {
		return Entry{}, err
	}
	buf := bytes.Clone(bytes.TrimRight(line, "\r\n"))
	if len(buf) > MaxLine {
		return Entry{}, fmt.Errorf("%w: longer than %d bytes", ErrFacts, MaxLine)
	}
	if rest := buf[blanks(buf, 0):]; knownFact(rest) || len(rest)+1 == len(buf) && bytes.IndexByte(rest, '=') > 0 {
		buf = rest
	}
	p, e := &mlsdParser{factless: true}, Entry{Size: -1, Line: 1}
	c := cursor{line: buf, text: string(buf), dates: &s.dates}
	if len(buf) == 0 {
		return Entry{}, fmt.Errorf("%w: it is empty", ErrFacts)
	}
	if v, reason := p.parse(&c, &e); v != ignore && !v.entry() {
		return Entry{}, fmt.Errorf("%w: %q: %s", ErrFacts, clip(buf, 80), reason)
	}
	c.fill(&e)
	one := []Entry{e}
	s.decode(one)
	return one[0], nil
}
