package disk

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"gateway/storage"
	"gateway/storage/internal/uploadid"
)

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func writeFile(t *testing.T, dir, name, content string) {
	t.Helper()
	must(t, os.WriteFile(filepath.Join(dir, name), []byte(content), 0o644))
}

func list(t *testing.T, d *Disk, name string) (names []string) {
	t.Helper()
	for info, err := range d.List(t.Context(), name) {
		must(t, err)
		names = append(names, info.Name)
	}
	slices.Sort(names)
	return names
}

func read(t *testing.T, d *Disk, name string) string {
	t.Helper()
	data, err := storage.ReadFile(t.Context(), d, name, 1<<20)
	must(t, err)
	return string(data)
}

// TestHidden plants what must be neither seen nor touched.
func TestHidden(t *testing.T) {
	outside, dir := t.TempDir(), t.TempDir()
	writeFile(t, outside, "secret", "secret")
	d := open(t, dir, Options{})
	hidden := map[string]string{
		"absolute":        filepath.Join(outside, "secret"),
		"absolute inside": filepath.Join(dir, "file"),
		"up":              "../" + filepath.Base(outside) + "/secret",
		"up and in":       "../" + filepath.Base(dir) + "/file",
		"dir out":         outside,
		"dangling":        "nothing",
		"loop":            "loop",
		"proc":            "/proc/self/root",
		"to pipe":         "pipe",
	}
	writeFile(t, dir, "file", "file")
	for name, target := range hidden {
		must(t, os.Symlink(target, filepath.Join(dir, name)))
	}
	must(t, syscall.Mkfifo(filepath.Join(dir, "pipe"), 0o666))
	hidden["pipe"] = ""
	for _, name := range []string{"bad\xff", "new\nline", "esc\x1b[2J", "cafe\u0301"} {
		writeFile(t, dir, name, "x")
	}
	ctx := t.Context()
	if got := list(t, d, ""); !slices.Equal(got, []string{"file"}) {
		t.Errorf("listed are %q", got)
	}
	for name := range hidden {
		_, statErr := d.Stat(ctx, name)
		_, openErr := d.Open(ctx, name)
		_, belowErr := d.Stat(ctx, name+"/secret")
		_, openBelowErr := d.Open(ctx, name+"/secret")
		_, spaceErr := d.Space(ctx, name)
		for _, err := range []error{statErr, openErr, belowErr, openBelowErr, spaceErr} {
			if !errors.Is(err, fs.ErrNotExist) || strings.Contains(err.Error(), dir) || strings.Contains(err.Error(), outside) {
				t.Errorf("%s: looking is %v", name, err)
			}
		}
		for err := range d.listErrs(t, name) {
			if !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("%s: listing is %v", name, err)
			}
		}
		_, createErr := d.Create(ctx, name, storage.CreateOptions{Size: -1})
		for _, err := range []error{
			createErr, d.Remove(ctx, name), d.RemoveAll(ctx, name), d.SetModTime(ctx, name, time.Now()),
			d.Rename(ctx, name, "x", storage.RenameOptions{}), d.Rename(ctx, "file", name, storage.RenameOptions{Replace: true}),
		} {
			if !errors.Is(err, fs.ErrPermission) || strings.Contains(err.Error(), dir) {
				t.Errorf("%s: changing is %v", name, err)
			}
		}
		if _, err := d.Create(ctx, name+"/x", storage.CreateOptions{Size: -1}); err == nil {
			t.Errorf("%s: something could be uploaded below it", name)
		}
	}
	if got, _ := os.ReadFile(filepath.Join(outside, "secret")); string(got) != "secret" {
		t.Errorf("the file outside is %q", got)
	}
	wantEmptyStaging(t, dir)
}

func (d *Disk) listErrs(t *testing.T, name string) func(yield func(error) bool) {
	return func(yield func(error) bool) {
		for _, err := range d.List(t.Context(), name) {
			if !yield(err) {
				return
			}
		}
	}
}

// TestLinks follows what stays inside.
func TestLinks(t *testing.T) {
	dir := t.TempDir()
	d := open(t, dir, Options{})
	ctx := t.Context()
	must(t, os.MkdirAll(filepath.Join(dir, "d/e"), 0o755))
	writeFile(t, dir, "d/e/f", "F")
	for name, target := range map[string]string{"file": "d/e/f", "dir": "d/e", "d/e/up": "../../other", "again": "file", "chain": "dir/up"} {
		must(t, os.Symlink(target, filepath.Join(dir, name)))
	}
	writeFile(t, dir, "other", "O")
	for name, content := range map[string]string{"file": "F", "dir/f": "F", "again": "F", "chain": "O", "dir/up": "O"} {
		if got := read(t, d, name); got != content {
			t.Errorf("%s reads %q", name, got)
		}
		info, err := d.Stat(ctx, name)
		must(t, err)
		if info.Link != (name != "dir/f") || info.Size != 1 || !info.Mode.IsRegular() {
			t.Errorf("%s is %+v", name, info)
		}
	}
	must(t, putFile(ctx, d, "chain", "new", storage.CommitOptions{}))
	must(t, putFile(ctx, d, "again", "newer", storage.CommitOptions{}))
	if o, f := read(t, d, "other"), read(t, d, "d/e/f"); o != "new" || f != "newer" {
		t.Errorf("through links were written %q and %q", o, f)
	}
	if _, err := d.Create(ctx, "again", storage.CreateOptions{Exclusive: true}); !errors.Is(err, fs.ErrExist) {
		t.Errorf("exclusive over a link: %v", err)
	}
	if got := list(t, d, "dir"); !slices.Equal(got, []string{"f", "up"}) {
		t.Errorf("dir lists %q", got)
	}
	count := 0
	must(t, os.Symlink(".", filepath.Join(dir, "self")))
	for _, err := range storage.Walk(ctx, d, "") {
		must(t, err)
		count++
	}
	if count != 11 { // the root, d, d/e and two in it, other, and the five links
		t.Errorf("the walk met %d entries", count)
	}
	must(t, d.RemoveAll(ctx, "dir"))
	if got := read(t, d, "d/e/f"); got != "newer" {
		t.Errorf("after its link was removed the file reads %q", got)
	}
	must(t, d.Rename(ctx, "again", "moved", storage.RenameOptions{}))
	if got, err := os.Readlink(filepath.Join(dir, "moved")); err != nil || got != "file" {
		t.Errorf("the moved link is %q, %v", got, err)
	}
}

func TestModes(t *testing.T) {
	dir := t.TempDir()
	d := open(t, dir, Options{FileMode: 0o666, DirMode: 0o777})
	ctx := t.Context()
	must(t, putFile(ctx, d, "f", "x", storage.CommitOptions{}))
	must(t, d.Mkdir(ctx, "d"))
	mode := func(name string) fs.FileMode {
		info, err := os.Stat(filepath.Join(dir, name))
		must(t, err)
		return info.Mode()
	}
	if mode("f") != 0o666 || mode("d").Perm() != 0o777 || mode(storage.StagingName).Perm() != 0o700 {
		t.Errorf("modes are %v, %v, %v", mode("f"), mode("d"), mode(storage.StagingName))
	}
	must(t, os.Chmod(filepath.Join(dir, "f"), 0o604))
	must(t, putFile(ctx, d, "f", "y", storage.CommitOptions{}))
	if mode("f") != 0o604 {
		t.Errorf("the overwritten file has %v", mode("f"))
	}
	u, err := d.Create(ctx, "g", storage.CreateOptions{Size: -1, ModePerm: 0o751 | fs.ModeSetuid})
	must(t, err)
	_, err = u.Commit(ctx, storage.CommitOptions{})
	must(t, err)
	if mode("g") != 0o751 {
		t.Errorf("the file with a mode of its own has %v", mode("g"))
	}
}

// TestSuspendBesideFork has a child process that still holds the staged file, as one
// does between fork and exec, when the upload is suspended.
func TestSuspendBesideFork(t *testing.T) {
	d := open(t, t.TempDir(), Options{})
	ctx := t.Context()
	u, err := d.Create(ctx, "f", storage.CreateOptions{Size: -1})
	must(t, err)
	held, err := unix.Dup(int(u.(*upload).f.Fd()))
	must(t, err)
	defer unix.Close(held)
	token, err := u.Suspend(ctx, storage.SuspendOptions{})
	must(t, err)
	resumed, err := d.Resume(ctx, token)
	must(t, err)
	must(t, resumed.Abort(ctx))
}

// TestTwoProcesses has two Disks on one folder, as two processes would.
func TestTwoProcesses(t *testing.T) {
	dir := t.TempDir()
	disks := []*Disk{open(t, dir, Options{}), open(t, dir, Options{})}
	ctx := t.Context()
	u, err := disks[0].Create(ctx, "f", storage.CreateOptions{Size: -1})
	must(t, err)
	_, err = u.WriteAt([]byte("x"), 0)
	must(t, err)
	must(t, disks[1].Sweep(ctx))
	open(t, dir, Options{}) // sweeps too
	token, err := u.Checkpoint(ctx)
	must(t, err)
	if _, err := disks[1].Resume(ctx, token); !errors.Is(err, storage.ErrBusy) {
		t.Errorf("resume what another process has open: %v", err)
	}
	_, err = u.Commit(ctx, storage.CommitOptions{})
	must(t, err)

	must(t, putFile(ctx, disks[0], "n", "0", storage.CommitOptions{}))
	var wg sync.WaitGroup
	for i := range 4 {
		wg.Go(func() {
			d := disks[i%2]
			for range 5 {
				increment(t, d)
			}
		})
	}
	wg.Wait()
	if got := read(t, disks[0], "n"); got != "20" {
		t.Errorf("counted to %s, want 20", got)
	}
}

func increment(t *testing.T, d *Disk) {
	for {
		f, err := d.Open(t.Context(), "n")
		if err != nil {
			t.Error(err)
			return
		}
		var b [8]byte
		n, _ := f.ReadAt(b[:], 0)
		f.Close()
		var count int
		fmt.Sscan(string(b[:n]), &count)
		err = putFile(t.Context(), d, "n", fmt.Sprint(count+1), storage.CommitOptions{IfMatch: f.Info().ETag})
		if err == nil {
			return
		}
		if !errors.Is(err, storage.ErrPrecondition) {
			t.Error(err)
			return
		}
	}
}

// TestSweep leaves in staging what a sweep must know.
func TestSweep(t *testing.T) {
	dir := t.TempDir()
	d := open(t, dir, Options{})
	ctx := t.Context()
	keep := func(name string, until time.Time) storage.Token {
		u, err := d.Create(ctx, name, storage.CreateOptions{Size: -1})
		must(t, err)
		token, err := u.Suspend(ctx, storage.SuspendOptions{Until: until})
		must(t, err)
		return token
	}
	kept := keep("kept", time.Time{})
	expired := keep("expired", time.Now().Add(-time.Second))
	published := keep("published", time.Time{})
	staging := filepath.Join(dir, storage.StagingName)
	must(t, os.Link(filepath.Join(staging, string(published)+partSuffix), filepath.Join(dir, "published")))
	orphan := uploadid.New()
	for _, suffix := range []string{sidecarSuffix, newSuffix} {
		writeFile(t, staging, uploadid.New()+suffix, "{}")
	}
	writeFile(t, staging, orphan+partSuffix, "x")
	writeFile(t, staging, string(kept)+newSuffix, "half")
	torn := uploadid.New()
	writeFile(t, staging, torn+partSuffix, "x")
	writeFile(t, staging, torn+sidecarSuffix, `{"name":"../../etc/x","size":1}`)
	must(t, os.MkdirAll(filepath.Join(staging, uploadid.New()+trashSuffix, "a/b"), 0o700))
	writeFile(t, staging, "not ours", "x")
	for _, token := range []storage.Token{expired, published, storage.Token(torn), storage.Token(orphan)} {
		if _, err := d.Resume(ctx, token); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("resume of a leftover: %v", err)
		}
	}
	must(t, d.Sweep(ctx))
	entries, err := os.ReadDir(staging)
	must(t, err)
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	want := []string{string(kept) + partSuffix, string(kept) + sidecarSuffix, lockName, "not ours"}
	slices.Sort(want)
	if !slices.Equal(names, want) {
		t.Errorf("staging holds %q, want %q", names, want)
	}
	if _, err := d.Stat(ctx, "published"); err != nil {
		t.Errorf("the published file: %v", err)
	}
	u, err := d.Resume(ctx, kept)
	must(t, err)
	must(t, u.Abort(ctx))
}

func TestOpenErrors(t *testing.T) {
	dir := t.TempDir()
	if _, err := Open(filepath.Join(dir, "no"), Options{}); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a folder that is not there: %v", err)
	}
	must(t, os.Symlink("/tmp", filepath.Join(dir, storage.StagingName)))
	if _, err := Open(dir, Options{}); err == nil {
		t.Error("a staging folder that is a link was taken")
	}
}

func TestNoRoom(t *testing.T) {
	d := open(t, t.TempDir(), Options{})
	_, err := d.Create(t.Context(), "f", storage.CreateOptions{Size: 1 << 61})
	if !errors.Is(err, storage.ErrNoSpace) {
		t.Errorf("an upload larger than the disk: %v", err)
	} else if s := err.Error(); !strings.Contains(s, "2305843009213693952 bytes are to be written") {
		t.Errorf("it does not say how much is needed: %s", s)
	}
	space, err := d.Space(t.Context(), "")
	if err != nil || space.Total < space.Free || space.Free < space.Available || space.Total == 0 {
		t.Errorf("space is %+v, %v", space, err)
	}
}

func TestErrnos(t *testing.T) {
	d := open(t, t.TempDir(), Options{})
	for errno, want := range map[syscall.Errno]error{
		syscall.ENOSPC: storage.ErrNoSpace, syscall.EDQUOT: storage.ErrNoSpace, syscall.EFBIG: storage.ErrNoSpace,
		syscall.EROFS: fs.ErrPermission, syscall.EXDEV: storage.ErrCrossMount, syscall.ENAMETOOLONG: storage.ErrName,
		syscall.EIO: syscall.EIO,
	} {
		err := d.fail("write", "name", &fs.PathError{Op: "x", Path: "/machine/path", Err: &os.SyscallError{Syscall: "y", Err: errno}})
		if !errors.Is(err, want) || strings.Contains(err.Error(), "machine") {
			t.Errorf("%v becomes %v, want %v", errno, err, want)
		}
	}
}

// TestOutsider has somebody who knows no locks of ours take the name at the last
// moment before it is published.
func TestOutsider(t *testing.T) {
	for what, o := range map[string]Options{"rename": {}, "link": {noRenameat2: true}} {
		dir := t.TempDir()
		o.step = func(step string) {
			if step == "synced" || step == "moving" {
				writeFile(t, dir, "f", "theirs")
			}
		}
		d := open(t, dir, o)
		err := putFile(t.Context(), d, "f", "mine", storage.CommitOptions{IfNoneMatch: true})
		if !errors.Is(err, fs.ErrExist) || read(t, d, "f") != "theirs" {
			t.Errorf("%s: commit: %v, the file reads %q", what, err, read(t, d, "f"))
		}
		if what == "link" { // Rename promises less there
			continue
		}
		must(t, os.Remove(filepath.Join(dir, "f")))
		writeFile(t, dir, "g", "mine")
		err = d.Rename(t.Context(), "g", "f", storage.RenameOptions{})
		if !errors.Is(err, fs.ErrExist) || read(t, d, "f") != "theirs" {
			t.Errorf("rename: %v, the file reads %q", err, read(t, d, "f"))
		}
	}
}

// TestSettle checks what the uniqueness of ETags rests on: a version goes only after the
// clock of the file system has moved on.
func TestSettle(t *testing.T) {
	dir := t.TempDir()
	d := open(t, dir, Options{})
	for range 3 {
		writeFile(t, dir, "f", "x")
		e, err := d.look("f")
		must(t, err)
		must(t, settle(t.Context(), e))
		if age := time.Since(time.Unix(e.Sys().(*syscall.Stat_t).Ctim.Unix())); age <= tick {
			t.Errorf("settled after %v, a tick is %v", age, tick)
		}
	}
}
