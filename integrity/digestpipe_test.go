package integrity

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"runtime"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
)

// slowHash is a hash that takes a while for each write.
type slowHash struct {
	perWrite time.Duration
	writes   int
}

func (h *slowHash) Write(p []byte) (int, error) {
	time.Sleep(h.perWrite)
	h.writes++
	return len(p), nil
}
func (h *slowHash) Sum([]byte) []byte { return nil }
func (h *slowHash) Reset()            {}
func (h *slowHash) Size() int         { return 0 }
func (h *slowHash) BlockSize() int    { return 1 }

func TestPipeWrite(t *testing.T) {
	data := noiseBytes(5*PipeBufferBytes + 12345)
	want := sumsOf(t, data, SHA256, SHA512, MD5)
	random := rand.New(rand.NewPCG(1, 2))
	for _, most := range []int{1 << 10, PipeBufferBytes - 1, PipeBufferBytes, 3 * PipeBufferBytes, len(data)} {
		p := NewPipe(mustDigester(t, SHA512, MD5))
		for rest := data; len(rest) > 0; {
			n := min(1+random.IntN(most), len(rest))
			// The pipe must keep nothing of what it was given.
			piece := bytes.Clone(rest[:n])
			if m, err := p.Write(piece); m != n || err != nil {
				t.Fatal(m, err)
			}
			clear(piece)
			rest = rest[n:]
		}
		wantSums(t, p.Sums(), want)
		if p.Size() != int64(len(data)) {
			t.Errorf("size %d", p.Size())
		}
	}
}

// Sums can be asked for in between, and the digester handed over and back.
func TestPipeFlushInBetween(t *testing.T) {
	data := noiseBytes(3 * PipeBufferBytes)
	p := NewPipe(mustDigester(t))
	wantSums(t, p.Sums(), sumsOf(t, nil, SHA256))
	for i := 0; i < len(data); i += 100_001 {
		p.Write(data[i:min(i+100_001, len(data))])
		wantSums(t, p.Sums(), sumsOf(t, data[:min(i+100_001, len(data))], SHA256))
	}
	state, err := p.Flush().MarshalBinary()
	if err != nil {
		t.Fatal(err)
	}
	d, err := RestoreDigester(state)
	if err != nil {
		t.Fatal(err)
	}
	p = NewPipe(d)
	p.Write(data)
	if p.Size() != int64(2*len(data)) || p.Flush().Whole() {
		t.Errorf("size %d, whole %v", p.Size(), p.Flush().Whole())
	}
	wantSums(t, p.Sums(), sumsOf(t, append(bytes.Clone(data), data...), SHA256))
}

func TestPipeCopy(t *testing.T) {
	data := noiseBytes(4*PipeBufferBytes + 999)
	want := sumsOf(t, data, SHA256, MD5)
	for name, wrap := range map[string]func(io.Reader) io.Reader{
		"whole":     func(r io.Reader) io.Reader { return r },
		"half":      iotest.HalfReader,
		"with data": iotest.DataErrReader,
		"one byte":  func(r io.Reader) io.Reader { return io.MultiReader(iotest.OneByteReader(io.LimitReader(r, 5000)), r) },
	} {
		p := NewPipe(mustDigester(t, MD5))
		var out bytes.Buffer
		n, err := p.Copy(&out, wrap(bytes.NewReader(data)))
		if err != nil || n != int64(len(data)) || !bytes.Equal(out.Bytes(), data) {
			t.Errorf("%s: %d bytes, %v", name, n, err)
		}
		wantSums(t, p.Sums(), want)
	}
}

var errPipeTest = errors.New("broken")

// limitedWriter takes some bytes and then fails in its own way.
type limitedWriter struct {
	bytes.Buffer
	left int
	lie  int
	err  error
}

func (w *limitedWriter) Write(p []byte) (int, error) {
	if len(p) <= w.left {
		w.left -= len(p)
		return w.Buffer.Write(p)
	}
	w.Buffer.Write(p[:w.left])
	return w.left + w.lie, w.err
}

// Whatever breaks, the digests cover exactly what the writer took.
func TestPipeCopyErrors(t *testing.T) {
	data := noiseBytes(3 * PipeBufferBytes)
	const some = PipeBufferBytes + 4321
	tests := []struct {
		name string
		src  io.Reader
		dst  *limitedWriter
		want error
		took int
	}{
		{"reader", io.MultiReader(bytes.NewReader(data[:some]), iotest.ErrReader(errPipeTest)), &limitedWriter{left: 1 << 30}, errPipeTest, some},
		{"reader, wrapped EOF", io.MultiReader(bytes.NewReader(data[:some]), iotest.ErrReader(errors.Join(errPipeTest, io.EOF))),
			&limitedWriter{left: 1 << 30}, errPipeTest, some},
		{"reader that gives nothing", io.MultiReader(bytes.NewReader(data[:some]), slowSource{}), &limitedWriter{left: 1 << 30}, io.ErrNoProgress, some},
		{"writer", bytes.NewReader(data), &limitedWriter{left: some, err: errPipeTest}, errPipeTest, some},
		{"short write", bytes.NewReader(data), &limitedWriter{left: some}, io.ErrShortWrite, some},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			p := NewPipe(mustDigester(t))
			n, err := p.Copy(test.dst, test.src)
			if !errors.Is(err, test.want) || n != int64(test.took) || test.dst.Len() != test.took {
				t.Errorf("%d bytes, %d written, %v; want %d, %v", n, test.dst.Len(), err, test.took, test.want)
			}
			wantSums(t, p.Sums(), sumsOf(t, data[:test.took], SHA256))
		})
	}
	p := NewPipe(mustDigester(t))
	if n, err := p.Copy(&limitedWriter{lie: PipeBufferBytes + 1}, bytes.NewReader(data)); n != 0 || err == nil {
		t.Errorf("a writer that claims too much: %d, %v", n, err)
	}
	if n, err := p.Copy(io.Discard, lyingReader{}); n != 0 || err == nil {
		t.Errorf("a reader that claims too much: %d, %v", n, err)
	}
}

type slowSource struct{}

func (slowSource) Read([]byte) (int, error) { return 0, nil }

type lyingReader struct{}

func (lyingReader) Read(p []byte) (int, error) { return len(p) + 1, nil }

// A writer does not wait for a hash until all buffers are full, and then only
// for one of them.
func TestPipeBackPressure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := &slowHash{perWrite: time.Second}
		d := mustDigester(t)
		d.hashes[0] = h
		p := NewPipe(d)
		buffer := make([]byte, PipeBufferBytes)
		start := time.Now()
		for i := range MaxPipeBuffers {
			p.Write(buffer)
			if waited := time.Since(start); waited != 0 {
				t.Errorf("buffer %d waited %v while others were free", i+1, waited)
			}
		}
		p.Write(buffer)
		if waited := time.Since(start); waited != time.Second {
			t.Errorf("with all buffers full it waited %v, want 1s", waited)
		}
		p.Flush()
		if waited := time.Since(start); waited != (MaxPipeBuffers+1)*time.Second || h.writes != MaxPipeBuffers+1 {
			t.Errorf("flushed after %v and %d writes", waited, h.writes)
		}
		if p.made > MaxPipeBuffers {
			t.Errorf("%d buffers", p.made)
		}
	})
}

// Pipes that are given up leave no goroutine, and nothing needs closing.
func TestPipeLeavesNoGoroutine(t *testing.T) {
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	for range 20 {
		p := NewPipe(mustDigester(t, MD5))
		p.Write(make([]byte, 3*PipeBufferBytes/2))
		p.Copy(&limitedWriter{left: 100, err: errPipeTest}, bytes.NewReader(make([]byte, PipeBufferBytes)))
	}
	runtime.Gosched()
}
