package listing_test

import (
	"testing"
	"time"

	"gateway/listing"
)

func TestOS400(t *testing.T) {
	runLines(t, listing.OS400, []lineTest{
		// columns
		{"ANNA             4019 04/03/18 18:58:16 *STMF      a b.txt", []string{`file 4019 2004-03-18T18:58:16 second "a b.txt" {,ANNA,}`}},
		{"ANNA 4019 04/03/18 18:58:16 *STMF a.txt", []string{`file 4019 2004-03-18T18:58:16 second "a.txt" {,ANNA,}`}},
		{"ANNA            36864 04/03/24 14:06:34 *DIR       d/", []string{`dir -1 2004-03-24T14:06:34 second "d" {,ANNA,}`}},
		{"ANNA            36864 04/03/24 14:06:34 *FILE      d/", []string{`dir -1 2004-03-24T14:06:34 second "d" {,ANNA,}`}},
		{"                36864 04/03/24 14:06:34 *LIB       D.LIB/", []string{`dir -1 2004-03-24T14:06:34 second "D.LIB"`}},
		{"ANNA           135168 04/03/18 13:18:19 *FILE      O.FILE", []string{`file 135168~ 2004-03-18T13:18:19 second "O.FILE" {,ANNA,}`}},
		{"ANNA                                    *MEM       O.FILE/M.MBR", []string{`file -1 - "O.FILE/M.MBR" {,ANNA,}`}},
		{"ANNA                                    *MEM       LIB/O.M", []string{`file -1 - "LIB/O.M" {,ANNA,}`}},
		{"ANNA                  04/03/18 13:18:19 *FILE      O.FILE", []string{`file -1 2004-03-18T13:18:19 second "O.FILE" {,ANNA,}`}},
		{"ANNA           135168                   *MEM       O.FILE/M.MBR", []string{`file 135168~ - "O.FILE/M.MBR" {,ANNA,}`}},
		{"ANNA                5 04/03/18 13:18:19 *STMF      /home/anna/a.txt", []string{`file 5 2004-03-18T13:18:19 second "a.txt" {,ANNA,}`}},
		{"ANNA                5 04/03/18 13:18:19 *SYMLNK    now", []string{`link -1 2004-03-18T13:18:19 second "now" {,ANNA,}`}},
		{"ANNA                0 04/03/18 13:18:19 *SOCKET    s", []string{`other -1 2004-03-18T13:18:19 second "s" {,ANNA,}`}},
		{"ANNA                9 04/03/18 13:18:19 *JRNRCV    R.JRNRCV", []string{`file 9 2004-03-18T13:18:19 second "R.JRNRCV" {,ANNA,}`}},
		{"ANNA                9 04/03/18 13:18:19 *STMF       x", []string{`file 9 2004-03-18T13:18:19 second " x" {,ANNA,}`}},
		// lines that are not quite right still name something
		{"ANNA            3686404/03/24 14:06:47 *STMF      x", []string{`file 36864 2004-03-24T14:06:47 second "x" {,ANNA,}`}},
		{"ANNA USR        36864 04/03/24 14:06:34 *DIR       d/", []string{`dir -1 2004-03-24T14:06:34 second "d" {,ANNA USR,}`}},
		{"ANNA              422 03/24 14:06:26 *STMF      x", []string{`file 422 - "x" {,ANNA,}`}},
		{"ANNA             6409 04/03/24 30:06:29 *STMF      x", []string{`file 6409 - "x" {,ANNA,}`}},
		{"ANNA             6409 99/02/30 10:06:29 *STMF      x\nANNA 1 04/02/01 10:06:29 *STMF y", []string{
			`file 6409 - "x" {,ANNA,}`, `file 1 2004-02-01T10:06:29 second "y" {,ANNA,}`}},
		{"ANNA 1 04/02/01 10:06:29 *STMF y\nANNA 135168 04/03/18 13:18:19 *FILE\nfoo\n", []string{
			`file 1 2004-02-01T10:06:29 second "y" {,ANNA,}`, "skipped 2: no name", "skipped 3: no object type"}},
	})
}

func TestOS400DateOrder(t *testing.T) {
	for _, tt := range []struct {
		why, date, other, want string
	}{
		{"open: the year comes first", "04/03/12", "", "2004-03-12"},
		{"no month is 24", "02/24/00", "", "2000-02-24"},
		{"no month is 24, no year can be", "24/02/00", "", "2000-02-24"},
		{"dots: the day comes first", "05.09.06", "", "2006-09-05"},
		{"dots, year first by the other line", "06.09.05", "06.09.28", "2006-09-05"},
		{"the other line says month first", "04/03/12", "04/26/05", "2012-04-03"},
		{"the other line says day first", "04/03/12", "26/04/99", "2012-03-04"},
		{"the other line is out of the reach of year first", "04/03/12", "28/11/15", "2012-03-04"},
		{"dashes", "04-03-12", "", "2004-03-12"},
		{"four digits", "2004-03-12", "", "2004-03-12"},
		{"four digits at the end", "31/12/2004", "", "2004-12-31"},
		{"blanks", "04 03 12", "", "2004-03-12"},
		{"commas", "04,03,12", "", "2004-03-12"},
		{"the last century", "98/03/12", "", "1998-03-12"},
		{"Julian", "04/366", "", "2004-12-31"},
		{"Julian, no separator but a dash", "03-001", "", "2003-01-01"},
		{"no such day", "03/366", "", ""},
	} {
		raw := "ANNA 1 " + tt.date + " 12:00:01 *STMF x\n"
		if tt.other != "" {
			raw += "ANNA 1 " + tt.other + " 12:00:01 *STMF y\n"
		}
		r, err := listing.Parse([]byte(raw), listing.Options{Now: time.Date(2024, 6, 15, 0, 0, 0, 0, time.UTC)})
		if err != nil || len(r.Entries) == 0 {
			t.Errorf("%s: %v, %v", tt.why, err, showAll(r))
			continue
		}
		got := ""
		if at := r.Entries[0].ModTime; at.Precision != listing.Unknown {
			got = at.Format("2006-01-02")
		}
		if got != tt.want {
			t.Errorf("%s: %s is %q, want %q", tt.why, tt.date, got, tt.want)
		}
	}
}
