package listing_test

import (
	"testing"

	"gateway/listing"
)

func TestMPE(t *testing.T) {
	runLines(t, listing.MPE, []lineTest{
		{"ORDERS             80B  FA          45         45   3       16  1  1", []string{`file 3600~ - "ORDERS"`}},
		{"NIGHTRUN  NMPRG   128W  FB           6          6   1       16  1  *", []string{`file 1536~ - "NIGHTRUN"`}},
		{"LOGFILE*           80B  FA          45         45   3       16  1  1", []string{`file 3600~ - "LOGFILE"`}},
		{"ORDERS             80B  FA          45         45", []string{`file 3600~ - "ORDERS"`}},
		{"           1B  BA         115 2147483647   1       16  1  *  a b  ", []string{`file 115 - "a b"`}},
		{"          16W  HBD          0   67107839   1       32  1  *  d/", []string{`dir -1 - "d"`}},
		{"@.PUB not found", nil},
		{"ACCOUNT=  SALES       GROUP=  PUB\n  SIZE  TYP  EOF  LIMIT\nORDERS 80X FA 4 4\nORDERS 80B fa 4 4\n          16W  HBD 0 67107839 1 32 1 *\n", []string{
			"skipped 3: no record size, type, EOF and limit", "skipped 4: no record size, type, EOF and limit", "skipped 5: no name"}},
	})
}
