package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"gateway/auth"
	"gateway/storage"
)

// newEnv is a command's environment with a data folder of its own, and what it prints.
func newEnv(t *testing.T) (e *env, out, stderr *bytes.Buffer) {
	t.Helper()
	t.Chdir(t.TempDir())
	out, stderr = new(bytes.Buffer), new(bytes.Buffer)
	return &env{streams: streams{in: strings.NewReader(""), out: out, err: stderr}, ctx: t.Context(), cli: &cli{}}, out, stderr
}

func openGateway(t *testing.T, e *env) *gateway {
	t.Helper()
	g, err := e.open()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := g.Close(); err != nil {
			t.Error(err)
		}
	})
	return g
}

// TestFirstUserBesideMistakes: a mistake in one user's file keeps that one out, not
// the server from starting, and makes nobody think that there are no users.
func TestFirstUserBesideMistakes(t *testing.T) {
	e, _, stderr := newEnv(t)
	g := openGateway(t, e)
	broken := filepath.Join(g.cfg.UsersDir(), "broken.yaml")
	if err := os.WriteFile(broken, []byte("mount: []\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if password, err := g.firstUser(t.Context()); err == nil || password != "" {
		t.Errorf("nobody can log in: %q, %v", password, err)
	}
	if err := g.users.Put(t.Context(), auth.User{Name: "anna"}); err != nil {
		t.Fatal(err)
	}
	if password, err := g.firstUser(t.Context()); err != nil || password != "" {
		t.Errorf("one user is good: %q, %v", password, err)
	}
	if !strings.Contains(stderr.String(), "broken.yaml:1") {
		t.Errorf("the log does not name the mistake: %s", stderr)
	}
}

// TestMountFolderIsMadeAgain: a folder that was removed while the gateway runs is there
// at the next login.
func TestMountFolderIsMadeAgain(t *testing.T) {
	e, _, _ := newEnv(t)
	g := openGateway(t, e)
	id := auth.Identity{User: auth.User{Name: "anna", Mounts: []auth.Mount{
		{Path: "/", Folder: "people/anna", Permissions: auth.Permissions(storage.PermReadWrite)},
	}}}
	for range 2 {
		view, err := g.view(t.Context(), id)
		if err != nil {
			t.Fatal(err)
		}
		if err := view.Mkdir(t.Context(), "new"); err != nil {
			t.Error(err)
		}
		if err := os.RemoveAll(filepath.Join(g.cfg.Storages["default"].Path, "people")); err != nil {
			t.Fatal(err)
		}
	}
}

// TestNoPasswordWithoutUser: a password is shown only of a user who was added.
func TestNoPasswordWithoutUser(t *testing.T) {
	e, out, stderr := newEnv(t)
	if code := run(e.ctx, []string{"user", "add", "anna", "--generate", "--folder", "../up"}, e.streams); code != exitFailed {
		t.Errorf("exit status %d", code)
	}
	if out.Len() > 0 || !strings.Contains(stderr.String(), `".."`) {
		t.Errorf("output %q, errors %q", out, stderr)
	}
}

// TestCheckConfigReadsTheCertificate: a certificate that serve could not use is found.
func TestCheckConfigReadsTheCertificate(t *testing.T) {
	e, out, stderr := newEnv(t)
	if err := os.WriteFile("gateway.yaml", []byte("https:\n  certificate: c.pem\n  key: k.pem\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Join("gateway-data", "users"), 0o700); err != nil {
		t.Fatal(err)
	}
	if code := run(e.ctx, []string{"check-config"}, e.streams); code != exitFailed {
		t.Errorf("exit status %d", code)
	}
	if !strings.Contains(stderr.String(), "c.pem") || strings.Contains(out.String(), "no mistakes") {
		t.Errorf("output %q, errors %q", out, stderr)
	}
}
