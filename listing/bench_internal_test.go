package listing

import (
	"fmt"
	"testing"
	"time"
)

// benchParser times a parser alone, over lines that are split already.
func benchParser(b *testing.B, p parser, format string, args func(i int) []any) {
	const lines = 4096
	var buf []byte
	var spans []line
	for i := range lines {
		lo := len(buf)
		buf = fmt.Appendf(buf, format, args(i)...)
		spans = append(spans, line{lo: lo, hi: len(buf)})
	}
	d := newDates(time.Date(2024, 6, 15, 12, 0, 0, 0, time.UTC), nil)
	c := cursor{text: string(buf), dates: &d}
	entries := make([]Entry, lines)
	b.SetBytes(int64(len(buf)))
	b.ReportAllocs()
	for b.Loop() {
		for i, l := range spans {
			e := &entries[i]
			*e = Entry{Size: -1}
			c.reset(buf, l)
			if v, reason := p.parse(&c, e); v != full {
				b.Fatal(reason)
			}
		}
		if f, ok := p.(finisher); ok {
			f.finish(entries)
		}
	}
	b.ReportMetric(float64(b.N)*lines/b.Elapsed().Seconds(), "lines/s")
}

func BenchmarkParserUnix(b *testing.B) {
	benchParser(b, new(unixParser), "-rw-r--r--    1 ftp      staff    %10d Mar %2d  2021 file-%d.dat",
		func(i int) []any { return []any{i * 31, i%28 + 1, i} })
}

func BenchmarkParserUnixTime(b *testing.B) {
	benchParser(b, new(unixParser), "drwxr-xr-x   1 1000     1000     %10d Mar %2d %02d:%02d file-%d.dat",
		func(i int) []any { return []any{i * 31, i%28 + 1, i % 24, i % 60, i} })
}

// BenchmarkParserUnixSlow has lines that are not for quick.
func BenchmarkParserUnixSlow(b *testing.B) {
	benchParser(b, new(unixParser), "-rw-r--r--+   1 ftp      Domain Users %10d 2021-03-%02d %02d:%02d file-%d.dat",
		func(i int) []any { return []any{i * 31, i%28 + 1, i % 24, i % 60, i} })
}

func BenchmarkParserMSDOS(b *testing.B) {
	benchParser(b, new(msdosParser), "%02d-%02d-%02d  %02d:%02dPM %20d invoice %d (paid).xls",
		func(i int) []any { return []any{i%12 + 1, i%28 + 1, i % 20, i%12 + 1, i % 60, i * 31, i} })
}

func BenchmarkParserMLSD(b *testing.B) {
	benchParser(b, new(mlsdParser), "type=file;size=%d;modify=202103%02d10%02d20;UNIX.mode=0644;UNIX.owner=1000;unique=801U%x; file-%d.dat",
		func(i int) []any { return []any{i * 31, i%28 + 1, i % 60, i, i} })
}

func BenchmarkParserVMS(b *testing.B) {
	benchParser(b, new(vmsParser), "DATA%07d.LIS;%d     %6d/%-6d %2d-MAR-2011 10:%02d:20  [STAFF,ANNA]  (RWED,RWED,RE,)",
		func(i int) []any { return []any{i, i%9 + 1, i % 5000, i%5000 + 3, i%28 + 1, i % 60} })
}
