package bench

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

// row is what one contender took for one work.
type row struct {
	work work
	by   contender
	took []time.Duration
	cpu  []time.Duration
}

// median of times; of an even number the mean of the two in the middle.
func median(times []time.Duration) time.Duration {
	sorted := slices.Sorted(slices.Values(times))
	n := len(sorted)
	return (sorted[(n-1)/2] + sorted[n/2]) / 2
}

// table of all that was measured.
type table struct {
	rows []row
}

// markdown has a table for each work: the medians, the slowest and the quickest run, the median of the
// CPU time, and for each peer how many times as quick each of ours is.
func (t table) markdown() string {
	var b strings.Builder
	for i, r := range t.rows {
		if i == 0 || t.rows[i-1].work.name != r.work.name {
			t.head(&b, r.work)
		}
		fmt.Fprintf(&b, "| %s | %.4g | %.4g to %.4g | %d | %.2f s |", r.by.name, r.work.speed(median(r.took)),
			r.work.speed(slices.Max(r.took)), r.work.speed(slices.Min(r.took)), len(r.took), median(r.cpu).Seconds())
		for _, ours := range t.ours(r.work) {
			if r.by.ours {
				b.WriteString(" |")
				continue
			}
			fmt.Fprintf(&b, " %.2f |", median(r.took).Seconds()/median(ours.took).Seconds())
		}
		b.WriteByte('\n')
	}
	return b.String()
}

func (t table) head(b *strings.Builder, w work) {
	fmt.Fprintf(b, "\n### %s\n\n| program, connections | %s, median | slowest to quickest | runs | CPU |", w.caption(), w.unit())
	ours := t.ours(w)
	for _, r := range ours {
		fmt.Fprintf(b, " %s is × |", r.by.name)
	}
	b.WriteString("\n|---|---|---|---|---|" + strings.Repeat("---|", len(ours)) + "\n")
}

func (t table) ours(w work) []row {
	var ours []row
	for _, r := range t.rows {
		if r.work.name == w.name && r.by.ours {
			ours = append(ours, r)
		}
	}
	return ours
}

// caption is the title with the sizes that were measured.
func (w work) caption() string {
	var args []any
	if w.files > 1 {
		args = append(args, w.files)
	} else {
		args = append(args, fmt.Sprintf("%d MiB", w.size>>20))
	}
	if w.delay > 0 {
		args = append(args, 2*w.delay)
	}
	return fmt.Sprintf(w.title, args...)
}

func TestTable(t *testing.T) {
	w := work{name: "small", title: "%d files, %v round trip", files: 100, delay: 25 * time.Millisecond}
	rows := table{rows: []row{
		{work: w, by: contender{name: "gateway, 8", ours: true}, took: []time.Duration{3 * time.Second, time.Second, 2 * time.Second},
			cpu: []time.Duration{time.Second}},
		{work: w, by: contender{name: "peer"}, took: []time.Duration{4 * time.Second, 6 * time.Second},
			cpu: []time.Duration{2 * time.Second, 3 * time.Second}},
	}}
	want := `
### 100 files, 50ms round trip

| program, connections | files/s, median | slowest to quickest | runs | CPU | gateway, 8 is × |
|---|---|---|---|---|---|
| gateway, 8 | 50 | 33.33 to 100 | 3 | 1.00 s | |
| peer | 20 | 16.67 to 25 | 2 | 2.50 s | 2.50 |
`
	if got := rows.markdown(); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}
