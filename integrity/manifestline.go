package integrity

import "bytes"

// digestLine is a line taken apart. The name is not unescaped yet.
type digestLine struct {
	form    Format // "" for a line that is of none
	tag     []byte // nil where the line does not tell its algorithm
	name    []byte
	digits  []byte
	escaped bool
	broken  bool // begins as the form does but does not go on so
}

// digestLine tells the form of a line. No line is of two forms: only GNU's and
// the bare digest begin with a run of digits as long as a digest, and a tag is
// never that long.
func (p *manifestParser) digestLine(line []byte) digestLine {
	rest, escaped := bytes.CutPrefix(line, []byte(`\`))
	if p.end == 0 {
		rest, escaped = line, false
	}
	tagged := taggedLine(rest)
	tagged.escaped = escaped
	if tagged.form != "" && !tagged.broken {
		return tagged
	}
	n := 0
	for n < len(rest) && isHex(rest[n]) {
		n++
	}
	if n > 0 && len(rest) >= n+2 && rest[n] == ' ' && (rest[n+1] == ' ' || rest[n+1] == '*') {
		return digestLine{form: FormatGNU, name: rest[n+2:], digits: rest[:n], escaped: escaped}
	}
	if p.end == 0 {
		return tagged
	}
	if n == len(line) && p.options.Subject != "" {
		return digestLine{form: FormatBare, name: []byte(p.options.Subject), digits: line}
	}
	if i := bytes.LastIndex(line, []byte(": ")); i > 0 && allHex(line[i+2:]) {
		return digestLine{form: FormatColon, name: line[:i], digits: line[i+2:]}
	}
	return tagged
}

// taggedLine reads `SHA256 (name) = hex` and `SHA2-256(name)= hex`. A line that
// begins so and goes on in another way is broken.
func taggedLine(line []byte) digestLine {
	left := bytes.IndexByte(line, '(')
	if left <= 0 {
		return digestLine{}
	}
	d := digestLine{form: FormatOpenSSL, tag: line[:left]}
	middle := []byte(")= ")
	if tag, spaced := bytes.CutSuffix(d.tag, []byte(" ")); spaced {
		d.form, d.tag, middle = FormatBSD, tag, []byte(") = ")
	}
	if !isTag(d.tag) {
		return digestLine{}
	}
	rest := line[left+1:]
	right := bytes.LastIndex(rest, middle)
	if right < 0 {
		d.broken = true
		return d
	}
	d.name, d.digits = rest[:right], rest[right+len(middle):]
	return d
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

func isHex(c byte) bool {
	return '0' <= c && c <= '9' || 'a' <= c|0x20 && c|0x20 <= 'f'
}

func allHex(text []byte) bool {
	for _, c := range text {
		if !isHex(c) {
			return false
		}
	}
	return len(text) > 0
}

// addDigestLine reads one line of the formats that are made of lines by
// themselves: GNU, BSD, Fedora, OpenSSL, zero, bare and colon.
func (p *manifestParser) addDigestLine(line []byte) error {
	if err := p.countEntry(); err != nil {
		return err
	}
	d := p.digestLine(line)
	if d.form == "" || !p.fits(d.form) {
		return p.unknownLine(line)
	}
	if d.broken {
		return p.fail(ErrManifestSyntax, `%.80q is not "%s (NAME) = HEX"`, line, d.tag)
	}
	alg, err := p.algorithmOf(d)
	if err != nil {
		return err
	}
	if d.escaped {
		if d.name, err = p.unescape(d.name); err != nil {
			return err
		}
	}
	if d.form == FormatBare {
		return p.addBare(alg, d)
	}
	if err := p.setName(d.name); err != nil {
		return err
	}
	return p.addDigest(d, alg)
}

// fits reports whether a line of this form may stand here.
func (p *manifestParser) fits(form Format) bool {
	want := p.m.format
	switch {
	case want == form:
		return true
	case want == FormatFedora && form == FormatBSD:
		return true
	case want == FormatZero:
		return form == FormatGNU || form == FormatBSD
	case p.options.Format != "":
		return false
	}
	family := func(f Format) bool {
		return f == FormatGNU || f == FormatBSD || f == FormatFedora || f == FormatOpenSSL
	}
	return family(want) && family(form)
}

func (p *manifestParser) algorithmOf(d digestLine) (*algorithmInfo, error) {
	if d.tag == nil {
		if p.plain == nil {
			return nil, p.fail(ErrManifestAlgorithm, "neither the line nor the manifest's name tells it; set the algorithm")
		}
		if p.plain.name == BLAKE2b {
			return p.blake2bBy(len(d.digits)), nil
		}
		return p.plain, nil
	}
	for i := range p.m.table {
		info := &p.m.table[i]
		if info.tag == string(d.tag) || d.form == FormatOpenSSL && info.openssl == string(d.tag) {
			return info, nil
		}
	}
	return nil, p.fail(ErrManifestAlgorithm, "%q is not one of %s", d.tag, p.tags())
}

// blake2bBy tells the length of BLAKE2b by the digits, as "b2sum -c" does. The
// lengths are different functions: a longer digest does not begin with a shorter.
func (p *manifestParser) blake2bBy(digits int) *algorithmInfo {
	for i := range p.m.table {
		switch info := &p.m.table[i]; info.name {
		case BLAKE2b256, BLAKE2b384:
			if digits == 2*info.size {
				return info
			}
		}
	}
	return p.plain
}

func (p *manifestParser) tags() string {
	text := ""
	for i, info := range p.m.table {
		if i > 0 {
			text += ", "
		}
		text += info.tag
	}
	return text
}

// addDigest stores the digest of p.name, and the size that a comment told.
func (p *manifestParser) addDigest(d digestLine, alg *algorithmInfo) error {
	var head int32
	var err error
	if n := len(d.digits); d.form == FormatBSD && n != 2*alg.size && n == (alg.size+2)/3*4 {
		head, err = p.addBase64(alg, d.digits)
	} else {
		head, err = p.add(alg, d.digits)
	}
	if err != nil || d.form != FormatBSD || len(p.sizes) == 0 {
		return err
	}
	size, told := p.sizes[string(p.name)]
	if !told {
		return nil
	}
	delete(p.sizes, string(p.name))
	if size < 0 {
		return p.fail(ErrManifestConflict, "comments tell two sizes of %.80q", p.name)
	}
	return p.tellSize(head, size)
}

func (p *manifestParser) tellSize(head int32, size int64) error {
	if p.m.format == FormatBSD {
		p.m.format = FormatFedora
	}
	return p.setSize(head, size)
}

// addBare stores the one digest of a side file. The subject is not a name that
// the manifest gives, so DecodeName does not see it.
func (p *manifestParser) addBare(alg *algorithmInfo, d digestLine) error {
	if p.m.Len() > 0 {
		return p.fail(ErrManifestSyntax, "a second digest without a name")
	}
	if err := p.checkName(d.name); err != nil {
		return err
	}
	p.name = append(p.name[:0], d.name...)
	_, err := p.add(alg, d.digits)
	return err
}

// cutSize takes "# name: 123 bytes" apart.
func cutSize(line []byte) (name []byte, size int64, ok bool) {
	text, sized := bytes.CutSuffix(line, []byte(" bytes"))
	text, marked := bytes.CutPrefix(text, []byte("# "))
	colon := bytes.LastIndex(text, []byte(": "))
	if !sized || !marked || colon < 0 {
		return nil, 0, false
	}
	size, ok = parseSize(text[colon+2:])
	return text[:colon], size, ok
}

// sizeComment keeps what a comment tells of a name that has a BSD line; every
// other comment means nothing.
func (p *manifestParser) sizeComment(line []byte) error {
	if want := p.options.Format; want != "" && want != FormatFedora {
		return nil
	}
	name, size, ok := cutSize(line)
	if ok {
		ok = p.setName(name) == nil
	}
	if !ok {
		return nil
	}
	if p.comment++; p.comment > p.limits.Entries {
		return p.fail(ErrManifestTooLarge, "more than %d sizes", p.limits.Entries)
	}
	if p.m.format == FormatBSD || p.m.format == FormatFedora {
		if head := p.m.index.find(string(p.name)); head >= 0 {
			return p.tellSize(head, size)
		}
	}
	if old, told := p.sizes[string(p.name)]; told && old != size {
		size = -1 // wrong only if a digest of this name comes
	}
	if p.sizes == nil {
		p.sizes = make(map[string]int64)
	}
	p.sizes[string(p.name)] = size
	return nil
}

// trimZero removes the NUL that "md5sum -z" puts behind every line.
func (p *manifestParser) trimZero(line []byte) ([]byte, error) {
	line, complete := bytes.CutSuffix(line, []byte{0})
	if !complete {
		return nil, p.fail(ErrManifestSyntax, "the last line does not end in NUL as the others do")
	}
	return line, nil
}

// unescape undoes coreutils' escapes.
func (p *manifestParser) unescape(name []byte) ([]byte, error) {
	out := make([]byte, 0, len(name))
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
