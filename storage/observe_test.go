package storage_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"gateway/storage"
	"gateway/storage/storagetest"
)

// diary is an Observer that writes down what it is told.
type diary struct {
	mu    sync.Mutex
	lines []string
	open  int
}

func (d *diary) Began(context.Context, *storage.Transfer) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.open++
}

func (d *diary) Ended(_ context.Context, e storage.Event) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if e.Transfer != nil {
		d.open--
	}
	line := fmt.Sprintf("%s %s %s %q %d", e.User, e.Origin.Protocol, e.Verb, e.Name, e.Bytes)
	if e.To != "" {
		line += fmt.Sprintf(" to %q", e.To)
	}
	for _, known := range []error{fs.ErrPermission, fs.ErrNotExist, storage.ErrQuota, storage.ErrUnfinished} {
		if errors.Is(e.Err, known) {
			line += ": " + known.Error()
		}
	}
	d.lines = append(d.lines, line)
}

func TestObservedConformance(t *testing.T) {
	storagetest.Test(t, func(t *testing.T) storage.FS {
		d := &diary{}
		t.Cleanup(func() {
			if d.open < 0 {
				t.Errorf("%d transfers ended that had not begun", -d.open)
			}
		})
		return storage.Observe(newView(t, storage.ViewOptions{}, storage.Mount{FS: newDisk(t), Permissions: storage.PermReadWrite}), d)
	})
}

func TestObserve(t *testing.T) {
	disk := newDisk(t)
	seen := &diary{}
	v := storage.Observe(newView(t, storage.ViewOptions{User: "ann", Quota: storage.NewQuota(100)},
		storage.Mount{FS: disk, Permissions: storage.PermReadWrite},
		storage.Mount{Path: "shown", Root: "shown", FS: disk, Permissions: storage.PermReadOnly}), seen)
	ctx := storage.WithOrigin(t.Context(), storage.Origin{Protocol: "sftp", Address: netip.MustParseAddr("192.0.2.1")})

	put := func(name, body string) error {
		_, err := storage.Put(ctx, v, name, strings.NewReader(body), storage.CreateOptions{Size: -1}, storage.CommitOptions{})
		return err
	}
	must(t, put("a", "12345"))
	if err := put("shown/a", "x"); !errors.Is(err, fs.ErrPermission) {
		t.Fatal(err)
	}
	if err := put("big", strings.Repeat("x", 200)); !errors.Is(err, storage.ErrQuota) {
		t.Fatal(err)
	}
	u, err := v.Create(ctx, "half", storage.CreateOptions{Size: -1})
	must(t, err)
	_, err = u.WriteAt([]byte("abc"), 0)
	must(t, err)
	token, err := u.Suspend(ctx, storage.SuspendOptions{})
	must(t, err)
	u, err = v.Resume(ctx, token)
	must(t, err)
	_, err = u.Commit(ctx, storage.CommitOptions{})
	must(t, err)
	must(t, v.Mkdir(ctx, "d"))
	must(t, v.Rename(ctx, "a", "d/b", storage.RenameOptions{}))
	_, err = v.Copy(ctx, "half", "d/c", storage.CommitOptions{})
	must(t, err)
	must(t, v.SetModTime(ctx, "d/c", time.Unix(1, 0)))
	f, err := v.Open(ctx, "d/b")
	must(t, err)
	_, err = f.ReadAt(make([]byte, 4), 0)
	must(t, err)
	must(t, f.Close())
	_ = f.Close()
	must(t, v.Remove(ctx, "half"))
	must(t, v.RemoveAll(ctx, "d"))
	if err := v.Remove(ctx, "none"); !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	want := []string{
		`ann sftp upload "a" 5`,
		`ann sftp upload "shown/a" 0: permission denied`,
		`ann sftp upload "big" 0: ` + storage.ErrQuota.Error(),
		`ann sftp upload "half" 3: ` + storage.ErrUnfinished.Error(),
		`ann sftp upload "half" 3`,
		`ann sftp mkdir "d" 0`,
		`ann sftp rename "a" 0 to "d/b"`,
		`ann sftp copy "half" 3 to "d/c"`,
		`ann sftp settime "d/c" 0`,
		`ann sftp download "d/b" 4`,
		`ann sftp delete "half" 0`,
		`ann sftp delete "d" 0`,
		`ann sftp delete "none" 0: file does not exist`,
	}
	if diff := cmp.Diff(want, seen.lines); diff != "" {
		t.Error(diff)
	}
	if seen.open != 0 {
		t.Errorf("%d transfers have not ended", seen.open)
	}
}

// closed is a Gate that is closed once shut.
type closed struct {
	diary
	shut error
}

func (c *closed) May(context.Context, storage.Verb) error { return c.shut }

// TestGate: what a gate refuses is not done, and is told of.
func TestGate(t *testing.T) {
	ctx := t.Context()
	gate := &closed{}
	disk := newDisk(t)
	v := storage.Observe(newView(t, storage.ViewOptions{User: "anna"}, storage.Mount{FS: disk, Permissions: storage.PermReadWrite}), storage.Observers{&diary{}, gate})
	if err := v.Mkdir(ctx, "old"); err != nil {
		t.Fatal(err)
	}
	gate.shut, gate.lines = fs.ErrPermission, nil
	for name, do := range map[string]func() error{
		"download": func() error { _, err := v.Open(ctx, "old"); return err },
		"upload":   func() error { _, err := v.Create(ctx, "new", storage.CreateOptions{}); return err },
		"resume":   func() error { _, err := v.Resume(ctx, "token"); return err },
		"mkdir":    func() error { return v.Mkdir(ctx, "new") },
		"delete":   func() error { return v.Remove(ctx, "old") },
		"tree":     func() error { return v.RemoveAll(ctx, "old") },
		"rename":   func() error { return v.Rename(ctx, "old", "new", storage.RenameOptions{}) },
		"settime":  func() error { return v.SetModTime(ctx, "old", time.Now()) },
		"copy":     func() error { _, err := v.Copy(ctx, "old", "new", storage.CommitOptions{}); return err },
	} {
		n := len(gate.lines)
		if err := do(); !errors.Is(err, fs.ErrPermission) {
			t.Errorf("%s: %v", name, err)
		}
		if len(gate.lines) != n+1 || !strings.HasSuffix(gate.lines[n], fs.ErrPermission.Error()) {
			t.Errorf("%s: told %q", name, gate.lines[n:])
		}
	}
	if _, err := disk.Stat(ctx, "old"); err != nil {
		t.Error(err)
	}
	if _, err := disk.Stat(ctx, "new"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("something was made: %v", err)
	}
}
