package audit

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"os"
	"path/filepath"
)

// Snapshot lists the files of a folder, and how many bytes of the last are whole lines, though processes write to it.
func Snapshot(dir string) (files []string, limit int64, err error) {
	held, err := os.OpenFile(filepath.Join(dir, lockFile), os.O_RDWR, 0)
	switch {
	case err == nil:
		defer held.Close() // and with it the lock
		ctx, cancel := lockContext()
		defer cancel()
		if err := lock(ctx, held); err != nil {
			return nil, 0, err
		}
	case !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, fs.ErrPermission): // of a copy, nobody writes to it
		return nil, 0, err
	}
	if files, err = Files(dir); err != nil || len(files) == 0 {
		return files, 0, err
	}
	info, err := os.Stat(files[len(files)-1])
	if err != nil {
		return nil, 0, err
	}
	return files, info.Size(), nil
}

// LastHead is the head that was signed last, as it is kept beside the log; the zero Head if there is none.
func LastHead(dir string) (Head, error) { return readHead(dir) }

// Entries yields what the lines of files say, in their order. A line that is none is an error, and the next follows.
func Entries(files []string) iter.Seq2[Entry, error] {
	return func(yield func(Entry, error) bool) {
		for _, file := range files {
			if !entriesOf(file, yield) {
				return
			}
		}
	}
}

func entriesOf(path string, yield func(Entry, error) bool) bool {
	f, err := os.Open(path)
	if err != nil {
		return yield(Entry{}, err)
	}
	defer f.Close()
	for r := newReader(f); ; {
		raw, err := r.next()
		if errors.Is(err, io.EOF) {
			return true
		}
		if err != nil {
			yield(Entry{}, fmt.Errorf("%s: %w", path, err))
			return false
		}
		l, err := parseLine(raw)
		if err != nil {
			err = fmt.Errorf("%s:%d: %w", filepath.Base(path), r.number, err)
		}
		if !yield(l.Entry, err) {
			return false
		}
	}
}

// JSON is an entry as it is written to the log, without number and hash.
func (e Entry) JSON() []byte { return appendEntry([]byte{'{'}, &e) }
