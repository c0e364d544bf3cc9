package ftpbridge

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/dustin/go-humanize"

	"gateway/state"
)

// finish completes the report from the ledger and stamps the end of the run.
func (r *run) finish(ctx context.Context, whole bool) error {
	rep := &r.report
	rep.Job = r.job.ID
	if r.Policy != nil {
		rep.Policy = r.Policy.Digest().String()
	}
	for f, err := range r.store.Files(ctx, r.job.ID, append(open(), state.Rejected)...) {
		if err != nil {
			return err
		}
		item := Item{
			Path: printable(r.shownPath(f)), Target: f.Target, Size: max(f.Size, 0),
			Verdict: f.Verdict, Reason: f.Reason, Retry: f.Retry,
		}
		switch {
		case f.Phase == state.Quarantined:
			rep.Quarantined.add(item)
		case f.Phase == state.Rejected:
			rep.Rejected.add(item)
		case r.leftOut(f):
		case f.Phase != state.Failed:
			rep.Pending.add(f.Size)
		case f.Seen.Equal(r.start) || whole && !r.rebuilt:
			rep.Failed.add(item)
		}
	}
	rep.Finished = r.now().UTC()
	rep.Seconds = rep.Finished.Sub(rep.Started).Seconds()
	return r.store.FinishJob(ctx, r.job.ID, rep.Finished)
}

func (r *run) shownPath(f state.File) string { return r.shown(f.Path) }

func (r *run) shown(path string) string {
	if r.pool == nil {
		return path
	}
	return r.pool.Show(path)
}

// textWidth is the columns of a report; textItems how much of each list it shows.
const (
	textWidth = 80
	textItems = 50
)

// WriteText writes the report for people, in lines of at most 80 columns except
// where a path or URL is longer.
func (r Report) WriteText(w io.Writer) error {
	if r.Action == ActionPush {
		return r.writePush(w)
	}
	t := &textWriter{}
	if r.Plan != nil || r.Comparison != nil {
		r.inspection(t)
		_, err := io.WriteString(w, t.b.String())
		return err
	}
	t.line("Migration of %s", r.Source)
	t.line("          to %s", r.Destination)
	t.line("")
	t.tally("on the source", r.Found)
	if r.Filtered.Files > 0 {
		t.tally("left out", r.Filtered)
	}
	t.tally("published", r.Published)
	t.verdicts(r.Verdicts)
	t.tally("unchanged", r.Unchanged)
	t.total("in quarantine", r.Quarantined)
	t.total("failed", r.Failed)
	if r.Rejected.Total > 0 {
		t.total("rejected", r.Rejected)
	}
	if r.Pending.Files > 0 {
		t.tally("not finished", r.Pending)
	}
	r.JobReport.tallies(t)
	t.transfer(r)
	for _, warning := range r.Warnings {
		t.line("")
		t.wrap("Warning: ", warning)
	}
	t.list("In quarantine, not published", r.Quarantined)
	t.list("Published, but a newer manifest speaks against it", r.Suspect)
	t.list("Failed", r.Failed)
	t.list("Not read: folders, and lines of listings", r.Unread)
	r.JobReport.lists(t)
	t.list("Skipped", r.Skipped)
	t.list("Published under another name", r.Renamed)
	if r.Error != "" {
		t.line("")
		t.wrap("Stopped: ", r.Error)
		if r.Pending.Files > 0 {
			t.line("Run the same command again to go on from here.")
		}
	}
	_, err := io.WriteString(w, t.b.String())
	return err
}

type textWriter struct{ b strings.Builder }

func (t *textWriter) line(format string, args ...any) { fmt.Fprintf(&t.b, format+"\n", args...) }

func size(n int64) string { return humanize.IBytes(uint64(max(n, 0))) }

func (t *textWriter) tally(name string, v Tally) {
	t.line("  %-14s %10s files %12s", name, humanize.Comma(v.Files), size(v.Bytes))
}

func (t *textWriter) total(name string, l List) { t.tally(name, Tally{l.Total, l.Bytes}) }

func (t *textWriter) verdicts(c Count) {
	var names []string
	for name := range c {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		t.line("    %-12s %10s files", name, humanize.Comma(c[name]))
	}
}

func (t *textWriter) transfer(r Report) {
	d := time.Duration(r.Seconds * float64(time.Second)).Round(100 * time.Millisecond)
	rate := ""
	if r.Seconds > 0.1 {
		rate = ", " + size(int64(float64(r.FetchedBytes)/r.Seconds)) + "/s"
	}
	t.line("  fetched %s in %v%s", size(r.FetchedBytes), d, rate)
	if r.ResumedFiles > 0 {
		t.line("  resumed %d files; %s did not have to be fetched again", r.ResumedFiles, size(r.SavedBytes))
	}
	if r.Retries > 0 {
		t.line("  tried again %d times", r.Retries)
	}
	if r.Gone > 0 {
		t.line("  %d unfinished files are no longer on the source", r.Gone)
	}
}

func (t *textWriter) list(title string, l List) {
	if l.Total == 0 {
		return
	}
	t.line("")
	t.line("%s (%s):", title, humanize.Comma(l.Total))
	for i, item := range l.Items {
		if i == textItems {
			break
		}
		path := item.Path
		if target := printable(item.Target); target != "" && !strings.HasSuffix(target, item.Path) {
			path += " -> " + target
		}
		t.line("  %s", path)
		t.wrap("      ", item.Reason)
	}
	if more := l.Total - int64(min(len(l.Items), textItems)); more > 0 {
		t.line("  and %s more; the JSON report names them", humanize.Comma(more))
	}
}

// wrap breaks text at blanks and indents what follows as wide as first.
func (t *textWriter) wrap(first, text string) {
	indent := strings.Repeat(" ", len(first))
	line, columns, empty := first, len(first), true
	for word := range strings.FieldsSeq(text) {
		n := utf8.RuneCountInString(word)
		if !empty && columns+1+n > textWidth {
			t.line("%s", line)
			line, columns, empty = indent, len(indent), true
		}
		if !empty {
			line += " "
			columns++
		}
		line += word
		columns += n
		empty = false
	}
	t.line("%s", strings.TrimRight(line, " "))
}
