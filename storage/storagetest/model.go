package storagetest

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"gateway/storage"
)

// checks is how many random runs a test makes: each makes hundreds of durable
// changes, and rapid's own 100 would take minutes on a slow disk.
const checks = "25"

// boundChecks keeps what -rapid.checks says, if it was given.
func boundChecks(t *testing.T) {
	f := flag.Lookup("rapid.checks")
	if f == nil || f.Value.String() != f.DefValue {
		return
	}
	if err := f.Value.Set(checks); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.Value.Set(f.DefValue) })
}

// testWrites compares uploads, written and cut at random, with a slice of bytes.
func testWrites(t *testing.T, fsys storage.FS) {
	boundChecks(t)
	ctx := t.Context()
	rapid.Check(t, func(r *rapid.T) {
		u, err := fsys.Create(ctx, "f", unknown)
		if err != nil {
			r.Fatal(err)
		}
		defer func() { u.Abort(ctx) }()
		var model []byte
		r.Repeat(map[string]func(*rapid.T){
			"write": func(r *rapid.T) {
				data := rapid.SliceOfN(rapid.Byte(), 0, 300).Draw(r, "data")
				off := rapid.IntRange(0, 2000).Draw(r, "offset")
				if n, err := u.WriteAt(data, int64(off)); n != len(data) || err != nil {
					r.Fatalf("write: %d, %v", n, err)
				}
				if len(data) > 0 {
					model = append(model, make([]byte, max(0, off+len(data)-len(model)))...)
					copy(model[off:], data)
				}
			},
			"truncate": func(r *rapid.T) {
				size := rapid.IntRange(0, 2500).Draw(r, "size")
				if err := u.Truncate(int64(size)); err != nil {
					r.Fatal(err)
				}
				model = append(model, make([]byte, max(0, size-len(model)))...)[:size]
			},
			"suspend": func(r *rapid.T) {
				res := resumer(fsys)
				if res == nil {
					return
				}
				token, err := u.Suspend(ctx, storage.SuspendOptions{})
				if err != nil {
					r.Fatal(err)
				}
				resumed, err := res.Resume(ctx, token)
				if err != nil {
					r.Fatal(err)
				}
				u = resumed
			},
			"": func(r *rapid.T) {
				if u.Size() != int64(len(model)) {
					r.Fatalf("size is %d, want %d", u.Size(), len(model))
				}
				staged := make([]byte, len(model)+1)
				n, err := u.ReadAt(staged, 0)
				if !errors.Is(err, io.EOF) || !bytes.Equal(staged[:n], model) {
					r.Fatalf("staged are %d bytes (%v), want %d", n, err, len(model))
				}
			},
		})
		if _, err := u.Commit(ctx, storage.CommitOptions{SHA256: digest(string(model))}); err != nil {
			r.Fatal(err)
		}
		if got, err := storage.ReadFile(ctx, fsys, "f", 1<<20); err != nil || !bytes.Equal(got, model) {
			r.Fatalf("published are %d bytes (%v), want %d", len(got), err, len(model))
		}
	})
}

// testTree compares the verbs that change names with a map.
func testTree(t *testing.T, fsys storage.FS) {
	boundChecks(t)
	base := 0
	rapid.Check(t, func(r *rapid.T) {
		base++
		m := &model{t: t, fsys: fsys, base: fmt.Sprintf("tree%d", base), files: map[string]string{}, dirs: map[string]bool{"": true}}
		if err := fsys.Mkdir(t.Context(), m.base); err != nil {
			r.Fatal(err)
		}
		name := rapid.SampledFrom([]string{"a", "b", "d", "d/a", "d/e", "d/e/a"})
		r.Repeat(map[string]func(*rapid.T){
			"put": func(r *rapid.T) {
				m.put(r, name.Draw(r, "name"), rapid.StringN(0, 9, 9).Draw(r, "content"), rapid.Bool().Draw(r, "new"))
			},
			"mkdir":  func(r *rapid.T) { m.mkdir(r, name.Draw(r, "name")) },
			"remove": func(r *rapid.T) { m.remove(r, name.Draw(r, "name")) },
			"rename": func(r *rapid.T) {
				m.rename(r, name.Draw(r, "from"), name.Draw(r, "to"), rapid.Bool().Draw(r, "replace"))
			},
			"": m.check,
		})
	})
}

// model is a tree beneath base: paths to contents, and the directories.
type model struct {
	t     *testing.T
	fsys  storage.FS
	base  string
	files map[string]string
	dirs  map[string]bool
}

func (m *model) at(name string) string { return strings.TrimSuffix(m.base+"/"+name, "/") }

func parent(name string) string {
	i := strings.LastIndexByte(name, '/')
	return name[:max(i, 0)]
}

func (m *model) exists(name string) bool {
	_, file := m.files[name]
	return file || m.dirs[name]
}

// parentErr is the error for something new at name.
func (m *model) parentErr(name string) error {
	for p := parent(name); ; p = parent(p) {
		switch {
		case m.dirs[p] && p == parent(name):
			return nil
		case m.dirs[p]:
			return fs.ErrNotExist
		case m.exists(p):
			return storage.ErrNotDir
		}
	}
}

func expect(r *rapid.T, what string, got, want error) {
	r.Helper()
	if want == nil && got != nil || !errors.Is(got, want) {
		r.Fatalf("%s: error is %v, want %v", what, got, want)
	}
}

func (m *model) put(r *rapid.T, name, content string, isNew bool) {
	wantErr := m.parentErr(name)
	if wantErr == nil && m.dirs[name] {
		wantErr = storage.ErrIsDir
	}
	if _, taken := m.files[name]; taken && wantErr == nil && isNew {
		wantErr = fs.ErrExist
	}
	_, err := storage.Put(m.t.Context(), m.fsys, m.at(name), strings.NewReader(content), unknown, storage.CommitOptions{IfNoneMatch: isNew})
	expect(r, "put", err, wantErr)
	if err == nil {
		m.files[name] = content
	}
}

func (m *model) mkdir(r *rapid.T, name string) {
	wantErr := m.parentErr(name)
	if m.exists(name) {
		wantErr = fs.ErrExist
	}
	err := m.fsys.Mkdir(m.t.Context(), m.at(name))
	expect(r, "mkdir", err, wantErr)
	if err == nil {
		m.dirs[name] = true
	}
}

// below is what lies beneath dir.
func (m *model) below(dir string) (list []string) {
	for name := range maps.Keys(m.files) {
		if strings.HasPrefix(name, dir+"/") {
			list = append(list, name)
		}
	}
	for name := range maps.Keys(m.dirs) {
		if strings.HasPrefix(name, dir+"/") {
			list = append(list, name)
		}
	}
	return list
}

func (m *model) remove(r *rapid.T, name string) {
	var wantErr error
	switch {
	case !m.exists(name):
		wantErr = fs.ErrNotExist
	case len(m.below(name)) > 0:
		wantErr = storage.ErrNotEmpty
	}
	err := m.fsys.Remove(m.t.Context(), m.at(name))
	expect(r, "remove", err, wantErr)
	if err == nil {
		delete(m.files, name)
		delete(m.dirs, name)
	}
}

func (m *model) renameErr(from, to string, replace bool) error {
	if !m.exists(from) {
		return fs.ErrNotExist
	}
	if strings.HasPrefix(to, from+"/") {
		return storage.ErrInvalidMove
	}
	if err := m.parentErr(to); err != nil {
		return err
	}
	switch {
	case !m.exists(to):
		return nil
	case !replace:
		return fs.ErrExist
	case from == to:
		return nil
	case m.dirs[to] && !m.dirs[from]:
		return storage.ErrIsDir
	case !m.dirs[to] && m.dirs[from]:
		return storage.ErrNotDir
	case len(m.below(to)) > 0:
		return storage.ErrNotEmpty
	}
	return nil
}

func (m *model) rename(r *rapid.T, from, to string, replace bool) {
	wantErr := m.renameErr(from, to, replace)
	err := m.fsys.Rename(m.t.Context(), m.at(from), m.at(to), storage.RenameOptions{Replace: replace})
	expect(r, "rename", err, wantErr)
	if err != nil || from == to {
		return
	}
	for _, name := range append(m.below(from), from) {
		moved := to + strings.TrimPrefix(name, from)
		if content, ok := m.files[name]; ok {
			delete(m.files, name)
			m.files[moved] = content
		} else {
			delete(m.dirs, name)
			m.dirs[moved] = true
		}
	}
}

// check walks the tree and reads every file.
func (m *model) check(r *rapid.T) {
	var got, want []string
	for e, err := range storage.Walk(m.t.Context(), m.fsys, m.base) {
		if err != nil {
			r.Fatal(err)
		}
		name := strings.TrimPrefix(strings.TrimPrefix(e.Name, m.base), "/")
		if e.IsDir() {
			got = append(got, name+"/")
			continue
		}
		content, err := storage.ReadFile(m.t.Context(), m.fsys, e.Name, 1<<10)
		if err != nil {
			r.Fatal(err)
		}
		got = append(got, name+"="+string(content))
	}
	for name := range m.dirs {
		want = append(want, name+"/")
	}
	for name, content := range m.files {
		want = append(want, name+"="+content)
	}
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		r.Fatalf("the tree is %q, want %q", got, want)
	}
}
