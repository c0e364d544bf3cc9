package storage

import (
	"context"
	"errors"
	"io/fs"
)

// Sentinels beside fs.ErrNotExist, fs.ErrExist, fs.ErrPermission, fs.ErrClosed
// and errors.ErrUnsupported. Every front end translates them in one table.
var (
	ErrName         = errors.New("invalid name")
	ErrNotEmpty     = errors.New("directory not empty")
	ErrIsDir        = errors.New("is a directory")
	ErrNotDir       = errors.New("not a directory")
	ErrInvalidMove  = errors.New("cannot move a directory into itself")
	ErrCrossMount   = errors.New("cannot rename across mounts")
	ErrPrecondition = errors.New("the file is not the expected version")
	ErrDigest       = errors.New("the bytes do not match the expected digest")
	ErrNoSpace      = errors.New("no space left on the device")
	ErrQuota        = errors.New("quota exceeded")
	ErrLocked       = errors.New("locked by another client")
	ErrBusy         = errors.New("in use")
	ErrTooLarge     = errors.New("the file is larger than allowed")
)

// PathError wraps err with the operation and the name inside the tree. An
// [fs.PathError] that err already is, is replaced: its path belongs to a layer below
// and must not be seen above. nil stays nil.
func PathError(op, name string, err error) error {
	if err == nil {
		return nil
	}
	for {
		var inner *fs.PathError
		if !errors.As(err, &inner) || inner.Err == nil {
			break
		}
		err = inner.Err
	}
	if name == "" {
		name = "/"
	}
	return &fs.PathError{Op: op, Path: name, Err: err}
}

// CommitRetryable reports whether an [Upload] is still open after Commit failed
// with err, so that it can be suspended or committed again.
func CommitRetryable(err error) bool {
	for _, kept := range []error{ErrPrecondition, ErrDigest, ErrLocked, fs.ErrExist, context.Canceled, context.DeadlineExceeded} {
		if errors.Is(err, kept) {
			return true
		}
	}
	return false
}
