package listing

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"iter"
)

// Reader reads a listing of any length with bounded memory, a window (see Window) at a time. The format, the order
// of dates and the way lines end are decided over the first window; the charset is judged again in each.
type Reader struct {
	r       io.Reader
	s       *session
	err     error // of newSession
	ranged  bool  // All was ranged over
	buf     []byte
	n       int  // bytes in buf
	tooLong bool // the line at the start of buf is over MaxLine and is being dropped
	entries []Entry
}

// smallBuffer is how many bytes a Reader begins with.
const smallBuffer = 8 << 10

// NewReader returns a Reader that takes the listing from r. Bad options are reported by All.
func NewReader(r io.Reader, o Options) *Reader {
	s, err := newSession(o)
	return &Reader{r: r, s: s, err: err}
}

// All yields the entries in order. An error is yielded with a zero Entry and ends the listing: one that wraps
// ErrFormat or ErrCharset for bad options, ErrUnrecognized after a listing of which no line could be read, or the
// error of the underlying reader, after the entries that came whole before it. The entries can be ranged over once:
// after that there are none.
func (r *Reader) All() iter.Seq2[Entry, error] {
	return func(yield func(Entry, error) bool) {
		if r.err != nil {
			yield(Entry{}, r.err)
			return
		}
		if r.ranged {
			return
		}
		r.ranged, r.buf = true, make([]byte, smallBuffer)
		for whole := 0; ; {
			chunk, err := r.fill()
			// a line that was held back and still has no successor will not get one
			last := err != nil || len(chunk) == whole
			var n int
			r.entries, n = r.s.window(chunk, r.entries, last)
			for i := range r.entries {
				if !yield(r.entries[i], nil) {
					return
				}
			}
			r.keep(n)
			if err == nil {
				whole = len(chunk) - n
				continue
			}
			if !errors.Is(err, io.EOF) {
				yield(Entry{}, fmt.Errorf("listing: after line %d: %w", r.s.lines, err))
			} else if err := r.s.q.unrecognized(); err != nil {
				yield(Entry{}, err)
			}
			return
		}
	}
}

// fill reads until a window is full and returns the whole lines of it; at the end of the listing, all of it. After
// an error of the reader what came of the last line is left out.
func (r *Reader) fill() ([]byte, error) {
	for {
		for r.n < len(r.buf) || r.grow() {
			k, err := r.read()
			r.n += k
			if err != nil {
				r.dropLong(true)
				if errors.Is(err, io.EOF) {
					return r.buf[:r.n], io.EOF
				}
				return r.buf[:r.wholeLines()], err
			}
		}
		r.dropLong(false)
		if r.tooLong {
			continue
		}
		if n := r.wholeLines(); n > 0 {
			return r.buf[:n], nil
		}
		// a line as long as the buffer: keep its start, drop the rest as it comes
		r.tooLong = true
		r.n = MaxLine + 1
	}
}

// grow makes the buffer larger, if it may be: most listings are short.
func (r *Reader) grow() bool {
	if len(r.buf) >= Window+MaxLine {
		return false
	}
	r.buf = append(r.buf, make([]byte, min(3*len(r.buf), Window+MaxLine-len(r.buf)))...)
	return true
}

// read reads something, or says why it cannot.
func (r *Reader) read() (int, error) {
	for range 100 {
		if k, err := r.r.Read(r.buf[r.n:]); k > 0 || err != nil {
			return k, err
		}
	}
	return 0, io.ErrNoProgress
}

// dropLong throws away what is in the buffer of a line that is too long, all but its start, up to its end.
func (r *Reader) dropLong(last bool) {
	if !r.tooLong {
		return
	}
	rest := r.buf[MaxLine+1 : r.n]
	i := bytes.IndexByte(rest, '\n')
	if i < 0 {
		r.n = MaxLine + 1
		r.tooLong = !last
		return
	}
	r.n = MaxLine + 1 + copy(rest, rest[i:])
	r.tooLong = false
}

// wholeLines is the length of the part of the buffer that ends with a line end.
func (r *Reader) wholeLines() int {
	b := r.buf[:r.n]
	if r.s.begun && r.s.term.crlf {
		if i := bytes.LastIndex(b, []byte("\r\n")); i >= 0 {
			return i + 2
		}
	}
	if n := bytes.LastIndexByte(b, '\n') + 1; n > 0 {
		return n
	}
	return bytes.LastIndexByte(b[:max(len(b)-1, 0)], '\r') + 1
}

func (r *Reader) keep(from int) {
	r.n = copy(r.buf, r.buf[from:r.n])
}

// Quality tells how well the listing was understood so far: the format is known before the first entry is yielded,
// the charset is that of the last window.
func (r *Reader) Quality() Quality {
	if r.s == nil {
		return Quality{}
	}
	return r.s.q
}
