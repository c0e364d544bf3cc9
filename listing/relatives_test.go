package listing_test

import (
	"testing"

	"gateway/listing"
)

// TestRelatives reads what other programs print in the formats of ls and DIR.
func TestRelatives(t *testing.T) {
	runLines(t, listing.Unix, []lineTest{ // hfaxd's FILEFMT has a mode of seven letters
		{"-rw-r--   1     fax     4025 Mar  1 12:00 doc1.ps\ndrwxrws   2     fax      512 Jan 12 23:10 docq\n-rw----   1    root       12 Mar  1 12:00 seqf\n", []string{
			`file 4025 2024-03-01T12:00:00 minute "doc1.ps" {rw-r--,fax,}`, `dir -1 2024-01-12T23:10:00 minute "docq" {rwxrws,fax,}`,
			`file 12 2024-03-01T12:00:00 minute "seqf" {rw----,root,}`}},
	})
	runLines(t, listing.MSDOS, []lineTest{ // Windows CE
		{"01-01-98  08:00AM          <DIR>                  Flash File Store\n06-21-06  01:59PM                                1033 LOG.TXT\n", []string{
			`dir -1 1998-01-01T08:00:00 minute "Flash File Store"`, `file 1033 2006-06-21T13:59:00 minute "LOG.TXT"`}},
		{"04-15-09  07:44                 4608 Run.exe\n04-15-09  17:44       <DIR>          d\n", []string{
			`file 4608 2009-04-15T07:44:00 minute "Run.exe"`, `dir -1 2009-04-15T17:44:00 minute "d"`}},
	})
}
