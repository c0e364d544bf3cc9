package statetest

import (
	"slices"
	"strings"
	"testing"

	"gateway/state"
)

// What servers say and files are called is kept to the byte.
func testOddText(t *testing.T, open Open) {
	s, ctx := newStore(t, open), t.Context()
	const odd = "550 \x00\xff\xfe\\x41 '\"\U0010ffff"
	j, err := s.OpenJob(ctx, "ftp://"+odd, odd)
	must(t, err)
	again, err := s.OpenJob(ctx, "ftp://"+odd, odd)
	must(t, err)
	equal(t, again, j)
	f := state.File{Job: j.ID, Path: odd, Target: odd, Phase: state.Published, Token: odd, Verdict: odd, Reason: odd, After: odd}
	p := state.Publication{Target: odd, Job: j.ID, Source: odd, SHA256: []byte{1}, Verdict: odd, Reason: odd}
	must(t, s.Publish(ctx, f, p))
	got, err := s.GetFile(ctx, j.ID, odd)
	must(t, err)
	equal(t, got, f)
	_, got, err = s.FileByTarget(ctx, odd, odd)
	must(t, err)
	equal(t, got, f)
	pub, err := s.Publication(ctx, odd)
	must(t, err)
	equal(t, pub, p)
	must(t, s.AddRun(ctx, state.Run{Job: j.ID, Result: state.Broken, Error: odd}))
	runs, err := s.Runs(ctx, j.ID)
	must(t, err)
	equal(t, runs, []state.Run{{Job: j.ID, Result: state.Broken, Error: odd}})
	g := state.Generation{Source: odd, Name: odd, SHA256: []byte{1}}
	must(t, s.AddGeneration(ctx, g, nil))
	list, err := s.Generations(ctx, odd, odd)
	must(t, err)
	equal(t, list, []state.Generation{g})
	e := state.Evidence{Source: odd, Name: odd, Manifest: []byte(odd)}
	must(t, s.KeepEvidence(ctx, e))
	kept, err := s.LatestEvidence(ctx, odd, odd)
	must(t, err)
	equal(t, kept, e)
}

// Names that differ only far behind their beginning, longer than what a database
// may want to have in an index.
func testLongNames(t *testing.T, open Open) {
	s, ctx := newStore(t, open), t.Context()
	j := newJob(t, s)
	var long []byte
	for x := uint32(1); len(long) < 4000; x = x*1664525 + 1013904223 { // nothing that could be compressed
		long = append(long, "0123456789abcdefghijklmnopqrstuv"[x>>27])
	}
	base := string(long)
	want := []string{base[:1000], base[:1023], base[:1024], base[:1025], base, base + "/b", base + "/c", strings.Repeat(base, 4)}
	slices.Sort(want)
	for _, name := range slices.Backward(want) {
		f := line(j.ID, name)
		f.Target = name
		must(t, s.Publish(ctx, f, state.Publication{Target: name, Reason: "old"}))
		must(t, s.Publish(ctx, f, state.Publication{Target: name, Reason: name}))
	}
	equal(t, paths(t, s, j.ID), want)
	equal(t, paths(t, s, j.ID, state.Published, state.Failed), want)
	many, err := s.GetFiles(ctx, j.ID, want...)
	must(t, err)
	equal(t, len(many), len(want))
	var listed []string
	for p, err := range s.Publications(ctx, base[:10]) {
		must(t, err)
		listed = append(listed, p.Target)
	}
	equal(t, listed, want)
	for _, name := range want {
		f, err := s.GetFile(ctx, j.ID, name)
		must(t, err)
		equal(t, f.Path, name)
		_, f, err = s.FileByTarget(ctx, j.Destination, name)
		must(t, err)
		equal(t, f.Target, name)
		p, err := s.Publication(ctx, name)
		must(t, err)
		equal(t, p.Reason, name)
	}
	_, err = s.GetFile(ctx, j.ID, base+"/d")
	wantErr(t, err, state.ErrNotFound)
	must(t, s.Withdraw(ctx, line(j.ID, base), base, at))
	_, err = s.EvidenceBytes(ctx, nil)
	wantErr(t, err, state.ErrNotFound)
	g := state.Generation{Source: base, Name: base, SHA256: []byte{1}}
	must(t, s.AddGeneration(ctx, g, nil))
	must(t, s.KeepEvidence(ctx, state.Evidence{Source: base, Name: base, Manifest: []byte(base)}))
	_, err = s.LatestEvidence(ctx, base, base)
	must(t, err)
}
