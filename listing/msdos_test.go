package listing_test

import (
	"testing"

	"gateway/listing"
)

func TestMSDOSShapes(t *testing.T) {
	runLines(t, listing.MSDOS, []lineTest{
		// clocks of the locales
		{"02/05/2001  05:52 p.m.    <DIR>          d", []string{`dir -1 2001-02-05T17:52:00 minute "d"`}},
		{"02/05/2001  12:52 a. m.              7 f", []string{`file 7 2001-02-05T00:52:00 minute "f"`}},
		{"02/05/2001  12:52P                   7 f", []string{`file 7 2001-02-05T12:52:00 minute "f"`}},
		{"2001/02/05  17:52:07                 7 f", []string{`file 7 2001-02-05T17:52:07 second "f"`}},
		{"2001/02/05  下午 05:52    <DIR>          d", []string{`dir -1 2001-02-05T17:52:00 minute "d"`}},
		{"2001-02-05  오전 12:52               7 f", []string{`file 7 2001-02-05T00:52:00 minute "f"`}},
		{"2001/02/05  \xA4\x55\xA4\xC8 12:52               7 f", []string{`file 7 2001-02-05T12:52:00 minute "f"`}},
		{"2001/02/05  \xC9\xCF\xCE\xE7 11:52               7 f", []string{`file 7 2001-02-05T11:52:00 minute "f"`}},
		{"02-05-2001  05:52PM\t<DIR>\td", []string{`dir -1 2001-02-05T17:52:00 minute "d"`}},
		// dates
		{"02-05-101  05:52PM                   7 f", []string{`file 7 2001-02-05T17:52:00 minute "f"`}},
		{"02-05-1901  05:52PM                  7 f", []string{`file 7 1901-02-05T17:52:00 minute "f"`}},
		{"9999-12-31  05:52PM                  7 f", []string{`file 7 9999-12-31T17:52:00 minute "f"`}},
		{"0001-01-01  00:00                    7 f", []string{`file 7 0001-01-01T00:00:00 minute "f"`}},
		{"2-5-01  5:52 AM                      7 f", []string{`file 7 2001-02-05T05:52:00 minute "f"`}},
		// sizes
		{"02.05.2001  17:52     34.359.738.368 f", []string{`file 34359738368 2001-05-02T17:52:00 minute "f"`}},
		{"02.05.2001  17:52     34'359'738 f", []string{`file 34359738 2001-05-02T17:52:00 minute "f"`}},
		{"05/02/2001  17:52     34\u202f359\u202f738 f", []string{`file 34359738 2001-05-02T17:52:00 minute "f"`}},
		// types
		{"05/02/2001  17:52    <REP>          d\n05/02/2001  17:52    <KAT>          e\n", []string{
			`dir -1 2001-05-02T17:52:00 minute "d"`, `dir -1 2001-05-02T17:52:00 minute "e"`}},
		{"05-02-01  05:52PM  <SYMLINK>  l [..\\t]\n05-02-01  05:52PM  <JUNCTION>  j\n", []string{
			`link -1 2001-05-02T17:52:00 minute "l" -> "..\\t"`, `link -1 2001-05-02T17:52:00 minute "j"`}},
		// names
		{"05-02-01  05:52PM  7 a  b \n05-02-01  05:52PM  7  c\n", []string{
			`file 7 2001-05-02T17:52:00 minute "a  b "`, `file 7 2001-05-02T17:52:00 minute " c"`}},
	})
}

// TestUnixTimeInName has a time behind the year in every line, or in all but one.
func TestUnixTimeInName(t *testing.T) {
	const l = "-rw-r--r-- 1 a b 7 Feb 25 2009 "
	runLines(t, listing.Unix, []lineTest{
		{l + "10:11 x\n" + l + "10:12 y z\n", []string{
			`file 7 2009-02-25T10:11:00 minute "x" {rw-r--r--,a,b}`, `file 7 2009-02-25T10:12:00 minute "y z" {rw-r--r--,a,b}`}},
		{l + "10:11 x\n" + l + "y z\n", []string{
			`file 7 2009-02-25T00:00:00 day "10:11 x" {rw-r--r--,a,b}`, `file 7 2009-02-25T00:00:00 day "y z" {rw-r--r--,a,b}`}},
		{l + "10:11 x\n", []string{`file 7 2009-02-25T00:00:00 day "10:11 x" {rw-r--r--,a,b}`}},
	})
}
