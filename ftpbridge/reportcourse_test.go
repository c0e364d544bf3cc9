package ftpbridge

import (
	"fmt"
	"math"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestTimeline(t *testing.T) {
	var tl Timeline
	tl.add(-time.Second, Bucket{Bytes: 1})
	tl.add(firstBucket-1, Bucket{Files: 1})
	tl.add(3*firstBucket, Bucket{Retries: 2})
	want := Timeline{BucketMillis: 200, Buckets: []Bucket{{Bytes: 1, Files: 1}, {}, {}, {Retries: 2}}}
	if diff := cmp.Diff(want, tl); diff != "" {
		t.Error(diff)
	}
	tl.add(MaxTimeBuckets*firstBucket, Bucket{Bytes: 5}) // one past the end: every two become one
	if tl.BucketMillis != 400 || len(tl.Buckets) != MaxTimeBuckets/2+1 || tl.Buckets[1] != (Bucket{Retries: 2}) || tl.Buckets[MaxTimeBuckets/2].Bytes != 5 {
		t.Errorf("%+v", tl)
	}
}

// However long it goes on, it stays within its bounds and loses nothing.
func TestTimelineIsBounded(t *testing.T) {
	var tl Timeline
	var want Bucket
	at := time.Duration(0)
	for i := range int64(5000) {
		b := Bucket{i, 1, i % 3}
		want.add(b)
		tl.add(at, b)
		at += time.Duration(i) * time.Second
	}
	tl.add(math.MaxInt64, Bucket{Files: 1})
	want.Files++
	var got Bucket
	for _, b := range tl.Buckets {
		got.add(b)
	}
	if got != want || len(tl.Buckets) > MaxTimeBuckets || tl.BucketMillis <= 0 {
		t.Errorf("%+v in %d buckets of %d ms, want %+v", got, len(tl.Buckets), tl.BucketMillis, want)
	}
}

func TestSizes(t *testing.T) {
	var r Report
	for _, size := range []int64{0, 1, 2, 3, 4, -1, math.MaxInt64} {
		r.found(size)
	}
	equal(t, r.UnknownSizes, int64(1))
	equal(t, r.Found.Files, int64(7))
	equal(t, len(r.Sizes), 64)
	equal(t, r.Sizes[0], SizeClass{0, Tally{1, 0}})
	equal(t, r.Sizes[1], SizeClass{1, Tally{1, 1}})
	equal(t, r.Sizes[2], SizeClass{2, Tally{2, 5}})
	equal(t, r.Sizes[3], SizeClass{4, Tally{1, 4}})
	equal(t, r.Sizes[63], SizeClass{1 << 62, Tally{1, math.MaxInt64}})
}

func TestSlowest(t *testing.T) {
	var r Report
	asked := 0
	for i := range 1000 {
		seconds := (i * 7919) % 1000 // each once, in no order
		r.slow(time.Duration(seconds)*time.Second, -1, func() string { asked++; return fmt.Sprint(seconds) })
	}
	equal(t, len(r.Slowest), MaxSlowest)
	for i, f := range r.Slowest {
		equal(t, f, SlowFile{Path: fmt.Sprint(999 - i), Seconds: float64(999 - i)})
	}
	if asked > 200 {
		t.Errorf("a path was made %d times", asked)
	}
}

func TestMigrateCourse(t *testing.T) {
	srv := serve(t, map[string]string{"a": "hello", "sub/b": "bee", "empty": ""})
	m := newMove(t, srv.source(t, ""))
	m.policy("rules:\n  - paths: \"**\"\n    evidence:\n      - manifest: SHA256SUMS\n    on_missing: publish\n")
	rep := m.run()
	var all Bucket
	for _, b := range rep.Timeline.Buckets {
		all.add(b)
	}
	equal(t, all, Bucket{Bytes: rep.FetchedBytes, Files: 3})
	equal(t, len(rep.Slowest), 3)
	equal(t, rep.Sizes[:2], []SizeClass{{0, Tally{1, 0}}, {1, Tally{0, 0}}})
	if rep.Job == 0 || len(rep.Policy) != len("sha256:")+64 {
		t.Errorf("job %d, policy %q", rep.Job, rep.Policy)
	}
}
