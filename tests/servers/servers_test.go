package servers

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/textproto"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

// session is as much of an FTP client as these tests need.
type session struct {
	t    *testing.T
	conn net.Conn
	text *textproto.Conn
	tls  *tls.Config // for data connections, nil without TLS
}

// patience is how long a test waits for a server's reply before it fails.
const patience = 20 * time.Second

func login(t *testing.T, s *Server, addr string, mode TLS) *session {
	t.Helper()
	conn, err := net.DialTimeout("tcp4", addr, patience)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	conn.SetDeadline(time.Now().Add(2 * patience))
	c := &session{t: t, conn: conn}
	if mode != NoTLS {
		c.tls = &tls.Config{RootCAs: s.RootCAs, ServerName: "localhost",
			ClientSessionCache: tls.NewLRUClientSessionCache(8)}
	}
	if mode == ImplicitTLS {
		c.conn = tls.Client(conn, c.tls)
	}
	c.text = textproto.NewConn(c.conn)
	c.expect(220)
	if mode == ExplicitTLS {
		c.ask(234, "AUTH TLS")
		c.conn = tls.Client(conn, c.tls)
		c.text = textproto.NewConn(c.conn)
	}
	c.ask(331, "USER %s", s.User)
	c.ask(230, "PASS %s", s.Pass)
	if mode != NoTLS {
		c.ask(200, "PBSZ 0")
		c.ask(200, "PROT P")
	}
	c.ask(200, "TYPE I")
	return c
}

func (c *session) expect(code int) string {
	c.t.Helper()
	got, message, err := c.text.ReadResponse(code)
	if err != nil {
		c.t.Fatalf("want %d, got %d %s: %v", code, got, message, err)
	}
	return message
}

func (c *session) ask(code int, format string, args ...any) string {
	c.t.Helper()
	if err := c.text.PrintfLine(format, args...); err != nil {
		c.t.Fatal(err)
	}
	return c.expect(code)
}

var epsvPort = regexp.MustCompile(`\(\|\|\|(\d+)\|\)`)

// data opens a passive data connection and sends the command that uses it.
func (c *session) data(offset int64, format string, args ...any) net.Conn {
	c.t.Helper()
	m := epsvPort.FindStringSubmatch(c.ask(229, "EPSV"))
	if m == nil {
		c.t.Fatal("no port in the reply to EPSV")
	}
	conn, err := net.DialTimeout("tcp4", "127.0.0.1:"+m[1], patience)
	if err != nil {
		c.t.Fatal(err)
	}
	conn.SetDeadline(time.Now().Add(patience))
	if offset > 0 {
		c.ask(350, "REST %d", offset)
	}
	if err := c.text.PrintfLine(format, args...); err != nil {
		c.t.Fatal(err)
	}
	c.expect(1)
	if c.tls != nil {
		return tls.Client(conn, c.tls)
	}
	return conn
}

// fetch reads a whole data connection and the reply after it.
func (c *session) fetch(offset int64, format string, args ...any) []byte {
	c.t.Helper()
	conn := c.data(offset, format, args...)
	body, err := io.ReadAll(conn)
	if err != nil {
		c.t.Fatal(err)
	}
	conn.Close() // before the reply: ProFTPD waits ten seconds for it
	c.expect(226)
	return body
}

// TestServers has every server serve, send a part, take a file, and end without leaving anything.
func TestServers(t *testing.T) {
	for _, kind := range All() {
		t.Run(string(kind), func(t *testing.T) {
			name := "caf\xe9 \x83\x5c.bin" // Latin-1 and Shift_JIS bytes
			if kind == PureFTPD {
				name = "caf\xe9 \x83\x65.bin" // it lists names with a backslash but never opens them
			}
			root := t.TempDir()
			content := bytes.Repeat([]byte("0123456789"), 1000)
			writeFile(t, filepath.Join(root, name), content)
			s := Start(t, kind, Options{Root: root})

			c := login(t, s, s.Addr, NoTLS)
			if list := c.fetch(0, "LIST"); !bytes.Contains(list, []byte(name)) {
				t.Errorf("LIST does not show the name's own bytes: %q", list)
			}
			if got := c.fetch(4000, "RETR %s", name); !bytes.Equal(got, content[4000:]) {
				t.Errorf("RETR after REST 4000: %d bytes, want the last 6000", len(got))
			}
			c.store("uploaded.bin", content[:500])
			c.ask(221, "QUIT")

			got, err := os.ReadFile(filepath.Join(root, "uploaded.bin"))
			if err != nil || !bytes.Equal(got, content[:500]) {
				t.Errorf("uploaded file: %d bytes, %v", len(got), err)
			}
			if kind.jailed() { // the others have no log either
				checkTransfers(t, s, name)
			}
			s.Stop()
			if left := s.proc.leftovers(); len(left) > 0 {
				t.Errorf("still running after Stop: %v", left)
			}
			if conn, err := net.Dial("tcp4", s.Addr); err == nil {
				conn.Close()
				t.Error("still listens after Stop")
			}
		})
	}
}

func checkTransfers(t *testing.T, s *Server, name string) {
	t.Helper()
	want := []Transfer{
		{Command: "RETR", Path: "/" + name, Offset: 4000, Bytes: 6000},
		{Command: "STOR", Path: "/uploaded.bin", Bytes: 500},
	}
	switch s.Kind {
	case VSFTPD:
		want[0].Path = "/caf? ?\\.bin"
	case PureFTPD:
		want[0].Offset, want[1].Offset = -1, -1
	}
	// A log line may come after the reply that the client waits for.
	var got []Transfer
	for range 200 {
		if got = s.Transfers(t); slices.Equal(got, want) {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Errorf("transfers in the server's log:\n got %+v\nwant %+v", got, want)
}

func TestTLS(t *testing.T) {
	tests := []struct {
		kind  Kind
		mode  TLS
		reuse bool
	}{
		{VSFTPD, ExplicitTLS, false},
		{VSFTPD, ExplicitTLS, true},
		{VSFTPD, ImplicitTLS, false},
		{PureFTPD, ExplicitTLS, false},
		{Pyftpdlib, ExplicitTLS, false},
		{Pyftpdlib, ImplicitTLS, false},
		{ProFTPD, ExplicitTLS, false},
		{ProFTPD, ExplicitTLS, true},
		{ProFTPD, ImplicitTLS, false},
	}
	for _, tt := range tests {
		mode := map[TLS]string{ExplicitTLS: "explicit", ImplicitTLS: "implicit"}[tt.mode]
		t.Run(fmt.Sprintf("%s/%s/reuse=%v", tt.kind, mode, tt.reuse), func(t *testing.T) {
			root := t.TempDir()
			writeFile(t, filepath.Join(root, "file"), []byte("over TLS"))
			s := Start(t, tt.kind, Options{Root: root, TLS: tt.mode, ReuseTLS: tt.reuse})
			c := login(t, s, s.Addr, tt.mode)
			if got := c.fetch(0, "RETR file"); string(got) != "over TLS" {
				t.Errorf("got %q", got)
			}
		})
	}
}

func TestExtraConfiguration(t *testing.T) {
	banner := filepath.Join(t.TempDir(), "banner")
	writeFile(t, banner, []byte("marked\n"))
	extra := map[Kind][]string{
		VSFTPD:    {"ftpd_banner=marked"},
		PureFTPD:  {"-F", banner},
		Pyftpdlib: {`H.banner = "marked"`},
		ProFTPD:   {`ServerIdent on "marked"`},
	}
	for kind, lines := range extra {
		t.Run(string(kind), func(t *testing.T) {
			s := Start(t, kind, Options{Extra: lines})
			conn, err := textproto.Dial("tcp4", s.Addr)
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			if _, greeting, err := conn.ReadResponse(220); err != nil || !strings.Contains(greeting, "marked") {
				t.Errorf("greeting %q, %v", greeting, err)
			}
		})
	}
}

// killedChild is set for the child process of TestDaemonEndsWithTests.
const killedChild = "SERVERS_TEST_KILLED_CHILD"

// TestDaemonEndsWithTests kills a process that has started a server, as a timeout of the tests does.
func TestDaemonEndsWithTests(t *testing.T) {
	if os.Getenv(killedChild) != "" {
		s := Start(t, Pyftpdlib, Options{})
		fmt.Printf("addr=%s\n", s.Addr)
		time.Sleep(10 * patience) // until it is killed
	}
	child := exec.Command(os.Args[0], "-test.run=^TestDaemonEndsWithTests$")
	child.Env = append(os.Environ(), killedChild+"=1", "TMPDIR="+t.TempDir())
	out, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	var addr string
	if _, err := fmt.Fscanf(bufio.NewReader(out), "addr=%s\n", &addr); err != nil {
		t.Errorf("child: %v", err)
	}
	if err := child.Process.Kill(); err != nil {
		t.Error(err)
	}
	_ = child.Wait() // "signal: killed" is what it must be
	for deadline := time.Now().Add(patience); ; time.Sleep(20 * time.Millisecond) {
		conn, err := net.Dial("tcp4", addr)
		if err != nil {
			return
		}
		conn.Close()
		if time.Now().After(deadline) {
			t.Fatalf("the server at %s has outlived the tests that started it", addr)
		}
	}
}

func TestTools(t *testing.T) {
	version := map[string]string{
		"lftp": "--version", "rclone": "version", "curl": "--version", "ssh": "-V", "gpg": "--version",
		"gpg-connect-agent": "--version", "openssl": "version", "python3": "--version",
	}
	for program, flag := range version {
		if out, err := exec.Command(Tool(t, program), flag).CombinedOutput(); err != nil {
			t.Errorf("%s %s: %v\n%s", program, flag, err, out)
		}
	}
	for _, program := range []string{"sftp", "scp", "ssh-keygen", "ssh-keyscan"} {
		if _, err := os.Stat(Tool(t, program)); err != nil {
			t.Error(err)
		}
	}
}

func (c *session) store(name string, content []byte) {
	c.t.Helper()
	conn := c.data(0, "STOR %s", name)
	if _, err := conn.Write(content); err != nil {
		c.t.Fatal(err)
	}
	conn.Close()
	c.expect(226)
}

func writeFile(t *testing.T, path string, content []byte) {
	t.Helper()
	if err := os.WriteFile(path, content, 0o644); err != nil {
		t.Fatal(err)
	}
}
