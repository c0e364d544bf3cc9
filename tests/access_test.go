package tests

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// as adds a user of the same password and key and is the server as that one uses it.
func (s *serving) as(user string, flags ...string) *serving {
	s.t.Helper()
	add := s.command(append([]string{"user", "add", user, "--key", s.keyFile + ".pub"}, flags...)...)
	add.Stdin = strings.NewReader(s.password + "\n")
	if r := finish(s.t, add); r.code != 0 {
		s.t.Fatalf("user add %s: %s", user, r.stderr)
	}
	other := *s
	other.user = user
	return &other
}

// TestPermissions tries over both front ends what users may not do.
func TestPermissions(t *testing.T) {
	s := newLab(t).serve()
	local := filepath.Join(t.TempDir(), "local.txt")
	writeFile(t, local, []byte("from the client"))
	writeFile(t, s.files("shared", "old.txt"), []byte("old and whole"))
	writeFile(t, s.files("shared", "folder", "inner.txt"), []byte("inside"))
	if err := os.MkdirAll(s.files("shared", "empty"), 0o755); err != nil {
		t.Fatal(err)
	}
	before := snapshot(t, s.files("shared"), true)

	reader := s.as("reader", "--folder", "shared", "--permissions", "read-only")
	dropper := s.as("dropper", "--folder", "shared", "--permissions", "drop-box")
	for _, u := range []*serving{reader, dropper} {
		for _, line := range []string{
			"put " + local + " old.txt", "rm old.txt", "rename old.txt new.txt", "rmdir empty", "reput " + local + " old.txt",
			"rename old.txt folder/inner.txt", "ln -s old.txt link",
		} {
			if r := clientResult(t, "sftp", line+"\n", u.sftpArgs()...); r.code == 0 {
				t.Errorf("%s: sftp %q succeeded", u.user, line)
			}
		}
		for _, args := range [][]string{
			{"-T", local, u.url("old.txt")}, {"-X", "DELETE", u.url("old.txt")}, {"-X", "DELETE", u.url("folder")},
			{"-X", "MOVE", "-H", "Destination: " + u.url("new.txt"), u.url("old.txt")},
			{"-X", "COPY", "-H", "Destination: " + u.url("folder/inner.txt"), u.url("old.txt")},
		} {
			status := u.answer(args...)
			if status != "403" && (u == reader || status != "404") {
				t.Errorf("%s: curl %s: status %s, want 403", u.user, strings.Join(args, " "), status)
			}
		}
	}
	sameSnapshot(t, "after what is forbidden", snapshot(t, s.files("shared"), true), before)
	mayRead(t, reader, local)
	mayDrop(t, dropper, local)
}

func mayRead(t *testing.T, reader *serving, local string) {
	to := filepath.Join(t.TempDir(), "old.txt")
	if list := reader.batch("ls", "get old.txt "+to); !strings.Contains(list, "old.txt") {
		t.Errorf("a reader does not see the files:\n%s", list)
	}
	if got := reader.curl(reader.url("old.txt")).out; got != "old and whole" {
		t.Errorf("a reader gets %q", got)
	}
	for _, line := range []string{"put " + local + " new.txt", "mkdir new"} {
		if r := clientResult(t, "sftp", line+"\n", reader.sftpArgs()...); r.code == 0 {
			t.Errorf("a reader's %q succeeded", line)
		}
	}
	for _, args := range [][]string{{"-T", local, reader.url("new.txt")}, {"-X", "MKCOL", reader.url("new")}} {
		if got := reader.answer(args...); got != "403" {
			t.Errorf("curl %s of a reader: status %s, want 403", strings.Join(args, " "), got)
		}
	}
	reader.absent("shared/new.txt", "shared/new")
}

func mayDrop(t *testing.T, dropper *serving, local string) {
	dropper.batch("put " + local + " sftp.txt")
	if got := dropper.answer("-T", local, dropper.url("https.txt")); got != "201" {
		t.Errorf("PUT into a drop box: status %s, want 201", got)
	}
	want, err := os.ReadFile(local)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"sftp.txt", "https.txt"} {
		if got, err := os.ReadFile(dropper.files("shared", name)); !bytes.Equal(got, want) {
			t.Errorf("%s holds %q, %v", name, got, err)
		}
		if r := clientResult(t, "sftp", "get "+name+" "+t.TempDir()+"\n", dropper.sftpArgs()...); r.code == 0 {
			t.Errorf("sftp reads %s from a drop box", name)
		}
		if got := dropper.curl(dropper.url(name)).out; strings.Contains(got, string(want)) {
			t.Errorf("curl reads %s from a drop box", name)
		}
	}
	shown := clientResult(t, "sftp", "-ls\n-ls folder\n-ls *\n", dropper.sftpArgs()...).out +
		dropper.curl("-X", "PROPFIND", "-H", "Depth: 1", dropper.url("")).out + dropper.curl(dropper.url("")).out
	for _, name := range []string{"old.txt", "inner.txt", "https.txt"} {
		if strings.Contains(shown, name) {
			t.Errorf("a drop box shows %s:\n%s", name, shown)
		}
	}
}

// TestLinksOut puts symlinks on the disk that leave the storage. Clients neither
// see nor follow them, and nothing outside is written.
func TestLinksOut(t *testing.T) {
	s := newLab(t).serve()
	outside := t.TempDir()
	local := filepath.Join(t.TempDir(), "local.txt")
	writeFile(t, local, []byte("from the client"))
	writeFile(t, filepath.Join(outside, "secret.txt"), []byte("a secret"))
	before := snapshot(t, outside, true)
	for name, target := range map[string]string{
		"out-file": filepath.Join(outside, "secret.txt"), "out-dir": outside, "out-passwd": "../../../../../../../../etc/passwd",
		"out-up": "..", "out-nowhere": filepath.Join(outside, "to be made"),
	} {
		if err := os.MkdirAll(s.files(), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(target, s.files(name)); err != nil {
			t.Fatal(err)
		}
	}
	shown := s.batch("ls -la") + s.curl("-X", "PROPFIND", "-H", "Depth: 1", s.url("")).out + s.curl(s.url("")).out
	if strings.Contains(shown, "out-") {
		t.Errorf("a link that leaves the storage is shown:\n%s", shown)
	}
	to := t.TempDir()
	for _, name := range []string{"out-file", "out-dir/secret.txt", "out-passwd", "out-up/state.db", "out-up/users/anna.yaml"} {
		if r := clientResult(t, "sftp", "get "+name+" "+to+"/got\n", s.sftpArgs()...); r.code == 0 {
			t.Errorf("sftp followed %s", name)
		}
		if status := s.status(name); status != "404" && status != "403" {
			t.Errorf("GET %s: status %s", name, status)
		}
	}
	for _, name := range []string{"out-file", "out-dir/new", "out-nowhere", "out-up/users/eve.yaml"} {
		clientResult(t, "sftp", "put "+local+" "+name+"\n", s.sftpArgs()...)
		s.curl("-o", "/dev/null", "-T", local, s.url(name))
	}
	for _, line := range []string{"rm out-dir/secret.txt", "rename out-dir/secret.txt got", "ln -s " + outside + " made", "ln out-file hard"} {
		clientResult(t, "sftp", line+"\n", s.sftpArgs()...)
	}
	s.curl("-o", "/dev/null", "-X", "DELETE", s.url("out-dir/secret.txt"))
	s.curl("-o", "/dev/null", "-X", "COPY", "-H", "Destination: "+s.url("copied"), s.url("out-dir"))
	sameSnapshot(t, "outside of the storage", snapshot(t, outside, true), before)
	if _, err := os.Stat(filepath.Join(s.data, "users", "eve.yaml")); err == nil {
		t.Error("a user was made through a link")
	}
	for _, name := range []string{"made/secret.txt", "hard", "got", "copied/secret.txt"} {
		if out := s.curl(s.url(name)).out; strings.Contains(out, "a secret") {
			t.Errorf("the secret is at %s", name)
		}
	}
}
