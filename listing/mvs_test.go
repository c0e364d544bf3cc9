package listing_test

import (
	"strings"
	"testing"

	"gateway/listing"
)

const mvsHeader = "Volume Unit    Referred Ext Used Recfm Lrecl BlkSz Dsorg Dsname\r\n"

func TestMVS(t *testing.T) {
	runLines(t, listing.MVS, []lineTest{
		// attributes
		{"PROD01 3390   2024/05/30  1   15  FB      80 27920  PO  JCL.CNTL", []string{`dir -1 - "JCL.CNTL"`}},
		{"PROD01 3390   2024/05/30  1   15  U    32760 32760  PO-E LOADLIB", []string{`dir -1 - "LOADLIB"`}},
		{"PROD01 3390   2024/05/30  1    2  FB      80 27920  PS  REPORT.D240530", []string{`file 113328~ - "REPORT.D240530"`}},
		{"PROD01 3380K  2024/05/30  1    2  VBA    133 27930  PS  SPFLOG1.LIST", []string{`file 94952~ - "SPFLOG1.LIST"`}},
		{"PROD01 3480   2024/05/30  1    2  VB     133 27930  PS  ON.CARTRIDGE", []string{`file -1 - "ON.CARTRIDGE"`}},
		{"PROD01 3390   2024/05/30  3   15  F     4096  4096  DA  DIRECT.ACCESS", []string{`file 849960~ - "DIRECT.ACCESS"`}},
		{"PROD01 3390   **NONE**    1   15  ?        0     0 NONE NEVER.OPENED", []string{`file 849960~ - "NEVER.OPENED"`}},
		{"PROD01 3390     **NONE**  1   15  FB      80 27920  PS  NEVER.OPENED", []string{`file 849960~ - "NEVER.OPENED"`}},
		{"PROD01 3390   2024/05/30  1+++++  VBS  32760 27998  PS  'ANNA.SMF DATA'", []string{`file -1 - "'ANNA.SMF DATA'"`}},
		{"PROD01 3390   2024/05/30  1 ++++  VBS  32760 27998  PS  BIG", []string{`file -1 - "BIG"`}},
		{"PROD01 3390   2024/05/30  1 ????  VBS  32760 27998  PS  BIG", []string{`file -1 - "BIG"`}},
		{"PROD01 3390   2024/05/30  1   2K  VBS  32760 27998  PS  BIG", []string{`file 113328000~ - "BIG"`}},
		{"PROD01 3390   2024/05/30  112345  FB   32760 27998  PS  TOUCHING", []string{`file 699517080~ - "TOUCHING"`}},
		{"PROD01 3390   2024/05/30123 2415  U    18432 18432  PO  EXTENTS", []string{`dir -1 - "EXTENTS"`}},
		{"PROD01 3390   2024/05/30 213000 U 0 27998 PO squeezed", []string{`dir -1 - "squeezed"`}},
		{"PROD01 3390   2024/05/30  1    1  FB      80 27920  PS  PADDED      ", []string{`file 56664~ - "PADDED"`}},
		// other servers
		{"Volume Unit  Date  Ext Used Recfm Lrecl BlkSz Dsorg Dsname\nWORK01 3380   12/29/95  1   60  FB      80 23200  PO  OLD.CLIST", []string{`dir -1 - "OLD.CLIST"`}},
		{"Volume Referred     Ext        Used Recfm Lrecl BlkSz Dsorg Dsname\nWORK01 2024/01/03     1         15  VB   32756 32760 PS   WIDE.DATA", []string{`file 849960~ - "WIDE.DATA"`}},
		{"WORK012024/01/03     1  327674532VBS    32760 27998PS   WIDE.DATA", []string{`file 18567349681248~ - "WIDE.DATA"`}},
		{"Volume  Referred  Ext  Tracks    Used Recfm Lrecl BlkSz Dsorg  Dsname\nWORK01 2024/09/05   1      15       ?  U        0  6144  PO-E  COZ.LOADLIB\nWORK01 2024/09/05   1      15       4  FB      80 27920  PS    COZ.DATA",
			[]string{`dir -1 - "COZ.LOADLIB"`, `file 226656~ - "COZ.DATA"`}},
		// states
		{"Migrated                                                OLD.DATA", []string{`file -1 - "OLD.DATA"`}},
		{"MIGRAT\t\tOLD.DATA", []string{`file -1 - "OLD.DATA"`}},
		{"ARC001 Not Direct Access Device                         OLDER.DATA", []string{`file -1 - "OLDER.DATA"`}},
		{"WORK01 Not mounted                                      AWAY.DATA", []string{`file -1 - "AWAY.DATA"`}},
		{"WORK01 < File not on volume >                           LOST.DATA", []string{`file -1 - "LOST.DATA"`}},
		{"WORK01 Error determining attributes                     ODD.DATA", []string{`file -1 - "ODD.DATA"`}},
		{"Error determining attributes                            ODD.DATA", []string{`file -1 - "ODD.DATA"`}},
		{"Pseudo Directory                                        ISPF", []string{`dir -1 - "ISPF"`}},
		{"User catalog connector                                  ANNA.UCAT", []string{`file -1 - "ANNA.UCAT"`}},
		{"V43525 Tape                                             BACKUP.D1", []string{`file -1 - "BACKUP.D1"`}},
		{"                                                   VSAM CUSTOMER.KSDS", []string{`file -1 - "CUSTOMER.KSDS"`}},
		{"PROD01 3390                                        VSAM CUSTOMER.KSDS.DATA", []string{`file -1 - "CUSTOMER.KSDS.DATA"`}},
		{"PROD01 3390   VSAM CUSTOMER.KSDS.INDEX", []string{`file -1 - "CUSTOMER.KSDS.INDEX"`}},
		{"                                                    GDG MONTHLY", []string{`file -1 - "MONTHLY"`}},
		// after a header more is accepted
		{mvsHeader + "PROD01 3390                                         VSAMPROD.KSDS\r\n                                                    PATHPROD.PATH\r\n" +
			"PROD01 Being recalled right now                         COMING.BACK\r\nMigrated OLD\r\n250 List completed successfully.\r\nPROD01\r\n", []string{
			`file -1 - "PROD.KSDS"`, `file -1 - "PROD.PATH"`, `file -1 - "COMING.BACK"`, `file -1 - "OLD"`,
			"skipped 6: no organization or state of a data set before the name",
			"skipped 7: no organization or state of a data set before the name"}},
		{mvsHeader, nil},
	})
}

func TestNotMVS(t *testing.T) {
	notOf(t, listing.MVS, []string{
		"Migrated.DATA", "MigratedPROD.OLD.DATA", "PROD0133902024/05/041VB2799427998PSREPORT", "Migrated photos",
		"VSAM manual.txt", "notes VSAM manual.txt", "GDG  list", "Tape  backup", "3390 readme", "a  b",
		"PROD01 3390   2024/05/30  1    1  FB      80 27920  REPORT", "PROD01 3390   2024/05/30", "PROD01",
	})
}

func TestMVSCut(t *testing.T) {
	cutAnywhere(t, listing.MVS, mvsHeader+
		"PROD01 3390   2024/05/30  1+++++  FB      80 27920  PS  'ANNA.D'\r\n"+
		"PROD01 3390                                        VSAM K\r\nMigrated                   M\r\nA Tape    T\r\n")
}

func TestPDS(t *testing.T) {
	const head = " Name     VV.MM   Created       Changed      Size  Init   Mod   Id\r\n"
	runLines(t, listing.PDS, []lineTest{
		{head + "IEFBR14   01.03 2012/09/12 2024/05/30 09:37    11    11     0 ANNA\r\nNOSTATS\r\n", []string{
			`file -1 2024-05-30T09:37:00 minute "IEFBR14" {,ANNA,}`, `file -1 - "NOSTATS"`}},
		{"$README   01.10 89/04/19 94/12/15 18:55:07    90     1     0 ANNA", []string{`file -1 1994-12-15T18:55:07 second "$README" {,ANNA,}`}},
		{"NOUSER    01.10 1989/04/19 1994/12/15 18:55    90     1     0", []string{`file -1 1994-12-15T18:55:00 minute "NOUSER"`}},
		{"BIG       01.10 1989/04/19 1994/12/15 18:55 123456123456     0 ANNA", []string{`file -1 1994-12-15T18:55:00 minute "BIG" {,ANNA,}`}},
		{head + "BROKEN    01.10 1989/04/31 1994/12/15 18:55    90     1     0 ANNA\r\nIEFBR14   01.03 2012/09/12\r\nno member\r\n", []string{
			`file -1 - "BROKEN"`, `file -1 - "IEFBR14"`, "skipped 4: no statistics and no attributes of a load module"}},
		{"ALONE" + strings.Repeat(" ", 60), []string{`file -1 - "ALONE"`}},
		{" Name      Size     TTR   Alias-of AC --------- Attributes --------- Amode Rmode\n" +
			"PAYROLL   0005F48   000011 PAYALIAS 00 FO             RN RU            31    ANY\n" +
			"REPORT    000058   00000F          01 FO                              64    24 \nMEMBER\n", []string{
			`file 24392 - "PAYROLL"`, `file 88 - "REPORT"`, `file -1 - "MEMBER"`}},
		{"REPORT    000058   00000F          01 FO     31    ANY", []string{`file 88 - "REPORT"`}},
		{head, nil},
	})
	r, err := listing.Parse([]byte("A  01.03 2012/09/12 2024/05/30 09:37  11  11  0 ANNA"), listing.Options{})
	if err != nil || r.Entries[0].Version != "01.03" {
		t.Errorf("version of %+v, %v", r.Entries, err)
	}
}

func TestPDSCut(t *testing.T) {
	cutAnywhere(t, listing.PDS, " Name     VV.MM   Created       Changed      Size  Init   Mod   Id\r\n"+
		"A  01.03 2012/09/12 2024/05/30 09:37  11  11  0 ANNA\r\nB\r\n"+
		" Name      Size     TTR   Alias-of AC --------- Attributes --------- Amode Rmode\nC   000058   00000F  X 01 FO     31    ANY")
}

// TestSystNames: a lone word means nothing, unless the server is known to list members.
func TestSystNames(t *testing.T) {
	const syst = "MVS is the operating system of this server. FTP Server is running on z/OS."
	for raw, want := range map[string]listing.Format{"PAYROLL\r\n": listing.PDS, "PAY-ROLL\r\n": listing.PDS, "error\r\n": "", "A B\r\n": ""} {
		if r, _ := listing.Parse([]byte(raw), listing.Options{Syst: syst}); r.Format != want {
			t.Errorf("Parse(%q) from MVS: format %q, want %q", raw, r.Format, want)
		}
		if r, _ := listing.Parse([]byte(raw), listing.Options{}); r.Format != "" {
			t.Errorf("Parse(%q): format %q, want none", raw, r.Format)
		}
	}
	if r, _ := listing.Parse([]byte("A\r\nlower\r\n"), listing.Options{Format: listing.PDS}); len(r.Entries) != 1 {
		t.Errorf("members by option: %q", showAll(r))
	}
}

func TestJES(t *testing.T) {
	runLines(t, listing.JES, []lineTest{
		{"ANNA1     JOB01906  OUTPUT    3 Spool Files\nANNA2     JOB01907  INPUT   -HELD-\nANNA3     J0123456  ACTIVE\n", []string{
			`file -1 - "JOB01906"`, `file -1 - "JOB01907"`, `file -1 - "J0123456"`}},
		{"JOBNAME  JOBID    OWNER    STATUS CLASS\nANNA1    JOB01906 ANNA     OUTPUT A        RC=0000 3 spool files\n" +
			"ANNA     TSU01830 ANNA     OUTPUT TSU      ABEND=522 3 spool files\nBPXAS    STC02132 ++++++++ ACTIVE STC\n" +
			"anna1p   JOB00093 ANNA     INPUT  A        -DUP-\nANNA1J   JOB00082 ANNA     OUTPUT A        (JCL error) 3 spool files\n", []string{
			`file -1 - "JOB01906" {,ANNA,}`, `file -1 - "TSU01830" {,ANNA,}`, `file -1 - "STC02132"`,
			`file -1 - "JOB00093" {,ANNA,}`, `file -1 - "JOB00082" {,ANNA,}`}},
		{"JOBNAME  JOBID    OWNER    STATUS CLASS\nANNA1    JOB01906 ANNA     OUTPUT A        RC=0000\n--------\n" +
			"         ID  STEPNAME PROCSTEP C DDNAME   BYTE-COUNT\n         001 JES2              A JESMSGLG      1169\n" +
			"         002 JES2        N/A   A JESJCL         380\n         010 STEP1    RUN      B SYSPRINT     22258 \n3 spool files \n", []string{
			`file 1169 - "JOB01906.1"`, `file 380 - "JOB01906.2"`, `file 22258 - "JOB01906.10"`}},
		{"ANNA1    JOB01906 ANNA     OUTPUT A        RC=0000\n         ID  STEPNAME PROCSTEP C DDNAME   REC-COUNT COMMENT\n         001 JES3              A JESMSGLG        11  held\n", []string{
			`file -1 - "JOB01906.1"`}},
		{"         ID  STEPNAME PROCSTEP C DDNAME   BYTE-COUNT\n         001 JES2              A JESMSGLG      1169\n", []string{`file 1169 - "1"`}},
		{"JOBNAME  JOBID    OWNER    STATUS CLASS\nANNA     TSU00024 ANNA     ACTIVE TSU\n--------\n         STEPNAME ++++++++ PROCNAME ISPFPROC\n" +
			"         CPUTIME     0.503 ELAPSED TIME   3853.718\nSTEP, PROC, CPUT, and ELAPT unknown\n", []string{`file -1 - "TSU00024" {,ANNA,}`}},
		{"No jobs found on Held queue\r\n", nil},
	})
	notOf(t, listing.JES, []string{"A JOB01906", "ANNA1 JOB01906 done", "a b OUTPUT", "3 spool files", "--------", "STEPNAME X"})
	cutAnywhere(t, listing.JES, "JOBNAME  JOBID    OWNER    STATUS CLASS\nANNA1    JOB01906 ANNA     OUTPUT A        RC=0000\n--------\n"+
		"  ID  STEPNAME PROCSTEP C DDNAME   BYTE-COUNT\n  001 JES2   A JESMSGLG      1169\n1 spool files\nANNA1  JOB01906  OUTPUT    3 Spool Files")
}
