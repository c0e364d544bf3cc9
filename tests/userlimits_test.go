package tests

import (
	"bytes"
	"crypto/rand"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// also adds lines to a user's file.
func (l *lab) also(user, lines string) {
	l.t.Helper()
	f, err := os.OpenFile(filepath.Join(l.data, "users", user+".yaml"), os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		l.t.Fatal(err)
	}
	defer f.Close()
	if _, err := io.WriteString(f, lines); err != nil {
		l.t.Fatal(err)
	}
}

// TestUserBandwidth moves files with real clients as quickly as the user may, and no faster. The SFTP side takes longer for
// each than a client may be silent, and nothing is cut off.
func TestUserBandwidth(t *testing.T) {
	const limit, size = 1 << 20, 3 << 20
	l := newLab(t)
	l.sftpKeys = "  stall_timeout: 1s\n  keepalive: 1s\n  idle_timeout: 1s\n"
	s := l.serve()
	s.also(s.user, "bandwidth:\n  up: 1MiB\n  down: 1MiB\n")
	content := make([]byte, size)
	_, _ = rand.Read(content)
	local := filepath.Join(t.TempDir(), "local.bin")
	writeFile(t, local, content)
	same := func(what, file string) {
		t.Helper()
		if got, err := os.ReadFile(file); err != nil || !bytes.Equal(got, content) {
			t.Errorf("%s: %d bytes, %v", what, len(got), err)
		}
	}
	// A quarter of a second's bytes pass at once, of which what was moved before may have left some.
	atLeast := func(what string, moved int, do func()) {
		t.Helper()
		began := time.Now()
		do()
		if took, least := time.Since(began), time.Duration(moved-limit/4)*time.Second/limit; took < least {
			t.Errorf("%s: %d bytes in %v, which is more than %d a second", what, moved, took, limit)
		}
	}
	back := t.TempDir()
	atLeast("curl up", size, func() {
		if got := s.answer("-T", local, s.url("curl.bin")); got != "201" {
			t.Errorf("PUT: status %s", got)
		}
	})
	same("curl up", s.files("curl.bin"))
	atLeast("curl down", size, func() { s.curl("-o", filepath.Join(back, "curl"), s.url("curl.bin")) })
	same("curl down", filepath.Join(back, "curl"))
	atLeast("sftp up", size, func() { s.batch("put " + local + " sftp.bin") })
	same("sftp up", s.files("sftp.bin"))
	atLeast("sftp down", size, func() { s.batch("get sftp.bin " + filepath.Join(back, "sftp")) })
	same("sftp down", filepath.Join(back, "sftp"))

	// Over both protocols, and several connections of one, it is one limit.
	atLeast("three at once", 3*size, func() {
		var wait sync.WaitGroup
		wait.Go(func() { s.batch("get sftp.bin " + filepath.Join(back, "one")) })
		wait.Go(func() { s.batch("get sftp.bin " + filepath.Join(back, "two")) })
		wait.Go(func() { s.curl("--http1.1", "-o", filepath.Join(back, "three"), s.url("curl.bin")) })
		wait.Wait()
	})
	for _, name := range []string{"one", "two", "three"} {
		same(name, filepath.Join(back, name))
	}
}

// TestMaxSessions: one session over all protocols, and the next one when that has ended.
func TestMaxSessions(t *testing.T) {
	s := newLab(t).serve()
	writeFile(t, s.files("there.txt"), []byte("there"))
	s.also(s.user, "max_sessions: 1\n")

	open := clientCommand(t, "sftp", "", s.sftpArgs()...)
	open.Stdin = nil
	in, err := open.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	shown, err := open.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := open.Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(in, "ls\n"); err != nil {
		t.Fatal(err)
	}
	var seen []byte
	for buf := make([]byte, 1024); !bytes.Contains(seen, []byte("there.txt")); {
		n, err := shown.Read(buf)
		if seen = append(seen, buf[:n]...); err != nil {
			t.Fatalf("the first session ended: %v\n%s", err, seen)
		}
	}
	if r := clientResult(t, "sftp", "ls\n", s.sftpArgs()...); r.code == 0 || !strings.Contains(r.stderr, "You have too many sessions open") {
		t.Errorf("a second one: exit status %d\n%s%s", r.code, r.out, r.stderr)
	}
	if got := s.status("there.txt"); got != "429" {
		t.Errorf("one over HTTPS beside it: status %s", got)
	}
	in.Close()
	_, _ = io.Copy(io.Discard, shown)
	if err := open.Wait(); err != nil {
		t.Errorf("the first session: %v", err)
	}
	deadline := time.Now().Add(30 * time.Second)
	for s.status("there.txt") != "200" {
		if time.Now().After(deadline) {
			t.Fatal("the end of the first session makes no room")
		}
		time.Sleep(50 * time.Millisecond)
	}
	for range 3 { // the same again, as the many requests of a mount are
		if got := s.status("there.txt"); got != "200" {
			t.Errorf("the session over HTTPS: status %s", got)
		}
	}
	if r := clientResult(t, "sftp", "ls\n", s.sftpArgs()...); r.code == 0 {
		t.Error("one over SFTP beside that over HTTPS is let in")
	}
}

// TestReloadBandwidth: a limit for all counts from a reload on, in the same session too, and until another one.
func TestReloadBandwidth(t *testing.T) {
	const size = 1 << 20
	l := newLab(t)
	config := filepath.Join(t.TempDir(), "gateway.yaml")
	const text = "data: %s\nsftp:\n  listen: 127.0.0.1:0\nhttps:\n  listen: 127.0.0.1:0\nadmin:\n  listen: 127.0.0.1:0\nlimits:\n  bandwidth:\n    up: %s\n"
	writeFile(t, config, fmt.Appendf(nil, text, l.data, "100MiB"))
	s := l.serveFile(config)
	w, err := s.session().Create("f")
	mustDo(t, err)
	for _, test := range []struct {
		limit   string
		seconds float64 // which the bytes take at least, but for a quarter of a second's
	}{{"256KiB", 4 - 0.25}, {"512KiB", 2 - 0.25}} {
		s.reload(t, config, fmt.Sprintf(text, l.data, test.limit), "changed=limits.bandwidth.up")
		began := time.Now()
		_, err := w.Write(make([]byte, size))
		mustDo(t, err)
		if took := time.Since(began).Seconds(); took < test.seconds {
			t.Errorf("%s a second: %d bytes in %.2f s", test.limit, size, took)
		}
	}
	mustDo(t, w.Close())
}
