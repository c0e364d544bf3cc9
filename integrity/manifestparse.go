package integrity

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"strings"
)

// manifestParser is what all formats share: lines, limits, names and digests.
type manifestParser struct {
	m       *Manifest
	r       *bufio.Reader
	options ManifestOptions
	plain   *algorithmInfo // of digests that do not tell, nil if unknown
	limits  Limits
	end     byte // of a line: LF, or NUL in FormatZero
	total   int64
	done    bool // the end was reached, with no line left
	line    int
	entries int
	crlf    bool // every line ends in CRLF, decided by the first
	name    []byte
	sum     []byte
	sizes   map[string]int64 // from comments, of names that did not come yet
	comment int              // number of such comments
	release releaseState
}

func newManifestParser(r io.Reader, o ManifestOptions) (*manifestParser, error) {
	if o.Algorithm == "" {
		o.Algorithm, _ = AlgorithmFromName(o.Name)
	}
	if o.Subject == "" {
		o.Subject, _ = SubjectFromName(o.Name)
	}
	p := &manifestParser{
		m:       &Manifest{index: newManifestIndex(), table: algorithmTable(), format: o.Format},
		options: o,
		limits:  o.Limits.withDefaults(),
		end:     '\n',
	}
	if o.Algorithm != "" {
		if p.plain = o.Algorithm.lookup(); p.plain == nil {
			return nil, fmt.Errorf("%w %.40q", ErrUnknownAlgorithm, string(o.Algorithm))
		}
	}
	if o.Format != "" && !o.Format.known() {
		return nil, fmt.Errorf("%w %.40q", ErrManifestFormat, string(o.Format))
	}
	p.r = bufio.NewReaderSize(r, p.limits.Line+len("\r\n"))
	return p, nil
}

// fail places err at the current line.
func (p *manifestParser) fail(err error, format string, args ...any) error {
	return &ManifestError{p.line, fmt.Errorf("%w: %s", err, fmt.Sprintf(format, args...))}
}

func (p *manifestParser) readLines() error {
	for {
		line, err := p.readLine()
		if err != nil || p.done {
			return err
		}
		if err := p.addLine(line); err != nil {
			return err
		}
	}
}

// readLine returns the next line without its end, valid until the next call, or
// sets done.
func (p *manifestParser) readLine() ([]byte, error) {
	line, err := p.r.ReadSlice(p.end)
	full := errors.Is(err, bufio.ErrBufferFull)
	end := err == io.EOF //nolint:errorlint // a wrapped EOF is a transfer that broke off, not the end
	if p.done = end && len(line) == 0; p.done {
		return nil, nil
	}
	p.line++
	p.total += int64(len(line))
	switch {
	case err != nil && !end && !full:
		return nil, fmt.Errorf("integrity: read manifest: %w", err)
	case p.total > p.limits.Bytes:
		return nil, p.fail(ErrManifestTooLarge, "more than %d bytes", p.limits.Bytes)
	case full:
		return nil, p.fail(ErrManifestTooLarge, "a line of more than %d bytes", p.limits.Line)
	}
	if p.end == 0 {
		line, err = p.trimZero(line)
	} else {
		line, err = p.trimEnd(line)
	}
	if err == nil && len(line) > p.limits.Line {
		err = p.fail(ErrManifestTooLarge, "a line of more than %d bytes", p.limits.Line)
	}
	return line, err
}

// trimEnd removes LF or CRLF. Mixed line ends are refused: with them it would
// be a guess whether a CR belongs to the name.
func (p *manifestParser) trimEnd(line []byte) ([]byte, error) {
	line, complete := bytes.CutSuffix(line, []byte("\n"))
	line, cr := bytes.CutSuffix(line, []byte("\r"))
	if p.line == 1 {
		p.crlf = cr && complete
	}
	switch {
	case cr && !complete:
		return nil, p.fail(ErrManifestSyntax, "ends in CR without LF")
	case complete && cr != p.crlf:
		return nil, p.fail(ErrManifestSyntax, "line ends are mixed, some LF and some CRLF")
	}
	return line, nil
}

func (p *manifestParser) addLine(line []byte) error {
	if p.line == 1 {
		if err := p.checkStart(line); err != nil {
			return err
		}
	}
	if bytes.IndexByte(line, 0) >= 0 {
		return p.fail(ErrManifestSyntax, "contains a NUL byte")
	}
	if bytes.HasPrefix(line, []byte(armorStart)) {
		return p.fail(ErrArmored, "%.40q begins a PGP block", line)
	}
	switch p.m.format {
	case FormatRelease:
		return p.addRelease(line)
	case FormatSFV:
		return p.addSFV(line)
	case FormatZero:
		return p.addDigestLine(line)
	}
	if len(line) == 0 {
		return nil
	}
	if line[0] == '#' {
		return p.sizeComment(line)
	}
	if p.m.format == "" {
		if err := p.detect(line); err != nil {
			return err
		}
		return p.addLine(line)
	}
	return p.addDigestLine(line)
}

const armorStart = "-----BEGIN PGP"

// checkStart names the usual reasons why a file is no manifest at all.
func (p *manifestParser) checkStart(line []byte) error {
	switch {
	case bytes.HasPrefix(line, []byte("\xef\xbb\xbf")):
		return p.fail(ErrManifestSyntax, "begins with a UTF-8 byte order mark")
	case bytes.HasPrefix(line, []byte("\xff\xfe")), bytes.HasPrefix(line, []byte("\xfe\xff")):
		return p.fail(ErrManifestSyntax, "is UTF-16 text")
	case bytes.HasPrefix(line, []byte(armorStart)):
		return p.fail(ErrArmored, "%.40q begins a PGP block", line)
	}
	return nil
}

// countEntry holds digests to their limit, those that say the same again too.
func (p *manifestParser) countEntry() error {
	if p.entries++; p.entries > p.limits.Entries {
		return p.fail(ErrManifestTooLarge, "more than %d entries", p.limits.Entries)
	}
	return nil
}

// setName puts a name, without escapes, into p.name as Lookup will know it.
func (p *manifestParser) setName(name []byte) error {
	name = bytes.TrimPrefix(name, []byte("./"))
	if err := p.checkName(name); err != nil {
		return err
	}
	p.name = append(p.name[:0], name...)
	if p.options.DecodeName == nil {
		return nil
	}
	if decoded := p.options.DecodeName(p.name); decoded != "" {
		p.name = append(p.name[:0], decoded...)
		return p.checkName(p.name)
	}
	p.name = append(p.name[:0], name...) // whatever the function did to it
	return nil
}

func (p *manifestParser) checkName(name []byte) error {
	switch {
	case len(name) == 0:
		return p.fail(ErrManifestName, "empty")
	case len(name) > p.limits.Line:
		return p.fail(ErrManifestTooLarge, "a name of %d bytes", len(name))
	case name[0] == '/':
		return p.fail(ErrManifestName, "%.80q is absolute", name)
	case bytes.IndexByte(name, 0) >= 0:
		return p.fail(ErrManifestName, "%.80q contains a NUL byte", name)
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

// add stores a digest of p.name and returns the name's first record.
func (p *manifestParser) add(alg *algorithmInfo, digits []byte) (int32, error) {
	if len(digits) != 2*alg.size {
		return 0, p.fail(ErrManifestSyntax, "%s takes %d hex digits, not %d", alg.name, 2*alg.size, len(digits))
	}
	var err error
	if p.sum, err = hex.AppendDecode(p.sum[:0], digits); err != nil {
		return 0, p.fail(ErrManifestSyntax, "%v", err)
	}
	return p.addSum(alg)
}

// addBase64 is add for a digest as OpenBSD's "cksum -b" writes it.
func (p *manifestParser) addBase64(alg *algorithmInfo, digits []byte) (int32, error) {
	var err error
	if p.sum, err = base64.StdEncoding.Strict().AppendDecode(p.sum[:0], digits); err != nil || len(p.sum) != alg.size {
		return 0, p.fail(ErrManifestSyntax, "%.100q is no %s in base64", digits, alg.name)
	}
	return p.addSum(alg)
}

func (p *manifestParser) addSum(alg *algorithmInfo) (int32, error) {
	head, conflict := p.m.index.add(p.name, p.sum, record{line: int32(p.line), alg: alg.code})
	if conflict != nil {
		return 0, p.fail(ErrManifestConflict, "%.80q has another %s on line %d", p.name, alg.name, conflict.line)
	}
	return head, nil
}

// setSize stores the size of a name that is there.
func (p *manifestParser) setSize(head int32, size int64) error {
	r := p.m.index.record(head)
	if r.size >= 0 && r.size != size {
		return p.fail(ErrManifestConflict, "%.80q has %d bytes here and %d before", r.name, size, r.size)
	}
	r.size = size
	return nil
}

// parseSize reads a number of bytes: decimal digits, below 2^63.
func parseSize(digits []byte) (int64, bool) {
	if len(digits) == 0 || len(digits) > 19 {
		return 0, false
	}
	var n uint64
	for _, c := range digits {
		if c < '0' || c > '9' {
			return 0, false
		}
		n = n*10 + uint64(c-'0')
	}
	return int64(n), n < 1<<63
}

// SubjectFromName tells the file that a side file is about by the side file's
// own path or name: "file.iso" for dir/file.iso.sha256, file.iso.sha256sum,
// file.iso.SHA256.txt. It reports false for a name that does not end so, such as
// SHA256SUMS, and for .sfv.
func SubjectFromName(fileName string) (string, bool) {
	base := fileName[strings.LastIndexByte(fileName, '/')+1:]
	if i := len(base) - len(".txt"); i >= 0 && strings.EqualFold(base[i:], ".txt") {
		base = base[:i]
	}
	dot := strings.LastIndexByte(base, '.')
	if dot <= 0 {
		return "", false
	}
	word := strings.TrimSuffix(strings.ToLower(base[dot+1:]), "sum")
	if word == "b2" || Algorithm(word).lookup() != nil {
		return base[:dot], true
	}
	return "", false
}
