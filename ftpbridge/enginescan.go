package ftpbridge

import (
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"io/fs"
	"iter"
	"strings"
	"time"

	"golang.org/x/text/cases"

	"gateway/listing"
	"gateway/state"
	"gateway/storage"
)

// scan walks the source and brings the ledger up to date: lines that are new or
// changed become found, the others keep their phase.
func (r *run) scan(ctx context.Context) error {
	return r.scanInto(ctx, nil)
}

// scanInto is scan; with look, the ledger and the destination stay as they are, and
// look hears of every file instead.
func (r *run) scanInto(ctx context.Context, look func(seen) error) error {
	counts, err := r.store.Counts(ctx, r.job.ID)
	if err != nil {
		return fatal(err)
	}
	s := &scanner{run: r, ctx: ctx, rebuilt: true, first: len(counts) == 0, look: look}
	s.names = &namer{
		caseSensitive: r.Dest.Properties().CaseSensitive, fold: cases.Fold(), seed: maphash.MakeSeed(),
		wanted: s.wants, held: s.held,
	}
	o := WalkOptions{Connections: r.Source.connections(), Enter: r.filter.enters, Folder: s.enter}
	if err := Walk(ctx, retryingLister{r}, "", o, s.found); err != nil {
		return err
	}
	if err := s.flush(); err != nil {
		return err
	}
	r.rebuilt = s.rebuilt
	r.progress.update(r.warnOfPatterns)
	return nil
}

// retryingLister gives Walk a pool that does not give up at the first failure.
type retryingLister struct{ r *run }

func (l retryingLister) List(ctx context.Context, dir string) (res listing.Result, err error) {
	err = l.r.retry(ctx, func(s Remote) (bool, error) {
		res, err = s.List(ctx, dir)
		return false, err
	})
	return res, rootAdvice(dir, err)
}

func (l retryingLister) listInto(ctx context.Context, dir string, to sink) (q listing.Quality, err error) {
	err = l.r.retry(ctx, func(s Remote) (bool, error) {
		q, err = listInto(ctx, s, dir, to)
		return false, err
	})
	return q, rootAdvice(dir, err)
}

// rootAdvice adds what to do where the folder of the URL itself is refused, which
// ends the run; the server's words seldom tell a wrong path from a file.
func rootAdvice(dir string, err error) error {
	var said *ReplyError
	if dir == "" && (errors.As(err, &said) && said.Code == 550 || errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission)) {
		return fmt.Errorf("%w; the path of the URL must be a folder that this user may list", err)
	}
	return err
}

func (l retryingLister) Stat(ctx context.Context, path string) (e listing.Entry, err error) {
	err = l.r.retry(ctx, func(s Remote) (bool, error) {
		e, err = s.Stat(ctx, path)
		return false, err
	})
	return e, err
}

func (l retryingLister) Join(dir, name string) string { return l.r.pool.Join(dir, name) }
func (l retryingLister) Show(path string) string      { return l.r.pool.Show(path) }

// scanner takes what Walk finds.
type scanner struct {
	*run
	ctx     context.Context // of the one call of scan
	names   *namer
	batch   []state.File
	first   bool // the ledger was empty
	rebuilt bool // no folder was left out
	look    func(seen) error
}

func (s *scanner) found(f Found) error {
	if f.Err != nil {
		return s.problem(f)
	}
	e := f.Entry
	if !s.wants(f) {
		if e.Type == listing.Dir {
			return fs.SkipDir
		}
		s.progress.update(func(r *Report) { r.Filtered.add(e.Size) })
		return nil
	}
	if e.Type == listing.Link {
		behind, why, err := s.follow(f)
		if err != nil {
			return err
		}
		if why != "" {
			s.skip(f.Rel, why)
			return nil
		}
		e = behind
		if !s.filter.wants(f.Name, f.Depth, e.ModTime) {
			s.progress.update(func(r *Report) { r.Filtered.add(e.Size) })
			return nil
		}
	}
	switch e.Type {
	case listing.Dir:
		if a := s.After; a.Action == MoveSource && s.pool.Show(f.Rel) == a.Folder {
			return fs.SkipDir // what was moved there is published
		}
		return s.folder(f)
	case listing.File:
		return s.file(f, e)
	}
	s.skip(f.Rel, "it is neither a file nor a folder")
	return nil
}

func (s *scanner) problem(f Found) error {
	if isFatal(f.Err) {
		return f.Err
	}
	var left *SkippedError
	if errors.Is(f.Err, ErrLeftOut) && errors.As(f.Err, &left) {
		s.skip(joinRel(f.Rel, string(left.Line.Raw)), strings.TrimPrefix(left.Line.Reason, leftOut))
		return nil
	}
	item := Item{Path: printable(s.pool.Show(f.Rel)), Reason: plain(f.Err), Retry: Temporary(f.Err)}
	if item.Path == "" {
		item.Path = "/"
	}
	s.progress.update(func(r *Report) { r.Unread.add(item) })
	s.rebuilt = false
	return nil
}

func (s *scanner) skip(rel, reason string) {
	s.progress.update(func(r *Report) {
		r.Skipped.add(Item{Path: printable(s.pool.Show(rel)), Reason: reason})
	})
}

// follow describes the file that a link leads to, or says why the link is left
// out. Links to folders are not followed, so that no walk is endless.
func (s *scanner) follow(f Found) (e listing.Entry, why string, err error) {
	e = f.Entry
	e.Type, e.SizeEstimated, e.ModTime = listing.File, false, listing.Time{}
	err = s.retry(s.ctx, func(sess Remote) (bool, error) {
		var err error
		if e.Size, err = sess.Size(s.ctx, f.Rel); err != nil {
			return false, err
		}
		t, err := sess.ModTime(s.ctx, f.Rel)
		if err == nil {
			e.ModTime = listing.Time{Time: t, Precision: listing.Second, ZoneKnown: true}
		}
		if err != nil && passing(s.ctx, err) {
			return false, err
		}
		return false, nil
	})
	switch {
	case err == nil:
		return e, "", nil
	case isFatal(err) || s.ctx.Err() != nil:
		return e, "", err
	case errors.Is(err, ErrUnsupported):
		e.Size = -1
		return e, "", nil // the transfer will tell
	}
	err = s.retry(s.ctx, func(sess Remote) (bool, error) {
		_, err := listInto(s.ctx, sess, f.Rel, nothing{})
		return false, err
	})
	switch {
	case err == nil:
		return e, "it is a link to a folder; links to folders are not followed", nil
	case isFatal(err) || s.ctx.Err() != nil:
		return e, "", err
	}
	return e, "it is a link that leads to no file", nil
}

// wants reports whether an entry is to come to the destination.
func (s *scanner) wants(f Found) bool {
	switch f.Entry.Type {
	case listing.Dir:
		return s.filter.enters(f)
	case listing.Link: // its time is not that of the file
		return s.filter.wants(f.Name, f.Depth, listing.Time{})
	}
	return s.filter.wants(f.Name, f.Depth, f.Entry.ModTime)
}

// held reports whether an earlier run put an entry, or what is in it, under target.
func (s *scanner) held(f Found, target string) (bool, error) {
	if s.first {
		return false, nil
	}
	if f.Entry.Type == listing.Dir {
		below := fileURL(s.baseURL, f.Rel) + "/"
		for pub, err := range s.store.Publications(s.ctx, publicationKey(s.destName, target)+"/") {
			return err == nil && pub.Job == s.job.ID && strings.HasPrefix(pub.Source, below), fatal(err)
		}
		return false, nil
	}
	line, err := s.store.GetFile(s.ctx, s.job.ID, f.Rel)
	if errors.Is(err, state.ErrNotFound) {
		return false, nil
	}
	return err == nil && line.Target == target, fatal(err)
}

// enter begins a folder: its own name in the destination is known by now.
func (s *scanner) enter(dir Found, entries iter.Seq[Found]) (any, error) {
	target := s.Folder
	if in, ok := dir.Dir.(*destFolder); ok {
		target, _ = in.name(dir.Entry) // folder has reported a fault
	}
	return s.names.folder(target, entries)
}

// folder makes a folder in the destination, also one that stays empty.
func (s *scanner) folder(f Found) error {
	target, fault := f.Dir.(*destFolder).name(f.Entry)
	if fault == "" {
		switch err := s.makeFolder(target); {
		case isFatal(err) || s.ctx.Err() != nil:
			return err
		case err != nil:
			fault = "it cannot be made in the destination: " + plain(err)
		}
	}
	if fault != "" {
		s.progress.update(func(r *Report) {
			r.Unread.add(Item{Path: printable(s.pool.Show(f.Rel)), Reason: fault})
		})
		return fs.SkipDir
	}
	s.progress.update(func(r *Report) { r.Folders++ })
	return nil
}

func (s *scanner) file(f Found, e listing.Entry) error {
	line := state.File{Job: s.job.ID, Path: f.Rel, Phase: state.Found, Seen: s.start, Updated: s.now()}
	describeEntry(&line, e)
	var fault string
	if line.Target, fault = f.Dir.(*destFolder).name(f.Entry); fault != "" {
		line.Phase, line.Reason = state.Failed, fault
	}
	s.progress.update(func(r *Report) { r.found(e.Size) }) // also where it is an estimate
	if s.batch = append(s.batch, line); len(s.batch) < scanBatch {
		return nil
	}
	return s.flush()
}

// describeEntry takes over what a listing says of a file.
func describeEntry(f *state.File, e listing.Entry) {
	f.Size, f.ModTime, f.TimePrecision = e.Size, time.Time{}, 0
	if e.SizeEstimated {
		f.Size = -1
	}
	if p := precision(e.ModTime.Precision); p != 0 && storage.ValidModTime(e.ModTime.Time) {
		f.ModTime, f.TimePrecision = e.ModTime.UTC(), p
	}
}

// flush compares a batch with the ledger and writes what became of it.
func (s *scanner) flush() error {
	if len(s.batch) == 0 {
		return nil
	}
	paths := make([]string, len(s.batch))
	for i, f := range s.batch {
		paths[i] = f.Path
	}
	known, err := s.store.GetFiles(s.ctx, s.job.ID, paths...)
	if err != nil {
		return fatal(err)
	}
	if s.look != nil {
		return s.lookAt(known)
	}
	for i, f := range s.batch {
		if old, ok := known[f.Path]; ok && old.Target != "" && old.Phase != state.Removed {
			s.batch[i], err = s.update(old, f)
		} else {
			s.batch[i], err = s.claim(f)
		}
		if err != nil {
			return err
		}
	}
	if err := s.store.PutFiles(s.ctx, s.batch...); err != nil {
		return fatal(err)
	}
	s.endBatch()
	return nil
}

func (s *scanner) endBatch() {
	s.batch = s.batch[:0]
	var e Event
	s.progress.update(func(r *Report) { e = Event{Kind: EventWalked, Files: r.Found.Files, Bytes: r.Found.Bytes} })
	s.progress.event(e)
}

// claim keeps a new file away from a name that another line of the job has.
func (s *scanner) claim(f state.File) (state.File, error) {
	if s.first || f.Target == "" {
		return f, nil
	}
	_, other, err := s.store.FileByTarget(s.ctx, s.destination, f.Target)
	switch {
	case errors.Is(err, state.ErrNotFound):
		return f, nil
	case err != nil:
		return f, fatal(err)
	case other.Job == f.Job && other.Path != f.Path && other.Phase != state.Failed && other.Phase != state.Removed:
		f.Phase, f.Target = state.Failed, ""
		f.Reason = "its name in the destination is that of " + printable(other.Path)
	}
	return f, nil
}

// update is what becomes of a known line after the walk saw its file again. It
// keeps its name in the destination whatever the charset looks like today.
func (s *scanner) update(old, now state.File) (state.File, error) {
	now.Target = old.Target
	same, asked, err := s.sameFile(old, now)
	if err != nil {
		return old, err
	}
	if asked {
		old.Updated = s.now() // known to be the same until now, and not asked again
	}
	if !same {
		err := s.discard(s.ctx, old)
		now.Phase, now.Reason = state.Found, ""
		return now, err
	}
	old.Seen, old.After = s.start, ""
	if old.Phase != state.Published {
		return old, nil
	}
	there, err := s.inDestination(old)
	if err != nil {
		return old, err
	}
	if there {
		s.progress.update(func(r *Report) { r.Unchanged.add(old.Size) })
		return old, nil
	}
	now.MDTM = old.MDTM
	now.Phase, now.Reason = state.Found, ""
	return now, nil
}

// sameFile reports whether a line is still of the file that the walk saw, and
// whether the server had to be asked for that.
func (s *scanner) sameFile(old, now state.File) (same, asked bool, err error) {
	switch same = unchanged(old, now, location(s.Source)); {
	case !same || old.Phase != state.Published:
		return same, false, nil
	case old.After != "" && old.MDTM.IsZero():
		// It was to be taken off the source, and here is a file of its name: it
		// may be another one unless the listing is exact.
		return old.TimePrecision == time.Second, false, nil
	case old.After != "" || recent(old):
		same, err = s.sameTime(old)
		return same, true, err
	}
	return true, false, nil
}

// inDestination reports whether a file of the published size is at the target.
func (s *scanner) inDestination(f state.File) (bool, error) {
	info, err := s.Dest.Stat(s.ctx, f.Target)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return false, fatal(err)
	}
	return err == nil && !info.IsDir() && info.Size == f.Size, nil
}

// recent reports whether a file was published so soon after its last change that
// a further one may have left the minute, or the day, of its listing as it was.
func recent(f state.File) bool {
	age := f.Updated.Sub(f.MDTM)
	return f.TimePrecision > time.Second && !f.MDTM.IsZero() && age.Abs() < f.TimePrecision+clockSkew
}

// sameTime asks whether a file still has the time that it had when it was fetched.
func (s *scanner) sameTime(f state.File) (bool, error) {
	var at time.Time
	err := s.retry(s.ctx, func(sess Remote) (_ bool, err error) {
		at, err = sess.ModTime(s.ctx, f.Path)
		return false, err
	})
	if isFatal(err) || s.ctx.Err() != nil {
		return false, err
	}
	return err == nil && at.Equal(f.MDTM), nil
}

// unchanged compares what two listings said, as exactly as the vaguer one can.
// A listing that tells neither size nor time proves nothing. loc is the zone in
// which the listing's days begin.
func unchanged(a, b state.File, loc *time.Location) bool {
	sizes := a.Size >= 0 && b.Size >= 0
	times := a.TimePrecision != 0 && b.TimePrecision != 0
	if sizes && a.Size != b.Size {
		return false
	}
	if !times {
		return sizes
	}
	p := max(a.TimePrecision, b.TimePrecision)
	return cut(a.ModTime.In(loc), p).Equal(cut(b.ModTime.In(loc), p))
}

// cut drops what lies below a precision.
func cut(t time.Time, p time.Duration) time.Time {
	if p < 24*time.Hour {
		return t.Truncate(p)
	}
	return time.Date(t.Year(), t.Month(), t.Day(), 0, 0, 0, 0, t.Location())
}

func location(s Source) *time.Location {
	if s.Location == nil {
		return time.UTC
	}
	return s.Location
}

func precision(p listing.Precision) time.Duration {
	switch p {
	case listing.Second:
		return time.Second
	case listing.Minute:
		return time.Minute
	case listing.Day:
		return 24 * time.Hour
	}
	return 0
}
