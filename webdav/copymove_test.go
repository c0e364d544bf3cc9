package webdav

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"gateway/storage"
	"gateway/storage/disk"
)

// TestGuards sends every COPY and MOVE that must change nothing.
func TestGuards(t *testing.T) {
	before := map[string]string{"a": "1", "b": "2", "d/": "", "d/x": "3", "d/e/": "", "d/e/y": "4"}
	s := start(t)
	s.put(before)
	for _, tt := range []struct {
		from, header string
		want         int
	}{
		{"/none", "Destination: /new", 404},
		{"/none", "Destination: /a", 404},
		{"/a/none", "Destination: /new", 404},
		{"/a", "Destination: /a", 403},
		{"/a", "Destination: http://$HOST//a", 403},
		{"/d", "Destination: /d/", 403},
		{"/d", "Destination: /d/e/new", 403},
		{"/d", "Destination: /d/new", 403},
		{"/d", "Destination: /d/e", 403},
		{"/d/e", "Destination: /d", 403},
		{"/d/x", "Destination: /d", 403},
		{"/d/e/y", "Destination: /d", 403},
		{"/d", "Destination: /", 403},
		{"/", "Destination: /d", 403},
		{"/", "Destination: /new", 403},
		{"/a", "Destination: /no/new", 409},
		{"/a", "Destination: /b/new", 409},
		{"/d", "Destination: /no/new", 409},
		{"/a", "Destination: /b\nOverwrite: F", 412},
		{"/a", "Destination: /d\nOverwrite: F", 412},
		{"/d", "Destination: /a\nOverwrite: F", 412},
		{"/a", "Destination: /b\nOverwrite: maybe", 400},
		{"/a", "Destination: /new\nDepth: 1", 400},
		{"/a", "Destination: /new\nDepth: many", 400},
		{"/a", "Destination: http://elsewhere.example/new", 502},
		{"/a", "Destination: http://127.0.0.1:1/new", 502},
		{"/a", "Destination: ftp://$HOST/new", 502},
		{"/a", "Destination: //elsewhere.example/new", 502},
		{"/a", "Destination: new", 400},
		{"/a", "Destination: /new?x", 400},
		{"/a", "Destination: /x%2Fnew", 400},
		{"/a", "Destination: /../new", 400},
		{"/a", "Destination: /%2e%2e/new", 400},
		{"/a", "Destination: /new%zz", 400},
		{"/a", "", 400},
		{"/a", `Destination: /b` + "\n" + `If-Match: "no"`, 412},
		{"/a", "Destination: /b\nIf: (<urn:uuid:none>)", 412},
	} {
		for _, method := range []string{"COPY", "MOVE"} {
			if a := s.send(step{method: method, path: tt.from, header: tt.header}); a.status != tt.want {
				t.Errorf("%s %s %q: %d, want %d", method, tt.from, tt.header, a.status, tt.want)
			}
		}
	}
	s.wantFiles(before)
}

func TestCopyMove(t *testing.T) {
	tree := map[string]string{"a": "1", "b": "2", "d/": "", "d/x": "3", "d/e/": "", "d/e/y": "4", "o/": "", "o/old": "5"}
	for _, tt := range []struct {
		name, method, from, header string
		want                       int
		change                     map[string]string // "-" removes
	}{
		{"file", "COPY", "/a", "Destination: /c", 201, map[string]string{"c": "1"}},
		{"file, full URL", "COPY", "/a", "Destination: http://$HOST/c%20d", 201, map[string]string{"c d": "1"}},
		{"file over file", "COPY", "/a", "Destination: /b", 204, map[string]string{"b": "1"}},
		{"file over file, T", "COPY", "/a", "Destination: /b\nOverwrite: T", 204, map[string]string{"b": "1"}},
		{"file, F", "COPY", "/a", "Destination: /c\nOverwrite: F", 201, map[string]string{"c": "1"}},
		{"file over folder", "COPY", "/a", "Destination: /o", 204, map[string]string{"o/": "-", "o/old": "-", "o": "1"}},
		{"folder", "COPY", "/d", "Destination: /n/", 201, map[string]string{"n/": "", "n/x": "3", "n/e/": "", "n/e/y": "4"}},
		{"folder, depth 0", "COPY", "/d", "Destination: /n\nDepth: 0", 201, map[string]string{"n/": ""}},
		{"folder over folder", "COPY", "/d", "Destination: /o", 204, map[string]string{"o/old": "-", "o/x": "3", "o/e/": "", "o/e/y": "4"}},
		{"folder over file", "COPY", "/d", "Destination: /a", 204, map[string]string{"a": "-", "a/": "", "a/x": "3", "a/e/": "", "a/e/y": "4"}},
		{"prefix is no parent", "COPY", "/d", "Destination: /dd", 201, map[string]string{"dd/": "", "dd/x": "3", "dd/e/": "", "dd/e/y": "4"}},
		{"file", "MOVE", "/a", "Destination: /c", 201, map[string]string{"a": "-", "c": "1"}},
		{"file over file", "MOVE", "/a", "Destination: /b", 204, map[string]string{"a": "-", "b": "1"}},
		{"file over folder", "MOVE", "/a", "Destination: /o", 204, map[string]string{"a": "-", "o/": "-", "o/old": "-", "o": "1"}},
		{"folder", "MOVE", "/d", "Destination: /n", 201, map[string]string{"d/": "-", "d/x": "-", "d/e/": "-", "d/e/y": "-", "n/": "", "n/x": "3", "n/e/": "", "n/e/y": "4"}},
		{"folder over folder", "MOVE", "/d/e", "Destination: /o", 204, map[string]string{"d/e/": "-", "d/e/y": "-", "o/old": "-", "o/y": "4"}},
		{"folder over file", "MOVE", "/o", "Destination: /a", 204, map[string]string{"o/": "-", "o/old": "-", "a": "-", "a/": "", "a/old": "5"}},
		{"folder, depth 0", "MOVE", "/d", "Destination: /n\nDepth: 0", 400, nil},
	} {
		t.Run(tt.method+" "+tt.name, func(t *testing.T) {
			s := start(t)
			s.put(tree)
			s.run(step{method: tt.method, path: tt.from, header: tt.header, want: tt.want})
			want := maps.Clone(tree)
			for name, content := range tt.change {
				if want[name] = content; content == "-" {
					delete(want, name)
				}
			}
			s.wantFiles(want)
		})
	}
}

// watched tells before each publish what is at a name.
type watched struct {
	storage.FS
	name string
	seen func(error)
}

func (w watched) Create(ctx context.Context, name string, o storage.CreateOptions) (storage.Upload, error) {
	_, err := w.FS.Stat(ctx, w.name)
	w.seen(err)
	return w.FS.Create(ctx, name, o)
}

// TestCopyReplacesWhole: what a COPY replaces is there until the copy is whole.
func TestCopyReplacesWhole(t *testing.T) {
	for _, from := range []string{"/d", "/a"} {
		var looks []error
		s := startWith(t, settings{wrap: func(f storage.FS) storage.FS {
			return watched{f, "o/old", func(err error) { looks = append(looks, err) }}
		}})
		s.put(map[string]string{"a": "1", "d/x": "3", "d/y": "4", "o/old": "5"})
		looks = nil
		s.run(step{method: "COPY", path: from, header: "Destination: /o", want: 204})
		if len(looks) == 0 || errors.Join(looks...) != nil {
			t.Errorf("%s: %d looks, %v", from, len(looks), errors.Join(looks...))
		}
	}
}

// TestReplacedFolderComesBack: when the second half of an overwrite fails, what
// was there is there again.
func TestReplacedFolderComesBack(t *testing.T) {
	before := map[string]string{"a": "1", "d/": "", "d/x": "3", "o/": "", "o/old": "5"}
	s := startWith(t, settings{wrap: func(f storage.FS) storage.FS {
		return faults{FS: f, commit: errDisk}
	}})
	s.put(before)
	s.run(step{method: "COPY", path: "/a", header: "Destination: /o", want: 500})
	s.wantFiles(before)
	a := s.send(step{method: "COPY", path: "/d", header: "Destination: /o"})
	if a.status != 207 || !strings.Contains(a.body, "/o/x") || !strings.Contains(a.body, "500") {
		t.Errorf("%d %s", a.status, a.body)
	}
	s.wantFiles(before)
}

func TestMoveAcrossMounts(t *testing.T) {
	s := startWith(t, settings{wrap: func(f storage.FS) storage.FS {
		return faults{FS: f, rename: storage.ErrCrossMount}
	}})
	s.put(map[string]string{"a": "1", "b": "2", "d/x": "3"})
	s.run(
		step{method: "MOVE", path: "/a", header: "Destination: /c", want: 201},
		step{method: "MOVE", path: "/c", header: "Destination: /b", want: 204},
		step{method: "MOVE", path: "/d", header: "Destination: /n", want: 502},
	)
	s.wantFiles(map[string]string{"b": "1", "d/": "", "d/x": "3"})
}

// TestLinks: no COPY or MOVE by way of a link loses or multiplies a tree.
func TestLinks(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"real", "other"} {
		if err := os.Mkdir(filepath.Join(dir, name), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	err := errors.Join(
		os.WriteFile(filepath.Join(dir, "real", "f"), []byte("1"), 0o600),
		os.Symlink("real", filepath.Join(dir, "link")),
		os.Symlink("real/f", filepath.Join(dir, "flink")))
	if err != nil {
		t.Fatal(err)
	}
	d, err := disk.Open(dir, disk.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	s := startWith(t, settings{wrap: func(storage.FS) storage.FS { return d }})
	for i, tt := range []struct{ method, from, to string }{
		{"COPY", "/real", "/link/copy"},
		{"COPY", "/link", "/real/copy"},
		{"MOVE", "/link", "/real"},
		{"MOVE", "/flink", "/real/f"},
		{"COPY", "/link/f", "/real"},
		{"MOVE", "/link/f", "/real"},
	} {
		a := s.send(step{method: tt.method, path: tt.from, header: "Destination: " + tt.to})
		if a.status < 400 {
			t.Errorf("%d: %s %s to %s: %d", i, tt.method, tt.from, tt.to, a.status)
		}
		if data, err := os.ReadFile(filepath.Join(dir, "real", "f")); err != nil || string(data) != "1" {
			t.Fatalf("%d: %s %s to %s: %q %v", i, tt.method, tt.from, tt.to, data, err)
		}
	}
	// A tree with a link to a folder in it: that one is reported, not passed over.
	if err := os.Symlink("../real", filepath.Join(dir, "other", "l")); err != nil {
		t.Fatal(err)
	}
	a := s.send(step{method: "COPY", path: "/other", header: "Destination: /n"})
	if a.status != 207 || !strings.Contains(a.body, "/n/l/") || !strings.Contains(a.body, "403") {
		t.Error(fmt.Sprint(a))
	}
}
