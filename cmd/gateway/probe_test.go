package main

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestRealProbeBlock: what probe prints for the configuration is accepted there, once
// what is to be filled in is, and migrates.
func TestRealProbeBlock(t *testing.T) {
	server, url := legacy(t, map[string]string{"a.txt": "hello"})
	e, out, stderr := newEnv(t)
	gateway := func(args ...string) string {
		t.Helper()
		out.Reset()
		if code := run(e.ctx, args, e.streams); code != exitOK {
			t.Fatalf("%q: exit status %d\n%s%s", args, code, out, stderr)
		}
		return out.String()
	}
	_, block, found := strings.Cut(gateway("probe", "--sessions", "2", url), "sources:\n")
	if !found {
		t.Fatal(out)
	}
	name, _, _ := strings.Cut(strings.TrimSpace(block), ":")
	block = strings.NewReplacer(
		"/path/to/a/file/with/the/password", "secret", "default:FOLDER", "default:in",
	).Replace("sources:\n" + block)
	if err := errors.Join(
		os.WriteFile("secret", []byte(server.Pass), 0o600), os.WriteFile("policy.yaml", []byte(provedPolicy), 0o600),
		os.WriteFile("gateway.yaml", []byte(block), 0o600),
	); err != nil {
		t.Fatal(err)
	}
	if text := gateway("check-config"); !strings.Contains(text, "no mistakes found") && !strings.Contains(text, "none yet") {
		t.Errorf("%s\n%s", block, text)
	}
	// Nothing vouches for the file: it is quarantined, as the policy says.
	run(e.ctx, []string{"migrate", name}, e.streams)
	if !strings.Contains(gateway("quarantine", "list"), "in/a.txt") {
		t.Errorf("%s\n%s", out, stderr)
	}
	if _, err := os.Stat(filepath.Join("gateway-data", "files", "in", "a.txt")); err == nil {
		t.Error("it is published")
	}
}
