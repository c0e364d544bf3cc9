package ftpbridge

import (
	"context"
	"errors"
	"hash/maphash"
	"io/fs"
	"slices"
	"time"

	"gateway/state"
	"gateway/storage"
)

// seen is a file that a walk without consequences met.
type seen struct {
	now   state.File // as its line would be; Failed, with a reason, if it can have no name
	old   state.File // as its line is; its Path is "" if it has none
	same  bool       // it did not change since old
	there bool       // and it is in the destination
}

// lookAt ends a batch of a walk without consequences.
func (s *scanner) lookAt(known map[string]state.File) error {
	for _, f := range s.batch {
		l := seen{now: f, old: known[f.Path]}
		var err error
		if l.old.Target != "" && l.old.Phase != state.Removed {
			l.now.Target = l.old.Target
			if l.same, _, err = s.sameFile(l.old, f); err == nil && l.same && l.old.Phase == state.Published {
				l.there, err = s.inDestination(l.old)
			}
		} else {
			l.now, err = s.claim(f)
		}
		if err == nil {
			err = s.look(l)
		}
		if err != nil {
			return err
		}
	}
	s.endBatch()
	return nil
}

// makeFolder makes a folder in the destination, or looks whether it could be made.
func (s *scanner) makeFolder(target string) error {
	if s.look == nil {
		return storage.MkdirAll(s.ctx, s.Dest, target)
	}
	info, err := s.Dest.Stat(s.ctx, target)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err == nil && !info.IsDir():
		return storage.ErrNotDir
	}
	return err
}

// nameSet remembers names by a hash of 64 bits: 8 bytes for each, so that the
// names of ten million files take 80 MB. Two of so many share a hash once in
// 400,000 sets; what is asked for then seems to be in the set.
type nameSet struct {
	seed   maphash.Seed
	hashes []uint64
	sorted bool
}

func newNameSet() *nameSet { return &nameSet{seed: maphash.MakeSeed()} }

func (n *nameSet) add(name string) {
	n.hashes, n.sorted = append(n.hashes, maphash.String(n.seed, name)), false
}

func (n *nameSet) has(name string) bool {
	if !n.sorted {
		slices.Sort(n.hashes)
		n.sorted = true
	}
	_, ok := slices.BinarySearch(n.hashes, maphash.String(n.seed, name))
	return ok
}

// dryRun finds out what a run would do.
func (r *run) dryRun(ctx context.Context) error {
	r.report.Plan = &Plan{}
	names := newNameSet()
	err := r.scanInto(ctx, func(l seen) error {
		names.add(l.now.Path)
		return r.planFile(ctx, l)
	})
	if err != nil {
		return err
	}
	if r.DeleteExtra != KeepExtra {
		if _, err := r.planRemoval(ctx, func(f state.File) bool { return names.has(f.Path) }); err != nil {
			return err
		}
	}
	return r.estimate(ctx)
}

func (r *run) planFile(ctx context.Context, l seen) error {
	p := r.report.Plan
	f := l.now
	item := Item{Path: printable(r.shownPath(f)), Target: f.Target, Size: max(f.Size, 0)}
	open := l.old.Path != "" && l.same
	var refused error
	switch {
	case f.Target == "":
		refused = errors.New(f.Reason)
	case l.there:
		r.report.Unchanged.add(f.Size)
		r.planDisposal(f)
		return nil
	case open && l.old.Phase == state.Quarantined:
		p.Again.add(f.Size)
		return nil
	case open && l.old.Phase == state.Rejected:
		item.Reason = "an operator rejected it"
		r.report.Rejected.add(item)
		return nil
	case f.Size > r.MaxFileSize:
		refused = ErrTooLarge
	default:
		if refused = r.mayPublish(ctx, f); isFatal(refused) || ctx.Err() != nil {
			return refused
		}
	}
	if refused != nil {
		item.Reason = plain(refused)
		p.Refused.add(item)
		return nil
	}
	switch {
	case l.old.Path == "":
		item.Reason = "new"
	case l.same && l.old.Phase == state.Published:
		item.Reason = "no longer in the destination"
	case !l.same:
		item.Reason = "changed"
	case l.old.Offset > 0 && !r.NoResume:
		item.Reason = "begun: " + size(l.old.Offset) + " are there"
		item.Size = max(item.Size-l.old.Offset, 0)
	default:
		item.Reason = "not finished"
	}
	if f.Size < 0 {
		p.Sizes++
	}
	p.Fetch.add(item)
	r.planDisposal(f)
	return nil
}

func (r *run) planDisposal(f state.File) {
	if r.After.Action != KeepSource {
		r.report.Plan.Dispose.add(f.Size)
	}
}

// shortestMeasure is how long a run must have fetched for its rate to mean anything.
const shortestMeasure = 100 * time.Millisecond

// estimate judges by the latest run that fetched something. A file costs a number
// of round trips and its bytes; whichever of the two would take longer counts.
func (r *run) estimate(ctx context.Context) error {
	runs, err := r.store.Runs(ctx, r.job.ID)
	if err != nil {
		return err
	}
	p := r.report.Plan
	for _, run := range runs {
		if run.Published == 0 || run.FetchedBytes == 0 || run.Fetching < shortestMeasure {
			continue
		}
		took := run.Fetching.Seconds()
		p.Estimate = &Estimate{
			Seconds: max(float64(p.Fetch.Total)*took/float64(run.Published), float64(p.Fetch.Bytes)*took/float64(run.FetchedBytes)),
			Run:     run.Started, Files: run.Published, Bytes: run.FetchedBytes, Took: took,
		}
		return nil
	}
	return nil
}
