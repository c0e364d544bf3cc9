package ftpbridge

import (
	"io"
	"time"
)

// ActionPush is the Action of a report of Push; that of Migrate has none.
const ActionPush = "push"

// writePush writes the report of a push for people.
func (r Report) writePush(w io.Writer) error {
	t := &textWriter{}
	t.line("Push of %s", r.Source)
	t.line("     to %s", r.Destination)
	t.line("")
	t.tally("in the folder", r.Found)
	t.tally("sent", r.Published)
	t.tally("unchanged", r.Unchanged)
	t.total("failed", r.Failed)
	if r.Pending.Files > 0 {
		t.tally("not finished", r.Pending)
	}
	d := time.Duration(r.Seconds * float64(time.Second)).Round(100 * time.Millisecond)
	t.line("  sent %s in %v", size(r.SentBytes), d)
	if r.ResumedFiles > 0 {
		t.line("  resumed %d files; %s did not have to be sent again", r.ResumedFiles, size(r.SavedBytes))
	}
	if r.Retries > 0 {
		t.line("  tried again %d times", r.Retries)
	}
	if r.Gone > 0 {
		t.line("  %d files went from the folder before they were sent", r.Gone)
	}
	if r.Deleted > 0 {
		t.line("  %d files were deleted here after they were sent", r.Deleted)
	}
	for _, warning := range r.Warnings {
		t.line("")
		t.wrap("Warning: ", warning)
	}
	t.list("Failed", r.Failed)
	t.list("Skipped", r.Skipped)
	t.list("Sent, and not there under this name", r.Renamed)
	if r.Error != "" {
		t.line("")
		t.wrap("Stopped: ", r.Error)
		t.line("Run the same command again to go on from here.")
	}
	_, err := io.WriteString(w, t.b.String())
	return err
}
