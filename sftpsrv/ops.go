package sftpsrv

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"io/fs"
	"math"
	"strings"

	"gateway/storage"
)

// dispatch puts a request into its queue. An error ends the session.
func (s *session) dispatch(r *request) error {
	switch r.kind {
	case fxpRead:
		return s.dispatchRead(r)
	case fxpReaddir:
		if err := s.reserve(r, maxReaddir); err != nil {
			return err
		}
		s.onHandle(r, func(h *handle) *buffer { return s.readdir(r, h) })
	case fxpWrite:
		s.onHandle(r, func(h *handle) *buffer { return s.fail(r, s.opWrite(r, h)) })
	case fxpClose:
		s.onHandle(r, func(h *handle) *buffer { return s.fail(r, s.closeHandle(h)) })
	case fxpFstat:
		s.onHandle(r, func(h *handle) *buffer { return s.fstat(r, h) })
	case fxpFsetstat:
		s.onHandle(r, func(h *handle) *buffer { return s.fail(r, s.fsetstat(r, h)) })
	case fxpExtended:
		s.dispatchExtended(r)
	case fxpOpen:
		s.onOpen(r)
	default:
		s.onPath(r, func() *buffer { return s.byPath(r) })
	}
	return nil
}

// byPath carries out a request that names a path.
func (s *session) byPath(r *request) *buffer {
	switch r.kind {
	case fxpOpendir:
		return s.opendir(r)
	case fxpLstat, fxpStat:
		return s.stat(r, r.kind == fxpLstat)
	case fxpRealpath:
		return s.realpath(r, r.body.path())
	case fxpSetstat:
		return s.fail(r, s.setstat(r))
	case fxpRemove, fxpRmdir:
		return s.fail(r, s.remove(r, r.kind == fxpRmdir))
	case fxpMkdir:
		return s.fail(r, s.mkdir(r))
	case fxpRename:
		return s.fail(r, s.rename(r, false))
	default: // READLINK and SYMLINK too: there are no links
		return s.fail(r, errors.ErrUnsupported)
	}
}

// name reads a path from a request.
func (r *request) name() (string, error) {
	p := r.body.path()
	if r.body.bad {
		return "", errBadMessage
	}
	return cleanPath(p)
}

func (s *session) openFile(r *request) *buffer {
	name, err := r.name()
	flags := r.body.uint32()
	attrs := r.body.attributes()
	if err == nil && r.body.bad {
		err = errBadMessage
	}
	if err == nil {
		err = s.takeRoom()
	}
	if err != nil {
		return s.fail(r, err)
	}
	defer s.hold(func(u *upload) bool { return u.name == name })()
	h := &handle{name: name}
	if flags&(openWrite|openAppend) != 0 {
		h.up, err = s.create(name, flags, attrs.perm())
	} else {
		s.partials.hide(name)
		h.file, err = s.openReader(name, flags, attrs.perm())
	}
	if err != nil {
		s.leaveRoom()
		return s.fail(r, err)
	}
	return s.handleReply(r, h)
}

// openReader opens what is published under a name. With CREAT that is an empty file if nothing was: programs make
// lock files so.
func (s *session) openReader(name string, flags uint32, perm fs.FileMode) (storage.File, error) {
	if flags&openCreat == 0 || s.upload(name) != nil {
		return s.fs.Open(s.ctx, name)
	}
	exclusive := flags&openExcl != 0
	if _, err := s.fs.Stat(s.ctx, name); err == nil && exclusive {
		return nil, storage.PathError("open", name, fs.ErrExist)
	} else if errors.Is(err, fs.ErrNotExist) {
		o := storage.CreateOptions{Owner: s.user, ModePerm: perm, Exclusive: true}
		_, err = storage.Put(s.ctx, s.fs, name, strings.NewReader(""), o, storage.CommitOptions{})
		if err != nil && (exclusive || !errors.Is(err, fs.ErrExist)) {
			return nil, err
		}
	}
	return s.fs.Open(s.ctx, name)
}

func (s *session) handleReply(r *request, h *handle) *buffer {
	s.register(h)
	reply := s.pool.newReply(fxpHandle, r.id, 4+len(h.id))
	reply.string(h.id)
	return reply
}

func (s *session) opendir(r *request) *buffer {
	name, err := r.name()
	if err == nil {
		err = s.takeRoom()
	}
	if err != nil {
		return s.fail(r, err)
	}
	defer s.hold(func(u *upload) bool { return below(u.name, name) })()
	info, err := s.fs.Stat(s.ctx, name)
	if err == nil && !info.IsDir() {
		err = storage.ErrNotDir
	}
	if err != nil {
		s.leaveRoom()
		return s.fail(r, err)
	}
	return s.handleReply(r, &handle{name: name, dir: s.openDirectory(name)})
}

func (s *session) stat(r *request, lstat bool) *buffer {
	name, err := r.name()
	if err != nil {
		return s.fail(r, err)
	}
	defer s.hold(func(u *upload) bool { return u.name == name })()
	if u := s.upload(name); u != nil {
		return s.attrs(r, s.uploadInfo(u), nil)
	}
	info, err := s.fs.Stat(s.ctx, name)
	info, err = s.overlay(name, info, err, lstat)
	return s.attrs(r, info, err)
}

func (s *session) fstat(r *request, h *handle) *buffer {
	switch {
	case h.up != nil:
		return s.attrs(r, s.uploadInfo(h.up), nil)
	case h.dir != nil:
		info, err := s.fs.Stat(s.ctx, h.name)
		return s.attrs(r, info, err)
	default:
		return s.attrs(r, h.file.Info(), nil)
	}
}

func (s *session) attrs(r *request, info storage.Info, err error) *buffer {
	if err != nil {
		return s.fail(r, err)
	}
	reply := s.pool.newReply(fxpAttrs, r.id, 64)
	reply.attributes(info)
	return reply
}

// setstat is SETSTAT and lsetstat@openssh.com. Mode and owner are accepted and not kept.
func (s *session) setstat(r *request) error {
	name, err := r.name()
	attrs := r.body.attributes()
	if r.body.bad {
		return errBadMessage
	}
	if err != nil {
		return err
	}
	defer s.hold(func(u *upload) bool { return u.name == name })()
	if u := s.upload(name); u != nil {
		return s.setUpload(u, attrs)
	}
	if attrs.has(attrSize) {
		if err := s.resize(name, attrs); err != nil {
			return err
		}
	} else if attrs.has(attrACModTime) {
		return s.fs.SetModTime(s.ctx, name, attrs.modTime())
	} else if _, err := s.fs.Stat(s.ctx, name); err != nil {
		return err
	}
	return nil
}

// resize cuts or extends a published file: as a new version, like every change.
func (s *session) resize(name string, attrs attributes) error {
	u, err := s.create(name, openWrite|openRead, 0) // openRead: never a suspended upload
	if err != nil {
		return err
	}
	if err := s.setUpload(u, attrs); err != nil {
		u.staged.Abort(context.WithoutCancel(s.ctx))
		return err
	}
	return s.publish(u)
}

func (s *session) fsetstat(r *request, h *handle) error {
	attrs := r.body.attributes()
	switch {
	case r.body.bad:
		return errBadMessage
	case h.up != nil:
		return s.setUpload(h.up, attrs)
	case h.dir != nil && attrs.has(attrSize):
		return errHandle
	case attrs.has(attrSize):
		return fs.ErrPermission // the handle is not open for writing
	case attrs.has(attrACModTime):
		return s.fs.SetModTime(s.ctx, h.name, attrs.modTime())
	}
	return nil
}

func (s *session) setUpload(u *upload, attrs attributes) error {
	if attrs.has(attrSize) {
		if err := s.truncate(u, attrs.size); err != nil {
			return err
		}
	}
	if attrs.has(attrACModTime) {
		u.modTime = attrs.modTime()
	}
	return nil
}

func (s *session) dispatchRead(r *request) error {
	args := r.body
	args.bytes(maxHandleLength)
	args.uint64()
	size := int64(min(args.uint32(), maxData))
	if err := s.reserve(r, size); err != nil {
		return err
	}
	s.onHandle(r, func(h *handle) *buffer {
		offset := r.body.uint64()
		r.body.uint32()
		if r.body.bad {
			return s.fail(r, errBadMessage)
		}
		return s.read(r, h, offset, int(size))
	})
	return nil
}

func (s *session) read(r *request, h *handle, offset uint64, size int) *buffer {
	var from io.ReaderAt = h.file
	switch {
	case h.dir != nil:
		return s.fail(r, errHandle)
	case h.up != nil && h.up.flags&openRead == 0:
		return s.fail(r, fs.ErrPermission)
	case h.up != nil:
		from = h.up.staged
	}
	if offset > math.MaxInt64-maxData {
		return s.fail(r, errOffset)
	}
	const header = 13 // length, type, id, length of the data
	reply := s.pool.newReply(fxpData, r.id, 4+size)
	data := reply.b[header : header+size]
	n, err := from.ReadAt(data, int64(offset))
	if n == 0 && size > 0 {
		s.pool.put(reply)
		if err == nil {
			err = io.EOF
		}
		return s.fail(r, err)
	}
	reply.uint32(uint32(n))
	reply.b = reply.b[:header+n]
	return reply
}

func (s *session) opWrite(r *request, h *handle) error {
	offset := r.body.uint64()
	data := r.body.bytes(maxPacket)
	switch {
	case h.dir != nil:
		return errHandle
	case h.up == nil:
		return fs.ErrPermission
	case r.body.bad:
		// Bytes that the client meant to be there are not.
		if h.up.failed == nil {
			h.up.failed = errBadMessage
		}
		return errBadMessage
	case len(data) == 0:
		return nil
	}
	return s.write(h.up, offset, data)
}

func (s *session) readdir(r *request, h *handle) *buffer {
	if h.dir == nil {
		return s.fail(r, errHandle)
	}
	reply := s.pool.newReply(fxpName, r.id, maxReaddir)
	countAt := len(reply.b)
	reply.uint32(0)
	count, now, owner := uint32(0), s.now(), listOwner(s.user)
	for {
		info, ok := h.dir.entry()
		if !ok {
			break
		}
		long := longName(info, owner, now)
		if len(reply.b)+len(info.Name)+len(long)+64 > maxReaddir && count > 0 {
			h.dir.held = &info
			break
		}
		reply.string(info.Name)
		reply.string(long)
		reply.attributes(info)
		count++
	}
	if count == 0 {
		s.pool.put(reply)
		if h.dir.err != nil {
			return s.fail(r, h.dir.err)
		}
		return s.fail(r, io.EOF)
	}
	binary.BigEndian.PutUint32(reply.b[countAt:], count)
	return reply
}

func (s *session) mkdir(r *request) error {
	name, err := r.name()
	r.body.attributes()
	if err == nil && r.body.bad {
		err = errBadMessage
	}
	if err != nil {
		return err
	}
	defer s.hold(func(u *upload) bool { return u.name == name })()
	if s.upload(name) != nil {
		return fs.ErrExist
	}
	return s.fs.Mkdir(s.ctx, name)
}

func (s *session) realpath(r *request, p string) *buffer {
	if r.body.bad {
		return s.fail(r, errBadMessage)
	}
	name, err := cleanPath(p)
	if err != nil {
		return s.fail(r, err)
	}
	resolved := clientPath(name)
	reply := s.pool.newReply(fxpName, r.id, 16+2*len(resolved))
	reply.uint32(1)
	reply.string(resolved)
	reply.string(resolved)
	reply.uint32(0) // no attributes, section 6.11
	return reply
}
