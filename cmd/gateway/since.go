package main

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// parseSince reads a moment of the past: a day ("2024-05-01", from its beginning
// here), a time of RFC 3339, or how long ago it was ("90m", "36h", "30d", "2w").
// "" is the zero time.
func parseSince(text string, now time.Time) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	if at, err := time.ParseInLocation(time.DateOnly, text, now.Location()); err == nil {
		return at, nil
	}
	if at, err := time.Parse(time.RFC3339, text); err == nil {
		return at, nil
	}
	if d, err := time.ParseDuration(text); err == nil && d >= 0 {
		return now.Add(-d), nil
	}
	for unit, days := range map[string]int{"d": 1, "w": 7} {
		number, ok := strings.CutSuffix(text, unit)
		if n, err := strconv.ParseUint(number, 10, 16); ok && err == nil {
			return now.AddDate(0, 0, -int(n)*days), nil
		}
	}
	return time.Time{}, fmt.Errorf("--since %q: write a day such as 2024-05-01, a time such as 2024-05-01T12:00:00Z, or how long ago: 12h, 30d, 2w", text)
}
