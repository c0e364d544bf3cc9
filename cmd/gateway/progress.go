package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"
	"golang.org/x/term"

	"gateway/ftpbridge"
	"gateway/state"
)

// Rules of progress output: bars only on a terminal, and on standard error, so
// that standard output stays what was asked for; plain lines otherwise, one for
// each file that is finished; JSON lines on standard output for programs. File
// names go through printable.

// progress shows the events of a migration.
type progress interface {
	event(ftpbridge.Event)
	log() io.Writer // where log lines go meanwhile
	close()
}

func newProgress(e *env, asJSON bool) progress {
	if asJSON {
		return &jsonProgress{out: e.out, err: e.err}
	}
	if f, ok := e.err.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		return newBars(f)
	}
	return &lines{w: e.err}
}

// lines prints a line for each finished file.
type lines struct{ w io.Writer }

func (l *lines) event(ev ftpbridge.Event) {
	if s := eventLine(ev); s != "" {
		fmt.Fprintln(l.w, s)
	}
}

func (l *lines) log() io.Writer { return l.w }
func (l *lines) close()         {}

// eventLine is what a person is told of an event, "" for nothing.
func eventLine(ev ftpbridge.Event) string {
	switch ev.Kind {
	case ftpbridge.EventPlanned:
		what := "fetch"
		if ev.Action == ftpbridge.ActionPush {
			what = "send"
		}
		return fmt.Sprintf("%d files to %s, %s", ev.Files, what, sizeText(ev.Bytes))
	case ftpbridge.EventStarted:
		if ev.Offset > 0 {
			return fmt.Sprintf("resuming     %s at %s of %s", printable(ev.Path), sizeText(ev.Offset), sizeText(ev.Size))
		}
	case ftpbridge.EventFinished:
		done := string(ev.Phase)
		if ev.Action == ftpbridge.ActionPush && ev.Phase == state.Published {
			done = "sent"
		}
		if ev.Phase == state.Published && ev.Verdict == ftpbridge.VerdictSame { // compared, not published
			return fmt.Sprintf("%-12s %s", ev.Verdict, printable(ev.Path))
		}
		s := fmt.Sprintf("%-12s %s", done, printable(ev.Path))
		switch {
		case ev.Phase != state.Published:
			return s + ": " + printable(ev.Reason)
		case ev.Verdict != "":
			return s + " (" + ev.Verdict + ")"
		}
		return s
	}
	return ""
}

func sizeText(n int64) string {
	switch {
	case n < 0:
		return "unknown size"
	case n < 1024:
		return fmt.Sprintf("%d B", n)
	}
	return fmt.Sprintf("% .1f", decor.SizeB1024(n))
}

// jsonProgress prints each event as a line of JSON, except the many of bytes.
type jsonProgress struct {
	out, err io.Writer
}

func (j *jsonProgress) event(ev ftpbridge.Event) {
	if ev.Kind != ftpbridge.EventBytes {
		_ = printJSON(j.out, ev) // a closed pipe is found out at the report
	}
}

func (j *jsonProgress) log() io.Writer { return j.err }
func (j *jsonProgress) close()         {}

func printJSON(w io.Writer, v any) error {
	return json.NewEncoder(w).Encode(v)
}

const (
	// maxBarName is how much of a path fits beside a bar at 80 columns.
	maxBarName = 30
	// barAfter is for how long a file has been under way when it gets a bar.
	// Those of many small files would push each other off the screen.
	barAfter = 500 * time.Millisecond
)

// bars draws a bar for all bytes and one for each file that takes its time.
type bars struct {
	p     *mpb.Progress
	total *mpb.Bar

	mu    sync.Mutex
	heard rateMeter
	since map[string]time.Time // when each file under way was first seen
	files map[string]*mpb.Bar
	done  map[string]int64 // of each file under way, as counted in total
}

func newBars(f *os.File) *bars {
	width, _, err := term.GetSize(int(f.Fd()))
	if err != nil || width > 100 {
		width = 80
	}
	p := mpb.New(mpb.WithOutput(f), mpb.WithWidth(width))
	b := &bars{p: p, heard: rateMeter{begun: time.Now()}, since: map[string]time.Time{}, files: map[string]*mpb.Bar{}, done: map[string]int64{}}
	b.total = p.AddBar(0,
		mpb.BarPriority(1<<30), // below the files
		mpb.PrependDecorators(decor.Name("all files", decor.WC{W: maxBarName, C: decor.DindentRight})),
		mpb.AppendDecorators(decor.CountersKibiByte("% .1f / % .1f"), decor.Any(b.heard.text)),
	)
	return b
}

func (b *bars) event(ev ftpbridge.Event) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch ev.Kind {
	case ftpbridge.EventWalked:
		b.heard.walked(ev.Files)
	case ftpbridge.EventPlanned:
		b.heard.planned(time.Now())
		b.total.SetTotal(max(ev.Bytes, 1), false)
	case ftpbridge.EventStarted:
		b.heard.resumed(ev.Offset - b.done[ev.Path])
		b.start(ev)
	case ftpbridge.EventBytes:
		b.grow(ev)
	case ftpbridge.EventFinished:
		if ev.Phase != state.Published { // not moved, or not to the end
			b.heard.resumed(max(ev.Size-b.done[ev.Path], 0))
		}
		b.advance(ev.Path, max(ev.Size, b.done[ev.Path]))
		if bar := b.files[ev.Path]; bar != nil {
			bar.Abort(true)
			delete(b.files, ev.Path)
		}
		delete(b.since, ev.Path)
		delete(b.done, ev.Path)
		if ev.Phase != state.Published {
			fmt.Fprintln(b.p, eventLine(ev))
		}
	}
}

// start begins a transfer, or begins it again: with another size, perhaps.
func (b *bars) start(ev ftpbridge.Event) {
	if old := b.files[ev.Path]; old != nil {
		old.Abort(true)
		delete(b.files, ev.Path)
	}
	if _, ok := b.since[ev.Path]; !ok {
		b.since[ev.Path] = time.Now()
	}
	b.grow(ev)
}

func (b *bars) grow(ev ftpbridge.Event) {
	if b.files[ev.Path] == nil && time.Since(b.since[ev.Path]) >= barAfter {
		b.files[ev.Path] = b.p.AddBar(max(ev.Size, 0),
			mpb.BarRemoveOnComplete(),
			mpb.PrependDecorators(decor.Name(shorten(printable(ev.Path)), decor.WC{W: maxBarName, C: decor.DindentRight})),
			mpb.AppendDecorators(decor.Percentage(decor.WC{W: 5})),
		)
	}
	b.advance(ev.Path, ev.Offset)
}

func (b *bars) advance(path string, offset int64) {
	if bar := b.files[path]; bar != nil {
		bar.SetCurrent(offset)
	}
	b.total.IncrInt64(offset - b.done[path])
	b.done[path] = offset
}

// shorten keeps the end of a path, which tells files apart.
func shorten(path string) string {
	if r := []rune(path); len(r) > maxBarName-1 {
		return "…" + string(r[len(r)-maxBarName+2:])
	}
	return path
}

func (b *bars) log() io.Writer { return b.p }

func (b *bars) close() {
	b.mu.Lock()
	for _, bar := range b.files {
		bar.Abort(true)
	}
	b.mu.Unlock()
	b.total.Abort(true)
	b.p.Wait()
}
