package disk

import "sync"

// syncer shares the syncing of a directory among those who changed it at about
// the same time: whoever comes while a sync runs waits for the next one, which
// covers all who came until it began.
type syncer struct {
	mu   sync.Mutex
	last map[inodeID]*round
}

type round struct {
	begun bool
	done  chan struct{}
	err   error
}

// sync makes all changes of p's directory that came before it durable.
func (s *syncer) sync(p *place) error {
	s.mu.Lock()
	last := s.last[p.id]
	if last != nil && !last.begun {
		s.mu.Unlock()
		<-last.done
		return last.err
	}
	r := &round{done: make(chan struct{})}
	if s.last == nil {
		s.last = make(map[inodeID]*round)
	}
	s.last[p.id] = r
	s.mu.Unlock()

	if last != nil {
		<-last.done
	}
	s.mu.Lock()
	r.begun = true
	s.mu.Unlock()
	r.err = p.dir.sync()

	s.mu.Lock()
	if s.last[p.id] == r {
		delete(s.last, p.id)
	}
	s.mu.Unlock()
	close(r.done)
	return r.err
}
