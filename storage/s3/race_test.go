package s3

import (
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"strings"
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

// TestRealRaceRename lets gateways rename one folder, each to another name: one does it, the others hear that
// somebody does, or that the folder is gone.
func TestRealRaceRename(t *testing.T) {
	stores := gateways(t, 3)
	for round := range 3 {
		from := fmt.Sprintf("from%d", round)
		noErr(t, "mkdir", stores[0].Mkdir(t.Context(), from))
		for i := range 5 {
			put(t, stores[0], fmt.Sprintf("%s/f%d", from, i), random(uint64(i), 50), storage.CommitOptions{})
		}
		var wg sync.WaitGroup
		errs := make([]error, len(stores))
		for i, s := range stores {
			wg.Go(func() {
				errs[i] = s.Rename(t.Context(), from, fmt.Sprintf("to%d-%d", round, i), storage.RenameOptions{})
			})
		}
		wg.Wait()
		winners := 0
		for i, err := range errs {
			to := fmt.Sprintf("to%d-%d", round, i)
			if err == nil {
				winners++
				want(t, stores[0], to+"/f4", random(4, 50))
				continue
			}
			if !errors.Is(err, storage.ErrBusy) && !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("a loser's error is %v", err)
			}
			if _, err := stores[0].Stat(t.Context(), to); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("a loser's folder: %v", err)
			}
		}
		if winners != 1 {
			t.Errorf("%d of %d renamed it", winners, len(stores))
		}
	}
	wantNothingStaged(t, stores[0])
}

// TestRealOpenAdvice opens buckets with what an operator may get wrong.
func TestRealOpenAdvice(t *testing.T) {
	good := small(servers.StartS3(t, serverKind()))
	for name, c := range map[string]struct {
		change func(o *Options)
		says   string
	}{
		"bucket":     {func(o *Options) { o.Bucket = "not-there" }, "make it first"},
		"access key": {func(o *Options) { o.AccessKey = "nobody" }, "see the access key"},
		"secret key": {func(o *Options) { o.SecretKey = "wrong" }, "secret key"},
		"authority":  {func(o *Options) { o.RootCAs = x509.NewCertPool() }, "ca_file"},
	} {
		o := good
		c.change(&o)
		s, err := Open(t.Context(), o)
		if err == nil {
			t.Errorf("%s: it opens", name)
			_ = s.Close()
		} else if !strings.Contains(err.Error(), c.says) || strings.Contains(err.Error(), good.SecretKey) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
