package listing_test

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"gateway/listing"
)

var update = flag.Bool("update", false, "write the golden files anew")

// now is the reference time of the tests.
var now = time.Date(2024, 6, 15, 12, 0, 0, 0, time.UTC)

// show writes an entry as "type size time precision name [-> target] {mode owner group}".
func show(e listing.Entry) string {
	at := "-"
	if e.ModTime.Precision != listing.Unknown {
		layout := "2006-01-02T15:04:05"
		if e.ModTime.ZoneKnown {
			layout += "Z07:00"
		}
		at = e.ModTime.Format(layout) + " " + e.ModTime.Precision.String()
	}
	s := fmt.Sprintf("%s %d", e.Type, e.Size)
	if e.SizeEstimated {
		s += "~"
	}
	s += fmt.Sprintf(" %s %q", at, e.Name)
	if e.Target != "" {
		s += fmt.Sprintf(" -> %q", e.Target)
	}
	if e.Mode+e.Owner+e.Group != "" {
		s += fmt.Sprintf(" {%s,%s,%s}", e.Mode, e.Owner, e.Group)
	}
	return s
}

func showAll(r listing.Result) []string {
	var out []string
	for _, e := range r.Entries {
		out = append(out, show(e))
	}
	for _, s := range r.Skipped {
		out = append(out, fmt.Sprintf("skipped %d: %s", s.Line, s.Reason))
	}
	return out
}

type lineTest struct {
	raw  string
	want []string
}

func runLines(t *testing.T, format listing.Format, tests []lineTest) {
	t.Helper()
	for _, tt := range tests {
		r, err := listing.Parse([]byte(tt.raw), listing.Options{Now: now})
		if err != nil {
			t.Errorf("Parse(%q): %v", tt.raw, err)
			continue
		}
		if r.Format != format {
			t.Errorf("Parse(%q): format %q, want %q", tt.raw, r.Format, format)
		}
		if diff := cmp.Diff(tt.want, showAll(r)); diff != "" {
			t.Errorf("Parse(%q) (-want +got):\n%s", tt.raw, diff)
		}
	}
}

func TestUnix(t *testing.T) {
	runLines(t, listing.Unix, []lineTest{
		// columns
		{"-rw-r--r--   1 anna  staff  42 Mar  2 15:13 a b", []string{`file 42 2024-03-02T15:13:00 minute "a b" {rw-r--r--,anna,staff}`}},
		{"drwxr-xr-x   2 anna  staff  42 Mar  2  2011 d", []string{`dir -1 2011-03-02T00:00:00 day "d" {rwxr-xr-x,anna,staff}`}},
		{"-rw-r--r--   1 anna  42 Mar  2  2011 nogroup", []string{`file 42 2011-03-02T00:00:00 day "nogroup" {rw-r--r--,anna,}`}},
		{"-rw-r--r--   1 0  1000  42 Mar  2  2011 ids", []string{`file 42 2011-03-02T00:00:00 day "ids" {rw-r--r--,0,1000}`}},
		{"-rw-r--r--   anna  staff  42 Mar  2  2011 nolinks", []string{`file 42 2011-03-02T00:00:00 day "nolinks" {rw-r--r--,anna,staff}`}},
		{"-rw-rw----             2786 Jul  7  2003 sizeonly", []string{`file 2786 2003-07-07T00:00:00 day "sizeonly" {rw-rw----,,}`}},
		{"-rw-r--r-- 1 anna Domain Users 42 Mar  2  2011 x", []string{`file 42 2011-03-02T00:00:00 day "x" {rw-r--r--,anna,Domain Users}`}},
		{"-rw-r--r-- 1 anna b   Domain Users 42 Mar  2  2011 x", []string{`file 42 2011-03-02T00:00:00 day "x" {rw-r--r--,anna b,Domain Users}`}},
		{"-rw-r--r-- 1 may 12 2048 Oct 2 10:59 x", []string{`file 2048 2023-10-02T10:59:00 minute "x" {rw-r--r--,may,12}`}},
		{"-rw-r--r-- 1 ftpadm ftpadm125435904 Apr  9  2008 x", []string{`file 125435904 2008-04-09T00:00:00 day "x" {rw-r--r--,ftpadm,ftpadm}`}},
		{"drwxr-x---+1464 anna staff 1 Feb 25  2009 x", []string{`dir -1 2009-02-25T00:00:00 day "x" {rwxr-x---,anna,staff}`}},
		{"-rw-r--r--. 1 a b 1 Feb 25  2009 selinux", []string{`file 1 2009-02-25T00:00:00 day "selinux" {rw-r--r--,a,b}`}},
		{"-rw-r--r--@ 1 a b 1 Feb 25  2009 xattr", []string{`file 1 2009-02-25T00:00:00 day "xattr" {rw-r--r--,a,b}`}},
		{"-rwsr-Sr-T 1 a b 1 Feb 25  2009 bits", []string{`file 1 2009-02-25T00:00:00 day "bits" {rwsr-Sr-T,a,b}`}},
		{"   1234    8 -rw-r--r-- 1 a b 1 Feb 25  2009 inode", []string{`file 1 2009-02-25T00:00:00 day "inode" {rw-r--r--,a,b}`}},
		{"-rw-r--r-- 1 a b 33.5k Oct  5  2009 h", []string{`file 34304~ 2009-10-05T00:00:00 day "h" {rw-r--r--,a,b}`}},
		{"-rw-r--r-- 1 a b 1,234,567 Oct  5  2009 h", []string{`file 1234567 2009-10-05T00:00:00 day "h" {rw-r--r--,a,b}`}},
		{"-rw-r--r-- 1 a b -528 Oct  5  2009 neg", []string{`file -1 2009-10-05T00:00:00 day "neg" {rw-r--r--,a,b}`}},
		{"-rw-r--r-- 1 a b 18446744073709551615 Oct  5  2009 big", []string{`file -1 2009-10-05T00:00:00 day "big" {rw-r--r--,a,b}`}},
		{"brw-r----- 1 root disk   8,   0 Apr 13  2006 sda", []string{`other -1 2006-04-13T00:00:00 day "sda" {rw-r-----,root,disk}`}},
		{"crw------- 1 root sys 109,767 Jul  2  2004 pci", []string{`other -1 2004-07-02T00:00:00 day "pci" {rw-------,root,sys}`}},
		{"prw-r----- 1 root adm 0 Nov 22  2003 fifo", []string{`other -1 2003-11-22T00:00:00 day "fifo" {rw-r-----,root,adm}`}},
		// names and links
		{"-rw-r--r-- 1 a b 1 Feb 25  2009  two ends ", []string{`file 1 2009-02-25T00:00:00 day " two ends " {rw-r--r--,a,b}`}},
		{"lrwxrwxrwx 1 a b 1 Feb 25  2009 a -> b -> c", []string{`link -1 2009-02-25T00:00:00 day "a" -> "b -> c" {rwxrwxrwx,a,b}`}},
		{"lrwxrwxrwx 1 a b 1 Feb 25  2009 no target ->", []string{`link -1 2009-02-25T00:00:00 day "no target" {rwxrwxrwx,a,b}`}},
		{"lrwxrwxrwx 1 a b 1 Feb 25  2009 bare", []string{`link -1 2009-02-25T00:00:00 day "bare" {rwxrwxrwx,a,b}`}},
		{"-rw-r--r-- 1 a b 1 Feb 25  2009 a -> b", []string{`file 1 2009-02-25T00:00:00 day "a -> b" {rw-r--r--,a,b}`}},
		{"drwxr-xr-x 1 a b 1 Feb 25  2009 marked/", []string{`dir -1 2009-02-25T00:00:00 day "marked" {rwxr-xr-x,a,b}`}},
		{"-rw-r--r-- 1 a b 1 Mar  1 2003  x\n-rw-r--r-- 1 a b 1 Mar 11 2003  y\n", []string{
			`file 1 2003-03-01T00:00:00 day "x" {rw-r--r--,a,b}`, `file 1 2003-03-11T00:00:00 day "y" {rw-r--r--,a,b}`}},
		// dates
		{"-rw-r--r-- 1 a b 1 2005-04-08 11:22 iso", []string{`file 1 2005-04-08T11:22:00 minute "iso" {rw-r--r--,a,b}`}},
		{"-rw-r--r-- 1 a b 1 2005-04-08 11:22:30.5 +0200 full", []string{`file 1 2005-04-08T11:22:30+02:00 second "full" {rw-r--r--,a,b}`}},
		{"-rw-r--r-- 1 a b 1 Oct 08, 2002 09:47 vshell", []string{`file 1 2002-10-08T09:47:00 minute "vshell" {rw-r--r--,a,b}`}},
		{"-rw-r--r-- 1 a b 1 Oct  8 09:47:11 2002 bsd", []string{`file 1 2002-10-08T09:47:11 second "bsd" {rw-r--r--,a,b}`}},
		{"-rw-r--r-- 1 a b 1 26. Juli, 20:10 de", []string{`file 1 2023-07-26T20:10:00 minute "de" {rw-r--r--,a,b}`}},
		{"-rw-r--r-- 1 a b 1 2.   Okt.  2003 de", []string{`file 1 2003-10-02T00:00:00 day "de" {rw-r--r--,a,b}`}},
		{"-rw-r--r-- 1 a b 1 15 août 2003 fr", []string{`file 1 2003-08-15T00:00:00 day "fr" {rw-r--r--,a,b}`}},
		{"-rw-r--r-- 1 a b 1 ao\xfbt 15 2003 fr", []string{`file 1 2003-08-15T00:00:00 day "fr" {rw-r--r--,a,b}`}},
		{"-rw-r--r-- 1 a b 1 d\xc3\xa9c. 15 2003 fr", []string{`file 1 2003-12-15T00:00:00 day "fr" {rw-r--r--,a,b}`}},
		{"-rw-r--r-- 1 a b 1 1\xec\x9b\x94 25  2003 ko", []string{`file 1 2003-01-25T00:00:00 day "ko" {rw-r--r--,a,b}`}},
		{"-rw-r--r-- 1 a b 1 1\xbf\xf9 25  2003 ko", []string{`file 1 2003-01-25T00:00:00 day "ko" {rw-r--r--,a,b}`}},
		{"-rw-r--r-- 1 a b 1  4月 18日 2003年 ja", []string{`file 1 2003-04-18T00:00:00 day "ja" {rw-r--r--,a,b}`}},
		{"-rw-r--r-- 1 a b 1 2003   3月 20 ja", []string{`file 1 2003-03-20T00:00:00 day "ja" {rw-r--r--,a,b}`}},
		{"-rw-r--r-- 1 a b 1 1999/10/12 17:12 n", []string{`file 1 1999-10-12T17:12:00 minute "n" {rw-r--r--,a,b}`}},
		{"-rw-r--r-- 1 a b 1 24-04-2003 17:12 n", []string{`file 1 2003-04-24T17:12:00 minute "n" {rw-r--r--,a,b}`}},
		{"-rw-r--r-- 1 a b 1 09-26 2000 n", []string{`file 1 2000-09-26T00:00:00 day "n" {rw-r--r--,a,b}`}},
		{"-rw-r--r-- 1 a b 1 3 29 03:26 n", []string{`file 1 2024-03-29T03:26:00 minute "n" {rw-r--r--,a,b}`}},
		{"-rw-r--r-- 1 a b 1 01-jun-99 n", []string{`file 1 1999-06-01T00:00:00 day "n" {rw-r--r--,a,b}`}},
		// relatives
		{"d [RWCEAFMS] admin     512 Jun 25  2007 nw", []string{`dir -1 2007-06-25T00:00:00 day "nw" { [RWCEAFMS],admin,}`}},
		{"-------r--         326  1391972  1392298 Nov 22  1995 mac", []string{`file 1392298 1995-11-22T00:00:00 day "mac" {------r--,,}`}},
		{"drwxrwxr-x               folder        2 May 10  1996 mac", []string{`dir -1 1996-05-10T00:00:00 day "mac" {rwxrwxr-x,,}`}},
		{"0100644   500  101   12345    123456789       num", []string{`file 12345 1973-11-29T21:33:09Z second "num" {0100644,500,101}`}},
		{"206876  Apr 04, 2000 21:06 old", []string{`file 206876 2000-04-04T21:06:00 minute "old"`}},
		{"0  Dec 12, 2002 02:13 old dir/", []string{`dir -1 2002-12-12T02:13:00 minute "old dir"`}},
		// headers and bad lines
		{"total 4.0K\n-rw-r--r-- 1 a b 1 Feb 25  2009 x\r\n\r\n", []string{`file 1 2009-02-25T00:00:00 day "x" {rw-r--r--,a,b}`}},
		{"insgesamt 8\n-rw-r--r-- 1 a b 1 Feb 25  2009 x\nsome noise\n-rw-r--r-- 1 a b 1 Feb 30  2009 y\n", []string{
			`file 1 2009-02-25T00:00:00 day "x" {rw-r--r--,a,b}`,
			"skipped 3: no mode and no date after a size", "skipped 4: no such date"}},
		{".:\ntotal 1\n-rw-r--r-- 1 a b 1 Feb 25  2009 x\n\n./s:\ntotal 1\n-rw-r--r-- 1 a b 1 Feb 25  2009 y\n", []string{
			`file 1 2009-02-25T00:00:00 day "x" {rw-r--r--,a,b}`, `file 1 2009-02-25T00:00:00 day "s/y" {rw-r--r--,a,b}`}},
	})
}

func TestMSDOS(t *testing.T) {
	runLines(t, listing.MSDOS, []lineTest{
		{"02-05-01  05:52PM       <DIR>          a dir", []string{`dir -1 2001-02-05T17:52:00 minute "a dir"`}},
		{"02-05-1971  12:08AM           458 f.txt", []string{`file 458 1971-02-05T00:08:00 minute "f.txt"`}},
		{"02-05-69  12:08PM           458 f.txt", []string{`file 458 2069-02-05T12:08:00 minute "f.txt"`}},
		{"10/3/2018   2:58 PM    34,359,738,368 w", []string{`file 34359738368 2018-10-03T14:58:00 minute "w"`}},
		{"2013-09-02  19:06                9.730 f", []string{`file 9730 2013-09-02T19:06:00 minute "f"`}},
		{"02.05.2013  19:06      9\xa0730 f", []string{`file 9730 2013-05-02T19:06:00 minute "f"`}},
		{"05-04-10  08:00  <DIR>  a\r\n25-04-10  08:00  1 b\r\n", []string{
			`dir -1 2010-04-05T08:00:00 minute "a"`, `file 1 2010-04-25T08:00:00 minute "b"`}},
		{"07-21-00  07:22AM  <JUNCTION>  j\n07-21-00  07:22AM  <SYMLINKD>  k [C:\\x y]\n", []string{
			`link -1 2000-07-21T07:22:00 minute "j"`, `link -1 2000-07-21T07:22:00 minute "k" -> "C:\\x y"`}},
		{" Volume in drive C is X\r\n Directory of C:\\\r\n\r\n02-05-01  05:52PM  7 f\r\n  1 File(s)  7 bytes\r\n", []string{
			`file 7 2001-02-05T17:52:00 minute "f"`}},
		{"02-05-01  05:52PM  7 f\r\n02-05-01  25:52PM  7 g\r\n", []string{
			`file 7 2001-02-05T17:52:00 minute "f"`, "skipped 2: no time of day"}},
	})
}

func TestMLSD(t *testing.T) {
	runLines(t, listing.MLSD, []lineTest{
		{"Type=file;Size=25730;Modify=19940728095854;Perm=r; a b ", []string{`file 25730 1994-07-28T09:58:54Z second "a b "`}},
		{"type=dir;modify=20190218120006.25;UNIX.mode=0755;unix.ownername=u;unix.gid=7; d", []string{`dir -1 2019-02-18T12:00:06Z second "d" {0755,u,7}`}},
		{"type=cdir; .\r\ntype=pdir; ..\r\ntype=file;size=3 x\r\n", []string{`file 3 - "x"`}},
		{"type=OS.unix=slink:/a b; l", []string{`link -1 - "l" -> "/a b"`}},
		{"type=OS.unix=symlink;unique=7; l\ntype=file;unique=7; /else/where", []string{`link -1 - "l" -> "/else/where"`}},
		{"type=OS.unix=chr-13/29; dev", []string{`other -1 - "dev"`}},
		{"type=file;modify=2014;size=x; bad facts", []string{`file -1 - "bad facts"`}},
		{"type=file; a\ntype; b\n c\n", []string{`file -1 - "a"`, `file -1 - "c"`, "skipped 2: a fact without '='"}},
	})
}

func TestNames(t *testing.T) {
	runLines(t, listing.Names, []lineTest{
		{"readme.txt\r\npub/\r\ntwo words\r\n", []string{`file -1 - "readme.txt"`, `dir -1 - "pub"`, `file -1 - "two words"`}},
		{"bin\ndev\netc\n", []string{`file -1 - "bin"`, `file -1 - "dev"`, `file -1 - "etc"`}},
		{" .\n ..\n Many Words.txt\n", []string{`file -1 - "."`, `file -1 - ".."`, `file -1 - "Many Words.txt"`}},
	})
}

func TestUnrecognized(t *testing.T) {
	for _, raw := range []string{
		"garbage", "Error 550\r\n", "Killed 9\r\n", "ftpd: .: Permission denied\r\n", "-rw-r--r-- ftp ftp", "++ unknown garbage +++",
		"drwxr-xr-x 3 ftp ftp 4096 May 15 18:11", "drwxr-xr-x 2 0 0 4096 Mar 18  2007  ",
		"-rw-r--r-- 1 a b 6xx5 Feb 27 04:14 x", "11-02-09  05:32PM       <GARBAGE>      NT",
	} {
		r, err := listing.Parse([]byte(raw), listing.Options{Now: now})
		if !errors.Is(err, listing.ErrUnrecognized) || len(r.Entries) != 0 || r.SkippedTotal != 1 {
			t.Errorf("Parse(%q): %d entries, %d skipped, error %v", raw, len(r.Entries), r.SkippedTotal, err)
		}
	}
	for _, raw := range []string{"", "\r\n  \r\n", "total 0\r\n", "insgesamt 0\r\n", "\xe5\x90\x88\xe8\xa8\x88 0\r\n", "\xef\xbb\xbf"} {
		if r, err := listing.Parse([]byte(raw), listing.Options{}); err != nil || len(r.Entries)+len(r.Skipped) > 0 {
			t.Errorf("Parse(%q) = %v, %v; want nothing", raw, r, err)
		}
	}
}

func TestBadOptions(t *testing.T) {
	if _, err := listing.Parse(nil, listing.Options{Format: "nosuch"}); !errors.Is(err, listing.ErrFormat) {
		t.Errorf("unknown format: %v", err)
	}
	if _, err := listing.Parse(nil, listing.Options{Charset: "nosuch"}); !errors.Is(err, listing.ErrCharset) {
		t.Errorf("unknown charset: %v", err)
	}
}

func TestYearless(t *testing.T) {
	tests := []struct{ now, date, want string }{
		{"2024-12-31T23:30:00Z", "Jan  1 00:10", "2025-01-01T00:10"}, // New Year in a zone ahead of ours
		{"2024-12-31T23:30:00Z", "Dec 31 23:59", "2024-12-31T23:59"},
		{"2025-01-01T00:05:00Z", "Dec 31 23:59", "2024-12-31T23:59"},
		{"2025-01-01T00:05:00Z", "Jan  2 00:05", "2025-01-02T00:05"}, // exactly 24 hours
		{"2025-01-01T00:05:00Z", "Jan  2 00:06", "2024-01-02T00:06"},
		{"2024-02-28T12:00:00Z", "Feb 29 08:00", "2024-02-29T08:00"},
		{"2024-02-27T12:00:00Z", "Feb 29 08:00", "2020-02-29T08:00"},
		{"2023-03-01T00:00:00Z", "Feb 29 08:00", "2020-02-29T08:00"},
		{"2104-02-28T00:00:00Z", "Feb 29 08:00", "2096-02-29T08:00"}, // 2100 is none; the 29th is 32 hours away
	}
	for _, tt := range tests {
		at, err := time.Parse(time.RFC3339, tt.now)
		if err != nil {
			t.Fatal(err)
		}
		r, _ := listing.Parse([]byte("-rw-r--r-- 1 a b 1 "+tt.date+" x"), listing.Options{Now: at})
		if len(r.Entries) != 1 || r.Entries[0].ModTime.Format("2006-01-02T15:04") != tt.want {
			t.Errorf("at %s, %s is %v, want %s", tt.now, tt.date, showAll(r), tt.want)
		}
	}
}

func TestLocation(t *testing.T) {
	east := time.FixedZone("east", 9*3600)
	raw := "-rw-r--r-- 1 a b 1 Jun 16 20:00 x" // 11:00 in UTC, 23 hours from now
	r, err := listing.Parse([]byte(raw), listing.Options{Now: now, Location: east})
	if err != nil {
		t.Fatal(err)
	}
	got := r.Entries[0].ModTime
	if want := time.Date(2024, 6, 16, 20, 0, 0, 0, east); !got.Equal(want) || got.ZoneKnown || got.Location() != east {
		t.Errorf("%v, want %v", got, want)
	}
}

func TestLineEnds(t *testing.T) {
	line := func(name string) string { return "-rw-r--r-- 1 a b 1 Feb 25  2009 " + name }
	tests := []struct {
		why, raw string
		want     []string
	}{
		{"LF", line("a") + "\n" + line("b") + "\n", []string{"a", "b"}},
		{"no end", line("a") + "\n" + line("b"), []string{"a", "b"}},
		{"CR alone", line("a") + "\r" + line("b") + "\r", []string{"a", "b"}},
		{"LF in a name", line("a\nb") + "\r\n" + line("c") + "\r\n", []string{"a\nb", "c"}},
		{"a forged line is a part of the name", line("a\n"+line("evil")) + "\r\n" + line("c") + "\r\n", []string{"a\n" + line("evil"), "c"}},
		{"LF after the header", "total 5\n" + line("a") + "\r\n" + line("b") + "\r\n", []string{"a", "b"}},
		{"CR at the end of the last name", line("a") + "\n" + line("b") + "\n" + line("Icon\r") + "\n", []string{"a", "b", "Icon"}},
		{"CR in a name", line("Icon\r") + "\r\n" + line("c") + "\r\n", []string{"Icon\r", "c"}},
		{"CR CR LF", line("a") + "\r\r\n" + line("b") + "\r\r\n", []string{"a", "b"}},
		{"byte order mark", "\xef\xbb\xbf" + line("a") + "\r\n", []string{"a"}},
		{"0x85", line("x\x81\x85") + "\r\n" + line("y\x85") + "\r\n", []string{"x\x81\x85", "y\x85"}},
	}
	for _, tt := range tests {
		r, err := listing.Parse([]byte(tt.raw), listing.Options{})
		var got []string
		for _, e := range r.Entries {
			got = append(got, e.RawName)
		}
		if diff := cmp.Diff(tt.want, got); diff != "" || err != nil {
			t.Errorf("%s: %v (-want +got):\n%s", tt.why, err, diff)
		}
	}
}

func TestLongLine(t *testing.T) {
	good := "-rw-r--r-- 1 a b 1 Feb 25  2009 x\r\n"
	raw := []byte(good + strings.Repeat("y", listing.MaxLine+1) + "\r\n" + good)
	r, err := listing.Parse(raw, listing.Options{})
	if err != nil || len(r.Entries) != 2 || r.SkippedTotal != 1 || len(r.Skipped[0].Raw) != listing.MaxSkippedRaw {
		t.Errorf("%d entries, %d skipped, %v", len(r.Entries), r.SkippedTotal, err)
	}
}

func TestParseKeepsNoReference(t *testing.T) {
	raw := []byte("-rw-r--r-- 1 a b 1 Feb 25  2009 x")
	r, err := listing.Parse(raw, listing.Options{})
	if err != nil {
		t.Fatal(err)
	}
	clear(raw)
	if e := r.Entries[0]; e.Name != "x" || e.RawName != "x" || e.Owner != "a" {
		t.Errorf("entry changed with the input: %s", show(e))
	}
}

func TestParseFacts(t *testing.T) {
	for _, line := range []string{" Type=file;Size=3;Modify=20200102030405; a b\r\n", "Type=file;Size=3;Modify=20200102030405; a b"} {
		e, err := listing.ParseFacts([]byte(line), listing.Options{})
		if want := `file 3 2020-01-02T03:04:05Z second "a b"`; err != nil || show(e) != want {
			t.Errorf("ParseFacts(%q) = %s, %v; want %s", line, show(e), err, want)
		}
	}
	if e, err := listing.ParseFacts([]byte(" type=cdir; /home\r\n"), listing.Options{}); err != nil || e.Name != "/home" || e.Type != listing.Dir {
		t.Errorf("cdir: %s, %v", show(e), err)
	}
	for _, line := range []string{"", "250 End", "type=file;"} {
		if _, err := listing.ParseFacts([]byte(line), listing.Options{}); !errors.Is(err, listing.ErrFacts) {
			t.Errorf("ParseFacts(%q): %v, want ErrFacts", line, err)
		}
	}
}

// TestGolden compares whole listings with the JSON lines that were checked by hand.
func TestGolden(t *testing.T) {
	files, err := filepath.Glob("testdata/*.list")
	if err != nil || len(files) == 0 {
		t.Fatal("no golden files", err)
	}
	for _, f := range files {
		raw, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		r, err := listing.Parse(raw, listing.Options{Now: now})
		if err != nil {
			t.Errorf("%s: %v", f, err)
		}
		var got bytes.Buffer
		if err := r.WriteJSONLines(&got); err != nil {
			t.Fatal(err)
		}
		golden := strings.TrimSuffix(f, ".list") + ".golden"
		if *update {
			if err := os.WriteFile(golden, got.Bytes(), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(golden)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(string(want), got.String()); diff != "" {
			t.Errorf("%s (-want +got):\n%s", f, diff)
		}
	}
}

// TestHostile feeds floods that would take hours if any step looked at the rest of the listing again and again.
func TestHostile(t *testing.T) {
	entry := "-rw-r--r-- 1 a b 1 Feb 25  2009 x"
	for _, unit := range []string{"\n", "\r", "a\n", entry + "\n", " ", "; ", "type=a;", "1 ", "\x83", ":\n\n", "Feb 1 2000 "} {
		for _, end := range []string{"", "\r\n", "\r\n" + entry + "\r\n"} {
			raw := []byte(entry + "\r\n" + strings.Repeat(unit, 200000/len(unit)) + end)
			r, _ := listing.Parse(raw, listing.Options{Now: now})
			if len(r.Entries) == 0 && !strings.HasSuffix(unit, ";") {
				t.Errorf("%q: the good line was lost", unit)
			}
			if len(r.Skipped) > listing.MaxSkipped {
				t.Errorf("%q: %d skipped lines kept", unit, len(r.Skipped))
			}
		}
	}
}
