package ftpbridge

import (
	"encoding/binary"
	"fmt"
	"io/fs"
	"math"
	"strings"
	"time"

	"gateway/listing"
)

// Packets of SFTP version 3, draft-ietf-secsh-filexfer-02 section 3.
const (
	sftpInit     = 1
	sftpVersion  = 2
	sftpOpen     = 3
	sftpClose    = 4
	sftpRead     = 5
	sftpWrite    = 6
	sftpFstat    = 8
	sftpSetstat  = 9
	sftpOpendir  = 11
	sftpReaddir  = 12
	sftpRemove   = 13
	sftpMkdir    = 14
	sftpRmdir    = 15
	sftpRealpath = 16
	sftpStat     = 17
	sftpRename   = 18
	sftpReadlink = 19
	sftpStatus   = 101
	sftpHandle   = 102
	sftpData     = 103
	sftpName     = 104
	sftpAttrs    = 105
	sftpExtended = 200
)

// How a file is opened, section 6.3.
const (
	sftpForReading  = 0x01
	sftpForWriting  = 0x02
	sftpToCreate    = 0x08
	sftpToTruncate  = 0x10
	sftpOnlyIfFresh = 0x20
)

// Status codes: section 7, and of later drafts those that servers of version 3
// send nevertheless.
const (
	statusOK          = 0
	statusEOF         = 1
	statusNoFile      = 2
	statusDenied      = 3
	statusNoConn      = 6
	statusConnLost    = 7
	statusUnsupported = 8
	statusExists      = 11
)

// maxSFTPPacket is the longest packet that is taken, in bytes. It is OpenSSH's
// own bound; chunks that are asked for are far smaller.
const maxSFTPPacket = 256 << 10

var sftpRequests = map[byte]string{
	sftpOpen: "OPEN", sftpClose: "CLOSE", sftpRead: "READ", sftpWrite: "WRITE", sftpFstat: "FSTAT", sftpSetstat: "SETSTAT",
	sftpOpendir: "OPENDIR", sftpReaddir: "READDIR", sftpRemove: "REMOVE", sftpMkdir: "MKDIR", sftpRmdir: "RMDIR",
	sftpRealpath: "REALPATH", sftpStat: "STAT", sftpRename: "RENAME", sftpReadlink: "READLINK", sftpExtended: "EXTENDED",
}

// StatusError is a refusal of an SFTP server in its own words.
type StatusError struct {
	Request string // "OPEN"
	Code    uint32 // draft-ietf-secsh-filexfer-02 section 7
	Text    string // as sent, control characters and all; often ""
}

var statusWords = map[uint32]string{
	statusEOF: "end of file", statusNoFile: "no such file", statusDenied: "permission denied", 4: "failure", 5: "bad message",
	statusNoConn: "no connection", statusConnLost: "connection lost", statusUnsupported: "operation unsupported",
	statusExists: "file already exists", 12: "write protected", 14: "no space on the file system", 15: "quota exceeded",
}

// Error quotes the server with control characters escaped.
func (e *StatusError) Error() string {
	text := e.Text
	if words := statusWords[e.Code]; text == "" || strings.EqualFold(text, words) {
		text = words
	}
	return fmt.Sprintf("the server answered %s to %s", quoteReply(int(e.Code), text), e.Request)
}

// Is matches fs.ErrNotExist, fs.ErrPermission, fs.ErrExist, ErrUnsupported and ErrUnreachable.
func (e *StatusError) Is(target error) bool {
	switch target {
	case fs.ErrNotExist:
		return e.Code == statusNoFile
	case fs.ErrPermission:
		return e.Code == statusDenied
	case fs.ErrExist:
		return e.Code == statusExists
	case ErrUnsupported:
		return e.Code == statusUnsupported
	case ErrUnreachable:
		return e.Code == statusNoConn || e.Code == statusConnLost
	}
	return false
}

// request is a packet that is being written: its length comes first, and is
// filled in at the end.
type request []byte

func newRequest(kind byte, id uint32) request {
	return binary.BigEndian.AppendUint32(request{0, 0, 0, 0, kind}, id)
}

func (r request) uint32(v uint32) request { return binary.BigEndian.AppendUint32(r, v) }
func (r request) uint64(v uint64) request { return binary.BigEndian.AppendUint64(r, v) }
func (r request) string(s string) request { return append(r.uint32(uint32(len(s))), s...) }

func (r request) wire() []byte {
	binary.BigEndian.PutUint32(r, uint32(len(r)-4))
	return r
}

// fields reads the fields of a packet. After one that is not there, short is set
// and all others are zero.
type fields struct {
	b     []byte
	short bool
}

func (f *fields) take(n int) []byte {
	if n < 0 || n > len(f.b) {
		f.short, f.b = true, nil
		return nil
	}
	b := f.b[:n]
	f.b = f.b[n:]
	return b
}

func (f *fields) uint32() uint32 {
	if b := f.take(4); b != nil {
		return binary.BigEndian.Uint32(b)
	}
	return 0
}

func (f *fields) uint64() uint64 {
	if b := f.take(8); b != nil {
		return binary.BigEndian.Uint64(b)
	}
	return 0
}

// bytes is part of the packet; keep no reference to it.
func (f *fields) bytes() []byte { return f.take(int(f.uint32())) }

func (f *fields) string() string { return string(f.bytes()) }

// attributes of a file, section 5.
type attributes struct {
	size     int64 // -1: not given
	mode     uint32
	hasMode  bool
	modified time.Time // zero: not given
}

func (f *fields) attributes() attributes {
	a := attributes{size: -1}
	flags := f.uint32()
	if flags&0x1 != 0 {
		if n := f.uint64(); n <= math.MaxInt64 {
			a.size = int64(n)
		}
	}
	if flags&0x2 != 0 {
		f.take(8) // user and group
	}
	if flags&0x4 != 0 {
		a.mode, a.hasMode = f.uint32(), true
	}
	if flags&0x8 != 0 {
		f.take(4) // last read
		a.modified = time.Unix(int64(f.uint32()), 0).UTC()
	}
	if flags&0x80000000 != 0 {
		for n := f.uint32(); n > 0 && !f.short; n-- {
			f.bytes()
			f.bytes()
		}
	}
	return a
}

// kind is the type by the bits of POSIX, or else by the first column of a line
// as ls makes it, which comes with each name of a folder.
func (a attributes) kind(longName []byte) listing.Type {
	if a.hasMode && a.mode&0o170000 != 0 {
		switch a.mode & 0o170000 {
		case 0o100000:
			return listing.File
		case 0o040000:
			return listing.Dir
		case 0o120000:
			return listing.Link
		}
		return listing.Other
	}
	if len(longName) == 0 {
		return listing.File
	}
	switch longName[0] {
	case 'd':
		return listing.Dir
	case 'l':
		return listing.Link
	case 'b', 'c', 'p', 's':
		return listing.Other
	}
	return listing.File
}

// entry describes a file as a listing would; the name is not read yet.
func (a attributes) entry(name string, longName []byte) listing.Entry {
	e := listing.Entry{RawName: name, Type: a.kind(longName), Size: -1}
	if e.Type == listing.File {
		e.Size = a.size
	}
	if a.hasMode {
		e.Mode = fs.FileMode(a.mode & 0o777).String()[1:]
	}
	if !a.modified.IsZero() {
		e.ModTime = listing.Time{Time: a.modified, Precision: listing.Second, ZoneKnown: true}
	}
	return e
}
