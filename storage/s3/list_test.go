package s3

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"gateway/storage"
	"gateway/tests/servers"
)

// TestRealListMany lists 20,000 files, or as many as GATEWAY_S3_FILES says (100,000 take versitygw a minute): one request for each
// 1,000 and none for an entry, in memory that does not grow with them.
func TestRealListMany(t *testing.T) {
	server := servers.StartS3(t, servers.VersityGW)
	o := options(server, false)
	calls := record(&o)
	s := openStore(t, o)
	files := 20_000
	if n, err := strconv.Atoi(os.Getenv("GATEWAY_S3_FILES")); err == nil {
		files = n
	}
	dir := filepath.Join(server.Folder(o.Bucket), o.Prefix, "many")
	noErr(t, "make folder", os.MkdirAll(dir, 0o755))
	for i := range files {
		noErr(t, "make file", os.WriteFile(filepath.Join(dir, fmt.Sprintf("file with a long enough name %06d", i)), nil, 0o644))
	}
	calls.reset()
	n, before, most := 0, heap(), uint64(0)
	for info, err := range s.List(t.Context(), "many") {
		noErr(t, "list", err)
		if want := fmt.Sprintf("file with a long enough name %06d", n); info.Name != want {
			t.Fatalf("entry %d is %q, want %q", n, info.Name, want)
		}
		if n++; n%5_000 == 0 {
			most = max(most, heap())
		}
	}
	if n != files {
		t.Errorf("%d entries, want %d", n, files)
	}
	if lists := calls.count("GET", "list-type=2"); lists > files/listPage+2 {
		t.Errorf("%d listings for %d pages", lists, files/listPage)
	}
	if all := len(calls.calls); all > files/listPage+2 {
		t.Errorf("%d requests for %d pages", all, files/listPage)
	}
	if grown := int64(most) - int64(before); grown > 16<<20 {
		t.Errorf("the heap grew by %d bytes", grown)
	}
}

func heap() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// TestRealListTimes lists files and directories of all kinds of names, with times of their own and without. A listing says the same as Stat,
// and takes one request more for the times.
func TestRealListTimes(t *testing.T) {
	o := options(servers.StartS3(t, serverKind()), false)
	calls := record(&o)
	s := openStore(t, o)
	names := []string{
		"a", "a!", "a b", "a-", "a.", "a.b", "a0", "a1", "ab", "a~", "a~b", "aé", "é", "日本", "0", "~", "!", "-a",
		strings.Repeat("n", 249), strings.Repeat("n", 250), strings.Repeat("n", 251), strings.Repeat("n", 255), strings.Repeat("é", 127),
	}
	r := rand.New(rand.NewPCG(1, 2))
	for range 60 {
		var b strings.Builder
		for range 1 + r.IntN(4) {
			b.WriteString([]string{"a", " ", "!", "/"[:0], "0", "1", "~", ".", "z", "é", "-", "x"}[r.IntN(12)])
		}
		if storage.ValidElement(b.String()) && strings.TrimSpace(b.String()) != "." { // MinIO refuses that one
			names = append(names, b.String())
		}
	}
	slices.Sort(names)
	names = slices.Compact(names)
	noErr(t, "mkdir", s.Mkdir(t.Context(), "d"))
	for i, name := range names {
		when := time.Date(1990+i%30, 1, 1, 0, 0, i, i, time.UTC)
		switch {
		case i%4 == 0 && len(name) < 240: // MinIO has no directories with longer names
			noErr(t, "mkdir", s.Mkdir(t.Context(), "d/"+name))
			noErr(t, "set time", s.SetModTime(t.Context(), "d/"+name, when))
		case i%4 == 1:
			put(t, s, "d/"+name, []byte(name), storage.CommitOptions{})
		default:
			put(t, s, "d/"+name, []byte(name), storage.CommitOptions{ModTime: when})
		}
	}
	want := map[string]storage.Info{}
	for i, name := range names {
		info, err := s.Stat(t.Context(), "d/"+name)
		noErr(t, "stat", err)
		if i%4 != 1 && info.ModTime.Year() != 1990+i%30 {
			t.Errorf("%q: the time is %v", name, info.ModTime)
		}
		want[name] = info
	}
	calls.reset()
	n := 0
	for info, err := range s.List(t.Context(), "d") {
		noErr(t, "list", err)
		n++
		if info != want[info.Name] {
			t.Errorf("%q: list says %+v, stat %+v", info.Name, info, want[info.Name])
		}
	}
	if n != len(names) {
		t.Errorf("%d entries, want %d", n, len(names))
	}
	if all := len(calls.calls); all > 3 {
		t.Errorf("%d requests for a page: %v", all, calls.calls)
	}
}

// TestRealDirectories looks at directories that were made by others, as nothing but keys with slashes, and at empty ones.
func TestRealDirectories(t *testing.T) {
	server := servers.StartS3(t, serverKind())
	o := options(server, false)
	s := openStore(t, o)
	noErr(t, "put", s.putOwn(t.Context(), s.fileKey("made/by/others"), []byte("x"), nil))
	for _, dir := range []string{"made", "made/by"} {
		info, err := s.Stat(t.Context(), dir)
		if err != nil || !info.IsDir() {
			t.Errorf("%s: %+v, %v", dir, info, err)
		}
	}
	noErr(t, "remove the only file", s.Remove(t.Context(), "made/by/others"))
	if info, err := s.Stat(t.Context(), "made/by"); err != nil || !info.IsDir() {
		t.Errorf("the directory went with its last file: %v", err)
	}
	put(t, s, "made/by/us", []byte("y"), storage.CommitOptions{})
	noErr(t, "rename the only file", s.Rename(t.Context(), "made/by/us", "us", storage.RenameOptions{}))
	noErr(t, "remove", s.Remove(t.Context(), "made/by"))
	noErr(t, "remove", s.Remove(t.Context(), "made"))
	want(t, s, "us", []byte("y"))
	// What is staged can be neither seen nor named.
	for info, err := range s.List(t.Context(), "") {
		if err != nil || info.Name != "us" {
			t.Errorf("listed is %q, %v", info.Name, err)
		}
	}
	wantNothingStaged(t, s)
}
