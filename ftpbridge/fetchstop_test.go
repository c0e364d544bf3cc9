package ftpbridge

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"testing"

	"gateway/tests/servers"
)

// What servers say when the client closes the data connection, and whether the
// session can go on.
func TestFetchStop(t *testing.T) {
	body := random(8 << 20)
	for name, c := range map[string]struct {
		words []string
		good  bool
	}{
		"426":               {[]string{"426 Failure writing network stream."}, true},
		"451":               {[]string{"451 cut"}, true},
		"226":               {[]string{"226 all sent"}, true},
		"two replies":       {[]string{"426 cut", "226 closing"}, false},
		"421":               {[]string{"421 bye"}, false},
		"no words":          {nil, false},
		"nonsense after it": {[]string{"426 cut", "220 hello?", "200 ok"}, false},
	} {
		t.Run(name, func(t *testing.T) {
			srv := serve(t, map[string]string{"big": body})
			srv.handlers = map[string]func(*talk, string){"RETR": func(c2 *talk, _ string) {
				c2.say("150 here it comes")
				d := c2.accept()
				_, _ = io.WriteString(d, body)
				d.Close()
				for _, w := range c.words {
					c2.say("%s", w)
				}
				if c.words == nil {
					c2.Close()
				}
			}}
			s := srv.dial(t)
			rc, err := s.Fetch(testContext(t), "big", 0)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := io.ReadFull(rc, make([]byte, 100<<10)); err != nil {
				t.Fatal(err)
			}
			err = rc.(stopper).stop()
			if (err == nil) != c.good {
				t.Errorf("stop: %v", err)
			}
			if err != nil && !errors.Is(err, ErrAborted) {
				t.Errorf("stop: %v", err)
			}
			if (err == nil) == s.Broken() {
				t.Errorf("stopped with %v, broken: %v", err, s.Broken())
			}
			if err := rc.Close(); (err == nil) == s.Broken() {
				t.Errorf("close: %v", err)
			}
			if s.Broken() {
				return
			}
			if n, err := s.Size(testContext(t), "big"); n != int64(len(body)) {
				t.Errorf("afterwards: %d, %v", n, err)
			}
		})
	}
}

// A server may end the session over it, ProFTPD does so over TLS at times; then it
// must be known to be broken.
func TestRealFetchStop(t *testing.T) {
	body := random(16 << 20)
	for _, c := range []struct {
		kind servers.Kind
		tls  servers.TLS
	}{
		{servers.VSFTPD, servers.NoTLS}, {servers.ProFTPD, servers.NoTLS}, {servers.PureFTPD, servers.NoTLS}, {servers.Pyftpdlib, servers.NoTLS},
		{servers.VSFTPD, servers.ExplicitTLS}, {servers.ProFTPD, servers.ExplicitTLS}, {servers.PureFTPD, servers.ExplicitTLS}, {servers.Pyftpdlib, servers.ExplicitTLS},
	} {
		t.Run(fmt.Sprint(c.kind, " tls ", c.tls != servers.NoTLS), func(t *testing.T) {
			root := t.TempDir()
			if err := os.WriteFile(filepath.Join(root, "big"), []byte(body), 0o644); err != nil {
				t.Fatal(err)
			}
			srv := servers.Start(t, c.kind, servers.Options{Root: root, TLS: c.tls})
			scheme := "ftp"
			if c.tls != servers.NoTLS {
				scheme = "ftpes"
			}
			s := mustDial(t, liveSource(t, srv, scheme))
			for range 3 {
				rc, err := s.Fetch(testContext(t), "big", 1000)
				if err != nil {
					t.Fatal(err)
				}
				if _, err := io.ReadFull(rc, make([]byte, 300<<10)); err != nil {
					t.Fatal(err)
				}
				if err := rc.(stopper).stop(); err != nil {
					if c.tls == servers.NoTLS || !s.Broken() {
						t.Fatal(err)
					}
					s = mustDial(t, liveSource(t, srv, scheme))
				}
				got, err := fetchAll(testContext(t), s, "big", 15<<20)
				if err != nil || got != body[15<<20:] {
					t.Fatalf("afterwards: %d bytes, %v", len(got), err)
				}
			}
		})
	}
}
