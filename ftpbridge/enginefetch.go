package ftpbridge

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"
	"time"

	"gateway/integrity"
	"gateway/listing"
	"gateway/state"
	"gateway/storage"
)

// errChanged is for a file that is not the one it was a moment ago.
var errChanged = errors.New("it changed on the source while it was fetched")

const (
	// carefulSize is from which size on a file's size and time are asked
	// before and after the transfer, whatever the listing said.
	carefulSize = 8 << 20
	// carefulTime is the same for how long a transfer took.
	carefulTime = 2 * time.Second
)

// stagingOwner tells the staged uploads of a job from those of anybody else.
func stagingOwner(source, destination string) string {
	sum := sha256.Sum256([]byte(source + "\n" + destination))
	return "migrate:" + hex.EncodeToString(sum[:8])
}

// transferState is one file on its way into a staged upload. The pipe has taken
// exactly the off bytes that are staged; it hashes them while more come.
type transferState struct {
	*run
	f       *state.File
	up      storage.Upload
	algs    []integrity.Algorithm
	pipe    *integrity.Pipe
	plan    *segmentPlan          // while several sessions fetch it; off is then behind
	alone   bool                  // one session is to fetch it
	sized   bool                  // the server told its size when it was asked
	checked bool                  // it is the same version still, after all came
	server  []*integrity.Evidence // the server's own hash, if the policy asks for it
	off     int64
	durable int64 // of off, at the last checkpoint
	changes int   // versions that were given up
}

// openTransfer goes on with what an earlier run left, or begins.
func (r *run) openTransfer(ctx context.Context, f *state.File, evidence []*integrity.Evidence) (*transferState, error) {
	t := &transferState{run: r, f: f, algs: r.algorithms(*f, evidence)}
	var err error
	if t.pipe, err = newPipe(t.algs); err != nil {
		return nil, err
	}
	if f.Size >= 0 {
		t.pipe.Expect(f.Size + 1) // so the end is seen with the last bytes
	}
	resumed, err := t.resume(ctx)
	if err != nil || resumed {
		return t, err
	}
	f.Token, f.Offset, f.Ranges = "", 0, nil
	o := storage.CreateOptions{Owner: r.owner, Size: max(f.Size, -1), Hashed: true, Exclusive: expectNew(*f)}
	t.up, err = r.Dest.Create(ctx, f.Target, o)
	if o.Exclusive && (errors.Is(err, fs.ErrExist) || errors.Is(err, storage.ErrIsDir)) {
		o.Exclusive = false
		if err = r.mayPublish(ctx, *f); err == nil {
			t.up, err = r.Dest.Create(ctx, f.Target, o)
		}
	}
	if errors.Is(err, fs.ErrNotExist) { // its folder went away since the walk
		if err = storage.MkdirAll(ctx, r.Dest, parent(f.Target)); err == nil {
			t.up, err = r.Dest.Create(ctx, f.Target, o)
		}
	}
	return t, err
}

// resume opens the staged bytes of an earlier run. Their digest is computed
// from the bytes themselves: what the earlier run believed does not count.
func (t *transferState) resume(ctx context.Context) (bool, error) {
	res, ok := t.Dest.(storage.Resumer)
	if !ok || t.f.Token == "" || t.f.Offset <= 0 && len(t.f.Ranges) == 0 || t.NoResume {
		return false, t.discard(ctx, *t.f)
	}
	up, err := storage.ResumeClaimed(ctx, res, storage.Token(t.f.Token)) // the earlier run may have been killed just now
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	t.up = up
	if len(t.f.Ranges) > 0 {
		err = t.resumeSegments()
	}
	if err == nil && t.plan == nil {
		t.f.Ranges = nil
		t.off = min(t.f.Offset, up.Size())
		t.durable = t.off
		if err = up.Truncate(t.off); err == nil {
			err = hashInto(ctx, t.pipe, up, t.off)
		}
	}
	if err != nil {
		return false, errors.Join(err, t.suspend(ctx))
	}
	t.progress.update(func(r *Report) { r.ResumedFiles++; r.SavedBytes += t.staged() })
	return true, nil
}

// pull fetches what is missing. It can be called again after it failed.
func (t *transferState) pull(ctx context.Context, s Remote) error {
	for {
		began := time.Now()
		if t.NoResume && t.staged() > 0 {
			if err := t.beginAgain(); err != nil {
				return err
			}
		}
		resumed := t.staged() > 0
		t.checked = false
		if t.large(s) {
			t.pool.Warm(ctx, t.sessions()-1) // to log in takes as long as what is asked first
		}
		err := t.observe(ctx, s)
		if err == nil {
			err = t.fetch(ctx, s)
		}
		if err == nil {
			err = t.confirm(ctx, s, resumed || t.f.Size >= carefulSize || time.Since(began) > carefulTime)
		}
		if err == nil {
			err = t.compareHash(ctx, s)
		}
		if err == nil && t.f.Size < 0 {
			err = t.suspectLines(ctx)
		}
		if !errors.Is(err, errChanged) {
			return err
		}
		if t.changes++; t.changes >= maxChanges {
			return fmt.Errorf("%w: %d times in a row", err, t.changes)
		}
		t.Logger.Debug("migrate: fetching anew", "path", printable(t.f.Path), "error", err)
		if err := t.restart(); err != nil {
			return err
		}
		if s.Broken() {
			return ErrBroken // retry gives another session
		}
	}
}

// restart gives up what was fetched and what was known of the version.
func (t *transferState) restart() (err error) {
	t.off, t.durable = 0, 0
	t.alone = t.alone || t.plan != nil
	t.plan, t.f.Ranges = nil, nil
	t.f.Size, t.f.MDTM = -1, time.Time{}
	if t.pipe, err = newPipe(t.algs); err != nil {
		return err
	}
	return t.up.Truncate(0)
}

// beginAgain is restart for the same version: what is known of it stays.
func (t *transferState) beginAgain() error {
	size, mdtm := t.f.Size, t.f.MDTM
	err := t.restart()
	t.f.Size, t.f.MDTM = size, mdtm
	return err
}

func newPipe(algs []integrity.Algorithm) (*integrity.Pipe, error) {
	d, err := integrity.NewDigester(algs...)
	if err != nil {
		return nil, err
	}
	return integrity.NewPipe(d), nil
}

// observe makes sure that the file is the version of which the bytes before off
// are staged. At the beginning it learns what the listing did not tell.
func (t *transferState) observe(ctx context.Context, s Remote) error {
	if t.staged() > 0 {
		return t.sameVersion(ctx, s)
	}
	f := t.f
	careful := f.Size < 0 || f.Size >= min(carefulSize, t.segmentFrom)
	if careful {
		size, err := s.Size(ctx, f.Path)
		switch {
		case err == nil:
			f.Size, t.sized = size, true
		case !errors.Is(err, ErrUnsupported):
			return err
		}
	}
	if f.Size > t.MaxFileSize {
		return fmt.Errorf("%w: %d bytes, the limit is %d", ErrTooLarge, f.Size, t.MaxFileSize)
	}
	if !careful && t.changes == 0 {
		return nil // the listing told enough; see timeMatters
	}
	at, err := t.modTime(ctx, s)
	if err == nil && at.IsZero() && t.changes > 0 {
		return t.relist(ctx, s, false)
	}
	f.MDTM = at
	return err
}

// sameVersion fails with errChanged if the server describes another file than
// before. Answers of one kind are compared with answers of the same kind.
func (t *transferState) sameVersion(ctx context.Context, s Remote) error {
	f := t.f
	size, err := s.Size(ctx, f.Path)
	switch {
	case err == nil && size != f.Size && f.Size >= 0:
		return fmt.Errorf("%w: its size was %d and is %d bytes", errChanged, f.Size, size)
	case err != nil && !errors.Is(err, ErrUnsupported):
		return err
	}
	t.sized = err == nil
	if f.MDTM.IsZero() {
		return t.relist(ctx, s, true)
	}
	at, err := t.modTime(ctx, s)
	if err == nil && !at.Equal(f.MDTM) {
		err = fmt.Errorf("%w: its time was %s and is %s", errChanged, f.MDTM.Format(time.RFC3339), at.Format(time.RFC3339))
	}
	return err
}

// modTime is zero where the server has no MDTM.
func (t *transferState) modTime(ctx context.Context, s Remote) (time.Time, error) {
	if !t.hasMDTM(s) {
		return time.Time{}, nil
	}
	at, err := s.ModTime(ctx, t.f.Path)
	if errors.Is(err, ErrUnsupported) {
		t.noMDTM.Store(true)
		return time.Time{}, nil
	}
	return at, err
}

// relist reads the file's folder again, to compare what it says of the file with
// what it said before, or to take that over.
func (t *transferState) relist(ctx context.Context, s Remote, compare bool) error {
	dir, name := parent(t.f.Path), t.f.Path[strings.LastIndexByte(t.f.Path, '/')+1:]
	in := finder{name: name}
	if _, err := listInto(ctx, s, dir, &in); err != nil {
		return err
	}
	if !in.found {
		return fmt.Errorf("%w: its folder does not list it any more", errChanged)
	}
	e := in.entry
	if e.Type == listing.Link {
		return nil // its size and time are the link's own
	}
	now := *t.f
	describeEntry(&now, e)
	if !compare {
		*t.f = now
		return nil
	}
	if !unchanged(*t.f, now, location(t.Source)) {
		return fmt.Errorf("%w: its folder lists another size or time", errChanged)
	}
	return nil
}

// read transfers from off to the end. The bytes just before off come again and
// must be the same: a server may ignore REST, or have another file by now. It is
// asked even where all bytes are staged: they came without its confirmation.
func (t *transferState) read(ctx context.Context, s Remote) error {
	from := max(0, t.off-overlap)
	t.progress.event(Event{Kind: EventStarted, Path: t.pathOf(*t.f), Size: t.f.Size, Offset: t.off})
	rc, err := t.begin(ctx, s, from)
	if err != nil && from > 0 && errors.Is(err, ErrUnsupported) && !s.Broken() {
		if err := t.beginAgain(); err != nil {
			return err
		}
		from = 0
		rc, err = s.Fetch(ctx, t.f.Path, 0)
	}
	if err != nil {
		return err
	}
	in := t.limit(ctx, rc)
	err = t.compare(in, from)
	if err == nil {
		err = t.stage(ctx, in)
	}
	cerr := rc.Close()
	if err != nil {
		return err
	}
	return cerr
}

// timedFetcher is a Remote that tells the time of a file in one go with its bytes.
type timedFetcher interface {
	FetchTimed(ctx context.Context, path string) (rc io.ReadCloser, at time.Time, timeErr, err error)
}

// begin begins the transfer, and asks for the time where it matters and is not known.
func (t *transferState) begin(ctx context.Context, s Remote, from int64) (io.ReadCloser, error) {
	if from > 0 || !t.timeMatters() || !t.hasMDTM(s) {
		return s.Fetch(ctx, t.f.Path, from)
	}
	timed, ok := s.(timedFetcher)
	if !ok {
		at, err := t.modTime(ctx, s)
		if err != nil {
			return nil, err
		}
		t.f.MDTM = at
		return s.Fetch(ctx, t.f.Path, 0)
	}
	rc, at, timeErr, err := timed.FetchTimed(ctx, t.f.Path)
	switch {
	case err != nil:
		return nil, err
	case errors.Is(timeErr, ErrUnsupported):
		t.noMDTM.Store(true)
	case timeErr != nil: // the time of the listing will have to do
		t.Logger.Debug("migrate: the server does not tell the time", "path", printable(t.f.Path), "error", timeErr)
	default:
		t.f.MDTM = at
	}
	return rc, nil
}

// timeMatters reports whether the time of the listing is too vague to be that of
// the published file, and to show the next change.
func (t *transferState) timeMatters() bool {
	return t.f.MDTM.IsZero() && t.f.TimePrecision != time.Second
}

func (t *transferState) hasMDTM(s Remote) bool {
	return !t.noMDTM.Load() && (len(s.Info().Features) == 0 || s.Info().Has("MDTM"))
}

func (t *transferState) compare(rc io.Reader, from int64) error {
	if from == t.off {
		return nil
	}
	theirs, ours := make([]byte, t.off-from), make([]byte, t.off-from)
	if _, err := t.up.ReadAt(ours, from); err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	n, err := io.ReadFull(rc, theirs)
	t.progress.update(func(r *Report) { r.FetchedBytes += int64(n) })
	switch {
	case !bytes.Equal(theirs[:n], ours[:n]) || errors.Is(err, io.EOF):
		return fmt.Errorf("%w: the bytes before offset %d are others now, or the server ignores offsets", errChanged, t.off)
	case err != nil:
		return err
	}
	return nil
}

// readFull reads until p is full or an error, which comes with the bytes before it.
func readFull(r io.Reader, p []byte) (n int, err error) { return readAtLeast(r, p, len(p)) }

// readAtLeast is readFull for p's first least bytes, and what more is there already.
func readAtLeast(r io.Reader, p []byte, least int) (n int, err error) {
	for n < least && err == nil {
		var m int
		m, err = r.Read(p[n:])
		n += m
	}
	return n, err
}

// checkpoint makes the bytes so far survive the process.
func (t *transferState) checkpoint(ctx context.Context) error {
	token, err := t.up.Checkpoint(ctx)
	if errors.Is(err, errors.ErrUnsupported) {
		t.durable = t.off
		return nil
	}
	if err != nil {
		return err
	}
	return t.note(ctx, token)
}

func (t *transferState) note(ctx context.Context, token storage.Token) error {
	t.durable = t.off
	t.f.Phase, t.f.Token, t.f.Offset, t.f.Updated = state.Fetching, string(token), t.off, t.now()
	return fatal(t.store.PutFiles(ctx, *t.f))
}

// suspend ends a transfer that failed or was stopped; the bytes wait for the
// next run. After it the upload cannot be used.
func (t *transferState) suspend(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
	defer cancel()
	if t.staged() > 0 {
		token, err := t.up.Suspend(ctx, storage.SuspendOptions{Until: t.now().Add(partialKept)})
		if err == nil && t.plan != nil {
			t.f.Offset, t.f.Ranges = t.plan.ranges()
			return t.noteSegments(ctx, token)
		}
		if err == nil {
			return t.note(ctx, token)
		}
		if !errors.Is(err, errors.ErrUnsupported) {
			return errors.Join(err, t.up.Abort(ctx))
		}
	}
	t.f.Token, t.f.Offset, t.f.Ranges = "", 0, nil
	return t.up.Abort(ctx)
}

// confirm holds what came against what the server says now.
func (t *transferState) confirm(ctx context.Context, s Remote, careful bool) error {
	wrong := t.f.Size >= 0 && t.off != t.f.Size
	if !wrong && (!careful || t.checked) {
		return nil
	}
	if err := t.sameVersion(ctx, s); err != nil {
		return err
	}
	if wrong {
		return t.explain(ctx, fmt.Errorf("%w: the server sent %d of %d bytes and said that this was all", io.ErrUnexpectedEOF, t.off, t.f.Size), nil)
	}
	return nil
}

// algorithms are the digests that the policy can make use of.
func (r *run) algorithms(f state.File, evidence []*integrity.Evidence) []integrity.Algorithm {
	if r.Policy == nil {
		return nil
	}
	algs := r.Policy.Algorithms(subject(f, r.Folder, nil), evidence...)
	if _, asked := r.serverHash(f); asked && r.hashAlgorithm != "" {
		algs = append(algs, r.hashAlgorithm)
	}
	return algs
}

func (r *run) digester(f state.File, evidence []*integrity.Evidence) (*integrity.Digester, error) {
	return integrity.NewDigester(r.algorithms(f, evidence)...)
}

// hashInto feeds the first n bytes of something staged or published to w.
func hashInto(ctx context.Context, w io.Writer, from io.ReaderAt, n int64) error {
	got, err := io.CopyBuffer(struct{ io.Writer }{w}, io.LimitReader(storage.Reader(ctx, from), n), make([]byte, fetchBuffer))
	if err == nil && got != n {
		err = fmt.Errorf("%d of %d staged bytes are there: %w", got, n, io.ErrUnexpectedEOF)
	}
	return err
}
