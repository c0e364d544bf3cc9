package webdav

import (
	"bytes"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"
)

// recorder is a connection that remembers what was written to it, one entry for each call.
type recorder struct {
	net.Conn
	writes  [][]byte
	closed  bool
	failure error
}

func (r *recorder) Write(p []byte) (int, error) {
	if r.failure != nil {
		return 0, r.failure
	}
	r.writes = append(r.writes, bytes.Clone(p))
	return len(p), nil
}

func (r *recorder) Close() error { r.closed = true; return nil }

func (r *recorder) SetWriteDeadline(time.Time) error { return nil }

func TestGather(t *testing.T) {
	var want []byte
	r := &recorder{}
	c := &countedConn{Conn: r, leave: func() {}}
	write := func(n int) {
		t.Helper()
		p := bytes.Repeat([]byte{byte(len(want)%251 + 1)}, n)
		want = append(want, p...)
		if got, err := c.Write(p); got != n || err != nil {
			t.Fatalf("%d, %v", got, err)
		}
	}
	calls := func(n int, when string) {
		t.Helper()
		if len(r.writes) != n {
			t.Errorf("%d calls %s, want %d", len(r.writes), when, n)
		}
	}
	write(10)
	calls(1, "before it gathers")
	c.begin(newBufferPool())
	write(20)
	write(30)
	calls(1, "while it gathers")
	c.end(time.Minute)
	calls(2, "at the end")
	c.begin(newBufferPool())
	write(gatherBytes)
	write(1)
	calls(3, "when it was full")
	write(gatherBytes + 1)
	calls(5, "after more than it holds")
	write(40)
	c.end(time.Minute)
	calls(6, "at the end")
	c.end(time.Minute)
	calls(6, "at an end with nothing")
	write(50)
	calls(7, "after the end")
	c.begin(newBufferPool())
	write(60)
	if err := c.Close(); err != nil || !r.closed {
		t.Error(err)
	}
	calls(8, "when it was closed")
	if got := bytes.Join(r.writes, nil); !bytes.Equal(got, want) {
		t.Error("other bytes were written")
	}
}

// TestGatherFails: what could not be written is told by the next call, and ends the connection.
func TestGatherFails(t *testing.T) {
	r := &recorder{failure: errDisk}
	c := &countedConn{Conn: r, leave: func() {}}
	c.begin(newBufferPool())
	if _, err := c.Write([]byte("x")); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Write(make([]byte, gatherBytes)); !errors.Is(err, errDisk) {
		t.Error(err)
	}
	r = &recorder{failure: errDisk}
	c = &countedConn{Conn: r, leave: func() {}}
	c.begin(newBufferPool())
	_, _ = c.Write([]byte("x"))
	if c.end(time.Minute); !r.closed {
		t.Error("the connection is open after an answer that could not be written")
	}
}

// TestGatherCutsOff: a client that does not take the end of an answer keeps no connection.
func TestGatherCutsOff(t *testing.T) {
	ours, theirs := net.Pipe()
	c := &countedConn{Conn: ours, leave: func() {}}
	c.begin(newBufferPool())
	_, _ = c.Write([]byte("x"))
	c.end(time.Millisecond) // returns
	_ = theirs.SetReadDeadline(time.Now().Add(time.Minute))
	if _, err := theirs.Read(make([]byte, 1)); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("the connection is not closed: %v", err)
	}
}

// TestAnswersAreWhole: answers of every size around the bounds come whole, one after the other on one connection, and
// the last before the server closes it.
func TestAnswersAreWhole(t *testing.T) {
	for name, o := range map[string]settings{"HTTP/1.1": {}, "HTTP/1.1 over TLS": {tls: tlsConfig(t)}, "HTTP/2": {tls: tlsConfig(t)}} {
		t.Run(name, func(t *testing.T) {
			s := startWith(t, o)
			s.client.Transport.(*http.Transport).ForceAttemptHTTP2 = name == "HTTP/2"
			for _, size := range []int{0, 1, 2000, 4096, chunkBytes - 1, chunkBytes, chunkBytes + 1, 3*chunkBytes + 7} {
				body := strings.Repeat("0123456789abcde\n", size/16+1)[:size]
				s.run(step{method: "PUT", path: "/f", body: body, want: map[bool]int{true: 201, false: 204}[size == 0]})
				for _, last := range []bool{false, false, true} {
					req, err := http.NewRequest(http.MethodGet, s.url+"/f", http.NoBody)
					if err != nil {
						t.Fatal(err)
					}
					req.SetBasicAuth("alice", "alice")
					req.Close = last
					resp, err := s.client.Do(req)
					if err != nil {
						t.Fatal(err)
					}
					got, err := io.ReadAll(resp.Body)
					resp.Body.Close()
					if err != nil || string(got) != body || !strings.HasPrefix(name, strings.TrimSuffix(resp.Proto, ".0")) {
						t.Errorf("%s: %d bytes: got %d, %v", resp.Proto, size, len(got), err)
					}
				}
			}
		})
	}
}
