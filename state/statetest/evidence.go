package statetest

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"gateway/state"
)

func generation(n int) state.Generation {
	sum := sha256.Sum256(fmt.Append(nil, n))
	return state.Generation{
		Source: "ftp://host/pub", Name: "manifest SHA256SUMS", SHA256: sum[:],
		Date: at.Add(time.Duration(n%100_000) * time.Hour), Seen: at.Add(time.Duration(n) * time.Minute), // within what is kept
	}
}

func testGenerations(t *testing.T, open Open) {
	s, ctx := newStore(t, open), t.Context()
	one, two := generation(1), generation(2)
	list := func() []state.Generation {
		t.Helper()
		list, err := s.Generations(ctx, one.Source, one.Name)
		must(t, err)
		return list
	}
	equal(t, len(list()), 0)
	wantErr(t, s.AddGeneration(ctx, one, two.SHA256), state.ErrConflict)
	must(t, s.AddGeneration(ctx, one, nil))
	wantErr(t, s.AddGeneration(ctx, two, nil), state.ErrConflict)
	equal(t, list(), []state.Generation{one})
	must(t, s.AddGeneration(ctx, two, one.SHA256))
	equal(t, list(), []state.Generation{two, one})

	// The same bytes again, under a newer date.
	two.Date, two.Seen = two.Date.Add(time.Hour), two.Seen.Add(time.Hour)
	must(t, s.AddGeneration(ctx, two, two.SHA256))
	equal(t, list(), []state.Generation{two, one})
	one.Date = time.Time{}
	must(t, s.AddGeneration(ctx, one, two.SHA256)) // it is no judge of what may come
	equal(t, list()[0], one)

	// Of each source and name apart.
	for _, other := range []state.Generation{
		{Source: "ftp://other/pub", Name: one.Name, SHA256: one.SHA256},
		{Source: one.Source, Name: "file SHA256SUMS", SHA256: one.SHA256},
	} {
		must(t, s.AddGeneration(ctx, other, nil))
		got, err := s.Generations(ctx, other.Source, other.Name)
		must(t, err)
		equal(t, got, []state.Generation{other})
	}
	equal(t, len(list()), 3)
	for _, g := range []state.Generation{
		{Name: "n", SHA256: one.SHA256}, {Source: "s", SHA256: one.SHA256}, {Source: "s", Name: "n"},
	} {
		wantErr(t, s.AddGeneration(ctx, g, nil), state.ErrInvalid)
	}
}

func testGenerationsBound(t *testing.T, open Open) {
	s, ctx := newStore(t, open), t.Context()
	var after []byte
	const n = state.MaxGenerations + 10
	for i := range n {
		g := generation(i)
		must(t, s.AddGeneration(ctx, g, after))
		after = g.SHA256
	}
	list, err := s.Generations(ctx, generation(0).Source, generation(0).Name)
	must(t, err)
	equal(t, len(list), state.MaxGenerations)
	equal(t, list[0], generation(n-1))
	equal(t, list[len(list)-1], generation(n-state.MaxGenerations))
}

// Many at once: none is lost, and each comes after another one.
func testGenerationsAtOnce(t *testing.T, open Open) {
	const stores, each = 3, 8
	dir, ctx := t.TempDir(), t.Context()
	var wg sync.WaitGroup
	for i := range stores {
		s := open(t, dir)
		defer s.Close()
		wg.Go(func() {
			for n := range each {
				if err := addNext(ctx, s, generation(100*i+n)); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	s := open(t, dir)
	defer s.Close()
	list, err := s.Generations(ctx, generation(0).Source, generation(0).Name)
	must(t, err)
	equal(t, len(list), stores*each)
}

// addNext adds g after whatever is the newest.
func addNext(ctx context.Context, s state.Store, g state.Generation) error {
	for {
		list, err := s.Generations(ctx, g.Source, g.Name)
		if err != nil {
			return err
		}
		var after []byte
		if len(list) > 0 {
			after = list[0].SHA256
		}
		if err = s.AddGeneration(ctx, g, after); !errors.Is(err, state.ErrConflict) {
			return err
		}
	}
}

func testEvidence(t *testing.T, open Open) {
	s, ctx := newStore(t, open), t.Context()
	e := state.Evidence{
		Source: "ftp://host/pub", Name: "manifest SHA256SUMS", Manifest: []byte("list\x00"), Signature: []byte("sig"), Seen: at,
	}
	_, err := s.LatestEvidence(ctx, e.Source, e.Name)
	wantErr(t, err, state.ErrNotFound)
	latest := func(want state.Evidence) {
		t.Helper()
		got, err := s.LatestEvidence(ctx, want.Source, want.Name)
		must(t, err)
		equal(t, got, want)
	}
	must(t, s.KeepEvidence(ctx, e))
	latest(e)
	newer := e
	newer.Manifest, newer.Seen = []byte{}, at.Add(1)
	must(t, s.KeepEvidence(ctx, newer))
	latest(newer)
	alone := state.Evidence{Source: e.Source, Name: "file a", Signature: e.Signature, Seen: at}
	must(t, s.KeepEvidence(ctx, alone))
	latest(alone)
	latest(newer)

	// What was replaced can still be had.
	for _, data := range [][]byte{e.Manifest, {}, e.Signature} {
		sum := sha256.Sum256(data)
		got, err := s.EvidenceBytes(ctx, sum[:])
		must(t, err)
		equal(t, got, data)
	}
	_, err = s.EvidenceBytes(ctx, make([]byte, 32))
	wantErr(t, err, state.ErrNotFound)

	for _, bad := range []state.Evidence{
		{Name: "n", Manifest: e.Manifest}, {Source: "s", Manifest: e.Manifest}, {Source: "s", Name: "n"},
	} {
		wantErr(t, s.KeepEvidence(ctx, bad), state.ErrInvalid)
	}
	e.Manifest = make([]byte, state.MaxEvidence+1)
	wantErr(t, s.KeepEvidence(ctx, e), state.ErrTooLarge)
	latest(newer)
	e.Manifest = bytes.Repeat([]byte{1}, state.MaxEvidence)
	must(t, s.KeepEvidence(ctx, e))
	got, err := s.LatestEvidence(ctx, e.Source, e.Name)
	must(t, err)
	if !bytes.Equal(got.Manifest, e.Manifest) { // not equal, which goes byte by byte
		t.Errorf("the largest that can be kept comes back as %d bytes", len(got.Manifest))
	}
}
