package sftpsrv

import (
	"encoding/binary"
	"iter"

	"gateway/storage"
)

// handle is what OPEN or OPENDIR returned. Its queue runs what is done with it;
// one of file, dir and up is set.
type handle struct {
	id    string
	name  string // at OPEN
	queue queue
	file  storage.File
	dir   *directory
	up    *upload
}

// directory is a listing under way.
type directory struct {
	next func() (storage.Info, error, bool)
	stop func()
	// held is an entry that did not fit into the last reply.
	held *storage.Info
	err  error // what ended the listing
}

func (s *session) openDirectory(name string) *directory {
	next, stop := iter.Pull2(s.fs.List(s.ctx, name))
	return &directory{next: next, stop: stop}
}

// entry is the next entry; false at the end, when err says why if it was early.
func (d *directory) entry() (storage.Info, bool) {
	if d.held != nil {
		info := *d.held
		d.held = nil
		return info, true
	}
	if d.err != nil {
		return storage.Info{}, false
	}
	info, err, ok := d.next()
	if err != nil {
		d.err = err
		return storage.Info{}, false
	}
	return info, ok
}

// takeRoom counts a handle that is about to be made, or fails when the client has as many as it may.
func (s *session) takeRoom() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.open >= s.maxHandles {
		return errTooManyHandles
	}
	s.open++
	return nil
}

func (s *session) leaveRoom() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.open--
}

// register gives a handle, which takeRoom has counted, its identity.
func (s *session) register(h *handle) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.next++
	h.queue.crew = s.crew
	h.id = string(binary.BigEndian.AppendUint64(nil, s.next))
	s.handles[h.id] = h
	if h.up != nil {
		h.up.serial = s.next
		s.uploads[h.up] = h
	}
}

// closeHandle ends a handle that the client cannot name any more; for an upload that
// is the publish. The error is the status of CLOSE.
func (s *session) closeHandle(h *handle) error {
	defer s.forget(h)
	switch {
	case h.up != nil:
		return s.publish(h.up)
	case h.dir != nil:
		h.dir.stop()
		return nil
	default:
		return h.file.Close()
	}
}

func (s *session) forget(h *handle) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.open--
	if h.up != nil {
		if h.up.token != "" { // what is listed under it was published, or is longer now
			s.partials.open.remove(h.up.token)
			s.partials.forget()
		}
		delete(s.uploads, h.up)
	}
}

// abandonAll ends the handles that the client left open. Nothing is published.
func (s *session) abandonAll() {
	s.mu.Lock()
	handles := s.handles
	s.handles = make(map[string]*handle)
	s.mu.Unlock()
	for _, h := range handles {
		switch {
		case h.up != nil:
			s.abandon(h.up)
		case h.dir != nil:
			h.dir.stop()
		default:
			h.file.Close()
		}
		s.forget(h)
	}
}
