package tests

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"slices"
	"sync"
	"testing"

	"github.com/pkg/sftp"

	"gateway/tests/servers"
)

// session is an SFTP session of its own, in Go, for what no program does.
func (s *serving) session() *sftp.Client {
	s.t.Helper()
	c, err := dialClients(s)
	mustDo(s.t, err)
	s.t.Cleanup(c.close)
	return c.sftp
}

func mustDo(t testing.TB, errs ...error) {
	t.Helper()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
}

// holds fails unless a file, read in a session of its own, is what it should be; nil: is not there.
func (s *serving) holds(t *testing.T, name string, want []byte) {
	t.Helper()
	r, err := s.session().Open(name)
	if want == nil {
		if !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s is there (%v)", name, err)
		}
		return
	}
	mustDo(t, err)
	defer r.Close()
	got, err := io.ReadAll(r)
	if err != nil || !bytes.Equal(got, want) {
		t.Errorf("%s has %d bytes that differ from the %d wanted (%v)", name, len(got), len(want), err)
	}
}

func store(t *testing.T, c *sftp.Client, name string, content []byte) {
	t.Helper()
	w, err := c.Create(name)
	mustDo(t, err)
	_, err = w.ReadFrom(bytes.NewReader(content))
	mustDo(t, err, w.Close())
}

func randomBytes(random *rand.Rand, n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(random.Uint32())
	}
	return b
}

// TestHandles does with open files what editors, databases and mounted folders do, on a disk and in a bucket.
func TestHandles(t *testing.T) {
	labs := map[string]func(t *testing.T) *lab{
		"disk":   func(t *testing.T) *lab { return newLab(t) },
		"bucket": func(t *testing.T) *lab { return newBucketLab(t, servers.StartS3(t, servers.VersityGW), "") },
	}
	for name, lab := range labs {
		t.Run(name, func(t *testing.T) {
			s := lab(t).serve()
			t.Run("random access", func(t *testing.T) { randomAccess(t, s.in(t)) })
			t.Run("flags", func(t *testing.T) { openFlags(t, s.in(t)) })
			t.Run("renamed and removed", func(t *testing.T) { renamedWhileOpen(t, s.in(t)) })
			t.Run("written at once", func(t *testing.T) { writtenAtOnce(t, s.in(t)) })
		})
	}
}

// randomAccess writes, reads, cuts and extends several files at once, new ones and one that is there, and holds each
// against what a file in memory would be.
func randomAccess(t *testing.T, s *serving) {
	const files, steps, size, piece = 6, 60, 6 << 20, 200 << 10
	c := s.session()
	old := randomBytes(rand.New(rand.NewPCG(1, 1)), size)
	var wg sync.WaitGroup
	want := make([][]byte, files)
	for i := range files {
		name, flags := fmt.Sprint("random", i), os.O_RDWR|os.O_CREATE
		if i%2 == 0 {
			store(t, c, name, old)
			want[i] = slices.Clone(old)
		}
		f, err := c.OpenFile(name, flags)
		mustDo(t, err)
		wg.Go(func() {
			random := rand.New(rand.NewPCG(2, uint64(i)))
			for range steps {
				want[i] = randomStep(t, f, want[i], random, size, piece)
			}
			if err := f.Close(); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		})
	}
	wg.Wait()
	for i := range files {
		s.holds(t, fmt.Sprint("random", i), want[i])
	}
}

func randomStep(t *testing.T, f *sftp.File, have []byte, random *rand.Rand, size, piece int) []byte {
	at := random.IntN(size)
	switch random.IntN(6) {
	case 0: // another size
		if err := f.Truncate(int64(at)); err != nil {
			t.Errorf("truncate: %v", err)
		}
		return append(have, make([]byte, max(0, at-len(have)))...)[:at]
	case 1: // read back
		got := make([]byte, piece)
		n, err := f.ReadAt(got, int64(at))
		want := have[min(at, len(have)):min(at+piece, len(have))]
		if err != nil && !errors.Is(err, io.EOF) || !bytes.Equal(got[:n], want) {
			t.Errorf("read at %d: %d bytes that differ from %d (%v)", at, n, len(want), err)
		}
		return have
	case 2: // to the end
		at = len(have)
	}
	data := randomBytes(random, 1+random.IntN(piece))
	if _, err := f.WriteAt(data, int64(at)); err != nil {
		t.Errorf("write at %d: %v", at, err)
	}
	have = append(have, make([]byte, max(0, at+len(data)-len(have)))...)
	copy(have[at:], data)
	if info, err := f.Stat(); err != nil || info.Size() != int64(len(have)) {
		t.Errorf("size after a write: %v, want %d (%v)", info, len(have), err)
	}
	return have
}

func openFlags(t *testing.T, s *serving) {
	c := s.session()
	content := randomBytes(rand.New(rand.NewPCG(3, 3)), 300<<10)
	store(t, c, "flags", content)
	if _, err := c.OpenFile("flags", os.O_WRONLY|os.O_CREATE|os.O_EXCL); err == nil {
		t.Error("an exclusive OPEN of what is there succeeded")
	}
	a, err := c.OpenFile("flags", os.O_WRONLY|os.O_APPEND)
	mustDo(t, err)
	for range 3 {
		_, err = a.Write([]byte("more"))
		mustDo(t, err)
	}
	s.holds(t, "flags", content)
	mustDo(t, a.Close())
	s.holds(t, "flags", append(slices.Clone(content), "moremoremore"...))
	w, err := c.OpenFile("flags", os.O_WRONLY|os.O_TRUNC)
	mustDo(t, err)
	s.holds(t, "flags", append(slices.Clone(content), "moremoremore"...))
	mustDo(t, w.Close())
	s.holds(t, "flags", []byte{})
	mustDo(t, c.Truncate("flags", 5))
	s.holds(t, "flags", make([]byte, 5))
}

// renamedWhileOpen renames and removes what is read and written, in this session and in another.
func renamedWhileOpen(t *testing.T, s *serving) {
	content := randomBytes(rand.New(rand.NewPCG(4, 4)), 300<<10)
	own := s.session()
	for who, by := range map[string]*sftp.Client{"own": own, "other": s.session()} {
		store(t, own, who+"-read", content)
		r, err := own.Open(who + "-read")
		mustDo(t, err)
		mustDo(t, by.Rename(who+"-read", who+"-moved"), by.Remove(who+"-moved"))
		store(t, by, who+"-read", []byte("another"))
		if got, err := io.ReadAll(r); err != nil || !bytes.Equal(got, content) {
			t.Errorf("%s: a reader got %d bytes that differ (%v)", who, len(got), err)
		}
		mustDo(t, r.Close())
		s.holds(t, who+"-read", []byte("another"))

		store(t, own, who+"-written", []byte("old"))
		w, err := own.Create(who + "-written")
		mustDo(t, err)
		_, err = w.Write(content)
		mustDo(t, err)
		mustDo(t, by.Rename(who+"-written", who+"-away"))
		mustDo(t, w.Close())
		if who == "own" { // the upload moves too
			s.holds(t, who+"-written", nil)
			s.holds(t, who+"-away", content)
		} else { // another session moves what is published, and the upload keeps its name
			s.holds(t, who+"-written", content)
			s.holds(t, who+"-away", []byte("old"))
		}

		store(t, own, who+"-removed", []byte("old"))
		w, err = own.Create(who + "-removed")
		mustDo(t, err)
		_, err = w.Write(content)
		mustDo(t, err)
		mustDo(t, by.Remove(who+"-removed"), w.Close())
		if who == "own" { // removed is removed
			s.holds(t, who+"-removed", nil)
		} else { // what the other could not see is not what it removed
			s.holds(t, who+"-removed", content)
		}
	}
	// The folder goes, in another session: there is no place any more, and CLOSE says so.
	mustDo(t, own.Mkdir("folder"))
	w, err := own.Create("folder/file")
	mustDo(t, err)
	_, err = w.Write(content)
	mustDo(t, err, s.session().Rename("folder", "gone"))
	if err := w.Close(); err == nil {
		s.holds(t, "folder/file", content) // a bucket may have made the folder again
	} else {
		s.holds(t, "folder/file", nil)
		s.holds(t, "gone/file", nil)
	}
}

// writtenAtOnce has sessions write one name at a time: each file that is seen is a whole one.
func writtenAtOnce(t *testing.T, s *serving) {
	const writers, rounds = 4, 3
	whole := func(writer int) []byte { return bytes.Repeat([]byte{byte('a' + writer)}, 500<<10) }
	var wg sync.WaitGroup
	for i := range writers {
		c := s.session()
		wg.Go(func() {
			for range rounds {
				w, err := c.Create("shared")
				if err == nil {
					_, err = w.ReadFrom(bytes.NewReader(whole(i)))
					err = errors.Join(err, w.Close())
				}
				if err != nil {
					t.Errorf("writer %d: %v", i, err)
				}
			}
		})
	}
	reader := s.session()
	for range 20 {
		r, err := reader.Open("shared")
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		mustDo(t, err)
		got, err := io.ReadAll(r)
		mustDo(t, err, r.Close())
		if len(got) == 0 || !bytes.Equal(got, whole(int(got[0]-'a'))) {
			t.Errorf("a reader saw %d bytes that are of no writer", len(got))
		}
	}
	wg.Wait()
	// The last that is closed stays.
	a, b := s.session(), s.session()
	first, err := a.Create("shared")
	mustDo(t, err)
	second, err := b.Create("shared")
	mustDo(t, err)
	_, err = second.Write([]byte("second"))
	mustDo(t, err)
	_, err = first.Write([]byte("first"))
	mustDo(t, err, second.Close(), first.Close())
	s.holds(t, "shared", []byte("first"))
	// Who is exclusive is the first that is closed.
	first, err = a.OpenFile("exclusive", os.O_WRONLY|os.O_CREATE|os.O_EXCL)
	mustDo(t, err)
	store(t, b, "exclusive", []byte("second"))
	_, err = first.Write([]byte("first"))
	mustDo(t, err)
	if err := first.Close(); err == nil {
		t.Error("an exclusive upload replaced what came before it was closed")
	}
	s.holds(t, "exclusive", []byte("second"))
}
