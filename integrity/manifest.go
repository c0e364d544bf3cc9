package integrity

import (
	"errors"
	"fmt"
	"io"
	"iter"
	"time"
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
	// same algorithm, or two different sizes.
	ErrManifestConflict = errors.New("two different digests or sizes for one name")
	// ErrManifestTooLarge reports a manifest beyond its Limits.
	ErrManifestTooLarge = errors.New("manifest too large")
	// ErrManifestEmpty reports a manifest that names no file.
	ErrManifestEmpty = errors.New("manifest names no file")
	// ErrManifestFormat reports an unknown ManifestOptions.Format.
	ErrManifestFormat = errors.New("unknown manifest format")
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
	Bytes   int64 // MaxManifestBytes, the whole manifest; Metalink also has MaxMetalinkBytes
	Line    int   // MaxManifestLine, bytes of one line without its end
	Entries int   // MaxManifestEntries, digests; and, beside them, sizes told in comments
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

// ManifestOptions says how to read a manifest. The zero value reads what tells
// all by itself.
type ManifestOptions struct {
	// Algorithm of the digests that do not tell theirs. Empty takes what Name
	// tells, as AlgorithmFromName does; if that is nothing, every line must
	// tell it.
	Algorithm Algorithm
	// Name is the manifest's own path or name; its last element helps to know
	// the format and tells the file that a side file is about. May be empty.
	Name string
	// Subject is the name, as in ManifestEntry, of the one file that a bare
	// digest is about. Empty takes Name without its ending, see SubjectFromName.
	Subject string
	// Format that the manifest must have. Empty tells it from Name and content.
	Format Format
	// DecodeName, if set, converts the bytes of each name, escapes undone, into
	// what Lookup is asked for: from UTF-8 to Latin-1 for a server whose raw
	// names are Latin-1, or the reverse. It must be the same for the same bytes,
	// map different names to different ones, and not keep raw. A name for which
	// it returns "" stays as it is. What it returns is held to the same rules.
	DecodeName func(raw []byte) string
	Limits     Limits
}

// ManifestEntry is what a manifest says of one name.
type ManifestEntry struct {
	Name      string   // exact bytes, slash-separated, relative to the manifest's folder
	Digests   []Digest // one per algorithm, in the manifest's order, at least one
	Line      int      // where the name first appears, from 1
	Size      int64    // bytes; 0 if the manifest does not tell, see SizeKnown
	SizeKnown bool
}

// Manifest is a parsed checksum list. It does not change after ParseManifest
// and is safe for concurrent use.
type Manifest struct {
	index      manifestIndex
	table      [algorithmCount]algorithmInfo
	format     Format
	date       time.Time
	validUntil time.Time
}

// Format is the format that the manifest was found to have.
func (m *Manifest) Format() Format { return m.format }

// Date is when the manifest says that it was made, zero if it does not say:
// Date of a Release file; the later of published and updated of a Metalink. It
// is as true as the manifest is.
func (m *Manifest) Date() time.Time { return m.date }

// ValidUntil is when the manifest says that it must no longer be used, zero if
// it does not say: Valid-Until of a Release file.
func (m *Manifest) ValidUntil() time.Time { return m.validUntil }

// Len is the number of names.
func (m *Manifest) Len() int { return m.index.names }

// Lookup returns the entry of exactly this name. The name is given as in
// ManifestEntry: without a leading "./".
func (m *Manifest) Lookup(name string) (ManifestEntry, bool) {
	i := m.index.find(name)
	if i < 0 {
		return ManifestEntry{}, false
	}
	return m.entry(i), true
}

// All yields the entries in the manifest's order.
func (m *Manifest) All() iter.Seq[ManifestEntry] {
	return func(yield func(ManifestEntry) bool) {
		for i := range m.index.count {
			if m.index.record(i).first && !yield(m.entry(i)) {
				return
			}
		}
	}
}

func (m *Manifest) entry(i int32) ManifestEntry {
	r := m.index.record(i)
	e := ManifestEntry{Name: r.name, Line: int(r.line)}
	if r.size >= 0 {
		e.Size, e.SizeKnown = r.size, true
	}
	for {
		info := &m.table[r.alg]
		e.Digests = append(e.Digests, Digest{info.name, append([]byte(nil), m.index.sum(r, info.size)...)})
		if r.next == 0 {
			return e
		}
		r = m.index.record(r.next)
	}
}

// ParseManifest reads a checksum list in one of the formats that the constants
// of type Format describe. Which one is told by o.Format, by the ending of
// o.Name (.sfv, .meta4, Release, InRelease), or else by the content.
//
// In all of them one leading "./" of a name is removed, as "find ." and shell
// globs put it there, and a name may come again only with the same digest and
// size. Lines end in LF; if the first line ends in CRLF every line must, and the
// CR is not part of the names. A last line without its end is read. A byte order
// mark is refused.
//
// Reading is strict: the first line that does not fit makes the whole manifest
// bad. The error is a *ManifestError around one of the sentinels above, the
// reader's own error, or ErrUnknownAlgorithm or ErrManifestFormat for options
// that make no sense.
func ParseManifest(r io.Reader, o ManifestOptions) (*Manifest, error) {
	p, err := newManifestParser(r, o)
	if err != nil {
		return nil, fmt.Errorf("integrity: parse manifest: %w", err)
	}
	p.sniff()
	if p.m.format == FormatMetalink {
		err = p.readMetalink()
	} else {
		err = p.readLines()
	}
	switch {
	case err != nil:
		return nil, err
	case p.m.Len() == 0:
		return nil, &ManifestError{0, ErrManifestEmpty}
	}
	return p.m, nil
}
