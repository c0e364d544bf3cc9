package tests

import (
	"bytes"
	"crypto/tls"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// plantPair puts something at "from" that is to replace what is at "to".
func plantPair(t *testing.T, s *serving, folders bool) (from, to map[string]string) {
	t.Helper()
	for _, name := range []string{"from", "to"} {
		if err := os.RemoveAll(s.files(name)); err != nil {
			t.Fatal(err)
		}
		if !folders {
			writeFile(t, s.files(name), bytes.Repeat([]byte(name), 4<<20))
			continue
		}
		for i := range 40 {
			writeFile(t, s.files(name, fmt.Sprintf("%s-%d", name, i)), bytes.Repeat([]byte(name), 50<<10))
		}
	}
	return snapshotOf(t, s.files("from")), snapshotOf(t, s.files("to"))
}

// snapshotOf is what is at path: of a file its digest, of a folder those in it, empty
// where nothing is.
func snapshotOf(t *testing.T, path string) map[string]string {
	t.Helper()
	info, err := os.Stat(path)
	switch {
	case os.IsNotExist(err):
		return map[string]string{}
	case err != nil:
		t.Fatal(err)
	case info.IsDir():
		return snapshot(t, path, false)
	}
	return map[string]string{"": sumFile(t, path)}
}

// TestKilledOverwrites kills the gateway while COPY and MOVE replace a file or a folder.
// A file is the old one or the new one; a folder may also have been put aside, whole. What
// is copied from is never harmed, and what is moved is at one of the two places.
func TestKilledOverwrites(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	s := newLab(t).serve()
	outcomes := map[string]int{}
	for method, takes := range map[string]int{"COPY": 60, "MOVE": 8} { // milliseconds, about
		for _, folders := range []bool{false, true} {
			for round := range 2 {
				from, to := plantPair(t, s, folders)
				if got := s.status(""); got != "200" { // the password is checked now
					t.Fatalf("status %s", got)
				}
				done := make(chan struct{})
				go func() {
					defer close(done)
					transport := &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}
					defer transport.CloseIdleConnections()
					req, err := http.NewRequest(method, s.url("from"), nil)
					if err != nil {
						t.Error(err)
						return
					}
					req.Header.Set("Destination", s.url("to"))
					req.SetBasicAuth(s.user, s.password)
					if res, err := transport.RoundTrip(req); err == nil { // else it was killed, as it should be
						res.Body.Close()
					}
				}()
				time.Sleep(time.Duration(random.IntN(takes)) * time.Millisecond)
				s.kill()
				<-done
				s = s.again()
				gotFrom, gotTo := snapshotOf(t, s.files("from")), snapshotOf(t, s.files("to"))
				what := fmt.Sprintf("%s of folders %v, round %d", method, folders, round)
				outcome := "new"
				aside, err := filepath.Glob(s.files(".gateway-replaced-*"))
				if err != nil {
					t.Fatal(err)
				}
				switch {
				case maps.Equal(gotTo, from):
				case maps.Equal(gotTo, to):
					outcome = "old"
				case folders && len(gotTo) == 0 && len(aside) == 1 && maps.Equal(snapshotOf(t, aside[0]), to):
					outcome = "aside"
				default:
					t.Errorf("%s: the destination is neither old nor new: %d of %d members", what, len(gotTo), len(to))
				}
				moved := method == "MOVE" && outcome == "new"
				if !moved && !maps.Equal(gotFrom, from) || moved && len(gotFrom) > 0 {
					t.Errorf("%s, %s: the source has %d of %d members", what, outcome, len(gotFrom), len(from))
				}
				outcomes[strings.ToLower(method)+" "+outcome]++
				leftovers, err := filepath.Glob(s.files(".gateway-*-*"))
				if err != nil {
					t.Fatal(err)
				}
				for _, name := range leftovers {
					if !folders {
						t.Errorf("%s: %s is left", what, filepath.Base(name))
					}
					if err := os.RemoveAll(name); err != nil {
						t.Fatal(err)
					}
				}
				if t.Failed() {
					return
				}
			}
		}
	}
	t.Log(outcomes)
}
