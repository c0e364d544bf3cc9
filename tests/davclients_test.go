package tests

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"gateway/tests/servers"
)

// cadaver runs commands of cadaver.
func (s *serving) cadaver(commands ...string) string {
	s.t.Helper()
	home, addr := s.t.TempDir(), plain(s.t, s.https)
	netrc := fmt.Sprintf("machine 127.0.0.1\nlogin %s\npassword %s\n", s.user, s.password)
	if err := os.WriteFile(filepath.Join(home, ".netrc"), []byte(netrc), 0o600); err != nil {
		s.t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), commandTime)
	defer cancel()
	cmd := exec.CommandContext(ctx, servers.Tool(s.t, "cadaver"), "http://"+addr+"/")
	cmd.Env = append(os.Environ(), "HOME="+home, "LC_ALL=C.UTF-8", "TERM=dumb")
	cmd.Stdin = strings.NewReader(strings.Join(commands, "\n") + "\nquit\n")
	r := finish(s.t, cmd)
	if r.code != 0 {
		s.t.Errorf("cadaver: exit status %d", r.code)
	}
	return r.out + r.stderr
}

// withPassword adds a user whose password has no blanks, for clients that cannot take them.
func (s *serving) withPassword(user, password string) *serving {
	s.t.Helper()
	add := s.command("user", "add", user, "--folder", "")
	add.Stdin = strings.NewReader(password + "\n")
	if r := finish(s.t, add); r.code != 0 {
		s.t.Fatalf("user add %s: %s", user, r.stderr)
	}
	other := *s
	other.user, other.password = user, password
	return &other
}

// TestCadaver has cadaver do all that it can.
func TestCadaver(t *testing.T) {
	s := newLab(t).serve().withPassword("dav", "not-very-secret")
	tree := oddTree(t)
	big, plain, back := filepath.Join(tree, bigName), filepath.Join(tree, "plain.txt"), t.TempDir()
	out := s.cadaver(
		"mkcol desk", "cd desk", "lcd "+back,
		"put "+big+" big.bin", "put "+plain+" plain.txt",
		"copy plain.txt copied.txt", "move copied.txt moved.txt", "copy plain.txt gone.txt", "delete gone.txt",
		"ls", "get big.bin back.bin", "lock plain.txt", "discover plain.txt",
		"put "+filepath.Join(tree, "empty.dat")+" plain.txt", "unlock plain.txt",
		"mkcol folder", "move moved.txt folder/inner.txt", "copy folder folder2", "rmcol folder",
		"propset plain.txt author anna", "propget plain.txt author",
	)
	// Every command says so, but cd, lcd, discover and propget.
	if n := strings.Count(out, "succeeded."); n != 17 || !strings.Contains(out, "Scope: exclusive") || !strings.Contains(out, "Value of author is: anna") {
		t.Errorf("%d commands succeeded:\n%s", n, out)
	}
	s.absent("desk/gone.txt", "desk/copied.txt", "desk/moved.txt", "desk/folder")
	for got, want := range map[string]string{
		s.files("desk/big.bin"): big, filepath.Join(back, "back.bin"): big,
		s.files("desk/plain.txt"): filepath.Join(tree, "empty.dat"), s.files("desk/folder2/inner.txt"): plain,
	} {
		if sumFile(t, got) != sumFile(t, want) {
			t.Errorf("%s is not %s", got, want)
		}
	}
}

// TestRcloneHashes: with the vendor owncloud rclone sends SHA-1 with each upload, and
// compares later without reading anything again.
func TestRcloneHashes(t *testing.T) {
	s := newLab(t).serve()
	tree := oddTree(t)
	r := s.rcloneHTTPS(t, "owncloud")
	at := r.remote + "tree"
	check := func() string {
		got := clientResult(t, "rclone", "", append(slices.Clone(r.flags), "check", tree, at)...)
		return fmt.Sprintf("%d %s", got.code, got.stderr)
	}
	r.run("copy", tree, at)
	if out := check(); !strings.HasPrefix(out, "0 ") || strings.Contains(out, "could not be checked") || !strings.Contains(out, "0 differences found") {
		t.Errorf("check by hashes: %s", out)
	}
	lines := func(text string) []string { return slices.Sorted(strings.Lines(text)) }
	if got, want := lines(r.run("hashsum", "SHA1", at)), lines(r.run("hashsum", "SHA1", tree)); !slices.Equal(got, want) {
		t.Errorf("hashsum has %q, want %q", got, want)
	}
	// A file that was changed without rclone has no hash that would be wrong.
	name := "plain.txt"
	data, err := os.ReadFile(filepath.Join(tree, name))
	if err != nil {
		t.Fatal(err)
	}
	data[0] ^= 1
	other := filepath.Join(t.TempDir(), name)
	writeFile(t, other, data)
	s.batch("put " + other + " tree/" + name)
	if out := check(); !strings.Contains(out, "1 hashes could not be checked") {
		t.Errorf("after a change over SFTP: %s", out)
	}
	got := clientResult(t, "rclone", "", append(slices.Clone(r.flags), "check", "--download", tree, at)...)
	if got.code == 0 || !strings.Contains(got.stderr, "1 differences found") {
		t.Errorf("check --download: %d %s", got.code, got.stderr)
	}
	r.run("sync", "--checksum", "--ignore-times", tree, at)
	if out := check(); !strings.HasPrefix(out, "0 ") || strings.Contains(out, "could not be checked") {
		t.Errorf("after another sync: %s", out)
	}
}

// TestRcloneMount works on a mount through FUSE, where this machine has it.
func TestRcloneMount(t *testing.T) {
	if !servers.HasFUSE(t) {
		return
	}
	servers.Tool(t, "fusermount3")
	s := newLab(t).serve()
	tree, at := oddTree(t), t.TempDir()
	r := s.rcloneHTTPS(t, "owncloud")
	cmd := exec.Command(servers.Tool(t, "rclone"), append(slices.Clone(r.flags),
		"mount", "--vfs-cache-mode", "writes", "--vfs-write-back", "0s", "--cache-dir", t.TempDir(), r.remote, at)...)
	var log strings.Builder
	cmd.Stdout, cmd.Stderr = &log, &log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	exited := make(chan struct{})
	go func() { _ = cmd.Wait(); close(exited) }()
	unmount := sync.OnceFunc(func() {
		_ = cmd.Process.Signal(os.Interrupt) // it unmounts, after what waits was sent
		<-exited
	})
	t.Cleanup(func() { // whatever happened, nothing must stay mounted
		unmount()
		clientResult(t, "fusermount3", "", "-u", "-q", at)
	})
	s.await("the mount", func() bool {
		select {
		case <-exited:
			t.Fatalf("rclone mount ended:\n%s", &log)
		default:
		}
		mounts, err := os.ReadFile("/proc/mounts")
		return err == nil && strings.Contains(string(mounts), " "+at+" ")
	})
	do := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatalf("%v\n%s", err, &log)
		}
	}
	do(os.CopyFS(filepath.Join(at, "tree"), os.DirFS(tree)))
	sameTree(t, "on the mount", filepath.Join(at, "tree"), tree, false)
	do(os.Mkdir(filepath.Join(at, "desk"), 0o755))
	do(os.WriteFile(filepath.Join(at, "desk", "one"), []byte("first"), 0o644))
	do(os.WriteFile(filepath.Join(at, "desk", "one"), []byte("second"), 0o644))
	do(os.Rename(filepath.Join(at, "desk", "one"), filepath.Join(at, "desk", "two")))
	f, err := os.OpenFile(filepath.Join(at, "desk", "two"), os.O_WRONLY|os.O_APPEND, 0)
	do(err)
	_, err = f.WriteString(" and third")
	do(errors.Join(err, f.Close()))
	do(os.WriteFile(filepath.Join(at, "desk", "gone"), nil, 0o644))
	do(os.Remove(filepath.Join(at, "desk", "gone")))
	unmount()
	sameTree(t, "on the disk", s.files("tree"), tree, false)
	s.absent("desk/one", "desk/gone")
	if data, err := os.ReadFile(s.files("desk/two")); string(data) != "second and third" {
		t.Errorf("%q %v", data, err)
	}
}

// TestResumes: downloads go on where they stopped; an upload that goes on in the middle
// of a file is refused and harms nothing.
func TestResumes(t *testing.T) {
	s := newLab(t).serve()
	big := filepath.Join(oddTree(t), bigName)
	data, err := os.ReadFile(big)
	if err != nil {
		t.Fatal(err)
	}
	writeFile(t, s.files("big.bin"), data)
	part := filepath.Join(t.TempDir(), "part")
	writeFile(t, part, data[:7<<20+1])
	for _, program := range []string{"curl", "lftp"} {
		got := filepath.Join(t.TempDir(), program)
		writeFile(t, got, data[:7<<20+1])
		if program == "curl" {
			if r := s.curl("-f", "-C", "-", "-o", got, s.url("big.bin")); r.code != 0 {
				t.Errorf("curl -C -: %s", r.stderr)
			}
		} else {
			lftp(t, s, fmt.Sprintf("open -u %s,%q https://%s", s.user, s.password, s.https), "get -c big.bin -o "+got)
		}
		if sumFile(t, got) != sumFile(t, big) {
			t.Errorf("%s did not complete the file", program)
		}
	}
	// The beginning is there, the rest is sent.
	writeFile(t, s.files("up.bin"), data[:7<<20+1])
	for _, program := range []string{"curl", "lftp"} {
		var r result
		if program == "curl" {
			r = s.curl("-f", "-C", fmt.Sprint(7<<20+1), "-T", big, s.url("up.bin"))
		} else {
			r = clientResult(t, "lftp", "", "-c", fmt.Sprintf("set ssl:verify-certificate no\nset net:max-retries 1\nset cmd:fail-exit yes\n"+
				"open -u %s,%q https://%s\nput -c %s -o up.bin", s.user, s.password, s.https, big))
		}
		if r.code == 0 || sumFile(t, s.files("up.bin")) != sumFile(t, part) {
			t.Errorf("%s: exit status %d %s; the file has %d bytes", program, r.code, r.stderr, fileSize(t, s.files("up.bin")))
		}
	}
	lftp(t, s, fmt.Sprintf("open -u %s,%q https://%s", s.user, s.password, s.https), "put "+big+" -o up.bin")
	if sumFile(t, s.files("up.bin")) != sumFile(t, big) {
		t.Error("put did not replace it")
	}
}

func fileSize(t *testing.T, path string) int64 {
	t.Helper()
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	return info.Size()
}
