package admin

import (
	"cmp"
	"net/netip"
	"slices"
	"time"
)

// Meter keeps the rates at which a sum grows, in units a second, of the last ten minutes. The zero value is
// ready. It is not safe for concurrent use.
type Meter struct {
	begun bool
	last  int64
	at    time.Time
	ring  []int64 // the oldest first
}

// Add tells it the sum; to be called every SampleSeconds.
func (r *Meter) Add(now time.Time, sum int64) {
	if passed := now.Sub(r.at).Seconds(); r.begun && passed > 0 {
		if len(r.ring) == maxSamples {
			r.ring = slices.Delete(r.ring, 0, 1)
		}
		r.ring = append(r.ring, max(0, int64(float64(sum-r.last)/passed)))
	}
	r.begun, r.last, r.at = true, sum, now
}

// Rates are the kept ones, the oldest first.
func (r *Meter) Rates() []int64 { return append([]int64{}, r.ring...) }

// Rate is the mean of the latest samples, about ten seconds.
func (r *Meter) Rate() int64 {
	latest := r.ring[max(0, len(r.ring)-10/SampleSeconds):]
	if len(latest) == 0 {
		return 0
	}
	var sum int64
	for _, n := range latest {
		sum += n
	}
	return sum / int64(len(latest))
}

func addressText(a netip.Addr) string {
	if !a.IsValid() {
		return ""
	}
	return a.String()
}

func sortTransfers(list []Transfer) {
	slices.SortFunc(list, func(a, b Transfer) int {
		return cmp.Or(a.Since.Compare(b.Since), cmp.Compare(a.ID, b.ID))
	})
}
