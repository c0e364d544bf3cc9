package storage

import (
	"context"
	"errors"
	"io/fs"
	"testing"
	"time"
)

// busyResumer is busy for a number of tries.
type busyResumer struct {
	Resumer
	left int
}

func (r *busyResumer) Resume(context.Context, Token) (Upload, error) {
	if r.left--; r.left >= 0 {
		return nil, PathError("resume", "", ErrBusy)
	}
	return nil, fs.ErrNotExist
}

func TestResumeClaimed(t *testing.T) {
	if _, err := ResumeClaimed(t.Context(), &busyResumer{left: 1}, "t"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("it did not try again: %v", err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if _, err := ResumeClaimed(ctx, &busyResumer{left: 1e6}, "t"); !errors.Is(err, ErrBusy) {
		t.Errorf("when the context ended: %v", err)
	}
}
