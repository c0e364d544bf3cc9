package integrity

import (
	"bytes"
	"crypto/md5"
	"strings"
	"time"
)

// MaxReleaseFields bounds the fields of a Release file; Debian's have 20.
const MaxReleaseFields = 256

// releaseState is where the parser is within a Release file.
type releaseState struct {
	seen  map[string]int // field in lower case to its line
	sums  *algorithmInfo // of the field whose lines come, nil if it has no digests
	fixed bool           // the field is one line
	ended bool           // an empty line ended the paragraph
}

// isReleaseField reports whether a line begins a Release file: one of the fields
// that stand there first, in whatever order a program writes them.
func isReleaseField(line []byte) bool {
	name, value, ok := cutField(line)
	if !ok || len(value) >= 2*md5.Size && allHex(value) {
		return false // "SHA256: <hex>" is about a file of that name
	}
	switch name {
	case "origin", "label", "suite", "codename", "version", "date", "valid-until", "archive",
		"architectures", "components", "description", "md5sum", "sha1", "sha256", "sha512":
		return true
	}
	return false
}

// cutField takes "Name: value" apart and writes the name in lower case, since
// case does not matter in it (Debian Policy, section 5.1).
func cutField(line []byte) (name string, value []byte, ok bool) {
	before, value, found := bytes.Cut(line, []byte(":"))
	if !found || len(before) == 0 || len(before) > 64 {
		return "", nil, false
	}
	for i, c := range before {
		if c <= ' ' || c >= 0x7f || i == 0 && (c == '#' || c == '-') {
			return "", nil, false
		}
	}
	return strings.ToLower(string(before)), bytes.Trim(value, " \t"), true
}

// addRelease reads one line of a Release file: a single paragraph of fields
// (Debian Policy, section 5.1), of which MD5Sum, SHA1, SHA256 and SHA512 list
// "<hex> <size> <name>" on lines that begin with a blank, and Date and
// Valid-Until are kept. Other fields are skipped.
func (p *manifestParser) addRelease(line []byte) error {
	st := &p.release
	switch {
	case len(line) == 0:
		st.ended = len(st.seen) > 0
		return nil
	case st.ended:
		return p.fail(ErrManifestSyntax, "a second paragraph")
	case line[0] != ' ' && line[0] != '\t':
		return p.addReleaseField(line)
	case len(st.seen) == 0:
		return p.fail(ErrManifestSyntax, "%.80q goes on with no field", line)
	case st.fixed:
		return p.fail(ErrManifestSyntax, "a date of more than one line")
	case st.sums == nil:
		return nil
	}
	return p.addReleaseSum(line)
}

func (p *manifestParser) addReleaseField(line []byte) error {
	name, value, ok := cutField(line)
	if !ok {
		return p.fail(ErrManifestSyntax, `%.80q is not "Field: value"`, line)
	}
	st := &p.release
	if old := st.seen[name]; old > 0 {
		return p.fail(ErrManifestSyntax, "the field %.40q is already on line %d", name, old)
	}
	if len(st.seen) >= MaxReleaseFields {
		return p.fail(ErrManifestTooLarge, "more than %d fields", MaxReleaseFields)
	}
	if st.seen == nil {
		st.seen = make(map[string]int)
	}
	st.seen[name], st.sums, st.fixed = p.line, nil, false
	switch name {
	case "date":
		return p.releaseDate(&p.m.date, value)
	case "valid-until":
		return p.releaseDate(&p.m.validUntil, value)
	case "md5sum":
		st.sums = MD5.lookup()
	case "sha1", "sha256", "sha512":
		st.sums = Algorithm(name).lookup()
	}
	if st.sums != nil && len(value) > 0 {
		return p.fail(ErrManifestSyntax, "%.80q must begin on a line of its own", value)
	}
	return nil
}

func (p *manifestParser) releaseDate(to *time.Time, value []byte) error {
	p.release.fixed = true
	t, ok := parseReleaseDate(string(value))
	if !ok {
		return p.fail(ErrManifestSyntax, `%.60q is not a date such as "Sat, 09 Dec 2023 10:23:17 UTC"`, value)
	}
	*to = t
	return nil
}

// parseReleaseDate reads the dates of Release files, which are always in UTC.
func parseReleaseDate(text string) (time.Time, bool) {
	fields := strings.Fields(text)
	if len(fields) != 6 {
		return time.Time{}, false
	}
	switch fields[5] {
	case "UTC", "GMT", "Z", "+0000":
	default:
		return time.Time{}, false
	}
	t, err := time.Parse("Mon, 2 Jan 2006 15:04:05", strings.Join(fields[:5], " "))
	return t, err == nil
}

func (p *manifestParser) addReleaseSum(line []byte) error {
	if err := p.countEntry(); err != nil {
		return err
	}
	digits, rest := cutBlanks(line)
	number, name := cutBlanks(rest)
	name, rest = cutBlanks(name)
	size, ok := parseSize(number)
	if !ok || len(name) == 0 || len(rest) > 0 {
		return p.fail(ErrManifestSyntax, `%.80q is not " HEX SIZE NAME"`, line)
	}
	if err := p.setName(name); err != nil {
		return err
	}
	head, err := p.add(p.release.sums, digits)
	if err != nil {
		return err
	}
	return p.setSize(head, size)
}

// cutBlanks returns the first word of a line and what follows it.
func cutBlanks(line []byte) (word, rest []byte) {
	line = bytes.Trim(line, " \t")
	if i := bytes.IndexAny(line, " \t"); i >= 0 {
		return line[:i], bytes.TrimLeft(line[i:], " \t")
	}
	return line, nil
}
