package sftpsrv

import (
	"encoding/binary"
	"errors"
	"io"
	"io/fs"
	"math"
	"path"
	"strings"

	"gateway/storage"
)

// extensions are what VERSION announces; OpenSSH's PROTOCOL file defines them, and
// draft-ietf-secsh-filexfer-extensions-00 the last two. hardlink@openssh.com is not among them: storage has
// no links, and a copy would not be one. A client that asks all the same learns that it is not supported.
var extensions = [...]struct{ name, version string }{
	{"posix-rename@openssh.com", "1"},
	{"statvfs@openssh.com", "2"},
	{"fstatvfs@openssh.com", "2"},
	{"fsync@openssh.com", "1"},
	{"lsetstat@openssh.com", "1"},
	{"limits@openssh.com", "1"},
	{"expand-path@openssh.com", "1"},
	{"users-groups-by-id@openssh.com", "1"},
	{"copy-data", "1"},
	{"home-directory", "1"},
}

// copyPiece is how much copy-data moves at once, in bytes.
const copyPiece = maxData

func (s *session) dispatchExtended(r *request) {
	switch name := string(r.body.bytes(maxHandleLength)); name {
	case "fstatvfs@openssh.com":
		s.onHandle(r, func(h *handle) *buffer { return s.fstatvfs(r, h) })
	case "fsync@openssh.com":
		s.onHandle(r, func(h *handle) *buffer { return s.fail(r, s.fsync(h)) })
	case "copy-data":
		s.dispatchCopy(r)
	default:
		s.onPath(r, func() *buffer { return s.extendedByPath(r, name) })
	}
}

func (s *session) extendedByPath(r *request, extension string) *buffer {
	switch extension {
	case "posix-rename@openssh.com":
		return s.fail(r, s.rename(r, true))
	case "lsetstat@openssh.com":
		return s.fail(r, s.lsetstat(r))
	case "users-groups-by-id@openssh.com":
		return s.ownerNames(r)
	case "statvfs@openssh.com":
		name, err := r.name()
		if err != nil {
			return s.fail(r, err)
		}
		return s.statvfs(r, name)
	case "limits@openssh.com":
		return s.limits(r)
	case "expand-path@openssh.com":
		return s.realpath(r, s.expand(r.body.path()))
	case "home-directory":
		r.body.bytes(maxUser) // whose; everybody's own root is home
		return s.realpath(r, "/")
	}
	return s.fail(r, errors.ErrUnsupported)
}

// expand replaces "~" and "~user", where everybody's home is their root.
func (s *session) expand(p string) string {
	if !strings.HasPrefix(p, "~") {
		return p
	}
	_, rest, _ := strings.Cut(p, "/")
	return "/" + rest
}

// lsetstat is SETSTAT of what a name is itself and not of where it leads, which has no size.
func (s *session) lsetstat(r *request) error {
	attrs := r.body
	attrs.path()
	if attrs.attributes().has(attrSize) {
		return fs.ErrInvalid
	}
	return s.setstat(r)
}

// ownerNames tells the names of the ids that attributes have: there is one, which is the user's. Others have
// none and are answered by the empty string.
func (s *session) ownerNames(r *request) *buffer {
	users, groups := r.body.bytes(4*maxIDs), r.body.bytes(4*maxIDs)
	if r.body.bad || len(users)%4 != 0 || len(groups)%4 != 0 {
		return s.fail(r, errBadMessage)
	}
	owner := listOwner(s.user)
	reply := s.pool.newReply(fxpExtendedReply, r.id, 64)
	for _, ids := range [...][]byte{users, groups} {
		start := len(reply.b)
		reply.uint32(0)
		for ; len(ids) > 0; ids = ids[4:] {
			name := ""
			if binary.BigEndian.Uint32(ids) == ownerID {
				name = owner
			}
			reply.string(name)
		}
		binary.BigEndian.PutUint32(reply.b[start:], uint32(len(reply.b)-start-4))
	}
	return reply
}

func (s *session) limits(r *request) *buffer {
	reply := s.pool.newReply(fxpExtendedReply, r.id, 32)
	reply.uint64(maxPacket)
	reply.uint64(maxData)
	reply.uint64(maxData)
	reply.uint64(uint64(s.maxHandles))
	return reply
}

// fstatvfs asks about the folder of an upload: the file itself may not be there yet.
func (s *session) fstatvfs(r *request, h *handle) *buffer {
	if h.up == nil {
		return s.statvfs(r, h.name)
	}
	parent := path.Dir(h.name)
	if parent == "." {
		parent = ""
	}
	return s.statvfs(r, parent)
}

// statvfs answers with the fields of POSIX's struct statvfs.
func (s *session) statvfs(r *request, name string) *buffer {
	reporter, ok := s.fs.(storage.SpaceReporter)
	if !ok {
		return s.fail(r, errors.ErrUnsupported)
	}
	space, err := reporter.Space(s.ctx, name)
	if err != nil {
		return s.fail(r, err)
	}
	const block = 4096
	reply := s.pool.newReply(fxpExtendedReply, r.id, 88)
	for _, field := range [...]int64{
		block, block, space.Total / block, space.Free / block, space.Available / block,
		0, 0, 0, // numbers of inodes are not known
		0, 0, // file system id and flags
		storage.MaxElement,
	} {
		reply.uint64(uint64(max(field, 0)))
	}
	return reply
}

// fsync makes what an upload has so far survive a crash, to be continued then. It is
// not published before CLOSE, which makes it durable in any case.
func (s *session) fsync(h *handle) error {
	if h.up == nil {
		return nil
	}
	if h.up.failed != nil {
		return h.up.failed
	}
	_, err := h.up.staged.Checkpoint(s.ctx)
	return err
}

// dispatchCopy queues copy-data on the handle it writes to, and stops the one it reads
// from meanwhile.
func (s *session) dispatchCopy(r *request) {
	from := r.body.handle()
	offset, length := r.body.uint64(), r.body.uint64()
	to := r.body.handle()
	toOffset := r.body.uint64()
	s.begin()
	s.mu.Lock()
	defer s.mu.Unlock()
	source, target := s.handles[from], s.handles[to]
	var err error
	switch {
	case r.body.bad:
		err = errBadMessage
	case source == nil || target == nil:
		err = errHandle
	case source == target:
		err = fs.ErrInvalid
	}
	if err != nil {
		s.paths.push(func() { s.answer(r, func() *buffer { return s.fail(r, err) }) })
		return
	}
	b := newBarrier()
	source.queue.push(b.run)
	target.queue.push(func() {
		<-b.reached
		s.workers <- struct{}{}
		s.answer(r, func() *buffer { return s.fail(r, s.copyData(source, target, offset, length, toOffset)) })
		<-s.workers
		close(b.done)
	})
}

// copyData copies length bytes, or all to the end when it is 0.
func (s *session) copyData(source, target *handle, offset, length, toOffset uint64) error {
	var from io.ReaderAt = source.file
	switch {
	case source.dir != nil || target.dir != nil:
		return errHandle
	case target.up == nil, source.up != nil && source.up.flags&openRead == 0:
		return fs.ErrPermission
	case source.up != nil:
		from = source.up.staged
	}
	if length == 0 {
		length = math.MaxInt64
	}
	if offset > math.MaxInt64-maxData {
		return errOffset
	}
	buf := s.pool.get(copyPiece)
	defer s.pool.put(buf)
	for done := uint64(0); done < length; {
		if err := s.ctx.Err(); err != nil {
			return err
		}
		if offset+done > math.MaxInt64-maxData {
			return errOffset
		}
		n, err := from.ReadAt(buf.b[:min(length-done, copyPiece)], int64(offset+done))
		if n > 0 {
			if err := s.write(target.up, toOffset+done, buf.b[:n]); err != nil {
				return err
			}
			done += uint64(n)
		}
		if errors.Is(err, io.EOF) || err == nil && n == 0 {
			return nil
		}
		if err != nil {
			target.up.failed = err
			return err
		}
	}
	return nil
}
