package webdav

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
	"golang.org/x/sync/errgroup"

	"gateway/storage"
)

// h2 is a client of HTTP/2 that sends whatever it is told to.
type h2 struct {
	*http2.Framer
	t       *testing.T
	conn    *tls.Conn
	headers bytes.Buffer
	encoder *hpack.Encoder
	streams uint32 // the limit that the server announced
}

// dialH2 shakes hands; window is how much the server may send on a stream.
func (s *server) dialH2(window uint32) *h2 {
	s.t.Helper()
	conn, err := tls.Dial("tcp", s.addr, &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"h2"}})
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { conn.Close() })
	c := &h2{Framer: http2.NewFramer(conn, conn), t: s.t, conn: conn}
	c.encoder = hpack.NewEncoder(&c.headers)
	_, err = io.WriteString(conn, http2.ClientPreface)
	err = errors.Join(err, conn.SetDeadline(time.Now().Add(20*time.Second)),
		c.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: window}))
	if err != nil {
		s.t.Fatal(err)
	}
	f, err := c.ReadFrame()
	settings, ok := f.(*http2.SettingsFrame)
	if err != nil || !ok {
		s.t.Fatal(f, err)
	}
	c.streams, _ = settings.Value(http2.SettingMaxConcurrentStreams)
	if err := c.WriteSettingsAck(); err != nil {
		s.t.Fatal(err)
	}
	return c
}

// request begins a stream.
func (c *h2) request(stream uint32, method, path string, end bool) error {
	c.headers.Reset()
	for _, f := range []hpack.HeaderField{
		{Name: ":method", Value: method}, {Name: ":scheme", Value: "https"}, {Name: ":authority", Value: "h"}, {Name: ":path", Value: path},
		{Name: "authorization", Value: "Basic " + base64.StdEncoding.EncodeToString([]byte("alice:alice"))},
	} {
		if err := c.encoder.WriteField(f); err != nil {
			return err
		}
	}
	return c.WriteHeaders(http2.HeadersFrameParam{StreamID: stream, BlockFragment: c.headers.Bytes(), EndStream: end, EndHeaders: true})
}

// busy counts how many requests are at work at once.
type busy struct {
	storage.FS
	now, most, all *atomic.Int64
}

func (b busy) Open(ctx context.Context, name string) (storage.File, error) {
	b.all.Add(1)
	n := b.now.Add(1)
	defer b.now.Add(-1)
	for most := b.most.Load(); n > most && !b.most.CompareAndSwap(most, n); most = b.most.Load() {
	}
	time.Sleep(30 * time.Millisecond)
	return b.FS.Open(ctx, name)
}

// TestRapidReset: streams that are begun and reset at once (CVE-2023-44487) make no more
// work than the streams that are allowed, and others are served.
func TestRapidReset(t *testing.T) {
	var now, most, all atomic.Int64
	s := startWith(t, settings{tls: tlsConfig(t), wrap: func(f storage.FS) storage.FS { return busy{f, &now, &most, &all} }})
	s.put(map[string]string{"f": "content"})
	s.run(step{method: "GET", path: "/f", want: 200}) // the password is checked
	c := s.dialH2(1 << 16)
	if c.streams != maxConcurrentStreams {
		t.Errorf("the server announces %d streams", c.streams)
	}
	gone := make(chan error, 1)
	go func() {
		for {
			if _, err := c.ReadFrame(); err != nil {
				gone <- err
				return
			}
		}
	}()
	const resets = 5000
	sent := 0
	for i := range uint32(resets) {
		if err := errors.Join(c.request(2*i+1, "GET", "/f", true), c.WriteRSTStream(2*i+1, http2.ErrCodeCancel)); err != nil {
			break // the server has had enough
		}
		sent++
	}
	if a := s.send(step{method: "GET", path: "/f"}); a.status != 200 || a.body != "content" {
		t.Errorf("another client: %d %q", a.status, a.body)
	}
	c.conn.Close()
	<-gone
	if most.Load() > maxConcurrentStreams+1 {
		t.Errorf("%d requests were at work at once", most.Load())
	}
	if n := all.Load(); n >= resets {
		t.Errorf("%d of %d streams were worked on", n, sent)
	}
}

// TestHTTP2Stalls: a body that hardly moves, and an answer that nobody takes, end over
// HTTP/2 as well, and only their streams do.
func TestHTTP2Stalls(t *testing.T) {
	s := startWith(t, settings{tls: tlsConfig(t), config: func(c *Config) { c.ProgressTimeout = 300 * time.Millisecond }})
	s.put(map[string]string{"f": "old", "big": strings.Repeat("x", 8<<20)})
	c := s.dialH2(1024)
	if err := errors.Join(c.request(1, "PUT", "/f", false), c.request(3, "GET", "/big", true)); err != nil {
		t.Fatal(err)
	}
	frames := make(chan http2.FrameHeader)
	var ended error
	go func() {
		defer close(frames)
		for {
			f, err := c.ReadFrame()
			if err != nil {
				ended = err
				return
			}
			frames <- f.Header()
		}
	}()
	put, get := false, false
	for !put || !get {
		select {
		case f, ok := <-frames:
			if !ok {
				if errors.Is(ended, os.ErrDeadlineExceeded) {
					t.Fatalf("the server still waits; the upload was ended: %v, the download: %v", put, get)
				}
				put, get = true, true // all of it was ended, which does as well
				continue
			}
			put = put || f.StreamID == 1 && (f.Type == http2.FrameHeaders || f.Type == http2.FrameRSTStream)
			get = get || f.StreamID == 3 && f.Type == http2.FrameRSTStream
		case <-time.After(20 * time.Millisecond):
			if !put {
				_ = c.WriteData(1, false, []byte("x")) // it may be over by now
			}
		}
	}
	c.conn.Close()
	for range frames {
	}
	if a := s.send(step{method: "GET", path: "/f"}); a.body != "old" {
		t.Errorf("%q", a.body)
	}
}

// TestSlowButHonest: an upload that takes longer than the time-out is stored, since it
// moves on all the time.
func TestSlowButHonest(t *testing.T) {
	const timeout = time.Second
	s := startWith(t, settings{tls: tlsConfig(t), config: func(c *Config) { c.ProgressTimeout = timeout }})
	body := strings.Repeat("x", 10*minProgress)
	slowly := func(proto int) error {
		transport := &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, ForceAttemptHTTP2: proto == 2}
		defer transport.CloseIdleConnections()
		pr, pw := io.Pipe()
		go func() {
			for piece := range slices.Chunk([]byte(body), minProgress) {
				_, _ = pw.Write(piece)
				time.Sleep(timeout / 5)
			}
			pw.Close()
		}()
		req, err := http.NewRequest("PUT", fmt.Sprint(s.url, "/f", proto), pr)
		if err != nil {
			return err
		}
		req.SetBasicAuth("alice", "alice")
		res, err := transport.RoundTrip(req)
		if err != nil {
			return err
		}
		res.Body.Close()
		if res.StatusCode != http.StatusCreated || res.ProtoMajor != proto {
			return fmt.Errorf("%s: status %d", res.Proto, res.StatusCode)
		}
		return nil
	}
	var both errgroup.Group
	for _, proto := range []int{1, 2} {
		both.Go(func() error { return slowly(proto) })
	}
	if err := both.Wait(); err != nil {
		t.Fatal(err)
	}
	s.wantFiles(map[string]string{"f1": body, "f2": body})
}

// TestSlowHeader: a header that does not come to its end holds no connection.
func TestSlowHeader(t *testing.T) {
	s := startWith(t, settings{config: func(c *Config) { c.ReadHeaderTimeout = 200 * time.Millisecond }})
	c := s.dial()
	if _, err := io.WriteString(c, "GET / HTTP/1.1\r\nHost: h\r\nX: "); err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(io.Discard, c); err != nil && strings.Contains(err.Error(), "timeout") {
		t.Error("the server still waits for the header")
	}
}
