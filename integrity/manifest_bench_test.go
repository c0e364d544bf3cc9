package integrity

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"io"
	"runtime"
	"runtime/metrics"
	"strconv"
	"testing"
	"time"
)

// lineReader makes a manifest as it is read, so that its bytes do not count as
// memory of the parser.
type lineReader struct {
	n, end int
	line   func(b []byte, i int) []byte
	rest   []byte
	buffer []byte
}

func (r *lineReader) Read(p []byte) (int, error) {
	if len(r.rest) == 0 {
		if r.n == r.end {
			return 0, io.EOF
		}
		r.buffer = r.buffer[:0]
		for len(r.buffer) < 32<<10 && r.n < r.end {
			r.buffer = r.line(r.buffer, r.n)
			r.n++
		}
		r.rest = r.buffer
	}
	n := copy(p, r.rest)
	r.rest = r.rest[n:]
	return n, nil
}

// mirrorLine is a line of a manifest as a large mirror has it: 64 digits and a
// name of 40 bytes. It is made by hand, to cost little beside the parser.
func mirrorLine(b []byte, i int) []byte {
	var sum [32]byte
	binary.BigEndian.PutUint64(sum[24:], uint64(i)*0x9e3779b97f4a7c15)
	b = hex.AppendEncode(b, sum[:])
	b = append(b, "  pool/main/"...)
	b = strconv.AppendInt(b, int64(100+i%900), 10)
	b = append(b, "/package-name_"...)
	b = strconv.AppendInt(b, int64(10_000_000+i), 10)
	return append(b, ".deb\n"...)
}

func mirrorManifest(entries int) io.Reader {
	return &lineReader{end: entries, line: mirrorLine}
}

// heapPeak runs f and returns the most bytes that the heap held meanwhile,
// garbage included, above what it held before.
func heapPeak(f func()) uint64 {
	sample := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}}
	runtime.GC()
	metrics.Read(sample)
	before := sample[0].Value.Uint64()
	stop, peak := make(chan struct{}), make(chan uint64)
	go func() {
		var highest uint64
		s := []metrics.Sample{{Name: sample[0].Name}}
		for tick := time.NewTicker(2 * time.Millisecond); ; {
			metrics.Read(s)
			highest = max(highest, s[0].Value.Uint64())
			select {
			case <-stop:
				tick.Stop()
				peak <- highest
				return
			case <-tick.C:
			}
		}
	}()
	f()
	close(stop)
	return max(<-peak, before) - before
}

// The promise is 2 seconds and 300 MB. The time includes making the text.
func BenchmarkParseManifest(b *testing.B) {
	const entries = 1_000_000
	var peak, live uint64
	for b.Loop() {
		var m *Manifest
		used := heapPeak(func() {
			var err error
			m, err = ParseManifest(mirrorManifest(entries), ManifestOptions{Algorithm: SHA256})
			if err != nil || m.Len() != entries {
				b.Fatal(m, err)
			}
		})
		peak = max(peak, used)
		var stats runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&stats)
		live = stats.HeapAlloc
		runtime.KeepAlive(m)
	}
	seconds := b.Elapsed().Seconds() / float64(b.N)
	b.ReportMetric(seconds, "s/million")
	b.ReportMetric(float64(peak)/1e6, "peak-MB")
	b.ReportMetric(float64(live)/1e6, "live-MB")
}

func BenchmarkLookup(b *testing.B) {
	const entries = 1_000_000
	m, err := ParseManifest(mirrorManifest(entries), ManifestOptions{Algorithm: SHA256})
	if err != nil {
		b.Fatal(err)
	}
	i := 0
	for b.Loop() {
		i = (i + 7919) % entries
		if _, ok := m.Lookup(fmt.Sprintf("pool/main/%03d/package-name_%d.deb", 100+i%900, 10_000_000+i)); !ok {
			b.Fatal(i)
		}
	}
}
