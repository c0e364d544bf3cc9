package webdav

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"gateway/storage"
)

var basicAlice = "Authorization: Basic " + base64.StdEncoding.EncodeToString([]byte("alice:alice")) + "\r\n"

// dial opens a plain connection with a deadline.
func (s *server) dial() net.Conn {
	s.t.Helper()
	c, err := net.Dial("tcp", s.addr)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { c.Close() })
	if err := c.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		s.t.Fatal(err)
	}
	return c
}

// raw sends text, closes the sending side where half is set, and returns the
// status of the answer; 0 if none came.
func (s *server) raw(text string, half bool) int {
	s.t.Helper()
	c := s.dial()
	if _, err := io.WriteString(c, text); err != nil {
		s.t.Fatal(err)
	}
	if half {
		if err := c.(*net.TCPConn).CloseWrite(); err != nil {
			s.t.Fatal(err)
		}
	}
	res, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		return 0
	}
	res.Body.Close()
	return res.StatusCode
}

// TestPutBrokenOffIsNoFailure: that a client leaves is nothing for the operator to look into.
func TestPutBrokenOffIsNoFailure(t *testing.T) {
	left := make(chan struct{})
	s := startWith(t, settings{wrap: func(f storage.FS) storage.FS { return leftFS{f, left} }})
	c := s.dial()
	if _, err := io.WriteString(c, "PUT /f HTTP/1.1\r\nHost: h\r\n"+basicAlice+"Content-Length: 0\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	<-left // the request is under way
	c.Close()
	for deadline := time.Now().Add(20 * time.Second); !strings.Contains(s.log.String(), "webdav: request failed"); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("the request did not end; log: %s", s.log.String())
		}
	}
	if log := s.log.String(); strings.Contains(log, "level=ERROR") {
		t.Errorf("log: %s", log)
	}
}

// leftFS is a tree whose Stat takes until its caller has left.
type leftFS struct {
	storage.FS
	asked chan struct{}
}

func (f leftFS) Stat(ctx context.Context, _ string) (storage.Info, error) {
	close(f.asked)
	<-ctx.Done()
	return storage.Info{}, ctx.Err()
}

// TestPutCutOff: whatever part of a request arrives, the old file stays.
func TestPutCutOff(t *testing.T) {
	big := strings.Repeat("n", 700<<10) // more than one buffer
	head := func(extra string) string {
		return "PUT /f HTTP/1.1\r\nHost: h\r\n" + basicAlice + extra + "\r\n"
	}
	for name, text := range map[string]string{
		"no body":               head("Content-Length: 10\r\n"),
		"short":                 head("Content-Length: 10\r\n") + "new",
		"short by one":          head("Content-Length: 4\r\n") + "new",
		"big and short":         head("Content-Length: 1000000\r\n") + big,
		"chunked, nothing":      head("Transfer-Encoding: chunked\r\n"),
		"chunked, no last":      head("Transfer-Encoding: chunked\r\n") + "3\r\nnew\r\n",
		"chunked, cut in chunk": head("Transfer-Encoding: chunked\r\n") + "9\r\nnew",
		"chunked, cut in size":  head("Transfer-Encoding: chunked\r\n") + "3\r\nnew\r\n0",
		"chunked, big":          head("Transfer-Encoding: chunked\r\n") + fmt.Sprintf("%x\r\n%s\r\n", len(big), big),
		"chunked, bad size":     head("Transfer-Encoding: chunked\r\n") + "3\r\nnew\r\nzz\r\n",
		"chunked, bad end":      head("Transfer-Encoding: chunked\r\n") + "3\r\nnewer\r\n0\r\n\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			s := start(t)
			s.put(map[string]string{"f": "old"})
			for _, half := range []bool{true, false} {
				if half {
					if got := s.raw(text, true); got != http.StatusBadRequest {
						t.Errorf("status %d", got)
					}
				} else {
					c := s.dial()
					if _, err := io.WriteString(c, text); err != nil {
						t.Fatal(err)
					}
					c.Close()
				}
				s.wantFiles(map[string]string{"f": "old"})
			}
		})
	}
}

// TestPutWhole are the counterparts: complete, though unusual.
func TestPutWhole(t *testing.T) {
	s := start(t)
	for i, tt := range []struct {
		text string
		half bool
		body string
	}{
		{"Content-Length: 3\r\n\r\nnew", false, "new"},
		{"Content-Length: 3\r\n\r\nnew", true, "new"}, // the client closes its side at once
		{"Content-Length: 0\r\n\r\n", true, ""},
		{"Transfer-Encoding: chunked\r\nX-Expected-Entity-Length: 6\r\n\r\n3\r\nnew\r\n3\r\ner!\r\n0\r\n\r\n", true, "newer!"},
		{"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n", false, ""},
	} {
		name := fmt.Sprintf("f%d", i)
		got := s.raw("PUT /"+name+" HTTP/1.1\r\nHost: h\r\nConnection: close\r\n"+basicAlice+tt.text, tt.half)
		content, ok := s.files()[name]
		if tt.half && got == http.StatusServiceUnavailable && !ok {
			continue // net/http may take a client that closed its side for one that left
		}
		if got != http.StatusCreated || !ok || content != tt.body {
			t.Errorf("%d: status %d, content %q %v", i, got, content, ok)
		}
	}
}

// TestPutCutOffHTTP2: a reset stream publishes nothing.
func TestPutCutOffHTTP2(t *testing.T) {
	cert, _, err := SelfSigned(t.TempDir(), []string{"127.0.0.1"})
	if err != nil {
		t.Fatal(err)
	}
	began := make(chan struct{}, 1)
	s := startWith(t, settings{tls: &tls.Config{Certificates: []tls.Certificate{cert}},
		wrap: func(f storage.FS) storage.FS { return notifying{f, began} }})
	s.put(map[string]string{"f": "old"})
	ctx, cancel := context.WithCancel(t.Context())
	pr, pw := io.Pipe()
	req, err := http.NewRequestWithContext(ctx, "PUT", s.url+"/f", pr)
	if err != nil {
		t.Fatal(err)
	}
	req.SetBasicAuth("alice", "alice")
	go func() {
		_, _ = pw.Write(bytes.Repeat([]byte("n"), 300<<10))
		<-began
		cancel()
		pw.CloseWithError(errors.New("cut off by the test"))
	}()
	if res, err := s.client.Do(req); err == nil {
		res.Body.Close()
		t.Errorf("status %d over %s", res.StatusCode, res.Proto)
	}
	if a := s.send(step{method: "GET", path: "/f"}); a.body != "old" {
		t.Errorf("%d %.20q", a.status, a.body)
	}
	// Whole uploads arrive the same way.
	a := s.send(step{method: "PUT", path: "/f", body: "new"})
	if got := s.send(step{method: "GET", path: "/f"}).body; a.status != 204 || got != "new" {
		t.Errorf("%d %q", a.status, got)
	}
}

// notifying tells when an upload was begun.
type notifying struct {
	storage.FS
	began chan struct{}
}

func (n notifying) Create(ctx context.Context, name string, o storage.CreateOptions) (storage.Upload, error) {
	u, err := n.FS.Create(ctx, name, o)
	select {
	case n.began <- struct{}{}:
	default:
	}
	return u, err
}

// TestTrickleIsCut: a body that keeps coming, but hardly, ends with 408 or a closed
// connection, and so does an answer that nobody reads.
func TestTrickleIsCut(t *testing.T) {
	s := startWith(t, settings{config: func(c *Config) { c.ProgressTimeout = 300 * time.Millisecond }})
	s.put(map[string]string{"f": "old", "big": strings.Repeat("x", 64<<20)})
	c := s.dial()
	if _, err := io.WriteString(c, "PUT /f HTTP/1.1\r\nHost: h\r\n"+basicAlice+"Content-Length: 100000\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	stop := make(chan struct{})
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		for {
			select {
			case <-stop:
				return
			case <-time.After(20 * time.Millisecond):
				if _, err := c.Write([]byte("x")); err != nil {
					return
				}
			}
		}
	}()
	res, err := http.ReadResponse(bufio.NewReader(c), nil)
	close(stop)
	<-stopped
	if err == nil {
		res.Body.Close()
		if res.StatusCode != http.StatusRequestTimeout {
			t.Errorf("status %d", res.StatusCode)
		}
	} else if errors.Is(err, os.ErrDeadlineExceeded) {
		t.Error("the server still waits for the rest")
	}
	if a := s.send(step{method: "GET", path: "/f"}); a.body != "old" {
		t.Errorf("%q", a.body)
	}

	deaf := s.dial()
	if _, err := io.WriteString(deaf, "GET /big HTTP/1.1\r\nHost: h\r\n"+basicAlice+"\r\n"); err != nil {
		t.Fatal(err)
	}
	deadline := time.Now().Add(15 * time.Second)
	for !strings.Contains(s.log.String(), "path=/big status=200") {
		if time.Now().After(deadline) {
			t.Fatal("the request of a client that does not read is still running")
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// TestSlowStorageIsNotBlamed: only the time the client takes counts.
func TestSlowStorageIsNotBlamed(t *testing.T) {
	const timeout = 200 * time.Millisecond
	s := startWith(t, settings{config: func(c *Config) { c.ProgressTimeout = timeout },
		wrap: func(f storage.FS) storage.FS { return slow{f, 2 * timeout} }})
	body := strings.Repeat("x", 600<<10)
	s.run(step{method: "PUT", path: "/f", body: body, want: 201})
	s.wantFiles(map[string]string{"f": body})
}

type slow struct {
	storage.FS
	delay time.Duration
}

func (f slow) Create(ctx context.Context, name string, o storage.CreateOptions) (storage.Upload, error) {
	u, err := f.FS.Create(ctx, name, o)
	return slowUpload{u, f.delay}, err
}

type slowUpload struct {
	storage.Upload
	delay time.Duration
}

func (u slowUpload) WriteAt(p []byte, off int64) (int, error) {
	time.Sleep(u.delay)
	return u.Upload.WriteAt(p, off)
}

func (u slowUpload) Commit(ctx context.Context, o storage.CommitOptions) (storage.Info, error) {
	time.Sleep(u.delay)
	return u.Upload.Commit(ctx, o)
}
