package statetest

import (
	"bufio"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"
	"time"

	"gateway/state"
)

// The environment of a child: the folder of its store, and what it does there.
const (
	childEnv     = "STATETEST_DIR"
	childModeEnv = "STATETEST_MODE"
)

const (
	batch     = 20 // lines in each of the child's PutFiles
	killRuns  = 6
	killAfter = 40 // calls a child may acknowledge before it is killed
)

// runChild writes for ever and prints each number once its write returned.
func runChild(t *testing.T, s state.Store, mode string) {
	ctx := context.Background()
	j := newJob(t, s)
	if mode == "claim" {
		_, _, err := s.Claim(ctx, j.ID, at)
		must(t, err)
		fmt.Println("ack 0")
		select {}
	}
	for n := 1; ; n++ {
		files := make([]state.File, batch)
		for i := range files {
			files[i] = line(j.ID, fmt.Sprintf("batch/%02d", i))
			files[i].Tries = n
		}
		must(t, s.PutFiles(ctx, files...))
		f := line(j.ID, fmt.Sprintf("pub/%d-%d", os.Getpid(), n))
		must(t, s.Publish(ctx, f, state.Publication{Target: f.Target}))
		fmt.Printf("ack %d %s\n", n, f.Path)
	}
}

// startChild runs the calling top-level test in a child and returns its
// acknowledgements and the function that kills it.
func startChild(t *testing.T, dir, mode string) (acks *bufio.Scanner, kill func()) {
	t.Helper()
	top, _, _ := strings.Cut(t.Name(), "/")
	cmd := exec.Command(os.Args[0], "-test.run=^"+regexp.QuoteMeta(top)+"$", "-test.timeout=60s")
	cmd.Env = append(os.Environ(), childEnv+"="+dir, childModeEnv+"="+mode)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	must(t, err)
	must(t, cmd.Start())
	done := false
	kill = func() {
		if !done {
			done = true
			must(t, cmd.Process.Kill())
		}
	}
	t.Cleanup(func() { kill(); _ = cmd.Wait() })
	return bufio.NewScanner(out), kill
}

func nextAck(acks *bufio.Scanner) (string, bool) {
	for acks.Scan() {
		if a, ok := strings.CutPrefix(acks.Text(), "ack "); ok {
			return a, true
		}
	}
	return "", false
}

func testKilledWriter(t *testing.T, open Open) {
	dir := t.TempDir()
	for range killRuns {
		acks, kill := startChild(t, dir, "write")
		var last string
		var published []string
		for range 1 + rand.IntN(killAfter) {
			a, ok := nextAck(acks)
			if !ok {
				t.Fatal("the child ended by itself")
			}
			var path string
			last, path, _ = strings.Cut(a, " ")
			published = append(published, path)
		}
		time.Sleep(time.Duration(rand.IntN(2000)) * time.Microsecond)
		kill()
		for a, ok := nextAck(acks); ok; a, ok = nextAck(acks) {
			var path string
			last, path, _ = strings.Cut(a, " ")
			published = append(published, path)
		}
		checkKilled(t, open(t, dir), last, published)
	}
}

func checkKilled(t *testing.T, s state.Store, last string, published []string) {
	t.Helper()
	ctx := t.Context()
	j := newJob(t, s)
	var acked int
	_, err := fmt.Sscan(last, &acked)
	must(t, err)
	first, err := s.GetFile(ctx, j.ID, "batch/00")
	must(t, err)
	if first.Tries != acked && first.Tries != acked+1 {
		t.Errorf("batch %d was acknowledged last, batch %d is there", acked, first.Tries)
	}
	for i := range batch {
		f, err := s.GetFile(ctx, j.ID, fmt.Sprintf("batch/%02d", i))
		must(t, err)
		if f.Tries != first.Tries {
			t.Errorf("line %d is of batch %d, line 0 of %d", i, f.Tries, first.Tries)
		}
	}
	for _, path := range published {
		_, err := s.GetFile(ctx, j.ID, path)
		must(t, err)
	}
	for f, err := range s.Files(ctx, j.ID, state.Published) {
		must(t, err)
		_, err = s.Publication(ctx, f.Target)
		must(t, err)
	}
	must(t, s.Close())
}

func testClaim(t *testing.T, open Open) {
	dir, ctx := t.TempDir(), t.Context()
	s, second := open(t, dir), open(t, dir)
	defer s.Close()
	defer second.Close()
	j := newJob(t, s)
	must(t, s.FinishJob(ctx, j.ID, at))
	held, release, err := s.Claim(ctx, j.ID, at)
	must(t, err)
	for _, other := range []state.Store{s, second} {
		_, _, err = other.Claim(ctx, j.ID, at.Add(1))
		wantErr(t, err, state.ErrClaimed)
	}
	for got, err := range s.Jobs(ctx) {
		must(t, err)
		j.Started = at
		equal(t, got, j)
	}
	must(t, held.Err())
	must(t, release())
	wantErr(t, held.Err(), context.Canceled)
	_, release, err = second.Claim(ctx, j.ID, at)
	must(t, err)
	must(t, release())
	_, _, err = s.Claim(ctx, j.ID+1, at)
	wantErr(t, err, state.ErrNotFound)
}

func testClaimOfKilled(t *testing.T, open Open) {
	dir := t.TempDir()
	acks, kill := startChild(t, dir, "claim")
	if _, ok := nextAck(acks); !ok {
		t.Fatal("the child ended by itself")
	}
	s := open(t, dir)
	defer s.Close()
	j := newJob(t, s)
	_, _, err := s.Claim(t.Context(), j.ID, at)
	wantErr(t, err, state.ErrClaimed)
	kill()
	for _, ok := nextAck(acks); ok; _, ok = nextAck(acks) {
	}
	_, release, err := s.Claim(t.Context(), j.ID, at)
	must(t, err)
	must(t, release())
}
