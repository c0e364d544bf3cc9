package storage

import (
	"context"
	"errors"
	"io/fs"
	"iter"
)

// Entry is what [Walk] finds: a description with its whole name.
type Entry struct {
	Name string // clean name inside the tree; Info.Name is its last element
	Info
}

// Walk yields name and all below it, a directory before what it holds. It does not
// descend into links, so that it ends, and counts nothing twice. A tree deeper
// than MaxDepth is an error. The first error ends the walk; directories that
// vanish meanwhile are passed over.
//
// It keeps one open listing for each level, so at most MaxDepth of them, and
// nothing that grows with the number of files.
func Walk(ctx context.Context, fsys FS, name string) iter.Seq2[Entry, error] {
	return func(yield func(Entry, error) bool) {
		info, err := fsys.Stat(ctx, name)
		if err != nil {
			yield(Entry{}, err)
			return
		}
		w := walker{ctx, fsys, yield}
		w.walk(Entry{name, info}, 0)
	}
}

type walker struct {
	ctx   context.Context
	fsys  FS
	yield func(Entry, error) bool
}

// walk reports whether to go on.
func (w walker) walk(e Entry, depth int) bool {
	if err := w.ctx.Err(); err != nil {
		w.yield(Entry{}, PathError("walk", e.Name, err))
		return false
	}
	if depth > MaxDepth {
		w.yield(Entry{}, PathError("walk", e.Name, ErrName))
		return false
	}
	if !w.yield(e, nil) {
		return false
	}
	if !e.IsDir() || (e.Link && depth > 0) {
		return true
	}
	for child, err := range w.fsys.List(w.ctx, e.Name) {
		if errors.Is(err, fs.ErrNotExist) && depth > 0 {
			return true
		}
		if err != nil {
			w.yield(Entry{}, err)
			return false
		}
		if !w.walk(Entry{Join(e.Name, child.Name), child}, depth+1) {
			return false
		}
	}
	return true
}

// removeBatch is how many names RemoveAll holds in memory for each level.
const removeBatch = 256

// RemoveAll removes name and all below it: by the backend if it is a [TreeRemover],
// else entry by entry. Links are removed, not what they lead to. The root itself stays:
// of "" only what is in it is removed. fs.ErrNotExist if there is nothing at name.
func RemoveAll(ctx context.Context, fsys FS, name string) error {
	if r, ok := fsys.(TreeRemover); ok {
		if err := r.RemoveAll(ctx, name); !errors.Is(err, errors.ErrUnsupported) {
			return err
		}
	}
	info, err := fsys.Stat(ctx, name)
	if err != nil {
		return err
	}
	return removeTree(ctx, fsys, name, info, 0)
}

func removeTree(ctx context.Context, fsys FS, name string, info Info, depth int) error {
	if depth > MaxDepth {
		return PathError("remove", name, ErrName)
	}
	if info.IsDir() && !info.Link {
		if err := empty(ctx, fsys, name, depth); err != nil {
			return err
		}
		if name == "" {
			return nil
		}
	}
	return fsys.Remove(ctx, name)
}

// empty removes what is in a directory, a batch at a time: what a listing yields
// while its directory changes is not defined.
func empty(ctx context.Context, fsys FS, name string, depth int) error {
	for {
		batch := make([]Info, 0, removeBatch)
		for child, err := range fsys.List(ctx, name) {
			if err != nil {
				return err
			}
			if batch = append(batch, child); len(batch) == removeBatch {
				break
			}
		}
		if len(batch) == 0 {
			return nil
		}
		removed := 0
		for _, child := range batch {
			if err := ctx.Err(); err != nil {
				return PathError("remove", name, err)
			}
			err := removeTree(ctx, fsys, Join(name, child.Name), child, depth+1)
			switch {
			case err == nil:
				removed++
			case !errors.Is(err, fs.ErrNotExist): // else somebody else removed it
				return err
			}
		}
		if removed == 0 {
			return PathError("remove", name, ErrNotEmpty)
		}
	}
}
