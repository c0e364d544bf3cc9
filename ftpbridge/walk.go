package ftpbridge

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"strconv"
	"strings"

	"gateway/listing"
)

// Bounds of a walk.
const (
	// DefaultMaxDepth is how many folders deep Walk goes.
	DefaultMaxDepth = 64
	// DefaultMaxEntries is after how many entries Walk gives up.
	DefaultMaxEntries = 20_000_000
	// maxSameListing is how many folders on one path may have the very same
	// listing before it is taken for a folder that contains itself.
	maxSameListing = 8
)

var (
	// ErrTooDeep is for a folder below WalkOptions.MaxDepth.
	ErrTooDeep = errors.New("too many folders deep")
	// ErrLoop is for a folder that contains itself.
	ErrLoop = errors.New("folder contains itself")
	// ErrSkipped is for a line of a listing that cannot be walked; see SkippedError.
	ErrSkipped = errors.New("line skipped")
)

// SkippedError is a line of a listing that gave no entry.
type SkippedError struct {
	Dir  string // for people
	Line listing.Skipped
}

// Error quotes the line.
func (e *SkippedError) Error() string {
	return fmt.Sprintf("listing of %q, line %d: %s: %s", e.Dir, e.Line.Line, quoteLine(string(e.Line.Raw)), e.Line.Reason)
}

// Is matches ErrSkipped, and ErrLeftOut where nothing is missing for it.
func (e *SkippedError) Is(target error) bool {
	return target == ErrSkipped || target == ErrLeftOut && strings.HasPrefix(e.Line.Reason, leftOut)
}

// Lister is what Walk needs: a *Session, or a *Pool, which replaces a session that broke.
type Lister interface {
	List(ctx context.Context, dir string) (listing.Result, error)
	Stat(ctx context.Context, path string) (listing.Entry, error)
	Join(dir, name string) string
	Show(path string) string
}

// Found is one thing on the way of a walk.
type Found struct {
	Path  string        // for Fetch and List: raw bytes, the root joined with Rel
	Rel   string        // from the root of the walk, raw bytes, slashes between
	Depth int           // 1 for entries of the root
	Entry listing.Entry // zero where Err is about a folder or a line
	// Err is something that could not be walked: a folder that cannot be
	// listed (Path is the folder), a line that cannot be used (*SkippedError,
	// Path is the folder), ErrLoop, ErrTooDeep. The walk goes on.
	Err error
}

// WalkOptions bounds a walk; zero values are the defaults.
type WalkOptions struct {
	MaxDepth   int
	MaxEntries int
}

// Walk calls fn for everything below root, folders before what is in them, in
// the server's order. Symbolic links are given to fn and not followed. fn may
// return fs.SkipDir for a folder (or, for anything else, to leave out the rest
// of its folder), fs.SkipAll to end the walk, or an error, which Walk returns.
//
// Memory grows with the depth times the listings on the way, not with the tree.
// The error is root's own, the context's, fn's, or wraps ErrTooLarge after MaxEntries.
func Walk(ctx context.Context, l Lister, root string, o WalkOptions, fn func(Found) error) error {
	w := &walker{l: l, fn: fn, maxDepth: o.MaxDepth, left: o.MaxEntries}
	if w.maxDepth <= 0 {
		w.maxDepth = DefaultMaxDepth
	}
	if w.left <= 0 {
		w.left = DefaultMaxEntries
	}
	res, err := l.List(ctx, root)
	if err != nil {
		return err
	}
	// Only facts tell a folder's identity, and only for it does the root matter.
	if res.Format == listing.MLSD {
		if e, err := l.Stat(ctx, root); err == nil {
			if unique, ok := e.Fact("unique"); ok {
				w.unique = append(w.unique, unique)
			}
		}
	}
	err = w.folder(ctx, root, "", 1, res)
	if errors.Is(err, fs.SkipAll) || errors.Is(err, fs.SkipDir) {
		return nil
	}
	return err
}

type walker struct {
	l        Lister
	fn       func(Found) error
	maxDepth int
	left     int
	unique   []string            // RFC 3659 section 7.5.2, of the folders on the way
	seen     [][sha256.Size]byte // of the listings on the way
}

// folder gives the entries of one listing to fn and goes down.
func (w *walker) folder(ctx context.Context, dir, rel string, depth int, res listing.Result) error {
	sum := fingerprint(res)
	if w.same(sum, res) {
		return w.problem(dir, rel, depth, fmt.Errorf("%s: %w: %d folders on the way have the same listing", quoteLine(w.show(dir)), ErrLoop, maxSameListing))
	}
	w.seen = append(w.seen, sum)
	defer func() { w.seen = w.seen[:len(w.seen)-1] }()

	for _, line := range res.Skipped {
		if err := w.problem(dir, rel, depth, &SkippedError{Dir: w.show(dir), Line: line}); err != nil {
			return err
		}
	}
	if more := res.SkippedTotal - len(res.Skipped); more > 0 {
		if err := w.problem(dir, rel, depth, fmt.Errorf("%s: %w: %d more lines", quoteLine(w.show(dir)), ErrSkipped, more)); err != nil {
			return err
		}
	}
	names := make(map[string]bool, len(res.Entries))
	for _, e := range res.Entries {
		name := e.RawName
		if names[name+"\x00"+e.Version] {
			err := w.problem(dir, rel, depth, &SkippedError{Dir: w.show(dir), Line: listing.Skipped{Line: e.Line, Raw: []byte(e.RawName), Reason: "the name was listed before"}})
			if err != nil {
				return err
			}
			continue
		}
		names[name+"\x00"+e.Version] = true
		f := Found{Path: w.l.Join(dir, name), Rel: joinRel(rel, name), Depth: depth, Entry: e}
		if err := w.entry(ctx, f); err != nil {
			if errors.Is(err, fs.SkipDir) {
				return nil
			}
			return err
		}
	}
	return nil
}

func joinRel(rel, name string) string {
	if rel == "" {
		return name
	}
	return rel + "/" + name
}

// entry gives one entry to fn and, where it is a folder, walks it.
func (w *walker) entry(ctx context.Context, f Found) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if w.left--; w.left < 0 {
		return fmt.Errorf("ftp: walk: %w: more entries than allowed, at %s", ErrTooLarge, quoteLine(w.l.Show(f.Path)))
	}
	err := w.fn(f)
	if f.Entry.Type != listing.Dir {
		return err
	}
	if errors.Is(err, fs.SkipDir) {
		return nil
	}
	if err != nil {
		return err
	}
	return w.descend(ctx, f)
}

func (w *walker) descend(ctx context.Context, f Found) error {
	unique, _ := f.Entry.Fact("unique")
	for _, u := range w.unique {
		if unique != "" && u == unique {
			return w.problem(f.Path, f.Rel, f.Depth, fmt.Errorf("%s: %w", quoteLine(w.l.Show(f.Path)), ErrLoop))
		}
	}
	if f.Depth >= w.maxDepth {
		return w.problem(f.Path, f.Rel, f.Depth, fmt.Errorf("%s: %w: the limit is %d", quoteLine(w.l.Show(f.Path)), ErrTooDeep, w.maxDepth))
	}
	res, err := w.l.List(ctx, f.Path)
	if cerr := ctx.Err(); cerr != nil {
		return cerr
	}
	if errors.Is(err, ErrBroken) || errors.Is(err, ErrClosed) {
		return err // the lister is at its end, every other folder would fail too
	}
	if err != nil {
		return w.problem(f.Path, f.Rel, f.Depth, err)
	}
	w.unique = append(w.unique, unique)
	defer func() { w.unique = w.unique[:len(w.unique)-1] }()
	return w.folder(ctx, f.Path, f.Rel, f.Depth+1, res)
}

// show decodes a folder for people; the source's own folder is a dot.
func (w *walker) show(dir string) string {
	if dir == "" {
		return "."
	}
	return w.l.Show(dir)
}

// problem tells fn about something that cannot be walked.
func (w *walker) problem(path, rel string, depth int, err error) error {
	err = w.fn(Found{Path: path, Rel: rel, Depth: depth, Err: err})
	if errors.Is(err, fs.SkipDir) {
		return nil
	}
	return err
}

// same reports whether too many folders on the way look like this one.
func (w *walker) same(sum [sha256.Size]byte, res listing.Result) bool {
	if len(res.Entries) == 0 {
		return false
	}
	n := 0
	for _, s := range w.seen {
		if s == sum {
			n++
		}
	}
	return n >= maxSameListing
}

func fingerprint(res listing.Result) [sha256.Size]byte {
	h := sha256.New()
	var line []byte
	for _, e := range res.Entries {
		line = strconv.AppendQuote(line[:0], e.RawName)
		line = strconv.AppendInt(line, e.Size, 10)
		line = strconv.AppendInt(append(line, ' '), e.ModTime.Unix(), 10)
		line = strconv.AppendInt(append(line, ' '), int64(e.Type), 10)
		h.Write(line)
	}
	return [sha256.Size]byte(h.Sum(nil))
}
