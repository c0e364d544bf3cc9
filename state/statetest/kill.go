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

	"github.com/google/go-cmp/cmp"

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

// runChild does what its mode says, or else writes for ever and prints each number
// once its write returned.
func runChild(t *testing.T, s state.Store, mode string) {
	ctx := context.Background()
	j := newJob(t, s)
	switch mode {
	case "claim":
		_, _, err := s.Claim(ctx, j.ID, at)
		must(t, err)
		fmt.Println("ack 0")
		select {}
	case "lock":
		l := exclusive("child", "/a")
		l.Timeout = lockOfChild
		_, err := s.CreateLock(ctx, l)
		must(t, err)
		fmt.Println("ack 0")
		select {}
	case "fail":
		failInChild(ctx, t, s)
		return
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
		must(t, addNext(ctx, s, generation(1000*os.Getpid()+n)))
		must(t, s.KeepEvidence(ctx, state.Evidence{
			Source: "s", Name: "n", Manifest: fmt.Append(nil, os.Getpid(), n), Signature: fmt.Append(nil, os.Getpid(), n),
		}))
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
	checkKilledEvidence(t, s, published[len(published)-1])
	must(t, s.Close())
}

// checkKilledEvidence wants what came with the last acknowledgement, or with the
// next one: the newest generation behind all others, and evidence that is whole.
func checkKilledEvidence(t *testing.T, s state.Store, last string) {
	t.Helper()
	var pid, n int
	_, err := fmt.Sscanf(last, "pub/%d-%d", &pid, &n)
	must(t, err)
	now, next := generation(1000*pid+n), generation(1000*pid+n+1)
	list, err := s.Generations(t.Context(), now.Source, now.Name)
	must(t, err)
	if !cmp.Equal(list[0], now) && !(cmp.Equal(list[0], next) && (n == 1 || cmp.Equal(list[1], now))) {
		t.Errorf("generation %d was acknowledged last; there are %+v", n, list[:2])
	}
	e, err := s.LatestEvidence(t.Context(), "s", "n")
	must(t, err)
	if m := string(e.Manifest); m != string(e.Signature) || m != fmt.Sprint(pid, n) && m != fmt.Sprint(pid, n+1) {
		t.Errorf("evidence %d was acknowledged last; there is %q with %q", n, e.Manifest, e.Signature)
	}
}
