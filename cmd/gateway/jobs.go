package main

import (
	"bytes"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"gateway/ftpbridge"
	"gateway/state"
)

type jobsCmd struct {
	JSON bool `help:"Print a line of JSON for each." name:"json"`
}

// jobLine is what is told of a job.
type jobLine struct {
	Name        string     `json:"name,omitempty"`   // of the configured source or push; "": there is none
	Action      string     `json:"action,omitempty"` // push; of migrations ""
	Source      string     `json:"source"`
	Destination string     `json:"destination"`
	Started     *time.Time `json:"started,omitempty"`  // of the last run
	Finished    *time.Time `json:"finished,omitempty"` // none: it is under way, or was killed
	Result      string     `json:"result"`
	Error       string     `json:"error,omitempty"`
	Published   int64      `json:"published"`
	Unchanged   int64      `json:"unchanged"`
	Held        int64      `json:"quarantined"`
	Failed      int64      `json:"failed"`
	Removed     int64      `json:"removed"`
	Failures    int        `json:"failures,omitempty"` // runs in a row that something ended early
	Next        *time.Time `json:"next,omitempty"`     // none: not by schedule
	HeldBy      string     `json:"held_by,omitempty"`  // who keeps it from running by its schedule
}

// Run lists the configured sources and pushes, and then the jobs that are not of one.
func (j jobsCmd) Run(e *env) error {
	g, err := e.open()
	if err != nil {
		return err
	}
	defer g.Close()
	lines, err := g.jobLines(e)
	if err != nil {
		return err
	}
	if j.JSON {
		for _, l := range lines {
			if err := printJSON(e.out, l); err != nil {
				return err
			}
		}
		return nil
	}
	if len(lines) == 0 {
		fmt.Fprintln(e.out, "no migrations or pushes yet")
		return nil
	}
	return printJobs(e.out, lines, time.Now())
}

// printJobs prints a table, and below each of its rows what is too long for one.
func printJobs(out io.Writer, lines []jobLine, now time.Time) error {
	var table bytes.Buffer
	w := tabwriter.NewWriter(&table, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "NAME\tLAST RUN\tRESULT\tFILES\tNEXT RUN")
	for _, l := range lines {
		l.printRow(w, now)
	}
	if err := w.Flush(); err != nil {
		return err
	}
	head, rows, _ := strings.Cut(table.String(), "\n")
	fmt.Fprintln(out, head)
	for i, row := range slices.Collect(strings.Lines(rows)) {
		if _, err := io.WriteString(out, row); err != nil {
			return err
		}
		wrapText(out, "  ", printable(lines[i].Source)+" -> "+printable(lines[i].Destination))
		if lines[i].Error != "" {
			wrapText(out, "  ", printable(lines[i].Error))
		}
	}
	return nil
}

// jobLines gathers what is known. A source or push with a mistake in it is an error:
// it would not run either.
func (g *gateway) jobLines(e *env) ([]jobLine, error) {
	var lines []jobLine
	configured := map[int64]bool{}
	jobs, err := g.configuredJobs()
	if err != nil {
		return nil, err
	}
	for _, j := range jobs {
		last, job, runs, err := j.last(e.ctx, g.state)
		if err != nil {
			return nil, err
		}
		configured[job.ID] = true
		job.Source, job.Destination = j.source, j.destination
		l := newJobLine(job, runs)
		l.Name, l.Action, l.Failures = j.name, j.action, last.Failures
		hold, err := g.hold(e.ctx, job.ID)
		if err != nil {
			return nil, err
		}
		if hold != nil {
			l.HeldBy = hold.By
		}
		if j.schedule != nil && hold == nil {
			next := ftpbridge.NextRun(j.id(), j.schedule, last)
			if now := time.Now(); next.Before(now) {
				next = now
			}
			l.Next = &next
		}
		lines = append(lines, l)
	}
	for job, err := range g.state.Jobs(e.ctx) {
		if err != nil {
			return nil, err
		}
		if configured[job.ID] {
			continue
		}
		runs, err := g.state.Runs(e.ctx, job.ID)
		if err != nil {
			return nil, err
		}
		l := newJobLine(job, runs)
		if storage, ok := strings.CutSuffix(job.Destination, ":"); ok && g.cfg.Storages[storage].Source != "" {
			l.Result = "mounted as storage " + storage // a file is proved when it is opened
		}
		lines = append(lines, l)
	}
	return lines, nil
}

func newJobLine(job state.Job, runs []state.Run) jobLine {
	l := jobLine{Source: job.Source, Destination: job.Destination, Result: "never ran"}
	if job.Started.IsZero() {
		return l
	}
	l.Started, l.Result = &job.Started, "under way, or killed"
	if job.Finished.Before(job.Started) {
		return l
	}
	l.Finished, l.Result = &job.Finished, "finished"
	if len(runs) > 0 && runs[0].Started.Equal(job.Started) {
		r := runs[0]
		l.Result, l.Error = string(r.Result), r.Error
		l.Published, l.Unchanged, l.Held, l.Failed, l.Removed = r.Published, r.Unchanged, r.Held, r.Failed, r.Removed
	}
	return l
}

func (l jobLine) printRow(w *tabwriter.Writer, now time.Time) {
	name := l.Name
	if name == "" {
		name = "-"
	}
	started, files, next := "-", "-", "-"
	if l.Started != nil {
		started = l.Started.Local().Format(time.DateTime)
	}
	if l.Finished != nil {
		did := "published"
		if !strings.Contains(l.Source, "://") { // a push, from a folder here
			did = "sent"
		}
		files = fmt.Sprintf("%d %s, %d unchanged", l.Published, did, l.Unchanged)
		for _, more := range []struct {
			n    int64
			what string
		}{{l.Held, "quarantined"}, {l.Failed, "failed"}, {l.Removed, "removed"}} {
			if more.n > 0 {
				files += fmt.Sprintf(", %d %s", more.n, more.what)
			}
		}
	}
	switch {
	case l.HeldBy != "":
		next = "held by " + printable(l.HeldBy)
	case l.Next == nil:
	case !l.Next.After(now):
		next = "at once"
	default:
		next = l.Next.Local().Format(time.DateTime)
	}
	fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\n", name, started, l.Result, files, next)
}
