package sftpsrv

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/pkg/sftp"
	"go.uber.org/goleak"
	"golang.org/x/crypto/ssh"

	"gateway/auth"
	"gateway/storage"
	"gateway/storage/disk"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	testUser     = "alice"
	testPassword = "correct horse"
)

// fakeAuth knows some users, and what was asked of it.
type fakeAuth struct {
	passwords map[string]string
	keys      map[string]ssh.PublicKey

	mu     sync.Mutex
	banned bool
	failed int
}

func (a *fakeAuth) Password(_ context.Context, _ netip.Addr, user, password string) (auth.Identity, error) {
	if want, ok := a.passwords[user]; ok && want == password {
		return auth.Identity{User: auth.User{Name: user}, By: "password"}, nil
	}
	a.Failed(netip.Addr{})
	return auth.Identity{}, auth.ErrCredentials
}

func (a *fakeAuth) PasswordToo(ctx context.Context, from netip.Addr, id auth.Identity, password string) (auth.Identity, error) {
	return a.Password(ctx, from, id.User.Name, password)
}

func (a *fakeAuth) PublicKey(_ context.Context, _ netip.Addr, user string, key ssh.PublicKey) (auth.Identity, error) {
	if want, ok := a.keys[user]; ok && bytes.Equal(want.Marshal(), key.Marshal()) {
		return auth.Identity{User: auth.User{Name: user}, By: "publickey"}, nil
	}
	return auth.Identity{}, auth.ErrCredentials
}

func (a *fakeAuth) Allowed(netip.Addr) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.banned {
		return auth.ErrBanned
	}
	return nil
}

func (a *fakeAuth) Failed(netip.Addr) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.failed++
}

func (a *fakeAuth) failures() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.failed
}

func newSigner(t testing.TB) ssh.Signer {
	t.Helper()
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	signer, err := ssh.NewSignerFromKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return signer
}

// fixture is a running server over a folder.
type fixture struct {
	t       testing.TB
	dir     string
	disk    *disk.Disk
	server  *Server
	addr    string
	auth    *fakeAuth
	hostKey ssh.Signer
	log     *lockedBuffer
	stop    func()
}

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func serve(t testing.TB, change ...func(*Config)) *fixture {
	t.Helper()
	f := &fixture{t: t, dir: t.TempDir(), hostKey: newSigner(t), log: &lockedBuffer{}}
	f.auth = &fakeAuth{passwords: map[string]string{testUser: testPassword, "bob": testPassword}, keys: map[string]ssh.PublicKey{}}
	var err error
	if f.disk, err = disk.Open(f.dir, disk.Options{}); err != nil {
		t.Fatal(err)
	}
	config := Config{
		HostKeys:        []ssh.Signer{f.hostKey},
		Auth:            f.auth,
		Logger:          slog.New(slog.NewTextHandler(f.log, nil)),
		ShutdownTimeout: 10 * time.Second,
		Open: func(_ context.Context, id auth.Identity) (storage.FS, error) {
			return storage.NewView(
				[]storage.Mount{{FS: f.disk, Permissions: storage.PermReadWrite}},
				storage.ViewOptions{User: id.User.Name})
		},
	}
	for _, c := range change {
		c(&config)
	}
	if f.server, err = New(config); err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	f.addr = l.Addr().String()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- f.server.Serve(ctx, l) }()
	f.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Serve: %v", err)
		}
		if err := f.disk.Close(); err != nil {
			t.Errorf("close disk: %v", err)
		}
	})
	t.Cleanup(func() {
		f.stop()
		if t.Failed() {
			t.Logf("log of the server:\n%s", f.log)
		}
	})
	return f
}

func (f *fixture) clientConfig(user string, methods ...ssh.AuthMethod) *ssh.ClientConfig {
	if methods == nil {
		methods = []ssh.AuthMethod{ssh.Password(testPassword)}
	}
	return &ssh.ClientConfig{
		User: user, Auth: methods, Timeout: 10 * time.Second,
		HostKeyCallback: ssh.FixedHostKey(f.hostKey.PublicKey()),
	}
}

func (f *fixture) dial(user string, methods ...ssh.AuthMethod) (*ssh.Client, error) {
	return ssh.Dial("tcp", f.addr, f.clientConfig(user, methods...))
}

func (f *fixture) mustDial() *ssh.Client {
	f.t.Helper()
	c, err := f.dial(testUser)
	if err != nil {
		f.t.Fatal(err)
	}
	f.t.Cleanup(func() { c.Close() })
	return c
}

// client is a pkg/sftp client of testUser.
func (f *fixture) client(options ...sftp.ClientOption) *sftp.Client {
	f.t.Helper()
	c, err := sftp.NewClient(f.mustDial(), options...)
	if err != nil {
		f.t.Fatal(err)
	}
	f.t.Cleanup(func() { c.Close() })
	return c
}

// breakOff begins an upload, of which content comes before the connection breaks.
func (f *fixture) breakOff(name string, content []byte) {
	f.t.Helper()
	conn := f.mustDial()
	c, err := sftp.NewClient(conn)
	mustDo(f.t, err)
	w, err := c.Create(name)
	mustDo(f.t, err)
	_, err = w.Write(content)
	mustDo(f.t, err)
	conn.Close()
	c.Close()
}

func (f *fixture) write(name string, content []byte) {
	f.t.Helper()
	file := filepath.Join(f.dir, name)
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		f.t.Fatal(err)
	}
	if err := os.WriteFile(file, content, 0o644); err != nil {
		f.t.Fatal(err)
	}
}

// published is what is on the disk under a name; nil if nothing is.
func (f *fixture) published(name string) []byte {
	f.t.Helper()
	content, err := os.ReadFile(filepath.Join(f.dir, name))
	if os.IsNotExist(err) {
		return nil
	}
	if err != nil {
		f.t.Fatal(err)
	}
	if content == nil {
		content = []byte{}
	}
	return content
}

func (f *fixture) expect(name string, want []byte) {
	f.t.Helper()
	got := f.published(name)
	switch {
	case want == nil && got != nil:
		f.t.Errorf("%s is published with %d bytes, want nothing", name, len(got))
	case want != nil && got == nil:
		f.t.Errorf("%s is not published, want %d bytes", name, len(want))
	case !bytes.Equal(got, want):
		f.t.Errorf("%s has %d bytes that differ from the %d wanted", name, len(got), len(want))
	}
}

// suspended waits until as many uploads are suspended, and returns them by name.
func (f *fixture) suspended(n int) map[string]storage.Suspended {
	f.t.Helper()
	var found map[string]storage.Suspended
	f.eventually(fmt.Sprintf("%d suspended uploads", n), func() bool {
		found = make(map[string]storage.Suspended)
		for u, err := range f.disk.Suspended(context.Background(), "") {
			if err == nil {
				found[u.Name] = u
			}
		}
		return len(found) == n && f.connections() == 0
	})
	return found
}

// connections is how many the server has.
func (f *fixture) connections() int {
	f.server.mu.Lock()
	defer f.server.mu.Unlock()
	return len(f.server.conns)
}

func (f *fixture) eventually(what string, condition func() bool) {
	f.t.Helper()
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		if condition() {
			return
		}
	}
	f.t.Fatalf("waited in vain for %s", what)
}

func pattern(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i*7 + i>>8*13 + i>>16*31)
	}
	return b
}

func put(t testing.TB, c *sftp.Client, name string, content []byte) {
	t.Helper()
	w, err := c.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.ReadFrom(bytes.NewReader(content)); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
}

func get(t testing.TB, c *sftp.Client, name string) []byte {
	t.Helper()
	r, err := c.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	content, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return content
}
