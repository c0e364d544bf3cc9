package ftpbridge

import (
	"container/list"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash/maphash"
	"io/fs"
	"iter"
	"strings"
	"sync"
	"sync/atomic"

	"gateway/listing"
)

// Bounds of a walk.
const (
	// DefaultMaxDepth is how many folders deep Walk goes.
	DefaultMaxDepth = 64
	// DefaultMaxEntries is after how many entries Walk gives up.
	DefaultMaxEntries = 20_000_000
	// maxSameListing is how many folders on one path may have the very same
	// listing before it is taken for a folder that contains itself; maxSameRich is
	// that for listings that can hardly be the same by chance.
	maxSameListing = 8
	maxSameRich    = 3
	// richListing is from how many entries on a listing that has the times of all
	// and a file among them is one of those.
	richListing = 3
	// maxLoops is how many different loops are remembered, so that each is
	// reported once however many ways lead into it.
	maxLoops = 1000
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
	Path  string // for Fetch and List: raw bytes, the root joined with Rel
	Rel   string // from the root of the walk, raw bytes, slashes between
	Name  string // Rel as people see it: UTF-8, each name decoded
	Depth int    // 1 for entries of the root
	// Entry is zero where Err is about a folder or a line. Mode, Owner and Group
	// are not kept, and of the Facts only "unique".
	Entry listing.Entry
	// Dir is what WalkOptions.Folder gave for the folder that the entry is in;
	// nil for Enter, which may be asked before.
	Dir any
	// Err is something that could not be walked: a folder that cannot be
	// listed (Path is the folder), a line that cannot be used (*SkippedError,
	// Path is the folder), ErrLoop, ErrTooDeep. The walk goes on.
	Err error
}

// WalkOptions bounds and steers a walk; zero values are the defaults.
type WalkOptions struct {
	MaxDepth   int
	MaxEntries int
	// Connections is how many folders are listed at once, ahead of fn. With 0 or 1
	// none is, and fn may use the Lister itself, be it a single session.
	Connections int
	// Enter reports whether a folder is walked that fn does not refuse. It keeps
	// folders from being listed ahead for nothing, so its answer must not depend
	// on what fn saw.
	Enter func(dir Found) bool
	// Folder hears of a folder before fn hears of what is in it, of the root with
	// the zero Entry. What it returns is Found.Dir of the entries, which can be
	// ranged over twice. fs.SkipDir leaves the folder out; any other error ends
	// the walk.
	Folder func(dir Found, entries iter.Seq[Found]) (any, error)
}

// Walk calls fn, from the caller's goroutine, for everything below root: for all
// entries of a folder in the server's order, then for what is below the first
// folder among them, and so on; so the order does not depend on how many folders
// are listed at once. Symbolic links are given to fn and not followed. fn may
// return fs.SkipDir for a folder (or, for anything else, to leave out the rest
// of its folder), fs.SkipAll to end the walk, or an error, which Walk returns.
//
// A folder that contains itself is cut where the server tells by which facts a
// folder is known (unique, RFC 3659 section 7.5.2), or else when the same listing
// came several times on one path. It is reported once; other ways into the same
// loop are cut silently.
//
// Memory is bounded, by maxHeld, whatever the tree: of the folders on the way
// only the names of the folders to come are kept, and a listing that does not
// fit in beside them is an Err. The error is root's own, the context's, fn's, or
// wraps ErrTooLarge after MaxEntries.
func Walk(ctx context.Context, l Lister, root string, o WalkOptions, fn func(Found) error) error {
	if o.MaxDepth <= 0 {
		o.MaxDepth = DefaultMaxDepth
	}
	if o.MaxEntries <= 0 {
		o.MaxEntries = DefaultMaxEntries
	}
	o.Connections = max(o.Connections, 1)
	ctx, cancel := context.WithCancel(ctx)
	w := &walker{
		l: l, fn: fn, o: o, left: o.MaxEntries, seed: maphash.MakeSeed(),
		listed: make(chan *walkedDir), loops: make(map[[sha256.Size]byte]bool),
	}
	defer w.wg.Wait()
	defer cancel()
	err := w.walk(ctx, &walkedDir{Found: Found{Path: root}})
	if errors.Is(err, fs.SkipAll) {
		return nil
	}
	return err
}

// walker goes through the folders to come. Everything but the listing itself
// happens in the goroutine of Walk.
type walker struct {
	l      Lister
	fn     func(Found) error
	o      WalkOptions
	left   int
	steps  list.List // *walkedDir and *subfolders to come, in the order of the walk
	asked  int       // listings under way
	ahead  int       // folders under way or listed, not yet given to fn
	listed chan *walkedDir
	held   atomic.Int64 // bytes of listings
	kept   atomic.Int64 // bytes of what is kept of those that fn has seen
	// tooLong was too long to be read ahead: nothing is until its turn has come.
	tooLong *walkedDir
	loops   map[[sha256.Size]byte]bool
	seed    maphash.Seed
	wg      sync.WaitGroup
}

func (w *walker) walk(ctx context.Context, root *walkedDir) error {
	root.step = w.steps.PushFront(root)
	for w.steps.Len() > 0 {
		front := w.steps.Front()
		switch s := front.Value.(type) {
		case *subfolders:
			if d, ok := w.nextFolder(s); ok {
				d.step = w.steps.InsertBefore(d, front)
			} else {
				w.steps.Remove(front)
			}
		case *walkedDir:
			if s.leftOut() {
				w.forget(s)
				continue
			}
			if err := w.await(ctx, s); err != nil {
				return err
			}
			w.steps.Remove(front)
			w.ahead--
			if err := w.give(ctx, s); err != nil {
				return err
			}
		}
	}
	return nil
}

// give tells fn what is in a folder.
func (w *walker) give(ctx context.Context, d *walkedDir) error {
	if d.up != nil {
		d.Dir = d.up.tag
	}
	if d.err == nil && w.known(d) {
		d.gone = true
		d.list.reset()
		return nil
	}
	if d.err != nil {
		return w.failed(ctx, d)
	}
	if w.o.Folder != nil {
		var err error
		d.tag, err = w.o.Folder(d.Found, w.entries(d))
		if errors.Is(err, fs.SkipDir) {
			d.gone = true
			d.list.reset()
			return nil
		}
		if err != nil {
			return err
		}
	}
	if err := w.lines(d); err != nil {
		return err
	}
	for i, e := range d.list.all() {
		if i%64 == 63 { // fn may be slow
			w.readAhead(ctx)
		}
		if d.again.has(i) {
			line := listing.Skipped{Line: e.Line, Raw: []byte(e.RawName), Reason: "the name was listed before"}
			if err := w.problem(d, &SkippedError{Dir: w.show(d.Path), Line: line}); err != nil {
				return err
			}
			continue
		}
		err := w.entry(ctx, w.found(d, e))
		switch {
		case errors.Is(err, fs.SkipDir) && e.Type == listing.Dir:
			d.again.set(i)
			continue
		case errors.Is(err, fs.SkipDir):
			d.cut = i + 1
		case err != nil:
			return err
		default:
			continue
		}
		break
	}
	w.keepFolders(d)
	return nil
}

// failed tells fn, or ends the walk where nothing else could be listed either.
func (w *walker) failed(ctx context.Context, d *walkedDir) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if d.up == nil || errors.Is(d.err, ErrBroken) || errors.Is(d.err, ErrClosed) {
		return d.err
	}
	if errors.Is(d.err, ErrLoop) {
		if w.loops[d.sum] {
			return nil
		}
		if len(w.loops) < maxLoops {
			w.loops[d.sum] = true
		}
	}
	return w.problem(d, d.err)
}

// lines reports the lines of a listing that gave no entry.
func (w *walker) lines(d *walkedDir) error {
	for _, line := range d.quality.Skipped {
		if err := w.problem(d, &SkippedError{Dir: w.show(d.Path), Line: line}); err != nil {
			return err
		}
	}
	if more := d.quality.SkippedTotal - len(d.quality.Skipped); more > 0 {
		return w.problem(d, fmt.Errorf("%s: %w: %d more lines", quoteLine(w.show(d.Path)), ErrSkipped, more))
	}
	return nil
}

// entries are those of a folder, each name once.
func (w *walker) entries(d *walkedDir) iter.Seq[Found] {
	return func(yield func(Found) bool) {
		for i, e := range d.list.all() {
			if !d.again.has(i) && !yield(w.found(d, e)) {
				return
			}
		}
	}
}

func (w *walker) found(d *walkedDir, e listing.Entry) Found {
	return Found{
		Path: w.l.Join(d.Path, e.RawName), Rel: joinRel(d.Rel, e.RawName), Name: joinRel(d.Name, e.Name),
		Depth: d.Depth + 1, Entry: e, Dir: d.tag,
	}
}

func joinRel(rel, name string) string {
	if rel == "" {
		return name
	}
	return rel + "/" + name
}

// entry gives one entry to fn.
func (w *walker) entry(ctx context.Context, f Found) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if w.left--; w.left < 0 {
		return fmt.Errorf("ftp: walk: %w: more entries than allowed, at %s", ErrTooLarge, quoteLine(w.l.Show(f.Path)))
	}
	return w.fn(f)
}

// show decodes a folder for people; the source's own folder is a dot.
func (w *walker) show(dir string) string {
	if dir == "" {
		return "."
	}
	return w.l.Show(dir)
}

// problem tells fn about something in or about a folder that cannot be walked.
func (w *walker) problem(d *walkedDir, err error) error {
	f := d.Found
	f.Entry, f.Err = listing.Entry{}, err
	err = w.fn(f)
	if errors.Is(err, fs.SkipDir) {
		return nil
	}
	return err
}
