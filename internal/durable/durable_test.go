package durable_test

import (
	"errors"
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
