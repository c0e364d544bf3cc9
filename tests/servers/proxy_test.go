package servers

import (
	"bytes"
	"errors"
	"io"
	"net"
	"path/filepath"
	"slices"
	"testing"
	"time"
)

// bigEnough is more than all socket buffers on the way hold.
const bigEnough = 32 << 20

// waitFor fails the test if the event does not come.
func waitFor(t *testing.T, what string, event <-chan struct{}) {
	t.Helper()
	select {
	case <-event:
	case <-time.After(patience):
		t.Fatalf("waited %v for %s", patience, what)
	}
}

func TestProxyStallsAndCounts(t *testing.T) {
	for _, kind := range All() {
		t.Run(string(kind), func(t *testing.T) {
			root := t.TempDir()
			content := bytes.Repeat([]byte("0123456789abcdef"), bigEnough/16)
			writeFile(t, filepath.Join(root, "big"), content)
			s := Start(t, kind, Options{Root: root})
			p := StartProxy(t, s.Addr, ProxyOptions{FTP: true})

			c := login(t, s, p.Addr, NoTLS)
			stalled := p.StallAfter(Down, 1<<20)
			data := c.data(100, "RETR big")
			waitFor(t, "the stall", stalled)
			if n := p.Bytes(Down); n != 1<<20 {
				t.Errorf("%d bytes passed before the stall, want %d", n, 1<<20)
			}
			p.Resume()
			got, err := io.ReadAll(data)
			data.Close()
			if err != nil || !bytes.Equal(got, content[100:]) {
				t.Errorf("after the stall: %d bytes, %v", len(got), err)
			}
			c.expect(226)
			c.store("up", []byte("twelve bytes"))

			want := []Transfer{
				{Command: "RETR", Path: "big", Offset: 100, Bytes: bigEnough - 100},
				{Command: "STOR", Path: "up", Bytes: 12},
			}
			if got := p.Transfers(); !slices.Equal(got, want) {
				t.Errorf("transfers:\n got %+v\nwant %+v", got, want)
			}
		})
	}
}

func TestProxyCuts(t *testing.T) {
	root := t.TempDir()
	content := make([]byte, bigEnough)
	writeFile(t, filepath.Join(root, "big"), content)
	s := Start(t, Pyftpdlib, Options{Root: root})
	p := StartProxy(t, s.Addr, ProxyOptions{FTP: true})
	c := login(t, s, p.Addr, NoTLS)

	cut := p.CutAfter(Down, 1<<20)
	data := c.data(0, "RETR big")
	n, err := io.Copy(io.Discard, data)
	data.Close()
	if err == nil || n > 1<<20 {
		t.Errorf("read %d bytes, %v; want an error after at most %d", n, err, 1<<20)
	}
	waitFor(t, "the cut", cut)
	c.expect(426)
	if got := c.fetch(1<<20, "RETR big"); len(got) != bigEnough-1<<20 {
		t.Errorf("the transfer after the cut: %d bytes", len(got))
	}

	p.DropAll()
	if _, err := c.text.ReadLine(); err == nil || errors.Is(err, io.EOF) {
		t.Errorf("control connection after DropAll: %v, want a reset", err)
	}
}

func TestProxyTLS(t *testing.T) {
	root := t.TempDir()
	writeFile(t, filepath.Join(root, "file"), []byte("over TLS"))
	s := Start(t, Pyftpdlib, Options{Root: root, TLS: ExplicitTLS})
	p := StartProxy(t, s.Addr, ProxyOptions{FTP: true})
	c := login(t, s, p.Addr, ExplicitTLS)
	if got := c.fetch(0, "RETR file"); string(got) != "over TLS" {
		t.Errorf("got %q", got)
	}
}

// An AUTH that the server refuses leaves the session as it was.
func TestProxyRefusedTLS(t *testing.T) {
	s := Start(t, Pyftpdlib, Options{})
	p := StartProxy(t, s.Addr, ProxyOptions{FTP: true})
	c := login(t, s, p.Addr, NoTLS)
	if err := c.text.PrintfLine("AUTH TLS"); err != nil {
		t.Fatal(err)
	}
	c.expect(5)
	c.fetch(0, "LIST")
	if got := p.Transfers(); len(got) != 1 || got[0].Command != "LIST" {
		t.Errorf("transfers: %+v", got)
	}
}

func TestProxyAnyProtocol(t *testing.T) {
	echo, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer echo.Close()
	go func() {
		for {
			conn, err := echo.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				io.Copy(conn, conn)
			}()
		}
	}()
	p := StartProxy(t, echo.Addr().String(), ProxyOptions{BytesPerSecond: 10 << 20})
	conn, err := net.Dial("tcp4", p.Addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	sent := bytes.Repeat([]byte("x"), 100_000)
	if _, err := conn.Write(sent); err != nil {
		t.Fatal(err)
	}
	conn.(*net.TCPConn).CloseWrite()
	got, err := io.ReadAll(conn)
	if err != nil || !bytes.Equal(got, sent) {
		t.Errorf("%d bytes came back, %v", len(got), err)
	}
	if p.Bytes(Up) != 100_000 || p.Bytes(Down) != 100_000 {
		t.Errorf("counted %d up, %d down", p.Bytes(Up), p.Bytes(Down))
	}
}
