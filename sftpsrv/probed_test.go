package sftpsrv

import (
	"net"
	"strings"
	"testing"
	"time"
)

// TestProbed: who connects to see whether the server is there is not in the log; who says something and
// does not log in is.
func TestProbed(t *testing.T) {
	f := serve(t)
	for i, words := range []string{"", "GET / HTTP/1.0\r\n\r\n"} {
		conn, err := net.Dial("tcp", f.addr)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := conn.Write([]byte(words)); err != nil {
			t.Fatal(err)
		}
		if err := conn.Close(); err != nil {
			t.Fatal(err)
		}
		for end := time.Now().Add(5 * time.Second); i == 1 && !strings.Contains(f.log.String(), "no login") && time.Now().Before(end); {
			time.Sleep(10 * time.Millisecond)
		}
	}
	f.stop()
	if n := strings.Count(f.log.String(), "no login"); n != 1 {
		t.Errorf("%d lines, want 1:\n%s", n, f.log)
	}
}
