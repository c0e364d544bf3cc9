package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	bridgereport "gateway/ftpbridge/report"
	"gateway/integrity"
	"gateway/tests/servers"
)

// legacy serves files on a real FTP server and returns its URL. It comes before
// newShelf, which leaves the folder of the sources.
func legacy(t *testing.T, files map[string]string) (server *servers.Server, url string) {
	t.Helper()
	root := t.TempDir()
	for name, content := range files {
		path := filepath.Join(root, filepath.FromSlash(name))
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(content), 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	server = servers.Start(t, servers.Pyftpdlib, servers.Options{Root: root})
	t.Setenv(passwordVariable, server.Pass)
	return server, fmt.Sprintf("ftp://%s@%s/", server.User, server.Addr)
}

func TestRealReport(t *testing.T) {
	server, url := legacy(t, map[string]string{"a.txt": "hello", "docs/b <b>.txt": "bee", `docs/back\slash`: "c"})
	s := newShelf(t)
	wide(t, s.want(0, "Report: "+filepath.Join(must(filepath.Abs("out")), "report.html"), "migrate", "--report", "out", url, "old"))
	for name, want := range map[string]string{
		bridgereport.HTMLFile:    "b &lt;b&gt;.txt",
		bridgereport.JSONFile:    `"files": 3`,
		bridgereport.DigestsFile: "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824  a.txt\n",
	} {
		if data, err := os.ReadFile(filepath.Join("out", name)); err != nil || !strings.Contains(string(data), want) {
			t.Errorf("%s has no %q, %v\n%.500s", name, want, err, data)
		}
	}
	id := integrity.ProvenanceKeyID(s.signer().PublicKey())
	proved := "It proves: the holder of this key, a gateway, had migrated " + strings.TrimSuffix(url, "/")
	wide(t, s.want(0, proved, "report", "verify", "out"))
	s.want(0, "3 files in the destination are what was signed", "report", "verify", "--published", "out")
	s.want(0, proved, "--data", "elsewhere", "report", "verify", "--key", id, "out")
	if _, err := os.Stat("elsewhere"); !errors.Is(err, fs.ErrNotExist) {
		t.Error("a check made a data folder")
	}
	s.want(1, "WRONG signature", "report", "verify", "--key", "sha256:"+strings.Repeat("0", 64), "out")

	// The same folder takes the next run, and no other migration.
	if err := os.WriteFile(filepath.Join(server.Root, "new.txt"), []byte("new"), 0o644); err != nil {
		t.Fatal(err)
	}
	s.want(0, "unchanged 3 files", "migrate", "--report", "out", url, "old")
	s.want(0, "4 files in the destination", "report", "verify", "--published", "out")
	s.want(1, "is the report of the migration of", "migrate", "--report", "out", url, "elsewhere")
	s.want(0, `"event":"written"`, "migrate", "--json", "--report", "out", url, "old")

	// What changed is told apart from what is gone.
	dest := filepath.Join(s.g.cfg.Storages["default"].Path, "old")
	if err := errors.Join(os.WriteFile(filepath.Join(dest, "a.txt"), []byte("jello"), 0o600), os.Remove(filepath.Join(dest, "new.txt"))); err != nil {
		t.Fatal(err)
	}
	out := s.want(1, "2 of 4 files are not there as they were signed", "report", "verify", "--published", "out")
	if !strings.Contains(out, "a.txt: it has SHA-256") || !strings.Contains(out, "new.txt: there is no such file") {
		t.Error(out)
	}
	wide(t, out)
	s.want(0, "It proves", "report", "verify", "out")
}

// must is for what does not fail in tests.
func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func TestRealReportRefused(t *testing.T) {
	_, url := legacy(t, map[string]string{"a.txt": "hello"})
	s := newShelf(t)
	if err := errors.Join(os.WriteFile("file", nil, 0o600), os.Mkdir("theirs", 0o700), os.WriteFile("theirs/SHA256SUMS", []byte("x"), 0o600)); err != nil {
		t.Fatal(err)
	}
	s.want(1, "not a directory", "migrate", "--report", "file", url, "old")
	s.want(1, "files of these names that are no report", "migrate", "--report", "theirs", url, "old")
	if data, err := os.ReadFile("theirs/SHA256SUMS"); err != nil || string(data) != "x" {
		t.Errorf("%q, %v", data, err)
	}
	for job, err := range s.g.state.Jobs(t.Context()) {
		if err != nil || job.ID != s.job.ID {
			t.Errorf("a run began: %+v, %v", job, err)
		}
	}
	s.want(1, "has no signed report", "report", "verify", "theirs")
}

// A run that ended early is reported like any other.
func TestRealReportInterrupted(t *testing.T) {
	server, url := legacy(t, map[string]string{"a.txt": "hello", "big": strings.Repeat("x", 4<<20)})
	proxy := servers.StartProxy(t, server.Addr, servers.ProxyOptions{FTP: true})
	s := newShelf(t)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	stalled := proxy.StallAfter(servers.Down, 1<<20)
	go func() {
		<-stalled
		cancel()
	}()
	s.e.ctx = ctx
	s.want(1, "interrupted", "migrate", "--report", "out", strings.Replace(url, server.Addr, proxy.Addr, 1), "old")
	s.e.ctx = t.Context()
	s.want(0, "Complete: no", "report", "verify", "--published", "out")
	if page, err := os.ReadFile("out/report.html"); err != nil || !strings.Contains(string(page), "it was interrupted") {
		t.Errorf("the page does not say why, %v", err)
	}
}

// Whoever changes one bit of a report is found out.
func TestRealReportTampered(t *testing.T) {
	_, url := legacy(t, map[string]string{"a.txt": "hello"})
	s := newShelf(t)
	s.want(0, "Report:", "migrate", "--report", "out", url, "old")
	for name, want := range map[string]string{
		bridgereport.HTMLFile: "WRONG report.html", bridgereport.JSONFile: "WRONG report.json",
		bridgereport.DigestsFile: "WRONG SHA256SUMS", bridgereport.StatementFile: "WRONG signature",
	} {
		file := filepath.Join("out", name)
		whole, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		bent := append([]byte{}, whole...)
		bent[len(bent)/3] ^= 1
		if err := os.WriteFile(file, bent, 0o600); err != nil {
			t.Fatal(err)
		}
		s.want(1, want, "report", "verify", "--published", "out")
		if err := os.Remove(file); err != nil {
			t.Fatal(err)
		}
		s.want(1, "no such file", "report", "verify", "out")
		if err := os.WriteFile(file, whole, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	s.want(0, "It proves", "report", "verify", "out")
}
