package webdav

import (
	"net"
	"net/http"
	"sync"
	"time"
)

// idleConns closes connections on which nothing was asked for some time. It stands in for http.Server.IdleTimeout:
// with that, a connection of HTTP/2 that breaks within a request stays in memory, with all its buffers, for as long
// again. net/http starts its timer anew when it ends the streams, after it has stopped it; nobody has to log in for that.
type idleConns struct {
	after time.Duration

	mu     sync.Mutex
	timers map[net.Conn]*time.Timer
}

func newIdleConns(after time.Duration) *idleConns {
	return &idleConns{after: after, timers: make(map[net.Conn]*time.Timer)}
}

// state is told of each change of a connection's state: http.Server.ConnState.
func (i *idleConns) state(c net.Conn, s http.ConnState) {
	i.mu.Lock()
	defer i.mu.Unlock()
	t := i.timers[c]
	switch {
	case s == http.StateIdle && t == nil:
		i.timers[c] = time.AfterFunc(i.after, func() { _ = c.Close() })
	case s == http.StateIdle:
		t.Reset(i.after)
	case t != nil:
		t.Stop()
	}
	if s == http.StateClosed || s == http.StateHijacked {
		delete(i.timers, c)
	}
}
