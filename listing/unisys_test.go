package listing_test

import (
	"testing"

	"gateway/listing"
)

func TestUnisys(t *testing.T) {
	runLines(t, listing.Unisys, []lineTest{
		{"Report for: (ANNA)A ON PACK\n          0 Files     0 Octets\n", nil},
		{"A/B                     SEQDATA    84 06/09/1998  12:03", []string{`file 84 1998-06-09T12:03:00 minute "A/B"`}},
		{"A DATA 84 13/09/98 12:03:04\nB DATA 84 02/09/98 12:03:04\n", []string{
			`file 84 1998-09-13T12:03:04 second "A"`, `file 84 1998-09-02T12:03:04 second "B"`}},
		{"Report for: X\nA/LONG/TITLE/OF/A/FILE\n  DATA 84 03/09/98 12:03\nA/LONG/TITLE/WITHOUT/ITS/ENTRY\nA DATA 84 06/09/1998 12:03\n", []string{
			`file 84 1998-03-09T12:03:00 minute "A/LONG/TITLE/OF/A/FILE"`, `file 84 1998-06-09T12:03:00 minute "A"`,
			"skipped 4: the line that should complete the entry is missing"}},
		{"Report for: X\nA data 84 06/09/1998 12:03\nA DATA x 06/09/1998 12:03\nA DATA 1 06/09/1998 x\nA DATA 1 02/30/1998 12:00\n", []string{
			"skipped 2: no title, kind, size, date and time", "skipped 3: no size after the kind of the file",
			"skipped 4: no date and time after the size", "skipped 5: no such date"}},
	})
}
