package listing_test

import (
	"testing"

	"gateway/listing"
)

const vosSample = "\r\nFiles: 2  Blocks: 163\r\n\r\nw    158 stm       98-05-19 11:53:44  accounts.cobol\r\nr      5 seq       03-07-02 08:00:10  log.03-07-02\r\n" +
	"\r\nDirs: 1\r\n\r\nm      1           97-11-30 16:20:05  old\r\n\r\nLinks: 3\r\n\r\n98-01-13 21:15:43  archive ->  %s#d01>Group>archive\r\n" +
	"98-01-13 21:15:44  a_longer_name  ->\r\n+%s#d01>Group>a_longer_name\r\n98-01-13 21:15:45  nowhere  ->\r\n"

func TestVOS(t *testing.T) {
	runLines(t, listing.VOS, []lineTest{
		{vosSample, []string{
			`file 647168~ 1998-05-19T11:53:44 second "accounts.cobol" {w,,}`, `file 20480~ 2003-07-02T08:00:10 second "log.03-07-02" {r,,}`,
			`dir -1 1997-11-30T16:20:05 second "old" {m,,}`, `link -1 1998-01-13T21:15:43 second "archive" -> "%s#d01>Group>archive"`,
			`link -1 1998-01-13T21:15:44 second "a_longer_name" -> "%s#d01>Group>a_longer_name"`, `link -1 1998-01-13T21:15:45 second "nowhere"`}},
		{"w  1 stm  98-05-19 11:53:44  a\nm  1  98-05-19 11:53:44  b\n", []string{`file 4096~ 1998-05-19T11:53:44 second "a" {w,,}`, `dir -1 1998-05-19T11:53:44 second "b" {m,,}`}},
		{"Files: 0  Blocks: 0\nDirs: 0\nLinks: 0\n", nil},
		{"Files: 1  Blocks: 1\nw  1 stm  98-05-19 11:53:44  a\nx  1 stm  98-05-19 11:53:44  a\nw  x stm  98-05-19 11:53:44  a\nw  1 stm  98-05-19  a\nw  1 stm  98-05-19 11:53:44\n+x\n",
			[]string{`file 4096~ 1998-05-19T11:53:44 second "a" {w,,}`, `skipped 3: no access right`, `skipped 4: no number of blocks`,
				`skipped 5: no time of day`, `skipped 6: no name`, `skipped 7: this goes on no line`}},
	})
}

func TestVOSCut(t *testing.T) { checkCut(t, vosSample, listing.VOS) }
