package servers

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// Signer is a fresh OpenPGP key (Ed25519, no passphrase) in a key ring of its own.
type Signer struct {
	Fingerprint string // 40 upper-case hex digits
	PublicKey   string // path of the armored public key, which lasts as long as the test
	Identity    string // "Name <address>"

	home string
	gpg  string
}

// NewSigner makes a key with GnuPG. The key ring and its agent go with the test.
func NewSigner(t testing.TB) *Signer {
	t.Helper()
	s := &Signer{Identity: "Tree Signer <signer@example.com>", gpg: Tool(t, "gpg")}
	agent := Tool(t, "gpg-connect-agent")
	// Not t.TempDir(): the agent's socket must fit into 108 bytes.
	home, err := os.MkdirTemp("", "gpg-")
	if err != nil {
		t.Fatal(err)
	}
	s.home = home
	t.Cleanup(func() {
		kill := exec.Command(agent, "--no-autostart", "KILLAGENT", "/bye")
		kill.Env = s.env()
		if out, err := kill.CombinedOutput(); err != nil {
			t.Errorf("servers: end gpg-agent: %v\n%s", err, out)
		}
		if err := os.RemoveAll(home); err != nil {
			t.Errorf("servers: remove key ring: %v", err)
		}
	})
	s.run(t, "--quick-generate-key", s.Identity, "ed25519", "sign", "0")
	for line := range strings.Lines(string(s.run(t, "--with-colons", "--list-keys"))) {
		if f := strings.Split(line, ":"); f[0] == "fpr" {
			s.Fingerprint = f[9]
			break
		}
	}
	s.PublicKey = filepath.Join(home, "public.asc")
	if err := os.WriteFile(s.PublicKey, s.run(t, "--armor", "--export", s.Fingerprint), 0o644); err != nil {
		t.Fatal(err)
	}
	return s
}

// Detached returns an armored detached signature over the file.
func (s *Signer) Detached(t testing.TB, file string) []byte {
	t.Helper()
	return s.run(t, "--armor", "--local-user", s.Fingerprint, "--output", "-", "--detach-sign", "--", file)
}

// ClearSigned returns the file's text in a clear-signed block.
func (s *Signer) ClearSigned(t testing.TB, file string) []byte {
	t.Helper()
	return s.run(t, "--local-user", s.Fingerprint, "--output", "-", "--clear-sign", "--", file)
}

func (s *Signer) env() []string { return append(os.Environ(), "GNUPGHOME="+s.home, "LC_ALL=C") }

func (s *Signer) run(t testing.TB, args ...string) []byte {
	t.Helper()
	cmd := exec.Command(s.gpg, append([]string{"--batch", "--quiet", "--pinentry-mode", "loopback", "--passphrase", ""}, args...)...)
	cmd.Env = s.env()
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("servers: gpg %s: %v\n%s", strings.Join(args, " "), err, stderr.Bytes())
	}
	return out
}
