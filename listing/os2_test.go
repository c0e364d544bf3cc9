package listing_test

import (
	"testing"

	"gateway/listing"
)

func TestOS2(t *testing.T) {
	runLines(t, listing.OS2, []lineTest{
		{"                 0           DIR   12-30-97   12:32  d d", []string{`dir -1 1997-12-30T12:32:00 minute "d d"`}},
		{"             73098      A          04-06-97   15:15  x", []string{`file 73098 1997-04-06T15:15:00 minute "x" {A,,}`}},
		{"             73098                 04-06-97   15:15  x", []string{`file 73098 1997-04-06T15:15:00 minute "x"`}},
		{"              1123 RSHA            07-14-99   12:37  x", []string{`file 1123 1999-07-14T12:37:00 minute "x" {RSHA,,}`}},
		{"              1123 DIR  A          10-05-100  23:38  d", []string{`dir -1 2000-10-05T23:38:00 minute "d" {A,,}`}},
		{"                 0           DIR   05-19-2000 12:56  d", []string{`dir -1 2000-05-19T12:56:00 minute "d"`}},
		{"                 0           DIR   7/4/98     5:06p  d", []string{`dir -1 1998-07-04T17:06:00 minute "d"`}},
		{"                 0           DIR   12-30-97   12:32  a", []string{`dir -1 1997-12-30T12:32:00 minute "a"`}},
		{"                 0           DIR   12-30-97   12:32   a", []string{`dir -1 1997-12-30T12:32:00 minute " a"`}},
		{"0 DIR 12-30-97 12:32 a", []string{`dir -1 1997-12-30T12:32:00 minute "a"`}},
		{"                             DIR   12-30-97   12:32  d", []string{`dir -1 1997-12-30T12:32:00 minute "d"`}},
		{" 1 A 24.12.97 12:32  x\n 1 A 01.02.97 12:32  y\n", []string{
			`file 1 1997-12-24T12:32:00 minute "x" {A,,}`, `file 1 1997-02-01T12:32:00 minute "y" {A,,}`}},
		{"0 DIR 12-30-97 12:32  x\n0 DIR 13-05-97   25:49  y\n0 DIR 02-30-97 12:32  z\n0 DIR 12-30-97 12:32  \nfoo\n", []string{
			`dir -1 1997-12-30T12:32:00 minute "x"`, "skipped 2: no time of day", "skipped 3: no such date",
			"skipped 4: no size, attributes, date, time and name", "skipped 5: no size, attributes, date, time and name"}},
	})
}
