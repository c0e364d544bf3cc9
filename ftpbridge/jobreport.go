package ftpbridge

import (
	"fmt"
	"time"

	"github.com/dustin/go-humanize"
)

// JobReport is the part of a report that is about more than fetching.
type JobReport struct {
	Removed      List   `json:"removed"`                // from the destination: gone from the source
	KeptExtra    List   `json:"keptExtra"`              // gone from the source, and not removed
	ExtraRefused string `json:"extraRefused,omitempty"` // why nothing was removed though it was asked for
	Disposed     Tally  `json:"disposed"`               // published files that were deleted or moved on the source
	NotDisposed  List   `json:"notDisposed"`            // published files that should have been

	Plan       *Plan       `json:"plan,omitempty"`       // of a dry run
	Comparison *Comparison `json:"comparison,omitempty"` // of a comparison of checksums
}

// Plan is what a run would do.
type Plan struct {
	Fetch   List  `json:"fetch"`   // new or changed, or not finished; with what is left of each
	Again   Tally `json:"again"`   // in quarantine: judged again, not fetched
	Refused List  `json:"refused"` // could not be published
	Remove  List  `json:"remove"`  // from the destination
	Dispose Tally `json:"dispose"` // on the source, if all that is fetched is published
	Sizes   int64 `json:"unknownSizes"`

	Estimate *Estimate `json:"estimate,omitempty"` // nil: nothing was measured yet
}

// Estimate is how long fetching may take, judged by an earlier run of the job.
type Estimate struct {
	Seconds float64   `json:"seconds"`
	Run     time.Time `json:"run"` // when that run began
	Files   int64     `json:"files"`
	Bytes   int64     `json:"bytes"`
	Took    float64   `json:"took"` // in seconds
}

// Comparison is how the bytes of the source and of the destination differ.
type Comparison struct {
	Same      Tally `json:"same"`
	Different List  `json:"different"`
	Missing   List  `json:"missing"` // not in the destination
	Extra     List  `json:"extra"`   // only in the destination
}

// Equal reports whether both hold the same files with the same bytes.
func (c *Comparison) Equal() bool {
	return c.Different.Total == 0 && c.Missing.Total == 0 && c.Extra.Total == 0
}

func (j JobReport) complete() bool {
	return j.ExtraRefused == "" && j.NotDisposed.Total == 0 && (j.Comparison == nil || j.Comparison.Equal())
}

func (j JobReport) tallies(t *textWriter) {
	if j.Removed.Total > 0 {
		t.total("removed", j.Removed)
	}
	if j.Disposed.Files > 0 {
		t.tally("off the source", j.Disposed)
	}
}

func (j JobReport) lists(t *textWriter) {
	if j.ExtraRefused != "" {
		t.line("")
		t.wrap("Nothing was removed: ", j.ExtraRefused)
	}
	t.list("Published, but not deleted or moved on the source", j.NotDisposed)
	t.list("Removed from the destination", j.Removed)
	t.list("Gone from the source, but kept in the destination", j.KeptExtra)
}

// inspection writes the report of a run that changed nothing.
func (r Report) inspection(t *textWriter) {
	if r.Plan != nil {
		t.line("What a migration of %s", r.Source)
		t.line("                 to %s would do; nothing was changed", r.Destination)
	} else {
		t.line("Comparison of %s", r.Source)
		t.line("         with %s; nothing was changed", r.Destination)
	}
	t.line("")
	t.tally("on the source", r.Found)
	if r.Plan != nil {
		r.plan(t)
	} else {
		r.comparison(t)
	}
	t.list("Not read: folders, and lines of listings", r.Unread)
	t.list("Skipped", r.Skipped)
	if r.Error != "" {
		t.line("")
		t.wrap("Stopped: ", r.Error)
	}
}

func (r Report) plan(t *textWriter) {
	p := r.Plan
	t.total("to fetch", p.Fetch)
	t.tally("unchanged", r.Unchanged)
	if p.Again.Files > 0 {
		t.tally("in quarantine", p.Again)
	}
	if p.Refused.Total > 0 {
		t.total("refused", p.Refused)
	}
	if p.Remove.Total > 0 {
		t.total("to remove", p.Remove)
	}
	if p.Dispose.Files > 0 {
		t.tally("off the source", p.Dispose)
	}
	t.wrap("  ", p.time())
	t.wrap("  ", "What the policy and manifests say of files is only known once they are fetched.")
	if r.ExtraRefused != "" {
		t.line("")
		t.wrap("Nothing would be removed: ", r.ExtraRefused)
	}
	t.list("Would be fetched", p.Fetch)
	t.list("Would be refused", p.Refused)
	t.list("Would be removed from the destination", p.Remove)
	t.list("Gone from the source, but would be kept in the destination", r.KeptExtra)
}

// time says how long it may take, and how that is known.
func (p *Plan) time() string {
	const round = 100 * time.Millisecond
	e := p.Estimate
	if p.Fetch.Total == 0 {
		return "Nothing has to be fetched."
	}
	if e == nil {
		return "How long it takes is not known: no run of this job has fetched anything yet, and nothing was fetched now to measure it."
	}
	s := fmt.Sprintf("Fetching takes about %v, at the rate of the run of %s: %s files with %s in %v.",
		time.Duration(e.Seconds*float64(time.Second)).Round(round), e.Run.UTC().Format(time.DateTime+" MST"),
		humanize.Comma(e.Files), size(e.Bytes), time.Duration(e.Took*float64(time.Second)).Round(round))
	if p.Sizes > 0 {
		s += fmt.Sprintf(" The sizes of %s files are not known and not in this.", humanize.Comma(p.Sizes))
	}
	return s
}

func (r Report) comparison(t *textWriter) {
	c := r.Comparison
	t.tally("the same", c.Same)
	t.total("different", c.Different)
	t.total("missing", c.Missing)
	t.total("extra", c.Extra)
	t.total("failed", r.Failed)
	t.transfer(r)
	t.line("")
	switch {
	case !r.Complete():
	case r.Filtered.Files > 0:
		t.wrap("", "What was compared is the same: every byte was read, and the SHA-256 are equal. The files that were left out were not compared.")
	default:
		t.wrap("", "Source and destination hold the same files: every byte of both was read, and the SHA-256 are equal.")
	}
	t.list("Different", c.Different)
	t.list("Not in the destination", c.Missing)
	t.list("Only in the destination", c.Extra)
	t.list("Could not be compared", r.Failed)
}
