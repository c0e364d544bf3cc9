package listing_test

import (
	"fmt"
	"strings"
	"testing"

	"gateway/listing"
)

func ExampleQuality() {
	raw := []byte("total 8\r\n" +
		"drwxr-xr-x   2 ftp   ftp    4096 Mar  2  2011 pub\r\n" +
		"ls: cannot open lost+found: Permission denied\r\n" +
		"-rw-r--r--   1 ftp   ftp     531 Jun  1  2012 caf\xe9.txt\r\n")
	r, err := listing.Parse(raw, listing.Options{})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(r.Format, r.SkippedTotal, r.Skipped[0].Line)
	fmt.Print(r.Quality.String()[strings.Index(r.Quality.String(), "entries:"):])
	// Output:
	// unix 1 3
	// entries: 2
	// skipped: 1
	//   line 3: no mode and no date after a size
	//     "ls: cannot open lost+found: Permission denied"
}

func TestQuality(t *testing.T) {
	unix := "-rw-r--r-- 1 a b 1 Feb 25  2009 x\r\n"
	flood := strings.Repeat("\x1b[31mnonsense: 1: 2\r\n", 2*listing.MaxSkipped)
	for _, tt := range []struct {
		name, raw string
		o         listing.Options
		want      []string // parts of the report
	}{
		{"empty", "", listing.Options{}, []string{"format:  none, the listing is empty\n", "entries: 0\nskipped: 0\n"}},
		{"message", "550 no: such: thing\r\n", listing.Options{}, []string{"not recognized. If you know it, name it:\n  unix, ", "line 1: no known format\n", "550 no"}},
		{"UTF-16", "-\x00r\x00w\x00-\x00\r\x00\n\x00", listing.Options{}, []string{"it looks like UTF-16; convert it"}},
		{"EBCDIC", "\x60\x99\xa6\x60\x99\x60\x60\x99\x60\x60\x40\xf1\x40\x81\x40\x82\x40\xf1\x40\xc6\x85\x82\x40\xf2\xf5\x40\xf2\xf0\xf0\xf9\x40\xa7\x15", listing.Options{},
			[]string{"it looks like EBCDIC, as after TYPE E; list with TYPE A"}},
		{"denied", "Access denied:\r\n", listing.Options{}, []string{"not recognized", `"Access denied:"`}},
		{"facts of nobody", "a=b c\r\n\xe9=d; e\r\n", listing.Options{}, []string{"not recognized"}},
		{"good", unix, listing.Options{}, []string{"format:  unix (confidence 100 %)\ncharset: all names are plain ASCII\nentries: 1\nskipped: 0\n"}},
		{"configured", unix, listing.Options{Format: listing.Unix, Charset: "CP437"}, []string{"format:  unix (confidence 100 %)\ncharset: all names are plain ASCII"}},
		{"UTF-8", strings.Replace(unix, "x", "\xc3\xbc\xc3\x9f", 1), listing.Options{}, []string{"charset: UTF-8 (confidence 80 %)\n"}},
		{"a guess", strings.Replace(unix, "x", "\xe9", 1), listing.Options{}, []string{", a guess (confidence ", "set the charset where names look wrong"}},
		{"hostile", unix + flood, listing.Options{Format: listing.Unix}, []string{"skipped: 2000\n", `"\x1b[31mnonsense`, "  and 1990 more\n"}},
	} {
		r, _ := listing.Parse([]byte(tt.raw), tt.o) // ErrUnrecognized for the message; the report is looked at here
		got := r.Quality.String()
		for _, part := range tt.want {
			if !strings.Contains(got, part) {
				t.Errorf("%s: %q is not in\n%s", tt.name, part, got)
			}
		}
		for line := range strings.Lines(got) {
			if len(line) > 121 || strings.ContainsRune(line, '\x1b') {
				t.Errorf("%s: %q", tt.name, line)
			}
		}
	}
}
