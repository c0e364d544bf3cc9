package sftpsrv

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/pkg/sftp"
)

func TestBrokenConnectionPublishesNothing(t *testing.T) {
	f := serve(t, func(c *Config) { c.KeepPartial = -1 })
	f.write("old", []byte("old"))
	for _, name := range []string{"old", "new"} {
		conn := f.mustDial()
		c, err := sftp.NewClient(conn)
		mustDo(t, err)
		w, err := c.Create(name)
		mustDo(t, err)
		_, err = w.Write(pattern(100 << 10))
		mustDo(t, err)
		conn.Close()
		c.Close()
	}
	f.suspended(0)
	f.expect("old", []byte("old"))
	f.expect("new", nil)
}

func TestResumeAfterBreak(t *testing.T) {
	content := pattern(300 << 10)
	const sent = 120 << 10
	for _, existing := range []string{"", "an older file that is to be replaced"} {
		f := serve(t)
		if existing != "" {
			f.write("f", []byte(existing))
		}
		conn := f.mustDial()
		c, err := sftp.NewClient(conn)
		mustDo(t, err)
		w, err := c.Create("f")
		mustDo(t, err)
		_, err = w.Write(content[:sent])
		mustDo(t, err)
		// Ahead of a gap: must not count.
		_, err = w.WriteAt(content[200<<10:210<<10], 200<<10)
		mustDo(t, err)
		conn.Close()
		c.Close()
		if got := f.suspended(1)["f"]; got.Size != sent || got.Owner != testUser {
			t.Fatalf("suspended %+v, want %d bytes", got, sent)
		}
		// Nobody else sees it, and nobody reads it.
		other, err := f.dial("bob")
		mustDo(t, err)
		bob, err := sftp.NewClient(other)
		mustDo(t, err)
		if info, err := bob.Stat("f"); existing == "" && err == nil || existing != "" && info.Size() != int64(len(existing)) {
			t.Errorf("another user's STAT: %v, %v", info, err)
		}
		bob.Close()
		other.Close()
		c = f.client()
		info, err := c.Stat("f")
		if err != nil || info.Size() != sent-1 {
			t.Fatalf("owner's STAT: %v, %v", info, err)
		}
		if info, err := c.Lstat("f"); existing != "" && (err != nil || info.Size() != int64(len(existing))) {
			t.Errorf("owner's LSTAT: %v, %v", info, err)
		}
		// Writing elsewhere is no continuation.
		if existing != "" {
			w, err = c.OpenFile("f", os.O_WRONLY)
			mustDo(t, err)
			_, err = w.WriteAt([]byte("AN"), 0)
			mustDo(t, err, w.Close())
			f.expect("f", []byte("AN"+existing[2:]))
			continue
		}
		w, err = c.OpenFile("f", os.O_WRONLY|os.O_APPEND|os.O_CREATE)
		mustDo(t, err)
		_, err = w.Seek(info.Size(), io.SeekStart)
		mustDo(t, err)
		_, err = w.Write(content[info.Size():])
		mustDo(t, err, w.Close())
		f.expect("f", content)
		f.stop()
	}
}

// Who was told the size of an interrupted upload that is discarded then does not leave a hole in its place.
func TestResumeOfWhatIsGone(t *testing.T) {
	f := serve(t)
	f.breakOff("f", []byte("part"))
	token := f.suspended(1)["f"].Token
	c := f.client()
	if info, err := c.Stat("f"); err != nil || info.Size() != 3 {
		t.Fatalf("STAT: %v, %v", info, err)
	}
	mustDo(t, f.disk.Discard(t.Context(), token))
	if _, err := c.OpenFile("f", os.O_WRONLY|os.O_CREATE); err == nil || !strings.Contains(err.Error(), "send the file anew") {
		t.Errorf("OPEN of what is gone: %v", err)
	}
	if _, err := c.Stat("f"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("STAT of what is gone: %v", err)
	}
	put(t, c, "f", []byte("whole"))
	f.expect("f", []byte("whole"))
}

// TestPublishEndsWhatAnotherSessionKept: the file is sent again by a session that asked for its size a moment
// before the other was found to be dead. Nothing of the first upload may be left, whose size would be told
// instead of the file's once that is dated back.
func TestPublishEndsWhatAnotherSessionKept(t *testing.T) {
	f := serve(t)
	conn := f.mustDial()
	first, err := sftp.NewClient(conn)
	mustDo(t, err)
	w, err := first.Create("f")
	mustDo(t, err)
	_, err = w.Write([]byte("part"))
	mustDo(t, err)
	second := f.client()
	if _, err := second.Stat("f"); !errors.Is(err, os.ErrNotExist) {
		t.Fatalf("before: %v", err)
	}
	conn.Close()
	first.Close()
	f.eventually("the upload is suspended", func() bool { return len(f.checkpoints()) == 1 && f.connections() == 1 })
	put(t, second, "f", []byte("the whole"))
	old := time.Unix(1e9, 0)
	mustDo(t, second.Chtimes("f", old, old))
	if info, err := f.client().Stat("f"); err != nil || info.Size() != 9 {
		t.Errorf("STAT: %+v, %v", info, err)
	}
	if list := f.checkpoints(); len(list) > 0 {
		t.Errorf("still kept: %+v", list)
	}
}

// An upload that broke off after its last byte is not taken for done by who compares sizes, and is published by who
// continues it: also in place of an older file.
func TestResumeOfWhatWasWhole(t *testing.T) {
	for _, older := range []string{"", "old"} {
		f := serve(t)
		if older != "" {
			f.write("f", []byte(older))
		}
		conn := f.mustDial()
		c, err := sftp.NewClient(conn)
		mustDo(t, err)
		w, err := c.Create("f")
		mustDo(t, err)
		_, err = w.Write([]byte("all of it"))
		mustDo(t, err)
		conn.Close()
		c.Close()
		f.suspended(1)
		c = f.client()
		info, err := c.Stat("f")
		if err != nil || info.Size() != 8 {
			t.Fatalf("STAT: %v, %v", info, err)
		}
		w, err = c.OpenFile("f", os.O_WRONLY|os.O_CREATE)
		mustDo(t, err)
		if info, err := w.Stat(); err != nil || info.Size() != 8 {
			t.Errorf("FSTAT: %v, %v", info, err)
		}
		_, err = w.WriteAt([]byte("t"), 8)
		mustDo(t, err, w.Close())
		f.expect("f", []byte("all of it"))
		c.Close()
		f.stop()
	}
}

func TestReaderGetsPublishedSize(t *testing.T) {
	f := serve(t)
	f.write("f", []byte("published"))
	f.breakOff("f", []byte("part"))
	f.suspended(1)
	c := f.client()
	if info, err := c.Stat("f"); err != nil || info.Size() != 3 {
		t.Errorf("before reading: %v, %v", info, err)
	}
	if got := get(t, c, "f"); string(got) != "published" {
		t.Errorf("read %q", got)
	}
	if info, err := c.Stat("f"); err != nil || info.Size() != 9 {
		t.Errorf("after reading: %v, %v", info, err)
	}
	// One that never asked before it reads is told the same.
	straight := f.client()
	if got := get(t, straight, "f"); string(got) != "published" {
		t.Errorf("read straight away %q", got)
	}
	if info, err := straight.Stat("f"); err != nil || info.Size() != 9 {
		t.Errorf("after reading straight away: %v, %v", info, err)
	}
	// A publish ends the interrupted upload.
	put(t, c, "f", []byte("whole"))
	f.expect("f", []byte("whole"))
	c.Close()
	f.stop()
}

// A connection that is found dead after its client came back and sent the file again
// leaves nothing behind.
func TestOvertakenUploadIsNotKept(t *testing.T) {
	f := serve(t)
	conn := f.mustDial()
	dead, err := sftp.NewClient(conn)
	mustDo(t, err)
	for _, name := range []string{"new", "old"} {
		if name == "old" {
			f.write(name, []byte("old"))
		}
		w, err := dead.Create(name)
		mustDo(t, err)
		_, err = w.Write([]byte("par"))
		mustDo(t, err)
	}
	c := f.client()
	put(t, c, "new", []byte("whole"))
	put(t, c, "old", []byte("whole"))
	c.Close()
	dead.Close()
	conn.Close()
	f.eventually("the end of the first connection", func() bool { return f.received() == 0 })
	for u := range f.disk.Suspended(t.Context(), "") {
		t.Errorf("suspended: %+v", u)
	}
	if info, err := f.client().Stat("new"); err != nil || info.Size() != 5 {
		t.Errorf("STAT: %v, %v", info, err)
	}
}
