package integrity

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"iter"
	"strings"
)

// What can be wrong with a manifest. ParseManifest returns them inside a
// *ManifestError.
var (
	// ErrManifestSyntax reports a line that is none of the known forms.
	ErrManifestSyntax = errors.New("line does not parse")
	// ErrManifestName reports a name that no file under the manifest's folder
	// can have: empty, absolute, or with an empty, "." or ".." element or a NUL.
	ErrManifestName = errors.New("name refused")
	// ErrManifestAlgorithm reports a digest whose algorithm is unknown or not told.
	ErrManifestAlgorithm = errors.New("digest algorithm not known")
	// ErrManifestConflict reports one name with two different digests of the
	// same algorithm.
	ErrManifestConflict = errors.New("two different digests for one name")
	// ErrManifestTooLarge reports a manifest beyond its Limits.
	ErrManifestTooLarge = errors.New("manifest too large")
	// ErrManifestEmpty reports a manifest that names no file.
	ErrManifestEmpty = errors.New("manifest names no file")
	// ErrArmored reports OpenPGP armor where a plain manifest was expected,
	// such as a clear-signed manifest. Reading it line by line would trust text
	// that the signature does not cover.
	ErrArmored = errors.New("OpenPGP armor, not a plain manifest")
)

// ManifestError tells where a manifest is bad. Line counts from 1; 0 means the
// manifest as a whole.
type ManifestError struct {
	Line int
	Err  error
}

func (e *ManifestError) Error() string {
	if e.Line == 0 {
		return e.Err.Error()
	}
	return fmt.Sprintf("line %d: %v", e.Line, e.Err)
}

func (e *ManifestError) Unwrap() error { return e.Err }

// Default limits of a manifest: room for a million entries of a large mirror.
const (
	MaxManifestBytes   = 128 << 20
	MaxManifestLine    = 16 << 10 // a 4096-byte path, every byte escaped, and its digest
	MaxManifestEntries = 1 << 20
)

// maxLimit caps every limit, so that offsets and line numbers fit 32 bits.
const maxLimit = 1 << 30

// Limits bounds what ParseManifest accepts. A field that is not positive takes
// its default, the constant named beside it; one above 2^30 counts as 2^30.
type Limits struct {
	Bytes   int64 // MaxManifestBytes, the whole manifest
	Line    int   // MaxManifestLine, bytes of one line without its end
	Entries int   // MaxManifestEntries, digest lines
}

func (l Limits) withDefaults() Limits {
	if l.Bytes <= 0 {
		l.Bytes = MaxManifestBytes
	}
	if l.Line <= 0 {
		l.Line = MaxManifestLine
	}
	if l.Entries <= 0 {
		l.Entries = MaxManifestEntries
	}
	l.Bytes = min(l.Bytes, maxLimit)
	l.Line = min(l.Line, maxLimit)
	l.Entries = min(l.Entries, maxLimit)
	return l
}

// ManifestOptions says how to read a manifest.
type ManifestOptions struct {
	// Algorithm of the lines that do not tell theirs, commonly from
	// AlgorithmFromName. Empty means that every line must tell it.
	Algorithm Algorithm
	Limits    Limits
}

// ManifestEntry is what a manifest says of one name.
type ManifestEntry struct {
	Name    string   // exact bytes, slash-separated, relative to the manifest's folder
	Digests []Digest // one per algorithm, in the manifest's order
	Line    int      // where the name first appears, from 1
}

// Manifest is a parsed checksum list. It does not change after ParseManifest
// and is safe for concurrent use.
type Manifest struct {
	records []record
	index   map[string]int32 // name to its first record
	sums    []byte           // every digest's bytes, end to end
	table   [algorithmCount]algorithmInfo
}

// record is one digest line, kept small because a mirror has a million of them.
type record struct {
	name  string
	sum   uint32 // offset in sums
	line  int32
	next  int32 // further digest of the same name, 0 for none
	alg   uint8
	first bool // the name's first record
}

// Len is the number of names.
func (m *Manifest) Len() int { return len(m.index) }

// Lookup returns the entry of exactly this name. The name is given as in
// ManifestEntry: without a leading "./".
func (m *Manifest) Lookup(name string) (ManifestEntry, bool) {
	i, ok := m.index[name]
	if !ok {
		return ManifestEntry{}, false
	}
	return m.entry(i), true
}

// All yields the entries in the manifest's order.
func (m *Manifest) All() iter.Seq[ManifestEntry] {
	return func(yield func(ManifestEntry) bool) {
		for i, r := range m.records {
			if r.first && !yield(m.entry(int32(i))) {
				return
			}
		}
	}
}

func (m *Manifest) entry(i int32) ManifestEntry {
	e := ManifestEntry{Name: m.records[i].name, Line: int(m.records[i].line)}
	for {
		r := m.records[i]
		e.Digests = append(e.Digests, Digest{m.table[r.alg].name, bytes.Clone(m.sum(r))})
		if r.next == 0 {
			return e
		}
		i = r.next
	}
}

func (m *Manifest) sum(r record) []byte {
	return m.sums[r.sum : int(r.sum)+m.table[r.alg].size]
}

// ParseManifest reads a checksum list as coreutils' sha256sum and its relatives
// write it (GNU coreutils manual, "cksum output modes"):
//
//	<hex>  <name>          text marker
//	<hex> *<name>          binary marker
//	\<hex>  <name>         with \\, \n and \r escaped in the name
//	SHA256 (<name>) = <hex>  the --tag form, with or without a leading backslash
//
// Exactly two characters stand between a digest and its name. One leading "./"
// of a name is removed, as "find ." and shell globs put it there. Empty lines
// and lines that begin with "#" are skipped, as "sha256sum -c" does. Lines end
// in LF; if the first line ends in CRLF every line must, and the CR is not part
// of the names. A last line without its end is read.
//
// Reading is strict: the first line that does not fit makes the whole manifest
// bad. The error is a *ManifestError around one of the sentinels above, or the
// reader's own error.
func ParseManifest(r io.Reader, o ManifestOptions) (*Manifest, error) {
	p := newManifestParser(r, o)
	if o.Algorithm != "" && p.plain == nil {
		return nil, fmt.Errorf("integrity: parse manifest: %w %q", ErrUnknownAlgorithm, string(o.Algorithm))
	}
	for !p.done {
		line, err := p.readLine()
		if err == nil && !p.done {
			err = p.addLine(line)
		}
		if err != nil {
			return nil, err
		}
	}
	if p.m.Len() == 0 {
		return nil, &ManifestError{0, ErrManifestEmpty}
	}
	return p.m, nil
}

type manifestParser struct {
	m       *Manifest
	r       *bufio.Reader
	plain   *algorithmInfo // of lines that do not tell
	limits  Limits
	total   int64
	done    bool // the end was reached, with no line left
	line    int
	entries int
	crlf    bool // every line ends in CRLF, decided by the first
	name    []byte
	names   strings.Builder // the current block of names
}

func newManifestParser(r io.Reader, o ManifestOptions) *manifestParser {
	limits := o.Limits.withDefaults()
	return &manifestParser{
		m:      &Manifest{index: make(map[string]int32), table: algorithmTable()},
		r:      bufio.NewReaderSize(r, limits.Line+len("\r\n")),
		plain:  o.Algorithm.lookup(),
		limits: limits,
	}
}

// fail places err at the current line.
func (p *manifestParser) fail(err error, format string, args ...any) error {
	return &ManifestError{p.line, fmt.Errorf("%w: %s", err, fmt.Sprintf(format, args...))}
}

// readLine returns the next line without its end, valid until the next call, or
// sets done.
func (p *manifestParser) readLine() ([]byte, error) {
	line, err := p.r.ReadSlice('\n')
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
	line, err = p.trimEnd(line)
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
	if bytes.HasPrefix(line, []byte("-----BEGIN PGP")) {
		return p.fail(ErrArmored, "%.40q begins a PGP block", line)
	}
	if len(line) == 0 || line[0] == '#' {
		return nil
	}
	if p.entries++; p.entries > p.limits.Entries {
		return p.fail(ErrManifestTooLarge, "more than %d entries", p.limits.Entries)
	}
	alg, digits, err := p.split(line)
	if err != nil {
		return err
	}
	return p.add(alg, digits)
}

// checkStart names the usual reasons why a file is no manifest at all.
func (p *manifestParser) checkStart(line []byte) error {
	switch {
	case bytes.HasPrefix(line, []byte("\xef\xbb\xbf")):
		return p.fail(ErrManifestSyntax, "begins with a UTF-8 byte order mark")
	case bytes.HasPrefix(line, []byte("\xff\xfe")), bytes.HasPrefix(line, []byte("\xfe\xff")):
		return p.fail(ErrManifestSyntax, "is UTF-16 text")
	}
	return nil
}
