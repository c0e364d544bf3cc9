package sftpsrv

import (
	"bytes"
	"context"
	"strings"
	"testing"

	"gateway/auth"
	"gateway/storage"
)

// fullDisk is a storage without room for bytes.
type fullDisk struct{ storage.FS }

type fullUpload struct{ storage.Upload }

func (d fullDisk) Create(ctx context.Context, name string, o storage.CreateOptions) (storage.Upload, error) {
	u, err := d.FS.Create(ctx, name, o)
	return fullUpload{u}, err
}

func (fullUpload) WriteAt([]byte, int64) (int, error) { return 0, storage.ErrNoSpace }

// TestFullDisk: the old file stays, the client learns of it, and so does the operator, once.
func TestFullDisk(t *testing.T) {
	f := serve(t, func(c *Config) {
		open := c.Open
		c.Open = func(ctx context.Context, id auth.Identity) (storage.FS, error) {
			tree, err := open(ctx, id)
			return fullDisk{tree}, err
		}
	})
	f.write("a", []byte("old"))
	w, err := f.client().Create("a")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.ReadFrom(bytes.NewReader(pattern(1 << 20))); err == nil || !strings.Contains(err.Error(), "No space left") {
		t.Errorf("write: %v", err)
	}
	if err := w.Close(); err == nil {
		t.Error("CLOSE of an upload that failed succeeds")
	}
	f.expect("a", []byte("old"))
	if n := strings.Count(f.log.String(), "the disk is full"); n != 1 {
		t.Errorf("the log says it %d times", n)
	}
}
