package storagetest

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"strings"
	"testing"

	"gateway/storage"
)

func testCreate(t *testing.T, fsys storage.FS) {
	u := begin(t, fsys, "f", "world", unknown)
	write(t, u, "hello ", 5)
	write(t, u, "HELLO", 0)
	write(t, u, "end", 20) // the gap reads as zeros
	if u.Size() != 23 {
		t.Errorf("size is %d, want 23", u.Size())
	}
	content := "HELLOhello " + strings.Repeat("\x00", 9) + "end"
	staged := make([]byte, 30)
	if n, err := u.ReadAt(staged, 0); n != 23 || !errors.Is(err, io.EOF) || string(staged[:n]) != content {
		t.Errorf("staged are %q, %v", staged[:n], err)
	}
	wantNames(t, fsys, "")
	_, err := fsys.Stat(t.Context(), "f")
	wantErr(t, "stat before commit", err, fs.ErrNotExist)
	info, err := u.Commit(t.Context(), storage.CommitOptions{})
	noErr(t, "commit", err)
	if info.Name != "f" || info.Size != 23 {
		t.Errorf("published as %+v", info)
	}
	want(t, fsys, "f", content)
	put(t, fsys, "empty", "")
	want(t, fsys, "empty", "")
	wantNames(t, fsys, "", "empty", "f")

	u = begin(t, fsys, "g", "", unknown)
	if _, err := u.WriteAt([]byte("x"), -1); err == nil {
		t.Error("a negative offset is no error")
	}
	if err := u.Truncate(-1); err == nil {
		t.Error("a negative size is no error")
	}
	_, err = storage.Put(t.Context(), fsys, "short", strings.NewReader("x"), storage.CreateOptions{Size: 2}, storage.CommitOptions{})
	wantErr(t, "put fewer bytes than announced", err, io.ErrUnexpectedEOF)
	_, err = storage.Put(t.Context(), fsys, "long", strings.NewReader("xyz"), storage.CreateOptions{Size: 2}, storage.CommitOptions{})
	wantErr(t, "put more bytes than announced", err, storage.ErrTooLarge)
	wantNames(t, fsys, "", "empty", "f")
	_, err = storage.ReadFile(t.Context(), fsys, "f", 22)
	wantErr(t, "read more than allowed", err, storage.ErrTooLarge)
}

// testReplaced: an upload knows what was there when it was begun, and not what came since.
func testReplaced(t *testing.T, fsys storage.FS) {
	ctx := t.Context()
	fresh := begin(t, fsys, "a", "new", storage.CreateOptions{})
	defer fresh.Abort(ctx)
	if _, known := fresh.(storage.Replacer); !known {
		return // it asks Stat
	}
	old := put(t, fsys, "a", "old")
	_, err := storage.Replaced(ctx, fsys, "a", fresh)
	wantErr(t, "replaced, where nothing was", err, fs.ErrNotExist)
	over := begin(t, fsys, "a", "newer", storage.CreateOptions{})
	defer over.Abort(ctx)
	put(t, fsys, "a", "newest")
	info, err := storage.Replaced(ctx, fsys, "a", over)
	noErr(t, "replaced", err)
	if info.Name != "a" || info.Size != old.Size || info.ETag != old.ETag {
		t.Errorf("replaced: %+v, want %+v", info, old)
	}
}

func testConditions(t *testing.T, fsys storage.FS) {
	ctx := t.Context()
	_, err := begin(t, fsys, "f", "x", unknown).Commit(ctx, storage.CommitOptions{IfMatch: "other"})
	wantErr(t, "if-match of nothing", err, storage.ErrPrecondition)
	u := begin(t, fsys, "f", "first", unknown)
	info, err := u.Commit(ctx, storage.CommitOptions{IfNoneMatch: true})
	noErr(t, "if-none-match of nothing", err)
	_, err = fsys.Create(ctx, "f", storage.CreateOptions{Size: -1, Exclusive: true})
	wantErr(t, "exclusive over a file", err, fs.ErrExist)

	u = begin(t, fsys, "f", "second", unknown)
	_, err = u.Commit(ctx, storage.CommitOptions{IfNoneMatch: true})
	wantErr(t, "if-none-match of a file", err, fs.ErrExist)
	want(t, fsys, "f", "first")
	_, err = u.Commit(ctx, storage.CommitOptions{IfMatch: "other"})
	wantErr(t, "if-match of another", err, storage.ErrPrecondition)
	want(t, fsys, "f", "first")
	write(t, u, "SECOND", 0) // it is still open
	info2, err := u.Commit(ctx, storage.CommitOptions{IfMatch: info.ETag})
	noErr(t, "if-match", err)
	if info2.ETag == info.ETag {
		t.Errorf("both versions have ETag %s", info.ETag)
	}
	want(t, fsys, "f", "SECOND")

	u = begin(t, fsys, "g", "mine", storage.CreateOptions{Size: -1, Exclusive: true})
	put(t, fsys, "g", "theirs")
	_, err = u.Commit(ctx, storage.CommitOptions{})
	wantErr(t, "exclusive, overtaken", err, fs.ErrExist)
	want(t, fsys, "g", "theirs")
}

func testDigest(t *testing.T, fsys storage.FS) {
	ctx := t.Context()
	put(t, fsys, "f", "old")
	content := version(3)
	u := begin(t, fsys, "f", content, unknown)
	_, err := u.Commit(ctx, storage.CommitOptions{SHA256: digest(content + "x")})
	wantErr(t, "wrong digest", err, storage.ErrDigest)
	_, err = u.Commit(ctx, storage.CommitOptions{SHA256: []byte{}})
	wantErr(t, "empty digest", err, storage.ErrDigest)
	want(t, fsys, "f", "old")
	write(t, u, "V", 0) // what counts is the last write
	_, err = u.Commit(ctx, storage.CommitOptions{SHA256: digest(content)})
	wantErr(t, "digest of what was", err, storage.ErrDigest)
	_, err = u.Commit(ctx, storage.CommitOptions{SHA256: digest("V" + content[1:])})
	noErr(t, "right digest", err)
	want(t, fsys, "f", "V"+content[1:])
}

func testEdit(t *testing.T, fsys storage.FS) {
	ctx := t.Context()
	edit := storage.CreateOptions{Size: -1, Edit: true}
	_, err := fsys.Create(ctx, "f", edit)
	wantErr(t, "edit nothing", err, fs.ErrNotExist)
	put(t, fsys, "f", "hello world")
	u := begin(t, fsys, "f", "W", edit)
	write(t, u, "!", 11)
	if u.Size() != 12 {
		t.Errorf("size is %d, want 12", u.Size())
	}
	want(t, fsys, "f", "hello world")
	_, err = u.Commit(ctx, storage.CommitOptions{})
	noErr(t, "commit", err)
	want(t, fsys, "f", "Wello world!")
}

func testTruncate(t *testing.T, fsys storage.FS) {
	u := begin(t, fsys, "f", "hello world", unknown)
	noErr(t, "cut", u.Truncate(5))
	noErr(t, "extend", u.Truncate(8))
	if u.Size() != 8 {
		t.Errorf("size is %d, want 8", u.Size())
	}
	_, err := u.Commit(t.Context(), storage.CommitOptions{})
	noErr(t, "commit", err)
	want(t, fsys, "f", "hello\x00\x00\x00")
	u = begin(t, fsys, "g", "x", unknown)
	noErr(t, "cut to nothing", u.Truncate(0))
	_, err = u.Commit(t.Context(), storage.CommitOptions{})
	noErr(t, "commit", err)
	want(t, fsys, "g", "")
}

func testClosed(t *testing.T, fsys storage.FS) {
	ctx := t.Context()
	for what, end := range map[string]func(u storage.Upload) error{
		"commit": func(u storage.Upload) error { _, err := u.Commit(ctx, storage.CommitOptions{}); return err },
		"abort":  func(u storage.Upload) error { return u.Abort(ctx) },
	} {
		u := begin(t, fsys, what, "x", unknown)
		noErr(t, what, end(u))
		_, err := u.WriteAt([]byte("y"), 0)
		wantErr(t, "write after "+what, err, fs.ErrClosed)
		_, err = u.ReadAt(make([]byte, 1), 0)
		wantErr(t, "read after "+what, err, fs.ErrClosed)
		wantErr(t, "truncate after "+what, u.Truncate(0), fs.ErrClosed)
		_, err = u.Commit(ctx, storage.CommitOptions{})
		wantErr(t, "commit after "+what, err, fs.ErrClosed)
		noErr(t, "abort after "+what, u.Abort(ctx))
		if _, ok := fsys.(storage.Resumer); ok && fsys.Properties().Resume {
			_, err = u.Suspend(ctx, storage.SuspendOptions{})
			wantErr(t, "suspend after "+what, err, fs.ErrClosed)
		}
	}
	wantNames(t, fsys, "", "commit")
	want(t, fsys, "commit", "x")
}

func testAbort(t *testing.T, fsys storage.FS) {
	put(t, fsys, "f", "old")
	noErr(t, "abort", begin(t, fsys, "f", "new", unknown).Abort(t.Context()))
	noErr(t, "abort", begin(t, fsys, "g", "new", unknown).Abort(t.Context()))
	want(t, fsys, "f", "old")
	wantNames(t, fsys, "", "f")
	broken := io.MultiReader(strings.NewReader("new"), failing{})
	_, err := storage.Put(t.Context(), fsys, "f", broken, unknown, storage.CommitOptions{})
	wantErr(t, "put what breaks off", err, errBroken)
	want(t, fsys, "f", "old")
	wantNoneSuspended(t, fsys)
}

var errBroken = errors.New("the connection broke off")

type failing struct{}

func (failing) Read([]byte) (int, error) { return 0, errBroken }

func testCancel(t *testing.T, fsys storage.FS) {
	put(t, fsys, "f", "old")
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := fsys.Stat(ended, "f")
	wantErr(t, "stat", err, context.Canceled)
	_, err = fsys.Open(ended, "f")
	wantErr(t, "open", err, context.Canceled)
	_, err = fsys.Create(ended, "f", unknown)
	wantErr(t, "create", err, context.Canceled)
	wantErr(t, "mkdir", fsys.Mkdir(ended, "d"), context.Canceled)
	wantErr(t, "remove", fsys.Remove(ended, "f"), context.Canceled)
	wantErr(t, "rename", fsys.Rename(ended, "f", "g", storage.RenameOptions{}), context.Canceled)
	u := begin(t, fsys, "f", "new", unknown)
	_, err = u.Commit(ended, storage.CommitOptions{})
	wantErr(t, "commit", err, context.Canceled)
	want(t, fsys, "f", "old")
	noErr(t, "abort with an ended context", begin(t, fsys, "g", "x", unknown).Abort(ended))
	_, err = u.Commit(t.Context(), storage.CommitOptions{}) // it is still open
	noErr(t, "commit", err)
	want(t, fsys, "f", "new")
	wantNames(t, fsys, "", "f")
}

// testOpenVersion reads on from a file while its name changes hands.
func testOpenVersion(t *testing.T, fsys storage.FS) {
	ctx := t.Context()
	put(t, fsys, "f", version(1))
	f, err := fsys.Open(ctx, "f")
	noErr(t, "open", err)
	defer f.Close()
	check := func(when string) {
		t.Helper()
		data := make([]byte, f.Info().Size)
		if _, err := f.ReadAt(data, 0); err != nil && !errors.Is(err, io.EOF) {
			t.Fatalf("%s: %v", when, err)
		}
		if string(data) != version(1) {
			t.Fatalf("%s: it reads %s", when, brief(string(data)))
		}
	}
	put(t, fsys, "f", version(2))
	check("after an overwrite")
	noErr(t, "rename", fsys.Rename(ctx, "f", "g", storage.RenameOptions{}))
	check("after a rename")
	noErr(t, "remove", fsys.Remove(ctx, "g"))
	check("after a removal")
	noErr(t, "close", f.Close())
	if _, err := f.ReadAt(make([]byte, 1), 0); !errors.Is(err, fs.ErrClosed) {
		t.Errorf("read after close: %v", err)
	}
}
