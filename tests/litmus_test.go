package tests

import (
	"context"
	"crypto/tls"
	"io"
	"net"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"gateway/tests/servers"
)

// litmusTests is how many tests each suite of litmus 0.13 has.
func litmusTests() map[string]string {
	return map[string]string{"basic": "16", "copymove": "13", "props": "30", "locks": "41", "http": "4"}
}

var (
	litmusSummary = regexp.MustCompile("<- summary for `([a-z]+)': of ([0-9]+) tests run: ([0-9]+) passed, ([0-9]+) failed")
	// litmusTest is the last of what litmus writes on the line of a test: it begins it several times.
	litmusTest = regexp.MustCompile(`^ ?[0-9]+\. ([a-z0-9_]+)\.+ (\S.*)$`)
)

// TestRealLitmus runs the test suite for WebDAV servers, all of it, and takes nothing but a pass of each
// test, without a warning. One test, of "Expect: 100-continue", litmus itself leaves out over TLS.
func TestRealLitmus(t *testing.T) {
	s := newLab(t).serve()
	t.Run("TLS", func(t *testing.T) { s.litmus(t, "https://"+s.https+"/", "expect100") })
	t.Run("plain", func(t *testing.T) { s.litmus(t, "http://"+plain(t, s.https)+"/") })
}

func (s *serving) litmus(t *testing.T, url string, skipped ...string) {
	ctx, cancel := context.WithTimeout(t.Context(), commandTime)
	defer cancel()
	cmd := exec.CommandContext(ctx, servers.Tool(t, "litmus"), "--keep-going", url, s.user, s.password)
	cmd.Dir = t.TempDir() // it writes a log there
	cmd.Env = append(os.Environ(), "LC_ALL=C.UTF-8")
	r := finish(t, cmd)
	passed := map[string]bool{}
	for line := range strings.Lines(strings.ReplaceAll(r.out, "\r", "\n")) {
		line = strings.TrimRight(line, " \n")
		if strings.Contains(line, "WARNING") || strings.Contains(line, "FAIL") {
			t.Error(line)
		}
		if m := litmusTest.FindStringSubmatch(line); m != nil && m[2] != "pass" {
			if !slices.Contains(skipped, m[1]) || !strings.HasPrefix(m[2], "SKIPPED") {
				t.Error(line)
			}
		}
		m := litmusSummary.FindStringSubmatch(line)
		if m == nil {
			continue
		}
		want := litmusTests()[m[1]]
		if m[1] == "http" && strings.HasPrefix(url, "https:") {
			want = "3"
		}
		if passed[m[1]] = m[2] == want && m[3] == want && m[4] == "0"; !passed[m[1]] {
			t.Errorf("want %s of each: %s", want, line)
		}
	}
	for suite := range litmusTests() {
		if !passed[suite] {
			t.Errorf("%s was not run to its end", suite)
		}
	}
	if r.code != 0 || t.Failed() {
		t.Errorf("litmus %s: exit status %d\n%s%s", url, r.code, r.out, r.stderr)
	}
}

// plain listens for clients that speak no TLS and speaks it for them, as a proxy in front would: the
// gateway itself has no listener without it.
func plain(t testing.TB, https string) (addr string) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	relay := func(c net.Conn) {
		defer c.Close()
		up, err := tls.Dial("tcp", https, &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"http/1.1"}})
		if err != nil {
			t.Error(err)
			return
		}
		defer up.Close()
		wg.Go(func() { _, _ = io.Copy(up, c); _ = up.CloseWrite() })
		_, _ = io.Copy(c, up)
	}
	wg.Go(func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			wg.Go(func() { relay(c) })
		}
	})
	t.Cleanup(func() { ln.Close(); wg.Wait() })
	return ln.Addr().String()
}
