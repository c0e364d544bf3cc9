package integrity

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// gnupg drives the real gpg in a home of its own.
type gnupg struct {
	t    *testing.T
	home string
}

// newGnuPG makes an empty home. Its path is short because the agent's socket
// lies in it, and the agent is stopped with the test.
func newGnuPG(t *testing.T) *gnupg {
	t.Helper()
	if _, err := exec.LookPath("gpg"); err != nil {
		t.Fatalf("the tests of signatures need GnuPG (Debian package gpg): %v", err)
	}
	home, err := os.MkdirTemp("", "gpg")
	if err != nil {
		t.Fatal(err)
	}
	g := &gnupg{t, home}
	t.Cleanup(func() {
		g.command("", "gpgconf", "--homedir", home, "--kill", "all")
		if err := os.RemoveAll(home); err != nil {
			t.Error(err)
		}
	})
	return g
}

func (g *gnupg) command(stdin, name string, args ...string) []byte {
	g.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Env = append(os.Environ(), "GNUPGHOME="+g.home, "LC_ALL=C")
	cmd.Stdin = strings.NewReader(stdin)
	var out, errOut bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errOut
	if err := cmd.Run(); err != nil {
		g.t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, errOut.String())
	}
	return out.Bytes()
}

// run calls gpg without any prompt.
func (g *gnupg) run(stdin string, args ...string) []byte {
	g.t.Helper()
	base := []string{"--batch", "--no-tty", "--yes", "--pinentry-mode", "loopback", "--passphrase", ""}
	return g.command(stdin, "gpg", append(base, args...)...)
}

// generate makes a key and returns its fingerprint. extra comes before the command.
func (g *gnupg) generate(uid, algo, usage, expire string, extra ...string) string {
	g.t.Helper()
	g.run("", append(extra, "--quick-gen-key", uid, algo, usage, expire)...)
	return g.fingerprints(uid)[0]
}

// fingerprints lists the primary key's and then the subkeys'.
func (g *gnupg) fingerprints(uid string) []string {
	g.t.Helper()
	var list []string
	for line := range strings.Lines(string(g.run("", "--with-colons", "--list-keys", "="+uid))) {
		if fields := strings.Split(line, ":"); fields[0] == "fpr" {
			list = append(list, fields[9])
		}
	}
	return list
}

// sign makes a binary detached signature. extra comes before the command.
func (g *gnupg) sign(message, key string, extra ...string) []byte {
	g.t.Helper()
	return g.run(message, append(append([]string{"-u", key}, extra...), "--detach-sign")...)
}

// keyring exports keys and pins all of them.
func (g *gnupg) keyring(fingerprints ...string) *Keyring {
	g.t.Helper()
	return mustKeyring(g.t, g.export(fingerprints...), fingerprints...)
}

func (g *gnupg) export(fingerprints ...string) []byte {
	g.t.Helper()
	return g.run("", append([]string{"--armor", "--export"}, fingerprints...)...)
}

// revocation returns the revocation certificate that gpg made with the key.
func (g *gnupg) revocation(fingerprint string) []byte {
	g.t.Helper()
	data, err := os.ReadFile(filepath.Join(g.home, "openpgp-revocs.d", fingerprint+".rev"))
	if err != nil {
		g.t.Fatal(err)
	}
	return bytes.ReplaceAll(data, []byte(":-----BEGIN"), []byte("-----BEGIN"))
}

func mustKeyring(t *testing.T, data []byte, pins ...string) *Keyring {
	t.Helper()
	ring, err := ReadKeyring(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	pinned, err := ring.Pin(pins...)
	if err != nil {
		t.Fatal(err)
	}
	return pinned
}
