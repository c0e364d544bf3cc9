package listing_test

import (
	"testing"

	"gateway/listing"
)

func TestEPLF(t *testing.T) {
	runLines(t, listing.EPLF, []lineTest{
		{"+i8388621.48594,m825718503,r,s280,up755,\ta b", []string{`file 280 1996-03-01T22:15:03Z second "a b" {755,,}`}},
		{"+i8388621.50690,m824255907,/\t d ", []string{`dir -1 1996-02-13T23:58:27Z second " d "`}},
		{"+/,r,s5,\tboth", []string{`dir -1 - "both"`}},
		{"+r,\t  a", []string{`file -1 - "  a"`}},
		{"+r,xnew,s7,,\tunknown facts", []string{`file 7 - "unknown facts"`}},
		{"+r,s7, no tab", []string{`file 7 - "no tab"`}},
		{"+r,s7,\tx\n+m825718503,\tlocked\n+\tx\n+r,\nr,\tx\n+q,\tx\n+r,sx,m99999999999999,\tx\n", []string{
			`file 7 - "x"`, `file -1 - "x"`,
			"skipped 2: neither a directory (/) nor a file that can be retrieved (r)", "skipped 3: no facts or no name",
			"skipped 4: no facts or no name", "skipped 5: does not start with +", "skipped 6: no fact that is known"}},
	})
}
