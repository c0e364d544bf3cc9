package listing

import "bytes"

// dlsParser reads the output of dls, an ls with descriptions that some archives ran in place of ls.
//
//	README              763  Feb  3 18:21  What this archive is
//	pub/                  =  Jul 11 21:04  Public area
//	latest               14  -> ../releases/14
//	a-name-that-is-too-long.tar
//	                  79215  Jan  4  6:45
//
// The size ends in the 23rd column. Directories have "-" or "=" there.
type dlsParser struct {
	row row
}

const dlsSizeEnd = 23

func (p *dlsParser) parse(c *cursor, e *Entry) (verdict, string) {
	b := c.line
	if len(b) > 0 && b[0] != ' ' && bytes.IndexByte(b, ' ') < 0 && len(b) >= 17 && b[len(b)-1] != ':' {
		return held, ""
	}
	size := sizeBefore(b)
	if size < 0 {
		return miss, "no size in the 23rd column"
	}
	lo, hi := 0, len(bytes.TrimRight(b[:size], " "))
	if hi == 0 && c.held == nil {
		return miss, "no name"
	}
	if bytes.IndexByte(b[:hi], ' ') >= 0 {
		return miss, "a blank in the name"
	}
	v := full
	name := b[lo:hi]
	if hi == 0 {
		v, hi, name = joined, len(c.held), c.held
		c.inHeld = true
	}
	if n := len(name); n > 1 && name[n-1] == '/' {
		e.Type = Dir
		hi--
	}
	if n, k := number(b[size:]); k > 0 && e.Type == File {
		e.Size = n
	} else if k == 0 && e.Type != Dir {
		return miss, "a directory without its slash"
	}
	c.name(lo, hi)
	p.behind(c, e)
	return v, ""
}

// sizeBefore is where the size starts that ends in its column, with two blanks or nothing behind it; -1 for none.
func sizeBefore(b []byte) int {
	if len(b) < dlsSizeEnd || len(b) > dlsSizeEnd && b[dlsSizeEnd] != ' ' {
		return -1
	}
	if len(b) > dlsSizeEnd+1 && b[dlsSizeEnd+1] != ' ' {
		return -1
	}
	i := dlsSizeEnd
	for i > 0 && b[i-1]-'0' <= 9 {
		i--
	}
	if i == dlsSizeEnd && (b[i-1] == '-' || b[i-1] == '=') {
		i--
	}
	if i == dlsSizeEnd || i > 0 && b[i-1] != ' ' {
		return -1
	}
	return i
}

// behind reads the date, if there is one, and the target of a link. The description is not kept.
func (p *dlsParser) behind(c *cursor, e *Entry) {
	b := c.line
	r := &p.row
	r.split(b[dlsSizeEnd:])
	lo := dlsSizeEnd
	if r.n > 0 {
		var t civil
		w := r.at[:min(r.n, 4)]
		if n := dateAt(r.line, w, 0, &t); n > 0 && n <= 3 {
			if at, ok := c.dates.resolve(&t); ok {
				e.ModTime = at
				lo += w[n-1].hi
			}
		}
	}
	lo = blanks(b, lo)
	if bytes.HasPrefix(b[lo:], []byte("-> ")) && lo+3 < len(b) && e.Type != Dir {
		e.Type, e.Size = Link, -1
		c.target(lo+3, len(b))
	}
}
