package ftpbridge

import (
	"cmp"
	"math/bits"
	"slices"
	"time"

	"gateway/state"
)

// Bounds of what a report keeps of a run's course. None of it grows with the
// number of files or with time.
const (
	MaxTimeBuckets = 120 // of a Timeline
	MaxSlowest     = 20  // files that took longest
)

// firstBucket is how wide the buckets of a Timeline are in the beginning;
// bucketSamples is how often in one bucket the counts of the run are looked at.
const (
	firstBucket   = 200 * time.Millisecond
	bucketSamples = 4
)

// Timeline is what happened when. Its buckets are of equal width, the first
// begins with the run. When MaxTimeBuckets are full, each two become one: of a
// run that is long enough, 61 to 120 are left.
type Timeline struct {
	BucketMillis int64    `json:"bucketMillis"` // width of a bucket, in milliseconds
	Buckets      []Bucket `json:"buckets,omitempty"`
}

// Bucket counts what happened in one part of a run.
type Bucket struct {
	Bytes   int64 `json:"bytes"` // file contents that came over the network
	Files   int64 `json:"files"` // published
	Retries int64 `json:"retries"`
}

func (b *Bucket) add(more Bucket) {
	b.Bytes += more.Bytes
	b.Files += more.Files
	b.Retries += more.Retries
}

// Width is how long a bucket lasts.
func (t *Timeline) Width() time.Duration { return time.Duration(t.BucketMillis) * time.Millisecond }

// add counts what happened at a time since the beginning.
func (t *Timeline) add(at time.Duration, what Bucket) {
	if t.BucketMillis == 0 {
		t.BucketMillis = firstBucket.Milliseconds()
	}
	i := max(at, 0) / t.Width()
	for ; i >= MaxTimeBuckets; i /= 2 {
		t.halve()
	}
	for len(t.Buckets) <= int(i) {
		t.Buckets = append(t.Buckets, Bucket{})
	}
	t.Buckets[i].add(what)
}

func (t *Timeline) halve() {
	for i, b := range t.Buckets {
		if i%2 == 0 {
			t.Buckets[i/2] = b
		} else {
			t.Buckets[i/2].add(b)
		}
	}
	t.Buckets = t.Buckets[:(len(t.Buckets)+1)/2]
	t.BucketMillis *= 2
}

// SizeClass counts the files of at least From and less than twice From bytes;
// From 0 is for empty files.
type SizeClass struct {
	From int64 `json:"from"`
	Tally
}

// SlowFile is how long one file took from its first command to its end: being
// published, held back or given up, all tries together.
type SlowFile struct {
	Path    string  `json:"path"` // in the destination, escaped where it is not printable
	Bytes   int64   `json:"bytes"`
	Seconds float64 `json:"seconds"`
}

// found counts a file of the source; its size is -1 where the listing does not tell.
func (r *Report) found(size int64) {
	r.Found.add(size)
	if size < 0 {
		r.UnknownSizes++
		return
	}
	class := bits.Len64(uint64(size))
	for i := len(r.Sizes); i <= class; i++ {
		r.Sizes = append(r.Sizes, SizeClass{From: int64(uint64(1) << i >> 1)})
	}
	r.Sizes[class].add(size)
}

// slow keeps a file if it is among the slowest; path is asked only then.
func (r *Report) slow(took time.Duration, bytes int64, path func() string) {
	seconds := took.Seconds()
	if n := len(r.Slowest); n == MaxSlowest && r.Slowest[n-1].Seconds >= seconds {
		return
	}
	i, _ := slices.BinarySearchFunc(r.Slowest, seconds, func(f SlowFile, s float64) int { return cmp.Compare(s, f.Seconds) })
	r.Slowest = slices.Insert(r.Slowest, i, SlowFile{Path: path(), Bytes: max(bytes, 0), Seconds: seconds})
	r.Slowest = r.Slowest[:min(len(r.Slowest), MaxSlowest)]
}

// timed notes how long a file took that began at a time.
func (r *run) timed(f *state.File, began time.Time) {
	took := time.Since(began)
	r.progress.update(func(rep *Report) {
		rep.slow(took, f.Size, func() string { return printable(r.pathOf(*f)) })
	})
}

// watch fills the timeline from the counts of the report until stop is called.
// Looking at them now and then costs a transfer nothing, however small its files.
func (p *progress) watch() (stop func()) {
	began := time.Now()
	var last Bucket
	sample := func() (width time.Duration) {
		p.update(func(r *Report) {
			now := Bucket{r.FetchedBytes, r.Published.Files, r.Retries}
			// What came since the last look came before now.
			r.Timeline.add(time.Since(began)-1, Bucket{now.Bytes - last.Bytes, now.Files - last.Files, now.Retries - last.Retries})
			last, width = now, r.Timeline.Width()
		})
		return width
	}
	done, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		tick := time.NewTicker(firstBucket / bucketSamples)
		defer tick.Stop()
		for {
			select {
			case <-done:
				sample()
				return
			case <-tick.C:
				tick.Reset(sample() / bucketSamples)
			}
		}
	}()
	return func() {
		close(done)
		<-ended
	}
}
