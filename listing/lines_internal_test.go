package listing

import "testing"

// TestPlainLine holds the quick way to the plain one, for every byte at every place.
func TestPlainLine(t *testing.T) {
	for n := range 20 {
		for i := range n {
			for c := range 256 {
				b := []byte("abcdefghijklmnopqrst")[:n]
				b[i] = byte(c)
				if plainLine(b) != plain(b) {
					t.Fatalf("%q: %v", b, plainLine(b))
				}
			}
		}
	}
}
