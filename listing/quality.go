package listing

import (
	"bytes"
	"fmt"
	"strings"
)

// Skipped is a line that gave no entry.
type Skipped struct {
	Line   int    // 1-based
	Raw    []byte // at most MaxSkippedRaw bytes
	Reason string
}

// Quality says how well a listing was understood. String tells it to a person.
type Quality struct {
	Format Format // "" where no line was recognized
	// FormatConfidence is 0 to 1, and 1 where the format was configured. It falls with the share of lines that are
	// not of the format, and with how many of them another format reads too.
	FormatConfidence float64
	RunnerUp         Format // the format that came second in the vote; "" where no other reads any line

	Charset string // of the names that are not plain ASCII
	// CharsetConfidence is 0 to 1: 0 where all names are plain ASCII, 1 where the charset was configured.
	CharsetConfidence float64
	NonASCII          int // how many names and link targets have a byte over 0x7F

	EntriesTotal int
	Skipped      []Skipped // lines that gave no entry, MaxSkipped at most
	SkippedTotal int       // every skipped line, also those beyond MaxSkipped
}

func (q *Quality) skip(line int, raw []byte, reason string) {
	q.SkippedTotal++
	if len(q.Skipped) < MaxSkipped {
		q.Skipped = append(q.Skipped, Skipped{Line: line, Raw: bytes.Clone(clip(raw, MaxSkippedRaw)), Reason: reason})
	}
}

// unrecognized is the error for a listing that has lines of which none means anything.
func (q *Quality) unrecognized() error {
	if q.EntriesTotal > 0 || q.SkippedTotal == 0 || q.Format != "" {
		return nil
	}
	return fmt.Errorf("%w: %d lines, the first is %q", ErrUnrecognized, q.SkippedTotal, clip(q.Skipped[0].Raw, 80))
}

// Confidences under these are worth a person's look.
const (
	doubtfulFormat  = 0.75
	doubtfulCharset = 0.60
)

// shownSkipped is how many of the skipped lines String shows.
const shownSkipped = 10

// String is a report of a few lines: what the listing was taken for, how sure that is, which lines were not read and
// why, and what to do where it looks doubtful. It ends with a line end. Bytes of the server are quoted.
func (q Quality) String() string {
	var b strings.Builder
	q.describeFormat(&b)
	switch {
	case q.EntriesTotal == 0:
	case q.NonASCII == 0:
		b.WriteString("charset: all names are plain ASCII\n")
	case q.CharsetConfidence < doubtfulCharset:
		fmt.Fprintf(&b, "charset: %s, a guess (confidence %.0f %%): set the charset where names look wrong\n", q.Charset, 100*q.CharsetConfidence)
	default:
		fmt.Fprintf(&b, "charset: %s (confidence %.0f %%)\n", q.Charset, 100*q.CharsetConfidence)
	}
	fmt.Fprintf(&b, "entries: %d\nskipped: %d\n", q.EntriesTotal, q.SkippedTotal)
	for i, s := range q.Skipped {
		if i == shownSkipped {
			fmt.Fprintf(&b, "  and %d more\n", q.SkippedTotal-i)
			break
		}
		fmt.Fprintf(&b, "  line %d: %s\n    %q\n", s.Line, s.Reason, clip(s.Raw, 60))
	}
	return b.String()
}

func (q Quality) describeFormat(b *strings.Builder) {
	switch {
	case q.Format == "" && q.SkippedTotal == 0:
		b.WriteString("format:  none, the listing is empty\n")
	case q.Format == "":
		var names []string
		for _, f := range Formats() {
			names = append(names, string(f))
		}
		half := (len(names) + 1) / 2
		fmt.Fprintf(b, "format:  not recognized. If you know it, name it:\n  %s,\n  %s\n",
			strings.Join(names[:half], ", "), strings.Join(names[half:], ", "))
	case q.FormatConfidence < doubtfulFormat && q.RunnerUp != "":
		fmt.Fprintf(b, "format:  %s, a guess (confidence %.0f %%): set the format where this looks wrong; it may be %s\n",
			q.Format, 100*q.FormatConfidence, q.RunnerUp)
	case q.Format == Table:
		b.WriteString("format:  not known. It is a table: names are guessed, sizes are unknown (format \"table\")\n")
	default:
		fmt.Fprintf(b, "format:  %s (confidence %.0f %%)\n", q.Format, 100*q.FormatConfidence)
	}
}
