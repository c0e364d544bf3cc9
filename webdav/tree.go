package webdav

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"net/http"

	"gateway/storage"
)

// delete serves DELETE (RFC 4918 section 9.6): a file, or a directory with all in it.
func (q *request) delete(ctx context.Context) error {
	if q.name == "" {
		return refuse(http.StatusForbidden, "the root cannot be deleted")
	}
	depth, err := q.depth(depthInfinity)
	if err != nil {
		return err
	}
	now, err := q.present(ctx)
	if err != nil {
		return err
	}
	if !now.exists {
		return fs.ErrNotExist
	}
	if now.info.IsDir() && depth != depthInfinity {
		return refuse(http.StatusBadRequest, "a folder is deleted with Depth infinity")
	}
	if _, err := q.preconditions(now); err != nil {
		return err
	}
	if err := q.confirm(ctx, effect{name: q.name, tree: true, member: true}); err != nil {
		return q.deleteFailed(err)
	}
	// Remove for a file: should a folder have taken its place, that stays.
	if now.info.IsDir() {
		err = storage.RemoveAll(ctx, q.fs, q.name)
	} else {
		err = q.fs.Remove(ctx, q.name)
	}
	if err != nil {
		return q.deleteFailed(err)
	}
	if err := q.h.locks.RemoveLocksBelow(context.WithoutCancel(ctx), q.lockKey(q.name), true); err != nil {
		return err
	}
	q.w.WriteHeader(http.StatusNoContent)
	return nil
}

// deleteFailed answers with 207 where members stood in the way (RFC 4918 section 9.6.1):
// locked ones, for which nothing was deleted, or one that could not be removed, before
// which some may be gone. Any other error is returned.
func (q *request) deleteFailed(err error) error {
	var (
		failed failures
		locked *statusError
		path   *fs.PathError
	)
	switch {
	case errors.As(err, &locked):
		for _, ref := range locked.hrefs {
			name, _, parseErr := parsePath(ref)
			if parseErr != nil || name == q.name || !storage.Within(name, q.name) {
				return err
			}
			failed = append(failed, failure{ref, locked.status, locked.condition})
		}
	case errors.As(err, &path) && path.Path != q.name && storage.Within(path.Path, q.name):
		status, _ := statusOf(err)
		failed = append(failed, failure{href(path.Path, false), status, ""})
	}
	if len(failed) == 0 {
		return err
	}
	return q.writeFailures(failed)
}

// mkcol serves MKCOL (RFC 4918 section 9.3).
func (q *request) mkcol(ctx context.Context) error {
	if n, err := fill(q.Body, make([]byte, 1)); n > 0 {
		return refuse(http.StatusUnsupportedMediaType, "MKCOL takes no body")
	} else if !errors.Is(err, io.EOF) {
		return bodyError(&readError{err})
	}
	taken := refuse(http.StatusMethodNotAllowed, "the name is taken")
	if q.name == "" {
		return taken
	}
	if err := q.confirm(ctx, effect{name: q.name, member: true}); err != nil {
		return err
	}
	err := q.fs.Mkdir(ctx, q.name)
	switch {
	case errors.Is(err, fs.ErrExist):
		return taken
	case absent(err):
		return refuse(http.StatusConflict, "the folder above does not exist")
	case err != nil:
		return err
	}
	q.w.WriteHeader(http.StatusCreated)
	return nil
}
