package listing_test

import (
	"testing"

	"gateway/listing"
)

func TestDLS(t *testing.T) {
	runLines(t, listing.DLS, []lineTest{
		{"README              763  What this is", []string{`file 763 - "README"`}},
		{"README              763", []string{`file 763 - "README"`}},
		{"pub/                  =  Jul 11 2003  Public area", []string{`dir -1 2003-07-11T00:00:00 day "pub"`}},
		{"latest               14  Apr 18  9:39  -> ../releases/14", []string{`link -1 2024-04-18T09:39:00 minute "latest" -> "../releases/14"`}},
		{"latest               14  -> 14", []string{`link -1 - "latest" -> "14"`}},
		{"README              763  x\na-name-that-is-too-long.tar\n                  79215  Jan  4  6:45\na-name-that-is-alone.tar\n", []string{
			`file 763 - "README"`, `file 79215 2024-01-04T06:45:00 minute "a-name-that-is-too-long.tar"`,
			"skipped 4: the line that should complete the entry is missing"}},
		{"README              763  x\nREAD ME             763  x\nREADME                -  x\nREADME              76 3  x\n                    763\nREADME x\n", []string{
			`file 763 - "README"`, "skipped 2: a blank in the name", "skipped 3: a directory without its slash",
			"skipped 4: no size in the 23rd column", "skipped 5: no name", "skipped 6: no size in the 23rd column"}},
	})
}
