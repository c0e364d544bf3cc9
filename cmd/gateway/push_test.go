package main

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"gateway/auth"
	"gateway/sftpsrv"
	"gateway/storage"
)

// startSFTP runs the gateway's own SFTP front end and gives its address and the
// fingerprint of its host key.
func startSFTP(t *testing.T, e *env) (addr, fingerprint string) {
	t.Helper()
	if err := os.WriteFile("gateway.yaml", []byte("sftp:\n  listen: 127.0.0.1:0\nhttps:\n  off: true\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	g := openGateway(t, e)
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
	for _, f := range sftpsrv.Fingerprints(s.hostKeys) {
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
