package sftpsrv

import (
	"crypto/rand"
	"crypto/rsa"
	"encoding/pem"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"golang.org/x/crypto/ssh"
)

// withHostKeys gives a server the keys that it makes at its first start.
func withHostKeys(t *testing.T) func(*Config) {
	t.Helper()
	keys, err := LoadOrCreateHostKeys(t.TempDir())
	mustDo(t, err)
	return func(c *Config) { c.HostKeys = keys }
}

// TestRealAudit has ssh-audit look at the defaults.
func TestRealAudit(t *testing.T) {
	f := serve(t, withHostKeys(t))
	_, port, _ := net.SplitHostPort(f.addr)
	r := program(t, t.TempDir(), "", "ssh-audit", "--no-colors", "-p", port, "127.0.0.1")
	for _, want := range []string{"(kex) curve25519-sha256", "(key) ssh-ed25519", "(key) rsa-sha2-512 (3072-bit)", "(enc) aes128-gcm@openssh.com", "(mac) hmac-sha2-256-etm@openssh.com"} {
		if !strings.Contains(r.out, want) {
			t.Errorf("ssh-audit did not find %q", want)
		}
	}
	// It is older than these two, which it warns of.
	known := regexp.MustCompile(`(mlkem768x25519-sha256|kex-strict-s-v00@openssh.com) +-- \[warn\] unknown algorithm`)
	if strings.Contains(r.out, "[fail]") || strings.Contains(known.ReplaceAllString(r.out, ""), "[warn]") || t.Failed() {
		t.Errorf("ssh-audit:\n%s%s", r.out, r.stderr)
	}
}

// Old clients are let in if the configuration says so, and each is logged.
func TestRealLegacy(t *testing.T) {
	old := map[string][]string{
		"diffie-hellman-group14-sha1": {"-o", "KexAlgorithms=diffie-hellman-group14-sha1"},
		"diffie-hellman-group1-sha1":  {"-o", "KexAlgorithms=diffie-hellman-group1-sha1"},
		"aes128-cbc":                  {"-c", "aes128-cbc"},
		"3des-cbc":                    {"-c", "3des-cbc"},
		"hmac-sha1":                   {"-c", "aes128-ctr", "-m", "hmac-sha1"},
		"hmac-sha2-256":               {"-c", "aes128-ctr", "-m", "hmac-sha2-256"},
		"ssh-rsa":                     {"-o", "HostKeyAlgorithms=ssh-rsa"},
	}
	modernServer := serve(t, withHostKeys(t))
	legacyServer := serve(t, withHostKeys(t), func(c *Config) { c.LegacyAlgorithms = true })
	for _, f := range []*fixture{modernServer, legacyServer} {
		f.hostKey = f.server.settings.Load().keys[len(f.server.settings.Load().keys)-1] // RSA
		f.write("f", nil)
		o := newOpenSSH(t, f)
		for name, options := range old {
			before := strings.Count(f.log.String(), "not safe any more")
			options = append(options, "-o", "HostKeyAlgorithms=rsa-sha2-512", "--", "md5sum", "f")
			r := o.ssh(t, options...)
			let := f == legacyServer
			if (r.code == 0) != let {
				t.Errorf("%s, legacy %v: %d %s", name, let, r.code, r.stderr)
			}
			log := f.log.String()
			if got := strings.Count(log, "not safe any more") - before; got != map[bool]int{true: 1}[let] || let && !strings.Contains(log, "algorithms="+name) {
				t.Errorf("%s, legacy %v: logged %d times", name, let, got)
			}
		}
	}
	// A client of today still gets what is good, and is not logged.
	o := newOpenSSH(t, legacyServer)
	before := strings.Count(legacyServer.log.String(), "not safe any more")
	if r := o.ssh(t, "-v", "--", "md5sum", "f"); r.code != 0 || !strings.Contains(r.stderr, "cipher: aes128-gcm@openssh.com") {
		t.Errorf("a client of today: %d %s", r.code, r.stderr)
	}
	// The key of a user that signs with SHA-1.
	private, err := rsa.GenerateKey(rand.Reader, 2048)
	mustDo(t, err)
	signer, err := ssh.NewSignerFromKey(private)
	mustDo(t, err)
	legacyServer.auth.keys[testUser] = signer.PublicKey()
	block, err := ssh.MarshalPrivateKey(private, "")
	mustDo(t, err)
	file := filepath.Join(t.TempDir(), "rsa")
	mustDo(t, os.WriteFile(file, pem.EncodeToMemory(block), 0o600))
	o.options[slices.Index(o.options, "-i")+1] = file
	if r := o.ssh(t, "--", "md5sum", "f"); r.code != 0 {
		t.Errorf("RSA with SHA-2: %d %s", r.code, r.stderr)
	}
	if got := strings.Count(legacyServer.log.String(), "not safe any more") - before; got != 0 {
		t.Errorf("what is good is logged %d times", got)
	}
	if r := o.ssh(t, "-o", "PubkeyAcceptedAlgorithms=ssh-rsa", "--", "md5sum", "f"); r.code != 0 || !strings.Contains(legacyServer.log.String(), "algorithms=ssh-rsa") {
		t.Errorf("RSA with SHA-1: %d %s", r.code, r.stderr)
	}
}

// OpenSSH's client learns of all host keys, also of those that come next.
func TestRealHostKeyRotation(t *testing.T) {
	dir := t.TempDir()
	keys, err := LoadOrCreateHostKeys(dir)
	mustDo(t, err)
	if next, err := LoadNextHostKeys(dir); err != nil || len(next) != 0 {
		t.Errorf("%d next keys, %v", len(next), err)
	}
	for _, kind := range []string{"ed25519", "ecdsa"} {
		if r := program(t, dir, "", "ssh-keygen", "-q", "-t", kind, "-N", "", "-f", "ssh_host_"+kind+"_key.next"); r.code != 0 {
			t.Fatal(r.stderr)
		}
	}
	next, err := LoadNextHostKeys(dir)
	mustDo(t, err)
	for _, used := range keys { // the one that is negotiated decides how RSA keys sign
		f := serve(t, func(c *Config) { c.HostKeys, c.NextHostKeys = keys, next })
		f.hostKey = used
		o := newOpenSSH(t, f)
		file := strings.TrimPrefix(o.options[slices.Index(o.options, "-i")+3], "UserKnownHostsFile=")
		// It writes them down when it has the proof, for which it does not wait at its end.
		wait := fmt.Sprintf("!for i in $(seq 200); do [ $(wc -l <%s) -ge %d ] && break; sleep 0.05; done\n", file, len(keys)+len(next))
		r := program(t, o.dir, wait, "sftp", append(slices.Clone(o.options), "-v", "-o", "UpdateHostKeys=yes", "-b", "-", testUser+"@127.0.0.1")...)
		if r.code != 0 {
			t.Fatalf("%d %s", r.code, r.stderr)
		}
		text, err := os.ReadFile(file)
		mustDo(t, err)
		for _, key := range append(slices.Clone(keys), next...) {
			line := strings.TrimSpace(string(ssh.MarshalAuthorizedKey(key.PublicKey())))
			if !strings.Contains(string(text), line) {
				t.Errorf("with %s: the client did not learn %s\n%s", used.PublicKey().Type(), line, r.stderr)
			}
		}
	}
	// What a client could ask for beside that.
	f := serve(t, func(c *Config) { c.HostKeys = keys })
	f.hostKey = keys[1] // RSA, which this client prefers
	conn := f.mustDial()
	first := f.server.settings.Load().keys[0].PublicKey().Marshal()
	for name, payload := range map[string][]byte{
		"another key":  ssh.Marshal(struct{ K []byte }{newSigner(t).PublicKey().Marshal()}),
		"nonsense":     {0xff, 0xff, 0xff, 0xff},
		"one too many": slices.Repeat(ssh.Marshal(struct{ K []byte }{first}), 10),
	} {
		if ok, _, err := conn.SendRequest(proveRequest, true, payload); ok || err != nil {
			t.Errorf("%s: %v, %v", name, ok, err)
		}
	}
	for i := range 2 {
		ok, _, err := conn.SendRequest(proveRequest, true, ssh.Marshal(struct{ K []byte }{first}))
		if want := i == 0; ok != want || err != nil { // the fourth, and one too many
			t.Errorf("proof %d: %v, %v", i, ok, err)
		}
	}
}

// The keys of a connection are made anew while files are transferred.
func TestRealRekey(t *testing.T) {
	f := serve(t, func(c *Config) { c.RekeyBytes = 1 << 20 })
	o := newOpenSSH(t, f)
	content := pattern(10 << 20)
	o.local(t, "f", content)
	r := program(t, o.dir, "put f\nget f back\n", "sftp", append(slices.Clone(o.options), "-vv", "-b", "-", testUser+"@127.0.0.1")...)
	if n := strings.Count(r.stderr, "SSH2_MSG_NEWKEYS received"); r.code != 0 || n < 4 { // once at the beginning; how often more depends on what is under way meanwhile
		t.Errorf("%d, keys were made %d times\n%.3000s", r.code, n, r.stderr)
	}
	f.expect("f", content)
	if back, err := os.ReadFile(filepath.Join(o.dir, "back")); err != nil || !slices.Equal(back, content) {
		t.Errorf("read back: %d bytes, %v", len(back), err)
	}
}
