package s3

import (
	"context"
	"io/fs"
	"iter"
	"strings"
	"time"

	"github.com/minio/minio-go/v7"

	"gateway/storage"
)

// Permission bits that are shown; the store has none.
const (
	fileMode = 0o640
	dirMode  = 0o750
)

// entry is what is at a name.
type entry struct {
	isDir  bool
	object minio.ObjectInfo // of a file
	stamps []stamp
}

func (e entry) kind() kind { return kindOf(e.isDir) }

// info describes what is at a name.
func (e entry) info(name string) storage.Info {
	_, base := storage.Split(name)
	if e.isDir {
		return dirInfo(base, e.stamps)
	}
	return fileInfo(base, e.object, e.stamps)
}

func fileInfo(base string, o minio.ObjectInfo, stamps []stamp) storage.Info {
	// Whole seconds: a listing of the store says more than its other answers.
	i := storage.Info{Name: base, Size: o.Size, Mode: fileMode, ETag: o.ETag, ModTime: o.LastModified.UTC().Truncate(time.Second)}
	if st, ok := current(stamps, bindOf(o.ETag)); ok {
		i.ModTime = st.time
	}
	return i
}

func dirInfo(base string, stamps []stamp) storage.Info {
	i := storage.Info{Name: base, Mode: fs.ModeDir | dirMode, ModTime: time.Unix(0, 0).UTC()}
	if st, ok := current(stamps, bindDir); ok {
		i.ModTime = st.time
	}
	return i
}

// exists says what is at a name, without its time: fs.ErrNotExist where nothing is.
func (s *Store) exists(ctx context.Context, name string) (entry, error) {
	if name == "" {
		return entry{isDir: true}, nil
	}
	o, err := s.head(ctx, s.fileKey(name))
	if err == nil || !isMissing(err) {
		return entry{object: o}, err
	}
	found, err := s.any(ctx, s.dirKey(name))
	if err == nil && !found {
		err = fs.ErrNotExist
	}
	return entry{isDir: true}, err
}

// look is exists with the time.
func (s *Store) look(ctx context.Context, name string) (entry, error) {
	e, err := s.exists(ctx, name)
	if err != nil || name == "" {
		return e, err
	}
	e.stamps, err = s.stamps(ctx, e.kind(), name)
	return e, err
}

// Stat implements storage.FS.
func (s *Store) Stat(ctx context.Context, name string) (storage.Info, error) {
	err := s.check(ctx, name)
	var e entry
	if err == nil {
		e, err = s.look(ctx, name)
	}
	if err != nil {
		return storage.Info{}, s.fail("stat", name, err)
	}
	return e.info(name), nil
}

// parent finds out whether the directory that name is to be made in exists: fs.ErrNotExist, or
// storage.ErrNotDir where a file is in the way.
func (s *Store) parent(ctx context.Context, name string) error {
	dir, _ := storage.Split(name)
	if dir == "" {
		return nil
	}
	if found, err := s.any(ctx, s.dirKey(dir)); err != nil || found {
		return err
	}
	for ; dir != ""; dir, _ = storage.Split(dir) {
		_, err := s.head(ctx, s.fileKey(dir))
		if err == nil {
			return storage.ErrNotDir
		}
		if !isMissing(err) {
			return err
		}
	}
	return fs.ErrNotExist
}

// List implements storage.FS. A page of names takes one request, and one more where times were set.
// Memory is that of one page of each.
func (s *Store) List(ctx context.Context, name string) iter.Seq2[storage.Info, error] {
	return func(yield func(storage.Info, error) bool) {
		err := s.check(ctx, name)
		if err == nil {
			err = s.list(ctx, name, yield)
		}
		if err != nil {
			yield(storage.Info{}, s.fail("list", name, err))
		}
	}
}

func (s *Store) list(ctx context.Context, name string, yield func(storage.Info, error) bool) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	files, dirs := s.readStamps(ctx, ofFile, name), s.readStamps(ctx, ofDir, name)
	defer files.stop()
	defer dirs.stop()
	prefix, empty := s.dirKey(name), true
	for object, err := range s.keys(ctx, prefix, "", oneLevel) {
		if err != nil {
			return err
		}
		if err := ctx.Err(); err != nil { // the rest of a page is there at once
			return err
		}
		empty = false
		base, isDir := strings.CutSuffix(object.Key[len(prefix):], "/")
		if !storage.ValidElement(base) {
			continue // the directory's own key, what is staged, and what no client could name
		}
		var info storage.Info
		var stamps []stamp
		if isDir {
			stamps, err = dirs.of(base)
			info = dirInfo(base, stamps)
		} else {
			stamps, err = files.of(base)
			info = fileInfo(base, object, stamps)
		}
		if err != nil {
			return err
		}
		if !yield(info, nil) {
			return nil
		}
	}
	if !empty || name == "" {
		return nil
	}
	e, err := s.exists(ctx, name)
	if err == nil && !e.isDir {
		err = storage.ErrNotDir
	}
	return err
}
