package main

import (
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"unicode/utf8"

	"github.com/dustin/go-humanize"

	"gateway/integrity"
)

// errOutput is for a result that could not be printed.
var errOutput = errors.New("cannot print")

// verifyOutput prints what is judged as it comes, and counts it.
type verifyOutput struct {
	w     io.Writer
	json  bool
	count map[string]int64            // by what would become of the file
	by    map[string]map[string]int64 // and by verdict
	bytes int64
	files int64
}

func newVerifyOutput(w io.Writer, json bool) *verifyOutput {
	return &verifyOutput{w: w, json: json, count: map[string]int64{}, by: map[string]map[string]int64{}}
}

// judgedLine is a file in the output of --json.
type judgedLine struct {
	Event    string              `json:"event"`
	Path     string              `json:"path"`              // escaped where it is not printable
	RawPath  string              `json:"rawPath,omitempty"` // hex of its bytes, if they are not UTF-8
	Size     int64               `json:"size"`              // -1: not known
	SHA256   string              `json:"sha256,omitempty"`
	Action   string              `json:"action"` // publish, quarantine, fail, skip
	Verdict  integrity.Verdict   `json:"verdict,omitempty"`
	Reason   string              `json:"reason"`
	Rule     string              `json:"rule,omitempty"`
	Evidence []integrity.Finding `json:"evidence,omitempty"`
}

func (o *verifyOutput) judged(v judged) error {
	o.files++
	o.bytes += max(v.size, 0)
	o.count[v.does]++
	if o.by[v.does] == nil {
		o.by[v.does] = map[string]int64{}
	}
	o.by[v.does][string(v.Verdict)]++
	var err error
	if o.json {
		line := judgedLine{
			Event: "file", Path: printable(v.path), Size: v.size, SHA256: hex.EncodeToString(v.sum), Action: v.does,
			Verdict: v.Verdict, Reason: v.Reason, Rule: v.Rule, Evidence: v.Evidence,
		}
		if !utf8.ValidString(v.path) {
			line.RawPath = hex.EncodeToString([]byte(v.path))
		}
		err = printJSON(o.w, line)
	} else if _, err = fmt.Fprintf(o.w, "%-10s  %-10s  %s\n", v.does, v.Verdict, printable(v.path)); err == nil {
		wrapText(o.w, "      ", printable(v.Reason))
	}
	if err != nil {
		return fmt.Errorf("%w: %w", errOutput, err)
	}
	return nil
}

// summary ends the output. It is errSilent unless all files would be published.
func (o *verifyOutput) summary() error {
	whole := o.files > 0 && o.count[wouldPublish]+o.count[wouldSkip] == o.files
	var err error
	if o.json {
		err = printJSON(o.w, map[string]any{
			"event": "summary", "files": o.files, "bytes": o.bytes, "actions": o.count, "verdicts": o.by, "complete": whole,
		})
	} else {
		fmt.Fprintf(o.w, "\n  %-22s %10s  %s\n", "files", humanize.Comma(o.files), humanize.IBytes(uint64(o.bytes)))
		for _, does := range []string{wouldPublish, wouldQuarantine, wouldFail, wouldSkip} {
			o.line(does)
		}
		if o.files == 0 {
			_, err = fmt.Fprintln(o.w, "There is no file: nothing was proved.")
		}
	}
	if err == nil && !whole {
		err = errSilent
	}
	return err
}

func (o *verifyOutput) line(does string) {
	if o.count[does] == 0 && does != wouldPublish {
		return
	}
	words := map[string]string{
		wouldPublish: "would be published", wouldQuarantine: "would be quarantined",
		wouldFail: "could not be published", wouldSkip: "links, skipped",
	}[does]
	fmt.Fprintf(o.w, "  %-22s %10s\n", words, humanize.Comma(o.count[does]))
	for _, verdict := range []integrity.Verdict{integrity.Authentic, integrity.Intact, integrity.Unverified, integrity.Bad} {
		if n := o.by[does][string(verdict)]; n > 0 {
			fmt.Fprintf(o.w, "    %-20s %10s\n", verdict, humanize.Comma(n))
		}
	}
}
