package sftpsrv

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"log/slog"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"golang.org/x/sync/semaphore"

	"gateway/storage"
	"gateway/storage/disk"
)

// FuzzSession feeds a session with bytes that a client could send.
func FuzzSession(f *testing.F) {
	d, err := disk.Open(f.TempDir(), disk.Options{})
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { d.Close() })
	first := string(binary.BigEndian.AppendUint64(nil, 1))
	for _, seed := range [][]byte{
		packet(fxpStat, uint32(1), "/"),
		packet(fxpOpen, uint32(1), "f", uint32(openRead|openWrite|openCreat), uint32(attrPermissions), uint32(0o644)),
		packet(fxpWrite, uint32(1), first, uint64(5), "data"),
		packet(fxpRead, uint32(1), first, uint64(0), uint32(100)),
		packet(fxpFsetstat, uint32(1), first, uint32(attrSize|attrACModTime), uint64(3), uint32(1), uint32(2)),
		packet(fxpClose, uint32(1), first),
		packet(fxpRename, uint32(1), "f", "g"),
		packet(fxpMkdir, uint32(1), "d", uint32(attrExtended), uint32(1), "a", "b"),
		packet(fxpOpendir, uint32(1), "."),
		packet(fxpReaddir, uint32(1), first),
		packet(fxpExtended, uint32(1), "limits@openssh.com"),
		packet(fxpExtended, uint32(1), "copy-data", first, uint64(0), uint64(0), first, uint64(0)),
		{0xff, 0xff, 0xff, 0xff},
	} {
		f.Add(seed)
		f.Add(append(packet(fxpOpen, uint32(1), "f", uint32(openWrite|openCreat|openRead), uint32(0)), seed...))
	}
	f.Fuzz(func(t *testing.T, input []byte) {
		view, err := storage.NewView([]storage.Mount{{FS: d, Permissions: storage.PermReadWrite}}, storage.ViewOptions{User: testUser})
		if err != nil {
			t.Fatal(err)
		}
		buffers := semaphore.NewWeighted(connectionBuffers)
		r := &resources{
			fs: view, user: testUser, log: slog.New(slog.DiscardHandler), pool: &bufferPool{},
			buffers: buffers, total: semaphore.NewWeighted(2 * connectionBuffers),
			workers: make(chan struct{}, maxWorkers), partials: newPartials(view, testUser, 0, &claims{}, time.Now),
			maxHandles: 4, now: time.Now, active: func() {},
		}
		var out bytes.Buffer
		s := newSession(context.Background(), r, io.MultiReader(bytes.NewReader(packet(fxpInit, uint32(3))), bytes.NewReader(input)), &out)
		if err := s.serve(); errors.Is(err, errPanic) {
			t.Fatal(err)
		}
		if s.openHandles() != 0 {
			t.Errorf("%d handles are left", s.openHandles())
		}
		if !buffers.TryAcquire(connectionBuffers) {
			t.Error("buffers were not given back")
		}
	})
}

func TestExtents(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	for range 2000 {
		const size = 60
		var e extents
		var have [size]bool
		for range 1 + random.IntN(20) {
			if random.IntN(8) == 0 {
				cut := random.IntN(size)
				clear(have[cut:])
				e.truncate(int64(cut))
				continue
			}
			from := random.IntN(size - 1)
			to := from + 1 + random.IntN(min(10, size-from))
			for i := from; i < min(to, size); i++ {
				have[i] = true
			}
			e.add(int64(from), int64(min(to, size)))
		}
		want := 0
		for want < size && have[want] {
			want++
		}
		if e.end != int64(want) {
			t.Fatalf("end %d, want %d: %v", e.end, want, e.later)
		}
	}
	var e extents
	for i := range int64(10 * maxExtents) {
		e.add(10+2*i, 11+2*i)
	}
	if len(e.later) > maxExtents {
		t.Errorf("%d extents are remembered", len(e.later))
	}
}

func TestLongName(t *testing.T) {
	now := time.Date(2024, 6, 1, 12, 0, 0, 0, time.UTC)
	tests := []struct {
		info storage.Info
		want string
	}{
		{storage.Info{Name: "a b", Size: 1234, Mode: 0o640, ModTime: now.Add(-time.Hour)}, "-rw-r-----    1 joe_doe  joe_doe      1234 Jun  1 11:00 a b"},
		{storage.Info{Name: "d", Mode: 0o755 | 1<<31, ModTime: now.AddDate(-1, 0, 0)}, "drwxr-xr-x    1 joe_doe  joe_doe         0 Jun  1  2023 d"},
		{storage.Info{Name: "future", Mode: 0o600, ModTime: now.AddDate(0, 0, 2)}, "-rw-------    1 joe_doe  joe_doe         0 Jun  3  2024 future"},
	}
	for _, test := range tests {
		if got := longName(test.info, listOwner("joe doe"), now); got != test.want {
			t.Errorf("got  %q\nwant %q", got, test.want)
		}
	}
}

func TestStatus(t *testing.T) {
	for _, s := range statuses {
		code, text, known := statusOf(storage.PathError("open", "x", s.err))
		if code != s.code || text != s.text || !known {
			t.Errorf("%v: %d %q", s.err, code, text)
		}
	}
	if code, text, known := statusOf(errors.New("open /srv/secret: input/output error")); code != statusFailure || known || strings.Contains(text, "/") {
		t.Errorf("unknown error: %d %q", code, text)
	}
}

func TestWireTime(t *testing.T) {
	for seconds, want := range map[int64]uint32{-5: 0, 0: 0, 1 << 31: 1 << 31, 1 << 40: 1<<32 - 1} {
		if got := wireTime(time.Unix(seconds, 0)); got != want {
			t.Errorf("%d: %d, want %d", seconds, got, want)
		}
	}
}
