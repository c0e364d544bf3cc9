package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pkg/sftp"
	"golang.org/x/crypto/ssh"

	"gateway/auth"
	"gateway/storage"
	"gateway/tests/servers"
)

// syncBuffer is a log that is read while it is written.
type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *syncBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *syncBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

// served is a gateway that runs, with one user who has a mounted source at /old and
// a folder of the gateway at /.
type served struct {
	t    *testing.T
	e    *env
	g    *gateway
	log  *syncBuffer
	sftp *sftp.Client
	http *http.Client
	url  string
}

const servedConfig = `sftp: {listen: "127.0.0.1:0"}
https: {listen: "127.0.0.1:0"}
admin: {listen: "127.0.0.1:0"}
`

// serveMounted runs a gateway with this configuration beside its addresses. The
// storage "old" is to be a mount.
func serveMounted(t *testing.T, configuration string) *served {
	t.Helper()
	log := &syncBuffer{}
	e := &env{streams: streams{in: strings.NewReader(""), out: io.Discard, err: log}, ctx: t.Context(), cli: &cli{}}
	if err := os.WriteFile("gateway.yaml", []byte(servedConfig+configuration), 0o600); err != nil {
		t.Fatal(err)
	}
	s := &served{t: t, e: e, g: openGateway(t, e), log: log}
	hash := must(auth.HashPassword("pass word"))
	all := auth.Permissions(storage.PermReadWrite)
	if err := s.g.users.Put(t.Context(), auth.User{Name: "anna", PasswordHash: hash, Quota: 1 << 20, Mounts: []auth.Mount{
		{Path: "/", Folder: "anna", Permissions: all}, {Path: "/old", Storage: "old", Permissions: all},
	}}); err != nil {
		t.Fatal(err)
	}
	serving, err := newServing(s.g)
	if err != nil {
		t.Fatal(err)
	}
	if err := serving.listen(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- serving.run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	s.connect(serving)
	return s
}

func (s *served) connect(serving *serving) {
	s.t.Helper()
	conn, err := ssh.Dial("tcp", serving.sftp.Addr().String(), &ssh.ClientConfig{
		User: "anna", Auth: []ssh.AuthMethod{ssh.Password("pass word")}, Timeout: 10 * time.Second,
		HostKeyCallback: func(string, net.Addr, ssh.PublicKey) error { return nil },
	})
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { conn.Close() })
	if s.sftp, err = sftp.NewClient(conn); err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { s.sftp.Close() })
	transport := &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}
	s.t.Cleanup(transport.CloseIdleConnections)
	s.http = &http.Client{Timeout: 30 * time.Second, Transport: transport}
	s.url = "https://" + serving.https.Addr().String()
}

// dav makes a WebDAV request and returns the answer.
func (s *served) dav(method, path, body string, header ...string) (status int, answer string) {
	s.t.Helper()
	req, err := http.NewRequestWithContext(s.t.Context(), method, s.url+path, strings.NewReader(body))
	if err != nil {
		s.t.Fatal(err)
	}
	req.SetBasicAuth("anna", "pass word")
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Set(header[i], strings.ReplaceAll(header[i+1], "URL", s.url))
	}
	res, err := s.http.Do(req)
	if err != nil {
		s.t.Fatal(err)
	}
	defer res.Body.Close()
	data, err := io.ReadAll(res.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	return res.StatusCode, string(data)
}

func (s *served) read(path string) (string, error) {
	f, err := s.sftp.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	data, err := io.ReadAll(f)
	return string(data), err
}

func (s *served) write(path, content string, flags int) error {
	f, err := s.sftp.OpenFile(path, flags)
	if err != nil {
		return err
	}
	_, err = f.Write([]byte(content))
	return errors.Join(err, f.Close())
}

// run runs a command of the gateway beside the one that serves.
func (s *served) run(want int, args ...string) string {
	s.t.Helper()
	var out bytes.Buffer
	if code := run(s.t.Context(), args, streams{in: strings.NewReader(""), out: &out, err: &out}); code != want {
		s.t.Errorf("%q: exit status %d\n%s", args, code, out.String())
	}
	return out.String()
}

// on is what a file on the legacy server holds.
func on(t *testing.T, server *servers.Server, name string) string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(server.Root, name))
	if err != nil {
		return err.Error()
	}
	return string(data)
}

const write = os.O_WRONLY | os.O_CREATE | os.O_TRUNC

// TestRealMountServed lists, reads, writes, renames and removes on an FTP server, over SFTP and WebDAV.
func TestRealMountServed(t *testing.T) {
	server, url := legacy(t, map[string]string{"a.txt": "hello", "docs/b.txt": "bee", "huge": strings.Repeat("0123456789abcdef", 1<<17)})
	t.Chdir(t.TempDir())
	if err := os.WriteFile("secret", []byte(server.Pass), 0o600); err != nil {
		t.Fatal(err)
	}
	s := serveMounted(t, fmt.Sprintf("storages:\n  old: {source: legacy, listing_ttl: 1s, cache: 1GiB}\nsources:\n  legacy: {url: %q, password_file: secret}\n", url))

	// SFTP.
	list, err := s.sftp.ReadDir("/old")
	if err != nil || len(list) != 3 {
		t.Errorf("%v, %v", list, err)
	}
	if got, err := s.read("/old/docs/b.txt"); got != "bee" || err != nil {
		t.Errorf("%q, %v", got, err)
	}
	// What is on the server does not count for the quota.
	if err := s.write("/old/new.txt", "new", write); err != nil || on(t, server, "new.txt") != "new" {
		t.Errorf("%v, the server has %q", err, on(t, server, "new.txt"))
	}
	if err := s.write("/old/new.txt", "newer", write); err != nil || on(t, server, "new.txt") != "newer" {
		t.Errorf("%v, the server has %q", err, on(t, server, "new.txt"))
	}
	if err := errors.Join(s.sftp.Rename("/old/new.txt", "/old/docs/n.txt"), s.sftp.Mkdir("/old/more"), s.sftp.Remove("/old/a.txt")); err != nil {
		t.Error(err)
	}
	if on(t, server, "docs/n.txt") != "newer" || !strings.Contains(on(t, server, "a.txt"), "no such file") {
		t.Error("the rename or removal is not on the server")
	}
	// An upload goes on where it stopped.
	f, err := s.sftp.OpenFile("/old/part", os.O_WRONLY|os.O_CREATE)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.Write([]byte("first ")); err != nil {
		t.Fatal(err)
	}
	f.Close()
	g, err := s.sftp.OpenFile("/old/part", os.O_WRONLY|os.O_APPEND)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := g.Write([]byte("second")); err != nil {
		t.Error(err)
	}
	if err := g.Close(); err != nil || on(t, server, "part") != "first second" {
		t.Errorf("%v, the server has %q", err, on(t, server, "part"))
	}

	// WebDAV.
	if status, answer := s.dav("PROPFIND", "/old/", "", "Depth", "1"); status != 207 || !strings.Contains(answer, "/old/docs/") {
		t.Errorf("PROPFIND: %d %s", status, answer)
	}
	if status, answer := s.dav("GET", "/old/docs/b.txt", "", "Range", "bytes=1-"); status != 206 || answer != "ee" {
		t.Errorf("GET: %d %q", status, answer)
	}
	for _, c := range []struct {
		method, path, body string
		header             []string
		want               int
	}{
		{"PUT", "/old/w.txt", "web", nil, 201},
		{"PUT", "/old/w.txt", "webb", nil, 204},
		{"PUT", "/old/w.txt", "never", []string{"If-None-Match", "*"}, 412},
		{"MOVE", "/old/w.txt", "", []string{"Destination", "URL/old/more/w.txt"}, 201},
		{"DELETE", "/old/docs/n.txt", "", nil, 204},
		{"GET", "/old/docs/n.txt", "", nil, 404},
		{"COPY", "/old/more/w.txt", "", []string{"Destination", "URL/w.txt"}, 201},
	} {
		if status, answer := s.dav(c.method, c.path, c.body, c.header...); status != c.want {
			t.Errorf("%s %s: %d %s", c.method, c.path, status, answer)
		}
	}
	if got, err := s.read("/w.txt"); on(t, server, "more/w.txt") != "webb" || got != "webb" || err != nil {
		t.Errorf("the server has %q, the gateway %q, %v", on(t, server, "more/w.txt"), got, err)
	}

	// It is not a place to migrate to or to send from.
	for _, args := range [][]string{{"migrate", url, "old:in"}, {"push", "old:docs", url}, {"explain", "old:docs/b.txt"}} {
		if out := s.run(exitFailed, args...); !strings.Contains(out, "is a mount of the source legacy") {
			t.Errorf("%q: %s", args, out)
		}
	}
	if out := s.run(exitFailed, "migrate", "legacy"); !strings.Contains(out, "gateway.yaml:7: sources.legacy: it is only mounted") {
		t.Error(out)
	}
	s.run(exitOK, "quarantine", "list")
	s.run(exitOK, "jobs")
}

// TestRealMountServedProved: what the policy does not let through is refused, logged and in the quarantine.
func TestRealMountServedProved(t *testing.T) {
	server, url := legacy(t, map[string]string{
		"good.txt": "hello", "bad.txt": "jello", "none.txt": "x",
		"SHA256SUMS": "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824  good.txt\n2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824  bad.txt\n",
	})
	t.Chdir(t.TempDir())
	if err := errors.Join(
		os.WriteFile("secret", []byte(server.Pass), 0o600),
		os.WriteFile("policy.yaml", []byte(provedPolicy), 0o600),
	); err != nil {
		t.Fatal(err)
	}
	s := serveMounted(t, fmt.Sprintf(`storages:
  old: {source: legacy, read_only: true}
sources:
  legacy: {url: %q, password_file: secret, policy: policy.yaml, to: in, connections: 2, reports: reports, bwlimit: 10M, segments: 2}
`, url))
	if got, err := s.read("/old/good.txt"); got != "hello" || err != nil {
		t.Errorf("%q, %v\n%s", got, err, s.log)
	}
	if status, _ := s.dav("GET", "/old/bad.txt", ""); status != 403 {
		t.Errorf("a bad file: %d", status)
	}
	if _, err := s.read("/old/bad.txt"); !errors.Is(err, os.ErrPermission) {
		t.Errorf("a bad file: %v", err)
	}
	if log := s.log.String(); !strings.Contains(log, "a file is kept back") || !strings.Contains(log, "name=bad.txt") || !strings.Contains(log, "source=legacy") {
		t.Error(log)
	}
	if out := s.run(exitOK, "quarantine", "list"); !strings.Contains(out, "old:/bad.txt") || strings.Contains(out, "good.txt") {
		t.Error(out)
	}
	if out := s.run(exitOK, "explain", "old:good.txt"); !strings.Contains(out, "signed by the gateway's key") {
		t.Error(out)
	}
	if err := s.write("/old/new.txt", "new", write); !errors.Is(err, os.ErrPermission) {
		t.Errorf("it is read only: %v", err)
	}
	if out := s.run(exitOK, "jobs"); !strings.Contains(out, "mounted") {
		t.Error(out)
	}
	s.run(exitOK, "quarantine", "reject", "old:bad.txt")
	// What is released can be read from then on.
	if _, err := s.read("/old/none.txt"); !errors.Is(err, os.ErrPermission) {
		t.Errorf("nothing vouches for it: %v", err)
	}
	s.run(exitOK, "quarantine", "release", "old:none.txt")
	if got, err := s.read("/old/none.txt"); got != "x" || err != nil {
		t.Errorf("it was released: %q, %v", got, err)
	}

	// A migration of the same source uses the sessions of the mount.
	if err := s.g.runSource(t.Context(), "legacy"); err != nil {
		t.Error(err)
	}
	if data, err := os.ReadFile("gateway-data/files/in/good.txt"); string(data) != "hello" || err != nil {
		t.Errorf("%q, %v", data, err)
	}
	for _, name := range []string{"report.html", "report.json", "SHA256SUMS"} {
		if _, err := os.Stat(filepath.Join("reports", "legacy", name)); err != nil {
			t.Error(err)
		}
	}
	s.run(exitOK, "report", "verify", "reports/legacy")
	if got, err := s.read("/old/good.txt"); got != "hello" || err != nil {
		t.Errorf("after the migration: %q, %v", got, err)
	}
}

// TestRealMountServerDown: the gateway starts without the server, serves what else
// there is, says what is wrong, and has the mount once the server is there.
func TestRealMountServerDown(t *testing.T) {
	server, url := legacy(t, map[string]string{"a.txt": "hello"})
	t.Chdir(t.TempDir())
	s := serveMounted(t, fmt.Sprintf(`storages:
  old: {source: legacy}
  dead: {source: down}
sources:
  legacy: {url: %q, password_file: secret}
  down: {url: "ftp://127.0.0.1:1/"}
`, url))
	if _, err := s.g.mounts.fs["dead"].Stat(t.Context(), "x"); err == nil || !strings.Contains(err.Error(), "127.0.0.1:1: connect: cannot reach the server") {
		t.Errorf("nothing listens there: %v", err)
	}
	if err := s.write("/mine.txt", "mine", write); err != nil {
		t.Error(err)
	}
	if _, err := s.sftp.ReadDir("/old"); err == nil {
		t.Error("it is listed without a password")
	}
	if log := s.log.String(); !strings.Contains(log, "gateway.yaml:8: sources.legacy") || !strings.Contains(log, "secret") {
		t.Errorf("the log does not say why: %s", log)
	}
	if err := os.WriteFile("secret", []byte(server.Pass), 0o600); err != nil {
		t.Fatal(err)
	}
	if got, err := s.read("/old/a.txt"); got != "hello" || err != nil {
		t.Errorf("%q, %v\n%s", got, err, s.log)
	}
}

const provedPolicy = `rules:
  - paths: "SHA256SUMS"
    require: all
    evidence: [{manifest: SHA256SUMS}]
    on_missing: publish
  - paths: "**"
    require: all
    evidence: [{manifest: SHA256SUMS}]
    on_weak: publish
`
