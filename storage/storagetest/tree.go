package storagetest

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"testing"
	"time"

	"gateway/storage"
)

func testRoot(t *testing.T, fsys storage.FS) {
	info, err := fsys.Stat(t.Context(), "")
	noErr(t, "stat root", err)
	if !info.IsDir() || info.Name != "" || info.ETag != "" || info.Size != 0 {
		t.Errorf("the root is %+v", info)
	}
	wantNames(t, fsys, "")
	wantErr(t, "mkdir root", fsys.Mkdir(t.Context(), ""), fs.ErrExist)
	_, err = fsys.Open(t.Context(), "")
	wantErr(t, "open root", err, storage.ErrIsDir)
	_, err = fsys.Create(t.Context(), "", unknown)
	wantErr(t, "create root", err, storage.ErrIsDir)
	if fsys.Remove(t.Context(), "") == nil {
		t.Error("the root could be removed")
	}
	if fsys.Rename(t.Context(), "", "x", storage.RenameOptions{}) == nil {
		t.Error("the root could be renamed")
	}
}

func testNames(t *testing.T, fsys storage.FS) {
	list := []string{
		"plain", "with blank", " leading", "trailing ", "quote\"'`", "back\\slash", "-dash", "~tilde", "#hash", "per%cent",
		"q?u*e[s]t", "dots...", ".hidden", "..two", "ünïcödé", "日本語", "emoji😀", strings.Repeat("l", storage.MaxElement),
	}
	slices.Sort(list)
	for _, name := range list {
		clean, err := storage.CleanName(name)
		if err != nil || clean != name {
			t.Fatalf("%q is not clean: %q, %v", name, clean, err)
		}
		info := put(t, fsys, name, "in "+name)
		if info.Name != name {
			t.Errorf("published as %q, want %q", info.Name, name)
		}
	}
	wantNames(t, fsys, "", list...)
	for _, name := range list {
		want(t, fsys, name, "in "+name)
		info, err := fsys.Stat(t.Context(), name)
		noErr(t, "stat", err)
		if info.Name != name {
			t.Errorf("stat %q: name is %q", name, info.Name)
		}
	}
	if fsys.Properties().CaseSensitive {
		put(t, fsys, "case", "lower")
		put(t, fsys, "CASE", "upper")
		want(t, fsys, "case", "lower")
	}
	for _, name := range []string{"../x", "a/../../x", storage.StagingName, storage.StagingName + "/x"} {
		if _, err := fsys.Stat(t.Context(), name); err == nil {
			t.Errorf("stat %q is no error", name)
		}
		if _, err := fsys.Create(t.Context(), name, unknown); err == nil {
			t.Errorf("create %q is no error", name)
		}
	}
}

func testList(t *testing.T, fsys storage.FS) {
	noErr(t, "mkdir", fsys.Mkdir(t.Context(), "d"))
	noErr(t, "mkdir", fsys.Mkdir(t.Context(), "d/e"))
	put(t, fsys, "d/f", "four")
	begin(t, fsys, "d/staged", "nobody sees this", unknown)
	wantNames(t, fsys, "", "d/")
	wantNames(t, fsys, "d", "e/", "f")
	for info, err := range fsys.List(t.Context(), "d") {
		noErr(t, "list", err)
		stat, err := fsys.Stat(t.Context(), "d/"+info.Name)
		noErr(t, "stat", err)
		if info != stat {
			t.Errorf("list says %+v, stat %+v", info, stat)
		}
	}
	wantErr(t, "list a file", listErr(t, fsys, "d/f"), storage.ErrNotDir)
	wantErr(t, "list nothing", listErr(t, fsys, "no"), fs.ErrNotExist)
	wantErr(t, "list below a file", listErr(t, fsys, "d/f/g"), fs.ErrNotExist)
}

func testBigList(t *testing.T, fsys storage.FS) {
	const n = 600 // more than a backend would take at a time
	var list []string
	for i := range n {
		name := fmt.Sprintf("file%04d", i)
		list = append(list, name)
		put(t, fsys, name, "")
	}
	wantNames(t, fsys, "", list...)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	seen := 0
	for _, err := range fsys.List(ctx, "") {
		if err != nil {
			wantErr(t, "list with an ended context", err, context.Canceled)
			break
		}
		cancel()
		seen++
	}
	if seen == n {
		t.Error("the listing went on after its context ended")
	}
	for range fsys.List(t.Context(), "") {
		break // leaves nothing open
	}
}

func testErrors(t *testing.T, fsys storage.FS) {
	put(t, fsys, "f", "x")
	ctx := t.Context()
	_, statErr := fsys.Stat(ctx, "no")
	_, belowErr := fsys.Stat(ctx, "f/no")
	_, openErr := fsys.Open(ctx, "no")
	for what, err := range map[string]error{
		"stat":       statErr,
		"stat below": belowErr,
		"open":       openErr,
		"remove":     fsys.Remove(ctx, "no"),
		"rename":     fsys.Rename(ctx, "no", "g", storage.RenameOptions{}),
		"set time":   fsys.SetModTime(ctx, "no", time.Now()),
	} {
		wantErr(t, what, err, fs.ErrNotExist)
		if what != "stat below" && !isPathError(err, "no") {
			t.Errorf("%s: %v is no PathError for %q", what, err, "no")
		}
	}
	_, err := fsys.Create(ctx, "f/g", unknown)
	wantErr(t, "create below a file", err, storage.ErrNotDir)
	wantErr(t, "mkdir below a file", fsys.Mkdir(ctx, "f/g"), storage.ErrNotDir)
	_, err = fsys.Create(ctx, "no/g", unknown)
	wantErr(t, "create below nothing", err, fs.ErrNotExist)
	wantErr(t, "mkdir below nothing", fsys.Mkdir(ctx, "no/g"), fs.ErrNotExist)
}

func testMkdir(t *testing.T, fsys storage.FS) {
	ctx := t.Context()
	noErr(t, "mkdir", fsys.Mkdir(ctx, "d"))
	wantErr(t, "mkdir twice", fsys.Mkdir(ctx, "d"), fs.ErrExist)
	put(t, fsys, "f", "x")
	wantErr(t, "mkdir over a file", fsys.Mkdir(ctx, "f"), fs.ErrExist)
	_, err := fsys.Create(ctx, "d", unknown)
	wantErr(t, "create over a directory", err, storage.ErrIsDir)
	noErr(t, "mkdir all", storage.MkdirAll(ctx, fsys, "d/e/f"))
	noErr(t, "mkdir all again", storage.MkdirAll(ctx, fsys, "d/e/f"))
	wantErr(t, "mkdir all over a file", storage.MkdirAll(ctx, fsys, "f/g"), storage.ErrNotDir)
	var walked []string
	for e, err := range storage.Walk(ctx, fsys, "d") {
		noErr(t, "walk", err)
		walked = append(walked, e.Name)
	}
	if !slices.Equal(walked, []string{"d", "d/e", "d/e/f"}) {
		t.Errorf("walked %q", walked)
	}
}

func testRemove(t *testing.T, fsys storage.FS) {
	ctx := t.Context()
	noErr(t, "mkdir", fsys.Mkdir(ctx, "d"))
	put(t, fsys, "d/f", "x")
	wantErr(t, "remove a full directory", fsys.Remove(ctx, "d"), storage.ErrNotEmpty)
	want(t, fsys, "d/f", "x")
	noErr(t, "remove file", fsys.Remove(ctx, "d/f"))
	wantErr(t, "remove again", fsys.Remove(ctx, "d/f"), fs.ErrNotExist)
	if fsys.Properties().TrueDirectories {
		noErr(t, "remove directory", fsys.Remove(ctx, "d"))
		wantNames(t, fsys, "")
	}
}

func testRemoveAll(t *testing.T, fsys storage.FS) {
	ctx := t.Context()
	noErr(t, "mkdir all", storage.MkdirAll(ctx, fsys, "d/e/f"))
	put(t, fsys, "d/e/x", "x")
	put(t, fsys, "d/y", "y")
	put(t, fsys, "dd", "stays")
	noErr(t, "remove all", storage.RemoveAll(ctx, fsys, "d"))
	wantNames(t, fsys, "", "dd")
	wantErr(t, "remove all again", storage.RemoveAll(ctx, fsys, "d"), fs.ErrNotExist)
	noErr(t, "remove all of a file", storage.RemoveAll(ctx, fsys, "dd"))
	wantNames(t, fsys, "")
}

func testRename(t *testing.T, fsys storage.FS) {
	ctx := t.Context()
	keep, replace := storage.RenameOptions{}, storage.RenameOptions{Replace: true}
	put(t, fsys, "a", "A")
	noErr(t, "mkdir", fsys.Mkdir(ctx, "d"))
	noErr(t, "rename", fsys.Rename(ctx, "a", "d/b", keep))
	want(t, fsys, "d/b", "A")
	wantNames(t, fsys, "", "d/")
	put(t, fsys, "c", "C")
	wantErr(t, "rename onto a file", fsys.Rename(ctx, "c", "d/b", keep), fs.ErrExist)
	wantErr(t, "rename onto a directory", fsys.Rename(ctx, "c", "d", keep), fs.ErrExist)
	wantErr(t, "replace a directory by a file", fsys.Rename(ctx, "c", "d", replace), storage.ErrIsDir)
	wantErr(t, "replace a file by a directory", fsys.Rename(ctx, "d", "c", replace), storage.ErrNotDir)
	wantErr(t, "rename onto itself", fsys.Rename(ctx, "c", "c", keep), fs.ErrExist)
	noErr(t, "replace by itself", fsys.Rename(ctx, "c", "c", replace))
	want(t, fsys, "d/b", "A")
	want(t, fsys, "c", "C")
	noErr(t, "replace", fsys.Rename(ctx, "c", "d/b", replace))
	want(t, fsys, "d/b", "C")
	wantErr(t, "rename into nothing", fsys.Rename(ctx, "d/b", "no/b", keep), fs.ErrNotExist)
	wantErr(t, "rename below a file", fsys.Rename(ctx, "d", "d/b/c", keep), storage.ErrInvalidMove)
	put(t, fsys, "f", "F")
	wantErr(t, "rename below a file", fsys.Rename(ctx, "d/b", "f/x", keep), storage.ErrNotDir)
}

func testRenameDir(t *testing.T, fsys storage.FS) {
	ctx := t.Context()
	replace := storage.RenameOptions{Replace: true}
	noErr(t, "mkdir all", storage.MkdirAll(ctx, fsys, "d/e"))
	put(t, fsys, "d/e/f", "F")
	wantErr(t, "into itself", fsys.Rename(ctx, "d", "d/e/d", replace), storage.ErrInvalidMove)
	wantErr(t, "into itself at once", fsys.Rename(ctx, "d", "d/x", replace), storage.ErrInvalidMove)
	noErr(t, "rename directory", fsys.Rename(ctx, "d", "dd", storage.RenameOptions{}))
	want(t, fsys, "dd/e/f", "F")
	wantNames(t, fsys, "", "dd/")
	noErr(t, "mkdir", fsys.Mkdir(ctx, "g"))
	wantErr(t, "onto a directory", fsys.Rename(ctx, "dd", "g", storage.RenameOptions{}), fs.ErrExist)
	noErr(t, "replace an empty directory", fsys.Rename(ctx, "dd", "g", replace))
	want(t, fsys, "g/e/f", "F")
	noErr(t, "mkdir", fsys.Mkdir(ctx, "h"))
	wantErr(t, "replace a full directory", fsys.Rename(ctx, "h", "g", replace), storage.ErrNotEmpty)
	want(t, fsys, "g/e/f", "F")
}

func testCopy(t *testing.T, fsys storage.FS) {
	ctx := t.Context()
	content := version(1)
	put(t, fsys, "a", content)
	info, err := storage.Copy(ctx, fsys, "a", "b", storage.CommitOptions{SHA256: digest(content)})
	noErr(t, "copy", err)
	if info.Name != "b" || info.Size != int64(len(content)) {
		t.Errorf("the copy is %+v", info)
	}
	want(t, fsys, "b", content)
	put(t, fsys, "c", "C")
	_, err = storage.Copy(ctx, fsys, "c", "b", storage.CommitOptions{IfNoneMatch: true})
	wantErr(t, "copy onto a file", err, fs.ErrExist)
	want(t, fsys, "b", content)
	_, err = storage.Copy(ctx, fsys, "c", "b", storage.CommitOptions{})
	noErr(t, "copy over", err)
	want(t, fsys, "b", "C")
	want(t, fsys, "c", "C")
	_, err = storage.Copy(ctx, fsys, "c", "c", storage.CommitOptions{})
	wantErr(t, "copy onto itself", err, storage.ErrInvalidMove)
	_, err = storage.Copy(ctx, fsys, "no", "x", storage.CommitOptions{})
	wantErr(t, "copy nothing", err, fs.ErrNotExist)
	noErr(t, "mkdir", fsys.Mkdir(ctx, "d"))
	_, err = storage.Copy(ctx, fsys, "d", "x", storage.CommitOptions{})
	wantErr(t, "copy a directory", err, storage.ErrIsDir)
	_, err = storage.Copy(ctx, fsys, "a", "d", storage.CommitOptions{})
	wantErr(t, "copy onto a directory", err, storage.ErrIsDir)
	_, err = storage.Copy(ctx, fsys, "a", "x", storage.CommitOptions{SHA256: digest("other")})
	wantErr(t, "copy with a wrong digest", err, storage.ErrDigest)
	wantNames(t, fsys, "", "a", "b", "c", "d/")
}

func testAttributes(t *testing.T, fsys storage.FS) {
	ctx := t.Context()
	when := time.Date(2001, 2, 3, 4, 5, 6, 0, time.UTC)
	info, err := storage.Put(ctx, fsys, "f", strings.NewReader("x"), unknown, storage.CommitOptions{ModTime: when})
	noErr(t, "put with a time", err)
	if info.IsDir() || !info.Mode.IsRegular() || info.Size != 1 || info.ETag == "" {
		t.Errorf("the file is %+v", info)
	}
	for _, wrong := range []time.Time{time.Unix(1<<60, 0), time.Date(storage.MinYear-1, 1, 1, 0, 0, 0, 0, time.UTC)} {
		wantErr(t, "set a time nobody can keep", fsys.SetModTime(ctx, "f", wrong), fs.ErrInvalid)
	}
	_, err = storage.Put(ctx, fsys, "g", strings.NewReader("x"), unknown, storage.CommitOptions{ModTime: time.Unix(1<<60, 0)})
	wantErr(t, "put with a time nobody can keep", err, fs.ErrInvalid)
	if !fsys.Properties().ModTimes {
		return
	}
	wantTime := func(name string, when time.Time) {
		t.Helper()
		info, err := fsys.Stat(ctx, name)
		noErr(t, "stat", err)
		if !info.ModTime.Equal(when) {
			t.Errorf("%s: the time is %v, want %v", name, info.ModTime, when)
		}
	}
	wantTime("f", when)
	when = time.Date(1969, 7, 20, 20, 17, 40, 0, time.UTC)
	noErr(t, "set time", fsys.SetModTime(ctx, "f", when))
	wantTime("f", when)
	want(t, fsys, "f", "x")
	noErr(t, "mkdir", fsys.Mkdir(ctx, "d"))
	noErr(t, "set time of a directory", fsys.SetModTime(ctx, "d", when))
	wantTime("d", when)
}

// testETag replaces a file by others that look alike in every way a client controls.
func testETag(t *testing.T, fsys storage.FS) {
	ctx := t.Context()
	when := time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC)
	seen := map[string]string{}
	for i := range 12 {
		content := fmt.Sprintf("%04d", i)
		info, err := storage.Put(ctx, fsys, "f", strings.NewReader(content), unknown, storage.CommitOptions{ModTime: when})
		noErr(t, "put", err)
		if old, taken := seen[info.ETag]; taken {
			t.Fatalf("ETag %s for %s and for %s", info.ETag, old, content)
		}
		seen[info.ETag] = content
		get(t, fsys, "f")
		stat, err := fsys.Stat(ctx, "f")
		noErr(t, "stat", err)
		if stat != info {
			t.Fatalf("commit said %+v, stat says %+v", info, stat)
		}
		f, err := fsys.Open(ctx, "f")
		noErr(t, "open", err)
		if f.Info() != info {
			t.Fatalf("commit said %+v, open says %+v", info, f.Info())
		}
		noErr(t, "close", f.Close())
		if i%3 == 2 {
			noErr(t, "remove", fsys.Remove(ctx, "f"))
		}
	}
	if _, err := fsys.Stat(ctx, "f"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("after removal: %v", err)
	}
}
