package page

import (
	"net/http"
	"sync"
	"time"

	"gateway/storage"
)

const (
	maxFinished = 4096 // uploads of which it is remembered that they are whole

	// cutEvery is how often a connection is told to stop until it does: between two deadlines that it sets
	// itself, one from outside may be lost.
	cutEvery = 50 * time.Millisecond
)

// uploads are those that requests of this process have in hand. Each is one request's at a time, and the latest one
// gets it: a browser whose connection broke asks again long before the server knows that the old one is dead.
type uploads struct {
	mu     sync.Mutex
	active map[storage.Token]*work
	done   map[storage.Token]struct{}
}

func newUploads() *uploads {
	return &uploads{active: map[storage.Token]*work{}, done: map[storage.Token]struct{}{}}
}

// work is an upload in the hands of one request.
type work struct {
	u     *uploads
	token storage.Token // "" for one that cannot be gone on with
	w     http.ResponseWriter
	stop  chan struct{} // closed when another request wants it
	left  chan struct{} // closed when it has been left
	once  sync.Once
}

// enter waits until nobody else has the upload, and has them stop.
func (u *uploads) enter(token storage.Token, w http.ResponseWriter) *work {
	mine := &work{u: u, token: token, w: w, stop: make(chan struct{}), left: make(chan struct{})}
	if token == "" {
		return mine
	}
	for {
		u.mu.Lock()
		other := u.active[token]
		if other == nil {
			u.active[token] = mine
			u.mu.Unlock()
			return mine
		}
		u.mu.Unlock()
		other.cut()
	}
}

// cut ends a request's reading, and waits until it has left.
func (k *work) cut() {
	k.once.Do(func() { close(k.stop) })
	t := time.NewTicker(cutEvery)
	defer t.Stop()
	for {
		_ = http.NewResponseController(k.w).SetReadDeadline(time.Now())
		select {
		case <-k.left:
			return
		case <-t.C:
		}
	}
}

// over reports whether another request wants the upload.
func (k *work) over() bool {
	select {
	case <-k.stop:
		return true
	default:
		return false
	}
}

// leave gives the upload up.
func (k *work) leave() {
	if k.token != "" {
		k.u.mu.Lock()
		delete(k.u.active, k.token)
		k.u.mu.Unlock()
	}
	close(k.left)
}

// finish remembers that an upload is published: the answer may be lost.
func (u *uploads) finish(token storage.Token) {
	if token == "" {
		return
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	for old := range u.done { // any one has to go
		if len(u.done) < maxFinished {
			break
		}
		delete(u.done, old)
	}
	u.done[token] = struct{}{}
}

func (u *uploads) finished(token storage.Token) bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	_, ok := u.done[token]
	return ok
}
