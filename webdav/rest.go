package webdav

import (
	"net/http"
	"sync"
	"time"
)

// rest keeps the deadline of what was written from ending an answer while its next piece is awaited from the storage: with
// HTTP/2 it runs between two writes as well. It costs no more than a timer unless that takes long. nil does nothing.
type rest struct {
	w *responseWriter
	t *time.Timer

	mu      sync.Mutex
	waiting bool // for the storage
	lifted  bool // the deadline, which then has to be set anew
}

func newRest(w http.ResponseWriter, protoMajor int) *rest {
	paced, ok := w.(*responseWriter)
	if !ok || protoMajor < 2 { // there a deadline counts only while something is written
		return nil
	}
	return &rest{w: paced}
}

func (r *rest) begin() {
	if r == nil {
		return
	}
	r.mu.Lock()
	r.waiting = true
	r.mu.Unlock()
	if after := r.w.pace.window / 4; r.t == nil {
		r.t = time.AfterFunc(after, r.lift)
	} else {
		r.t.Reset(after)
	}
}

func (r *rest) lift() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.waiting && !r.lifted {
		_ = r.w.rc.SetWriteDeadline(time.Time{})
		r.lifted = true
	}
}

func (r *rest) end() {
	if r == nil {
		return
	}
	r.t.Stop()
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.waiting = false; r.lifted {
		r.w.armed = time.Time{}
		r.w.arm(time.Now(), r.w.pace.window)
		r.lifted = false
	}
}
