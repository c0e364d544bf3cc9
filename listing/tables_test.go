package listing_test

import (
	"testing"

	"gateway/listing"
)

func TestTable(t *testing.T) {
	for _, tt := range []struct {
		name, raw string
		want      []string
	}{
		{"names behind", "A17  BACKUP  2011-03-02 10:15   17 tape   nightly run.tar\r\nB2   BACKUP  2011-04-13 10:15:30  1   old 2010-01-01 list\r\n",
			[]string{`file -1 2011-03-02T10:15:00 minute "tape   nightly run.tar"`, `file -1 2011-04-13T10:15:30 second "old 2010-01-01 list"`}},
		{"names before", "nightly run.tar   17  02-MAR-2011\r\nsrc <DIR> 0 13-APR-2011\r\n",
			[]string{`file -1 2011-03-02T00:00:00 day "nightly run.tar"`, `dir -1 2011-04-13T00:00:00 day "src"`}},
		{"dates of two readings", "  17;x 3/4/2011 one\n  18;x 5/6/2011 two\nVolume full, sorry\n  19;x 5/6/2011 three\n",
			[]string{`file -1 - "one"`, `file -1 - "two"`, `file -1 - "three"`,
				"skipped 3: no known format: no date or time of day in it"}},
	} {
		r, err := listing.Parse([]byte(tt.raw), listing.Options{Now: now})
		if err != nil || r.Format != listing.Table {
			t.Errorf("%s: format %q, %v", tt.name, r.Format, err)
		}
		got := showAll(r)
		if len(got) != len(tt.want) {
			t.Fatalf("%s: %q", tt.name, got)
		}
		for i := range got {
			if got[i] != tt.want[i] {
				t.Errorf("%s:\n got %s\nwant %s", tt.name, got[i], tt.want[i])
			}
		}
	}
	// one line, and lines that merely have times in them, are no table
	for _, raw := range []string{
		"ftpd 2011-03-02 no such: thing\r\n",
		"sorry, full:: \r\ntry again after 10:15\r\nor call 0171: 55 55\r\nbye: x\r\n",
	} {
		if r, err := listing.Parse([]byte(raw), listing.Options{}); err == nil {
			t.Errorf("%q: %s", raw, showAll(r))
		}
	}
}
