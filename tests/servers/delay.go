package servers

import (
	"net"
	"sync"
	"time"
)

// defaultWindow is what a receiver with Linux's default limits announces at most: about half of the
// 6 MiB in tcp_rmem.
const defaultWindow = 3 << 20

// handshakes is how many one-way trips pass from a client's SYN until the server accepts: SYN,
// SYN-ACK, ACK. A client's own connect returns after two of them, but what it can do with the
// connection then comes at the server with the third or later.
const handshakes = 3

// delayLine is a connection whose written bytes, and the end of them, arrive later. It holds what a
// receive window lets be under way, so that it limits a single connection to a window in each round
// trip, as a long way does, and nothing else.
type delayLine struct {
	net.Conn // reads are not delayed
	delay    time.Duration
	room     int // bytes, at least one chunk is let in whatever its size
	done     chan struct{}

	mu     sync.Mutex
	moved  sync.Cond
	queue  []delayed
	queued int
	err    error // of the delivery
}

// delayed is what is under way: bytes, or what else is done to the connection.
type delayed struct {
	due  time.Time
	data []byte
	end  func() error // in place of data
	last bool
}

// delayed puts a delay line before a connection, if there is a delay.
func (p *Proxy) delayed(c net.Conn) net.Conn {
	if p.o.Delay == 0 {
		return c
	}
	window := p.o.Window
	if window == 0 {
		window = defaultWindow
	}
	// A byte of the window is free again a round trip after it was sent; it is here for half of one.
	d := &delayLine{Conn: c, delay: p.o.Delay, room: window / 2, done: make(chan struct{})}
	d.moved.L = &d.mu
	p.wg.Go(d.deliver)
	return d
}

// settle waits until what was written has arrived, then closes. It is for the end of a relay.
func settle(conns ...net.Conn) {
	for _, c := range conns {
		if d, ok := c.(*delayLine); ok {
			d.Close()
			<-d.done
		}
	}
}

func (d *delayLine) Write(b []byte) (int, error) {
	if err := d.add(delayed{data: append([]byte(nil), b...)}); err != nil {
		return 0, err
	}
	return len(b), nil
}

// CloseWrite ends the stream behind the bytes that are under way.
func (d *delayLine) CloseWrite() error {
	return d.add(delayed{end: func() error { return d.Conn.(*net.TCPConn).CloseWrite() }})
}

// SetLinger is that of a TCP connection.
func (d *delayLine) SetLinger(sec int) error { return d.Conn.(*net.TCPConn).SetLinger(sec) }

// Close closes behind the bytes that are under way.
func (d *delayLine) Close() error { return d.add(delayed{end: d.Conn.Close, last: true}) }

func (d *delayLine) add(item delayed) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	for d.err == nil && item.data != nil && d.queued > 0 && d.queued+len(item.data) > d.room {
		d.moved.Wait()
	}
	if d.err != nil {
		return d.err
	}
	item.due = time.Now().Add(d.delay)
	d.queue = append(d.queue, item)
	d.queued += len(item.data)
	d.moved.Broadcast()
	return nil
}

// deliver lets everything arrive when it is due, until the connection is closed or broken.
func (d *delayLine) deliver() {
	defer close(d.done)
	for {
		d.mu.Lock()
		for len(d.queue) == 0 {
			d.moved.Wait()
		}
		item := d.queue[0]
		d.mu.Unlock()
		time.Sleep(time.Until(item.due))
		var err error
		if item.end != nil {
			err = item.end()
		} else {
			_, err = d.Conn.Write(item.data)
		}
		if item.last && err == nil {
			err = net.ErrClosed
		}
		d.mu.Lock()
		d.queue = d.queue[1:]
		d.queued -= len(item.data)
		if item.data != nil || item.last {
			d.err = err
		}
		d.moved.Broadcast()
		d.mu.Unlock()
		if item.last || item.data != nil && err != nil {
			return
		}
	}
}
