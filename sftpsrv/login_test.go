package sftpsrv

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/rsa"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/pkg/sftp"
	"golang.org/x/crypto/ssh"

	"gateway/auth"
	"gateway/storage"
)

func TestLogin(t *testing.T) {
	f := serve(t, func(c *Config) { c.Banner = "private property\n" })
	right, wrong := newSigner(t), newSigner(t)
	f.auth.keys[testUser] = right.PublicKey()
	weak, err := rsa.GenerateKey(rand.Reader, 1024)
	mustDo(t, err)
	weakSigner, err := ssh.NewSignerFromKey(weak)
	mustDo(t, err)
	answer := func(text string) ssh.AuthMethod {
		return ssh.KeyboardInteractive(func(_, _ string, questions []string, _ []bool) ([]string, error) {
			return slices.Repeat([]string{text}, len(questions)), nil
		})
	}
	tests := []struct {
		name    string
		user    string
		methods []ssh.AuthMethod
		ok      bool
		failed  int // counted against the address
	}{
		{"password", testUser, []ssh.AuthMethod{ssh.Password(testPassword)}, true, 0},
		{"wrong password", testUser, []ssh.AuthMethod{ssh.Password("x")}, false, 1},
		{"unknown user", "mallory", []ssh.AuthMethod{ssh.Password(testPassword)}, false, 1},
		{"long password", testUser, []ssh.AuthMethod{ssh.Password(strings.Repeat("x", maxPassword+1))}, false, 1},
		{"long user", strings.Repeat("x", maxUser+1), []ssh.AuthMethod{ssh.PublicKeys(right)}, false, 1},
		{"key", testUser, []ssh.AuthMethod{ssh.PublicKeys(right)}, true, 0},
		{"wrong keys", testUser, []ssh.AuthMethod{ssh.PublicKeys(wrong, newSigner(t))}, false, 1},
		{"wrong key, then the right one", testUser, []ssh.AuthMethod{ssh.PublicKeys(wrong, right)}, true, 0},
		{"key of another user", "bob", []ssh.AuthMethod{ssh.PublicKeys(right)}, false, 1},
		{"weak key", testUser, []ssh.AuthMethod{ssh.PublicKeys(weakSigner)}, false, 1},
		{"key, then password", testUser, []ssh.AuthMethod{ssh.PublicKeys(wrong), ssh.Password(testPassword)}, true, 0},
		{"key, then wrong password", testUser, []ssh.AuthMethod{ssh.PublicKeys(wrong), ssh.Password("x")}, false, 1},
		{"keyboard-interactive", testUser, []ssh.AuthMethod{answer(testPassword)}, true, 0},
		{"keyboard-interactive, wrong", testUser, []ssh.AuthMethod{ssh.RetryableAuthMethod(answer("x"), 1)}, false, 1},
		{"nothing", testUser, []ssh.AuthMethod{}, false, 0},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			before := f.auth.failures()
			var banner string
			config := f.clientConfig(test.user, test.methods...)
			config.Auth = test.methods
			config.BannerCallback = func(text string) error { banner = text; return nil }
			c, err := ssh.Dial("tcp", f.addr, config)
			if (err == nil) != test.ok {
				t.Errorf("login: %v", err)
			}
			if banner != "private property\n" {
				t.Errorf("banner: %q", banner)
			}
			if err == nil {
				c.Close()
			}
			f.eventually("the end of the connection", func() bool { return f.connections() == 0 })
			if got := f.auth.failures() - before; got != test.failed {
				t.Errorf("%d failures were counted, want %d", got, test.failed)
			}
		})
	}
	if log := f.log.String(); !strings.Contains(log, `msg="no login" from=127.0.0.1 user=mallory reason="wrong user name, password or key"`) {
		t.Error("it is not logged who was refused, and why")
	}
}

// twoFaced offers the key of somebody else first and then proves another one:
// CVE-2024-45337. Who logged in is who owns the proved key.
func TestKeyThatIsProvedCounts(t *testing.T) {
	users := make(chan string, 1)
	f := serve(t, func(c *Config) {
		open := c.Open
		c.Open = func(ctx context.Context, id auth.Identity) (storage.FS, error) {
			users <- id.User.Name + " by " + id.By
			return open(ctx, id)
		}
	})
	alice, bob := newSigner(t), newSigner(t)
	f.auth.keys[testUser], f.auth.keys["bob"] = alice.PublicKey(), bob.PublicKey()
	// Offers alice's public key, but signs with bob's, for the user alice: no login.
	if c, err := f.dial(testUser, ssh.PublicKeys(impostor{bob, alice.PublicKey()})); err == nil {
		c.Close()
		t.Error("a signature by another key was accepted")
	}
	c, err := f.dial("bob", ssh.PublicKeys(impostor{newSigner(t), newSigner(t).PublicKey()}, bob))
	mustDo(t, err)
	defer c.Close()
	if got := <-users; got != "bob by publickey" {
		t.Errorf("logged in as %s", got)
	}
}

type impostor struct {
	ssh.Signer
	claims ssh.PublicKey
}

func (i impostor) PublicKey() ssh.PublicKey { return i.claims }

func TestBanned(t *testing.T) {
	f := serve(t)
	f.auth.mu.Lock()
	f.auth.banned = true
	f.auth.mu.Unlock()
	if _, err := f.dial(testUser); err == nil {
		t.Error("a banned address logged in")
	}
}

func TestViewThatCannotBeOpened(t *testing.T) {
	f := serve(t, func(c *Config) {
		c.Open = func(context.Context, auth.Identity) (storage.FS, error) { return nil, errors.New("disk is gone") }
	})
	if c, err := f.dial(testUser); err == nil {
		if _, err := sftp.NewClient(c); err == nil {
			t.Error("a session without a view")
		}
		c.Close()
	}
	f.eventually("the end of the connection", func() bool { return f.connections() == 0 })
	if !strings.Contains(f.log.String(), "disk is gone") {
		t.Error("the reason is not logged")
	}
}

// Whoever does not log in in time is gone, however far they came.
func TestHandshakeTimeout(t *testing.T) {
	f := serve(t, func(c *Config) { c.HandshakeTimeout = 300 * time.Millisecond })
	for name, beginning := range map[string]string{
		"silent": "", "identification": "SSH-2.0-slow\r\n", "algorithms": "SSH-2.0-slow\r\n" + string(kexInit("aes128-ctr", "aes128-ctr")),
	} {
		conn, err := net.Dial("tcp", f.addr)
		mustDo(t, err)
		defer conn.Close()
		_, err = io.WriteString(conn, beginning)
		mustDo(t, err, conn.SetDeadline(time.Now().Add(20*time.Second)))
		if _, err := io.Copy(io.Discard, conn); err != nil && !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("%s: %v", name, err)
		}
	}
	// One that has a connection but no password.
	config := f.clientConfig(testUser, ssh.PasswordCallback(func() (string, error) {
		f.eventually("the end of the connection", func() bool { return f.connections() == 0 })
		return testPassword, nil
	}))
	if c, err := ssh.Dial("tcp", f.addr, config); err == nil {
		c.Close()
		t.Error("a login after the deadline")
	}
}

func TestOnlySFTP(t *testing.T) {
	f := serve(t)
	conn := f.mustDial()
	if _, _, err := conn.OpenChannel("direct-tcpip", nil); err == nil {
		t.Error("forwarding was opened")
	}
	for _, what := range []string{"exec", "shell"} {
		session, err := conn.NewSession()
		mustDo(t, err)
		var stderr bytes.Buffer
		session.Stderr = &stderr
		if err := session.RequestPty("xterm", 24, 80, nil); err == nil {
			t.Error("a terminal was granted")
		}
		if what == "exec" {
			err = session.Start("id")
		} else {
			err = session.Shell()
		}
		mustDo(t, err)
		var exit *ssh.ExitError
		if err := session.Wait(); !errors.As(err, &exit) || exit.ExitStatus() == 0 || !strings.Contains(stderr.String(), "Only SFTP") {
			t.Errorf("%s: %v, %q", what, exit, stderr.String())
		}
	}
	session, err := conn.NewSession()
	mustDo(t, err)
	if err := session.RequestSubsystem("netconf"); err == nil {
		t.Error("another subsystem was granted")
	}
	for _, payload := range []string{"", "\x00\x00\x00\xffsftp", "\x00\x00\x00\x04sftpx"} {
		if ok, err := session.SendRequest("subsystem", true, []byte(payload)); err != nil || ok {
			t.Errorf("subsystem %q: %v, %v", payload, ok, err)
		}
	}
	session.Close()
	for i := range maxChannels {
		if _, err := conn.NewSession(); err != nil {
			// The closed ones may still be counted for a moment.
			t.Logf("session %d: %v", i, err)
		}
	}
	if _, err := conn.NewSession(); err == nil {
		t.Errorf("session %d was opened", maxChannels+1)
	}
}

func TestShutdownWaitsForTransfers(t *testing.T) {
	f := serve(t)
	c := f.client()
	idle := f.client()
	w, err := c.Create("f")
	mustDo(t, err)
	_, err = w.Write([]byte("first "))
	mustDo(t, err)
	stopped := make(chan struct{})
	go func() { f.stop(); close(stopped) }()
	f.eventually("the idle connection to be closed", func() bool {
		_, err := idle.Getwd()
		return err != nil
	})
	_, err = w.Write([]byte("second"))
	mustDo(t, err, w.Close())
	<-stopped
	f.expect("f", []byte("first second"))
}

func TestShutdownIsBounded(t *testing.T) {
	f := serve(t, func(c *Config) { c.ShutdownTimeout = 50 * time.Millisecond })
	c := f.client()
	w, err := c.Create("f")
	mustDo(t, err)
	_, err = w.Write([]byte("part"))
	mustDo(t, err)
	f.stop()
	f.expect("f", nil)
	if err := w.Close(); err == nil {
		t.Error("CLOSE after the end succeeded")
	}
}

func TestHostKeys(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "keys")
	first, err := LoadOrCreateHostKeys(dir)
	mustDo(t, err)
	again, err := LoadOrCreateHostKeys(dir)
	mustDo(t, err)
	lines := Fingerprints(first)
	if !slices.Equal(lines, Fingerprints(again)) {
		t.Error("the keys changed")
	}
	for i, want := range []string{"ssh-ed25519 SHA256:", "ssh-rsa SHA256:"} {
		if !strings.HasPrefix(lines[i], want) {
			t.Errorf("key %d is %s", i, lines[i])
		}
	}
	entries, err := os.ReadDir(dir)
	mustDo(t, err)
	if len(entries) != 2 {
		t.Errorf("%d files in the folder", len(entries))
	}
	file := filepath.Join(dir, "ssh_host_ed25519_key")
	mustDo(t, os.Chmod(file, 0o644))
	if _, err := LoadOrCreateHostKeys(dir); err == nil || !strings.Contains(err.Error(), "chmod 600") {
		t.Errorf("key that others may read: %v", err)
	}
	mustDo(t, os.Chmod(file, 0o600), os.WriteFile(file, []byte("not a key"), 0o600))
	if _, err := LoadOrCreateHostKeys(dir); err == nil || !strings.Contains(err.Error(), file) || !strings.Contains(err.Error(), "remove it") {
		t.Errorf("broken key: %v", err)
	}
	// No SHA-1 with the RSA key.
	f := serve(t, func(c *Config) { c.HostKeys = first })
	config := f.clientConfig(testUser)
	config.HostKeyCallback = ssh.FixedHostKey(first[1].PublicKey())
	config.HostKeyAlgorithms = []string{ssh.KeyAlgoRSA}
	if c, err := ssh.Dial("tcp", f.addr, config); err == nil {
		c.Close()
		t.Error("ssh-rsa was negotiated")
	}
	config.HostKeyAlgorithms = []string{ssh.KeyAlgoRSASHA256}
	c, err := ssh.Dial("tcp", f.addr, config)
	mustDo(t, err)
	c.Close()
}

func TestConfig(t *testing.T) {
	keys := []ssh.Signer{newSigner(t)}
	open := func(context.Context, auth.Identity) (storage.FS, error) { return nil, nil }
	for name, c := range map[string]Config{
		"no keys": {Auth: &fakeAuth{}, Open: open},
		"no auth": {HostKeys: keys, Open: open},
		"no view": {HostKeys: keys, Auth: &fakeAuth{}},
	} {
		if _, err := New(c); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	if _, err := New(Config{HostKeys: keys, Auth: &fakeAuth{}, Open: open}); err != nil {
		t.Error(err)
	}
}
