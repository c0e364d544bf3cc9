package main

import (
	"encoding/hex"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/dustin/go-humanize"
)

// What the summary of an examination holds of keys that are not accepted any more.
const (
	maxRefusedKeys  = 1000 // further ones are told only with their files
	maxRefusedFiles = 20   // named for each key
)

// examinedOutput prints what is examined as it comes, and counts it. In text only
// what is wrong is printed.
type examinedOutput struct {
	w     io.Writer
	json  bool
	files int64
	bytes int64
	wrong int64
	keys  map[string]*refusedKey
}

// refusedKey is a key on whose word files were published that does not count today.
type refusedKey struct {
	Fingerprint string   `json:"fingerprint"`
	Reason      string   `json:"reason"`
	Files       int64    `json:"files"`           // that it vouched for
	First       []string `json:"first,omitempty"` // the first of them
}

func newExaminedOutput(w io.Writer, json bool) *examinedOutput {
	return &examinedOutput{w: w, json: json, keys: map[string]*refusedKey{}}
}

// examinedLine is a file in the output of --json.
type examinedLine struct {
	Event   string   `json:"event"`
	Path    string   `json:"path"`
	OK      bool     `json:"ok"`
	Faults  []string `json:"faults"`
	Refused []string `json:"refusedKeys,omitempty"`
	Key     string   `json:"provenanceKey,omitempty"` // that signed the provenance
	Verdict string   `json:"verdict"`
	Size    int64    `json:"size"`
	SHA256  string   `json:"sha256"`
	Source  string   `json:"source"`
}

func (o *examinedOutput) examined(f *examined) error {
	o.files++
	o.bytes += max(f.pub.Size, 0)
	var faults []string
	for _, p := range f.proof.parts {
		if p.err != nil {
			faults = append(faults, p.what+": "+p.err.Error())
		}
	}
	line := examinedLine{
		Event: "file", Path: printable(f.at.String()), OK: f.ok(), Key: f.proof.keyID,
		Verdict: f.pub.Verdict, Size: f.pub.Size, SHA256: hex.EncodeToString(f.pub.SHA256), Source: f.pub.Source,
	}
	if f.again != "" {
		faults = append(faults, "policy: it would not be published now: "+f.again)
	}
	for _, k := range f.keys {
		faults = append(faults, "key: "+k.err.Error())
		line.Refused = append(line.Refused, k.fingerprint)
		o.refuse(k, line.Path)
	}
	if !f.ok() {
		o.wrong++
	}
	var err error
	if o.json {
		line.Faults = append([]string{}, faults...)
		err = printJSON(o.w, line)
	} else if !f.ok() {
		if _, err = fmt.Fprintln(o.w, line.Path); err == nil {
			for _, fault := range faults {
				wrapText(o.w, "      ", printable(fault))
			}
		}
	}
	if err != nil {
		return fmt.Errorf("%w: %w", errOutput, err)
	}
	return nil
}

func (o *examinedOutput) refuse(k keyFault, path string) {
	r := o.keys[k.fingerprint]
	if r == nil {
		if len(o.keys) == maxRefusedKeys {
			return
		}
		r = &refusedKey{Fingerprint: k.fingerprint, Reason: k.err.Error()}
		o.keys[k.fingerprint] = r
	}
	if r.Files++; len(r.First) < maxRefusedFiles {
		r.First = append(r.First, path)
	}
}

// summary ends the output. It is errSilent if something is wrong.
func (o *examinedOutput) summary() error {
	refused := make([]*refusedKey, 0, len(o.keys))
	for _, fingerprint := range slices.Sorted(maps.Keys(o.keys)) {
		refused = append(refused, o.keys[fingerprint])
	}
	var err error
	if o.json {
		err = printJSON(o.w, map[string]any{
			"event": "summary", "files": o.files, "bytes": o.bytes, "wrong": o.wrong, "refusedKeys": refused,
		})
	} else {
		err = o.text(refused)
	}
	if err == nil && o.wrong > 0 {
		err = errSilent
	}
	return err
}

func (o *examinedOutput) text(refused []*refusedKey) error {
	var b strings.Builder
	for _, k := range refused {
		fmt.Fprintf(&b, "\nKey %s\n", printable(k.Fingerprint))
		wrapText(&b, "  ", printable(k.Reason))
		fmt.Fprintf(&b, "  vouched for %s of the files:\n", humanize.Comma(k.Files))
		for _, path := range k.First {
			fmt.Fprintf(&b, "    %s\n", path)
		}
		if more := k.Files - int64(len(k.First)); more > 0 {
			fmt.Fprintf(&b, "    and %s more; --json names them\n", humanize.Comma(more))
		}
	}
	if o.wrong > 0 {
		b.WriteString("\n")
	}
	fmt.Fprintf(&b, "  %-22s %10s  %s\n", "published, examined", humanize.Comma(o.files), humanize.IBytes(uint64(o.bytes)))
	fmt.Fprintf(&b, "  %-22s %10s\n", "as they were proved", humanize.Comma(o.files-o.wrong))
	fmt.Fprintf(&b, "  %-22s %10s\n", "not so", humanize.Comma(o.wrong))
	_, err := io.WriteString(o.w, b.String())
	return err
}
