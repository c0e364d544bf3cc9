package webdav

import (
	"errors"
	"io"
	"net/http"
	"time"
)

const (
	// minProgress bytes must move in Config.ProgressTimeout: about 136 a second by
	// default, far below any line that people still use.
	minProgress = 8 << 10
	// discardTimeout bounds what net/http reads of a body that was not wanted.
	discardTimeout = 5 * time.Second
	// frameBytes fill a record of TLS, of 16 KiB, as a DATA frame of HTTP/2 with its header of 9 bytes. A frame of 16 KiB,
	// which is what clients take at most, would have its last 9 bytes in a record, and a call of the system, of their own.
	frameBytes = 16<<10 - 9
)

// pace is the time left for the next minProgress bytes. Only time spent waiting
// for the client counts, never that of a slow storage.
type pace struct {
	window time.Duration
	left   time.Duration
	moved  int
}

func (p *pace) deadline(now time.Time) time.Time { return now.Add(p.left) }

func (p *pace) spent(d time.Duration, n int) {
	p.left = max(p.left-d, 0)
	if p.moved += n; p.moved >= minProgress {
		p.moved, p.left = 0, p.window
	}
}

// paced puts deadlines on both bodies of a request. There is no pacedBody where the request has none.
func (h *Handler) paced(w http.ResponseWriter, r *http.Request) (*responseWriter, *pacedBody) {
	rc := http.NewResponseController(w)
	p := pace{window: h.cfg.ProgressTimeout, left: h.cfg.ProgressTimeout}
	rw := &responseWriter{ResponseWriter: w, rc: rc, pace: p, pool: h.buffers, http2: r.ProtoMajor == 2}
	if r.Body == http.NoBody {
		return rw, nil
	}
	return rw, &pacedBody{ReadCloser: r.Body, rc: rc, pace: p, empty: r.Body == nil || r.ContentLength == 0}
}

// pacedBody is a request body whose sender must keep going.
type pacedBody struct {
	io.ReadCloser
	rc    *http.ResponseController
	pace  pace
	empty bool // there is no body
	ended bool // it was read to its end or failed
}

// of is the request with this body: a copy, since net/http looks at the body of its own to see that a client still waits for
// 100 Continue, and would wait for bytes that will not come. The request itself where there is none.
func (b *pacedBody) of(r *http.Request) *http.Request {
	if b == nil {
		return r
	}
	r = r.WithContext(r.Context())
	r.Body = b
	return r
}

func (b *pacedBody) Read(p []byte) (int, error) {
	if b.empty {
		return 0, io.EOF
	}
	start := time.Now()
	_ = b.rc.SetReadDeadline(b.pace.deadline(start))
	n, err := b.ReadCloser.Read(p)
	b.pace.spent(time.Since(start), n)
	b.ended = err != nil
	// At the end net/http watches the connection to see the client leave; with
	// the deadline still on it would take a slow Commit for that. HTTP/2 lets the
	// deadline run between two reads as well. After a failure it stays, or
	// net/http would go on reading what is left before it answers.
	if err == nil || errors.Is(err, io.EOF) {
		_ = b.rc.SetReadDeadline(time.Time{})
	}
	return n, err
}

// finish bounds the reading of what the handler left unread.
func (b *pacedBody) finish() {
	if b != nil && !b.empty && !b.ended {
		_ = b.rc.SetReadDeadline(time.Now().Add(discardTimeout))
	}
}

// responseWriter remembers the status and cuts off a client that does not read.
type responseWriter struct {
	http.ResponseWriter
	rc     *http.ResponseController
	pace   pace
	armed  time.Time // when the deadline was last set to a whole window; zero: it is another
	status int       // 0 until the header is written
	pool   *bufferPool

	http2    bool
	gathered bool // the connection keeps all that is written, until the end
}

// gather sends the answer, which has a body of size bytes, in one piece if it is small. Only HTTP/1.1 can.
func (w *responseWriter) gather(r *http.Request, size int64) {
	conn, ok := r.Context().Value(connKey{}).(*countedConn)
	if !ok || conn == nil || r.ProtoMajor != 1 || size > chunkBytes {
		return
	}
	conn.begin(w.pool)
	w.gathered = true
}

// arm sets the deadline of what is written from now on. One that was set a moment ago for as long is left: to set
// it costs more than to write, with HTTP/2, where another goroutine has to do it.
func (w *responseWriter) arm(now time.Time, left time.Duration) {
	if w.gathered { // nothing waits for the client: see gathered.end
		return
	}
	little := w.pace.window / 64
	whole := w.pace.window-left <= little
	if whole && now.Sub(w.armed) <= little {
		return
	}
	_ = w.rc.SetWriteDeadline(now.Add(left))
	w.armed = time.Time{}
	if whole {
		w.armed = now
	}
}

// Unwrap lets http.ResponseController reach the connection.
func (w *responseWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

func (w *responseWriter) WriteHeader(status int) {
	if w.status == 0 && status >= http.StatusOK {
		w.status = status
		w.arm(time.Now(), w.pace.left)
	}
	w.ResponseWriter.WriteHeader(status)
}

func (w *responseWriter) Write(p []byte) (int, error) {
	if w.status == 0 {
		w.WriteHeader(http.StatusOK)
	}
	start := time.Now()
	w.arm(start, w.pace.left)
	n, err := w.ResponseWriter.Write(p)
	end := time.Now()
	w.pace.spent(end.Sub(start), n)
	w.arm(end, w.pace.window) // stays on for what net/http flushes after the handler
	return n, err
}

// ReadFrom implements io.ReaderFrom, with a buffer that is lent.
func (w *responseWriter) ReadFrom(from io.Reader) (int64, error) {
	chunk := w.pool.chunks.Get().(*[chunkBytes]byte)
	defer w.pool.chunks.Put(chunk)
	size := chunkBytes
	if w.http2 {
		size = frameBytes
	}
	return io.CopyBuffer(struct{ io.Writer }{w}, from, chunk[:size])
}
