package listing_test

import (
	"fmt"
	"strings"
	"testing"

	"gateway/listing"
)

// tables are the formats whose own vectors are in a file of their name.
func tables() []listing.Format {
	return []listing.Format{listing.OS400, listing.OS2, listing.NonStop, listing.EPLF, listing.MPE, listing.Unisys,
		listing.VxWorks, listing.OS9, listing.Win16, listing.DLS}
}

// TestTablesAreFound parses the vectors of each table without SYST: none may be taken for another format.
func TestTablesAreFound(t *testing.T) {
	for _, f := range tables() {
		for _, c := range readCases(t, []string{"testdata/" + string(f) + ".jsonl"}) {
			r, err := listing.Parse(c.raw(t), listing.Options{Now: now})
			if r.Format != f || err != nil {
				t.Errorf("%s: format %q, %v", c.Case, r.Format, err)
			}
			for _, s := range r.Skipped {
				t.Errorf("%s: line %d is skipped: %s", c.Case, s.Line, s.Reason)
			}
		}
	}
}

// TestTablesCut parses every beginning and every end of the vectors, in the format found and in each of the others.
func TestTablesCut(t *testing.T) {
	for _, f := range tables() {
		for _, c := range readCases(t, []string{"testdata/" + string(f) + ".jsonl"}) {
			raw := c.raw(t)
			whole, _ := listing.Parse(raw, listing.Options{Now: now})
			for i := range raw {
				checkPart(t, c.Case, raw[:i], "", len(whole.Entries))
				checkPart(t, c.Case, raw[i:], f, len(whole.Entries))
			}
			for _, other := range listing.Formats() {
				checkPart(t, c.Case, raw, other, len(raw))
			}
		}
	}
}

// checkPart reports entries without a name and more entries than there can be.
func checkPart(t *testing.T, name string, raw []byte, f listing.Format, most int) {
	t.Helper()
	r, _ := listing.Parse(raw, listing.Options{Now: now, Format: f})
	if len(r.Entries) > most && r.Format != listing.Names {
		t.Errorf("%s, %d bytes in format %q: %d entries of %d", name, len(raw), r.Format, len(r.Entries), most)
	}
	for _, e := range r.Entries {
		if len(e.RawName) == 0 || strings.TrimSpace(e.Name) == "" || e.Size < -1 {
			t.Errorf("%s, %d bytes in format %q: bad entry %s", name, len(raw), r.Format, show(e))
		}
	}
}

// TestTablesHostile feeds each table what resembles its columns, by the thousand.
func TestTablesHostile(t *testing.T) {
	units := []string{"* ", "*A ", "*DIR", "+", "+,", "+r,\t", "1 ", "O ", "- ", "DIR ", "A/", "01-01-01 ", "<DIR> ", "\t", "1B FA 1 1 ", "*"}
	for _, f := range tables() {
		for _, u := range units {
			raw := strings.Repeat(u, 60000/len(u))
			lines := strings.Repeat(strings.Repeat(u, 1+40/len(u))+"\r\n", 500)
			for _, s := range []string{raw, lines} {
				r, _ := listing.Parse([]byte(s), listing.Options{Now: now, Format: f})
				for _, e := range r.Entries {
					if len(e.RawName) == 0 {
						t.Errorf("%s: %q gives an entry without a name", f, fmt.Sprintf("%.40s", u))
					}
				}
			}
		}
	}
}
