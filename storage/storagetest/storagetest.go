// Package storagetest holds every storage.FS, and every wrapper of one, to the
// promise of package storage. A backend's own test is a call of [Test].
//
// It uses what an FS implements of the optional interfaces, and asks for no more than
// its Properties declare.
package storagetest

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"slices"
	"strings"
	"testing"

	"gateway/storage"
)

// Test runs the suite. newFS returns an empty tree, a new one for each call.
func Test(t *testing.T, newFS func(t *testing.T) storage.FS) {
	for _, part := range []struct {
		name string
		run  func(t *testing.T, fsys storage.FS)
	}{
		{"Root", testRoot},
		{"Names", testNames},
		{"List", testList},
		{"BigList", testBigList},
		{"Errors", testErrors},
		{"Create", testCreate},
		{"Replaced", testReplaced},
		{"Conditions", testConditions},
		{"Attributes", testAttributes},
		{"ETag", testETag},
		{"Digest", testDigest},
		{"Edit", testEdit},
		{"Truncate", testTruncate},
		{"Closed", testClosed},
		{"Abort", testAbort},
		{"Cancel", testCancel},
		{"OpenVersion", testOpenVersion},
		{"Mkdir", testMkdir},
		{"Remove", testRemove},
		{"RemoveAll", testRemoveAll},
		{"Rename", testRename},
		{"RenameDir", testRenameDir},
		{"Copy", testCopy},
		{"Exclusive", testExclusiveRace},
		{"IfMatch", testIfMatchRace},
		{"Readers", testReaders},
		{"Concurrent", testConcurrent},
		{"Resume", testResume},
		{"Checkpoint", testCheckpoint},
		{"Owners", testOwners},
		{"Writes", testWrites},
		{"Tree", testTree},
	} {
		t.Run(part.name, func(t *testing.T) { part.run(t, newFS(t)) })
	}
}

// put publishes content under name.
func put(t testing.TB, fsys storage.FS, name, content string) storage.Info {
	t.Helper()
	info, err := storage.Put(t.Context(), fsys, name, strings.NewReader(content), storage.CreateOptions{Size: int64(len(content))}, storage.CommitOptions{})
	if err != nil {
		t.Fatalf("put %q: %v", name, err)
	}
	return info
}

// get reads a file whole.
func get(t testing.TB, fsys storage.FS, name string) string {
	t.Helper()
	data, err := storage.ReadFile(t.Context(), fsys, name, 64<<20)
	if err != nil {
		t.Fatalf("read %q: %v", name, err)
	}
	return string(data)
}

func want(t testing.TB, fsys storage.FS, name, content string) {
	t.Helper()
	if got := get(t, fsys, name); got != content {
		t.Fatalf("%q holds %s, want %s", name, brief(got), brief(content))
	}
}

// brief shows enough of s to tell versions apart.
func brief(s string) string {
	if len(s) > 40 {
		return fmt.Sprintf("%q... (%d bytes)", s[:40], len(s))
	}
	return fmt.Sprintf("%q", s)
}

func wantErr(t testing.TB, what string, err, target error) {
	t.Helper()
	if !errors.Is(err, target) {
		t.Fatalf("%s: error is %v, want %v", what, err, target)
	}
}

func noErr(t testing.TB, what string, err error) {
	t.Helper()
	if err != nil {
		t.Fatalf("%s: %v", what, err)
	}
}

// names lists a directory, sorted; directories end in a slash.
func names(t testing.TB, fsys storage.FS, dir string) []string {
	t.Helper()
	seen := map[string]bool{}
	for info, err := range fsys.List(t.Context(), dir) {
		noErr(t, "list "+dir, err)
		name := info.Name
		if info.IsDir() {
			name += "/"
		}
		if seen[name] {
			t.Fatalf("list %q: %q comes twice", dir, name)
		}
		seen[name] = true
	}
	return slices.Sorted(maps.Keys(seen))
}

func wantNames(t testing.TB, fsys storage.FS, dir string, list ...string) {
	t.Helper()
	if got := names(t, fsys, dir); !slices.Equal(got, list) {
		t.Fatalf("list %q: %q, want %q", dir, got, list)
	}
}

// listErr is the error that ends a listing.
func listErr(t testing.TB, fsys storage.FS, dir string) error {
	for _, err := range fsys.List(t.Context(), dir) {
		if err != nil {
			return err
		}
	}
	return nil
}

// begin creates an upload and writes content into it.
func begin(t testing.TB, fsys storage.FS, name, content string, o storage.CreateOptions) storage.Upload {
	t.Helper()
	u, err := fsys.Create(t.Context(), name, o)
	noErr(t, "create "+name, err)
	t.Cleanup(func() { u.Abort(t.Context()) })
	write(t, u, content, 0)
	return u
}

func write(t testing.TB, u io.WriterAt, content string, off int64) {
	t.Helper()
	if n, err := u.WriteAt([]byte(content), off); err != nil || n != len(content) {
		t.Fatalf("write %d bytes at %d: %d, %v", len(content), off, n, err)
	}
}

var unknown = storage.CreateOptions{Size: -1}

func digest(content string) []byte {
	sum := sha256.Sum256([]byte(content))
	return sum[:]
}

// version is a content that tells which version it is, and whether it is whole.
func version(i int) string {
	line := fmt.Sprintf("version %d\n", i)
	return string(bytes.Repeat([]byte(line), 2000+i%7*1000))
}

// whole reports whether s is a version, and which.
func whole(s string) (int, bool) {
	var i int
	if _, err := fmt.Sscanf(s, "version %d\n", &i); err != nil {
		return 0, false
	}
	return i, s == version(i)
}

func isPathError(err error, name string) bool {
	var p *fs.PathError
	return errors.As(err, &p) && p.Path == name
}
