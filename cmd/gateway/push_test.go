package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"gateway/auth"
	"gateway/ftpbridge"
	"gateway/sftpsrv"
	"gateway/storage"
	"gateway/tests/servers"
)

// startSFTP runs the gateway's own SFTP front end and gives its address and the
// fingerprint of its host key.
func startSFTP(t *testing.T, e *env) (addr, fingerprint string) {
	t.Helper()
	if err := os.WriteFile("gateway.yaml", []byte("sftp:\n  listen: 127.0.0.1:0\nhttps:\n  off: true\nadmin:\n  off: true\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	quiet := *e
	quiet.err = io.Discard // the server's log, while the commands write theirs
	g := openGateway(t, &quiet)
	hash, err := auth.HashPassword("pass word")
	if err != nil {
		t.Fatal(err)
	}
	user := auth.User{Name: "anna", PasswordHash: hash, Mounts: []auth.Mount{{Path: "/", Folder: "in", Permissions: auth.Permissions(storage.PermReadWrite)}}}
	if err := g.users.Put(t.Context(), user); err != nil {
		t.Fatal(err)
	}
	s, err := newServing(g)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.listen(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	for _, f := range sftpsrv.Fingerprints(s.keys.Load().used) {
		for word := range strings.FieldsSeq(f) {
			if strings.HasPrefix(word, "SHA256:") {
				fingerprint = word
			}
		}
	}
	return s.sftp.Addr().String(), fingerprint
}

// TestPushAndMigrateOverSFTP sends a folder to a gateway and fetches it back from
// there, each with its own SFTP.
func TestPushAndMigrateOverSFTP(t *testing.T) {
	e, out, stderr := newEnv(t)
	addr, pin := startSFTP(t, e)
	big := strings.Repeat("0123456789abcdef", 100_000)
	files := map[string]string{"a.txt": "hello", "sub/deep/b": big, "caf\u00e9": ""}
	at := time.Date(2020, 2, 3, 4, 5, 6, 0, time.UTC)
	storages := filepath.Join("gateway-data", "storage")
	if g, err := e.config(); err == nil {
		storages = g.Storages["default"].Path
	}
	for name, content := range files {
		path := filepath.Join(storages, "out", name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(path, at, at); err != nil {
			t.Fatal(err)
		}
	}
	same := func(folder string) {
		t.Helper()
		for name, content := range files {
			path := filepath.Join(storages, folder, name)
			data, err := os.ReadFile(path)
			info, _ := os.Stat(path)
			if err != nil || string(data) != content || !info.ModTime().Equal(at) {
				t.Errorf("%s: %d bytes, %v", path, len(data), err)
			}
		}
	}
	gateway := func(want int, args ...string) {
		t.Helper()
		out.Reset()
		stderr.Reset()
		if code := run(e.ctx, args, e.streams); code != want {
			t.Fatalf("%q: exit status %d\n%s%s", args, code, out, stderr)
		}
	}
	if err := os.WriteFile("password", []byte("pass word\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	url := "sftp://anna@" + addr + "/"
	gateway(exitFailed, "push", "--password-file", "password", "out", url)
	if !strings.Contains(stderr.String(), pin) || !strings.Contains(stderr.String(), "--fingerprint") {
		t.Errorf("the key is not shown: %s", stderr)
	}
	flags := []string{"--password-file", "password", "--fingerprint", pin}
	gateway(exitOK, append([]string{"push", "out", url}, flags...)...)
	same("in")
	if !strings.Contains(out.String(), "sent                    3 files") || !strings.Contains(stderr.String(), "sent         a.txt") {
		t.Errorf("output %s\nerrors %s", out, stderr)
	}
	gateway(exitOK, append([]string{"push", "--json", "out", url}, flags...)...)
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	var last struct {
		Report struct {
			Action    string
			Unchanged struct{ Files int }
		}
	}
	if err := json.Unmarshal([]byte(lines[len(lines)-1]), &last); err != nil || last.Report.Action != "push" || last.Report.Unchanged.Files != 3 {
		t.Errorf("%v: %s", err, out)
	}
	gateway(exitOK, append([]string{"ls", url}, flags...)...)
	if !strings.Contains(out.String(), "a.txt") || strings.Contains(stderr.String(), "plain FTP") {
		t.Errorf("output %s\nerrors %s", out, stderr)
	}
	gateway(exitOK, append([]string{"migrate", url, "back"}, flags...)...)
	same("back")
	if strings.Contains(out.String(), "plain FTP") {
		t.Errorf("output %s", out)
	}
}

// TestRealPushConfigured: what arrives in a folder is sent by the schedule, and by its
// name; where nothing arrived the partner is left alone.
func TestRealPushConfigured(t *testing.T) {
	server, _ := legacy(t, nil)
	proxy := servers.StartProxy(t, server.Addr, servers.ProxyOptions{FTP: true})
	e, out, stderr := newEnv(t)
	t.Setenv(passwordVariable, "") // the configuration says where it is
	if err := errors.Join(
		os.MkdirAll("gateway-data/files/outbox/sub", 0o755),
		os.WriteFile("gateway-data/files/outbox/sub/a.txt", []byte("hello"), 0o644),
		os.WriteFile("secret", []byte(server.Pass), 0o600),
		os.WriteFile("gateway.yaml", fmt.Appendf(nil, "log: {level: debug}\npushes:\n  partner: {from: outbox, to: \"ftp://%s@%s/\", password_file: secret, after: delete, every: 1h}\n  later:\n    from: nothing\n    to: ftp://127.0.0.1:1/\n", server.User, proxy.Addr), 0o600),
	); err != nil {
		t.Fatal(err)
	}
	g := openGateway(t, e)
	jobs, err := g.scheduler()
	partner := slices.IndexFunc(jobs.Jobs, func(j ftpbridge.ScheduledJob) bool { return j.Name == "push partner" })
	if err != nil || scheduled(jobs.Jobs) != 1 || partner < 0 || jobs.Jobs[partner].Schedule == nil {
		t.Fatalf("%+v, %v", jobs.Jobs, err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	ended := make(chan struct{})
	go func() { defer close(ended); jobs.Run(ctx) }()
	for ctx.Err() == nil {
		if last, err := jobs.Jobs[partner].Last(ctx); err != nil || !last.Finished.IsZero() {
			break
		}
		time.Sleep(50 * time.Millisecond)
	}
	cancel()
	<-ended
	if got := on(t, server, "sub/a.txt"); got != "hello" {
		t.Fatalf("the partner has %q\n%s", got, stderr)
	}
	if _, err := os.Stat("gateway-data/files/outbox/sub/a.txt"); err == nil {
		t.Error("it is still here")
	}
	before := proxy.Bytes(servers.Down)
	if err := g.runPush(t.Context(), "partner"); err != nil || proxy.Bytes(servers.Down) != before {
		t.Errorf("%v, %d bytes from the partner for nothing", err, proxy.Bytes(servers.Down)-before)
	}
	if err := g.runPush(t.Context(), "later"); err != nil {
		t.Errorf("a folder that is not there yet: %v", err)
	}
	gateway := func(want int, args ...string) string {
		t.Helper()
		out.Reset()
		stderr.Reset()
		if code := run(e.ctx, args, e.streams); code != want {
			t.Fatalf("%q: exit status %d\n%s%s", args, code, out, stderr)
		}
		return out.String() + stderr.String()
	}
	if err := os.WriteFile("gateway-data/files/outbox/b.txt", []byte("bee"), 0o644); err != nil {
		t.Fatal(err)
	}
	if text := gateway(exitOK, "push", "partner", "--after", "keep"); on(t, server, "b.txt") != "bee" || !strings.Contains(text, "sent                    1 files") {
		t.Errorf("the partner has %q\n%s", on(t, server, "b.txt"), text)
	}
	if text := gateway(exitOK, "jobs"); !strings.Contains(text, "partner") || !strings.Contains(text, "1 sent") || !strings.Contains(text, "default:outbox -> ftp://") {
		t.Error(text)
	}
	gateway(exitOK, "check-config")
	if text := gateway(exitFailed, "push", "nobody"); !strings.Contains(text, `"nobody" is no push of the configuration; there are: later, partner`) {
		t.Error(text)
	}
	if text := gateway(exitFailed, "push", "later"); !strings.Contains(text, "cannot reach the server") {
		t.Error(text)
	}
}
