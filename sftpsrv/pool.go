package sftpsrv

import "sync"

// buffer is the bytes of one packet, taken from a bufferPool.
type buffer struct {
	b []byte
}

// bufferSizes are the classes of buffers in bytes: small requests and replies,
// READDIR and 32 KiB of data (what clients move at once that did not ask for
// limits@openssh.com), and the largest packet.
var bufferSizes = [...]int{512, 4 << 10, 36 << 10, 68 << 10, maxPacket + 64}

// bufferPool lends buffers to all connections of a server. What an idle
// connection does not need, a busy one uses.
type bufferPool struct {
	classes [len(bufferSizes)]sync.Pool
}

// get lends a buffer of n bytes; n is at most the largest class.
func (p *bufferPool) get(n int) *buffer {
	for class, size := range bufferSizes {
		if n > size {
			continue
		}
		if buf, ok := p.classes[class].Get().(*buffer); ok {
			buf.b = buf.b[:n]
			return buf
		}
		return &buffer{b: make([]byte, n, size)}
	}
	return &buffer{b: make([]byte, n)}
}

// put takes a buffer back; nobody may use it any more.
func (p *bufferPool) put(buf *buffer) {
	if buf == nil {
		return
	}
	for class, size := range bufferSizes {
		if cap(buf.b) == size {
			p.classes[class].Put(buf)
			return
		}
	}
}
