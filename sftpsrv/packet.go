package sftpsrv

import (
	"encoding/binary"
	"errors"
	"io/fs"
	"math"
	"time"

	"gateway/storage"
)

// Packet types of SFTP version 3, draft-ietf-secsh-filexfer-02 section 3.
const (
	fxpInit     = 1
	fxpVersion  = 2
	fxpOpen     = 3
	fxpClose    = 4
	fxpRead     = 5
	fxpWrite    = 6
	fxpLstat    = 7
	fxpFstat    = 8
	fxpSetstat  = 9
	fxpFsetstat = 10
	fxpOpendir  = 11
	fxpReaddir  = 12
	fxpRemove   = 13
	fxpMkdir    = 14
	fxpRmdir    = 15
	fxpRealpath = 16
	fxpStat     = 17
	fxpRename   = 18
	fxpReadlink = 19
	fxpSymlink  = 20

	fxpStatus        = 101
	fxpHandle        = 102
	fxpData          = 103
	fxpName          = 104
	fxpAttrs         = 105
	fxpExtended      = 200
	fxpExtendedReply = 201

	protocolVersion = 3
)

// Flags of SSH_FXP_OPEN, section 6.3.
const (
	openRead   = 0x01
	openWrite  = 0x02
	openAppend = 0x04
	openCreat  = 0x08
	openTrunc  = 0x10
	openExcl   = 0x20
)

// Flags of ATTRS, section 5.
const (
	attrSize        = 0x00000001
	attrUIDGID      = 0x00000002
	attrPermissions = 0x00000004
	attrACModTime   = 0x00000008
	attrExtended    = 0x80000000
)

// File types in the permissions of ATTRS, as POSIX's S_IFMT.
const (
	modeRegular   = 0o100000
	modeDirectory = 0o040000
)

// errBadMessage is a request whose fields do not fit into its packet, or exceed a bound.
var errBadMessage = errors.New("malformed request")

// decoder reads the fields of a packet. The first field that does not fit sets
// bad, and everything after reads as zero.
type decoder struct {
	b   []byte
	bad bool
}

func (d *decoder) take(n int) []byte {
	if d.bad || n < 0 || n > len(d.b) {
		d.bad, d.b = true, nil
		return nil
	}
	field := d.b[:n:n]
	d.b = d.b[n:]
	return field
}

func (d *decoder) uint32() uint32 {
	if field := d.take(4); field != nil {
		return binary.BigEndian.Uint32(field)
	}
	return 0
}

func (d *decoder) uint64() uint64 {
	if field := d.take(8); field != nil {
		return binary.BigEndian.Uint64(field)
	}
	return 0
}

// bytes reads a string of at most limit bytes. It aliases the packet.
func (d *decoder) bytes(limit int) []byte {
	n := d.uint32()
	if n > uint32(limit) {
		d.bad, d.b = true, nil
		return nil
	}
	return d.take(int(n))
}

func (d *decoder) path() string   { return string(d.bytes(maxPath)) }
func (d *decoder) handle() string { return string(d.bytes(maxHandleLength)) }

// attributes are the ATTRS of a request.
type attributes struct {
	flags       uint32
	size        uint64
	permissions uint32
	mtime       uint32 // seconds since 1970, unsigned
}

func (a attributes) has(flag uint32) bool { return a.flags&flag != 0 }

func (a attributes) modTime() time.Time { return time.Unix(int64(a.mtime), 0) }

func (a attributes) perm() fs.FileMode {
	if !a.has(attrPermissions) {
		return 0
	}
	return fs.FileMode(a.permissions) & fs.ModePerm
}

func (d *decoder) attributes() attributes {
	a := attributes{flags: d.uint32()}
	if a.has(attrSize) {
		a.size = d.uint64()
	}
	if a.has(attrUIDGID) {
		d.take(8)
	}
	if a.has(attrPermissions) {
		a.permissions = d.uint32()
	}
	if a.has(attrACModTime) {
		d.take(4)
		a.mtime = d.uint32()
	}
	if a.has(attrExtended) {
		count := d.uint32()
		if count > maxExtendedAttrs {
			d.bad = true
		}
		for i := uint32(0); i < count && !d.bad; i++ {
			d.bytes(maxPacket)
			d.bytes(maxPacket)
		}
	}
	return a
}

// newReply begins a packet of a type with room for size more bytes of body.
func (p *bufferPool) newReply(kind byte, id uint32, size int) *buffer {
	buf := p.get(9 + size)
	buf.b = append(buf.b[:0], 0, 0, 0, 0, kind)
	buf.b = binary.BigEndian.AppendUint32(buf.b, id)
	return buf
}

// finish sets the length field of a packet.
func (b *buffer) finish() { binary.BigEndian.PutUint32(b.b, uint32(len(b.b)-4)) }

func (b *buffer) uint32(v uint32) { b.b = binary.BigEndian.AppendUint32(b.b, v) }
func (b *buffer) uint64(v uint64) { b.b = binary.BigEndian.AppendUint64(b.b, v) }

func (b *buffer) string(s string) {
	b.uint32(uint32(len(s)))
	b.b = append(b.b, s...)
}

// ownerID is the id of the user and the group that every file belongs to: to those who are logged in, all is
// theirs. It is the one that the first user of most systems has, so that a mounted folder looks right there without
// a mapping; users-groups-by-id@openssh.com tells its name.
const ownerID = 1000

// attributes writes what is known of a file.
func (b *buffer) attributes(info storage.Info) {
	b.uint32(attrSize | attrUIDGID | attrPermissions | attrACModTime)
	b.uint64(uint64(max(info.Size, 0)))
	b.uint32(ownerID)
	b.uint32(ownerID)
	b.uint32(wireMode(info))
	seconds := wireTime(info.ModTime)
	b.uint32(seconds)
	b.uint32(seconds)
}

func wireMode(info storage.Info) uint32 {
	perm := uint32(info.Mode.Perm())
	switch {
	case info.IsDir() && perm == 0:
		perm = 0o755
	case perm == 0:
		perm = 0o644
	}
	if info.IsDir() {
		return modeDirectory | perm
	}
	return modeRegular | perm
}

// wireTime is t in the 32 unsigned bits that version 3 has for it, clamped.
func wireTime(t time.Time) uint32 {
	return uint32(min(max(t.Unix(), 0), math.MaxUint32))
}
