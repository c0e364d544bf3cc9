package listing

import (
	"errors"
	"strings"
	"time"
)

// Bounds on what a listing can cost. Lists over them are cut, never refused.
const (
	// MaxLine is the longest line in bytes that is read as an entry. A longer one is skipped.
	MaxLine = 32 << 10
	// MaxSkipped is how many skipped lines are kept. Later ones are only counted.
	MaxSkipped = 1000
	// MaxSkippedRaw is how many bytes of a skipped line are kept.
	MaxSkippedRaw = 1 << 10
	// Window is how many bytes [Reader] looks at together: the format, the date order and the charset are decided
	// over the first window. The entries of one window are in memory together, 131072 at most.
	Window = 256 << 10
)

// Errors of this package, to be compared with errors.Is.
var (
	// ErrFormat means that Options.Format is not one of Formats.
	ErrFormat = errors.New("listing: unknown format")
	// ErrCharset means that a charset name is not one of Charsets nor an alias of one.
	ErrCharset = errors.New("listing: unknown charset")
	// ErrEncode means that a name has a character that its charset lacks.
	ErrEncode = errors.New("listing: name cannot be encoded")
	// ErrFacts means that a line given to ParseFacts is not an MLST line.
	ErrFacts = errors.New("listing: not a line of facts")
	// ErrUnrecognized means that there are lines, but not one could be read in any format. The Result that comes
	// with it holds them in Skipped: often it is an error message that the server wrote into the listing.
	ErrUnrecognized = errors.New("listing: no line was recognized")
)

// Format names how a listing is laid out. The empty Format means "find out".
type Format string

// The formats.
const (
	Unix     Format = "unix"     // ls -l and its kin: NetWare, NetPresenz, VShell, HylaFAX
	MSDOS    Format = "msdos"    // IIS, Windows CE and DIR
	MLSD     Format = "mlsd"     // facts, RFC 3659 section 7
	EPLF     Format = "eplf"     // Easily Parsed LIST Format, Bernstein 1996
	VMS      Format = "vms"      // OpenVMS DIRECTORY, MultiNet, UCX, CMU, Wollongong
	MVS      Format = "mvs"      // z/OS data sets, migrated and VSAM ones among them
	PDS      Format = "pds"      // members of a z/OS partitioned data set
	JES      Format = "jes"      // z/OS batch jobs, SITE FILETYPE=JES
	Sterling Format = "sterling" // Sterling Connect:Enterprise
	CMS      Format = "cms"      // z/VM CMS mini disks
	VSE      Format = "vse"      // z/VSE
	OS400    Format = "os400"    // IBM i, also called AS/400
	OS2      Format = "os2"      // OS/2
	NonStop  Format = "nonstop"  // HP NonStop Guardian, once Tandem
	MPE      Format = "mpe"      // HP 3000 MPE/iX
	Unisys   Format = "unisys"   // Unisys ClearPath MCP and OS 2200
	VOS      Format = "vos"      // Stratus VOS
	TOPS20   Format = "tops20"   // TOPS-20
	VxWorks  Format = "vxworks"  // VxWorks
	OS9      Format = "os9"      // Microware OS-9
	Win16    Format = "win16"    // SuperTCP, Chameleon and wfFtp: a short name first
	DLS      Format = "dls"      // dls, an ls with descriptions
	Names    Format = "names"    // NLST: a name a line
	Table    Format = "table"    // a table in no known format: names and what else is sure
)

// Type says what kind of thing an entry is.
type Type uint8

// The types. Other covers devices, sockets, pipes and what a server marks in a way of its own.
const (
	File Type = iota
	Dir
	Link
	Other
)

// String is "file", "dir", "link" or "other".
func (t Type) String() string {
	switch t {
	case File:
		return "file"
	case Dir:
		return "dir"
	case Link:
		return "link"
	default:
		return "other"
	}
}

// Precision says how exactly a listing gave a time.
type Precision uint8

// The precisions, Unknown for "no time given".
const (
	Unknown Precision = iota
	Second
	Minute
	Day
)

// String is "unknown", "second", "minute" or "day".
func (p Precision) String() string {
	switch p {
	case Second:
		return "second"
	case Minute:
		return "minute"
	case Day:
		return "day"
	default:
		return "unknown"
	}
}

// Time is a modification time as far as the listing gives it. What lies below the precision is zero, but fractions of a
// second are kept.
type Time struct {
	time.Time // in Options.Location when ZoneKnown is false; zero when Precision is Unknown
	Precision Precision
	ZoneKnown bool
}

// Entry is one file, directory or link of a listing. Its strings are parts of one copy of the listing: an entry that
// is kept keeps that copy (of a window, from a [Reader]) in memory.
type Entry struct {
	Name    string // UTF-8, for people; Encode(Name, Charset()) is RawName
	RawName string // the exact bytes, for the next command
	Target  string // of a link, decoded like Name; "" where it is not given

	Type          Type
	charset       uint8 // its place in charsets, from 1; 0 while nothing is decoded
	SizeEstimated bool  // Size comes from blocks or from a rounded figure such as 33.5k
	Size          int64 // bytes; -1 where unknown, and for everything but files
	ModTime       Time

	Mode    string // as listed: "rwxr-xr-x", "[RWCEAFMS]", MLSD's UNIX.mode; "" where unknown
	Owner   string
	Group   string
	Version string // the version number of systems that keep several
	Facts   string // MLSD only: the facts as listed, see Fact
	Line    int    // 1-based
}

// Charset names what RawName was decoded with. It is UTF-8 where that is how RawName reads.
func (e *Entry) Charset() string { return charsets[max(e.charset, 1)-1].name }

// Fact is the value of a fact of MLSD (RFC 3659 section 7.5), whose name may be in any case, and whether it was given.
func (e *Entry) Fact(name string) (value string, ok bool) {
	for fact := range strings.SplitSeq(e.Facts, ";") {
		if k, v, ok := strings.Cut(fact, "="); ok && strings.EqualFold(k, name) {
			return v, true
		}
	}
	return "", false
}

// Options says what is known about the listing. The zero value is fit for use.
type Options struct {
	Format   Format         // "" to find out
	Charset  string         // for names that are not valid UTF-8; "" to detect
	Now      time.Time      // for dates without a year; zero means time.Now()
	Location *time.Location // of times without a zone; nil means UTC
	Syst     string         // the server's reply to SYST, which settles a tied vote
	Detector *Detector      // evidence of the whole server, read and added to; nil means this listing alone
}

// Result is a whole listing.
type Result struct {
	Quality
	Entries []Entry // "." and ".." among them where the server lists them
}

// Parse reads a whole listing. It keeps no reference to raw. Beside a copy of raw it takes 184 bytes an entry;
// [Reader] is for listings whose length nobody answers for.
//
// The error wraps ErrFormat or ErrCharset for bad options; it is ErrUnrecognized, with the Result filled in, where
// the listing has lines and none of them means anything. An empty listing is no error, and neither is one of which
// nothing could be read in the format that Options.Format names: that is in Skipped.
func Parse(raw []byte, o Options) (Result, error) {
	s, err := newSession(o)
	if err != nil {
		return Result{}, err
	}
	entries, _ := s.window(raw, nil, true)
	return Result{Quality: s.q, Entries: entries}, s.q.unrecognized()
}

func clip[T string | []byte](b T, n int) T {
	return b[:min(n, len(b))]
}
