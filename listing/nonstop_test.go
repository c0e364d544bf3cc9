package listing_test

import (
	"testing"

	"gateway/listing"
)

func TestNonStop(t *testing.T) {
	head := "File         Code             EOF  Last Modification    Owner  RWEP\n"
	runLines(t, listing.NonStop, []lineTest{
		{head + "ACCTS   101   2522 27-Aug-02 13:57:10 155, 76 \"nunu\"", []string{`file 2522 2002-08-27T13:57:10 second "ACCTS" {nunu,76,155}`}},
		{"ACCTS   101   2522 7-Aug-2002 13:57:10 155,106 \"n-nu\"", []string{`file 2522 2002-08-07T13:57:10 second "ACCTS" {n-nu,106,155}`}},
		{"ACCTS O 100L  2522 27-Aug-02 13:57:10 255,255 nunu   10   10", []string{`file 2522 2002-08-27T13:57:10 second "ACCTS" {nunu,255,255}`}},
		{"ACCTS   101   2522 27-Aug-02 13:57 SUPER.ANNA \"nunu\"", []string{`file 2522 2002-08-27T13:57:00 minute "ACCTS" {nunu,SUPER.ANNA,}`}},
		{"ACCTS   101   2522 27-Aug-02 13:57:10", []string{`file 2522 2002-08-27T13:57:10 second "ACCTS"`}},
		{"ACCTS   101   2522 27-Aug-02 13:57:10 \"nunu\"", []string{`file 2522 2002-08-27T13:57:10 second "ACCTS" {nunu,,}`}},
		{head, nil},
		{head + "A 101 x 27-Aug-02 13:57:10 1,2 \"n\"\nA\nA 101 1 31-Feb-02 13:57:10 1,2\nA 101 1 x\nA 101 1 1-Feb-02 x\n", []string{
			"skipped 2: no EOF after the file code", "skipped 3: no file code after the name", "skipped 4: no such date",
			"skipped 5: no date after the EOF", "skipped 6: no time of day"}},
	})
}
