package integrity

import (
	"errors"
	"fmt"
	"io"
	"sync"
)

// Sizes of a Pipe: what it hands over at once, and how many such buffers it has
// at most. A pipe that never falls behind makes two or three.
const (
	PipeBufferBytes = 1 << 20
	MaxPipeBuffers  = 4

	minPipeBuffer = 512
)

// Pipe computes digests beside a transfer: bytes written to it are hashed by a
// goroutine of its own while the next ones are on their way. A writer waits only
// when all MaxPipeBuffers buffers are full, so that hashing is as fast as the
// slower of the two and memory stays bounded.
//
// The goroutine lives only while full buffers wait, so a Pipe that is given up
// in the middle leaves nothing behind and needs no Close. One goroutine may call
// a Pipe's methods at a time.
type Pipe struct {
	digester *Digester
	size     int64  // bytes taken
	buffers  int    // bytes in each
	current  []byte // being filled by the writer

	mu      sync.Mutex
	changed sync.Cond
	full    [][]byte // waiting to be hashed, in order
	free    [][]byte
	made    int
	running bool // the goroutine is there, and the digester its own
}

// NewPipe hashes into d, which nothing else may use while the Pipe has bytes
// that Flush did not wait for.
func NewPipe(d *Digester) *Pipe {
	p := &Pipe{digester: d, size: d.Size(), buffers: PipeBufferBytes}
	p.changed.L = &p.mu
	return p
}

// Expect says how many bytes will come, at most as far as is known; below 0 that
// nothing is known. A pipe that expects few makes small buffers. It must be
// called before anything is written, and binds nobody.
func (p *Pipe) Expect(size int64) {
	if size >= 0 {
		p.buffers = int(min(max(size, minPipeBuffer), PipeBufferBytes))
	}
}

// Write takes a copy of b. It never fails and waits only as the type says.
func (p *Pipe) Write(b []byte) (int, error) {
	for rest := b; len(rest) > 0; {
		space := p.space()
		n := copy(space, rest)
		p.take(n)
		rest = rest[n:]
	}
	return len(b), nil
}

// Copy copies from src to dst until the end of src or an error, as io.Copy does,
// and hashes what dst accepted, without another copy. Whatever the error, the
// digests cover exactly the bytes that dst took, whose number is returned.
//
// Each read is written at once; a reader that gives much at a time makes dst's
// writes up to PipeBufferBytes long.
func (p *Pipe) Copy(dst io.Writer, src io.Reader) (int64, error) {
	var total int64
	for idle := 0; ; {
		space := p.space()
		n, readErr := src.Read(space)
		if n < 0 || n > len(space) {
			return total, errors.New("integrity: copy: the reader gave an impossible count")
		}
		if n > 0 {
			idle = 0
			m, err := writeAll(dst, space[:n])
			p.take(m)
			total += int64(m)
			if err != nil {
				return total, err
			}
		}
		switch {
		case readErr == io.EOF: // a wrapped EOF is a transfer that broke off, not the end
			return total, nil
		case readErr != nil:
			return total, readErr
		}
		if idle++; idle > 100 {
			return total, io.ErrNoProgress
		}
	}
}

// writeAll writes b, and tells how much of it dst surely has.
func writeAll(dst io.Writer, b []byte) (int, error) {
	n, err := dst.Write(b)
	switch {
	case n < 0 || n > len(b):
		return 0, fmt.Errorf("integrity: copy: the writer claims %d of %d bytes", n, len(b))
	case err == nil && n < len(b):
		err = io.ErrShortWrite
	}
	return n, err
}

// Size is the number of bytes that the digests cover once they are flushed.
func (p *Pipe) Size() int64 { return p.size }

// Flush waits until every byte taken is hashed and returns the digester, which
// is the caller's until the next byte is written.
func (p *Pipe) Flush() *Digester {
	if len(p.current) > 0 {
		p.hand()
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for p.running {
		p.changed.Wait()
	}
	return p.digester
}

// Sums is Flush and the digests, SHA256 first.
func (p *Pipe) Sums() []Digest { return p.Flush().Sums() }

// space is the rest of the current buffer, never empty.
func (p *Pipe) space() []byte {
	if p.current == nil {
		p.current = p.buffer()
	}
	return p.current[len(p.current):cap(p.current)]
}

// take adds the next n bytes of space, which now belong to the pipe.
func (p *Pipe) take(n int) {
	p.current = p.current[:len(p.current)+n]
	p.size += int64(n)
	if len(p.current) == cap(p.current) {
		p.hand()
	}
}

// buffer is an empty one; it waits while all of them are full.
func (p *Pipe) buffer() []byte {
	p.mu.Lock()
	defer p.mu.Unlock()
	for len(p.free) == 0 {
		if p.made < MaxPipeBuffers {
			p.made++
			return make([]byte, 0, p.buffers)
		}
		p.changed.Wait()
	}
	last := len(p.free) - 1
	b := p.free[last]
	p.free = p.free[:last]
	return b
}

// hand gives the current buffer to the goroutine and starts it if need be.
func (p *Pipe) hand() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.full = append(p.full, p.current)
	p.current = nil
	if !p.running {
		p.running = true
		go p.run()
	}
}

// run hashes the full buffers and ends when none is left.
func (p *Pipe) run() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for len(p.full) > 0 {
		b := p.full[0]
		p.full = p.full[1:]
		p.mu.Unlock()
		p.digester.Write(b) //nolint:errcheck // it never fails
		p.mu.Lock()
		p.free = append(p.free, b[:0])
		p.changed.Broadcast()
	}
	p.full = nil
	p.running = false
	p.changed.Broadcast()
}
