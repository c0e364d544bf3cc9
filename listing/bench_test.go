package listing_test

import (
	"bytes"
	"testing"

	"gateway/listing"
)

func BenchmarkUnix(b *testing.B) {
	raw := bigListing(20000)
	b.SetBytes(int64(len(raw)))
	b.ReportAllocs()
	for b.Loop() {
		r, err := listing.Parse(raw, listing.Options{Now: now})
		if err != nil || len(r.Entries) != 20000 {
			b.Fatal(len(r.Entries), err)
		}
	}
	b.ReportMetric(float64(b.N)*20000/b.Elapsed().Seconds(), "lines/s")
}

func BenchmarkReader(b *testing.B) {
	raw := bigListing(20000)
	b.SetBytes(int64(len(raw)))
	b.ReportAllocs()
	for b.Loop() {
		n := 0
		for _, err := range listing.NewReader(bytes.NewReader(raw), listing.Options{Now: now}).All() {
			if err != nil {
				b.Fatal(err)
			}
			n++
		}
	}
	b.ReportMetric(float64(b.N)*20000/b.Elapsed().Seconds(), "lines/s")
}
