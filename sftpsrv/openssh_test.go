package sftpsrv

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/pem"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"gateway/tests/servers"
)

// openSSH runs the sftp of OpenSSH against a server.
type openSSH struct {
	f       *fixture
	dir     string // local folder
	options []string
}

func newOpenSSH(t *testing.T, f *fixture) *openSSH {
	t.Helper()
	public, private, err := ed25519.GenerateKey(rand.Reader)
	mustDo(t, err)
	key, err := ssh.NewPublicKey(public)
	mustDo(t, err)
	f.auth.keys[testUser] = key
	block, err := ssh.MarshalPrivateKey(private, "")
	mustDo(t, err)
	secrets := t.TempDir()
	host, port, _ := net.SplitHostPort(f.addr)
	known := fmt.Sprintf("[%s]:%s %s", host, port, ssh.MarshalAuthorizedKey(f.hostKey.PublicKey()))
	mustDo(t,
		os.WriteFile(filepath.Join(secrets, "id"), pem.EncodeToMemory(block), 0o600),
		os.WriteFile(filepath.Join(secrets, "known"), []byte(known), 0o600))
	return &openSSH{f: f, dir: t.TempDir(), options: []string{
		"-F", "none", "-P", port, "-i", filepath.Join(secrets, "id"),
		"-o", "UserKnownHostsFile=" + filepath.Join(secrets, "known"),
		"-o", "IdentitiesOnly=yes", "-o", "IdentityAgent=none", "-o", "BatchMode=yes",
	}}
}

func (o *openSSH) command(ctx context.Context, options ...string) *exec.Cmd {
	host, _, _ := net.SplitHostPort(o.f.addr)
	args := append(append([]string{}, o.options...), options...)
	cmd := exec.CommandContext(ctx, servers.Tool(o.f.t, "sftp"), append(args, "-b", "-", testUser+"@"+host)...)
	cmd.Dir = o.dir
	return cmd
}

func (o *openSSH) batch(t *testing.T, script string) (string, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	cmd := o.command(ctx)
	cmd.Stdin = strings.NewReader(script)
	out, err := cmd.CombinedOutput()
	return string(out), err
}

func (o *openSSH) mustBatch(t *testing.T, script string) string {
	t.Helper()
	out, err := o.batch(t, script)
	if err != nil {
		t.Fatalf("sftp: %v\n%s", err, out)
	}
	return out
}

func (o *openSSH) local(t *testing.T, name string, content []byte) {
	t.Helper()
	mustDo(t, os.WriteFile(filepath.Join(o.dir, name), content, 0o644))
}

func TestOpenSSH(t *testing.T) {
	f := serve(t)
	o := newOpenSSH(t, f)
	content := pattern(5 << 20)
	o.local(t, "big", content)
	o.local(t, "small", []byte("small\n"))
	when := time.Date(2003, 4, 5, 6, 7, 8, 0, time.UTC)
	mustDo(t, os.Chtimes(filepath.Join(o.dir, "small"), when, when))
	out := o.mustBatch(t, `
pwd
mkdir "a folder"
cd "a folder"
put big
put -p small
put -f small synced
ls -l
ls -la /
rename small smaller
get big big.back
get -p smaller small.back
-get missing
chmod 600 smaller
df
rm synced
bye
`)
	for _, want := range []string{"directory: /\n", "5242880", "Apr  5  2003 small", "not found"} {
		if !strings.Contains(out, want) {
			t.Errorf("output misses %q:\n%s", want, out)
		}
	}
	f.expect("a folder/big", content)
	f.expect("a folder/smaller", []byte("small\n"))
	f.expect("a folder/synced", nil)
	back, err := os.ReadFile(filepath.Join(o.dir, "big.back"))
	if err != nil || !bytes.Equal(back, content) {
		t.Errorf("got %d bytes that differ, %v", len(back), err)
	}
	info, err := os.Stat(filepath.Join(o.dir, "small.back"))
	if err != nil || !info.ModTime().Equal(when) {
		t.Errorf("time after put -p and get -p: %v, %v", info, err)
	}
	for _, failing := range []string{"get missing", "mkdir \"a folder\"", "rmdir \"a folder\"", "rename missing x", "cd \"a folder/big\""} {
		if out, err := o.batch(t, failing+"\n"); err == nil {
			t.Errorf("%q succeeded: %s", failing, out)
		}
	}
	o.mustBatch(t, "cd \"a folder\"\nrm *\ncd ..\nrmdir \"a folder\"\n")
	f.expect("a folder/big", nil)
}

// The client uses the extensions: names of owners in ls -l, df, a copy on the server.
func TestOpenSSHExtensions(t *testing.T) {
	f := serve(t)
	content := pattern(600<<10 + 1)
	f.write("f", content)
	out := newOpenSSH(t, f).mustBatch(t, `
ls -l
ls -l f
cp f copy
mkdir d
cp f d/f
df -h
-ln f hard
chown 1 f
chgrp 2 f
chmod 600 f
`)
	for _, want := range []string{
		fmt.Sprintf("-rw-r--r--    ? %-8s %-8s", testUser, testUser),
		"Capacity", "Server does not support hardlink",
	} {
		if !strings.Contains(out, want) {
			t.Errorf("output misses %q:\n%s", want, out)
		}
	}
	f.expect("copy", content)
	f.expect("d/f", content)
	f.expect("hard", nil)
}

func TestOpenSSHAppend(t *testing.T) {
	f := serve(t)
	o := newOpenSSH(t, f)
	content := pattern(700 << 10)
	f.write("f", content[:100001])
	o.local(t, "f", content)
	o.mustBatch(t, "put -a f\n")
	f.expect("f", content)
	// reget of the other direction.
	o.local(t, "f", content[:77777])
	o.mustBatch(t, "reget f\n")
	if got, err := os.ReadFile(filepath.Join(o.dir, "f")); err != nil || !bytes.Equal(got, content) {
		t.Errorf("reget: %d bytes that differ, %v", len(got), err)
	}
}

// A client that is killed in the middle of an upload finds its bytes again.
func TestOpenSSHReput(t *testing.T) {
	content := pattern(20 << 20)
	for name, existing := range map[string][]byte{"new": nil, "replaced": []byte("an older version")} {
		t.Run(name, func(t *testing.T) {
			f := serve(t)
			o := newOpenSSH(t, f)
			o.local(t, "f", content)
			if existing != nil {
				f.write("f", existing)
			}
			o.killMidUpload(t)
			f.expect("f", existing)
			got := f.suspended(1)["f"]
			if got.Size == 0 || got.Size >= int64(len(content)) {
				t.Fatalf("suspended: %+v", got)
			}
			// A plain get does not see them.
			if out, err := o.batch(t, "get f part\n"); existing == nil && err == nil {
				t.Errorf("get of an interrupted upload succeeded: %s", out)
			}
			if part, _ := os.ReadFile(filepath.Join(o.dir, "part")); !bytes.Equal(part, existing) {
				t.Errorf("get returned %d bytes, want %d", len(part), len(existing))
			}
			o.mustBatch(t, "reput f\n")
			f.expect("f", content)
			f.suspended(0)
		})
	}
}

// killMidUpload starts an upload of f that is slow enough to be killed in the middle.
func (o *openSSH) killMidUpload(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	cmd := o.command(ctx, "-l", "16000") // kbit/s
	stdin, err := cmd.StdinPipe()
	mustDo(t, err)
	cmd.Stdout, cmd.Stderr = io.Discard, io.Discard
	mustDo(t, cmd.Start())
	_, err = io.WriteString(stdin, "put f\n")
	mustDo(t, err)
	o.f.eventually("some of the upload", func() bool { return o.f.received() > 1<<20 })
	mustDo(t, cmd.Process.Kill())
	cmd.Wait()
	stdin.Close()
}

// received is how much open uploads have so far.
func (f *fixture) received() (n int64) {
	f.server.mu.Lock()
	defer f.server.mu.Unlock()
	for c := range f.server.conns {
		c.mu.Lock()
		for s := range c.sessions {
			s.mu.Lock()
			for u := range s.uploads {
				n += u.staged.Size()
			}
			s.mu.Unlock()
		}
		c.mu.Unlock()
	}
	return n
}
