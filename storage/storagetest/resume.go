package storagetest

import (
	"errors"
	"io/fs"
	"testing"
	"time"

	"gateway/storage"
)

// resumer is fsys as a storage.Resumer; nil where it is none.
func resumer(fsys storage.FS) storage.Resumer {
	if r, ok := fsys.(storage.Resumer); ok && fsys.Properties().Resume {
		return r
	}
	return nil
}

func suspended(t testing.TB, r storage.Resumer, owner string) []storage.Suspended {
	t.Helper()
	var list []storage.Suspended
	for s, err := range r.Suspended(t.Context(), owner) {
		noErr(t, "list suspended uploads", err)
		list = append(list, s)
	}
	return list
}

func wantNoneSuspended(t testing.TB, fsys storage.FS) {
	t.Helper()
	if r := resumer(fsys); r != nil {
		if list := suspended(t, r, ""); len(list) > 0 {
			t.Fatalf("suspended are %+v, want none", list)
		}
	}
}

func testResume(t *testing.T, fsys storage.FS) {
	r, ctx := resumer(fsys), t.Context()
	if r == nil {
		return
	}
	put(t, fsys, "f", "old")
	until := time.Now().Add(time.Hour)
	token, err := begin(t, fsys, "f", "hello ", unknown).Suspend(ctx, storage.SuspendOptions{Until: until})
	noErr(t, "suspend", err)
	want(t, fsys, "f", "old")
	wantNames(t, fsys, "", "f")
	list := suspended(t, r, "")
	if len(list) != 1 || list[0].Token != token || list[0].Name != "f" || list[0].Size != 6 || !list[0].Until.Equal(until) {
		t.Fatalf("suspended are %+v", list)
	}
	for _, unknown := range []storage.Token{"", "no", token + "0", "../x"} {
		_, err = r.Resume(ctx, unknown)
		wantErr(t, "resume an unknown token", err, fs.ErrNotExist)
		wantErr(t, "discard an unknown token", r.Discard(ctx, unknown), fs.ErrNotExist)
	}
	u, err := r.Resume(ctx, token)
	noErr(t, "resume", err)
	defer u.Abort(ctx)
	if u.Size() != 6 {
		t.Errorf("resumed at %d bytes, want 6", u.Size())
	}
	_, err = r.Resume(ctx, token)
	wantErr(t, "resume twice", err, storage.ErrBusy)
	wantErr(t, "discard what is open", r.Discard(ctx, token), storage.ErrBusy)
	write(t, u, "world", 6)
	_, err = u.Commit(ctx, storage.CommitOptions{SHA256: digest("hello world")})
	noErr(t, "commit", err)
	want(t, fsys, "f", "hello world")
	_, err = r.Resume(ctx, token)
	wantErr(t, "resume what was published", err, fs.ErrNotExist)
	wantNoneSuspended(t, fsys)

	token, err = begin(t, fsys, "g", "x", unknown).Suspend(ctx, storage.SuspendOptions{})
	noErr(t, "suspend", err)
	noErr(t, "discard", r.Discard(ctx, token))
	wantErr(t, "discard twice", r.Discard(ctx, token), fs.ErrNotExist)
	token, err = begin(t, fsys, "g", "x", unknown).Suspend(ctx, storage.SuspendOptions{Until: time.Now().Add(-time.Second)})
	noErr(t, "suspend", err)
	_, err = r.Resume(ctx, token)
	wantErr(t, "resume what has expired", err, fs.ErrNotExist)
	wantNoneSuspended(t, fsys)
}

func testCheckpoint(t *testing.T, fsys storage.FS) {
	r, ctx := resumer(fsys), t.Context()
	if r == nil {
		u := begin(t, fsys, "f", "x", unknown)
		_, err := u.Checkpoint(ctx)
		wantErr(t, "checkpoint", err, errors.ErrUnsupported)
		return
	}
	u := begin(t, fsys, "f", "one", unknown)
	token, err := u.Checkpoint(ctx)
	noErr(t, "checkpoint", err)
	write(t, u, "two", 3)
	again, err := u.Checkpoint(ctx)
	noErr(t, "checkpoint again", err)
	if again != token {
		t.Errorf("the token changed from %q to %q", token, again)
	}
	_, err = r.Resume(ctx, token)
	wantErr(t, "resume what is open", err, storage.ErrBusy)
	_, err = u.Commit(ctx, storage.CommitOptions{})
	noErr(t, "commit", err)
	want(t, fsys, "f", "onetwo")
	wantNoneSuspended(t, fsys)

	u = begin(t, fsys, "f", "three", unknown)
	_, err = u.Checkpoint(ctx)
	noErr(t, "checkpoint", err)
	noErr(t, "abort", u.Abort(ctx))
	wantNoneSuspended(t, fsys)
	want(t, fsys, "f", "onetwo")

	// A refused commit leaves the upload open to be kept.
	u = begin(t, fsys, "f", "four", unknown)
	_, err = u.Commit(ctx, storage.CommitOptions{IfNoneMatch: true})
	wantErr(t, "if-none-match", err, fs.ErrExist)
	token, err = u.Suspend(ctx, storage.SuspendOptions{})
	noErr(t, "suspend after a refused commit", err)
	u, err = r.Resume(ctx, token)
	noErr(t, "resume", err)
	_, err = u.Commit(ctx, storage.CommitOptions{})
	noErr(t, "commit", err)
	want(t, fsys, "f", "four")
}

func testOwners(t *testing.T, fsys storage.FS) {
	r, ctx := resumer(fsys), t.Context()
	if _, isView := fsys.(interface{ User() string }); r == nil || isView { // a view has one owner, its user
		return
	}
	for _, owner := range []string{"ann", "bob"} {
		u := begin(t, fsys, "f", "x", storage.CreateOptions{Size: -1, Owner: owner})
		_, err := u.Suspend(ctx, storage.SuspendOptions{})
		noErr(t, "suspend", err)
	}
	if list := suspended(t, r, "ann"); len(list) != 1 || list[0].Owner != "ann" {
		t.Errorf("ann's uploads are %+v", list)
	}
	if list := suspended(t, r, ""); len(list) != 2 {
		t.Errorf("all uploads are %+v", list)
	}
}
