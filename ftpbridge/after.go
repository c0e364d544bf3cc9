package ftpbridge

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"gateway/listing"
	"gateway/state"
)

const (
	disposeBatch  = 256    // files whose intent is written at once
	maxMoveNumber = 10_000 // names that are tried for a file that is moved
	maxMoveLists  = 64     // folders whose names are remembered at once
)

// dispose deletes or moves the files on the source that are published: those of
// this run, and those of earlier ones that it found unchanged. What is to be done
// is written down before it is done, so that a file which a killed run took off
// the source is never believed to have vanished.
//
// Manifests and signatures stay until all that they may speak of is published.
func (r *run) dispose(ctx context.Context) error {
	if r.After.Action == KeepSource {
		return nil
	}
	if r.report.Suspect.Total > 0 {
		r.report.Warnings = append(r.report.Warnings, "nothing was deleted or moved on the source: a newer manifest speaks against published files")
		return nil
	}
	if err := r.disposeOf(ctx, func(f state.File) bool { return !r.isEvidence(f) }); err != nil {
		return err
	}
	if r.Policy == nil {
		return nil
	}
	counts, err := r.store.Counts(ctx, r.job.ID)
	if err != nil {
		return fatal(err)
	}
	for _, p := range open() {
		if counts[p].Files > 0 {
			return nil
		}
	}
	return r.disposeOf(ctx, r.isEvidence)
}

func (r *run) isEvidence(f state.File) bool {
	return r.Policy != nil && r.Policy.IsEvidence(subject(f, r.Folder, nil).Path)
}

// disposeOf disposes of some of the files, on as many sessions as are allowed.
func (r *run) disposeOf(ctx context.Context, which func(state.File) bool) error {
	lines := make(chan state.File)
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error {
		defer close(lines)
		return r.intend(ctx, lines, which)
	})
	for range r.Source.connections() {
		g.Go(func() error {
			for f := range lines {
				if err := r.disposeFile(ctx, f); err != nil {
					return err
				}
			}
			return nil
		})
	}
	return g.Wait()
}

// intend writes down what is to be done with each file, a batch at a time.
func (r *run) intend(ctx context.Context, lines chan<- state.File, which func(state.File) bool) error {
	m := &mover{run: r, taken: map[string]map[string]bool{}}
	var batch []state.File
	flush := func() error {
		if err := r.store.PutFiles(ctx, batch...); err != nil {
			return fatal(err)
		}
		for _, f := range batch {
			select {
			case lines <- f:
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		batch = batch[:0]
		return nil
	}
	for f, err := range r.store.Files(ctx, r.job.ID, state.Published) {
		if err != nil {
			return fatal(err)
		}
		if !f.Seen.Equal(r.start) || f.After != "" || !which(f) {
			continue
		}
		why, err := r.safe(ctx, f)
		if err == nil && why == "" {
			f.After, err = m.intent(ctx, f.Path)
		}
		if err != nil {
			if isFatal(err) || ctx.Err() != nil {
				return err
			}
			why = plain(err)
		}
		if why != "" {
			r.notDisposed(f, why)
			continue
		}
		if batch = append(batch, f); len(batch) == disposeBatch {
			if err := flush(); err != nil {
				return err
			}
		}
	}
	return flush()
}

// safe says why a file must stay on the source, "" if it need not: the destination
// has the bytes that are on record. What this run published it has just written.
func (r *run) safe(ctx context.Context, f state.File) (why string, err error) {
	pub, err := r.ours(ctx, f)
	if err != nil {
		return "", err
	}
	if pub == nil {
		return "there is no record of its publication", nil
	}
	info, err := r.Dest.Stat(ctx, f.Target)
	same := err == nil && info.Size == pub.Size && !info.IsDir()
	if errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	if same && pub.Published.Before(r.start) {
		same, _, err = sameBytes(ctx, r.Dest, f.Target, pub.Size, pub.SHA256, nil)
	}
	if err == nil && !same {
		return "what was published of it is not in the destination any more", nil
	}
	return "", err
}

func (r *run) notDisposed(f state.File, why string) {
	r.progress.update(func(rep *Report) {
		rep.NotDisposed.add(Item{Path: printable(r.shownPath(f)), Target: f.Target, Size: max(f.Size, 0), Reason: why})
	})
}

// errVersions is for OpenVMS, where a file that goes uncovers its version before,
// which the next run would take for a change.
var errVersions = errors.New("OpenVMS keeps older versions of files, and one would take its place; remove it there with all its versions")

// disposeFile does what the line says. Its error ends the run.
func (r *run) disposeFile(ctx context.Context, f state.File) error {
	err := r.retry(ctx, func(s Remote) (bool, error) {
		if s.Info().Dialect == (vmsDialect{}).name() {
			return false, errVersions
		}
		there, err := r.stillThere(ctx, s, f)
		if err != nil || !there {
			return false, err // not there: done by the try before, or by somebody else
		}
		if to, ok := strings.CutPrefix(f.After, movePrefix); ok {
			return false, s.Rename(ctx, f.Path, to)
		}
		return false, s.Remove(ctx, f.Path)
	})
	switch {
	case err == nil:
		r.progress.update(func(rep *Report) { rep.Disposed.add(f.Size) })
		return nil
	case isFatal(err) || ctx.Err() != nil:
		return err
	}
	r.notDisposed(f, plain(err))
	f.After = "" // it is still there
	return fatal(r.store.PutFiles(ctx, f))
}

// stillThere asks whether a file is on the source, and fails with errChanged if it
// is not the one that was fetched.
func (r *run) stillThere(ctx context.Context, s Remote, f state.File) (bool, error) {
	size, err := s.Size(ctx, f.Path)
	switch {
	case err == nil && f.Size >= 0 && size != f.Size:
		return false, fmt.Errorf("%w: its size was %d and is %d bytes", errChanged, f.Size, size)
	case err != nil && !errors.Is(err, ErrUnsupported):
		if s.Broken() || Temporary(err) {
			return false, err
		}
		return r.listed(ctx, s, f)
	}
	want, exact := f.MDTM, !f.MDTM.IsZero()
	if !exact && f.TimePrecision == time.Second {
		want = f.ModTime // as listings of facts give it; others differ by their zone, perhaps
	}
	if want.IsZero() {
		return r.listed(ctx, s, f)
	}
	at, err := s.ModTime(ctx, f.Path)
	switch {
	case err == nil && at.Equal(want):
		return true, nil
	case err == nil && exact:
		return false, fmt.Errorf("%w: its time was %s and is %s", errChanged, want.Format(time.RFC3339), at.Format(time.RFC3339))
	case err != nil && (s.Broken() || Temporary(err)):
		return false, err
	}
	return r.listed(ctx, s, f)
}

// listed is stillThere by the listing of the file's folder.
func (r *run) listed(ctx context.Context, s Remote, f state.File) (bool, error) {
	dir, name := splitRaw(f.Path)
	res, err := s.List(ctx, dir)
	if err != nil {
		return false, err
	}
	for _, e := range res.Entries {
		if e.RawName != name {
			continue
		}
		now := f
		if e.Type == listing.Link {
			return false, fmt.Errorf("%w: it is a link, whose size and time are not those of the file", errRefused)
		}
		describeEntry(&now, e)
		if !unchanged(f, now, location(r.Source)) {
			return false, fmt.Errorf("%w: its folder lists another size or time", errChanged)
		}
		return true, nil
	}
	return false, nil
}

// splitRaw cuts a path of the source into folder and name.
func splitRaw(path string) (dir, name string) {
	return parent(path), path[strings.LastIndexByte(path, '/')+1:]
}

// movePrefix begins the After of a line whose file is moved; the new path follows.
const movePrefix = "move "

// mover finds names for files that are moved on the source.
type mover struct {
	*run
	taken map[string]map[string]bool // folder -> the names in it, in lower case
}

// intent is what is to be done with the file at path, as File.After keeps it.
func (m *mover) intent(ctx context.Context, path string) (string, error) {
	if m.After.Action == DeleteSource {
		return string(DeleteSource), nil
	}
	root, err := listing.Encode(m.After.Folder, m.Source.Charset)
	if err != nil {
		return "", err
	}
	dir, name := splitRaw(string(root) + "/" + path)
	taken, err := m.namesIn(ctx, dir)
	if err != nil {
		return "", fmt.Errorf("the folder that it is to be moved to: %w", err)
	}
	free := name
	for i := 1; taken[strings.ToLower(free)]; i++ {
		if i == maxMoveNumber {
			return "", fmt.Errorf("%w: %d files of its name are there already", fs.ErrExist, i)
		}
		// A number must not give it the name of a file beside it, which is moved too.
		numbered := fmt.Sprintf("%s.%d", name, i)
		_, err := m.store.GetFile(ctx, m.job.ID, path[:len(path)-len(name)]+numbered)
		if err != nil && !errors.Is(err, state.ErrNotFound) {
			return "", fatal(err)
		}
		if err != nil {
			free = numbered
		}
	}
	taken[strings.ToLower(free)] = true
	return movePrefix + dir + "/" + free, nil
}

// namesIn lists a folder on the source, which is made if it is missing.
func (m *mover) namesIn(ctx context.Context, dir string) (map[string]bool, error) {
	if names := m.taken[dir]; names != nil {
		return names, nil
	}
	var res listing.Result
	err := m.retry(ctx, func(s Remote) (_ bool, err error) {
		if res, err = s.List(ctx, dir); err == nil || passing(ctx, err) {
			return false, err
		}
		for i := range len(dir) + 1 {
			if i < len(dir) && dir[i] != '/' {
				continue
			}
			if err := s.MakeDir(ctx, dir[:i]); err != nil && !errors.Is(err, fs.ErrExist) {
				return false, err
			}
		}
		res, err = s.List(ctx, dir)
		return false, err
	})
	if err != nil {
		return nil, err
	}
	if len(m.taken) >= maxMoveLists {
		clear(m.taken)
	}
	names := make(map[string]bool, len(res.Entries))
	for _, e := range res.Entries {
		names[strings.ToLower(e.RawName)] = true
	}
	m.taken[dir] = names
	return names, nil
}
