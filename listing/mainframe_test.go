package listing_test

import (
	"testing"

	"gateway/listing"
)

// cutAnywhere parses every beginning and every end of a listing. Whatever is cut, no entry may lack its name.
func cutAnywhere(t *testing.T, format listing.Format, raw string) {
	t.Helper()
	for i := range raw {
		for _, part := range []string{raw[:i], raw[i:]} {
			for _, f := range []listing.Format{"", format} {
				r, _ := listing.Parse([]byte(part), listing.Options{Now: now, Format: f})
				for _, e := range r.Entries {
					if len(e.Name) == 0 || e.Size < -1 || e.Type == listing.Dir && e.Size != -1 {
						t.Errorf("Parse(%q): entry %s", part, show(e))
					}
				}
			}
		}
	}
}

// notOf checks that lines are not taken for a format that merely resembles theirs.
func notOf(t *testing.T, format listing.Format, lines []string) {
	t.Helper()
	for _, raw := range lines {
		if r, _ := listing.Parse([]byte(raw), listing.Options{Now: now}); r.Format == format {
			t.Errorf("Parse(%q) is %s: %q", raw, format, showAll(r))
		}
	}
}
