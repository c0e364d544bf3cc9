// Package durable writes small files that must not be lost or torn: keys,
// certificates, users.
//
// After a crash or a loss of power there is the old file or the new one, and
// what was written when a call returned nil is there. Files of users are not its
// business; storage stages those.
package durable

import (
	"errors"
	"io"
	"os"
	"path/filepath"
)

// WriteFile replaces file, or makes it, with mode 0600.
func WriteFile(file string, data []byte) error {
	return write(file, whole(data), os.Rename)
}

// WriteStream is WriteFile for what fill writes, which need not fit into memory. If
// fill fails, its error is returned and the old file stays.
func WriteStream(file string, fill func(io.Writer) error) error {
	return write(file, fill, os.Rename)
}

// CreateFile makes file with mode 0600; fs.ErrExist, decided atomically, where there
// is one.
func CreateFile(file string, data []byte) error {
	return write(file, whole(data), os.Link)
}

func whole(data []byte) func(io.Writer) error {
	return func(w io.Writer) error {
		_, err := w.Write(data)
		return err
	}
}

// write fills a temporary file beside file and lets publish give it that name.
func write(file string, fill func(io.Writer) error, publish func(from, to string) error) error {
	dir := filepath.Dir(file)
	f, err := os.CreateTemp(dir, ".new-*") // mode 0600
	if err != nil {
		return err
	}
	defer func() { _ = os.Remove(f.Name()) }() // after a rename there is nothing to remove
	if err = fill(f); err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	if err := publish(f.Name(), file); err != nil {
		return err
	}
	return SyncDir(dir)
}

// SyncDir makes the names in a folder durable.
func SyncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
