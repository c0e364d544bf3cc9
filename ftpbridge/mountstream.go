package ftpbridge

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"time"

	"gateway/internal/pause"
	"gateway/storage"
)

// run fetches until the file is whole, nobody wants more, or it fails.
func (s *stream) run() {
	var err error
	for tries := 1; ; tries++ {
		before := s.progress()
		if err = s.fetch(); err == nil || !Temporary(err) || s.ctx.Err() != nil {
			break
		}
		if s.progress() > before {
			tries = 1
		}
		if tries >= streamTries {
			break
		}
		s.m.log.Debug("mount: reading again", "path", s.path, "error", err)
		if pause.For(s.ctx, DefaultRetryWait<<(tries-1)) != nil {
			break
		}
	}
	s.mu.Lock()
	s.running = false
	if err != nil && !errors.Is(err, errIdle) && s.err == nil {
		s.err = err
	}
	// Somebody may have asked while it ended.
	again := s.err == nil && s.ctx.Err() == nil && s.file == nil && s.refs > 0 && s.wanted > s.ready
	if again {
		s.running = true
	}
	s.changed()
	last := s.refs == 0
	s.mu.Unlock()
	switch {
	case again:
		s.m.wg.Go(s.run)
	case last:
		s.discard()
	}
}

func (s *stream) progress() int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.staged
}

// errIdle is for a transfer that nobody waits for any more.
var errIdle = errors.New("nobody reads")

// fetch is one transfer, from where the last one ended.
func (s *stream) fetch() error {
	ctx := s.ctx
	return s.m.pool.Do(ctx, func(r Remote) error {
		if err := s.same(ctx, r); err != nil {
			return err
		}
		from := max(0, s.staged-overlap)
		if s.isInOrder() {
			from = 0
		}
		rc, err := r.Fetch(ctx, s.path, from)
		if from > 0 && errors.Is(err, ErrUnsupported) && !r.Broken() {
			s.setInOrder()
			from = 0
			rc, err = r.Fetch(ctx, s.path, 0)
		}
		if err != nil {
			return err
		}
		err = s.pull(rc, from)
		if cerr := rc.Close(); err == nil {
			err = cerr
		}
		if err != nil {
			return err
		}
		if err := s.same(ctx, r); err != nil {
			return err
		}
		return s.finish(ctx)
	})
}

// same fails if the server describes another version than at the beginning.
func (s *stream) same(ctx context.Context, r Remote) error {
	size, at, err := describeNow(ctx, r, s.path)
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%w: %w", errReplaced, err)
	}
	if err != nil {
		return err
	}
	if s.size >= 0 && size >= 0 && size != s.size || !at.Equal(s.mdtm) {
		return errReplaced
	}
	return nil
}

// pull stages what comes, while it is wanted.
func (s *stream) pull(rc io.Reader, from int64) error {
	buf := make([]byte, fetchBuffer)
	if err := s.overlapping(rc, from, buf); err != nil {
		return err
	}
	for {
		if err := s.pause(); err != nil {
			return err
		}
		n, err := readFull(rc, buf)
		if n > 0 {
			if werr := s.write(buf[:n]); werr != nil {
				return werr
			}
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// overlapping compares the bytes from from to staged with what the server sends
// now. They may be those of the beginning: not all servers that take REST heed it.
func (s *stream) overlapping(rc io.Reader, from int64, buf []byte) error {
	for at := from; at < s.staged; {
		n := min(s.staged-at, overlap)
		if _, err := io.ReadFull(rc, buf[:n]); err != nil {
			return err
		}
		same, err := s.holds(buf[:n], at)
		if err == nil && !same && at == from && from > 0 {
			if same, err = s.holds(buf[:n], 0); same {
				s.setInOrder()
				at = 0
			}
		}
		if err != nil {
			return err
		}
		if !same {
			return errReplaced
		}
		at += n
	}
	return nil
}

// holds reports whether p is staged at off. Only the transfer itself may ask.
func (s *stream) holds(p []byte, off int64) (bool, error) {
	ours := make([]byte, len(p))
	n, err := s.up.ReadAt(ours, off)
	if err != nil && !errors.Is(err, io.EOF) {
		return false, err
	}
	return bytes.Equal(ours[:n], p), nil
}

func (s *stream) isInOrder() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.inOrder
}

// setInOrder has all of the file read from its beginning on.
func (s *stream) setInOrder() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.inOrder = true
}

// pause waits while nobody wants more, and fails with errIdle after a while.
func (s *stream) pause() error {
	idle := time.NewTimer(idleRead)
	defer idle.Stop()
	for {
		s.mu.Lock()
		enough := s.staged >= s.wanted+readAhead
		gone, unread := s.gone, s.refs == 0
		s.mu.Unlock()
		switch {
		case gone:
			return errReplaced
		case unread:
			return errIdle
		case !enough:
			return nil
		}
		select {
		case <-s.demand:
		case <-idle.C:
			return errIdle
		case <-s.ctx.Done():
			return s.ctx.Err()
		}
	}
}

func (s *stream) write(p []byte) error {
	if s.size >= 0 && s.staged+int64(len(p)) > s.size {
		return fmt.Errorf("%w: it is longer than its %d bytes", errReplaced, s.size)
	}
	if limit := s.m.o.CacheSize; s.size < 0 && s.staged+int64(len(p)) > limit {
		return fmt.Errorf("%w: the server does not tell its size, and more than %d bytes came", ErrTooLarge, limit)
	}
	if _, err := s.up.WriteAt(p, s.staged); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.staged += int64(len(p))
	// The end is given out only when the version is known to be one.
	if s.size >= 0 {
		s.ready = max(s.ready, min(s.staged, s.size-overlap))
	}
	s.changed()
	return nil
}

// finish gives out the end of a file that came whole, and keeps it in the cache.
func (s *stream) finish(ctx context.Context) error {
	if s.size >= 0 && s.staged != s.size {
		return fmt.Errorf("%w: the server sent %d of %d bytes and said that this was all", io.ErrUnexpectedEOF, s.staged, s.size)
	}
	kept := s.key != "" && s.m.cache.room(ctx, s.m.o.Spool, s.staged)
	s.mu.Lock() // readers cannot use the upload while it turns into a file
	defer s.mu.Unlock()
	file, err := storage.File(stagedFile{s.up, s.staged}), error(nil)
	if kept {
		if _, err = s.up.Commit(ctx, storage.CommitOptions{}); err == nil {
			file, err = s.m.cache.added(ctx, s.m.o.Spool, s.key)
		}
		s.m.cache.settle(s.staged)
	}
	if err != nil {
		return err
	}
	s.file, s.up = file, nil
	s.size, s.ready = s.staged, s.staged
	s.changed()
	return nil
}

// stagedFile is a whole file that is not in the cache.
type stagedFile struct {
	storage.Upload
	size int64
}

func (f stagedFile) Info() storage.Info { return storage.Info{Size: f.size} }
func (f stagedFile) Close() error       { return f.Abort(context.Background()) }

// readAt gives bytes that are ready.
func (s *stream) readAt(p []byte, off int64) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.file != nil:
		return s.file.ReadAt(p, off)
	case s.up != nil:
		return s.up.ReadAt(p, off)
	}
	return 0, fs.ErrClosed
}
