package sftpsrv

import (
	"os"
	"testing"
	"time"

	"gateway/storage"
	"gateway/storage/disk"
)

// TestCheckpoint: what an upload has is kept while it goes on, and belongs to it alone until then.
func TestCheckpoint(t *testing.T) {
	content := pattern(300 << 10)
	f := serve(t, func(c *Config) { c.checkpointEvery = time.Nanosecond })
	f.write("f", []byte("older"))
	w, err := f.client().Create("f")
	mustDo(t, err)
	for _, part := range []struct{ from, to, kept int64 }{
		{0, 100 << 10, 100 << 10},
		{150 << 10, 200 << 10, 100 << 10}, // after a gap
		{100 << 10, 150 << 10, 200 << 10},
	} {
		_, err = w.WriteAt(content[part.from:part.to], part.from)
		mustDo(t, err)
		if kept := f.checkpoints(); len(kept) != 1 || kept[0].Name != "f" || kept[0].Size != part.kept {
			t.Errorf("after the bytes %d to %d are kept: %+v", part.from, part.to, kept)
		}
	}
	other := f.client()
	if info, err := other.Stat("f"); err != nil || info.Size() != 5 {
		t.Errorf("another connection's STAT: %v, %v", info, err)
	}
	edit, err := other.OpenFile("f", os.O_WRONLY)
	mustDo(t, err)
	_, err = edit.WriteAt([]byte("O"), 0)
	mustDo(t, err, edit.Close())
	f.expect("f", []byte("Older"))
	_, err = w.WriteAt(content[200<<10:], 200<<10)
	mustDo(t, err, w.Close())
	f.expect("f", content)
	if kept := f.checkpoints(); len(kept) != 0 {
		t.Errorf("after it was published is kept: %+v", kept)
	}
}

// checkpoints are what could be resumed now.
func (f *fixture) checkpoints() (list []storage.Suspended) {
	f.t.Helper()
	for u, err := range f.disk.Suspended(f.t.Context(), "") {
		if err != nil {
			f.t.Fatal(err)
		}
		list = append(list, u)
	}
	return list
}

// TestCheckpointReplaces: an upload that begins anew takes the place of one that was interrupted, at once: after a crash
// that one would be gone on with.
func TestCheckpointReplaces(t *testing.T) {
	f := serve(t)
	f.breakOff("f", pattern(100<<10))
	f.suspended(1)
	w, err := f.client().Create("f")
	mustDo(t, err)
	_, err = w.Write(pattern(10 << 10))
	mustDo(t, err)
	if kept := f.checkpoints(); len(kept) != 1 || kept[0].Size != 10<<10 {
		t.Errorf("kept: %+v", kept)
	}
	mustDo(t, w.Close())
	f.expect("f", pattern(10<<10))
}

// TestCheckpointEarly: of what replaces a file the beginning is kept before its time, since the size of the older file
// would be taken for it.
func TestCheckpointEarly(t *testing.T) {
	f := serve(t)
	f.write("empty", nil)
	f.write("old", []byte("older"))
	c := f.client()
	for name, want := range map[string]int{"new": 0, "empty": 0, "old": 1} {
		w, err := c.Create(name)
		mustDo(t, err)
		_, err = w.Write(pattern(earlyCheckpoint - 1))
		mustDo(t, err)
		if kept := f.checkpoints(); len(kept) != 0 {
			t.Errorf("%s: kept too early: %+v", name, kept)
		}
		_, err = w.Write(pattern(100))
		mustDo(t, err)
		if kept := f.checkpoints(); len(kept) != want {
			t.Errorf("%s: kept: %+v", name, kept)
		}
		mustDo(t, w.Close())
	}
}

// TestClaimedElsewhere: an upload that another process has open is waited for, so that what the client does not
// send again is not missing.
func TestClaimedElsewhere(t *testing.T) {
	content := pattern(100 << 10)
	f := serve(t)
	another, err := disk.Open(f.dir, disk.Options{})
	mustDo(t, err)
	defer another.Close()
	u, err := another.Create(t.Context(), "f", storage.CreateOptions{Owner: testUser, Size: -1})
	mustDo(t, err)
	_, err = u.WriteAt(content[:50<<10], 0)
	mustDo(t, err)
	_, err = u.Checkpoint(t.Context())
	mustDo(t, err)
	c := f.client()
	if info, err := c.Stat("f"); err != nil || info.Size() != 50<<10-1 {
		t.Fatalf("STAT: %v, %v", info, err)
	}
	opened := make(chan error, 1)
	go func() {
		w, err := c.OpenFile("f", os.O_WRONLY|os.O_CREATE)
		if err == nil {
			_, err = w.WriteAt(content[50<<10:], 50<<10)
		}
		if err == nil {
			err = w.Close()
		}
		opened <- err
	}()
	select {
	case err := <-opened:
		t.Errorf("it did not wait: %v", err)
	case <-time.After(time.Second / 2):
	}
	_, err = u.Suspend(t.Context(), storage.SuspendOptions{})
	mustDo(t, err)
	mustDo(t, <-opened)
	f.expect("f", content)
}

// TestOldCheckpoint: what a gateway that was killed left is not kept for longer than what broke off.
func TestOldCheckpoint(t *testing.T) {
	f := serve(t, func(c *Config) { c.KeepPartial = time.Millisecond })
	u, err := f.disk.Create(t.Context(), "f", storage.CreateOptions{Owner: testUser, Size: -1})
	mustDo(t, err)
	_, err = u.WriteAt([]byte("some"), 0)
	mustDo(t, err)
	_, err = u.Suspend(t.Context(), storage.SuspendOptions{})
	mustDo(t, err)
	time.Sleep(5 * time.Millisecond)
	if _, err := f.client().Stat("f"); !os.IsNotExist(err) {
		t.Errorf("STAT: %v", err)
	}
	if kept := f.checkpoints(); len(kept) != 0 {
		t.Errorf("it is still there: %+v", kept)
	}
}
