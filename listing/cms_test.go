package listing_test

import (
	"testing"

	"gateway/listing"
)

func TestCMS(t *testing.T) {
	runLines(t, listing.CMS, []lineTest{
		{"PROFILE  EXEC     V         72          9          1 1999-09-20 17:16:18 ANN191", []string{
			`file 648~ 1999-09-20T17:16:18 second "PROFILE.EXEC" {,ANN191,}`}},
		{"CAMPUS   TIF      V       8192       3172         10 2000-10-06 17:20:37 -", []string{`file 40960~ 2000-10-06T17:20:37 second "CAMPUS.TIF"`}},
		{"SYSTEM   VMARC    F         80       2001         40  7/20/00 17:47:35 -", []string{`file 160080 2000-07-20T17:47:35 second "SYSTEM.VMARC"`}},
		{"LETTER   F        F         80          2          1 2000-07-20 17:47:35", []string{`file 160 2000-07-20T17:47:35 second "LETTER.F"`}},
		{"LETTER   A1       F         80          2          1 2000-07-20 17:47:35", []string{`file 160 2000-07-20T17:47:35 second "LETTER.A1"`}},
		{"TOOLS             DIR        -          -          - 1999-09-20 10:31:11 -", []string{`dir -1 1999-09-20T10:31:11 second "TOOLS"`}},
		{"LINKED   DATA     ALIAS      -          -          - 1999-09-20 10:31:11 ANNA", []string{`file -1 1999-09-20T10:31:11 second "LINKED.DATA" {,ANNA,}`}},
		{"Filename FileType  Fm Format Lrecl  Records Blocks Date      Time\nLASTING  GLOBALV   A1 V      41     21     1       9/16/91   15:10:32\n" +
			"CENTURY  DATE      A0 F      1      1      1       11/03/100 10:11:12\nAUTHORS            A1 DIR    -      -      -       9/20/99   10:31:11\n", []string{
			`file 861~ 1991-09-16T15:10:32 second "LASTING.GLOBALV"`, `file 1 2000-11-03T10:11:12 second "CENTURY.DATE"`,
			`dir -1 1999-09-20T10:31:11 second "AUTHORS"`}},
		{"05/20/2000 13:38:19 F 1      65758 'notes.txt'\n08/21/2000 05:28:40 D -          - 'it''s a dir'\n08/21/2000 05:28:40 L 1 - 'link'\n08/21/2000 05:28:40 P 1 - 'pipe'\n", []string{
			`file 65758 2000-05-20T13:38:19 second "notes.txt"`, `dir -1 2000-08-21T05:28:40 second "it''s a dir"`,
			`link -1 2000-08-21T05:28:40 second "link"`, `other -1 2000-08-21T05:28:40 second "pipe"`}},
		{"0013 ANNA     00000084 1999-12-10 11:47:44 NOTES    TXT\n0014 ANNA     00000084 1999-12-10 11:47:44 NOTYPE\n", []string{
			`file -1 1999-12-10T11:47:44 second "NOTES.TXT" {,ANNA,}`, `file -1 1999-12-10T11:47:44 second "NOTYPE" {,ANNA,}`}},
		{"125 List started OK\nA EXEC V 72 9 1 1999-09-20 17:16:18 -\nB EXEC V 72 9 1 1999-09-31 17:16:18 -\n250 List completed successfully.\n", []string{
			`file 648~ 1999-09-20T17:16:18 second "A.EXEC"`,
			"skipped 1: not enough columns", "skipped 3: no record format, three numbers and a date", "skipped 4: not enough columns"}},
		{"HUGE DATA V 9999999999 9999999999 1 1999-09-20 17:16:18 -", []string{`file -1 1999-09-20T17:16:18 second "HUGE.DATA"`}},
	})
	notOf(t, listing.CMS, []string{
		"A EXEC V 72 9 1 1999-09-20", "A EXEC X 72 9 1 1999-09-20 17:16:18 -", "A B C D V 72 9 1 1999-09-20 17:16:18 -",
		"05-20-00  01:38PM       1 'notes.txt'", "0013 ANNA 84 1999-12-10 11:47:44 NOTES",
	})
	cutAnywhere(t, listing.CMS, "A EXEC V 72 9 1 1999-09-20 17:16:18 -\nT  DIR - - - 1999-09-20 10:31:11 -\n05/20/2000 13:38:19 F 1 65758 'n'\n"+
		"0013 ANNA     00000084 1999-12-10 11:47:44 NOTES    TXT\nL G   A1 V      41     21     1       9/16/91   15:10:32")
}
