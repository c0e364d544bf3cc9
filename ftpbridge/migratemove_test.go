package ftpbridge

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"gateway/integrity"
	"gateway/state"
	"gateway/state/sqlite"
	"gateway/storage"
	"gateway/storage/disk"
)

// move is a migration with a destination and a ledger of its own.
type move struct {
	t     *testing.T
	dest  string
	store *sqlite.Store
	o     MigrateOptions
}

func newMove(t *testing.T, src Source) *move {
	t.Helper()
	dir := t.TempDir()
	dest := filepath.Join(dir, "dest")
	if err := os.Mkdir(dest, 0o755); err != nil {
		t.Fatal(err)
	}
	d, err := disk.Open(dest, disk.Options{})
	if err != nil {
		t.Fatal(err)
	}
	store, err := sqlite.Open(t.Context(), filepath.Join(dir, "state.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := errors.Join(store.Close(), d.Close()); err != nil {
			t.Error(err)
		}
	})
	return &move{t: t, dest: dest, store: store, o: MigrateOptions{
		Source: src, Dest: d, DestName: "disk", Folder: "old", Store: store,
		Tries: 3, RetryWait: time.Millisecond, Checkpoint: 256 << 10,
	}}
}

func (m *move) policy(yaml string) {
	m.t.Helper()
	p, err := integrity.ParsePolicy("policy.yaml", []byte(yaml))
	if err != nil {
		m.t.Fatal(err)
	}
	m.o.Policy = p
}

// run migrates and expects no error.
func (m *move) run() Report {
	m.t.Helper()
	rep, err := Migrate(testContext(m.t), m.o)
	if err != nil {
		m.t.Fatalf("%v\n%s", err, text(rep))
	}
	if srv, ok := scriptedAt.Load(m.o.Source.addr()); ok {
		srv.(*scripted).settle()
	}
	return rep
}

// files is what readers of the destination see: name to content.
func (m *move) files() map[string]string {
	m.t.Helper()
	got := map[string]string{}
	root := filepath.Join(m.dest, "old")
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || path == root {
			return err
		}
		name := path[len(root)+1:]
		if d.IsDir() {
			got[name+"/"] = ""
			return nil
		}
		data, err := os.ReadFile(path)
		got[name] = string(data)
		return err
	})
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		m.t.Fatal(err)
	}
	return got
}

func (m *move) write(name, content string) {
	m.t.Helper()
	path := filepath.Join(m.dest, "old", name)
	if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(content), 0o644)); err != nil {
		m.t.Fatal(err)
	}
}

// staged is the number of uploads that wait in the destination.
func (m *move) staged() int {
	m.t.Helper()
	n := 0
	for _, err := range m.o.Dest.(storage.Resumer).Suspended(m.t.Context(), "") {
		if err != nil {
			m.t.Fatal(err)
		}
		n++
	}
	return n
}

func (m *move) line(path string) state.File {
	m.t.Helper()
	for j, err := range m.store.Jobs(m.t.Context()) {
		if err != nil {
			m.t.Fatal(err)
		}
		if f, err := m.store.GetFile(m.t.Context(), j.ID, path); err == nil {
			return f
		}
	}
	m.t.Fatalf("no line for %q", path)
	return state.File{}
}

func (m *move) quarantine() Quarantine {
	return Quarantine{Store: m.store, Dest: m.o.Dest, DestName: m.o.DestName}
}

func (m *move) explain(name string) string {
	m.t.Helper()
	s, err := Explain(m.t.Context(), m.store, m.o.Dest, m.o.DestName, name)
	if err != nil {
		m.t.Fatal(err)
	}
	return s
}

func text(r Report) string {
	var b strings.Builder
	_ = r.WriteText(&b)
	return b.String()
}

func equal(t *testing.T, got, want any) {
	t.Helper()
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("want -, got +:\n%s", d)
	}
}

// reasons maps the paths of a list to words that their reasons must have.
func reasons(t *testing.T, l List, want map[string]string) {
	t.Helper()
	got := map[string]string{}
	for _, i := range l.Items {
		got[i.Path] = i.Reason
	}
	equal(t, slices.Sorted(maps.Keys(got)), slices.Sorted(maps.Keys(want)))
	for path, words := range want {
		if !strings.Contains(got[path], words) {
			t.Errorf("%s: the reason %q does not say %q", path, got[path], words)
		}
	}
}

// serve makes a scripted server of a map from path to content; its MLSD tells
// times to the second. Paths that end in a slash are empty folders.
func serve(t *testing.T, files map[string]string) *scripted {
	t.Helper()
	s := &scripted{feat: []string{"MLST type*;size*;modify*;", "MDTM", "SIZE", "REST STREAM"}, files: map[string]string{}}
	s.setFiles(files)
	return s.start(t)
}

func (s *scripted) setFiles(files map[string]string) {
	s.files, s.mlsd = map[string]string{}, map[string]string{"": ""}
	made := map[string]bool{}
	var folder func(path string)
	folder = func(path string) {
		if path == "" || made[path] {
			return
		}
		made[path] = true
		s.mlsd["/"+path] += ""
		up := parent(path)
		folder(up)
		s.mlsd[rooted(up)] += "type=dir;modify=20200101000000; " + path[strings.LastIndexByte(path, '/')+1:] + "\r\n"
	}
	for _, path := range slices.Sorted(maps.Keys(files)) {
		if dir, ok := strings.CutSuffix(path, "/"); ok {
			folder(dir)
			continue
		}
		up := parent(path)
		folder(up)
		s.files["/"+path] = files[path]
		s.mlsd[rooted(up)] += fmt.Sprintf("type=file;size=%d;modify=20200102030405; %s\r\n",
			len(files[path]), path[strings.LastIndexByte(path, '/')+1:])
	}
}

func rooted(path string) string {
	if path == "" {
		return ""
	}
	return "/" + path
}

// random is n bytes in which no two places are alike.
func random(n int) string {
	var b bytes.Buffer
	for i := 0; b.Len() < n; i++ {
		sum := sha256.Sum256(fmt.Append(nil, i))
		b.Write(sum[:])
	}
	return b.String()[:n]
}
