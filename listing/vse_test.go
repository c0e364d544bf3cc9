package listing_test

import (
	"testing"

	"gateway/listing"
)

func TestVSE(t *testing.T) {
	runLines(t, listing.VSE, []lineTest{
		{"PRD2         <Library>\nPOWER        <Power Queues>\nUCAT         <VSAM Catalog>\nSYSWK1       <VSE VTOC>\nHOME         <Directory>\nCUST         Entry Seq VSAM\nX            <Other>\n", []string{
			`dir -1 - "PRD2"`, `dir -1 - "POWER"`, `dir -1 - "UCAT"`, `dir -1 - "SYSWK1"`, `dir -1 - "HOME"`, `file -1 - "CUST"`,
			"skipped 7: no kind of a z/VSE file"}},
		{"PRODUCT      <Sub Library>      214      2310 04/03/09 10:15:00\nCONFIG       <Sub Library>        2        31\n", []string{
			`dir -1 2004-03-09T10:15:00 second "PRODUCT"`, `dir -1 - "CONFIG"`}},
		{"PAYROLL.PHASE   12000    3 04/01/02 09:37:11 04/05/30 12:00:00 S\nSKEL.Z             12    1 2004/01/02 09:37:11 F\n", []string{
			`file 12000~ 2004-05-30T12:00:00 second "PAYROLL.PHASE"`, `file 960~ 2004-01-02T09:37:11 second "SKEL.Z"`}},
		{"PAYJOB.00123.00   210   4   208   3  D ANNA\nPAYJOB.00124.00   210   4   208   3  H\n", []string{
			`file -1 - "PAYJOB.00123.00" {,ANNA,}`, `file -1 - "PAYJOB.00124.00"`}},
		{"CUSTOMER.FILE     04/05/30 12:00:00      1210 K\nWORK.FILE         04/05/30 12:00:00        80 S\n", []string{
			`file -1 2004-05-30T12:00:00 second "CUSTOMER.FILE"`, `file -1 2004-05-30T12:00:00 second "WORK.FILE"`}},
	})
	notOf(t, listing.VSE, []string{
		"PRD2 Library", "a.b.c 1 2 3 4 Q", "a.b 1 2 3 4 D", "NAME 04/05/30 12:00:00 1210 X", "NAME 04/31/31 12:00:00 1210 K", "X <Sub Library> 1 1 never now",
	})
	cutAnywhere(t, listing.VSE, "PRD2 <Library>\nP <Sub Library>  214 2310 04/03/09 10:15:00\nP.P 12 3 04/01/02 09:37:11 04/05/30 12:00:00 S\n"+
		"J.1.0   210   4   208   3  D ANNA\nC     04/05/30 12:00:00      1210 K")
}
