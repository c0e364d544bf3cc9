package ftpbridge

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"gateway/state"
	"gateway/storage"
)

// maxTidied bounds how many folders are looked at that may have become empty.
const maxTidied = 10_000

// removeExtra removes from the destination what this job published and what is no
// longer on the source. Each step can be cut off: the next run finds the same
// files again.
func (r *run) removeExtra(ctx context.Context) error {
	if r.DeleteExtra == KeepExtra {
		return nil
	}
	onSource := func(f state.File) bool { return f.Seen.Equal(r.start) }
	found, err := r.planRemoval(ctx, onSource)
	if err != nil || found.List.Total == 0 {
		return err
	}
	if r.ConfirmRemoval != nil {
		if r.report.ExtraRefused, err = r.ConfirmRemoval(ctx, found); err != nil || r.report.ExtraRefused != "" {
			return err
		}
	}
	emptied := map[string]string{} // folders in the destination, and on the source
	for f, err := range r.extra(ctx, onSource) {
		if err != nil {
			return err
		}
		removed, err := r.removeFile(ctx, f)
		if err != nil {
			return err
		}
		if removed && len(emptied) < maxTidied {
			emptied[parent(f.Target)] = parent(f.Path)
		}
	}
	return r.tidy(ctx, emptied)
}

// planRemoval finds what removeExtra would remove, and refuses for the whole run
// where the source may only look as if files were gone.
func (r *run) planRemoval(ctx context.Context, onSource func(state.File) bool) (Removal, error) {
	var found Removal
	for f, err := range r.store.Files(ctx, r.job.ID, state.Published) {
		if err != nil {
			return found, fatal(err)
		}
		if f.After == "" && onSource(f) {
			found.Known++
		}
	}
	for f, err := range r.extra(ctx, onSource) {
		if err != nil {
			return found, err
		}
		found.Known++
		found.List.add(r.extraItem(f, "it is no longer on the source"))
	}
	switch gone := found.List.Total; {
	case gone == 0:
		return found, nil
	case r.report.Unread.Total > 0:
		r.report.ExtraRefused = "not all of the source could be read, and what is there may be in what was not"
	case 2*gone > found.Known && r.DeleteExtra != ForceExtra:
		r.report.ExtraRefused = fmt.Sprintf("%d of %d files are gone from the source, more than half; if that is right, allow it (--delete-extra=force)", gone, found.Known)
	default:
		if r.DryRun {
			r.report.Plan.Remove = found.List
		}
		return found, nil
	}
	return Removal{}, nil
}

// extra yields the lines of files that have a version of this job in the
// destination and are gone from the source. Those that the job itself took off the
// source are not among them, nor those that an operator has to decide on.
func (r *run) extra(ctx context.Context, onSource func(state.File) bool) func(func(state.File, error) bool) {
	phases := append(open(), state.Published)
	return func(yield func(state.File, error) bool) {
		for f, err := range r.store.Files(ctx, r.job.ID, phases...) {
			if err != nil {
				yield(f, fatal(err))
				return
			}
			if f.After != "" || f.Target == "" || onSource(f) || r.inMoved(f) {
				continue
			}
			pub, err := r.ours(ctx, f)
			if err != nil {
				yield(f, err)
				return
			}
			if pub == nil || f.Phase == state.Quarantined {
				continue
			}
			if !yield(f, nil) {
				return
			}
		}
	}
}

// inMoved reports whether a file is in the folder that files are moved to, which
// the walk leaves out.
func (r *run) inMoved(f state.File) bool {
	return r.After.Action == MoveSource && strings.HasPrefix(r.shownPath(f), r.After.Folder+"/")
}

func (r *run) extraItem(f state.File, reason string) Item {
	return Item{Path: printable(r.shownPath(f)), Target: f.Target, Size: max(f.Size, 0), Reason: reason}
}

// removeFile removes the version that this job published, and no other.
func (r *run) removeFile(ctx context.Context, f state.File) (removed bool, err error) {
	keep := func(reason string) (bool, error) {
		r.progress.update(func(rep *Report) { rep.KeptExtra.add(r.extraItem(f, reason)) })
		return false, nil
	}
	pub, err := r.ours(ctx, f)
	if err != nil || pub == nil {
		return false, err
	}
	same, info, err := sameBytes(ctx, r.Dest, f.Target, pub.Size, pub.SHA256, nil)
	gone := err == nil && info.ETag == ""
	switch {
	case isFatal(err) || ctx.Err() != nil:
		return false, err
	case err != nil:
		return keep("it cannot be read in the destination: " + plain(err))
	case !gone && !same:
		return keep("it was changed in the destination since it was published")
	case !gone:
		// The name could have got another file since its bytes were read.
		if now, err := r.Dest.Stat(ctx, f.Target); err == nil && now.ETag != info.ETag {
			return keep("it was changed in the destination just now")
		}
		if err := r.Dest.Remove(ctx, f.Target); err != nil && !errors.Is(err, fs.ErrNotExist) {
			if ctx.Err() != nil {
				return false, err
			}
			return keep("it cannot be removed from the destination: " + plain(err))
		}
	}
	if err := r.discard(ctx, f); err != nil {
		return false, err
	}
	f.Token, f.Offset, f.Retry, f.Updated = "", 0, false, r.now()
	f.Reason = "it is no longer on the source"
	if err := r.store.Withdraw(ctx, f, pub.Target, f.Updated); err != nil {
		return false, fatal(err)
	}
	f.Phase = state.Removed
	r.progress.update(func(rep *Report) { rep.Removed.add(r.extraItem(f, f.Reason)) })
	r.tellFinished(f)
	return true, nil
}

// tidy removes folders that became empty and are gone from the source too.
func (r *run) tidy(ctx context.Context, emptied map[string]string) error {
	var targets []string
	for target := range emptied {
		targets = append(targets, target)
	}
	slices.Sort(targets)
	slices.Reverse(targets) // what is inside comes before the folder
	for _, target := range targets {
		for dir := emptied[target]; dir != "" && target != r.Folder; dir, target = parent(dir), parent(target) {
			empty, err := r.isEmpty(ctx, target)
			if err != nil || !empty {
				break
			}
			_, err = retryingLister{r}.List(ctx, dir)
			if isFatal(err) || ctx.Err() != nil {
				return err
			}
			if err == nil || Temporary(err) {
				break
			}
			if err := r.Dest.Remove(ctx, target); err != nil && !errors.Is(err, storage.ErrNotEmpty) && !errors.Is(err, fs.ErrNotExist) {
				r.Logger.Warn("migrate: an empty folder could not be removed", "folder", printable(target), "error", err)
				break
			}
		}
	}
	return ctx.Err()
}

func (r *run) isEmpty(ctx context.Context, dir string) (bool, error) {
	for _, err := range r.Dest.List(ctx, dir) {
		return false, err
	}
	return true, nil
}
