package s3

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"testing"

	"gateway/storage"
	"gateway/storage/disk"
	"gateway/tests/servers"
)

// TestRealWritesAsOnDisk writes in random orders, behind what was sent, over it and far beyond it, cuts,
// suspends and takes up again, and compares with the disk backend at every step.
func TestRealWritesAsOnDisk(t *testing.T) {
	server := servers.StartS3(t, serverKind())
	s := openStore(t, small(server))
	d, err := disk.Open(t.TempDir(), disk.Options{})
	noErr(t, "open disk", err)
	defer d.Close()
	for seed := range uint64(6) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			w := &twin{t: t, r: rand.New(rand.NewPCG(seed, 1)), s: s, d: d}
			w.run(25, 5*MinPartSize)
		})
	}
	wantNothingStaged(t, s)
}

// twin is one upload on both backends.
type twin struct {
	t      *testing.T
	r      *rand.Rand
	s      *Store
	d      *disk.Disk
	us, ud storage.Upload
}

func (w *twin) run(steps, most int) {
	t, ctx := w.t, w.t.Context()
	var err error
	w.us, err = w.s.Create(ctx, "f", storage.CreateOptions{Size: -1})
	noErr(t, "create", err)
	w.ud, err = w.d.Create(ctx, "f", storage.CreateOptions{Size: -1})
	noErr(t, "create", err)
	for range steps {
		switch w.r.IntN(12) {
		case 0:
			size := int64(w.r.IntN(most))
			noErr(t, "truncate", errors.Join(w.us.Truncate(size), w.ud.Truncate(size)))
		case 1:
			w.suspend()
		case 2, 3:
			w.read(w.r.Int64N(int64(most)), w.r.IntN(2<<20))
		default:
			data := random(w.r.Uint64(), 1+w.r.IntN(3<<20))
			off := w.r.Int64N(int64(most))
			if w.r.IntN(3) == 0 {
				off = w.us.Size() // goes on
			}
			_, err1 := w.us.WriteAt(data, off)
			_, err2 := w.ud.WriteAt(data, off)
			noErr(t, "write", errors.Join(err1, err2))
			w.bounded()
		}
		if w.us.Size() != w.ud.Size() {
			t.Fatalf("size is %d, want %d", w.us.Size(), w.ud.Size())
		}
	}
	w.commit()
}

// bounded checks what the upload holds in memory.
func (w *twin) bounded() {
	u := w.us.(*upload)
	u.mu.Lock()
	defer u.mu.Unlock()
	var held int64
	for _, pg := range u.pages {
		held += int64(len(pg.data))
	}
	if held > w.s.o.Memory {
		w.t.Fatalf("%d bytes are in memory, allowed are %d", held, w.s.o.Memory)
	}
}

func (w *twin) read(off int64, n int) {
	a, b := make([]byte, n), make([]byte, n)
	na, errA := w.us.ReadAt(a, off)
	nb, errB := w.ud.ReadAt(b, off)
	if na != nb || !bytes.Equal(a[:na], b[:nb]) || errors.Is(errA, io.EOF) != errors.Is(errB, io.EOF) {
		w.t.Fatalf("read at %d: %d bytes (%v), want %d (%v), or others", off, na, errA, nb, errB)
	}
}

func (w *twin) suspend() {
	w.us = suspendAndResume(w.t, w.s, w.us)
	w.ud = suspendAndResume(w.t, w.d, w.ud)
}

func (w *twin) commit() {
	t, ctx := w.t, w.t.Context()
	_, err := w.ud.Commit(ctx, storage.CommitOptions{})
	noErr(t, "commit on disk", err)
	data, err := get(ctx, w.d, "f")
	noErr(t, "read from disk", err)
	sum := sha256.Sum256(data)
	_, err = w.us.Commit(ctx, storage.CommitOptions{SHA256: sum[:]})
	noErr(t, "commit", err)
	want(t, w.s, "f", data)
}

// TestRealSequential sends a long file in order: nothing is staged but the parts themselves, each is sent once, and
// the memory is bounded.
func TestRealSequential(t *testing.T) {
	o := small(servers.StartS3(t, serverKind()))
	calls := record(&o)
	s := openStore(t, o)
	data := random(7, 4*MinPartSize+123)
	u, err := s.Create(t.Context(), "f", storage.CreateOptions{Size: -1, Sequential: true})
	noErr(t, "create", err)
	w := &twin{t: t, s: s, us: u}
	const piece = 100_000
	for i := 0; i < len(data); i += piece {
		_, err := u.WriteAt(data[i:min(i+piece, len(data))], int64(i))
		noErr(t, "write", err)
		w.bounded()
	}
	_, err = u.ReadAt(make([]byte, 1), 0)
	wantErr(t, "read what was sent", err, errors.ErrUnsupported)
	sum := sha256.Sum256(data)
	info, err := u.Commit(t.Context(), storage.CommitOptions{SHA256: sum[:]})
	noErr(t, "commit", err)
	want(t, s, "f", data)
	if n := calls.count("PUT", "partNumber="); n != 5 {
		t.Errorf("%d parts were sent, want 5", n)
	}
	if n := calls.count("PUT", "/parts/"); n != 0 {
		t.Errorf("%d pages were staged", n)
	}
	stat, err := s.Stat(t.Context(), "f")
	if err != nil || stat != info {
		t.Errorf("commit said %+v, stat says %+v, %v", info, stat, err)
	}
	wantNothingStaged(t, s)
}

// TestRealDigest looks for our own SHA-256 in what the store keeps, for a small and a large file, and after
// a new time and a copy.
func TestRealDigest(t *testing.T) {
	s := openStore(t, small(servers.StartS3(t, serverKind())))
	for name, size := range map[string]int{"small": 10, "large": MinPartSize + 10, "huge": 3*MinPartSize + 1} {
		data := random(9, size)
		sum := sha256.Sum256(data)
		put(t, s, name, data, storage.CommitOptions{})
		noErr(t, "set time", s.SetModTime(t.Context(), name, s3Time))
		_, err := storage.Copy(t.Context(), s, name, name+" copy", storage.CommitOptions{SHA256: sum[:]})
		noErr(t, "copy", err)
		noErr(t, "rename", s.Rename(t.Context(), name, name+" moved", storage.RenameOptions{}))
		for _, name := range []string{name + " moved", name + " copy"} {
			e, err := s.look(t.Context(), name)
			noErr(t, "look", err)
			got, err := s.recordedSum(t.Context(), e)
			if err != nil || !bytes.Equal(got, sum[:]) {
				t.Errorf("%s: the store has %x, %v, want %x", name, got, err, sum)
			}
			want(t, s, name, data)
		}
		info, err := s.Stat(t.Context(), name+" moved")
		if err != nil || !info.ModTime.Equal(s3Time) {
			t.Errorf("the time is %v, %v, want %v", info.ModTime, err, s3Time)
		}
	}
	wantNothingStaged(t, s)
}
