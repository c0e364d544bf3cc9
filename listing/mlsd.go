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
// The last ";" may be missing. A line without facts starts with the blank that ends them.
type mlsdParser struct {
	factless bool // read lines without facts too; in the vote, any line with a blank in front would do
	bySame   bool // some link is without a target, which an entry of the same Unique may give
}

// maxFacts is how many facts of a line are kept.
const maxFacts = 64

func (p *mlsdParser) parse(c *cursor, e *Entry) (verdict, string) {
	b := c.line
	if p.factless && b[0] == ' ' && len(b) > 1 {
		c.name(1, len(b))
		return weak, ""
	}
	at := factsEnd(b)
	if at <= 0 || at+1 >= len(b) {
		return miss, "no facts and a name"
	}
	if blank(b[at+1:]) {
		return miss, "no name"
	}
	self, reason := p.facts(c, e, at)
	if reason != "" {
		return miss, reason
	}
	if self {
		return ignore, ""
	}
	c.name(at+1, len(b))
	return full, ""
}

// factsEnd finds the blank between facts and name. It is the first one, except where a link's target has blanks.
func factsEnd(b []byte) int {
	at := bytes.IndexByte(b, ' ')
	if at <= 0 || b[at-1] == ';' {
		return at
	}
	if i := bytes.Index(b, []byte("; ")); i > at && bytes.Contains(bytes.ToLower(b[:at]), []byte("slink:")) {
		return i + 1
	}
	return at
}

// facts reads the facts in line[:at]. self is set for the listed directory itself and its parent, which are no
// entries of it.
func (p *mlsdParser) facts(c *cursor, e *Entry, at int) (self bool, reason string) {
	if bytes.IndexByte(c.line[:at], '=') < 0 {
		return false, "a fact without '='"
	}
	facts := make(map[string]string, 8)
	for lo := 0; lo < at; {
		hi := lo + bytes.IndexByte(c.line[lo:at], ';')
		if hi < lo {
			hi = at
		}
		eq := bytes.IndexByte(c.line[lo:hi], '=')
		if eq <= 0 {
			return false, "a fact without '='"
		}
		if len(facts) < maxFacts {
			facts[strings.ToLower(c.str(lo, lo+eq))] = c.str(lo+eq+1, hi)
		}
		if strings.EqualFold(c.str(lo, lo+eq), "type") {
			self = p.kind(c, e, lo+eq+1, hi)
		}
		lo = hi + 1
	}
	fromFacts(e, facts)
	e.Facts = c.str(0, at)
	return self, ""
}

// fromFacts takes from the facts what the fields of an entry can hold.
func fromFacts(e *Entry, facts map[string]string) {
	if v, ok := facts["size"]; ok && e.Type == File {
		if n, k := number([]byte(v)); k > 0 && k == len(v) {
			e.Size = n
		}
	}
	if v, ok := facts["sizd"]; ok && facts["type"] == "" && v != "" {
		e.Type, e.Size = Dir, -1 // the size of a directory
	}
	e.ModTime = factTime([]byte(facts["modify"]))
	e.Mode = facts["unix.mode"]
	e.Owner = firstOf(facts, "unix.ownername", "unix.owner", "unix.uid")
	e.Group = firstOf(facts, "unix.groupname", "unix.group", "unix.gid")
}

func firstOf(facts map[string]string, keys ...string) string {
	for _, k := range keys {
		if v := facts[k]; v != "" {
			return v
		}
	}
	return ""
}

// kind reads the type fact, line[lo:hi].
func (p *mlsdParser) kind(c *cursor, e *Entry, lo, hi int) (self bool) {
	v := strings.ToLower(c.str(lo, hi))
	switch {
	case v == "cdir" || v == "pdir":
		e.Type = Dir
		return true
	case v == "dir":
		e.Type = Dir
	case v == "file" || v == "":
		e.Type = File
	case strings.HasPrefix(v, "os.unix=slink"), strings.HasPrefix(v, "os.unix=symlink"):
		e.Type = Link
		if i := bytes.IndexByte(c.line[lo:hi], ':'); i >= 0 && lo+i+1 < hi {
			c.target(lo+i+1, hi)
		} else {
			p.bySame = true
		}
	default:
		e.Type = Other
	}
	return false
}

// factTime reads YYYYMMDDHHMMSS[.sss], in UTC. Anything else is an unknown time.
func factTime(b []byte) Time {
	if len(b) < 14 || !allDigits(b[:14]) {
		return Time{}
	}
	n := func(lo, hi int) int {
		v, _ := number(b[lo:hi])
		return int(v)
	}
	t := civil{year: n(0, 4), month: n(4, 6), day: n(6, 8), hour: n(8, 10), min: n(10, 12), sec: n(12, 14),
		precision: Second, zoned: true}
	if len(b) > 14 && !fraction(b[14:], &t) {
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
	if rest := bytes.TrimPrefix(buf, []byte{' '}); factsEnd(rest) > 0 && bytes.IndexByte(rest[:factsEnd(rest)], '=') > 0 {
		buf = rest
	}
	p, e := &mlsdParser{factless: true}, Entry{Size: -1, Line: 1}
	c := cursor{line: buf, text: string(buf), dates: &s.dates}
	if len(buf) == 0 {
		return Entry{}, fmt.Errorf("%w: it is empty", ErrFacts)
	}
	v, reason := p.parse(&c, &e)
	if v == ignore {
		at := factsEnd(buf)
		c.name(at+1, len(buf))
	} else if !v.entry() {
		return Entry{}, fmt.Errorf("%w: %q: %s", ErrFacts, clip(buf, 80), reason)
	}
	c.fill(&e)
	one := []Entry{e}
	s.decode(one)
	return one[0], nil
}
