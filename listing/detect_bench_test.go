package listing_test

import (
	"testing"

	"gateway/listing"
)

func BenchmarkDetector(b *testing.B) {
	for _, cs := range []string{"UTF-8", "windows-1252", "windows-1251", "Shift_JIS"} {
		b.Run(cs, func(b *testing.B) {
			language := map[string]string{"windows-1252": "de", "windows-1251": "ru", "Shift_JIS": "ja", "UTF-8": "cs"}[cs]
			raw := mustEncode(b, cs, readNames(b, language, cs)...)
			var names [][]byte
			for i := range 10000 {
				names = append(names, raw[i%len(raw)])
			}
			b.ReportAllocs()
			for b.Loop() {
				d := listing.NewDetector()
				d.Observe(names...)
				d.Charset()
			}
		})
	}
}

// BenchmarkMixedNames has one name that is not UTF-8 among thousands that are.
func BenchmarkMixedNames(b *testing.B) {
	var list []byte
	names := append(mustEncode(b, "UTF-8", readNames(b, "de", "UTF-8")...), mustEncode(b, "windows-1252", "Größe")...)
	for i := range 10000 {
		list = append(list, "-rw-r--r-- 1 ftp ftp 1 Feb 25  2009 "...)
		list = append(append(list, names[i%len(names)]...), "\r\n"...)
	}
	for b.Loop() {
		if _, err := listing.Parse(list, listing.Options{Now: now}); err != nil {
			b.Fatal(err)
		}
	}
}
