package ftpbridge

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"

	"golang.org/x/sync/errgroup"

	"gateway/state"
	"gateway/storage"
)

// VerdictSame is the Verdict of the event of a file that is the same on both sides.
const VerdictSame = "the same"

// compareAll fetches every file of the source and holds its bytes against those in
// the destination, and then looks for what is only there.
func (r *run) compareAll(ctx context.Context) error {
	r.report.Comparison = &Comparison{}
	names := newNameSet()
	files := make(chan seen)
	g, gctx := errgroup.WithContext(ctx)
	g.Go(func() error {
		defer close(files)
		return r.scanInto(gctx, func(l seen) error {
			if l.now.Target == "" {
				r.different(l.now, &r.report.Comparison.Missing, l.now.Reason)
				return nil
			}
			names.add(l.now.Target)
			select {
			case files <- l:
				return nil
			case <-gctx.Done():
				return gctx.Err()
			}
		})
	})
	for range r.Source.connections() {
		g.Go(func() error {
			for l := range files {
				if err := r.compareFile(gctx, l); err != nil {
					return err
				}
			}
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return err
	}
	return r.findExtra(ctx, names)
}

// different puts a file on a list of the report.
func (r *run) different(f state.File, list *List, reason string) {
	r.progress.update(func(*Report) {
		list.add(Item{Path: printable(r.shownPath(f)), Target: f.Target, Size: max(f.Size, 0), Reason: reason})
	})
	f.Phase, f.Reason = state.Failed, reason
	r.tellFinished(f)
}

// compareFile compares one file. Its error ends the run.
func (r *run) compareFile(ctx context.Context, l seen) error {
	c, f := r.report.Comparison, l.now
	ours, err := r.sumOfTarget(ctx, f.Target)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, storage.ErrIsDir) {
		reason := "it is not there"
		if l.old.Phase == state.Quarantined {
			reason = "it is in quarantine: " + l.old.Reason
		}
		r.different(f, &c.Missing, reason)
		return nil
	}
	var theirs summed
	if err == nil {
		r.progress.event(Event{Kind: EventStarted, Path: r.pathOf(f), Size: f.Size})
		err = r.retry(ctx, func(s Remote) (_ bool, err error) {
			theirs, err = r.sumOfSource(ctx, s, f)
			return false, err
		})
	}
	switch {
	case err != nil && (isFatal(err) || ctx.Err() != nil):
		return err
	case err != nil:
		r.different(f, &r.report.Failed, plain(err))
	case ours != theirs:
		r.different(f, &c.Different, fmt.Sprintf("%d bytes with SHA-256 %x on the source, %d with %x in the destination",
			theirs.size, theirs.sum, ours.size, ours.sum))
	default:
		r.progress.update(func(*Report) { c.Same.add(ours.size) })
		f.Phase, f.Verdict, f.Reason = state.Published, VerdictSame, ""
		r.tellFinished(f)
	}
	return nil
}

// summed is what all bytes of a file come to.
type summed struct {
	size int64
	sum  [sha256.Size]byte
}

func sumOf(r io.Reader) (s summed, err error) {
	h := sha256.New()
	s.size, err = io.CopyBuffer(struct{ io.Writer }{h}, r, make([]byte, fetchBuffer))
	h.Sum(s.sum[:0])
	return s, err
}

func (r *run) sumOfTarget(ctx context.Context, name string) (summed, error) {
	file, err := r.Dest.Open(ctx, name)
	if err != nil {
		return summed{}, err
	}
	s, err := sumOf(storage.Reader(ctx, file))
	return s, errors.Join(err, file.Close())
}

func (r *run) sumOfSource(ctx context.Context, s Remote, f state.File) (summed, error) {
	rc, err := s.Fetch(ctx, f.Path, 0)
	if err != nil {
		return summed{}, err
	}
	sum, err := sumOf(io.LimitReader(rc, r.MaxFileSize+1))
	r.progress.update(func(rep *Report) { rep.FetchedBytes += sum.size })
	if err == nil && sum.size > r.MaxFileSize {
		return sum, errors.Join(fmt.Errorf("%w: more than %d bytes came", ErrTooLarge, r.MaxFileSize), rc.Close())
	}
	if cerr := rc.Close(); err == nil {
		err = cerr
	}
	return sum, err
}

// findExtra lists what is in the destination and not on the source.
func (r *run) findExtra(ctx context.Context, names *nameSet) error {
	if r.filtered() {
		return nil // it may be what was left out
	}
	for e, err := range storage.Walk(ctx, r.Dest, r.Folder) {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
		if e.IsDir() || names.has(e.Name) {
			continue
		}
		path := e.Name
		if r.Folder != "" {
			path = strings.TrimPrefix(path, r.Folder+"/")
		}
		r.progress.update(func(rep *Report) {
			rep.Comparison.Extra.add(Item{Path: printable(path), Target: e.Name, Size: e.Size, Reason: "it is not on the source"})
		})
	}
	return nil
}
