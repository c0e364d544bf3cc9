package state

import (
	"math"
	"testing"
	"time"
)

func TestCodeWait(t *testing.T) {
	for n, want := range map[int]time.Duration{
		0: 0, 1: 0, 2: 0, 3: 30 * time.Second, 4: time.Minute, 5: 2 * time.Minute, 9: 32 * time.Minute, 10: time.Hour, 11: time.Hour, 100: time.Hour, math.MaxInt: time.Hour,
	} {
		if got := CodeWait(n); got != want {
			t.Errorf("after %d: %v, want %v", n, got, want)
		}
	}
	// What the comment promises: all tries of a year, each of which is right with a chance of 3 in 10^6.
	tries := 0
	for at := time.Duration(0); at < 365*24*time.Hour; tries++ {
		at += CodeWait(tries + 1)
	}
	if chance := 1 - math.Pow(1-3e-6, float64(tries)); chance > 1.0/37 {
		t.Errorf("guessing for a year succeeds with a chance of 1 to %.0f", 1/chance)
	}
}
