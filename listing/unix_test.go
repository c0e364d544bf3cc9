package listing_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"gateway/listing"
)

// TestUnixDates has every way to write a date behind "-rw-r--r-- 1 a b 42 ", and a name behind it.
func TestUnixDates(t *testing.T) {
	tests := []struct{ date, want string }{
		{"Mar  2 15:13", "2024-03-02T15:13:00 minute"},
		{"Mar 02 5:13", "2024-03-02T05:13:00 minute"},
		{"MAR 2 2014", "2014-03-02T00:00:00 day"},
		{"Mar  2  2014", "2014-03-02T00:00:00 day"},
		{"Mar  2  0001", "0001-03-02T00:00:00 day"},
		{"Mar  2  9999", "9999-03-02T00:00:00 day"},
		{"Mar  2 15:13:07", "2024-03-02T15:13:07 second"},
		{"Mar  2 15:13:07 2014", "2014-03-02T15:13:07 second"},
		{"Mar  2 15:13:07 +0200 2014", "2014-03-02T15:13:07+02:00 second"},
		{"Mar  2 15:13:07 UTC 2014", "2014-03-02T15:13:07Z second"},
		{"Mar  2 15:13:07 CEST 2014", "2014-03-02T15:13:07 second"},
		{"Mar  2 24:00", "2024-03-03T00:00:00 minute"},
		{"Dec 31 24:00:00 2014", "2015-01-01T00:00:00 second"},
		{"Sun Mar  2 15:13:07 2014", "2014-03-02T15:13:07 second"},
		{"Sun, 02 Mar 2014 15:13:07 GMT", ""},
		{"Sun, 02 Mar 2014 15:13:07 +0200", "2014-03-02T15:13:07+02:00 second"},
		{"Mar 02, 2014 15:13", "2014-03-02T15:13:00 minute"},
		{"2 Mar 2014", "2014-03-02T00:00:00 day"},
		{"2. Mar., 15:13", "2024-03-02T15:13:00 minute"},
		{"2 mzo 15:13", "2024-03-02T15:13:00 minute"},
		{"2 agto 2014", "2014-08-02T00:00:00 day"},
		{"dbre 2 2014", "2014-12-02T00:00:00 day"},
		{"2014年3月2日", "2014-03-02T00:00:00 day"},
		{"2014年03月02日 15:13", "2014-03-02T15:13:00 minute"},
		{"3月2日 15:13", "2024-03-02T15:13:00 minute"},
		{"3\x8c\x8e2\x93\xfa 2014\x94\x4e", "2014-03-02T00:00:00 day"},
		{"2014\xb3\xe23\xbf\xf92\xc0\xcf", "2014-03-02T00:00:00 day"},
		{"3月2日", ""},
		{"2 Mar 15.13", "2024-03-02T15:13:00 minute"},
		{"2-Mar-2014", "2014-03-02T00:00:00 day"},
		{"02-MAR-14 15:13", "2014-03-02T15:13:00 minute"},
		{"2014-03-02", "2014-03-02T00:00:00 day"},
		{"2014-03-02 15:13", "2014-03-02T15:13:00 minute"},
		{"0001-01-01 00:00", "0001-01-01T00:00:00 minute"},
		{"9999-12-31 23:59", "9999-12-31T23:59:00 minute"},
		{"2014-03-02 15:13:07.123456789 -0330", "2014-03-02T15:13:07-03:30 second"},
		{"2014-03-02T15:13:07Z", "2014-03-02T15:13:07Z second"},
		{"2014-03-02T15:13:07+02:00", "2014-03-02T15:13:07+02:00 second"},
		{"2014-03-02T15:13", "2014-03-02T15:13:00 minute"},
		{"2014/03/02 15:13", "2014-03-02T15:13:00 minute"},
		{"2014.03.02", "2014-03-02T00:00:00 day"},
		{"03/02/2014 15:13", "2014-03-02T15:13:00 minute"},
		{"03/22/2014 03:13 PM", "2014-03-22T15:13:00 minute"},
		{"03/22/14 12:13 AM", ""},
		{"22/03/2014", "2014-03-22T00:00:00 day"},
		{"02.03.2014 15:13", "2014-03-02T15:13:00 minute"},
		{"02-03-2014 15:13", "2014-03-02T15:13:00 minute"},
		{"02.03.14 15:13", "2014-03-02T15:13:00 minute"},
		{"03-02 2014", "2014-03-02T00:00:00 day"},
		{"03-02 15:13", "2024-03-02T15:13:00 minute"},
		{"3 2 15:13", "2024-03-02T15:13:00 minute"},
		{"2014 3月 2", "2014-03-02T00:00:00 day"},
		{"2014年 3月 2日", "2014-03-02T00:00:00 day"},
		{"2014年 3月 2日 15:13", "2014-03-02T15:13:00 minute"},
		{"2014년  3월  2일", "2014-03-02T00:00:00 day"},
		{"3月  2日 15:13", "2024-03-02T15:13:00 minute"},
		{"3\x8c\x8e 2\x93\xfa 2014\x94\x4e", "2014-03-02T00:00:00 day"},
		{"3\xa4\xeb 2\xa4\xe9 2014\xa6\x7e", "2014-03-02T00:00:00 day"},
		{"3\xfe\xfd 2 15:13", "2024-03-02T15:13:00 minute"}, // whatever charset that is
		{"三月  2 15:13", "2024-03-02T15:13:00 minute"},
		{"2014 kov  2", "2014-03-02T00:00:00 day"},
		{"2014. márc.  2. 15:13", "2014-03-02T15:13:00 minute"},
		{"29 Feb 2015", ""},
		{"31 Apr 15:13", ""},
		{"Mar  2 24:01", ""},
		{"Mar  2 0000", ""},
		{"Mar  0 15:13", ""},
		{"Foo  2 15:13", ""},
	}
	for _, tt := range tests {
		r, _ := listing.Parse([]byte("-rw-r--r-- 1 a b 42 "+tt.date+" x y"), listing.Options{Now: now})
		want := "file 42 " + tt.want + ` "x y" {rw-r--r--,a,b}`
		switch got := showAll(r); {
		case tt.want == "" && len(r.Entries) > 0 && r.Entries[0].Name == "x y":
			t.Errorf("%s: %v, want no such entry", tt.date, got)
		case tt.want != "" && (len(got) != 1 || got[0] != want):
			t.Errorf("%s: %v, want %s", tt.date, got, want)
		}
	}
}

// TestUnixYearOrSize has what may be a year or a size, and what may be a year or a part of the name.
func TestUnixYearOrSize(t *testing.T) {
	runLines(t, listing.Unix, []lineTest{
		{"-rw-r--r-- 1 0 0 2003 Mar 20 10:11 x", []string{`file 2003 2024-03-20T10:11:00 minute "x" {rw-r--r--,0,0}`}},
		{"-rw-r--r-- 1 0 0 2003 Mar 20  2011 x", []string{`file 2003 2011-03-20T00:00:00 day "x" {rw-r--r--,0,0}`}},
		{"-rw-r--r-- 1 0 0 7 2003 vas 20 x", []string{`file 7 2003-02-20T00:00:00 day "x" {rw-r--r--,0,0}`}},
		{"drwxrwxrwx 1 0 0 0 29 May 02:27 2014 Papers", []string{`dir -1 2024-05-29T02:27:00 minute "2014 Papers" {rwxrwxrwx,0,0}`}},
		{"-rw-r--r-- 1 mon jan 5 Mar 20 10:11 x", []string{`file 5 2024-03-20T10:11:00 minute "x" {rw-r--r--,mon,jan}`}},
	})
}

// TestUnixOrder has dates of two numbers that only the rest of the listing tells apart.
func TestUnixOrder(t *testing.T) {
	list := func(dates ...string) string {
		return "-rw-r--r-- 1 a b 1 " + strings.Join(dates, " x\n-rw-r--r-- 1 a b 1 ") + " x\n"
	}
	want := func(dates ...string) []string {
		var out []string
		for _, d := range dates {
			out = append(out, fmt.Sprintf(`file 1 %sT00:00:00 day "x" {rw-r--r--,a,b}`, d))
		}
		return out
	}
	runLines(t, listing.Unix, []lineTest{
		{list("02/03/2014", "01/02/2014"), want("2014-02-03", "2014-01-02")},
		{list("02/03/2014", "25/02/2014"), want("2014-03-02", "2014-02-25")},
		{list("25/02/2014", "02/03/2014"), want("2014-02-25", "2014-03-02")},
		{list("02.03.2014", "02.25.2014"), want("2014-02-03", "2014-02-25")},
		{list("02-03-2014", "03-04-2014"), want("2014-03-02", "2014-04-03")},
		// lip, srp, lis: July, August and November in Polish and Czech, the month before in Croatian
		{list("lip 30 2014", "srp 3 2014", "lis 3 2014", "sty 3 2014"), want("2014-07-30", "2014-08-03", "2014-11-03", "2014-01-03")},
		{list("lip 30 2014", "srp 3 2014", "lis 3 2014", "ožu 3 2014"), want("2014-06-30", "2014-07-03", "2014-10-03", "2014-03-03")},
		{list("lip 31 2014", "ožu 3 2014"), want("2014-07-31", "2014-03-03")}, // there is no such day in June
		{list("lis 31 2014", "lip 1 2014"), want("2014-10-31", "2014-06-01")}, // nor in November
	})
}

func TestUnixColumns(t *testing.T) {
	runLines(t, listing.Unix, []lineTest{
		// marks of access control lists and security contexts
		{"-rw-r--r--- 1 a b 1 Feb 25  2009 aix", []string{`file 1 2009-02-25T00:00:00 day "aix" {rw-r--r--,a,b}`}},
		{"drwxr-x--T+ 1 a b 1 Feb 25  2009 hpux", []string{`dir -1 2009-02-25T00:00:00 day "hpux" {rwxr-x--T,a,b}`}},
		{"drwxr-xr-x@ 1 a b 1 Feb 25  2009 mac\n 0: group:everyone deny delete\n", []string{
			`dir -1 2009-02-25T00:00:00 day "mac" {rwxr-xr-x,a,b}`}},
		{"---------   1 owner    group  1845 Dec 22 10:20 short.mode", []string{`file 1845 2023-12-22T10:20:00 minute "short.mode" {--------,owner,group}`}},
		// no links, and no size where it is not a file
		{"drwxrwx--x system   cache             2015-01-01 00:00 my app\n-rw-r--r-- root     root       117 2015-01-01 00:00 f\n" +
			"lrwxrwxrwx root     root              2015-01-01 00:00 d -> /sys/d\n", []string{
			`dir -1 2015-01-01T00:00:00 minute "my app" {rwxrwx--x,system,cache}`,
			`file 117 2015-01-01T00:00:00 minute "f" {rw-r--r--,root,root}`,
			`link -1 2015-01-01T00:00:00 minute "d" -> "/sys/d" {rwxrwxrwx,root,root}`}},
		// sizes
		{"-rw-r--r-- 1 a b 512B Oct  5  2009 h", []string{`file 512 2009-10-05T00:00:00 day "h" {rw-r--r--,a,b}`}},
		{"-rw-r--r-- 1 a b 1.234.567 Oct  5  2009 dots", []string{`file 1234567 2009-10-05T00:00:00 day "dots" {rw-r--r--,a,b}`}},
		{"-rw-r--r-- 1 a b 1'234'567 Oct  5  2009 swiss", []string{`file 1234567 2009-10-05T00:00:00 day "swiss" {rw-r--r--,a,b}`}},
		{"-rw-r--r-- 1 a b 4KB Oct  5  2009 h", []string{`file 4096~ 2009-10-05T00:00:00 day "h" {rw-r--r--,a,b}`}},
		{"-rw-r--r-- 1 a b 1,5MiB Oct  5  2009 h", []string{`file 1572864~ 2009-10-05T00:00:00 day "h" {rw-r--r--,a,b}`}},
		// no date at all, or one in a language unknown here
		{"drwxr-xr-x 3 anna staff 512 no date\n-rw-r--r-- 1 anna staff 7 f\n", []string{
			`dir -1 - "no date" {rwxr-xr-x,anna,staff}`, `file 7 - "f" {rw-r--r--,anna,staff}`}},
		{"-rw-r--r-- 1 a b 42 ม.ค.  3  2003 thai", []string{`file 42 - "thai" {rw-r--r--,a,b}`}},
		{"-rw-r--r-- 1 a b 42 Feb 25  2009 x\n-rw-r--r-- 1 a b 42 Fe", []string{
			`file 42 2009-02-25T00:00:00 day "x" {rw-r--r--,a,b}`, "skipped 2: no date after a size"}},
		// names behind a year that is not set off by a second blank
		{"-rw-r--r-- 1 a b 42 Feb 25 2009  x", []string{`file 42 2009-02-25T00:00:00 day "x" {rw-r--r--,a,b}`}},
		{"-rw-r--r-- 1 a b 42 Feb 25 2009  x\n-rw-r--r-- 1 a b 42 Feb 25 2009 y", []string{
			`file 42 2009-02-25T00:00:00 day " x" {rw-r--r--,a,b}`, `file 42 2009-02-25T00:00:00 day "y" {rw-r--r--,a,b}`}},
		// a reply to STAT
		{"213-Status of /pub:\r\n213-drwxr-xr-x 2 a b 1 Feb 25  2009 d\r\n213 -rw-r--r-- 2 a b 1 Feb 25  2009 f\r\n213 End of status\r\n", []string{
			`dir -1 2009-02-25T00:00:00 day "d" {rwxr-xr-x,a,b}`, `file 1 2009-02-25T00:00:00 day "f" {rw-r--r--,a,b}`}},
		// rubbish before the mode
		{"250-drwxr-xr-x 2 a b 1 Feb 25  2009 d\r\n250--rw-r--r-- 2 a b 1 Feb 25  2009 f\r\n", []string{
			`dir -1 2009-02-25T00:00:00 day "d" {rwxr-xr-x,a,b}`, `file 1 2009-02-25T00:00:00 day "f" {rw-r--r--,a,b}`}},
		{"\x1b[0mlrwxrwxrwx 2 a b 1 Feb 25  2009 l -> t\n", []string{`link -1 2009-02-25T00:00:00 day "l" -> "t" {rwxrwxrwx,a,b}`}},
		{"-rw-r--r-- 2 a b 1 Feb 25  2009 f\n\rdrwxr-xr-x 2 a b 1 Feb 25  2009 d\n\r", []string{
			`file 1 2009-02-25T00:00:00 day "f" {rw-r--r--,a,b}`, `dir -1 2009-02-25T00:00:00 day "d" {rwxr-xr-x,a,b}`}},
		{"d-rwxrwxr-x M 173 glenda glenda 0 Feb 25  2009 bin", []string{`dir -1 2009-02-25T00:00:00 day "bin" {rwxrwxr-x,glenda,glenda}`}},
		{" drwxr-xr-x   3 156  15   4 Jan 19 19:56 indented", []string{`dir -1 2024-01-19T19:56:00 minute "indented" {rwxr-xr-x,156,15}`}},
	})
}

// TestUnixCut cuts a listing at every byte: what is left must give no entry that the whole does not have, but for
// the name that was cut itself.
func TestUnixCut(t *testing.T) {
	raw := "total 8\r\n-rw-r--r--   1 anna  staff  4096 Mar 12 15:13 first name\r\n" +
		"lrwxrwxrwx   1 anna  staff  11 23 May  2011 second -> target\r\n-rw-r--r--   1 0  0  2003 2005-04-08 11:22 third\r\n"
	whole, err := listing.Parse([]byte(raw), listing.Options{Now: now})
	if err != nil {
		t.Fatal(err)
	}
	for i := range raw {
		r, _ := listing.Parse([]byte(raw[:i]), listing.Options{Now: now, Format: listing.Unix})
		for k, e := range r.Entries {
			w := whole.Entries[k]
			if e.Name == "" || !strings.HasPrefix(w.Name, e.Name) && !strings.HasPrefix(w.Name+" -> "+w.Target, e.Name) {
				if !strings.HasSuffix(raw[:i], e.Name) { // the time that is missing was taken for the name's start
					t.Errorf("cut at %d: %s", i, show(e))
				}
			}
			e.Name, e.RawName, e.Target = w.Name, w.RawName, w.Target
			if e.ModTime.Precision != w.ModTime.Precision {
				e.ModTime = w.ModTime
			}
			if diff := cmp.Diff(show(w), show(e)); diff != "" {
				t.Errorf("cut at %d (-want +got):\n%s", i, diff)
			}
		}
	}
}
