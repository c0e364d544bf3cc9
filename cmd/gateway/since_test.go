package main

import (
	"testing"
	"time"
)

func TestParseSince(t *testing.T) {
	zone := time.FixedZone("", 3600)
	now := time.Date(2024, 5, 20, 12, 0, 0, 0, zone)
	for text, want := range map[string]time.Time{
		"":                     {},
		"2024-05-01":           time.Date(2024, 5, 1, 0, 0, 0, 0, zone),
		"2024-05-01T10:00:00Z": time.Date(2024, 5, 1, 10, 0, 0, 0, time.UTC),
		"90m":                  now.Add(-90 * time.Minute),
		"30d":                  time.Date(2024, 4, 20, 12, 0, 0, 0, zone),
		"2w":                   time.Date(2024, 5, 6, 12, 0, 0, 0, zone),
	} {
		if got, err := parseSince(text, now); err != nil || !got.Equal(want) {
			t.Errorf("%q: %v, %v", text, got, err)
		}
	}
	for _, bad := range []string{"yesterday", "-3h", "-1d", "99999999d", "d", "2024-13-01"} {
		if got, err := parseSince(bad, now); err == nil {
			t.Errorf("%q: %v", bad, got)
		}
	}
}
