package sftpsrv

import "sync"

// opens lets OPENs of different names run beside each other, so that many small files over one connection
// do not wait for one another. An OPEN of a name that is being opened, and all other requests by
// path, are in order with them, as if each came after the one before it had ended.
type opens struct {
	running sync.WaitGroup // OPENs outside of the queue of requests by path

	mu     sync.Mutex
	queued int                 // requests in that queue, with the one that is carried out
	names  map[string]struct{} // being opened outside of it; at most maxOpens
}

// begin reports whether an OPEN of name may run now; then end has to be called. Otherwise it has to be queued.
func (o *opens) begin(name string) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	if _, same := o.names[name]; same || o.queued > 0 || len(o.names) >= maxOpens {
		return false
	}
	if o.names == nil {
		o.names = make(map[string]struct{})
	}
	o.names[name] = struct{}{}
	o.running.Add(1)
	return true
}

func (o *opens) end(name string) {
	o.mu.Lock()
	delete(o.names, name)
	o.mu.Unlock()
	o.running.Done()
}

// queue counts a request that is put into the queue. Until it is done no OPEN begins outside of it.
func (o *opens) queue() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.queued++
}

// turn waits for the OPENs that came before a request in the queue.
func (o *opens) turn() { o.running.Wait() }

func (o *opens) done() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.queued--
}
