package admin

import (
	"fmt"
	"html/template"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/dustin/go-humanize"
)

// functions are those of the templates.
func functions() template.FuncMap {
	return template.FuncMap{
		"bytes": bytesText, "rate": func(n int64) string { return bytesText(n) + "/s" },
		"shown": shown, "when": whenText, "stamp": func(t time.Time) string { return t.UTC().Format(time.RFC3339) },
		"ago": func(t time.Time) string { return durationText(time.Since(t)) }, "left": leftText,
		"seconds": func(n int64) string { return durationText(time.Duration(n) * time.Second) },
		"percent": percent, "plot": newPlot, "peak": peak, "last": last, "slice2": func(a, b []int64) [][]int64 { return [][]int64{a, b} },
		"soon": func(days *int) bool { return days != nil && *days < soonDays }, "hexlines": hexLines, "phases": phases, "join": strings.Join,
	}
}

// soonDays is below how many days left a certificate is marked.
const soonDays = 14

// shown makes text that came from outside visible: what does not print, and what would turn the direction
// of writing, is escaped.
func shown(s string) string {
	if strings.IndexFunc(s, hidden) < 0 && strings.ToValidUTF8(s, "") == s {
		return s
	}
	var b strings.Builder
	for _, r := range strings.ToValidUTF8(s, "\uFFFD") {
		if hidden(r) {
			fmt.Fprintf(&b, "\\u{%X}", r)
		} else {
			b.WriteRune(r)
		}
	}
	return b.String()
}

func hidden(r rune) bool { return !unicode.IsPrint(r) && r != '\n' }

func bytesText(n int64) string {
	if n < 0 {
		return "unknown"
	}
	return humanize.IBytes(uint64(n))
}

func whenText(t time.Time) string {
	if t.IsZero() {
		return "never"
	}
	return t.Local().Format(time.DateTime)
}

// durationText is a duration in its two largest units.
func durationText(d time.Duration) string {
	s := int64(d / time.Second)
	switch {
	case s < 0:
		return "0 s"
	case s < 60:
		return fmt.Sprintf("%d s", s)
	case s < 3600:
		return fmt.Sprintf("%d min %d s", s/60, s%60)
	case s < 24*3600:
		return fmt.Sprintf("%d h %d min", s/3600, s/60%60)
	}
	return fmt.Sprintf("%d d %d h", s/(24*3600), s/3600%24)
}

func leftText(seconds int64) string {
	if seconds < 0 {
		return ""
	}
	return ", about " + durationText(time.Duration(seconds)*time.Second) + " left"
}

func percent(part, of int64) int64 {
	if of <= 0 {
		return 0
	}
	return min(100, int64(float64(part)/float64(of)*100))
}

// hexLines breaks a fingerprint into groups that can be compared by eye.
func hexLines(s string) string {
	var groups []string
	for g := range slices.Chunk([]byte(s), 8) {
		groups = append(groups, string(g))
	}
	return strings.Join(groups, " ")
}

// phaseCount is a line of the table of phases.
type phaseCount struct {
	Phase string
	Count
}

// phases are in the order of a file's life.
func phases(m map[string]Count) (list []phaseCount) {
	for _, p := range []string{"found", "fetching", "fetched", "verified", "published", "quarantined", "rejected", "failed", "removed"} {
		if n, ok := m[p]; ok {
			list = append(list, phaseCount{p, n})
		}
	}
	return list
}

// plot is a drawing of rates in a box of 600 by 100.
type plot struct {
	Lines []string // points of polylines
	Peak  int64
}

const (
	plotWidth, plotHeight = 600, 100
	minSpan               = 60 // samples: two minutes
)

// newPlot draws lines to one scale, the newest at the right; it shows two minutes, or more once there are more.
func newPlot(lines ...[]int64) plot {
	p, span := plot{Peak: 1}, minSpan
	for _, line := range lines {
		p.Peak, span = max(p.Peak, peak(line)), max(span, len(line))
	}
	for _, line := range lines {
		var b strings.Builder
		for i, n := range line {
			x := float64(plotWidth) * float64(span-len(line)+i) / float64(span-1)
			y := plotHeight - float64(n)/float64(p.Peak)*(plotHeight-4)
			fmt.Fprintf(&b, "%.1f,%.1f ", x, y)
		}
		p.Lines = append(p.Lines, strings.TrimSpace(b.String()))
	}
	return p
}

func peak(line []int64) (most int64) {
	for _, n := range line {
		most = max(most, n)
	}
	return most
}

func last(line []int64) int64 {
	if len(line) == 0 {
		return 0
	}
	return line[len(line)-1]
}
