package statetest

import (
	"context"
	"crypto/sha256"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"gateway/state"
)

// Of the lines that Bench writes.
const (
	benchBatch      = 100     // lines in one call, as a walk writes them
	benchProvenance = 1 << 10 // bytes: about what the proof of a file takes that no policy asks anything of
	benchWriters    = 32      // calls under way at once: as many files as the bridge publishes at once
)

// Bench measures how many lines of a ledger a store writes, publishes, counts and reads in a second, how
// many claims it gives out, and how much room a published line takes, by size, which tells how many bytes
// the whole store takes. b.N is the number of lines.
func Bench(b *testing.B, s state.Store, size func() int64) {
	ctx := b.Context()
	job, err := s.OpenJob(ctx, "ftp://partner@ftp.example.org/outgoing", "default:partner")
	if err != nil {
		b.Fatal(err)
	}
	before := size()
	bench(b, "found/s", b.N, func(ctx context.Context) error {
		for i := 0; i < b.N; i += benchBatch {
			var batch []state.File
			for k := i; k < min(i+benchBatch, b.N); k++ {
				batch = append(batch, benchFile(job.ID, k))
			}
			if err := s.PutFiles(ctx, batch...); err != nil {
				return err
			}
		}
		return nil
	})
	bench(b, "published/s", b.N, func(ctx context.Context) error { return publishAll(ctx, s, job.ID, b.N) })
	b.ReportMetric(float64(size()-before)/float64(b.N), "B/line")
	bench(b, "read/s", b.N, func(ctx context.Context) error {
		for _, err := range s.Files(ctx, job.ID) {
			if err != nil {
				return err
			}
		}
		return nil
	})
	bench(b, "counted/s", b.N, func(ctx context.Context) error {
		_, err := s.Counts(ctx, job.ID)
		return err
	})
	const claims = 200
	bench(b, "claims/s", claims, func(ctx context.Context) error {
		for range claims {
			_, release, err := s.Claim(ctx, job.ID, time.Now())
			if err != nil {
				return err
			}
			if err := release(); err != nil {
				return err
			}
		}
		return nil
	})
}

// bench reports how many of n things are done in a second.
func bench(b *testing.B, unit string, n int, do func(context.Context) error) {
	b.Helper()
	began := time.Now()
	if err := do(b.Context()); err != nil {
		b.Fatal(err)
	}
	b.ReportMetric(float64(n)/time.Since(began).Seconds(), unit)
}

func publishAll(ctx context.Context, s state.Store, job int64, n int) error {
	var wg sync.WaitGroup
	errs := make(chan error, benchWriters)
	for w := range benchWriters {
		wg.Go(func() {
			noise := rand.New(rand.NewPCG(1, uint64(w))) // it must not compress better than a proof
			for i := w; i < n; i += benchWriters {
				if err := publishOne(ctx, s, benchFile(job, i), noise); err != nil {
					errs <- err
					return
				}
			}
		})
	}
	wg.Wait()
	close(errs)
	return <-errs
}

func publishOne(ctx context.Context, s state.Store, f state.File, noise *rand.Rand) error {
	provenance := make([]byte, benchProvenance)
	for i := range provenance {
		provenance[i] = 'A' + byte(noise.IntN(64)) // base64, as in its envelope
	}
	sum := sha256.Sum256([]byte(f.Path))
	f.Phase, f.SHA256, f.Verdict, f.Offset = state.Published, sum[:], "authentic", f.Size
	return s.Publish(ctx, f, state.Publication{
		Target: "default:/" + f.Target, Job: f.Job, Source: "ftp://partner@ftp.example.org/outgoing/" + f.Path, Size: f.Size,
		SHA256: sum[:], Verdict: f.Verdict, Provenance: provenance, Published: time.Now(),
	})
}

func benchFile(job int64, i int) state.File {
	path := fmt.Sprintf("archive/%04d/delivery note %08d.pdf", i/1000, i)
	now := time.Now()
	return state.File{
		Job: job, Path: path, Target: "partner/" + path, Phase: state.Found, Size: 123_456, ModTime: now.Add(-time.Hour),
		TimePrecision: time.Minute, Seen: now, Updated: now,
	}
}
