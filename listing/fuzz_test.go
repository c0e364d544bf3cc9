package listing_test

import (
	"os"
	"path/filepath"
	"testing"

	"gateway/listing"
)

func FuzzParse(f *testing.F) {
	files, _ := filepath.Glob("testdata/*.list")
	for _, name := range files {
		if b, err := os.ReadFile(name); err == nil {
			f.Add(b, "", "")
		}
	}
	for _, s := range []string{
		"drwxrwx   2       10     4096 Jul 28 02:41 tmp\n", "d [RWCEAFMS] x 512 Jun 25  2007 p\n", "\xef\xbb\xbf.:\n\n./a:\n",
		"type=OS.unix=slink:/a b; l\n", "11/4/2018   9:09 PM  <DIR>         .\n", "-rw-r--r-- 1 a b 4096Feb 23 2001 x\r\r\n",
		"0100644 500 101 12345 123456789 x", "a b c d e f g h 1 a b 1 Feb 25 2009 x\ny\r\n",
	} {
		f.Add([]byte(s), "Shift_JIS", "")
		f.Add([]byte(s), "", "names")
	}
	f.Fuzz(func(t *testing.T, raw []byte, charset, format string) {
		r, err := listing.Parse(raw, listing.Options{Now: now, Charset: charset, Format: listing.Format(format)})
		if err != nil {
			return
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

func FuzzDecode(f *testing.F) {
	for i := range listing.Charsets() {
		f.Add([]byte("a\x83\x5c\x81\x85\xff\x8f\xa2\xaf\x81\x30\x81\x30\xee\xbc\x80\x00\n"), uint8(i))
	}
	f.Fuzz(func(t *testing.T, b []byte, i uint8) {
		all := listing.Charsets()
		checkRoundTrip(t, b, all[int(i)%len(all)])
	})
}
