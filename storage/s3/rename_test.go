package s3

import (
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"gateway/storage"
	"gateway/tests/servers"
)

// errKilled is how the tests of a kill stop a rename: from then on the store does nothing more.
var errKilled = errors.New("killed")

// TestRealRenameInterrupted stops a rename of a tree at each of its steps as a kill does. Whoever opens the bucket next, after
// the lease, finishes or undoes it: every file is under exactly one name, all under the same.
func TestRealRenameInterrupted(t *testing.T) {
	server := servers.StartS3(t, serverKind())
	o := options(server, false)
	o.lease = 50 * time.Millisecond
	clean := openStore(t, o)
	for at, more := 1, true; more; at++ {
		dir := fmt.Sprintf("run%d", at)
		files := map[string][]byte{}
		noErr(t, "mkdir", storage.MkdirAll(t.Context(), clean, dir+"/old/empty/one"))
		noErr(t, "mkdir", storage.MkdirAll(t.Context(), clean, dir+"/old/sub"))
		for i := range 4 {
			name := fmt.Sprintf("/sub/f%d", i)
			files[name] = random(uint64(i), 100+i)
			put(t, clean, dir+"/old"+name, files[name], storage.CommitOptions{ModTime: s3Time})
		}
		more = renameUntilKilled(t, o, dir, at)
		time.Sleep(2 * o.lease)
		s := openStore(t, o) // recovers
		wantOneTree(t, s, dir, files)
		wantNothingStaged(t, s)
		if at > 40 {
			t.Fatal("it never ends")
		}
	}
}

// renameUntilKilled renames until the step with a number, and reports whether there was one.
func renameUntilKilled(t *testing.T, o Options, dir string, at int) bool {
	t.Helper()
	var steps atomic.Int64
	var killed atomic.Bool
	o.step = func(string) {
		if steps.Add(1) == int64(at) {
			killed.Store(true)
		}
	}
	s := faulty(t, o, func(_ int, r *http.Request, through http.RoundTripper) (*http.Response, error) {
		if killed.Load() {
			return nil, errKilled
		}
		return through.RoundTrip(r)
	})
	err := s.Rename(t.Context(), dir+"/old", dir+"/new", storage.RenameOptions{})
	if killed.Load() != (err != nil) {
		t.Fatalf("killed at step %d: the error is %v", at, err)
	}
	noErr(t, "close", s.Close())
	return killed.Load()
}

// wantOneTree checks that the files are all below old or all below new, with what belongs to them.
func wantOneTree(t *testing.T, s *Store, dir string, files map[string][]byte) {
	t.Helper()
	is, other := "/old", "/new"
	if _, err := s.Stat(t.Context(), dir+is); errors.Is(err, fs.ErrNotExist) {
		is, other = other, is
	}
	if _, err := s.Stat(t.Context(), dir+other); !errors.Is(err, fs.ErrNotExist) {
		t.Fatalf("%s: there is something at both names: %v", dir, err)
	}
	for name, data := range files {
		want(t, s, dir+is+name, data)
		info, err := s.Stat(t.Context(), dir+is+name)
		if err != nil || !info.ModTime.Equal(s3Time) {
			t.Errorf("%s%s%s: the time is %v, %v", dir, is, name, info.ModTime, err)
		}
	}
	if _, err := s.Stat(t.Context(), dir+is+"/empty/one"); err != nil {
		t.Errorf("the empty directory: %v", err)
	}
}
