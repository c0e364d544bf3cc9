package ftpbridge

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"gateway/listing"
	"gateway/state"
	"gateway/storage"
)

// AfterAction is what becomes of a file on the source once it is published.
type AfterAction string

// What can become of it.
const (
	KeepSource   AfterAction = "" // it stays
	DeleteSource AfterAction = "delete"
	MoveSource   AfterAction = "move"
)

// After says what becomes of a file on the source once it is published, durably
// and on record. Only a file that is still the one that was fetched is touched.
type After struct {
	Action AfterAction
	// Folder, of MoveSource only, is where files are moved to: a path below the
	// root of the source, in UTF-8, made if it is missing. A file keeps its path
	// below it and gets a number where a file of its name is there already. The
	// walk leaves the folder out.
	Folder string
}

// ParseAfter reads "keep", "delete" or "move:FOLDER". Its error wraps ErrOptions.
func ParseAfter(s string) (After, error) {
	action, folder, _ := strings.Cut(s, ":")
	switch {
	case s == "keep" || s == "":
		return After{}, nil
	case s == "delete":
		return After{Action: DeleteSource}, nil
	case action == "move":
		a := After{Action: MoveSource, Folder: strings.Trim(folder, "/")}
		return a, a.validate()
	}
	return After{}, fmt.Errorf("%w: %q is not keep, delete or move:FOLDER", ErrOptions, s)
}

// String is what ParseAfter reads.
func (a After) String() string {
	switch a.Action {
	case KeepSource:
		return "keep"
	case MoveSource:
		return "move:" + a.Folder
	}
	return string(a.Action)
}

func (a After) validate() error {
	switch a.Action {
	case KeepSource, DeleteSource:
		return nil
	case MoveSource:
		clean, err := storage.CleanName(a.Folder)
		if err != nil || clean == "" || clean != a.Folder {
			return fmt.Errorf("%w: move to %q: name a folder below the root of the source", ErrOptions, a.Folder)
		}
		return nil
	}
	return fmt.Errorf("%w: after %q", ErrOptions, a.Action)
}

// Extra says what becomes of files that a job published and that are no longer on
// the source.
type Extra string

// What can become of them.
const (
	KeepExtra   Extra = ""       // they stay
	RemoveExtra Extra = "remove" // they are removed, unless more than half of all files would be
	ForceExtra  Extra = "force"  // they are removed, however many they are
)

// Removal is what DeleteExtra is about to remove.
type Removal struct {
	List  List
	Known int64 // files of the job that are published, with those of List
}

// validateJob checks the options that are about more than fetching.
func (o MigrateOptions) validateJob() error {
	if err := o.After.validate(); err != nil {
		return err
	}
	switch o.DeleteExtra {
	case KeepExtra, RemoveExtra, ForceExtra:
	default:
		return fmt.Errorf("%w: delete extra %q", ErrOptions, o.DeleteExtra)
	}
	if _, err := listing.Encode(o.After.Folder, o.Source.Charset); err != nil {
		return fmt.Errorf("%w: move to %q: %w", ErrOptions, o.After.Folder, err)
	}
	if o.DeleteExtra != KeepExtra && o.filtered() {
		return fmt.Errorf("%w: files that are left out would look as if they were gone: not both a choice of files and their removal", ErrOptions)
	}
	if o.ChecksumOnly && (o.DryRun || o.After.Action != KeepSource || o.DeleteExtra != KeepExtra) {
		return fmt.Errorf("%w: a comparison of checksums changes nothing: not with a dry run, deleting or moving", ErrOptions)
	}
	return nil
}

// filtered reports whether a part of the source is left out on purpose.
func (o MigrateOptions) filtered() bool {
	return len(o.Include)+len(o.Exclude) > 0 || !o.Since.IsZero() || o.MaxDepth != 0
}

// keepRun writes down what became of the run, for the estimate of the next one and
// for schedules.
func (r *run) keepRun(ctx context.Context, err error, stopped bool) error {
	kept := runOf(r.report, err, stopped)
	kept.Job, kept.Fetching = r.job.ID, r.fetching
	return r.store.AddRun(ctx, kept)
}

// runOf is what the ledger keeps of the run that rep is the report of, which ended
// with err or was stopped.
func runOf(rep Report, err error, stopped bool) state.Run {
	kept := state.Run{
		Job: rep.Job, Started: rep.Started, Finished: rep.Finished, Result: state.Complete,
		Published: rep.Published.Files, Unchanged: rep.Unchanged.Files, Held: rep.Quarantined.Total,
		Failed: rep.Failed.Total, Removed: rep.Removed.Total, FetchedBytes: rep.FetchedBytes,
	}
	switch {
	case stopped:
		kept.Result = state.Interrupted
	case err != nil:
		kept.Result = state.Broken
	case !rep.Complete():
		kept.Result = state.Incomplete
	}
	if err != nil && !stopped { // else it only tells of the interruption in other words
		kept.Error = plain(err)
	}
	return kept
}

// findJob is the job of these options without making it; its ID is 0 where no run
// of it began yet.
func (r *run) findJob(ctx context.Context) error {
	r.job = state.Job{Source: r.Source.Redacted(), Destination: r.destination}
	for job, err := range r.store.Jobs(ctx) {
		if err != nil {
			return err
		}
		if job.Source == r.job.Source && job.Destination == r.job.Destination {
			r.job = job
			return nil
		}
	}
	return nil
}

// inspect is Migrate for DryRun and ChecksumOnly: it writes nothing anywhere, and
// so needs no claim either.
func (r *run) inspect(ctx context.Context) (Report, error) {
	r.baseURL = plainURL(r.Source)
	err := r.findJob(ctx)
	if err == nil {
		err = r.connect(ctx)
	}
	if err == nil {
		defer r.disconnect()
		if r.DryRun {
			err = r.dryRun(ctx)
		} else {
			err = r.compareAll(ctx)
		}
	}
	r.report.Finished = r.now().UTC()
	r.report.Seconds = r.report.Finished.Sub(r.start).Seconds()
	if err != nil {
		r.report.Error = plain(err)
		if ctx.Err() != nil {
			r.report.Error = "it was interrupted"
		}
		return r.report, fmt.Errorf("migrate %s to %s: %w", r.job.Source, r.destination, err)
	}
	return r.report, nil
}

// errRefused is for what an option asked for and would not be safe.
var errRefused = errors.New("refused")

// timeFetching measures how long fn fetches.
func (r *run) timeFetching(fn func() error) error {
	began := time.Now()
	defer func() { r.fetching += time.Since(began) }()
	return fn()
}
