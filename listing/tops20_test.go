package listing_test

import (
	"testing"

	"gateway/listing"
)

func TestTOPS20(t *testing.T) {
	runLines(t, listing.TOPS20, []lineTest{
		{"<ANNA>LOGIN.CMD.3;P777700;AMATHS,2,11-Nov-1985 11:43:39,12-Nov-1985 09:02:10,16-Nov-1858 16:00:00\n",
			[]string{`file 5120~ 1985-11-12T09:02:10 second "LOGIN.CMD" {777700,,MATHS}`}},
		{"<ANNA.SUB>LOGIN.CMD.3;P777700;A,2,11-Nov-85 11:43:39\n", []string{`file 5120~ 1985-11-11T11:43:39 second "LOGIN.CMD" {777700,,}`}},
		{"<ANNA>SUB.DIRECTORY.1;P777700;A,1,11-Nov-1985 11:43:39,16-Nov-1858 16:00:00\n", []string{`dir -1 1985-11-11T11:43:39 second "SUB" {777700,,}`}},
		{"<ANNA>A.B.1;P777700;A,1,17-Nov-1858 00:00:00\n", []string{`file 2560~ - "A.B" {777700,,}`}},
		{"PS:<ANNA>\nLOGIN.CMD.3\nA\x16.B.TXT.12\n", []string{`file -1 - "LOGIN.CMD"`, `file -1 - "A\uef16.B.TXT"`}},
		{"PS:<ANNA>LOGIN.CMD.3\n", []string{`file -1 - "LOGIN.CMD"`}},
		{"\n   PS:<ANNA>\n LOGIN.CMD.3;P777700   2 3172(7)   12-Nov-85 09:02:10 BERTA\n A.EXE.1;P777700  20 10240(36)  12-Nov-85 09:02:10\n\n Total of 22 pages in 2 files\n",
			[]string{`file 3172 1985-11-12T09:02:10 second "LOGIN.CMD" {777700,BERTA,}`, `file 51200~ 1985-11-12T09:02:10 second "A.EXE" {777700,,}`}},
		{"PS:<ANNA>\nLOGIN.CMD.3\nLOGIN.CMD\nno such thing\nA.B.3;P77 x\n<X>A.B.3;P77,1,1-JAN\n", []string{`file -1 - "LOGIN.CMD"`,
			`skipped 3: no name with a type and a generation`, `skipped 4: no name with a type and a generation`,
			`skipped 5: no pages after the name`, `skipped 6: no date after the pages`}},
	})
}

func TestTOPS20Cut(t *testing.T) {
	checkCut(t, "PS:<ANNA>\r\n<ANNA>LOGIN.CMD.3;P777700;AMATHS,2,11-Nov-1985 11:43:39,12-Nov-1985 09:02:10,16-Nov-1858 16:00:00\r\n"+
		"LOGIN.CMD.3;P777700   2 3172(7)   12-Nov-85 09:02:10 BERTA\r\nMSGS.TXT.1\r\n Total of 4 pages in 3 files\r\n", listing.TOPS20)
}
