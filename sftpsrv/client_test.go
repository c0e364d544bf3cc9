package sftpsrv

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pkg/sftp"

	"gateway/auth"
	"gateway/storage"
)

func TestPutGet(t *testing.T) {
	f := serve(t)
	for _, size := range []int{0, 1, 32768, 32769, 3 << 20} {
		c := f.client(sftp.UseConcurrentWrites(true))
		name := fmt.Sprintf("file %d", size)
		content := pattern(size)
		put(t, c, name, content)
		f.expect(name, content)
		if got := get(t, c, name); !bytes.Equal(got, content) {
			t.Errorf("%d bytes: read back %d that differ", size, len(got))
		}
		// Again, over the present file.
		slices.Reverse(content)
		put(t, c, name, content)
		f.expect(name, content)
	}
}

func TestStagedUntilClose(t *testing.T) {
	f := serve(t)
	f.write("old", []byte("old content"))
	c, other := f.client(), f.client()
	for _, name := range []string{"old", "new"} {
		before := f.published(name)
		w, err := c.Create(name)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(pattern(100)); err != nil {
			t.Fatal(err)
		}
		f.expect(name, before)
		if info, err := c.Stat(name); err != nil || info.Size() != 100 {
			t.Errorf("%s: own session's STAT is %v, %v; want 100 bytes", name, info, err)
		}
		info, err := other.Stat(name)
		if before == nil && !errors.Is(err, fs.ErrNotExist) || before != nil && info.Size() != int64(len(before)) {
			t.Errorf("%s: another session's STAT is %v, %v", name, info, err)
		}
		if entries, err := c.ReadDir("/"); err != nil || before == nil && len(entries) != 1 {
			t.Errorf("%s: READDIR shows %d entries, %v", name, len(entries), err)
		}
		if before == nil {
			if _, err := c.Open(name); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("OPEN of a staged file for reading: %v", err)
			}
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		f.expect(name, pattern(100))
	}
}

func TestPathOperations(t *testing.T) {
	f := serve(t)
	c := f.client()
	mustDo(t, c.Mkdir("a"), c.MkdirAll("a/b/c"))
	put(t, c, "a/x", []byte("x"))
	put(t, c, "a/y", []byte("y"))
	denied(t, "MKDIR on a file", c.Mkdir("a/x"))
	denied(t, "RENAME onto a file", c.Rename("a/x", "a/y"))
	mustDo(t, c.PosixRename("a/x", "a/y"))
	f.expect("a/y", []byte("x"))
	f.expect("a/x", nil)
	mustDo(t, c.Rename("a/y", "a/b/ä"))
	denied(t, "RMDIR of a full directory", c.RemoveDirectory("a/b"))
	if err := c.Rename("a", "a/b/c/a"); err == nil {
		t.Error("RENAME into itself succeeded")
	}
	if err := c.Remove("missing"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("REMOVE of nothing: %v", err)
	}
	mustDo(t, c.Remove("a/b/ä"), c.RemoveDirectory("a/b/c"))
	if _, err := os.Stat(f.dir + "/a/b/c"); !os.IsNotExist(err) {
		t.Errorf("directory is still there: %v", err)
	}
	if real, err := c.RealPath("a/../../b/./c/"); err != nil || real != "/b/c" {
		t.Errorf("REALPATH: %q, %v", real, err)
	}
	if wd, err := c.Getwd(); err != nil || wd != "/" {
		t.Errorf("working directory: %q, %v", wd, err)
	}
	if err := c.Symlink("a", "link"); err == nil {
		t.Error("SYMLINK succeeded")
	}
	for _, bad := range []string{"a\x00b", "a\nb", "\xff", storage.StagingName + "/x"} {
		if _, err := c.Create(bad); err == nil {
			t.Errorf("created %q", bad)
		}
	}
	space, err := c.StatVFS("/")
	if err != nil || space.TotalSpace() == 0 {
		t.Errorf("statvfs: %v, %v", space, err)
	}
}

func mustDo(t testing.TB, errs ...error) {
	t.Helper()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
}

// denied wants SSH_FX_FAILURE, which clients act on.
func denied(t *testing.T, what string, err error) {
	t.Helper()
	var status *sftp.StatusError
	if !errors.As(err, &status) || status.Code != statusFailure {
		t.Errorf("%s: %v", what, err)
	}
}

func TestAttributes(t *testing.T) {
	f := serve(t)
	c := f.client()
	put(t, c, "f", pattern(1000))
	when := time.Date(2001, 2, 3, 4, 5, 6, 0, time.UTC)
	mustDo(t, c.Chtimes("f", when, when), c.Chmod("f", 0o600), c.Chown("f", 1, 2))
	if info, err := c.Stat("f"); err != nil || !info.ModTime().Equal(when) {
		t.Errorf("after SETSTAT: %v, %v", info, err)
	}
	mustDo(t, c.Truncate("f", 10))
	f.expect("f", pattern(1000)[:10])
	mustDo(t, c.Truncate("f", 12))
	f.expect("f", append(pattern(1000)[:10], 0, 0))
	if err := c.Chmod("missing", 0o600); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("SETSTAT of nothing: %v", err)
	}
	// While it is open for writing: by path and by handle.
	w, err := c.Create("f")
	mustDo(t, err)
	_, err = w.Write(pattern(50))
	mustDo(t, err, c.Chtimes("f", when, when), w.Truncate(20))
	if info, err := w.Stat(); err != nil || info.Size() != 20 || !info.ModTime().Equal(when) {
		t.Errorf("FSTAT: %v, %v", info, err)
	}
	mustDo(t, w.Close())
	f.expect("f", pattern(50)[:20])
	if info, err := c.Stat("f"); err != nil || !info.ModTime().Equal(when) {
		t.Errorf("time set by path during the upload: %v, %v", info, err)
	}
}

func TestOpenFlags(t *testing.T) {
	old := []byte("0123456789")
	tests := []struct {
		name  string
		flags int
		want  string // of the present file, after writing "ab" at 0
		fresh string // of a missing file; "-" where it cannot be opened
	}{
		{"write", os.O_WRONLY, "ab23456789", "-"},
		{"create", os.O_WRONLY | os.O_CREATE, "ab23456789", "ab"},
		{"truncate", os.O_WRONLY | os.O_TRUNC, "ab", "-"},
		{"create, truncate", os.O_RDWR | os.O_CREATE | os.O_TRUNC, "ab", "ab"},
		{"exclusive", os.O_WRONLY | os.O_CREATE | os.O_EXCL, "-", "ab"},
		{"append", os.O_WRONLY | os.O_APPEND, "0123456789ab", "-"},
		{"append, create", os.O_WRONLY | os.O_APPEND | os.O_CREATE, "0123456789ab", "ab"},
	}
	f := serve(t)
	c := f.client()
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			f.t = t
			f.write("present", old)
			os.Remove(f.dir + "/missing")
			for name, want := range map[string]string{"present": test.want, "missing": test.fresh} {
				w, err := c.OpenFile(name, test.flags)
				if want == "-" {
					if err == nil {
						t.Errorf("%s was opened", name)
						w.Close()
					}
					continue
				}
				mustDo(t, err)
				_, err = w.Write([]byte("ab"))
				mustDo(t, err, w.Close())
				f.expect(name, []byte(want))
			}
		})
	}
	f.t = t
}

func TestReadOwnWrites(t *testing.T) {
	f := serve(t)
	c := f.client()
	f.write("f", pattern(200<<10))
	want := pattern(200 << 10)
	w, err := c.OpenFile("f", os.O_RDWR)
	mustDo(t, err)
	random := rand.New(rand.NewPCG(1, 2))
	for range 200 {
		at := random.IntN(len(want) - 100)
		piece := []byte(fmt.Sprintf("piece at %d", at))
		_, err := w.WriteAt(piece, int64(at))
		mustDo(t, err)
		copy(want[at:], piece)
		got := make([]byte, 100)
		if _, err := w.ReadAt(got, int64(at)); err != nil || !bytes.Equal(got, want[at:at+100]) {
			t.Fatalf("read back at %d: %v", at, err)
		}
	}
	f.expect("f", pattern(200<<10))
	mustDo(t, w.Close())
	f.expect("f", want)
}

func TestRemoveAndRenameWhileOpen(t *testing.T) {
	f := serve(t)
	c := f.client()
	open := func(name string) *sftp.File {
		w, err := c.Create(name)
		mustDo(t, err)
		_, err = w.Write([]byte("new"))
		mustDo(t, err)
		return w
	}
	// Removed: nothing is published.
	f.write("a", []byte("old"))
	for _, name := range []string{"a", "b"} {
		w := open(name)
		mustDo(t, c.Remove(name), w.Close())
		f.expect(name, nil)
	}
	// Renamed: what is published moves now, the upload at the end.
	f.write("c", []byte("old"))
	w := open("c")
	mustDo(t, c.Rename("c", "d"))
	f.expect("d", []byte("old"))
	f.expect("c", nil)
	mustDo(t, w.Close())
	f.expect("d", []byte("new"))
	f.expect("c", nil)
	// A new file, renamed before CLOSE came.
	w = open("e")
	denied(t, "RENAME of an open upload onto a file", c.Rename("e", "d"))
	mustDo(t, c.Rename("e", "g"))
	if info, err := c.Stat("g"); err != nil || info.Size() != 3 {
		t.Errorf("STAT of the new name: %v, %v", info, err)
	}
	mustDo(t, w.Close())
	f.expect("g", []byte("new"))
	f.expect("e", nil)
	// Renamed onto a name that is open twice, also by one who is open too: neither comes back.
	for _, from := range []string{"there", "open"} {
		f.write(from, []byte("from"))
		taken := []*sftp.File{open("to"), open("to")}
		for _, w := range taken {
			_, err := w.Write([]byte("er"))
			mustDo(t, err)
		}
		if from == "open" {
			taken = append(taken, open(from))
		}
		mustDo(t, c.PosixRename(from, "to"))
		for i := len(taken) - 1; i >= 0; i-- {
			mustDo(t, taken[i].Close())
		}
		f.expect("to", map[string][]byte{"there": []byte("from"), "open": []byte("new")}[from])
		f.expect(from, nil)
		mustDo(t, c.Remove("to"))
	}
	// Open twice, and renamed: both move.
	f.write("twice", []byte("old"))
	first, second := open("twice"), open("twice")
	mustDo(t, c.Rename("twice", "moved"), second.Close(), first.Close())
	f.expect("moved", []byte("new"))
	f.expect("twice", nil)
	// A reader keeps its version.
	r, err := c.Open("g")
	mustDo(t, err, c.Remove("g"))
	if got, err := io.ReadAll(r); err != nil || string(got) != "new" {
		t.Errorf("read after REMOVE: %q, %v", got, err)
	}
	r.Close()
}

func TestManyHandles(t *testing.T) {
	const n = 50
	f := serve(t, func(c *Config) { c.MaxHandles = n })
	c := f.client()
	var files []*sftp.File
	for i := range n {
		w, err := c.Create(fmt.Sprint(i))
		mustDo(t, err)
		files = append(files, w)
	}
	_, err := c.Create("one more")
	denied(t, "one handle more", err)
	_, err = c.ReadDir("/")
	denied(t, "a directory more", err)
	var wait sync.WaitGroup
	for i, w := range files {
		wait.Go(func() {
			if _, err := w.ReadFrom(bytes.NewReader(pattern(70000 + i))); err != nil {
				t.Error(err)
			}
			if err := w.Close(); err != nil {
				t.Error(err)
			}
		})
	}
	wait.Wait()
	for i := range n {
		f.expect(fmt.Sprint(i), pattern(70000+i))
	}
	entries, err := c.ReadDir("/")
	if err != nil || len(entries) != n {
		t.Errorf("%d entries, %v", len(entries), err)
	}
}

func TestLargeDirectory(t *testing.T) {
	const n = 1500
	f := serve(t)
	for i := range n {
		f.write(fmt.Sprintf("d/a rather long name to fill packets %05d", i), nil)
	}
	entries, err := f.client().ReadDir("d")
	if err != nil || len(entries) != n {
		t.Fatalf("%d entries, %v", len(entries), err)
	}
	names := make(map[string]bool)
	for _, e := range entries {
		names[e.Name()] = true
	}
	if len(names) != n {
		t.Errorf("%d different names", len(names))
	}
	if _, err := f.client().ReadDir("d/a rather long name to fill packets 00000"); err == nil {
		t.Error("a file was listed")
	}
}

// panicky has a defect.
type panicky struct{ storage.FS }

func (p panicky) Stat(ctx context.Context, name string) (storage.Info, error) {
	if name == "boom" {
		panic("a defect")
	}
	return p.FS.Stat(ctx, name)
}

func TestDefectEndsOnlyItsSession(t *testing.T) {
	f := serve(t, func(c *Config) {
		open := c.Open
		c.Open = func(ctx context.Context, id auth.Identity) (storage.FS, error) {
			tree, err := open(ctx, id)
			return panicky{tree}, err
		}
	})
	conn := f.mustDial()
	var clients []*sftp.Client
	for range 2 {
		c, err := sftp.NewClient(conn)
		mustDo(t, err)
		clients = append(clients, c)
	}
	w, err := clients[0].Create("f")
	mustDo(t, err)
	_, err = w.Write([]byte("part"))
	mustDo(t, err)
	if _, err := clients[0].Stat("boom"); err == nil {
		t.Error("a defect is a success")
	}
	if err := w.Close(); err == nil {
		t.Error("CLOSE after a defect succeeded")
	}
	f.expect("f", nil)
	put(t, clients[1], "f", []byte("whole"))
	f.expect("f", []byte("whole"))
	if !strings.Contains(f.log.String(), "a defect") {
		t.Error("the defect is not logged")
	}
}
