package listing_test

import (
	"testing"

	"gateway/listing"
)

func TestVxWorks(t *testing.T) {
	head := "  size          date       time       name\n--------       ------     ------    --------\n"
	runLines(t, listing.VxWorks, []lineTest{
		{head, nil},
		{head + "    2048    Feb-28-1998  05:23:30   d d               <DIR>\n", []string{`dir -1 1998-02-28T05:23:30 second "d d"`}},
		{"   61191    Aug-30-2002  17:30:38   f f.c        \n", []string{`file 61191 2002-08-30T17:30:38 second "f f.c"`}},
		{"61191 Aug-3-98 17:30 <DIR>", []string{`file 61191 1998-08-03T17:30:00 minute "<DIR>"`}},
		{head + "x Aug-30-2002 17:30:38 x\n1 Aug-30 17:30:38 x\n1 Aug-31-2002 x x\n1 Aug-32-2002 17:30:38 x\n1 Aug-31-2002 17:30:38 \nvalue = 0\n", []string{
			"skipped 3: no size", "skipped 4: no date after the size", "skipped 5: no time of day", "skipped 6: no such date",
			"skipped 7: no name"}},
	})
}
