package servers

import (
	"bytes"
	"path/filepath"
	"testing"
	"time"
)

// What is asserted of time is only that it is not shorter than the way allows.
func TestProxyDelay(t *testing.T) {
	root := t.TempDir()
	content := bytes.Repeat([]byte("0123456789abcdef"), 1<<16) // 1 MiB
	writeFile(t, filepath.Join(root, "big"), content)
	s := Start(t, VSFTPD, Options{Root: root})
	const way = 20 * time.Millisecond
	p := StartProxy(t, s.Addr, ProxyOptions{FTP: true, Delay: way, Window: len(content) / 4})

	atLeast := func(what string, trips int, f func()) {
		t.Helper()
		begin := time.Now()
		f()
		if took := time.Since(begin); took < time.Duration(trips)*way {
			t.Errorf("%s took %v; with %v one way it takes at least %v", what, took, way, time.Duration(trips)*way)
		}
	}
	var c *session
	// The handshake and the greeting, USER, PASS.
	atLeast("login", 4+2+2, func() { c = login(t, s, p.Addr, NoTLS) })
	atLeast("a command", 2, func() { c.ask(257, "PWD") })
	// EPSV, the handshake of the data connection, and four windows for the file, of which the last
	// need not wait.
	atLeast("a file", 2+4+3*2, func() {
		if got := c.fetch(0, "RETR big"); !bytes.Equal(got, content) {
			t.Errorf("fetched %d bytes, which are not those of the file", len(got))
		}
	})
	c.store("up", content)
	if got := c.fetch(0, "RETR up"); !bytes.Equal(got, content) {
		t.Errorf("stored and fetched %d bytes, which are not those of the file", len(got))
	}
}
