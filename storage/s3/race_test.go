package s3

import (
	"errors"
	"fmt"
	"io/fs"
	"sync"
	"sync/atomic"
	"testing"

	"gateway/storage"
	"gateway/tests/servers"
)

// gateways are several stores on one bucket, as of several processes.
func gateways(t *testing.T, n int) []*Store {
	t.Helper()
	o := small(servers.StartS3(t, serverKind()))
	var list []*Store
	for range n {
		list = append(list, openStore(t, o))
	}
	return list
}

// TestRealRaceNew lets gateways that know nothing of each other publish one new name: small files by a PUT,
// large ones by the completion of a multipart upload.
func TestRealRaceNew(t *testing.T) {
	stores := gateways(t, 4)
	for round, size := range []int{100, MinPartSize + 100, 100, MinPartSize + 100} {
		name := fmt.Sprintf("f%d", round)
		uploads := make([]storage.Upload, len(stores))
		for i, s := range stores {
			u, err := s.Create(t.Context(), name, storage.CreateOptions{Size: -1, Exclusive: i == 0, Sequential: i == 1})
			noErr(t, "create", err)
			defer u.Abort(t.Context())
			writeAll(t, u, random(uint64(i), size), 0)
			uploads[i] = u
		}
		var wg sync.WaitGroup
		var winners, winner atomic.Int64
		for i, u := range uploads {
			wg.Go(func() {
				_, err := u.Commit(t.Context(), storage.CommitOptions{IfNoneMatch: true})
				switch {
				case err == nil:
					winners.Add(1)
					winner.Store(int64(i))
				case !errors.Is(err, fs.ErrExist):
					t.Errorf("the loser's error is %v", err)
				}
			})
		}
		wg.Wait()
		if winners.Load() != 1 {
			t.Fatalf("%d of %d won", winners.Load(), len(stores))
		}
		want(t, stores[0], name, random(uint64(winner.Load()), size))
		for i, u := range uploads { // a loser can still decide to replace
			if int64(i) != winner.Load() {
				continue
			}
			_, err := u.Commit(t.Context(), storage.CommitOptions{})
			wantErr(t, "commit twice", err, fs.ErrClosed)
		}
		loser := (winner.Load() + 1) % int64(len(stores))
		if loser != 0 { // that one is exclusive
			_, err := uploads[loser].Commit(t.Context(), storage.CommitOptions{})
			noErr(t, "commit without a condition after a conflict", err)
			want(t, stores[0], name, random(uint64(loser), size))
		}
	}
	for _, s := range stores {
		for _, u := range s.opened() {
			noErr(t, "abort", u.Abort(t.Context()))
		}
	}
	wantNothingStaged(t, stores[0])
}

// TestRealRaceMatch counts in a file, by If-Match, from several gateways: no increment may get lost. The file is
// longer than a part every other time.
func TestRealRaceMatch(t *testing.T) {
	stores := gateways(t, 4)
	pad := func(n int) []byte {
		b := fmt.Appendf(nil, "%-20d", n)
		if n%2 == 0 {
			b = append(b, make([]byte, MinPartSize)...)
		}
		return b
	}
	put(t, stores[0], "n", pad(0), storage.CommitOptions{})
	const each = 4
	var wg sync.WaitGroup
	for _, s := range stores {
		wg.Go(func() {
			for done := 0; done < each; {
				if ok, err := increment(t, s, pad); err != nil {
					t.Error(err)
					return
				} else if ok {
					done++
				}
			}
		})
	}
	wg.Wait()
	want(t, stores[0], "n", pad(each*len(stores)))
}

func increment(t *testing.T, s *Store, pad func(int) []byte) (bool, error) {
	f, err := s.Open(t.Context(), "n")
	if err != nil {
		return false, err
	}
	var b [20]byte
	_, err = f.ReadAt(b[:], 0)
	etag := f.Info().ETag
	f.Close()
	if err != nil {
		return false, err
	}
	var n int
	fmt.Sscan(string(b[:]), &n)
	u, err := s.Create(t.Context(), "n", storage.CreateOptions{Size: -1, Sequential: n%3 == 0})
	if err != nil {
		return false, err
	}
	defer u.Abort(t.Context())
	if _, err := u.WriteAt(pad(n+1), 0); err != nil {
		return false, err
	}
	_, err = u.Commit(t.Context(), storage.CommitOptions{IfMatch: etag})
	if errors.Is(err, storage.ErrPrecondition) {
		return false, nil
	}
	return err == nil, err
}

// TestRealRaceMkdir makes one directory from several gateways.
func TestRealRaceMkdir(t *testing.T) {
	stores := gateways(t, 4)
	for round := range 5 {
		var wg sync.WaitGroup
		var made atomic.Int64
		for _, s := range stores {
			wg.Go(func() {
				err := s.Mkdir(t.Context(), fmt.Sprintf("d%d", round))
				if err == nil {
					made.Add(1)
				} else if !errors.Is(err, fs.ErrExist) {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if made.Load() != 1 {
			t.Errorf("%d made the directory", made.Load())
		}
	}
}
