package listing_test

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"net/textproto"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/jlaffaye/ftp"

	"gateway/listing"
)

// million is how many lines the listings of BenchmarkMillion have.
const million = 1_000_000

// benchLines makes the lines that the benchmarks read, by format. i counts them.
var benchLines = []struct {
	format listing.Format
	line   func(b []byte, i int) []byte
}{
	{listing.Unix, func(b []byte, i int) []byte {
		if i%7 == 0 {
			return fmt.Appendf(b, "-rw-r--r--   1 www-data staff    %9d Mar %2d %02d:%02d report-%d.pdf\r\n", i*31, i%28+1, i%24, i%60, i)
		}
		return fmt.Appendf(b, "-rw-r--r--    1 ftp      ftp      %10d Mar %2d  2021 file-%d.dat\r\n", i*31, i%28+1, i)
	}},
	{listing.MSDOS, func(b []byte, i int) []byte {
		return fmt.Appendf(b, "%02d-%02d-%02d  %02d:%02dPM %20d invoice %d (paid).xls\r\n", i%12+1, i%28+1, i%20, i%12+1, i%60, i*31, i)
	}},
	{listing.VMS, func(b []byte, i int) []byte {
		return fmt.Appendf(b, "DATA%07d.LIS;%d     %6d/%-6d %2d-MAR-2011 10:%02d:20  [STAFF,ANNA]  (RWED,RWED,RE,)\r\n", i, i%9+1, i%5000, i%5000+3, i%28+1, i%60)
	}},
	{listing.MLSD, func(b []byte, i int) []byte {
		return fmt.Appendf(b, "type=file;size=%d;modify=202103%02d10%02d20;UNIX.mode=0644;UNIX.owner=1000;unique=801U%x; file-%d.dat\r\n", i*31, i%28+1, i%60, i, i)
	}},
}

func benchListing(format listing.Format, lines int) []byte {
	var b []byte
	for _, l := range benchLines {
		if l.format == format {
			for i := range lines {
				b = l.line(b, i)
			}
		}
	}
	return b
}

// parseAll is one round of a benchmark of Parse.
func parseAll(b *testing.B, raw []byte, lines int) {
	r, err := listing.Parse(raw, listing.Options{Now: now})
	if err != nil || len(r.Entries) != lines {
		b.Fatalf("%d entries of %d: %v", len(r.Entries), lines, err)
	}
}

func readAll(b *testing.B, raw []byte, lines int) {
	n := 0
	for _, err := range listing.NewReader(bytes.NewReader(raw), listing.Options{Now: now}).All() {
		if err != nil {
			b.Fatal(err)
		}
		n++
	}
	if n != lines {
		b.Fatalf("%d entries of %d", n, lines)
	}
}

// perLine reports what a round over so many lines costs each of them.
func perLine(b *testing.B, lines int, round func()) {
	var before, after runtime.MemStats
	b.StopTimer()
	runtime.GC()
	runtime.ReadMemStats(&before)
	b.StartTimer()
	rounds := 0
	for b.Loop() {
		round()
		rounds++
	}
	runtime.ReadMemStats(&after)
	all := float64(rounds * lines)
	b.ReportMetric(all/b.Elapsed().Seconds(), "lines/s")
	b.ReportMetric(float64(after.Mallocs-before.Mallocs)/all, "allocs/line")
	b.ReportMetric(float64(after.TotalAlloc-before.TotalAlloc)/all, "B/line")
}

// BenchmarkMillion reads a million lines of each format: with Parse, with Reader, and with the List of the FTP library
// that most Go programs use, where that knows the format.
func BenchmarkMillion(b *testing.B) {
	for _, l := range benchLines {
		raw := benchListing(l.format, million)
		b.Run(string(l.format)+"/Parse", func(b *testing.B) {
			perLine(b, million, func() { parseAll(b, raw, million) })
		})
		b.Run(string(l.format)+"/Reader", func(b *testing.B) {
			perLine(b, million, func() { readAll(b, raw, million) })
		})
		if l.format == listing.VMS {
			continue
		}
		b.Run(string(l.format)+"/jlaffaye", func(b *testing.B) {
			peer := newPeer(b, raw, l.format == listing.MLSD)
			perLine(b, million, func() {
				if entries, err := peer.List(""); err != nil || len(entries) != million {
					b.Fatalf("%d entries: %v", len(entries), err)
				}
			})
		})
	}
}

// BenchmarkLength shows that the time for a byte does not grow with the length of the listing.
func BenchmarkLength(b *testing.B) {
	sizes := []int{1e3, 1e4, 1e5, 1e6, 1e7, 1e8}
	raw := benchListing(listing.Unix, sizes[len(sizes)-1]/60)
	for _, size := range sizes {
		part := raw[:bytes.LastIndexByte(raw[:size], '\n')+1]
		lines := bytes.Count(part, []byte{'\n'})
		b.Run(fmt.Sprintf("%dkB", size/1000), func(b *testing.B) {
			b.SetBytes(int64(len(part)))
			for b.Loop() {
				readAll(b, part, lines)
			}
		})
	}
}

// BenchmarkWorst reads inputs that were made to be slow: for each, a million bytes and ten million, whose speed must
// be the same.
func BenchmarkWorst(b *testing.B) {
	for _, w := range worst {
		for _, size := range []int{1e6, 1e7} {
			raw := []byte(strings.Repeat(w.piece, size/len(w.piece)))
			b.Run(fmt.Sprintf("%s/%dMB", w.name, size/1e6), func(b *testing.B) {
				b.SetBytes(int64(len(raw)))
				for b.Loop() {
					for range listing.NewReader(bytes.NewReader(raw), listing.Options{Now: now}).All() {
					}
				}
			})
		}
	}
}

// newPeer connects the other library to a server in memory whose every listing is raw.
func newPeer(b *testing.B, raw []byte, mlsd bool) *ftp.ServerConn {
	b.Helper()
	client, server := net.Pipe()
	b.Cleanup(func() { client.Close() })
	go serve(server, mlsd)
	dials := 0
	peer, err := ftp.Dial("127.0.0.1:21", ftp.DialWithDisabledMLSD(!mlsd), ftp.DialWithDialFunc(func(string, string) (net.Conn, error) {
		if dials++; dials == 1 {
			return &controlConn{client}, nil
		}
		return &dataConn{Conn: client, r: bytes.NewReader(raw)}, nil
	}))
	if err == nil {
		err = peer.Login("anonymous", "x")
	}
	if err != nil {
		b.Fatal(err)
	}
	return peer
}

// serve answers the commands that lead to a listing.
func serve(conn net.Conn, mlsd bool) {
	defer conn.Close()
	in := textproto.NewReader(bufio.NewReader(conn))
	fmt.Fprint(conn, "220 ready\r\n")
	for {
		line, err := in.ReadLine()
		if err != nil {
			return
		}
		answer := "200 ok"
		switch verb, _, _ := strings.Cut(line, " "); verb {
		case "USER":
			answer = "230 in"
		case "FEAT":
			if answer = "211-features\r\n EPSV\r\n211 end"; mlsd {
				answer = "211-features\r\n EPSV\r\n MLST type*;size*;modify*;\r\n211 end"
			}
		case "EPSV":
			answer = "229 (|||2000|)"
		case "LIST", "MLSD":
			answer = "150 here\r\n226 done"
		}
		if _, err := fmt.Fprint(conn, answer, "\r\n"); err != nil {
			return
		}
	}
}

// controlConn has the address that the library wants to see.
type controlConn struct{ net.Conn }

func (c *controlConn) RemoteAddr() net.Addr {
	return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 21}
}

// dataConn is a data connection that brings the listing as quickly as it is taken.
type dataConn struct {
	net.Conn
	r io.Reader
}

func (d *dataConn) Read(b []byte) (int, error)       { return d.r.Read(b) }
func (d *dataConn) Close() error                     { return nil }
func (d *dataConn) SetDeadline(time.Time) error      { return nil }
func (d *dataConn) SetReadDeadline(time.Time) error  { return nil }
func (d *dataConn) SetWriteDeadline(time.Time) error { return nil }
