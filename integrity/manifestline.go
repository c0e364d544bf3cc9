package integrity

import (
	"bytes"
	"encoding/hex"
)

// split takes a digest line apart: the algorithm, the digest's digits, and the
// name, unescaped and checked, in p.name.
func (p *manifestParser) split(line []byte) (*algorithmInfo, []byte, error) {
	rest, escaped := bytes.CutPrefix(line, []byte(`\`))
	alg, name, digits, err := p.splitTagged(rest)
	if alg == nil && err == nil {
		alg, name, digits, err = p.splitPlain(rest)
	}
	if err != nil {
		return nil, nil, err
	}
	if p.name = append(p.name[:0], name...); escaped {
		if p.name, err = p.unescape(p.name); err != nil {
			return nil, nil, err
		}
	}
	p.name = bytes.TrimPrefix(p.name, []byte("./"))
	return alg, digits, p.checkName(p.name)
}

// splitTagged reads `SHA256 (name) = hex`. It returns no algorithm and no error
// for a line that is not of this form.
func (p *manifestParser) splitTagged(line []byte) (alg *algorithmInfo, name, digits []byte, err error) {
	tag, rest, found := bytes.Cut(line, []byte(" ("))
	if !found || !isTag(tag) {
		return nil, nil, nil, nil
	}
	end := bytes.LastIndex(rest, []byte(") = "))
	if end < 0 {
		return nil, nil, nil, p.fail(ErrManifestSyntax, `%.80q is not "%s (NAME) = HEX"`, line, tag)
	}
	for i := range p.m.table {
		if p.m.table[i].tag == string(tag) {
			return &p.m.table[i], rest[:end], rest[end+len(") = "):], nil
		}
	}
	return nil, nil, nil, p.fail(ErrManifestAlgorithm, "%q is not one of SHA256, SHA512, SHA384, BLAKE2b, SHA1, MD5", tag)
}

// isTag reports whether a word can be an algorithm's tag. No run of hexadecimal
// digits as long as a digest is short enough to be taken for one.
func isTag(word []byte) bool {
	if len(word) == 0 || len(word) > 20 {
		return false
	}
	for _, c := range word {
		letter := 'a' <= c|0x20 && c|0x20 <= 'z'
		digit := '0' <= c && c <= '9'
		if !letter && !digit && c != '-' && c != '/' {
			return false
		}
	}
	return true
}

// splitPlain reads `hex  name` and `hex *name`.
func (p *manifestParser) splitPlain(line []byte) (alg *algorithmInfo, name, digits []byte, err error) {
	n := 0
	for n < len(line) && isHex(line[n]) {
		n++
	}
	if n == 0 || len(line) < n+2 || line[n] != ' ' || line[n+1] != ' ' && line[n+1] != '*' {
		return nil, nil, nil, p.fail(ErrManifestSyntax, `%.80q is neither "HEX  NAME" nor "SHA256 (NAME) = HEX"`, line)
	}
	if p.plain == nil {
		return nil, nil, nil, p.fail(ErrManifestAlgorithm, "neither the line nor the manifest's name tells it; set the algorithm")
	}
	return p.plain, line[n+2:], line[:n], nil
}

func isHex(c byte) bool {
	return '0' <= c && c <= '9' || 'a' <= c|0x20 && c|0x20 <= 'f'
}

// unescape undoes coreutils' escapes in place.
func (p *manifestParser) unescape(name []byte) ([]byte, error) {
	out := name[:0]
	for i := 0; i < len(name); i++ {
		c := name[i]
		if c == '\\' {
			if i++; i == len(name) {
				return nil, p.fail(ErrManifestSyntax, "the name ends within an escape")
			}
			switch name[i] {
			case '\\':
			case 'n':
				c = '\n'
			case 'r':
				c = '\r'
			default:
				return nil, p.fail(ErrManifestSyntax, `escape %q is not one of \\, \n, \r`, name[i-1:i+1])
			}
		}
		out = append(out, c)
	}
	return out, nil
}

func (p *manifestParser) checkName(name []byte) error {
	if len(name) == 0 {
		return p.fail(ErrManifestName, "empty")
	}
	if name[0] == '/' {
		return p.fail(ErrManifestName, "%.80q is absolute", name)
	}
	for rest, more := name, true; more; {
		var element []byte
		element, rest, more = bytes.Cut(rest, []byte("/"))
		switch string(element) {
		case "", ".", "..":
			return p.fail(ErrManifestName, "%.80q has the element %q", name, element)
		}
	}
	return nil
}

// add stores the digest of p.name.
func (p *manifestParser) add(alg *algorithmInfo, digits []byte) error {
	if len(digits) != 2*alg.size {
		return p.fail(ErrManifestSyntax, "%s takes %d hex digits, not %d", alg.name, 2*alg.size, len(digits))
	}
	m := p.m
	start := len(m.sums)
	var err error
	if m.sums, err = hex.AppendDecode(m.sums, digits); err != nil {
		return p.fail(ErrManifestSyntax, "%v", err)
	}
	r := record{sum: uint32(start), line: int32(p.line), alg: alg.code}
	head, known := m.index[string(p.name)]
	if !known {
		r.name, r.first = p.keep(p.name), true
		m.index[r.name] = int32(len(m.records))
		m.records = append(m.records, r)
		return nil
	}
	return p.merge(head, r)
}

// merge adds a further digest to a known name.
func (p *manifestParser) merge(head int32, r record) error {
	m := p.m
	for i := head; ; i = m.records[i].next {
		if old := m.records[i]; old.alg == r.alg {
			same := bytes.Equal(m.sum(old), m.sum(r))
			m.sums = m.sums[:r.sum]
			if same {
				return nil
			}
			return p.fail(ErrManifestConflict, "%q has another %s on line %d", p.name, m.table[r.alg].name, old.line)
		}
		if m.records[i].next == 0 {
			r.name = m.records[head].name
			m.records[i].next = int32(len(m.records))
			m.records = append(m.records, r)
			return nil
		}
	}
}

// nameBlock is how many bytes of names share one allocation.
const nameBlock = 64 << 10

// keep copies a name into the current block, so that a million names are not a
// million allocations. A block is never grown: earlier names point into it.
func (p *manifestParser) keep(name []byte) string {
	if p.names.Cap()-p.names.Len() < len(name) {
		p.names.Reset()
		p.names.Grow(max(nameBlock, len(name)))
	}
	start := p.names.Len()
	p.names.Write(name)
	return p.names.String()[start:]
}
