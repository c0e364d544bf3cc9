package webdav

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"io/fs"
	"net/http"
	"strings"

	"gateway/storage"
)

// maxFailures is how many failed members a COPY reports.
const maxFailures = 100

// transfer is a COPY or MOVE whose guards have been passed.
type transfer struct {
	from, to  string
	into      string // where COPY puts it: to, or a name beside it until it is whole
	src, dst  storage.Info
	exists    bool // there is something at to, and it may be replaced
	depth     int
	collision bool // one of the two is a directory
}

// transfer reads the headers and applies the guards of RFC 4918 sections 9.8
// and 9.9. What it lets through can destroy nothing but the destination.
func (q *request) transfer(ctx context.Context) (*transfer, error) {
	t := &transfer{from: q.name}
	var err error
	if t.to, err = q.destination(); err != nil {
		return nil, err
	}
	t.into = t.to
	overwrite, err := q.overwrite()
	if err != nil {
		return nil, err
	}
	if t.depth, err = q.depth(depthInfinity); err != nil {
		return nil, err
	}
	if t.depth == depthOne {
		return nil, refuse(http.StatusBadRequest, "Depth 1 has no meaning here")
	}
	if t.src, err = q.fs.Stat(ctx, t.from); err != nil {
		return nil, as(err, http.StatusNotFound, "there is nothing here", storage.ErrNotDir)
	}
	from, to := q.lockKey(t.from), q.lockKey(t.to)
	switch {
	case from == to:
		return nil, refuse(http.StatusForbidden, "source and destination are the same")
	case storage.Within(to, from), storage.Within(from, to):
		return nil, refuse(http.StatusForbidden, "one of source and destination contains the other")
	}
	if _, err := q.preconditions(resource{exists: true, info: t.src}); err != nil {
		return nil, err
	}
	return t, q.checkDestination(ctx, t, overwrite)
}

func (q *request) checkDestination(ctx context.Context, t *transfer, overwrite bool) error {
	dir, _ := storage.Split(t.to)
	up, err := q.fs.Stat(ctx, dir)
	if absent(err) || err == nil && !up.IsDir() {
		return refuse(http.StatusConflict, "the folder of the destination does not exist")
	}
	if err != nil {
		return err
	}
	t.dst, err = q.fs.Stat(ctx, t.to)
	if err != nil && !absent(err) {
		return err
	}
	t.exists = err == nil
	t.collision = t.exists && (t.src.IsDir() || t.dst.IsDir())
	if t.exists && !overwrite {
		return refuse(http.StatusPreconditionFailed, "the destination exists")
	}
	return nil
}

// overwrite reads the Overwrite header (RFC 4918 section 10.6).
func (q *request) overwrite() (bool, error) {
	switch q.Header.Get("Overwrite") {
	case "", "T", "t":
		return true, nil
	case "F", "f":
		return false, nil
	}
	return false, refuse(http.StatusBadRequest, "the Overwrite header is not T or F")
}

// move serves MOVE.
func (q *request) move(ctx context.Context) error {
	t, err := q.transfer(ctx)
	if err != nil {
		return err
	}
	if t.src.IsDir() && t.depth != depthInfinity {
		return refuse(http.StatusBadRequest, "a folder is moved with Depth infinity")
	}
	if t.src.Link && t.exists {
		// The destination may be what the link leads to: nothing would be left.
		return refuse(http.StatusForbidden, "a link cannot replace something")
	}
	if err := q.confirm(ctx,
		effect{name: t.from, tree: true, member: true},
		effect{name: t.to, tree: true, member: !t.exists}); err != nil {
		return err
	}
	if t.collision {
		err = q.replacing(ctx, t.to, func() error { return q.rename(ctx, t, false) })
	} else {
		err = q.rename(ctx, t, t.exists)
	}
	if err != nil {
		return err
	}
	// Locks do not move with what they were on (RFC 4918 section 7.6).
	after := context.WithoutCancel(ctx)
	if err := q.h.locks.RemoveLocksBelow(after, q.lockKey(t.from), true); err != nil {
		return err
	}
	return q.transferred(after, t)
}

func (q *request) rename(ctx context.Context, t *transfer, replace bool) error {
	err := q.fs.Rename(ctx, t.from, t.to, storage.RenameOptions{Replace: replace})
	if errors.Is(err, storage.ErrCrossMount) && !t.src.IsDir() {
		err = q.moveAcross(ctx, t, replace)
	}
	return as(err, http.StatusConflict, "the source or the folder of the destination is gone", fs.ErrNotExist)
}

// moveAcross moves a file by copying it and then removing the source, if that is
// still the version that was copied.
func (q *request) moveAcross(ctx context.Context, t *transfer, replace bool) error {
	o := storage.CommitOptions{IfNoneMatch: !replace, ModTime: t.src.ModTime}
	if !storage.ValidModTime(o.ModTime) {
		o.ModTime = q.h.now()
	}
	if _, err := storage.Copy(ctx, q.fs, t.from, t.to, o); err != nil {
		return err
	}
	q.copyProperties(ctx, t.from, t.to)
	now, err := q.fs.Stat(ctx, t.from)
	if err != nil {
		return err
	}
	if now.ETag != t.src.ETag {
		return refuse(http.StatusConflict, "the source changed while it was copied; both are kept")
	}
	return q.fs.Remove(ctx, t.from)
}

// replacing puts what is at name aside under a name of its own, runs do, and
// removes it only then; if do fails it is put back. Should the process die in
// between, it is still there.
func (q *request) replacing(ctx context.Context, name string, do func() error) error {
	aside := beside(name, ".gateway-replaced-")
	if err := q.fs.Rename(ctx, name, aside, storage.RenameOptions{}); err != nil {
		return err
	}
	after := context.WithoutCancel(ctx)
	if err := do(); err != nil {
		if back := q.fs.Rename(after, aside, name, storage.RenameOptions{}); back != nil {
			q.h.log.Error("webdav: could not put a replaced folder back", "name", name, "kept_as", aside, "err", back)
		}
		return err
	}
	if err := storage.RemoveAll(after, q.fs, aside); err != nil {
		q.h.log.Error("webdav: could not remove what was replaced", "name", name, "kept_as", aside, "err", err)
	}
	return nil
}

// beside is a name that nothing has, in the folder of name.
func beside(name, prefix string) string {
	var id [8]byte
	_, _ = rand.Read(id[:])
	dir, _ := storage.Split(name)
	return storage.Join(dir, prefix+hex.EncodeToString(id[:]))
}

// copyReplacing lets do copy to a name beside the destination, and replaces that only
// with the whole copy: until then, what was there is there.
func (q *request) copyReplacing(ctx context.Context, t *transfer, do func() error) error {
	t.into = beside(t.to, ".gateway-copy-")
	err := do()
	if err == nil {
		err = q.replacing(ctx, t.to, func() error {
			// By way of a link the source may lie in what is replaced: then it is gone now.
			if _, err := q.fs.Stat(ctx, t.from); err != nil {
				return as(err, http.StatusForbidden, "one of source and destination contains the other", fs.ErrNotExist)
			}
			return q.fs.Rename(ctx, t.into, t.to, storage.RenameOptions{})
		})
	}
	if err != nil {
		undo := storage.RemoveAll(context.WithoutCancel(ctx), q.fs, t.into)
		if undo != nil && !errors.Is(undo, fs.ErrNotExist) {
			q.h.log.Error("webdav: could not take a partial copy back", "name", t.into, "err", undo)
		}
	}
	return err
}

// transferred ends the locks below what was replaced, and answers.
func (q *request) transferred(ctx context.Context, t *transfer) error {
	if err := q.h.locks.RemoveLocksBelow(ctx, q.lockKey(t.to), false); err != nil {
		return err
	}
	if t.exists {
		q.w.WriteHeader(http.StatusNoContent)
	} else {
		q.w.WriteHeader(http.StatusCreated)
	}
	return nil
}

// copy serves COPY.
func (q *request) copy(ctx context.Context) error {
	t, err := q.transfer(ctx)
	if err != nil {
		return err
	}
	if t.src.IsDir() {
		if err := q.refuseLinks(ctx, t.from, t.to); err != nil {
			return err
		}
	}
	if err := q.confirm(ctx, effect{name: t.to, tree: true, member: !t.exists}); err != nil {
		return err
	}
	var failed failures
	do := func() error {
		if t.src.IsDir() {
			return q.copyTree(ctx, t, &failed)
		}
		o := storage.CommitOptions{IfNoneMatch: !t.exists || t.collision}
		_, err := storage.Copy(ctx, q.fs, t.from, t.into, o)
		if err == nil {
			q.copyProperties(ctx, t.from, t.into)
		}
		return as(err, http.StatusConflict, "the source or the folder of the destination is gone", fs.ErrNotExist)
	}
	if t.collision {
		err = q.copyReplacing(ctx, t, do)
	} else {
		err = do()
	}
	if errors.Is(err, errPartial) {
		return q.writeFailures(failed)
	}
	if err != nil {
		return err
	}
	return q.transferred(context.WithoutCancel(ctx), t)
}

// refuseLinks keeps a tree from being copied into itself by way of a link.
func (q *request) refuseLinks(ctx context.Context, names ...string) error {
	for _, name := range names {
		for at := name; at != ""; at, _ = storage.Split(at) {
			info, err := q.fs.Stat(ctx, at)
			if err == nil && info.Link {
				return refuse(http.StatusForbidden, "a folder cannot be copied by way of a link")
			}
			if err != nil && !absent(err) {
				return err
			}
		}
	}
	return nil
}

// failures are members of a tree that were not copied.
type failures []failure

type failure struct {
	href      string
	status    int
	condition string // element of RFC 4918 section 16, or ""
}

var errPartial = errors.New("a part of the tree was not copied")

// copyTree copies a directory to a name where nothing is. What fails below the
// top is noted and the rest goes on (RFC 4918 section 9.8.3). Where it would replace
// something a part is worth less than what is there: copyReplacing takes it back.
func (q *request) copyTree(ctx context.Context, t *transfer, failed *failures) error {
	if t.depth != depthZero {
		for _, err := range q.fs.List(ctx, t.from) { // who may not list it leaves no empty folder either
			if err != nil {
				return err
			}
			break
		}
	}
	if err := q.fs.Mkdir(ctx, t.into); err != nil {
		return as(err, http.StatusConflict, "the folder of the destination does not exist", fs.ErrNotExist)
	}
	q.copyProperties(ctx, t.from, t.into)
	if t.depth == depthZero {
		return nil
	}
	err := q.copyMembers(ctx, t, failed)
	if err == nil && len(*failed) > 0 {
		err = errPartial
	}
	return err
}

func (q *request) copyMembers(ctx context.Context, t *transfer, failed *failures) error {
	skip := "" // a directory whose copy could not be made
	for e, err := range storage.Walk(ctx, q.fs, t.from) {
		if err != nil {
			return err
		}
		if e.Name == t.from || skip != "" && storage.Within(e.Name, skip) {
			continue
		}
		member := strings.TrimPrefix(e.Name, t.from)
		switch {
		case !e.IsDir():
			_, err = storage.Copy(ctx, q.fs, e.Name, t.into+member, storage.CommitOptions{IfNoneMatch: true})
		case e.Link: // Walk does not go there
			err = fs.ErrPermission
		default:
			if err = q.fs.Mkdir(ctx, t.into+member); err != nil {
				skip = e.Name
			}
		}
		if err == nil {
			q.copyProperties(ctx, e.Name, t.into+member)
			continue
		}
		if errors.Is(err, storage.ErrQuota) || errors.Is(err, storage.ErrNoSpace) || ctx.Err() != nil {
			return err // the rest would fail as well
		}
		status, _ := statusOf(err)
		if *failed = append(*failed, failure{href(t.to+member, e.IsDir()), status, ""}); len(*failed) == maxFailures {
			return errPartial
		}
	}
	return nil
}

func (q *request) writeFailures(failed failures) error {
	m := q.multistatus()
	for _, f := range failed {
		m.status(f.href, f.status, f.condition)
	}
	return m.close()
}
