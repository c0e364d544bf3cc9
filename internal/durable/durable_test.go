package durable_test

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"gateway/internal/durable"
)

func TestFiles(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "key")
	has := func(want string) {
		t.Helper()
		data, err := os.ReadFile(file)
		if err != nil || string(data) != want {
			t.Fatalf("the file holds %q, %v; want %q", data, err, want)
		}
		info, err := os.Stat(file)
		if err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("mode %v, %v; want 0600", info.Mode(), err)
		}
		if entries, err := os.ReadDir(dir); err != nil || len(entries) != 1 {
			t.Errorf("%d files in the folder, %v; want 1", len(entries), err)
		}
	}
	if err := durable.CreateFile(file, []byte("one")); err != nil {
		t.Fatal(err)
	}
	has("one")
	if err := durable.CreateFile(file, []byte("two")); !errors.Is(err, fs.ErrExist) {
		t.Errorf("made over a file: %v", err)
	}
	has("one")
	if err := durable.WriteFile(file, []byte("three")); err != nil {
		t.Fatal(err)
	}
	has("three")
	if err := durable.WriteFile(filepath.Join(dir, "no", "key"), nil); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("without a folder: %v", err)
	}
}

// TestStreamFails: what could not be written whole leaves the old file.
func TestStreamFails(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "list")
	if err := durable.WriteFile(file, []byte("old")); err != nil {
		t.Fatal(err)
	}
	broken := errors.New("broken")
	err := durable.WriteStream(file, func(w io.Writer) error {
		_, err := io.WriteString(w, "new")
		return errors.Join(err, broken)
	})
	if data, rerr := os.ReadFile(file); !errors.Is(err, broken) || string(data) != "old" || rerr != nil {
		t.Errorf("%v; the file holds %q, %v", err, data, rerr)
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != 1 {
		t.Errorf("%d files in the folder, %v; want 1", len(entries), err)
	}
	if err := durable.WriteStream(file, func(w io.Writer) error { _, err := io.WriteString(w, "new"); return err }); err != nil {
		t.Fatal(err)
	}
	if data, err := os.ReadFile(file); string(data) != "new" || err != nil {
		t.Errorf("the file holds %q, %v", data, err)
	}
}
