package listing_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"gateway/listing"
)

func bigListing(n int) []byte {
	var b bytes.Buffer
	b.WriteString("total 123456\r\n")
	for i := range n {
		fmt.Fprintf(&b, "-rw-r--r--    1 ftp      ftp      %10d Mar %2d  2021 file-%d.dat\r\n", i*31, i%28+1, i)
	}
	return b.Bytes()
}

func TestReaderIsParse(t *testing.T) {
	raw := bigListing(20000) // several windows
	want, err := listing.Parse(raw, listing.Options{Now: now})
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range []io.Reader{bytes.NewReader(raw), iotest.HalfReader(bytes.NewReader(raw))} {
		rd := listing.NewReader(r, listing.Options{Now: now})
		i := 0
		for e, err := range rd.All() {
			if err != nil {
				t.Fatal(err)
			}
			if show(e) != show(want.Entries[i]) || e.Line != want.Entries[i].Line {
				t.Fatalf("entry %d: %s, want %s", i, show(e), show(want.Entries[i]))
			}
			i++
		}
		if q := rd.Quality(); i != len(want.Entries) || q.EntriesTotal != i || q.SkippedTotal != 0 || q.Format != listing.Unix {
			t.Errorf("%d entries, want %d; %+v", i, len(want.Entries), q)
		}
	}
}

func TestReaderEndlessLine(t *testing.T) {
	good := "-rw-r--r-- 1 a b 1 Feb 25  2009 x\r\n"
	raw := good + strings.Repeat("y", 3*listing.Window) + "\r\n" + good
	rd := listing.NewReader(strings.NewReader(raw), listing.Options{})
	n := 0
	for e, err := range rd.All() {
		if err != nil || e.Name != "x" {
			t.Errorf("%v, %v", e, err)
		}
		n++
	}
	if q := rd.Quality(); n != 2 || q.SkippedTotal != 1 {
		t.Errorf("%d entries and %d skipped, want 2 and 1", n, q.SkippedTotal)
	}
}

func TestReaderErrors(t *testing.T) {
	broken := errors.New("connection reset")
	half := "-rw-r--r-- 1 a b 1 Feb 25  2009 whole\r\n-rw-r--r-- 1 a b 1 Feb 25  2009 ha"
	rd := listing.NewReader(io.MultiReader(strings.NewReader(half), iotest.ErrReader(broken)), listing.Options{})
	var names []string
	var last error
	for e, err := range rd.All() {
		if last = err; err == nil {
			names = append(names, e.Name)
		}
	}
	if len(names) != 1 || names[0] != "whole" || !errors.Is(last, broken) {
		t.Errorf("got %q and %v", names, last)
	}
	for _, tt := range []struct {
		raw  string
		o    listing.Options
		want error
	}{
		{"", listing.Options{Format: "nosuch"}, listing.ErrFormat},
		{"ftpd: .: Permission denied\r\n", listing.Options{}, listing.ErrUnrecognized},
	} {
		for _, err := range listing.NewReader(strings.NewReader(tt.raw), tt.o).All() {
			if !errors.Is(err, tt.want) {
				t.Errorf("%q: %v, want %v", tt.raw, err, tt.want)
			}
		}
	}
}

// TestReaderOnce stops in the middle and ranges again.
func TestReaderOnce(t *testing.T) {
	r := listing.NewReader(strings.NewReader("type=file; a\r\ntype=file; b\r\n"), listing.Options{})
	n := 0
	for range r.All() {
		n++
		break
	}
	for e := range r.All() {
		t.Errorf("second range: %q", e.Name)
	}
	if q := r.Quality(); n != 1 || q.EntriesTotal != 2 {
		t.Errorf("%d entries yielded, %d counted", n, q.EntriesTotal)
	}
}
