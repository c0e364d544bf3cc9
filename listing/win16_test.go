package listing_test

import (
	"testing"

	"gateway/listing"
)

func TestWin16(t *testing.T) {
	runLines(t, listing.Win16, []lineTest{
		{"INSTALL         <DIR>      Nov 16 1994 17:17", []string{`dir -1 1994-11-16T17:17:00 minute "INSTALL"`}},
		{"A.DOC     11264      May 11 1995 14:20   RHA", []string{`file 11264 1995-05-11T14:20:00 minute "A.DOC" {RHA,,}`}},
		{"A.DOC     11264      May 11 1995 14:20   -rwa", []string{`file 11264 1995-05-11T14:20:00 minute "A.DOC" {-rwa,,}`}},
		{"A.DOC     11264      May 11 1995 14:20   R A", []string{`file 11264 1995-05-11T14:20:00 minute "A.DOC" {R A,,}`}},
		{"A.DOC     11264      05-11-95        14:20   ", []string{`file 11264 1995-05-11T14:20:00 minute "A.DOC"`}},
		{"TEST~1    <DIR>     11-29-2004  22:52  Test", []string{`dir -1 2004-11-29T22:52:00 minute " Test"`}},
		{"A~1.DOC   7   29/11/2004  22:52 A", []string{`file 7 2004-11-29T22:52:00 minute "A"`}},
		{"image.exe  1014196  06/03/04  Thur.   10:20:03", []string{`file 1014196 2004-06-03T10:20:03 second "image.exe"`}},
		{"A 1 05-11-95 14:20\nB x 05-11-95 14:20\nC 1 05-11-95 x\nD 1 Xyz 11 1995 14:20\nE 1 02-30-95 14:20\n F 1 05-11-95 14:20\n", []string{
			`file 1 1995-05-11T14:20:00 minute "A"`, "skipped 2: no size after the name", "skipped 3: no time of day",
			"skipped 4: no date after the size", "skipped 5: no such date", "skipped 6: no name at the start of the line"}},
	})
}
