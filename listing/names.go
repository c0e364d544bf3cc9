package listing

import "bytes"

// namesParser reads a listing of names only, as NLST gives it and a few servers give for LIST.
type namesParser struct {
	gap gap
}

func (p *namesParser) parse(c *cursor, e *Entry) (verdict, string) {
	b := c.line
	hi := len(b)
	if hi > 1 && b[hi-1] == '/' {
		e.Type = Dir
		hi--
	}
	if b[0] == ' ' && hi > 1 {
		p.gap.see(b[1:])
	} else {
		p.gap.see(b)
		p.gap.least = -1
	}
	c.name(0, hi)
	return full, ""
}

// finish cuts the one blank that some servers (and MLSD without facts) put before every name.
func (p *namesParser) finish(entries []Entry) []Entry {
	if p.gap.least >= 0 {
		for i := range entries {
			entries[i].cutLeft(1)
		}
	}
	p.gap = gap{}
	return entries
}

// namesOnly reports whether lines that no format reads are likely to be names rather than a message or a format
// unknown here: every one could be a name, and something speaks for it, be it an extension, a mark for a directory
// or a blank in front of all of them. One word in one line may as well be a message.
func namesOnly(buf []byte, t terminators) bool {
	sp := newSplitter(buf, t, 0)
	lines, speaking, words, indented := 0, 0, 0, 0
	for lines < voteLines {
		l, ok := sp.scan()
		if !ok {
			break
		}
		b := buf[l.lo:l.hi]
		if blank(b) {
			continue
		}
		lines++
		if b[0] == ' ' {
			indented++
			b = b[1:]
		}
		if !nameable(b) {
			return false
		}
		if extension(b) || b[len(b)-1] == '/' {
			speaking++
		}
		if bytes.IndexByte(b, ' ') < 0 {
			words++
		}
	}
	switch {
	case lines == 0:
		return false
	case indented == lines:
		return true
	case indented > 0:
		return false
	}
	return speaking*3 >= lines || lines >= 3 && words == lines
}

// nameable reports whether b could be a file name and nothing else: no columns, no times, no wildcards.
func nameable(b []byte) bool {
	if len(b) == 0 || len(b) > 255 || b[0] == ' ' || bytes.Contains(b, []byte("  ")) || bytes.Contains(b, []byte(": ")) {
		return false
	}
	for i, c := range b {
		if c < ' ' || c == 0x7F || bytes.IndexByte([]byte(`*?<>|"`), c) >= 0 {
			return false
		}
		if c == ':' && i > 0 && i+1 < len(b) && b[i-1]-'0' <= 9 && b[i+1]-'0' <= 9 {
			return false
		}
	}
	return true
}

// extension reports whether b ends in a dot and one to five letters or digits, not all digits.
func extension(b []byte) bool {
	i := bytes.LastIndexByte(b, '.')
	if i <= 0 || len(b)-i-1 < 1 || len(b)-i-1 > 5 || b[i-1] == ' ' {
		return false
	}
	letters := false
	for _, c := range b[i+1:] {
		if !letter(c) && c-'0' > 9 {
			return false
		}
		letters = letters || letter(c)
	}
	return letters
}
