package webdav

import (
	"path/filepath"
	"slices"
	"testing"

	"gateway/auth"
	"gateway/storage"
	"gateway/storage/disk"
)

// testUsers are the users of the tests; each one's password is the name. alice
// and bob share a folder, in which bob's root is a folder further down.
func testUsers() []auth.User {
	user := func(name, folder string, p storage.Permission) auth.User {
		return auth.User{Name: name, Mounts: []auth.Mount{{Folder: folder, Permissions: auth.Permissions(p)}}}
	}
	return []auth.User{
		user("alice", "shared", storage.PermReadWrite),
		user("bob", "shared", storage.PermReadWrite),
		user("deep", "shared/d", storage.PermReadWrite),
		user("reader", "shared", storage.PermReadOnly),
		user("dropper", "shared", storage.PermDropBox),
		{Name: "mounts", Mounts: []auth.Mount{
			{Path: "one", Folder: "shared", Permissions: auth.Permissions(storage.PermReadWrite)},
			{Path: "two/again", Folder: "shared", Permissions: auth.Permissions(storage.PermReadWrite)},
		}},
	}
}

func findUser(name string) (auth.User, bool) {
	users := testUsers()
	i := slices.IndexFunc(users, func(u auth.User) bool { return u.Name == name })
	if i < 0 {
		return auth.User{}, false
	}
	return users[i], true
}

// newTrees opens a folder on disk and returns each user's view of it, and where
// the shared folder is.
func newTrees(t *testing.T) (open func(user string) storage.FS, dir string) {
	t.Helper()
	dir = t.TempDir()
	d, err := disk.Open(dir, disk.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	})
	if err := d.Mkdir(t.Context(), "shared"); err != nil {
		t.Fatal(err)
	}
	return func(name string) storage.FS {
		u, ok := findUser(name)
		if !ok {
			t.Errorf("no user %q", name)
		}
		return viewOf(t, d, u)
	}, filepath.Join(dir, "shared")
}

func viewOf(t *testing.T, d storage.FS, u auth.User) storage.FS {
	var mounts []storage.Mount
	for _, m := range u.Mounts {
		mounts = append(mounts, storage.Mount{Path: m.Path, FS: d, Root: m.Folder, Permissions: storage.Permission(m.Permissions)})
	}
	v, err := storage.NewView(mounts, storage.ViewOptions{User: u.Name})
	if err != nil {
		t.Error(err)
	}
	return v
}
