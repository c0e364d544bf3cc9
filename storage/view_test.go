package storage_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"strings"
	"testing"
	"time"

	"gateway/storage"
	"gateway/storage/disk"
	"gateway/storage/storagetest"
)

func newDisk(t *testing.T) *disk.Disk {
	t.Helper()
	d, err := disk.Open(t.TempDir(), disk.Options{})
	must(t, err)
	t.Cleanup(func() { d.Close() })
	return d
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func newView(t *testing.T, o storage.ViewOptions, mounts ...storage.Mount) *storage.View {
	t.Helper()
	v, err := storage.NewView(mounts, o)
	must(t, err)
	return v
}

// TestConformance runs the suite through views: of a whole disk, of a folder deep
// in one, and of a backend that offers nothing beyond storage.FS.
func TestConformance(t *testing.T) {
	t.Run("whole", func(t *testing.T) {
		storagetest.Test(t, func(t *testing.T) storage.FS {
			return newView(t, storage.ViewOptions{}, storage.Mount{FS: newDisk(t), Permissions: storage.PermReadWrite})
		})
	})
	t.Run("folder", func(t *testing.T) {
		storagetest.Test(t, func(t *testing.T) storage.FS {
			d := newDisk(t)
			must(t, storage.MkdirAll(t.Context(), d, "home/ann"))
			must(t, storage.MkdirAll(t.Context(), d, "home/bob"))
			o := storage.ViewOptions{User: "ann", Quota: storage.NewQuota(64 << 20)}
			return newView(t, o, storage.Mount{FS: d, Root: "home/ann", Permissions: storage.PermReadWrite})
		})
	})
	t.Run("plain", func(t *testing.T) {
		storagetest.Test(t, func(t *testing.T) storage.FS { return plain{newDisk(t)} })
	})
}

// plain hides what a backend can do beyond storage.FS.
type plain struct{ storage.FS }

func (p plain) Properties() storage.Properties {
	properties := p.FS.Properties()
	properties.Resume = false
	return properties
}

func (p plain) Create(ctx context.Context, name string, o storage.CreateOptions) (storage.Upload, error) {
	u, err := p.FS.Create(ctx, name, o)
	if err != nil {
		return nil, err
	}
	return plainUpload{u}, nil
}

type plainUpload struct{ storage.Upload }

func (plainUpload) Checkpoint(context.Context) (storage.Token, error) {
	return "", errors.ErrUnsupported
}

func put(ctx context.Context, fsys storage.FS, name, content string) error {
	_, err := storage.Put(ctx, fsys, name, strings.NewReader(content), storage.CreateOptions{Size: -1}, storage.CommitOptions{})
	return err
}

func get(t *testing.T, fsys storage.FS, name string) string {
	t.Helper()
	data, err := storage.ReadFile(t.Context(), fsys, name, 1<<20)
	must(t, err)
	return string(data)
}

func names(t *testing.T, fsys storage.FS, dir string) (list []string) {
	t.Helper()
	for info, err := range fsys.List(t.Context(), dir) {
		must(t, err)
		list = append(list, info.Name)
	}
	slices.Sort(list)
	return list
}

// verbs are all that a view can be asked, for the file "f", the directory "d" and
// new names.
var verbs = map[string]func(ctx context.Context, v *storage.View) error{
	"stat file": func(ctx context.Context, v *storage.View) error { _, err := v.Stat(ctx, "f"); return err },
	"stat dir":  func(ctx context.Context, v *storage.View) error { _, err := v.Stat(ctx, "d"); return err },
	"list": func(ctx context.Context, v *storage.View) error {
		for _, err := range v.List(ctx, "") {
			return err
		}
		return nil
	},
	"open": func(ctx context.Context, v *storage.View) error {
		f, err := v.Open(ctx, "f")
		if err == nil {
			err = f.Close()
		}
		return err
	},
	"create":    func(ctx context.Context, v *storage.View) error { return put(ctx, v, "new", "x") },
	"overwrite": func(ctx context.Context, v *storage.View) error { return put(ctx, v, "f", "x") },
	"edit": func(ctx context.Context, v *storage.View) error {
		u, err := v.Create(ctx, "f", storage.CreateOptions{Edit: true})
		if err == nil {
			_, err = u.Commit(ctx, storage.CommitOptions{})
		}
		return err
	},
	"copy": func(ctx context.Context, v *storage.View) error {
		_, err := storage.Copy(ctx, v, "f", "new", storage.CommitOptions{})
		return err
	},
	"copy over": func(ctx context.Context, v *storage.View) error {
		_, err := storage.Copy(ctx, v, "g", "f", storage.CommitOptions{})
		return err
	},
	"mkdir":      func(ctx context.Context, v *storage.View) error { return v.Mkdir(ctx, "new") },
	"remove":     func(ctx context.Context, v *storage.View) error { return v.Remove(ctx, "f") },
	"remove all": func(ctx context.Context, v *storage.View) error { return v.RemoveAll(ctx, "d") },
	"rename": func(ctx context.Context, v *storage.View) error {
		return v.Rename(ctx, "f", "new", storage.RenameOptions{})
	},
	"rename over": func(ctx context.Context, v *storage.View) error {
		return v.Rename(ctx, "f", "g", storage.RenameOptions{Replace: true})
	},
	"set time":     func(ctx context.Context, v *storage.View) error { return v.SetModTime(ctx, "f", time.Now()) },
	"set time dir": func(ctx context.Context, v *storage.View) error { return v.SetModTime(ctx, "d", time.Now()) },
}

func TestPermissions(t *testing.T) {
	all := func(except ...string) map[string]error {
		denied := map[string]error{}
		for verb := range verbs {
			if !slices.Contains(except, verb) {
				denied[verb] = fs.ErrPermission
			}
		}
		return denied
	}
	with := func(denied map[string]error, verb string, err error) map[string]error {
		denied[verb] = err
		return denied
	}
	const seeing = storage.PermList | storage.PermRead
	for _, test := range []struct {
		permissions storage.Permission
		denied      map[string]error
	}{
		{storage.PermReadWrite, nil},
		{0, with(all("stat dir"), "stat file", fs.ErrNotExist)},
		{storage.PermList, all("stat dir", "stat file", "list")},
		{storage.PermRead, all("stat dir", "stat file", "open")},
		{storage.PermReadOnly, all("stat dir", "stat file", "open", "list")},
		{seeing | storage.PermCreate, with(with(all("stat dir", "stat file", "open", "list", "create", "copy"), "overwrite", fs.ErrExist), "copy over", fs.ErrExist)},
		{seeing | storage.PermOverwrite, all("stat dir", "stat file", "open", "list", "overwrite", "copy over", "edit")},
		{seeing | storage.PermMkdir, all("stat dir", "stat file", "open", "list", "mkdir")},
		{seeing | storage.PermDelete, all("stat dir", "stat file", "open", "list", "remove", "remove all")},
		{seeing | storage.PermRename, with(all("stat dir", "stat file", "open", "list", "rename"), "rename over", fs.ErrExist)},
		{seeing | storage.PermSetTime, all("stat dir", "stat file", "open", "list", "set time", "set time dir")},
		{storage.PermDropBox, with(with(with(all("stat dir", "create", "mkdir", "set time dir"),
			"stat file", fs.ErrNotExist), "set time", fs.ErrNotExist), "overwrite", fs.ErrExist)},
	} {
		for verb, do := range verbs {
			d, ctx := newDisk(t), t.Context()
			must(t, put(ctx, d, "f", "F"))
			must(t, put(ctx, d, "g", "G"))
			must(t, d.Mkdir(ctx, "d"))
			v := newView(t, storage.ViewOptions{}, storage.Mount{FS: d, Permissions: test.permissions})
			err := do(ctx, v)
			want := test.denied[verb]
			if want == nil && err != nil || !errors.Is(err, want) {
				t.Errorf("permissions %b: %s: error is %v, want %v", test.permissions, verb, err, want)
			}
			if want != nil && (get(t, d, "f") != "F" || get(t, d, "g") != "G" || !slices.Equal(names(t, d, ""), []string{"d", "f", "g"})) {
				t.Errorf("permissions %b: %s was denied and happened", test.permissions, verb)
			}
		}
	}
}

func TestDropBox(t *testing.T) {
	d, ctx := newDisk(t), t.Context()
	must(t, put(ctx, d, "theirs", "secret"))
	v := newView(t, storage.ViewOptions{}, storage.Mount{FS: d, Permissions: storage.PermDropBox})
	must(t, put(ctx, v, "mine", "x"))
	info, err := v.Stat(ctx, "mine")
	if err != nil || info.Size != 1 {
		t.Errorf("my own upload is %+v, %v", info, err)
	}
	must(t, v.SetModTime(ctx, "mine", time.Now()))
	for _, name := range []string{"theirs", "nobody's", "theirs/x"} {
		if _, err := v.Stat(ctx, name); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("stat %s: %v", name, err)
		}
	}
	other := newView(t, storage.ViewOptions{}, storage.Mount{FS: d, Permissions: storage.PermDropBox})
	if _, err := other.Stat(ctx, "mine"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("what another view uploaded: %v", err)
	}
}

// TestOvertaken checks that whether an upload creates or overwrites is decided when
// it is published.
func TestOvertaken(t *testing.T) {
	d, ctx := newDisk(t), t.Context()
	const seeing = storage.PermList | storage.PermRead
	creator := newView(t, storage.ViewOptions{}, storage.Mount{FS: d, Permissions: seeing | storage.PermCreate})
	u, err := creator.Create(ctx, "f", storage.CreateOptions{Size: -1})
	must(t, err)
	must(t, put(ctx, d, "f", "theirs"))
	if _, err := u.Commit(ctx, storage.CommitOptions{}); !errors.Is(err, fs.ErrExist) {
		t.Errorf("create over a file that came meanwhile: %v", err)
	}
	must(t, u.Abort(ctx))

	overwriter := newView(t, storage.ViewOptions{}, storage.Mount{FS: d, Permissions: seeing | storage.PermOverwrite})
	u, err = overwriter.Create(ctx, "f", storage.CreateOptions{Size: -1})
	must(t, err)
	must(t, put(ctx, d, "f", "theirs again")) // no obstacle
	_, err = u.Commit(ctx, storage.CommitOptions{})
	must(t, err)
	u, err = overwriter.Create(ctx, "f", storage.CreateOptions{Size: -1})
	must(t, err)
	must(t, d.Remove(ctx, "f"))
	if _, err := u.Commit(ctx, storage.CommitOptions{}); !errors.Is(err, fs.ErrPermission) {
		t.Errorf("overwrite of a file that went meanwhile: %v", err)
	}
	if _, err := u.WriteAt([]byte("x"), 0); !errors.Is(err, fs.ErrClosed) {
		t.Errorf("write after a denied commit: %v", err)
	}
	if got := names(t, d, ""); len(got) != 0 {
		t.Errorf("there is %q", got)
	}
}

func TestMounts(t *testing.T) {
	ctx := t.Context()
	home, archive := newDisk(t), newDisk(t)
	must(t, storage.MkdirAll(ctx, home, "archive/2024/old"))
	must(t, storage.MkdirAll(ctx, home, "users/ann/d"))
	must(t, put(ctx, home, "archive/note", "note"))
	must(t, put(ctx, home, "archive/2024/hidden", "hidden"))
	must(t, put(ctx, archive, "a.txt", "A"))
	v := newView(t, storage.ViewOptions{},
		storage.Mount{FS: home, Permissions: storage.PermReadWrite},
		storage.Mount{Path: "/archive/2024/", FS: archive, Permissions: storage.PermReadOnly},
		storage.Mount{Path: "deep/er/ann", FS: home, Root: "users/ann", Permissions: storage.PermReadWrite},
		storage.Mount{Path: "later", FS: home, Root: "not/yet", Permissions: storage.PermReadWrite},
	)
	for dir, want := range map[string][]string{
		"":                {"archive", "deep", "later", "users"},
		"archive":         {"2024", "note"},
		"/archive//2024/": {"a.txt"},
		"deep":            {"er"},
		"deep/er":         {"ann"},
		"deep/er/ann":     {"d"},
		"later":           nil,
	} {
		if got := names(t, v, dir); !slices.Equal(got, want) {
			t.Errorf("%q lists %q, want %q", dir, got, want)
		}
		info, err := v.Stat(ctx, dir)
		if err != nil || !info.IsDir() {
			t.Errorf("%q is %+v, %v", dir, info, err)
		}
	}
	if got := get(t, v, "archive/2024/a.txt"); got != "A" {
		t.Errorf("a.txt reads %q", got)
	}
	replace := storage.RenameOptions{Replace: true}
	for what, test := range map[string]struct{ err, want error }{
		"open what is hidden":           {func() error { _, err := v.Open(ctx, "archive/2024/hidden"); return err }(), fs.ErrNotExist},
		"write to a read-only mount":    {put(ctx, v, "archive/2024/x", "x"), fs.ErrPermission},
		"put over a mount point":        {put(ctx, v, "archive/2024", "x"), storage.ErrIsDir},
		"put into a virtual directory":  {put(ctx, v, "deep/x", "x"), fs.ErrNotExist},
		"mkdir over a mount point":      {v.Mkdir(ctx, "archive/2024"), fs.ErrExist},
		"mkdir over a virtual one":      {v.Mkdir(ctx, "deep"), fs.ErrExist},
		"remove a mount point":          {v.Remove(ctx, "archive/2024"), fs.ErrPermission},
		"remove above a mount point":    {v.RemoveAll(ctx, "archive"), fs.ErrPermission},
		"remove a virtual directory":    {v.Remove(ctx, "deep/er"), fs.ErrPermission},
		"remove the root":               {v.RemoveAll(ctx, ""), fs.ErrPermission},
		"rename a mount point":          {v.Rename(ctx, "archive/2024", "x", replace), fs.ErrPermission},
		"rename above a mount point":    {v.Rename(ctx, "archive", "x", replace), fs.ErrPermission},
		"rename onto a mount point":     {v.Rename(ctx, "users", "deep/er/ann", replace), fs.ErrPermission},
		"rename across mounts":          {v.Rename(ctx, "archive/note", "deep/er/ann/note", replace), storage.ErrCrossMount},
		"rename from a read-only mount": {v.Rename(ctx, "archive/2024/a.txt", "a.txt", replace), fs.ErrPermission},
		"a name that climbs":            {put(ctx, v, "deep/er/ann/../../../x", "x"), storage.ErrName},
	} {
		if !errors.Is(test.err, test.want) {
			t.Errorf("%s: error is %v, want %v", what, test.err, test.want)
		}
	}
	_, err := storage.Copy(ctx, v, "archive/2024/a.txt", "deep/er/ann/a.txt", storage.CommitOptions{})
	must(t, err)
	if got := get(t, home, "users/ann/a.txt"); got != "A" {
		t.Errorf("the copy across mounts reads %q", got)
	}
	if _, err := v.Stat(ctx, "deep/er/ann/no"); err == nil || strings.Contains(err.Error(), "users") {
		t.Errorf("the error tells what is behind the mount: %v", err)
	}
}

func TestNoRootMount(t *testing.T) {
	ctx := t.Context()
	v := newView(t, storage.ViewOptions{}, storage.Mount{Path: "in", FS: newDisk(t), Permissions: storage.PermDropBox})
	if got := names(t, v, ""); !slices.Equal(got, []string{"in"}) {
		t.Errorf("the root lists %q", got)
	}
	if err := put(ctx, v, "x", "x"); !errors.Is(err, fs.ErrPermission) {
		t.Errorf("put beside the mounts: %v", err)
	}
	if _, err := v.Stat(ctx, "no/x"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("stat beside the mounts: %v", err)
	}
	must(t, put(ctx, v, "in/x", "x"))
}

// folding is a backend that does not tell case.
type folding struct{ storage.FS }

func (f folding) Properties() storage.Properties {
	p := f.FS.Properties()
	p.CaseSensitive = false
	return p
}

func TestFoldedMount(t *testing.T) {
	ctx, d := t.Context(), newDisk(t)
	must(t, d.Mkdir(ctx, "private"))
	v := newView(t, storage.ViewOptions{},
		storage.Mount{FS: folding{d}, Permissions: storage.PermReadWrite},
		storage.Mount{Path: "private", FS: folding{d}, Root: "private", Permissions: storage.PermReadOnly},
	)
	if err := put(ctx, v, "PRIVATE/x", "x"); !errors.Is(err, fs.ErrPermission) {
		t.Errorf("put past a mount point in another case: %v", err)
	}
}

func TestNewView(t *testing.T) {
	d := newDisk(t)
	for what, mounts := range map[string][]storage.Mount{
		"no backend": {{}},
		"same path":  {{Path: "a", FS: d}, {Path: "/a/", FS: d}},
		"bad path":   {{Path: "../a", FS: d}},
		"bad root":   {{Root: "../a", FS: d}},
	} {
		if _, err := storage.NewView(mounts, storage.ViewOptions{}); err == nil {
			t.Errorf("%s: no error", what)
		}
	}
}

func TestOwnUploads(t *testing.T) {
	ctx, d := t.Context(), newDisk(t)
	must(t, storage.MkdirAll(ctx, d, "home/ann"))
	mount := storage.Mount{Path: "a:b%", FS: d, Root: "home", Permissions: storage.PermReadWrite}
	ann := newView(t, storage.ViewOptions{User: "ann", MaxSuspended: 2}, mount)
	bob := newView(t, storage.ViewOptions{User: "bob"}, mount)
	suspend := func(name string) storage.Token {
		u, err := ann.Create(ctx, name, storage.CreateOptions{Owner: "bob", Size: -1})
		must(t, err)
		_, err = u.WriteAt([]byte("x"), 0)
		must(t, err)
		token, err := u.Suspend(ctx, storage.SuspendOptions{})
		must(t, err)
		return token
	}
	token := suspend("a:b%/ann/f")
	if _, err := bob.Resume(ctx, token); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("bob resumes ann's upload: %v", err)
	}
	if err := bob.Discard(ctx, token); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("bob discards ann's upload: %v", err)
	}
	for range bob.Suspended(ctx, "ann") {
		t.Error("bob sees ann's uploads")
	}
	u, err := ann.Resume(ctx, token)
	must(t, err)
	_, err = u.Commit(ctx, storage.CommitOptions{})
	must(t, err)
	if got := get(t, d, "home/ann/f"); got != "x" {
		t.Errorf("the resumed file reads %q", got)
	}
	for i := range 4 {
		suspend(fmt.Sprintf("a:b%%/ann/g%d", i))
	}
	var kept []string
	for s, err := range ann.Suspended(ctx, "") {
		must(t, err)
		kept = append(kept, s.Name)
	}
	slices.Sort(kept)
	if !slices.Equal(kept, []string{"a:b%/ann/g2", "a:b%/ann/g3"}) {
		t.Errorf("kept are %q", kept)
	}
}

func TestPutBrokenReader(t *testing.T) {
	ctx, d := t.Context(), newDisk(t)
	r := io.MultiReader(strings.NewReader("part"), iotestErr{})
	if _, err := storage.Put(ctx, d, "f", r, storage.CreateOptions{Size: -1}, storage.CommitOptions{}); !errors.Is(err, io.ErrClosedPipe) {
		t.Errorf("error is %v", err)
	}
	if got := names(t, d, ""); len(got) > 0 {
		t.Errorf("published: %q", got)
	}
}

type iotestErr struct{}

func (iotestErr) Read([]byte) (int, error) { return 0, io.ErrClosedPipe }
