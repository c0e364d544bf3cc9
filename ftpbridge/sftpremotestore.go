package ftpbridge

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"strconv"
	"time"
)

// Extensions of OpenSSH, its file PROTOCOL sections 4.3 and 4.6.
const (
	extPosixRename = "posix-rename@openssh.com"
	extFsync       = "fsync@openssh.com"
)

// Store writes r to path from offset on, with many requests on their way, and
// returns how many bytes the server confirmed without a gap. It succeeds only if the
// open file has the right size at the end; where the server can, the bytes are on
// its disk then. With an offset the file must hold at least so many bytes, and what
// it holds behind the last byte written is an error, as in Session.Store.
//
// When r fails what was sent so far stays, and the session goes on. r itself is not
// interrupted by ctx.
func (s *SFTPSession) Store(ctx context.Context, path string, r io.Reader, offset int64) (int64, error) {
	var n int64
	err := s.call(ctx, "store", path, func(full string) error {
		if offset < 0 {
			return fmt.Errorf("offset %d: %w", offset, fs.ErrInvalid)
		}
		flags := uint32(sftpForWriting | sftpToCreate | sftpToTruncate)
		if offset > 0 {
			flags = sftpForWriting
		}
		handle, err := s.conn.open(sftpOpen, func(q request) request { return q.string(full).uint32(flags).uint32(0) })
		if err != nil {
			return err
		}
		w := &sftpStore{conn: s.conn, handle: handle, off: offset, confirmed: offset, progress: drip{timeout: s.src.timeout()}}
		err = w.longEnough(offset)
		if err == nil {
			err = w.all(r)
		}
		n = w.confirmed - offset
		if err == nil {
			err = w.settle()
		}
		if s.Broken() {
			return err
		}
		// An error of a write may come as late as this.
		return errors.Join(err, s.conn.do(sftpClose, func(q request) request { return q.string(handle) }))
	})
	return n, err
}

// sftpStore is an open file that is written from one end to the other.
type sftpStore struct {
	conn      *sftpConn
	handle    string
	off       int64 // of the next byte to be sent
	confirmed int64 // everything before it is
	gap       bool  // a part failed: what comes behind it does not count
	queue     []storing
	progress  drip
}

// storing is a part of the file whose reply is to come.
type storing struct {
	id           uint32
	end          int64 // of the file, with this part
	done, failed bool
}

func (w *sftpStore) longEnough(offset int64) error {
	if offset == 0 {
		return nil
	}
	a, err := w.conn.attributes(sftpFstat, w.handle)
	if err == nil && a.size < offset {
		err = fmt.Errorf("offset %d in a file of %d bytes: %w", offset, a.size, fs.ErrInvalid)
	}
	return err
}

// all sends r. After an error it takes the replies to what is on its way, so that
// the session goes on.
func (w *sftpStore) all(r io.Reader) (err error) {
	buf := make([]byte, sftpChunk)
	var rerr error
	for rerr == nil && err == nil {
		var n int
		if n, rerr = readFull(r, buf); n > 0 {
			err = w.send(buf[:n])
		}
		for err == nil && len(w.queue) >= sftpDepth {
			err = w.receive()
		}
	}
	for len(w.queue) > 0 && !w.conn.dead.Load() {
		if e := w.receive(); err == nil {
			err = e
		}
	}
	if err == nil && !errors.Is(rerr, io.EOF) {
		err = fmt.Errorf("%w after %d bytes: read what is to be stored: %w", ErrAborted, w.off, rerr)
	}
	return err
}

func (w *sftpStore) send(p []byte) error {
	id, err := w.conn.send(sftpWrite, func(q request) request {
		q = q.string(w.handle).uint64(uint64(w.off)).uint32(uint32(len(p)))
		return append(q, p...)
	})
	w.off += int64(len(p))
	w.queue = append(w.queue, storing{id: id, end: w.off})
	return err
}

func (w *sftpStore) receive() error {
	began := time.Now()
	r, err := w.conn.next(w.progress.limit())
	if err != nil {
		return err
	}
	defer w.conn.release(r)
	for i := range w.queue {
		if w.queue[i].id != r.id || w.queue[i].done {
			continue
		}
		w.queue[i].done = true
		w.progress.note(began, sftpChunk)
		err = w.conn.expect(r, sftpStatus, sftpWrite)
		w.queue[i].failed = err != nil
		for len(w.queue) > 0 && w.queue[0].done {
			w.gap = w.gap || w.queue[0].failed
			if !w.gap {
				w.confirmed = w.queue[0].end
			}
			w.queue = w.queue[1:]
		}
		return err
	}
	return w.conn.unasked(r)
}

// settle makes the file durable where the server can, and looks at its size.
func (w *sftpStore) settle() error {
	if w.conn.extensions[extFsync] != "" {
		err := w.conn.do(sftpExtended, func(q request) request { return q.string(extFsync).string(w.handle) })
		if err != nil && !errors.Is(err, ErrUnsupported) {
			return err
		}
	}
	a, err := w.conn.attributes(sftpFstat, w.handle)
	switch {
	case errors.Is(err, ErrUnsupported) || err == nil && a.size < 0:
		return nil
	case err != nil && w.conn.dead.Load():
		return err
	case err != nil:
		return fmt.Errorf("%w: every part was confirmed, but not the size: %w", ErrUnconfirmed, err)
	case a.size != w.off:
		return fmt.Errorf("%w: the server confirmed %d bytes and holds %d", io.ErrUnexpectedEOF, w.off, a.size)
	}
	return nil
}

// Remove deletes a file. Its error, like those of the other calls that change the
// server, is a StatusError, and fs.ErrNotExist and the like where that says so.
func (s *SFTPSession) Remove(ctx context.Context, path string) error {
	return s.change(ctx, "remove", path, sftpRemove)
}

// RemoveDir deletes an empty directory.
func (s *SFTPSession) RemoveDir(ctx context.Context, path string) error {
	return s.change(ctx, "remove directory", path, sftpRmdir)
}

func (s *SFTPSession) change(ctx context.Context, op, path string, kind byte) error {
	return s.call(ctx, op, path, func(full string) error {
		return s.conn.do(kind, func(q request) request { return q.string(full) })
	})
}

// MakeDir makes a directory; its parent must be there. It wraps fs.ErrExist where
// there is a directory of this name already: version 3 has no code for that.
func (s *SFTPSession) MakeDir(ctx context.Context, path string) error {
	return s.call(ctx, "make directory", path, func(full string) error {
		err := s.conn.do(sftpMkdir, func(q request) request { return q.string(full).uint32(0) })
		if err == nil || s.Broken() || errors.Is(err, fs.ErrExist) {
			return err
		}
		if a, serr := s.conn.attributes(sftpStat, full); serr == nil && a.hasMode && a.mode&0o170000 == 0o040000 {
			return fmt.Errorf("%w: %w", fs.ErrExist, err)
		}
		return err
	})
}

// Rename gives a file or directory another name. OpenSSH and others that keep to
// draft-ietf-secsh-filexfer-02 section 6.5 do not replace a file.
func (s *SFTPSession) Rename(ctx context.Context, from, to string) error {
	return s.rename(ctx, from, to, func(from, to string) error {
		return s.conn.do(sftpRename, func(q request) request { return q.string(from).string(to) })
	})
}

// replace is Rename that replaces a file at to, in one step. It wraps ErrUnsupported
// where the server has no such thing.
func (s *SFTPSession) replace(ctx context.Context, from, to string) error {
	return s.rename(ctx, from, to, func(from, to string) error {
		if s.conn.extensions[extPosixRename] == "" {
			return fmt.Errorf("%w: rename over a file", ErrUnsupported)
		}
		return s.conn.do(sftpExtended, func(q request) request { return q.string(extPosixRename).string(from).string(to) })
	})
}

func (s *SFTPSession) rename(ctx context.Context, from, to string, do func(from, to string) error) error {
	return s.call(ctx, "rename", from, func(full string) error {
		target, err := s.full(to)
		if err == nil {
			err = do(full, target)
		}
		if err != nil {
			return fmt.Errorf("to %s: %w", strconv.Quote(s.Show(to)), err)
		}
		return nil
	})
}

// SetModTime sets the modification time, and that of the last access with it, to the
// second; version 3 has 32 bits for it, without a sign.
func (s *SFTPSession) SetModTime(ctx context.Context, path string, t time.Time) error {
	return s.call(ctx, "set the time of", path, func(full string) error {
		at := t.Unix()
		if at < 0 || at > math.MaxUint32 {
			return fmt.Errorf("%w: SFTP has no times before 1970 or after 2106", fs.ErrInvalid)
		}
		return s.conn.do(sftpSetstat, func(q request) request {
			return q.string(full).uint32(0x8).uint32(uint32(at)).uint32(uint32(at))
		})
	})
}
