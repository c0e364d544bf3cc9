package webdav

import (
	"crypto/tls"
	"net"
	"sync"
	"time"
)

const (
	// chunkBytes of a file are read and sent at once.
	chunkBytes = 32 << 10
	// gatherBytes holds the answer with a file of chunkBytes: its header, and what TLS adds, are certain to fit as well.
	gatherBytes = chunkBytes + 8<<10
	// closeTime is for how long the rest of an answer may be written when the connection is closed.
	closeTime = 5 * time.Second
)

// gathered makes one call of the system of a small answer, which net/http and TLS write in several: the header fills
// up a buffer of 4 KiB, which is written with the first bytes of the body, the rest is written after that, and on a new
// connection each 1.4 KiB by themselves. It is below TLS. Where nobody asks for it, it writes at once.
//
// What is gathered goes out when there is more than fits, when the connection is idle again (end), or when it is closed (last).
// HTTP/2, whose connections are never known to be done with an answer, does not use it.
type gathered struct {
	mu   sync.Mutex
	pool *bufferPool        // nil: nothing is gathered
	held *[gatherBytes]byte // nil while nothing is held
	n    int
	err  error // of a write that nobody was told of
}

// bufferPool lends buffers to all connections.
type bufferPool struct {
	chunks  sync.Pool // of *[chunkBytes]byte
	answers sync.Pool // of *[gatherBytes]byte
}

func newBufferPool() *bufferPool {
	return &bufferPool{
		chunks:  sync.Pool{New: func() any { return new([chunkBytes]byte) }},
		answers: sync.Pool{New: func() any { return new([gatherBytes]byte) }},
	}
}

// begin gathers from now on.
func (g *gathered) begin(pool *bufferPool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.pool = pool
}

// write is the Write of a connection to to.
func (g *gathered) write(to net.Conn, p []byte) (int, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.n+len(p) > gatherBytes {
		g.send(to)
	}
	if g.err != nil {
		return 0, g.err
	}
	if g.pool == nil || len(p) > gatherBytes {
		return to.Write(p)
	}
	if g.held == nil {
		g.held = g.pool.answers.Get().(*[gatherBytes]byte)
	}
	g.n += copy(g.held[g.n:], p)
	return len(p), nil
}

// send writes what is held.
func (g *gathered) send(to net.Conn) {
	if g.held == nil {
		return
	}
	if g.err == nil {
		_, g.err = to.Write(g.held[:g.n])
	}
	g.pool.answers.Put(g.held)
	g.held, g.n = nil, 0
}

// last sends what is held before the connection is closed. TLS has let the time for writing pass by then. If
// somebody else is writing, to close the connection is meant to end that.
func (g *gathered) last(to net.Conn) {
	if !g.mu.TryLock() {
		return
	}
	defer g.mu.Unlock()
	if g.held != nil {
		_ = to.SetWriteDeadline(time.Now().Add(closeTime))
		g.send(to)
	}
}

type connKey struct{}

// gatheringConn is the connection below c, or nil where it was not accepted by a limitedListener.
func gatheringConn(c net.Conn) *countedConn {
	if t, ok := c.(*tls.Conn); ok {
		c = t.NetConn()
	}
	counted, _ := c.(*countedConn)
	return counted
}

// end sends what is held and gathers no more. A client that does not take it within patience is cut off.
func (c *countedConn) end(patience time.Duration) {
	if c == nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	defer func() { c.pool = nil }()
	if c.held == nil {
		return
	}
	_ = c.Conn.SetWriteDeadline(time.Now().Add(patience))
	c.send(c.Conn)
	_ = c.Conn.SetWriteDeadline(time.Time{})
	if c.err != nil {
		_ = c.Conn.Close() // the next read ends the connection
	}
}
