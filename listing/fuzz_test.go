package listing_test

import (
	"bytes"
	"os"
	"path/filepath"
	"runtime"
	"testing"
	"testing/iotest"

	"gateway/listing"
)

// seed gives f a listing of every format and what was made to be slow.
func seed(f *testing.F) {
	f.Helper()
	files, _ := filepath.Glob("testdata/*.list")
	for _, name := range files {
		if b, err := os.ReadFile(name); err == nil {
			f.Add(b, "", "")
		}
	}
	vectors, _ := filepath.Glob("testdata/*.jsonl")
	for _, c := range readCases(f, vectors) {
		f.Add(c.raw(f), "", "")
	}
	for _, w := range worst {
		f.Add([]byte(w.piece+w.piece), "", "")
	}
	for _, s := range []string{
		"drwxrwx   2       10     4096 Jul 28 02:41 tmp\n", "d [RWCEAFMS] x 512 Jun 25  2007 p\n", "\xef\xbb\xbf.:\n\n./a:\n",
		"type=OS.unix=slink:/a b; l\n", "11/4/2018   9:09 PM  <DIR>         .\n", "-rw-r--r-- 1 a b 4096Feb 23 2001 x\r\r\n",
		"0100644 500 101 12345 123456789 x", "a b c d e f g h 1 a b 1 Feb 25 2009 x\ny\r\n",
	} {
		f.Add([]byte(s), "Shift_JIS", "")
		f.Add([]byte(s), "", "names")
		f.Add([]byte(s), "", "table")
	}
}

func FuzzParse(f *testing.F) {
	seed(f)
	// what is made once, when it is first needed, does not count
	for _, cs := range append(listing.Charsets(), "") {
		_, _ = listing.Parse([]byte("-rw-r--r-- 1 a b 1 2. f\xe9vrier 2009 \xe9\xe8\n"), listing.Options{Charset: cs})
	}
	f.Fuzz(func(t *testing.T, raw []byte, charset, format string) {
		o := listing.Options{Now: now, Charset: charset, Format: listing.Format(format)}
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		r, err := listing.Parse(raw, o)
		runtime.ReadMemStats(&after)
		if err != nil {
			return
		}
		// four times the input, an entry and its names in another charset, the reason of a skipped line, and what is
		// needed for any listing
		most := 4*len(raw) + 512*(r.EntriesTotal+len(r.Skipped)) + 256<<10
		if took := after.TotalAlloc - before.TotalAlloc; took > uint64(most) {
			t.Errorf("%d bytes for a listing of %d with %d entries and %d skipped lines", took, len(raw), r.EntriesTotal, r.SkippedTotal)
		}
		for _, e := range r.Entries {
			if len(e.RawName) == 0 || e.Size < -1 || e.Line < 1 {
				t.Fatalf("bad entry %+v", e)
			}
			if back, err := listing.Encode(e.Name, e.Charset()); err != nil || string(back) != e.RawName {
				t.Fatalf("%q in %s leads to %q, not %q: %v", e.Name, e.Charset(), back, e.RawName, err)
			}
		}
	})
}

// FuzzReader holds the Reader to Parse, whatever the pieces in which the listing comes.
func FuzzReader(f *testing.F) {
	seed(f)
	f.Fuzz(func(t *testing.T, raw []byte, charset, format string) {
		o := listing.Options{Now: now, Charset: charset, Format: listing.Format(format)}
		want, wantErr := listing.Parse(raw, o)
		if len(raw) > listing.Window {
			return // several windows may be read differently
		}
		rd := listing.NewReader(iotest.HalfReader(bytes.NewReader(raw)), o)
		n := 0
		for e, err := range rd.All() {
			if err != nil {
				if wantErr == nil || err.Error() != wantErr.Error() {
					t.Fatalf("%v, want %v", err, wantErr)
				}
				return
			}
			if n >= len(want.Entries) || e != want.Entries[n] {
				t.Fatalf("entry %d: %+v", n, e)
			}
			n++
		}
		if n != len(want.Entries) || wantErr != nil || rd.Quality().SkippedTotal != want.SkippedTotal {
			t.Fatalf("%d entries, want %d, %v", n, len(want.Entries), wantErr)
		}
	})
}

func FuzzDecode(f *testing.F) {
	for i := range listing.Charsets() {
		f.Add([]byte("a\x83\x5c\x81\x85\xff\x8f\xa2\xaf\x81\x30\x81\x30\xee\xbc\x80\x00\n"), uint8(i))
	}
	f.Fuzz(func(t *testing.T, b []byte, i uint8) {
		all := listing.Charsets()
		checkRoundTrip(t, b, all[int(i)%len(all)])
	})
}
