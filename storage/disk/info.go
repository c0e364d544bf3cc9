package disk

import (
	"encoding/binary"
	"encoding/hex"
	"io/fs"
	"path"
	"syscall"

	"gateway/storage"
)

func describe(name string, e entry) storage.Info {
	info := storage.Info{
		Name:    path.Base(name),
		Mode:    e.Mode() & (fs.ModeDir | fs.ModePerm),
		ModTime: e.ModTime(),
		Link:    e.link,
	}
	if name == "" {
		info.Name = ""
	}
	if !e.IsDir() {
		info.Size = e.Size()
		info.ETag = etag(e.FileInfo)
	}
	return info
}

// etag is made of inode number, size, modification time and change time.
//
// Two versions that stood at one name, one after the other, differ in it. If both
// existed at once, as in every overwrite, their inode numbers differ. If not,
// the number may have been used again, and a client may have set size and modification
// time alike; but the later inode was made after the earlier one had gone, so its
// change time, which nobody can set, is later. "Later" is only as fine as the clock of the
// file system, which is why a version is made to live for one tick before it is
// replaced or removed (see settle). Were the clock set back, the other three still count.
//
// Reading changes none of them. A change of mode, owner or link count gives a new ETag
// for the same bytes: that costs a client one more transfer, and no one any data.
func etag(info fs.FileInfo) string {
	s, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return ""
	}
	var b []byte
	for _, v := range []int64{int64(s.Ino), s.Size, s.Mtim.Nano(), s.Ctim.Nano()} {
		b = binary.AppendVarint(b, v)
	}
	return hex.EncodeToString(b)
}

// inodeID is the identity of a file while it exists.
type inodeID struct{ device, number uint64 }

func inode(info fs.FileInfo) inodeID {
	if s, ok := info.Sys().(*syscall.Stat_t); ok {
		return inodeOf(s)
	}
	return inodeID{}
}

func inodeOf(s *syscall.Stat_t) inodeID {
	return inodeID{uint64(s.Dev), uint64(s.Ino)} //nolint:unconvert // narrower on some architectures
}

// links is the number of names that a file has.
func links(info fs.FileInfo) uint64 {
	if s, ok := info.Sys().(*syscall.Stat_t); ok {
		return uint64(s.Nlink) //nolint:unconvert // narrower on some architectures
	}
	return 0
}
