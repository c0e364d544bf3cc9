package ftpbridge

import (
	"encoding/json"
	"sync"
	"time"

	"gateway/state"
)

// MaxReportItems is how many files each list of a report names. The counts
// beside the lists are of all.
const MaxReportItems = 10_000

// Report is what a run did and what is left to do.
type Report struct {
	Job         int64     `json:"job"`              // of the ledger
	Action      string    `json:"action,omitempty"` // "" of Migrate, ActionPush of Push
	Source      string    `json:"source"`
	Destination string    `json:"destination"`
	Started     time.Time `json:"started"`
	Finished    time.Time `json:"finished"`
	Seconds     float64   `json:"seconds"`
	Error       string    `json:"error,omitempty"`  // what ended the run early
	Policy      string    `json:"policy,omitempty"` // digest of the policy file, "sha256:" and hex; "" without a policy
	Warnings    []string  `json:"warnings,omitempty"`

	Folders   int64 `json:"folders"`
	Found     Tally `json:"found"`     // files on the source, with the sizes that it lists
	Filtered  Tally `json:"filtered"`  // further files that the filters leave out, of the folders that were walked
	Unchanged Tally `json:"unchanged"` // published by an earlier run, nothing to do
	Published Tally `json:"published"` // by this run
	Verdicts  Count `json:"verdicts,omitempty"`
	Pending   Tally `json:"pending"` // not finished: the run ended early

	FetchedBytes int64 `json:"fetchedBytes"`        // file contents that came over the network
	SentBytes    int64 `json:"sentBytes,omitempty"` // by Push, over the network
	Deleted      int64 `json:"deleted,omitempty"`   // by Push: files of the folder that were sent
	ResumedFiles int64 `json:"resumedFiles"`        // went on from where an earlier try had stopped
	SavedBytes   int64 `json:"savedBytes"`          // that were not fetched again because of it
	Retries      int64 `json:"retries"`
	Gone         int64 `json:"gone"` // unfinished files that are no longer on the source

	Quarantined List `json:"quarantined"` // now, also by earlier runs
	Rejected    List `json:"rejected"`
	Failed      List `json:"failed"`
	Suspect     List `json:"suspect"` // published, and a newer manifest speaks against it
	Unread      List `json:"unread"`  // folders that could not be listed, and lines of listings that gave no name
	Skipped     List `json:"skipped"` // links and other things that are no files
	Renamed     List `json:"renamed"` // published under another name than on the source

	Timeline     Timeline    `json:"timeline"`
	Sizes        []SizeClass `json:"sizes,omitempty"` // of the files on the source, by size
	UnknownSizes int64       `json:"unknownSizes"`    // files whose size the source does not list
	Slowest      []SlowFile  `json:"slowest,omitempty"`

	JobReport
}

// Count maps a verdict to a number of files.
type Count map[string]int64

// Tally is a number of files and their bytes.
type Tally struct {
	Files int64 `json:"files"`
	Bytes int64 `json:"bytes"`
}

func (t *Tally) add(bytes int64) {
	t.Files++
	t.Bytes += max(bytes, 0)
}

// List names things and says why they are on it.
type List struct {
	Total int64  `json:"total"`
	Bytes int64  `json:"bytes,omitempty"`
	Items []Item `json:"items,omitempty"` // the first MaxReportItems
}

// Item is one thing on a List.
type Item struct {
	Path    string `json:"path"`             // on the source, escaped where it is not printable
	Target  string `json:"target,omitempty"` // in the destination
	Size    int64  `json:"size,omitempty"`
	Verdict string `json:"verdict,omitempty"`
	Reason  string `json:"reason"`
	Retry   bool   `json:"retry,omitempty"` // may work by itself another time
}

func (l *List) add(i Item) {
	l.Total++
	l.Bytes += max(i.Size, 0)
	if len(l.Items) < MaxReportItems {
		l.Items = append(l.Items, i)
	}
}

// Complete reports whether everything on the source is published: nothing
// failed, is in quarantine, is suspect or was not read, be it a single line of a listing,
// which may have been a file. Skipped and rejected things do not count against it.
func (r Report) Complete() bool {
	return r.JobReport.complete() && r.Error == "" && r.Failed.Total == 0 && r.Quarantined.Total == 0 && r.Suspect.Total == 0 && r.Unread.Total == 0 && r.Pending.Files == 0
}

// JSON is the report for programs, indented, with a final newline.
func (r Report) JSON() ([]byte, error) {
	b, err := json.MarshalIndent(r, "", "  ")
	return append(b, '\n'), err
}

// Visible is text for people with everything escaped that is not printable, such
// as control characters and marks that turn the direction of writing. Escapes
// that are in it already, as in the paths of a Report, stay as they are.
func Visible(text string) string { return shownText(text) }

// EventKind says what an Event is about.
type EventKind string

// The events of a run, in the order of a file's life.
const (
	EventWalked   EventKind = "walked"   // Files, Bytes: found so far
	EventPlanned  EventKind = "planned"  // Files, Bytes: all that will be looked at
	EventStarted  EventKind = "started"  // a transfer begins at Offset
	EventBytes    EventKind = "bytes"    // Offset is reached
	EventFinished EventKind = "finished" // Phase, Verdict, Reason
)

// Event is one step of a run.
type Event struct {
	Kind    EventKind   `json:"event"`
	Action  string      `json:"action,omitempty"` // as in Report
	Path    string      `json:"path,omitempty"`   // as people see it
	Size    int64       `json:"size,omitempty"`   // -1: unknown
	Offset  int64       `json:"offset,omitempty"`
	Phase   state.Phase `json:"phase,omitempty"`
	Verdict string      `json:"verdict,omitempty"`
	Reason  string      `json:"reason,omitempty"`
	Files   int64       `json:"files,omitempty"`
	Bytes   int64       `json:"bytes,omitempty"`
}

// progress guards the report while workers run, and passes events on.
type progress struct {
	mu     sync.Mutex
	report *Report
	tell   func(Event)
}

func (p *progress) update(change func(*Report)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	change(p.report)
}

func (p *progress) retried() { p.update(func(r *Report) { r.Retries++ }) }

func (p *progress) event(e Event) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.tell != nil {
		p.tell(e)
	}
}
