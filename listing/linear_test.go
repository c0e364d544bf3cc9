package listing_test

import (
	"bytes"
	"runtime"
	"strings"
	"testing"

	"gateway/listing"
)

// worst are pieces which, repeated without end, ask most of a reader: long lines and short ones, lines that wait for
// another, names that go on over line ends, many columns, many facts, bytes that look like any charset.
var worst = []struct{ name, piece string }{
	{"short lines", "a\n"},
	{"empty lines", "\r\n"},
	{"one line", "abcdefgh ijklmnop "},
	{"carriage returns", "a\r"},
	{"bare line feeds", "-rw-r--r-- 1 a b 1 Feb 25  2009 x\ny\nz\r\n"},
	{"open names", "-rw-r--r-- 1 a b 1 Feb 25  2009 x\n"},
	{"many columns", strings.Repeat("1 ", 2000) + "\n"},
	{"almost dates", "-rw-r--r-- 1 " + strings.Repeat("Mar 1 ", 800) + "\n"},
	{"many facts", strings.Repeat("a=b;", 4000) + " x\n"},
	{"one fact", "type=file;" + strings.Repeat("x", 8000) + "=; a\n"},
	{"links", "lrwxrwxrwx 1 a b 1 Feb 25  2009 " + strings.Repeat("a -> ", 500) + "\n"},
	{"VMS names", "VERYLONGNAMEWITHOUTEND.DAT;1\r\n"},
	{"VMS names and blanks", "VERYLONGNAMEWITHOUTEND.DAT;1\r\n\r\n"},
	{"directories", "\r\n./a:\r\n"},
	{"high bytes", "-rw-r--r-- 1 a b 1 Feb 25  2009 \x81\x40\x83\x5c\xfe\xe4\xf6\x8f\xa2\xaf\r\n"},
	{"escapes", "-rw-r--r-- 1 a b 1 Feb 25  2009 \x1b$B%F\x1b(B\x1b$\r\n"},
	{"zero bytes", "\x00\x00\x00\x00\x00\x00\x00\n"},
	{"MVS", "WYOSPT 3420   2003/05/21  1  200  FB      80  8053  PS  48-MVS.FILE\r\n"},
	{"EPLF", "+i8388621.29609,m824255902,/,\tdev\r\n"},
}

// TestMemory: what a Reader needs does not grow with the listing, whatever is in it.
func TestMemory(t *testing.T) {
	for _, w := range worst {
		// a window, its copy, and the entries of the shortest lines: 131072 of them
		const size, most = 16 * listing.Window, 48 << 20
		if peak := peakHeap(t, strings.NewReader(strings.Repeat(w.piece, size/len(w.piece)))); peak > most {
			t.Errorf("%s: %d MiB for %d MiB of listing", w.name, peak>>20, size>>20)
		}
	}
}

// peakHeap reads a listing and returns the most memory that was in use at the ends of its windows, over that before.
func peakHeap(t *testing.T, r *strings.Reader) uint64 {
	t.Helper()
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	before, peak, left := m.HeapAlloc, uint64(0), r.Len()
	look := func() {
		runtime.GC()
		runtime.ReadMemStats(&m)
		peak = max(peak, m.HeapAlloc-min(before, m.HeapAlloc))
	}
	for range listing.NewReader(r, listing.Options{Now: now}).All() {
		if left-r.Len() > 3*listing.Window {
			left = r.Len()
			look()
		}
	}
	look()
	runtime.KeepAlive(r)
	return peak
}

// TestParseMemory: Parse takes at most four times the length of a listing of usual lines.
func TestParseMemory(t *testing.T) {
	const lines = 20_000
	for _, l := range benchLines {
		raw := benchListing(l.format, lines)
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		r, err := listing.Parse(raw, listing.Options{Now: now})
		runtime.ReadMemStats(&after)
		if err != nil || len(r.Entries) != lines {
			t.Fatalf("%s: %d entries, %v", l.format, len(r.Entries), err)
		}
		if took := after.TotalAlloc - before.TotalAlloc; took > 4*uint64(len(raw)) {
			t.Errorf("%s: %d bytes for a listing of %d: %.1f times", l.format, took, len(raw), float64(took)/float64(len(raw)))
		}
	}
}

// TestHeldLineAtWindow: an entry of two lines is read wherever the window ends.
func TestHeldLineAtWindow(t *testing.T) {
	entry := "A_NAME_THAT_IS_TOO_LONG_FOR_ITS_COLUMN.DAT;1\r\n        12/15  2-JAN-2011 10:20:30  [STAFF]  (RWED,RE,,)\r\n"
	count := 3*listing.Window/len(entry) + 1
	for shift := 0; shift < len(entry); shift += 5 {
		raw := "Directory DISK:[X]" + strings.Repeat(" ", shift) + "\r\n\r\n" + strings.Repeat(entry, count)
		rd := listing.NewReader(bytes.NewReader([]byte(raw)), listing.Options{Now: now})
		n := 0
		for e, err := range rd.All() {
			if err != nil || e.Size != 12*512 {
				t.Fatalf("shift %d: entry %d: %+v, %v", shift, n, e, err)
			}
			n++
		}
		if q := rd.Quality(); n != count || q.SkippedTotal != 0 {
			t.Fatalf("shift %d: %d entries, want %d; %v", shift, n, count, q)
		}
	}
}
