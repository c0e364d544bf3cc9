package storagetest

import (
	"errors"
	"fmt"
	"io/fs"
	"sync"
	"sync/atomic"
	"testing"

	"gateway/storage"
)

const racers = 8

// race runs f concurrently, all of them starting together.
func race(f func(i int)) {
	var wg sync.WaitGroup
	start := make(chan struct{})
	for i := range racers {
		wg.Go(func() {
			<-start
			f(i)
		})
	}
	close(start)
	wg.Wait()
}

// testExclusiveRace lets uploads, a copy and a rename race for one new name.
func testExclusiveRace(t *testing.T, fsys storage.FS) {
	ctx := t.Context()
	for round := range 5 {
		name := fmt.Sprintf("f%d", round)
		var uploads [racers]storage.Upload
		for i := range racers {
			uploads[i] = begin(t, fsys, name, version(i), storage.CreateOptions{Size: -1, Exclusive: i%2 == 0})
		}
		var winner, winners atomic.Int64
		race(func(i int) {
			_, err := uploads[i].Commit(ctx, storage.CommitOptions{IfNoneMatch: i%2 == 1})
			switch {
			case err == nil:
				winner.Store(int64(i))
				winners.Add(1)
			case !errors.Is(err, fs.ErrExist):
				t.Errorf("the loser's error is %v", err)
			}
		})
		if winners.Load() != 1 {
			t.Fatalf("%d won", winners.Load())
		}
		want(t, fsys, name, version(int(winner.Load())))
	}
}

// testIfMatchRace counts in a file: no increment may get lost.
func testIfMatchRace(t *testing.T, fsys storage.FS) {
	ctx := t.Context()
	put(t, fsys, "n", "0")
	const each = 4
	race(func(int) {
		for range each {
			for {
				f, err := fsys.Open(ctx, "n")
				if err != nil {
					t.Error(err)
					return
				}
				var b [20]byte
				n, _ := f.ReadAt(b[:], 0)
				etag := f.Info().ETag
				f.Close()
				var count int
				fmt.Sscan(string(b[:n]), &count)
				u, err := fsys.Create(ctx, "n", unknown)
				if err != nil {
					t.Error(err)
					return
				}
				fmt.Fprint(&at{u, 0}, count+1)
				_, err = u.Commit(ctx, storage.CommitOptions{IfMatch: etag})
				u.Abort(ctx)
				if err == nil {
					break
				}
				if !errors.Is(err, storage.ErrPrecondition) {
					t.Error(err)
					return
				}
			}
		}
	})
	want(t, fsys, "n", fmt.Sprint(racers*each))
}

// at writes on from an offset.
type at struct {
	u   storage.Upload
	off int64
}

func (a *at) Write(p []byte) (int, error) {
	n, err := a.u.WriteAt(p, a.off)
	a.off += int64(n)
	return n, err
}

// testReaders reads while a file is overwritten, moved over and restored.
func testReaders(t *testing.T, fsys storage.FS) {
	ctx := t.Context()
	put(t, fsys, "f", version(0))
	done := make(chan struct{})
	var wg sync.WaitGroup
	for range 3 {
		wg.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
				}
				data, err := storage.ReadFile(ctx, fsys, "f", 64<<20)
				if err != nil {
					t.Errorf("read during an overwrite: %v", err)
					return
				}
				if _, ok := whole(string(data)); !ok {
					t.Errorf("a reader saw a part: %s", brief(string(data)))
					return
				}
			}
		})
	}
	for i := range 25 {
		switch i % 3 {
		case 0:
			put(t, fsys, "f", version(i))
		case 1:
			put(t, fsys, "g", version(i))
			noErr(t, "replace", fsys.Rename(ctx, "g", "f", storage.RenameOptions{Replace: true}))
		case 2:
			begin(t, fsys, "f", version(i)[:100], unknown).Abort(ctx)
		}
	}
	close(done)
	wg.Wait()
	want(t, fsys, "f", version(24))
}

// testConcurrent has everybody at work in one directory, with writes to one upload
// in parallel.
func testConcurrent(t *testing.T, fsys storage.FS) {
	ctx := t.Context()
	noErr(t, "mkdir", fsys.Mkdir(ctx, "d"))
	race(func(i int) {
		name := fmt.Sprintf("d/f%d", i)
		u, err := fsys.Create(ctx, name, unknown)
		if err != nil {
			t.Error(err)
			return
		}
		content, wg := version(i), sync.WaitGroup{}
		const piece = 1000
		for off := 0; off < len(content); off += piece {
			wg.Go(func() {
				if _, err := u.WriteAt([]byte(content[off:min(off+piece, len(content))]), int64(off)); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if _, err := u.Commit(ctx, storage.CommitOptions{SHA256: digest(content)}); err != nil {
			t.Error(err)
		}
		if err := fsys.Mkdir(ctx, "d/same"); err != nil && !errors.Is(err, fs.ErrExist) {
			t.Error(err)
		}
		for _, err := range fsys.List(ctx, "d") {
			if err != nil {
				t.Error(err)
			}
		}
		if err := fsys.Rename(ctx, name, name+"x", storage.RenameOptions{}); err != nil {
			t.Error(err)
		}
	})
	for i := range racers {
		want(t, fsys, fmt.Sprintf("d/f%dx", i), version(i))
	}
	if got := names(t, fsys, "d"); len(got) != racers+1 {
		t.Errorf("d holds %q", got)
	}
}
