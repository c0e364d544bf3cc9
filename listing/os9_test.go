package listing_test

import (
	"testing"

	"gateway/listing"
)

func TestOS9(t *testing.T) {
	head := "                            Directory of . 11:44:44\n Owner    Last modified  Attributes Sector Bytecount Name\n" +
		"-------   -------------  ---------- ------ --------- ----\n"
	runLines(t, listing.OS9, []lineTest{
		{head, nil},
		{head + "   0.0    01/02/13 0945   d-----wr     3C0    148724 CMDS\n", []string{`dir -1 2001-02-13T09:45:00 minute "CMDS" {d-----wr,0.0,}`}},
		{"20.20 107/03/29 1026 --e-rewr 26A0 85920 a b", []string{`file 85920 2007-03-29T10:26:00 minute "a b" {--e-rewr,20.20,}`}},
		{"0.1 5/1/2 10:26 -------- 0 1 x", []string{`file 1 2005-01-02T10:26:00 minute "x" {--------,0.1,}`}},
		{head + "0 01/02/13 0945 d-----wr 3C0 1 x\n0.0 x 0945 d-----wr 3C0 1 x\n0.0 01/02/13 2545 d-----wr 3C0 1 x\n0.0 01/02/13 0945 dx----wr 3C0 1 x\n" +
			"0.0 01/02/13 0945 d-----wr 3G0 1 x\n0.0 01/02/30 0945 d-----wr 3C0 1 x\n0.0 01/02/13 0945 d-----wr 3C0 1\n", []string{
			"skipped 4: no owner", "skipped 5: no date after the owner", "skipped 6: no time of day", "skipped 7: no attributes",
			"skipped 8: no sector and byte count", "skipped 9: no such date", "skipped 10: no name"}},
	})
}
