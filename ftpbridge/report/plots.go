package report

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/dustin/go-humanize"

	"gateway/ftpbridge"
)

// plotHeight is the height of a plot in its own units. Its width is one unit for
// each bucket; the page stretches both.
const plotHeight = 100

// plot is what happened over time, as columns.
type plot struct {
	ID, Title string
	Empty     string // said instead of a plot that would be flat
	Desc      string // in words, for who does not see it
	Width     int
	Height    int
	Columns   []column
	Tops      [3]string // what the top, the middle and the bottom stand for
	Times     [3]string // what the left, the middle and the right stand for
}

type column struct {
	X         int
	Y, Height float64 // from the top, and how tall, in units of the plot
	Label     string
}

// timeRow is a bucket in numbers.
type timeRow struct {
	From, Fetched, Rate string
	Files, Retries      int64
}

// bar is a row of a table with a bar in it.
type bar struct {
	Name, Note, Class string
	Files, Bytes, Run int64 // -1: not told
	Seconds           float64
	Value             string
	Width             float64 // percent of the longest
}

// scale sets the widths. What is not nothing is not invisible.
func scale(bars []bar, value func(bar) float64) {
	longest := 0.0
	for _, b := range bars {
		longest = max(longest, value(b))
	}
	for i, b := range bars {
		if v := value(b); v > 0 {
			bars[i].Width = max(math.Round(v/longest*1000)/10, 0.5)
		}
	}
}

// plots draws the timeline three times over, and gives its numbers.
func plots(r ftpbridge.Report) ([]plot, []timeRow) {
	buckets, width := r.Timeline.Buckets, r.Timeline.Width()
	lasted := make([]float64, len(buckets)) // seconds
	var rows []timeRow
	for i, b := range buckets {
		lasted[i] = width.Seconds()
		if rest := r.Seconds - float64(i)*width.Seconds(); i == len(buckets)-1 && rest < lasted[i] {
			lasted[i] = max(rest, lasted[i]/4) // the run ended in it
		}
		rows = append(rows, timeRow{
			From: duration(time.Duration(i) * width), Fetched: size(b.Bytes), Rate: size(int64(float64(b.Bytes)/lasted[i])) + "/s",
			Files: b.Files, Retries: b.Retries,
		})
	}
	draw := func(id, title, empty string, unit func(float64) string, nice func(float64) float64, value func(int) float64) plot {
		p := plot{ID: id, Title: title, Empty: empty, Width: len(buckets), Height: plotHeight}
		p.draw(width, unit, nice, value)
		return p
	}
	perSecond := func(v float64) string { return number3(v) + "/s" }
	return []plot{
		draw("bytes", "Bytes fetched per second", "Nothing was fetched.",
			func(v float64) string { return size(int64(v)) + "/s" }, niceBytes,
			func(i int) float64 { return float64(buckets[i].Bytes) / lasted[i] }),
		draw("files", "Files published per second", "Nothing was published.", perSecond, niceNumber,
			func(i int) float64 { return float64(buckets[i].Files) / lasted[i] }),
		draw("retries", "Retries", "Nothing had to be tried again.", number3,
			func(v float64) float64 { return max(niceNumber(v), 2) },
			func(i int) float64 { return float64(buckets[i].Retries) }),
	}, rows
}

func (p *plot) draw(width time.Duration, unit func(float64) string, nice func(float64) float64, value func(int) float64) {
	top, sum, highest := 0.0, 0.0, 0
	for i := range p.Width {
		v := value(i)
		sum += v
		if v > top {
			top, highest = v, i
		}
	}
	if top <= 0 {
		return
	}
	from := func(i int) string { return duration(time.Duration(i) * width) }
	p.Empty = ""
	p.Desc = fmt.Sprintf("Columns for %d equal parts of the run, each of %s. The highest, %s, is at %s; the mean is %s.",
		p.Width, duration(width), unit(top), from(highest), unit(sum/float64(p.Width)))
	top = nice(top)
	p.Tops = [3]string{unit(top), unit(top / 2), "0"}
	p.Times = [3]string{"0s", duration(time.Duration(p.Width) * width / 2), from(p.Width)}
	for i := range p.Width {
		v := value(i)
		if v <= 0 {
			continue
		}
		tall := max(math.Round(v/top*plotHeight*100)/100, 0.5)
		p.Columns = append(p.Columns, column{X: i, Y: plotHeight - tall, Height: tall, Label: unit(v) + " at " + from(i)})
	}
}

// niceNumber is the next 1, 2, 4, 6 or 8 times a power of ten: the half of it is
// short too.
func niceNumber(v float64) float64 {
	power := math.Pow(10, math.Floor(math.Log10(v)))
	for _, m := range []float64{1, 2, 4, 6, 8} {
		if m*power >= v {
			return m * power
		}
	}
	return 10 * power
}

// niceBytes is niceNumber in the unit that shows v.
func niceBytes(v float64) float64 {
	unit := 1.0
	for v/unit >= 1024 {
		unit *= 1024
	}
	return max(niceNumber(v/unit)*unit, 2) // the half is whole
}

func number3(v float64) string {
	if v >= 100 {
		return humanize.Comma(int64(math.Round(v)))
	}
	return fmt.Sprintf("%.3g", v)
}

// maxSizeRows is how many rows the table of sizes has besides that of empty files.
const maxSizeRows = 16

// sizes are the classes of sizes from the first to the last that is not empty, so
// many in a row that they fit.
func sizes(classes []ftpbridge.SizeClass) []bar {
	var all []bar
	row := func(name string, t ftpbridge.Tally) {
		all = append(all, bar{Name: name, Class: "plain", Files: t.Files, Bytes: t.Bytes, Run: -1})
	}
	some := func(c ftpbridge.SizeClass) bool { return c.Files > 0 }
	if len(classes) > 0 && some(classes[0]) {
		row("empty", classes[0].Tally)
	}
	classes = classes[min(1, len(classes)):]
	first := slices.IndexFunc(classes, some)
	if first >= 0 {
		classes = classes[first:]
		step := (len(classes) + maxSizeRows - 1) / maxSizeRows
		for group := range slices.Chunk(classes, step) {
			var t ftpbridge.Tally
			for _, c := range group {
				t.Files += c.Files
				t.Bytes += c.Bytes
			}
			from := uint64(group[0].From)
			row(round(from)+" to "+round(from<<len(group)), t)
		}
	}
	scale(all, func(b bar) float64 { return float64(b.Files) })
	return all
}

// round is a size that is a power of two.
func round(n uint64) string { return strings.Replace(humanize.IBytes(n), ".0 ", " ", 1) }

func slowest(slow []ftpbridge.SlowFile) []bar {
	var all []bar
	for _, f := range slow {
		b := bar{Name: f.Path, Class: "plain", Bytes: f.Bytes, Seconds: f.Seconds, Value: duration(seconds(f.Seconds))}
		if f.Seconds > 0.001 {
			b.Note = size(int64(float64(f.Bytes)/f.Seconds)) + "/s"
		}
		all = append(all, b)
	}
	scale(all, func(b bar) float64 { return b.Seconds })
	return all
}
