package disk

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"iter"
	"os"

	"gateway/storage"
)

// listBatch is how many names List holds in memory.
const listBatch = 256

// List implements storage.FS.
func (d *Disk) List(ctx context.Context, name string) iter.Seq2[storage.Info, error] {
	return func(yield func(storage.Info, error) bool) {
		if err := d.list(ctx, name, yield); err != nil {
			yield(storage.Info{}, d.failReading("list", name, err))
		}
	}
}

func (d *Disk) list(ctx context.Context, name string, yield func(storage.Info, error) bool) error {
	path, err := d.reading(ctx, name)
	if err != nil {
		return err
	}
	if e, err := d.look(path); err != nil {
		return err
	} else if !e.IsDir() {
		return storage.ErrNotDir
	}
	dir, err := subRoot(d.root, path)
	if err != nil {
		return err
	}
	defer dir.Close()
	f, err := dir.Open(".")
	if err != nil {
		return err
	}
	defer f.Close()
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		// Names only: what else os.File offers here goes by paths of the machine.
		names, err := f.Readdirnames(listBatch)
		if more, err := d.listNames(dir, path, names, yield); err != nil || !more {
			return err
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

func (d *Disk) listNames(dir *os.Root, path string, names []string, yield func(storage.Info, error) bool) (more bool, err error) {
	for _, base := range names {
		if !storage.ValidElement(base) {
			continue
		}
		info, err := dir.Lstat(base)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return false, err
		}
		e, err := d.show(info, path+"/"+base)
		if d.isNothing(err) {
			continue
		}
		if err != nil {
			return false, err
		}
		if !yield(describe(base, e), nil) {
			return false, nil
		}
	}
	return true, nil
}
