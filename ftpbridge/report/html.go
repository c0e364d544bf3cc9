package report

import (
	_ "embed"
	"encoding/hex"
	"fmt"
	"html/template"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/dustin/go-humanize"

	"gateway/ftpbridge"
	"gateway/integrity"
)

//go:embed page.html
var pageText string

// WriteHTML writes the page. The same report always gives the same bytes.
func WriteHTML(w io.Writer, r ftpbridge.Report, d Digests) error {
	t, err := template.New("page").Funcs(template.FuncMap{
		"text": text, "comma": humanize.Comma, "size": size, "stamp": stamp,
	}).Parse(pageText)
	if err == nil {
		err = t.Execute(w, newPage(r, d))
	}
	if err != nil {
		return fmt.Errorf("page: %w", err)
	}
	return nil
}

// page is what the template shows. Everything that came from a server goes
// through the function text there.
type page struct {
	Report   ftpbridge.Report
	Complete bool
	Open     []link // what is in the way of being complete
	Took     string
	Rate     string // "" if there is none to tell
	Numbers  []number
	Outcomes []bar
	Plots    []plot
	Times    []timeRow
	Sizes    []bar
	Slowest  []bar
	Lists    []list
	Digests  digestList
	Files    map[string]string
}

type link struct{ ID, Text string }

type number struct{ Name, Value, Note string }

// digestList is the part of the digests that the page shows.
type digestList struct {
	Files int64
	Bytes int64
	Lines []digestLine
	More  int64
}

type digestLine struct{ Name, SHA256 string }

func newPage(r ftpbridge.Report, d Digests) *page {
	p := &page{
		Report: r, Complete: r.Complete(), Took: duration(seconds(r.Seconds)),
		Outcomes: outcomes(r, d), Sizes: sizes(r.Sizes), Slowest: slowest(r.Slowest), Lists: lists(r),
		Digests: digestList{Files: d.Files, Bytes: d.Bytes, More: d.Files - int64(len(d.First))},
		Files:   map[string]string{"JSON": JSONFile, "Digests": DigestsFile, "Statement": StatementFile},
	}
	if r.Seconds > 0.1 {
		p.Rate = size(int64(float64(r.FetchedBytes)/r.Seconds)) + "/s"
	}
	p.Plots, p.Times = plots(r)
	for _, line := range d.First {
		p.Digests.Lines = append(p.Digests.Lines, digestLine{line.Name, hex.EncodeToString(line.SHA256)})
	}
	p.Open = unpublished(r)
	p.Numbers = numbers(r, p.Rate)
	return p
}

func numbers(r ftpbridge.Report, rate string) []number {
	all := []number{
		{"On the source", files(r.Found.Files), size(r.Found.Bytes) + " in " + count(r.Folders, "folder", "folders")},
		{"Published by this run", files(r.Published.Files), size(r.Published.Bytes)},
		{"Unchanged since before", files(r.Unchanged.Files), size(r.Unchanged.Bytes)},
		{"Fetched", size(r.FetchedBytes), rate},
	}
	if r.ResumedFiles > 0 {
		all = append(all, number{"Went on where it stopped", files(r.ResumedFiles), size(r.SavedBytes) + " not fetched again"})
	}
	all = append(all, number{"Retries", humanize.Comma(r.Retries), ""})
	if r.Gone > 0 {
		all = append(all, number{"No longer on the source", files(r.Gone), "unfinished before"})
	}
	return all
}

// unpublished says what is missing for the run to be complete.
func unpublished(r ftpbridge.Report) []link {
	var open []link
	for _, l := range []struct {
		id, what string
		n        int64
	}{
		{"quarantined", "in quarantine", r.Quarantined.Total},
		{"failed", "failed", r.Failed.Total},
		{"suspect", "suspect", r.Suspect.Total},
		{"unread", "not read", r.Unread.Total},
		{"outcomes", "not finished", r.Pending.Files},
	} {
		if l.n > 0 {
			open = append(open, link{l.id, humanize.Comma(l.n) + " " + l.what})
		}
	}
	return open
}

// outcomes are the files by what became of them: all that the migration has
// published, by verdict, and what it has not.
func outcomes(r ftpbridge.Report, d Digests) []bar {
	var all []bar
	for _, v := range slices.Sorted(maps.Keys(d.Verdicts)) {
		note := ""
		if does, not := integrity.Verdict(v).Promise(); does != "" {
			note = does + ". Not: " + not + "."
		}
		all = append(all, bar{Name: "published, " + v, Note: note, Class: verdictClass(v), Files: d.Verdicts[v], Bytes: -1, Run: r.Verdicts[v]})
	}
	for _, o := range []struct {
		name, class string
		t           ftpbridge.Tally
	}{
		{"in quarantine", "held", ftpbridge.Tally{Files: r.Quarantined.Total, Bytes: r.Quarantined.Bytes}},
		{"failed", "bad", ftpbridge.Tally{Files: r.Failed.Total, Bytes: r.Failed.Bytes}},
		{"rejected", "other", ftpbridge.Tally{Files: r.Rejected.Total, Bytes: r.Rejected.Bytes}},
		{"not finished", "other", r.Pending},
	} {
		if o.t.Files > 0 {
			all = append(all, bar{Name: o.name, Class: o.class, Files: o.t.Files, Bytes: o.t.Bytes, Run: -1})
		}
	}
	scale(all, func(b bar) float64 { return float64(b.Files) })
	return all
}

func verdictClass(v string) string {
	switch integrity.Verdict(v) {
	case integrity.Authentic, integrity.Intact, integrity.Unverified, integrity.Bad:
		return v
	}
	return "other"
}

// list is one list of files or folders with reasons.
type list struct {
	ID, Title, Note string
	Renamed         bool // names instead of reasons
	Total, Bytes    int64
	Items           []ftpbridge.Item
	More            int64 // that the page does not name
	InJSON          bool  // the JSON report names all of them
}

func lists(r ftpbridge.Report) []list {
	all := []list{
		{ID: "quarantined", Title: "In quarantine, not published", Note: "Nobody sees these files; their bytes are kept. Every run judges them again."},
		{ID: "failed", Title: "Failed, not published"},
		{ID: "suspect", Title: "Suspect", Note: "These are published, and a newer manifest of the source speaks against them."},
		{ID: "unread", Title: "Not read", Note: "Folders that could not be listed, and lines of listings that gave no name: files may be missing."},
		{ID: "rejected", Title: "Rejected, not published", Note: "An operator decided so."},
		{ID: "skipped", Title: "Skipped", Note: "Links and other things that are no files."},
		{ID: "renamed", Title: "Published under another name", Renamed: true, Note: "By this run. Bytes of the source's names that are not printable are written as \\x and two digits."},
	}
	for i, l := range []ftpbridge.List{r.Quarantined, r.Failed, r.Suspect, r.Unread, r.Rejected, r.Skipped, r.Renamed} {
		all[i].Total, all[i].Bytes = l.Total, l.Bytes
		all[i].Items = l.Items[:min(len(l.Items), MaxHTMLItems)]
		all[i].More = l.Total - int64(len(all[i].Items))
		all[i].InJSON = l.Total == int64(len(l.Items))
	}
	return slices.DeleteFunc(all, func(l list) bool { return l.Total == 0 })
}

// text makes what came from a server fit to be shown: nothing in it is
// invisible, turns the direction of writing or is endless.
func text(s string) string {
	s = ftpbridge.Visible(s)
	n := 0
	for i := range s {
		if n == MaxHTMLText {
			return s[:i] + " ... (cut)"
		}
		n++
	}
	return s
}

func size(n int64) string { return humanize.IBytes(uint64(max(n, 0))) }

func files(n int64) string { return count(n, "file", "files") }

func count(n int64, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return humanize.Comma(n) + " " + many
}

func stamp(t time.Time) string {
	if t.IsZero() {
		return "not known"
	}
	return t.UTC().Format(time.DateTime + " MST")
}

func seconds(s float64) time.Duration { return time.Duration(s * float64(time.Second)) }

// duration is a time in two units at most: "1h 5m", "2m 3s", "1.5s", "20ms".
func duration(d time.Duration) string {
	switch {
	case d < time.Second:
		return fmt.Sprintf("%dms", d.Milliseconds())
	case d < 10*time.Second:
		return strings.TrimSuffix(fmt.Sprintf("%.1f", d.Seconds()), ".0") + "s"
	case d < time.Minute:
		return fmt.Sprintf("%.0fs", d.Seconds())
	}
	d = d.Round(time.Second)
	big, small := d/time.Minute, d%time.Minute/time.Second
	units := "ms"
	if d >= time.Hour {
		big, small, units = d/time.Hour, d%time.Hour/time.Minute, "hm"
	}
	if d >= 24*time.Hour {
		big, small, units = d/(24*time.Hour), d%(24*time.Hour)/time.Hour, "dh"
	}
	if small == 0 {
		return fmt.Sprintf("%d%c", big, units[0])
	}
	return fmt.Sprintf("%d%c %d%c", big, units[0], small, units[1])
}
