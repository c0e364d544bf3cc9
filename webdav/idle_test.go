package webdav

import (
	"bufio"
	"context"
	"crypto/tls"
	"fmt"
	"net/http"
	"runtime"
	"testing"
	"time"

	"gateway/storage"
)

// slowOpen takes its time with each file.
type slowOpen struct {
	storage.FS
	time time.Duration
}

func (s slowOpen) Open(ctx context.Context, name string) (storage.File, error) {
	time.Sleep(s.time)
	return s.FS.Open(ctx, name)
}

// TestIdleConnections: who asks for nothing is hung up on, and nobody whose request takes longer.
func TestIdleConnections(t *testing.T) {
	const idle = 100 * time.Millisecond
	s := startWith(t, settings{tls: tlsConfig(t), config: func(c *Config) { c.IdleTimeout = idle },
		wrap: func(f storage.FS) storage.FS { return slowOpen{f, 5 * idle} }})
	s.put(map[string]string{"f": "content"})
	s.run(step{method: "GET", path: "/f", want: 200}) // HTTP/2
	began := time.Now()
	c := s.dialH2(1 << 16)
	for err := error(nil); err == nil; {
		_, err = c.ReadFrame()
	}
	if took := time.Since(began); took > 15*time.Second { // the client waits for 20
		t.Errorf("an idle connection of HTTP/2 ended after %v", took)
	}
	conn, err := tls.Dial("tcp", s.addr, &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"http/1.1"}})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	answers := bufio.NewReader(conn)
	for range 2 { // the connection is kept in between
		if _, err := fmt.Fprintf(conn, "HEAD /f HTTP/1.1\r\nHost: h\r\nAuthorization: Basic YWxpY2U6YWxpY2U=\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
		resp, err := http.ReadResponse(answers, &http.Request{Method: http.MethodHead})
		if err != nil || resp.StatusCode != http.StatusOK {
			t.Fatal(resp, err)
		}
		resp.Body.Close()
	}
	began = time.Now()
	if _, err := answers.ReadByte(); err == nil || time.Since(began) > 15*time.Second {
		t.Errorf("an idle connection ended after %v with %v", time.Since(began), err)
	}
}

// TestBrokenConnectionsAreForgotten: what connections of HTTP/2 that break within a request had in memory does not
// stay there until they would have been idle for too long.
func TestBrokenConnectionsAreForgotten(t *testing.T) {
	const connections, most = 150, 6 << 20
	s := startWith(t, settings{tls: tlsConfig(t), config: func(c *Config) { c.IdleTimeout = time.Hour }})
	heap := func() int64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return int64(m.HeapAlloc)
	}
	before := heap()
	for range connections {
		c := s.dialH2(1 << 16)
		if err := c.request(1, "PUT", "/broken", false); err != nil {
			t.Fatal(err)
		}
		if err := c.WriteData(1, false, make([]byte, maxFrameSize-1)); err != nil {
			t.Fatal(err)
		}
		c.conn.Close()
	}
	grown := heap() - before
	for deadline := time.Now().Add(20 * time.Second); grown > most && time.Now().Before(deadline); grown = heap() - before {
		time.Sleep(100 * time.Millisecond)
	}
	if grown > most {
		t.Errorf("%d broken connections left %d KiB each", connections, grown>>10/connections)
	}
}
