package listing_test

import (
	"testing"

	"gateway/listing"
)

func TestSterling(t *testing.T) {
	runLines(t, listing.Sterling, []lineTest{
		{"-C--E-----FTP B ANNA1       18128   5000000000 Jan 12 13:56 INVOICES", []string{
			`file 5000000000 2024-01-12T13:56:00 minute "INVOICES" {-C--E-----FTP,ANNA1,18128}`}},
		{"-ARTE-----TCP A anna 1 629629 Apr 1 2014 two words", []string{`file 629629 2014-04-01T00:00:00 day "two words" {-ARTE-----TCP,anna,1}`}},
		{"-SR--M------- A anna      1     369 Mar 02 13:47 <<ACTIVITY LOG>>", []string{
			`file 369 2024-03-02T13:47:00 minute "<<ACTIVITY LOG>>" {-SR--M-------,anna,1}`}},
		{"-AR-------TCP A anna 1 2 Aug 06 05:47 X\nTotal Number of batches listed: 1\n-AR-------TCP A anna 1 2 Aug 36 05:47 Y\n-AR-------TCP A anna 1 x Aug 06 05:47 Z\n", []string{
			`file 2 2023-08-06T05:47:00 minute "X" {-AR-------TCP,anna,1}`,
			"skipped 3: no such date", "skipped 4: no number and size of a batch"}},
		{"ANNA     00000014 00000606 <sent from here> 990929-1306 A R       TCP BIN\nanna 00003603 00124000 <a>b.L>+ 230925-1548  CD   FTP ASC\nTotal Number of batches listed: 2\n", []string{
			`file 606 1999-09-29T13:06:00 minute "sent from here" {A R       TCP BIN,ANNA,00000014}`,
			`file 124000 2023-09-25T15:48:00 minute "a>b.L" {CD   FTP ASC,anna,00003603}`}},
		{"d   -   -   -  -  -  -  - anna\nd   -   -   -  -  -  -  - bill and co\nTotal number of Mailboxes = 2\n", []string{
			`dir -1 - "anna"`, `dir -1 - "bill and co"`}},
		{"-D 2 T VB  00244 18000 INVOICES!PROD.INVOICES(+01)\n-F 1 R -   -     -     VALUES!PROD.VALUES\n", []string{
			`file -1 - "INVOICES!PROD.INVOICES(+01)"`, `file -1 - "VALUES!PROD.VALUES"`}},
	})
	notOf(t, listing.Sterling, []string{
		"-rw-r--r-- 1 a b 1 Feb 25  2009 x", "-C--E-----FTP", "-C--E-----FTP B ANNA1 1 2 Jan", "ANNA 1 2 <x>", "ANNA 1 2 <> 990929-1306 A",
		"d - - - x", "-D 2 T VB 1", "Total 5",
	})
	cutAnywhere(t, listing.Sterling, "-C--E-----FTP B ANNA1  18128 50 Jan 12 13:56 INVOICES\nANNA 00000014 00000606 <a b>+ 990929-1306 A R TCP BIN\n"+
		"d   -   -   -  -  -  -  - anna\n-D 2 T VB  00244 18000 A!B\nTotal Number of batches listed: 1")
}
