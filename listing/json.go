package listing

import (
	"encoding/json"
	"io"
	"math"
	"strings"
)

type jsonEntry struct {
	Name          string            `json:"name"`               // control characters as themselves
	RawName       []byte            `json:"raw_name,omitempty"` // base64; only where it is not Name's UTF-8
	Charset       string            `json:"charset,omitempty"`
	Type          string            `json:"type"`
	Size          *int64            `json:"size"`
	SizeEstimated bool              `json:"size_estimated,omitempty"`
	ModTime       *string           `json:"mtime"`
	Precision     string            `json:"mtime_precision,omitempty"`
	Target        string            `json:"target,omitempty"`
	Mode          string            `json:"mode,omitempty"`
	Owner         string            `json:"owner,omitempty"`
	Group         string            `json:"group,omitempty"`
	Version       string            `json:"version,omitempty"`
	Line          int               `json:"line"`
	Facts         map[string]string `json:"facts,omitempty"`
}

type jsonSummary struct {
	Format            Format        `json:"format"`
	FormatConfidence  float64       `json:"format_confidence"`
	RunnerUp          Format        `json:"runner_up,omitempty"`
	Charset           string        `json:"charset"`
	CharsetConfidence float64       `json:"charset_confidence"`
	Entries           int           `json:"entries"`
	Skipped           []jsonSkipped `json:"skipped"`
	SkippedTotal      int           `json:"skipped_total"`
}

type jsonSkipped struct {
	Line   int    `json:"line"`
	Raw    string `json:"raw"` // as UTF-8, other bytes escaped as Decode does
	Reason string `json:"reason"`
}

// WriteJSONLines writes r as one JSON object a line: each entry, and at the end a summary with the format, the
// charset, the number of entries and the skipped lines, which alone has no "name". Unknown sizes and times are null;
// a time without a known zone has none.
func (r Result) WriteJSONLines(w io.Writer) error {
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	for i := range r.Entries {
		if err := enc.Encode(r.Entries[i].json()); err != nil {
			return err
		}
	}
	return enc.Encode(r.Quality.json())
}

// WriteJSONLines reads the listing and writes it like that of [Result]. The error is that of w or, after what could
// be written, the one that ended [Reader.All].
func (r *Reader) WriteJSONLines(w io.Writer) error {
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	var end error
	for e, err := range r.All() {
		if err != nil {
			end = err
			break
		}
		if err := enc.Encode(e.json()); err != nil {
			return err
		}
	}
	if r.s == nil {
		return end
	}
	if err := enc.Encode(r.s.q.json()); err != nil {
		return err
	}
	return end
}

func (q *Quality) json() jsonSummary {
	s := jsonSummary{Format: q.Format, FormatConfidence: hundredths(q.FormatConfidence), RunnerUp: q.RunnerUp,
		Charset: q.Charset, CharsetConfidence: hundredths(q.CharsetConfidence), Entries: q.EntriesTotal, Skipped: []jsonSkipped{}, SkippedTotal: q.SkippedTotal}
	for _, k := range q.Skipped {
		s.Skipped = append(s.Skipped, jsonSkipped{k.Line, Decode(k.Raw, utf8Name), k.Reason})
	}
	return s
}

func hundredths(x float64) float64 { return math.Round(x*100) / 100 }

func (e *Entry) json() jsonEntry {
	j := jsonEntry{Name: controls(e.Name), Type: e.Type.String(), SizeEstimated: e.SizeEstimated, Target: e.Target,
		Mode: e.Mode, Owner: e.Owner, Group: e.Group, Version: e.Version, Line: e.Line}
	if e.Size >= 0 {
		j.Size = &e.Size
	}
	if e.RawName != j.Name {
		j.RawName, j.Charset = []byte(e.RawName), e.Charset()
	}
	if e.Facts != "" {
		j.Facts = make(map[string]string)
	}
	for fact := range strings.SplitSeq(e.Facts, ";") {
		if k, v, ok := strings.Cut(fact, "="); ok && len(j.Facts) < maxFacts {
			j.Facts[Decode([]byte(strings.ToLower(k)), utf8Name)] = Decode([]byte(v), utf8Name)
		}
	}
	if e.ModTime.Precision != Unknown {
		layout := "2006-01-02T15:04:05"
		if e.ModTime.ZoneKnown {
			layout += "Z07:00"
		}
		s := e.ModTime.Format(layout)
		j.ModTime, j.Precision = &s, e.ModTime.Precision.String()
	}
	return j
}

// controls turns the escapes of ASCII control characters back: JSON can carry those.
func controls(s string) string {
	return strings.Map(func(r rune) rune {
		if r >= Escape && r < Escape+' ' || r == Escape+0x7F {
			return r - Escape
		}
		return r
	}, s)
}
