package webdav

import (
	"context"
	"crypto/ecdsa"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"gateway/auth"
	"gateway/storage"
)

func TestSelfSigned(t *testing.T) {
	dir := t.TempDir()
	hosts := []string{"files.example.org", "127.0.0.1", "::1"}
	first, print1, err := SelfSigned(dir, hosts)
	if err != nil {
		t.Fatal(err)
	}
	key, ok := first.PrivateKey.(*ecdsa.PrivateKey)
	if !ok || key.Curve.Params().Name != "P-256" {
		t.Errorf("key %T", first.PrivateKey)
	}
	for _, host := range hosts {
		if err := first.Leaf.VerifyHostname(host); err != nil {
			t.Error(err)
		}
	}
	pool := x509.NewCertPool()
	pool.AddCert(first.Leaf)
	if _, err := first.Leaf.Verify(x509.VerifyOptions{Roots: pool, DNSName: hosts[0]}); err != nil {
		t.Error(err)
	}
	sum := sha256.Sum256(first.Leaf.Raw)
	if want := strings.ToUpper(strings.Join(strings.Fields(fmt.Sprintf("% x", sum)), ":")); print1 != want {
		t.Errorf("fingerprint %s, want %s", print1, want)
	}
	file := filepath.Join(dir, selfSignedFile)
	info, err := os.Stat(file)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Error(info, err)
	}
	if names, _ := os.ReadDir(dir); len(names) != 1 {
		t.Error(names)
	}
	if _, print2, err := SelfSigned(dir, hosts[:1]); err != nil || print2 != print1 {
		t.Errorf("the second start has %s, %v", print2, err)
	}
	again, print3, err := SelfSigned(dir, []string{"new.example.org"})
	if err != nil || print3 == print1 || !key.Equal(again.PrivateKey) {
		t.Errorf("a new host: %s, %v; the key must stay", print3, err)
	}
	if err := os.Chmod(file, 0o640); err != nil {
		t.Fatal(err)
	}
	if _, _, err := SelfSigned(dir, hosts); err == nil || !strings.Contains(err.Error(), "chmod 600") {
		t.Error(err)
	}
	if err := os.WriteFile(file, []byte("garbage"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(file, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, _, err := SelfSigned(dir, hosts); err == nil || !strings.Contains(err.Error(), "remove it") {
		t.Error(err)
	}
	if _, _, err := SelfSigned(filepath.Join(dir, "none"), hosts); err == nil {
		t.Error("no error without a folder")
	}
	if _, _, err := SelfSigned(dir, nil); err == nil {
		t.Error("no error without hosts")
	}
}

func tlsConfig(t *testing.T) *tls.Config {
	t.Helper()
	cert, _, err := SelfSigned(t.TempDir(), []string{"127.0.0.1"})
	if err != nil {
		t.Fatal(err)
	}
	return &tls.Config{Certificates: []tls.Certificate{cert}}
}

func TestHTTP2(t *testing.T) {
	s := startWith(t, settings{tls: tlsConfig(t)})
	res, err := s.client.Get(s.url + "/")
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	if res.ProtoMajor != 2 || res.StatusCode != 401 || res.TLS.Version < tls.VersionTLS12 {
		t.Error(res.Proto, res.Status, res.TLS.Version)
	}
	_, err = tls.Dial("tcp", s.addr, &tls.Config{InsecureSkipVerify: true, MaxVersion: tls.VersionTLS11})
	if err == nil {
		t.Error("TLS 1.1 is spoken")
	}
	s.run(step{method: "PUT", path: "/a", body: "x", want: 201}, step{method: "MKCOL", path: "/d", want: 201},
		step{method: "PROPFIND", path: "/", header: "Depth: 1", want: 207})
}

// TestGraceful: Serve lets a running upload end and takes no new one.
func TestGraceful(t *testing.T) {
	open, _ := newTrees(t)
	began := make(chan struct{}, 1)
	h, err := New(Config{Auth: &fakeAuth{}, Open: func(_ context.Context, id auth.Identity) (storage.FS, error) {
		return notifying{open(id.User.Name), began}, nil
	}})
	if err != nil {
		t.Fatal(err)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- h.Serve(ctx, ln, nil) }()
	pr, pw := io.Pipe()
	req, err := http.NewRequest("PUT", "http://"+ln.Addr().String()+"/f", pr)
	if err != nil {
		t.Fatal(err)
	}
	req.SetBasicAuth("alice", "alice")
	transport := &http.Transport{}
	defer transport.CloseIdleConnections()
	go func() {
		_, _ = pw.Write([]byte("first "))
		<-began
		cancel()
		for { // until the listener is closed
			c, err := net.Dial("tcp", ln.Addr().String())
			if err != nil {
				break
			}
			c.Close()
			time.Sleep(5 * time.Millisecond)
		}
		_, _ = pw.Write([]byte("second"))
		pw.Close()
	}()
	res, err := transport.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	if err := <-done; err != nil || res.StatusCode != 201 {
		t.Errorf("%v, status %d", err, res.StatusCode)
	}
	data, err := storage.ReadFile(t.Context(), open("alice"), "f", 100)
	if string(data) != "first second" {
		t.Errorf("%q %v", data, err)
	}
}

// TestForcedStop: a request that does not end is cut off, and Serve says so.
func TestForcedStop(t *testing.T) {
	open, _ := newTrees(t)
	began := make(chan struct{}, 1)
	h, err := New(Config{Auth: &fakeAuth{}, ShutdownTimeout: 50 * time.Millisecond,
		Open: func(_ context.Context, id auth.Identity) (storage.FS, error) {
			return notifying{open(id.User.Name), began}, nil
		}})
	if err != nil {
		t.Fatal(err)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- h.Serve(ctx, ln, nil) }()
	c, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := io.WriteString(c, "PUT /f HTTP/1.1\r\nHost: h\r\n"+basicAlice+"Content-Length: 10\r\n\r\nx"); err != nil {
		t.Fatal(err)
	}
	<-began
	cancel()
	if err := <-done; err == nil || !strings.Contains(err.Error(), "cut off") {
		t.Error(err)
	}
}

func TestServeReportsAFailedListener(t *testing.T) {
	s := start(t)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ln.Close()
	if err := s.handler.Serve(t.Context(), ln, nil); err == nil {
		t.Error("no error")
	}
}

// TestConnectionLimit: beyond the limit connections wait, and are served when
// one of the others ends.
func TestConnectionLimit(t *testing.T) {
	s := startWith(t, settings{config: func(c *Config) { c.MaxConnections = 2 }})
	const request = "OPTIONS / HTTP/1.1\r\nHost: h\r\n\r\n"
	one, two := s.dial(), s.dial()
	answer := make([]byte, 4096)
	for _, c := range []net.Conn{one, two} {
		if _, err := io.WriteString(c, request); err != nil {
			t.Fatal(err)
		}
		if _, err := c.Read(answer); err != nil {
			t.Fatal(err)
		}
	}
	three := s.dial()
	if _, err := io.WriteString(three, request); err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() {
		_, err := three.Read(make([]byte, 4096))
		served <- err
	}()
	select {
	case err := <-served:
		t.Errorf("a third connection was served (%v)", err)
	case <-time.After(100 * time.Millisecond):
	}
	one.Close()
	if err := <-served; err != nil {
		t.Error(err)
	}
}

// TestAddressLimit: one address cannot take every connection.
func TestAddressLimit(t *testing.T) {
	s := startWith(t, settings{config: func(c *Config) { c.MaxPerAddress = 2 }})
	ask := func(c net.Conn) error {
		if _, err := io.WriteString(c, "OPTIONS / HTTP/1.1\r\nHost: h\r\n\r\n"); err != nil {
			return err
		}
		_, err := c.Read(make([]byte, 4096))
		return err
	}
	one, two := s.dial(), s.dial()
	for _, c := range []net.Conn{one, two} {
		if err := ask(c); err != nil {
			t.Fatal(err)
		}
	}
	if err := ask(s.dial()); err == nil {
		t.Error("a third connection was served")
	}
	if err := ask(two); err != nil {
		t.Errorf("the others must go on: %v", err)
	}
	one.Close()
	for deadline := time.Now().Add(10 * time.Second); ask(s.dial()) != nil; {
		if time.Now().After(deadline) {
			t.Fatal("the place of a connection that ended is not given away")
		}
	}
}

func TestLargeHeader(t *testing.T) {
	s := start(t)
	if got := s.raw("GET / HTTP/1.1\r\nHost: h\r\nX: "+strings.Repeat("x", 64<<10)+"\r\n\r\n", false); got != http.StatusRequestHeaderFieldsTooLarge {
		t.Error(got)
	}
}

// TestCurl is the client that everybody has, over HTTPS and HTTP/2.
func TestCurl(t *testing.T) {
	s := startWith(t, settings{tls: tlsConfig(t)})
	dir := t.TempDir()
	local := filepath.Join(dir, "local")
	content := strings.Repeat("0123456789", 200_000)
	if err := os.WriteFile(local, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	curl := func(args ...string) string {
		t.Helper()
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		args = append([]string{"-sSk", "-u", "alice:alice", "-w", "\n%{http_code}"}, args...)
		out, err := exec.CommandContext(ctx, "curl", args...).CombinedOutput()
		if err != nil {
			t.Fatalf("curl %q: %v\n%s", args, err, out)
		}
		return string(out)
	}
	for i, tt := range []struct {
		args []string
		want string
	}{
		{[]string{"-X", "MKCOL", s.url + "/d"}, "\n201"},
		{[]string{"-T", local, s.url + "/d/"}, "\n201"},
		{[]string{"-T", local, s.url + "/d/local"}, "\n204"},
		{[]string{"--http1.1", "-T", local, "-H", "Transfer-Encoding: chunked", s.url + "/d/chunked"}, "\n201"},
		{[]string{"-r", "5-14", s.url + "/d/local"}, "5678901234\n206"},
		{[]string{"-r", "-3", s.url + "/d/chunked"}, "789\n206"},
		{[]string{"-X", "COPY", "-H", "Destination: " + s.url + "/d/copy", s.url + "/d/local"}, "\n201"},
		{[]string{"-X", "MOVE", "-H", "Destination: /d/moved", s.url + "/d/copy"}, "\n201"},
		{[]string{"-X", "DELETE", s.url + "/d/local"}, "\n204"},
		{[]string{"-I", "-o", "/dev/null", s.url + "/d/moved"}, "\n200"},
	} {
		if got := curl(tt.args...); got != tt.want {
			t.Errorf("%d: curl %q: %q, want %q", i, tt.args, got, tt.want)
		}
	}
	// A resumed download, as a person would do it.
	part := filepath.Join(dir, "part")
	if err := os.WriteFile(part, []byte(content[:777]), 0o600); err != nil {
		t.Fatal(err)
	}
	curl("-C", "-", "-o", part, s.url+"/d/moved")
	if data, err := os.ReadFile(part); err != nil || string(data) != content {
		t.Errorf("resumed: %d bytes, %v", len(data), err)
	}
	s.wantFiles(map[string]string{"d/": "", "d/chunked": content, "d/moved": content})
}
