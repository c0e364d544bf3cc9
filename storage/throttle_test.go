package storage_test

import (
	"bytes"
	"context"
	"io"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"gateway/storage"
	"gateway/storage/storagetest"
)

// nobody is told of everything.
type nobody struct{}

func (nobody) Began(context.Context, *storage.Transfer) {}
func (nobody) Ended(context.Context, storage.Event)     {}

func TestThrottledConformance(t *testing.T) {
	storagetest.Test(t, func(t *testing.T) storage.FS {
		quick := []*storage.Bandwidth{storage.NewBandwidth(1 << 40)}
		return storage.Observe(newView(t, storage.ViewOptions{}, storage.Mount{FS: newDisk(t), Permissions: storage.PermReadWrite}), nobody{}).Throttle(quick, quick)
	})
}

// The clock of these tests is that of the bubble, which stands still while anything works.
func TestThrottle(t *testing.T) {
	const limit, size = 128 << 10, 1 << 20
	disk := newDisk(t)
	synctest.Test(t, func(t *testing.T) {
		up, down := storage.NewBandwidth(limit), storage.NewBandwidth(limit)
		open := func() *storage.Observed {
			return storage.Observe(newView(t, storage.ViewOptions{}, storage.Mount{FS: disk, Permissions: storage.PermReadWrite}), nobody{}).
				Throttle([]*storage.Bandwidth{up}, []*storage.Bandwidth{down})
		}
		content := bytes.Repeat([]byte("0123456789abcdef"), size/16)
		put := func(name string) {
			if _, err := storage.Put(t.Context(), open(), name, bytes.NewReader(content), storage.CreateOptions{Size: -1}, storage.CommitOptions{}); err != nil {
				t.Error(err)
			}
		}
		get := func(ctx context.Context, name string) {
			f, err := open().Open(ctx, name)
			if err != nil {
				t.Error(err)
				return
			}
			defer f.Close()
			got, err := io.ReadAll(io.NewSectionReader(f, 0, size))
			if err != nil || !bytes.Equal(got, content) {
				t.Errorf("%d bytes, %v", len(got), err)
			}
		}
		took := func(what string, want time.Duration, do func()) {
			t.Helper()
			time.Sleep(time.Minute) // what may pass at once is there again
			began := time.Now()
			do()
			if d := time.Since(began); d < want-time.Second || d > want+time.Millisecond {
				t.Errorf("%s took %v, want %v less what may pass at once", what, d, want)
			}
		}
		all := size / limit * time.Second
		took("an upload", all, func() { put("a") })
		took("a download", all, func() { get(t.Context(), "a") })
		took("one each way", all, func() {
			var wait sync.WaitGroup
			wait.Go(func() { put("b") })
			wait.Go(func() { get(t.Context(), "a") })
			wait.Wait()
		})
		took("three at once", 3*all, func() {
			var wait sync.WaitGroup
			for range 3 {
				wait.Go(func() { get(t.Context(), "a") })
			}
			wait.Wait()
		})
		took("a checksum", 0, func() { get(storage.WithOrigin(t.Context(), storage.Origin{Protocol: "ssh"}), "a") })
		took("a copy", 0, func() {
			if _, err := open().Copy(t.Context(), "a", "c", storage.CommitOptions{}); err != nil {
				t.Error(err)
			}
		})
		down.Set(2 * limit)
		took("a download by another limit", all/2, func() { get(t.Context(), "a") })
		took("a client that goes away", time.Second, func() {
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			get(ctx, "a")
		})
	})
}

func TestThrottleOfBoth(t *testing.T) {
	disk := newDisk(t)
	synctest.Test(t, func(t *testing.T) {
		slow, quick := storage.NewBandwidth(0), storage.NewBandwidth(1<<30) // 0 becomes the least
		v := storage.Observe(newView(t, storage.ViewOptions{}, storage.Mount{FS: disk, Permissions: storage.PermReadWrite}), nobody{}).
			Throttle([]*storage.Bandwidth{quick, slow}, nil)
		began := time.Now()
		if _, err := storage.Put(t.Context(), v, "a", strings.NewReader(strings.Repeat("x", 10*storage.MinBandwidth)), storage.CreateOptions{Size: -1}, storage.CommitOptions{}); err != nil {
			t.Fatal(err)
		}
		if d := time.Since(began); d < 9*time.Second || d > 11*time.Second {
			t.Errorf("the slower of two limits let it pass in %v", d)
		}
	})
}
