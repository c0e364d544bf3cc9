// Package statetest holds every state.Store to its contract.
package statetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"gateway/state"
)

// Open opens the store that lives in dir, made if it is new. The suite opens one
// dir several times, at once and one after the other, in this process and in
// others, and closes what it opened.
type Open func(t testing.TB, dir string) state.Store

// Suite is what the suite needs to know of a Store.
type Suite struct {
	Open Open
	// Lease is for how long a claim may outlive the process that held it.
	Lease time.Duration
}

// Test runs the suite. It must be called from a top-level test function: for the
// tests that kill a process it runs that function again in a child.
func Test(t *testing.T, suite Suite) {
	if dir := os.Getenv(childEnv); dir != "" {
		runChild(t, suite.Open(t, dir), os.Getenv(childModeEnv))
		return
	}
	for name, test := range map[string]func(*testing.T, Open){
		"Jobs":              testJobs,
		"Files":             testFiles,
		"FilesPages":        testFilesPages,
		"RawPaths":          testRawPaths,
		"AllOrNone":         testAllOrNone,
		"Times":             testTimes,
		"Publish":           testPublish,
		"Publications":      testPublications,
		"Withdraw":          testWithdraw,
		"Runs":              testRuns,
		"Holds":             testHolds,
		"FileByTarget":      testFileByTarget,
		"Counts":            testCounts,
		"Generations":       testGenerations,
		"GenerationsBound":  testGenerationsBound,
		"GenerationsAtOnce": testGenerationsAtOnce,
		"Evidence":          testEvidence,
		"Cancelled":         testCancelled,
		"Reopen":            testReopen,
		"ConcurrentWriters": testConcurrentWriters,
		"OddText":           testOddText,
		"LongNames":         testLongNames,
		"Claim":             testClaim,
		"ClaimUnderWay":     testClaimUnderWay,
		"ClaimsAtOnce":      testClaimsAtOnce,
		"KilledWriter":      testKilledWriter,
		"LockOfKilled":      testLockOfKilled,
		"LockReopen":        testLockReopen,
		"Bans":              testBans,
		"BansEnd":           testBansEnd,
		"BansByHand":        testBansByHand,
		"BansAtOnce":        testBansAtOnce,
		"Quotas":            testQuotas,
		"QuotasAtOnce":      testQuotasAtOnce,
		"Outbox":            testOutbox,
		"OutboxDead":        testOutboxDead,
		"OutboxAtOnce":      testOutboxAtOnce,
		"OutboxLease":       testOutboxLease,
		"Codes":             testCodes,
		"CodesBound":        testCodesBound,
		"CodesAtOnce":       testCodesAtOnce,
		"Sessions":          testSessions,
		"SessionBounds":     testSessionBounds,
		"Shares":            testShares,
		"ShareBounds":       testShareBounds,
		"Properties":        testProperties,
		"PropertyTrees":     testPropertyTrees,
		"PropertyBounds":    testPropertyBounds,
		"PropertiesAtOnce":  testPropertiesAtOnce,
	} {
		t.Run(name, func(t *testing.T) { test(t, suite.Open) })
	}
	locks := func(t testing.TB, dir string) state.Locks {
		s := suite.Open(t, dir)
		t.Cleanup(func() { _ = s.Close() })
		return s
	}
	for name, test := range LockTests(locks) {
		t.Run(name, test)
	}
	t.Run("ClaimOfKilled", func(t *testing.T) { testClaimOfKilled(t, suite) })
}

// at is a time with nanoseconds, so that rounding shows.
var at = time.Date(2026, 2, 28, 23, 59, 59, 123456789, time.UTC)

func newStore(t *testing.T, open Open) state.Store {
	t.Helper()
	s := open(t, t.TempDir())
	t.Cleanup(func() { must(t, s.Close()) })
	return s
}

func newJob(t *testing.T, s state.Store) state.Job {
	t.Helper()
	j, err := s.OpenJob(t.Context(), "ftp://host/pub", "disk:legacy")
	must(t, err)
	return j
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func wantErr(t *testing.T, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Errorf("got error %v, want %v", err, want)
	}
}

func equal(t *testing.T, got, want any) {
	t.Helper()
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("want -, got +:\n%s", d)
	}
}

func line(job int64, path string) state.File {
	return state.File{Job: job, Path: path, Target: "legacy/" + path, Phase: state.Found, Size: 1}
}

func paths(t *testing.T, s state.Store, job int64, phases ...state.Phase) []string {
	t.Helper()
	var list []string
	for f, err := range s.Files(t.Context(), job, phases...) {
		must(t, err)
		list = append(list, f.Path)
	}
	return list
}

func testJobs(t *testing.T, open Open) {
	s, ctx := newStore(t, open), t.Context()
	a := newJob(t, s)
	b, err := s.OpenJob(ctx, "ftp://host/pub", "disk:other")
	must(t, err)
	if a.ID == b.ID {
		t.Error("two destinations share a job")
	}
	if again := newJob(t, s); again.ID != a.ID {
		t.Errorf("opening a job again gave job %d, want %d", again.ID, a.ID)
	}
	must(t, s.FinishJob(ctx, a.ID, at))
	var got []state.Job
	for j, err := range s.Jobs(ctx) {
		must(t, err)
		got = append(got, j)
	}
	a.Finished = at
	equal(t, got, []state.Job{a, b})
	wantErr(t, s.FinishJob(ctx, b.ID+1, at), state.ErrNotFound)
}

func testFiles(t *testing.T, open Open) {
	s, ctx := newStore(t, open), t.Context()
	j := newJob(t, s)
	full := state.File{
		Job: j.ID, Path: "dir/a b", Target: "legacy/dir/a b", Phase: state.Failed, Size: 1 << 40,
		ModTime: at, TimePrecision: time.Minute, MDTM: at.Add(time.Second), Seen: at.Add(time.Hour),
		Token: "token", Offset: 1 << 39, Ranges: state.Ranges{{From: 1 << 39, To: 1<<39 + 5}, {From: 1<<39 + 9, To: 1 << 40}}, SHA256: bytes.Repeat([]byte{0xff, 0}, 16), Verdict: "bad",
		Reason: "550 nö", Retry: true, Tries: 3, Updated: at.Add(-time.Hour), After: "move done/a b",
	}
	must(t, s.PutFiles(ctx, full, line(j.ID, "z")))
	got, err := s.GetFile(ctx, j.ID, full.Path)
	must(t, err)
	equal(t, got, full)

	// Every field is replaced, also by its zero value.
	bare := state.File{Job: j.ID, Path: full.Path, Phase: state.Found, Size: -1}
	must(t, s.PutFiles(ctx, bare))
	got, err = s.GetFile(ctx, j.ID, full.Path)
	must(t, err)
	equal(t, got, bare)

	// Of two lines with one key in one call the last counts.
	older, newer := line(j.ID, "twice"), line(j.ID, "twice")
	older.Tries, newer.Tries = 1, 2
	must(t, s.PutFiles(ctx, older, line(j.ID, "other"), newer))
	got, err = s.GetFile(ctx, j.ID, "twice")
	must(t, err)
	equal(t, got, newer)

	_, err = s.GetFile(ctx, j.ID, "nothing")
	wantErr(t, err, state.ErrNotFound)
	_, err = s.GetFile(ctx, j.ID+1, full.Path)
	wantErr(t, err, state.ErrNotFound)
	many, err := s.GetFiles(ctx, j.ID, "z", "nothing", full.Path)
	must(t, err)
	equal(t, many, map[string]state.File{full.Path: bare, "z": line(j.ID, "z")})
	many, err = s.GetFiles(ctx, j.ID)
	must(t, err)
	equal(t, many, map[string]state.File{})
	must(t, s.PutFiles(ctx))
}

func testFilesPages(t *testing.T, open Open) {
	const n = 2500
	s, ctx := newStore(t, open), t.Context()
	j := newJob(t, s)
	phases := []state.Phase{state.Found, state.Published, state.Failed}
	var files []state.File
	var all, some, names []string
	for i := range n {
		f := line(j.ID, fmt.Sprintf("%06d", i))
		f.Phase = phases[i%3]
		files, all, names = append(files, f), append(all, f.Path), append(names, f.Path)
		if f.Phase != state.Published {
			some = append(some, f.Path)
		}
	}
	must(t, s.PutFiles(ctx, files...))
	equal(t, paths(t, s, j.ID), all)
	equal(t, paths(t, s, j.ID, state.Failed, state.Found), some)
	equal(t, paths(t, s, j.ID, state.Rejected), []string(nil))
	many, err := s.GetFiles(ctx, j.ID, names...)
	must(t, err)
	if len(many) != n {
		t.Errorf("GetFiles gave %d lines, want %d", len(many), n)
	}

	// Written while it is read: every line once.
	var seen []string
	for f, err := range s.Files(ctx, j.ID, state.Found) {
		must(t, err)
		seen = append(seen, f.Path)
		f.Phase = state.Published
		must(t, s.PutFiles(ctx, f))
		if len(seen) == 20 {
			break
		}
	}
	if !slices.IsSorted(seen) || len(slices.Compact(slices.Clone(seen))) != 20 {
		t.Errorf("lines seen while they changed: %q", seen)
	}
}

func testRawPaths(t *testing.T, open Open) {
	s, ctx := newStore(t, open), t.Context()
	j := newJob(t, s)
	want := []string{"\x00", "\n", " ", "A", "a", "a\x00b", "a\xff", "e\u0301", "\u00e9", "\xe9", "\xff"}
	slices.Sort(want)
	for _, p := range want {
		f := line(j.ID, p)
		f.Target = ""
		must(t, s.PutFiles(ctx, f))
	}
	equal(t, paths(t, s, j.ID), want)
	for _, p := range want {
		f, err := s.GetFile(ctx, j.ID, p)
		must(t, err)
		equal(t, f.Path, p)
	}
}

func testAllOrNone(t *testing.T, open Open) {
	s, ctx := newStore(t, open), t.Context()
	j := newJob(t, s)
	good := line(j.ID, "good")
	bad := line(j.ID, "bad")
	bad.Phase = "lost"
	wantErr(t, s.PutFiles(ctx, good, bad), state.ErrInvalid)
	wantErr(t, s.PutFiles(ctx, good, line(j.ID, "")), state.ErrInvalid)
	for _, rs := range []state.Ranges{
		{{From: 9, To: 20}}, {{From: 10, To: 10}}, {{From: 10, To: 20}, {From: 19, To: 30}}, make(state.Ranges, state.MaxRanges+1),
	} {
		spread := line(j.ID, "spread")
		spread.Offset, spread.Ranges = 10, rs
		wantErr(t, s.PutFiles(ctx, spread), state.ErrInvalid)
	}
	wantErr(t, s.PutFiles(ctx, good, line(j.ID+1, "good")), state.ErrNotFound)
	wantErr(t, s.Publish(ctx, good, state.Publication{}), state.ErrInvalid)
	wantErr(t, s.Publish(ctx, line(j.ID+1, "good"), state.Publication{Target: "t"}), state.ErrNotFound)
	equal(t, paths(t, s, j.ID), []string(nil))
	_, err := s.Publication(ctx, "t")
	wantErr(t, err, state.ErrNotFound)
}

func testTimes(t *testing.T, open Open) {
	s, ctx := newStore(t, open), t.Context()
	j := newJob(t, s)
	first, last := time.Unix(0, -1<<63).UTC(), time.Unix(0, 1<<63-1).UTC()
	for _, c := range []struct{ in, want time.Time }{
		{time.Time{}, time.Time{}},
		{time.Unix(0, 0).UTC(), time.Unix(0, 0).UTC()},
		{at.In(time.FixedZone("", 3600)), at},
		{first, first},
		{last, last},
		{time.Date(1, 2, 3, 0, 0, 0, 0, time.UTC), first},
		{time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC), last},
	} {
		f := line(j.ID, "t")
		f.ModTime = c.in
		must(t, s.PutFiles(ctx, f))
		got, err := s.GetFile(ctx, j.ID, "t")
		must(t, err)
		equal(t, got.ModTime, c.want)
	}
}

func testPublish(t *testing.T, open Open) {
	s, ctx := newStore(t, open), t.Context()
	j := newJob(t, s)
	f := line(j.ID, "a")
	f.Phase = state.Verified
	p := state.Publication{
		Target: "disk:legacy/a", Job: j.ID, Source: "ftp://host/pub/a", Size: 5, SHA256: bytes.Repeat([]byte{7}, 32),
		Verdict: "authentic", Reason: "signed", Provenance: []byte(`{"a":1}`), Published: at,
	}
	must(t, s.Publish(ctx, f, p))
	got, err := s.Publication(ctx, p.Target)
	must(t, err)
	equal(t, got, p)
	f.Phase = state.Published
	stored, err := s.GetFile(ctx, j.ID, "a")
	must(t, err)
	equal(t, stored, f)

	// The latest call counts, whatever its time says.
	p.Size, p.Published = 6, at.Add(-time.Hour)
	must(t, s.Publish(ctx, f, p))
	got, err = s.Publication(ctx, p.Target)
	must(t, err)
	equal(t, got, p)
	_, err = s.Publication(ctx, "disk:legacy/b")
	wantErr(t, err, state.ErrNotFound)
}

func testPublications(t *testing.T, open Open) {
	s, ctx := newStore(t, open), t.Context()
	j := newJob(t, s)
	var want []string
	publish := func(target string, size int64) {
		f := line(j.ID, target)
		f.Target = target
		must(t, s.Publish(ctx, f, state.Publication{Target: target, Size: size}))
	}
	for i := range 300 { // more than a page
		target := fmt.Sprintf("disk:a/%03d", i)
		publish(target, 1)
		want = append(want, target)
	}
	for _, target := range []string{"disk:a", "disk:a.txt", "disk:a/100/é", "disk:b", "other:a/1", "\U0010ffff"} {
		publish(target, 1)
	}
	publish(want[7], 2) // the latest of each
	want = append(want[:101], append([]string{"disk:a/100/é"}, want[101:]...)...)
	list := func(prefix string) (targets []string) {
		for p, err := range s.Publications(ctx, prefix) {
			must(t, err)
			if newer := p.Target == want[7]; newer != (p.Size == 2) {
				t.Errorf("%s has the size %d", p.Target, p.Size)
			}
			targets = append(targets, p.Target)
		}
		return targets
	}
	equal(t, list("disk:a/"), want)
	equal(t, list("disk:a")[:3], []string{"disk:a", "disk:a.txt", want[0]})
	equal(t, len(list("")), len(want)+5)
	equal(t, len(list("disk:c")), 0)
	equal(t, list("\U0010ffff"), []string{"\U0010ffff"})
	for range s.Publications(ctx, "") {
		break // and nothing stays open
	}
	ctx, cancel := context.WithCancel(ctx)
	cancel()
	for _, err := range s.Publications(ctx, "") {
		wantErr(t, err, context.Canceled)
	}
}

func testFileByTarget(t *testing.T, open Open) {
	s, ctx := newStore(t, open), t.Context()
	j := newJob(t, s)
	other, err := s.OpenJob(ctx, "ftp://second/", j.Destination)
	must(t, err)
	older, newer, elsewhere := line(j.ID, "a"), line(other.ID, "x"), line(j.ID, "b")
	older.Updated, newer.Updated, elsewhere.Updated = at, at.Add(1), at.Add(2)
	newer.Target, newer.Phase = older.Target, state.Quarantined
	must(t, s.PutFiles(ctx, older, newer, elsewhere))
	job, f, err := s.FileByTarget(ctx, j.Destination, older.Target)
	must(t, err)
	equal(t, job, other)
	equal(t, f, newer)
	_, _, err = s.FileByTarget(ctx, j.Destination, "legacy/nothing")
	wantErr(t, err, state.ErrNotFound)
	_, _, err = s.FileByTarget(ctx, "s3:", older.Target)
	wantErr(t, err, state.ErrNotFound)
}

func testCounts(t *testing.T, open Open) {
	s, ctx := newStore(t, open), t.Context()
	j := newJob(t, s)
	counts, err := s.Counts(ctx, j.ID)
	must(t, err)
	equal(t, counts, map[state.Phase]state.Count{})
	a, b, c := line(j.ID, "a"), line(j.ID, "b"), line(j.ID, "c")
	a.Size, b.Size, c.Phase = 10, -1, state.Failed
	must(t, s.PutFiles(ctx, a, b, c))
	counts, err = s.Counts(ctx, j.ID)
	must(t, err)
	equal(t, counts, map[state.Phase]state.Count{state.Found: {Files: 2, Bytes: 10}, state.Failed: {Files: 1, Bytes: 1}})
}

func testCancelled(t *testing.T, open Open) {
	s := newStore(t, open)
	j := newJob(t, s)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	wantErr(t, s.PutFiles(ctx, line(j.ID, "a")), context.Canceled)
	_, err := s.GetFile(ctx, j.ID, "a")
	wantErr(t, err, context.Canceled)
	for _, err := range s.Files(ctx, j.ID) {
		wantErr(t, err, context.Canceled)
	}
	equal(t, paths(t, s, j.ID), []string(nil))
}

func testReopen(t *testing.T, open Open) {
	dir, ctx := t.TempDir(), t.Context()
	s := open(t, dir)
	j := newJob(t, s)
	must(t, s.Publish(ctx, line(j.ID, "a"), state.Publication{Target: "t", Verdict: "intact"}))
	must(t, s.Close())
	if err := s.PutFiles(ctx, line(j.ID, "b")); err == nil {
		t.Error("a closed store took a line")
	}

	s = open(t, dir)
	equal(t, newJob(t, s), j)
	equal(t, paths(t, s, j.ID, state.Published), []string{"a"})
	p, err := s.Publication(ctx, "t")
	must(t, err)
	equal(t, p.Verdict, "intact")
	must(t, s.Close())
}

func testConcurrentWriters(t *testing.T, open Open) {
	const stores, writers, calls = 2, 4, 15
	dir, ctx := t.TempDir(), t.Context()
	var wg sync.WaitGroup
	for i := range stores {
		s := open(t, dir)
		defer s.Close()
		for w := range writers {
			wg.Go(func() {
				j, err := s.OpenJob(ctx, "ftp://host/pub", "disk:legacy")
				if err != nil {
					t.Error(err)
					return
				}
				for c := range calls {
					name := fmt.Sprintf("%d-%d-%d", i, w, c)
					f := line(j.ID, name)
					f.Phase = "wrong" // a call that fails takes no other with it
					err = errors.Join(s.PutFiles(ctx, line(j.ID, name)),
						s.Publish(ctx, line(j.ID, name), state.Publication{Target: name}))
					if err != nil {
						t.Error(err)
					}
					if s.PutFiles(ctx, f) == nil {
						t.Error("a line with an unknown phase was taken")
					}
				}
			})
		}
	}
	wg.Wait()
	s := open(t, dir)
	defer s.Close()
	j := newJob(t, s)
	if got := len(paths(t, s, j.ID, state.Published)); got != stores*writers*calls {
		t.Errorf("%d lines, want %d", got, stores*writers*calls)
	}
}
