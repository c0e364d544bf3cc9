package tests

import (
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/pkg/sftp"

	"gateway/tests/servers"
)

const exclusiveLock = `<D:lockinfo xmlns:D="DAV:"><D:lockscope><D:exclusive/></D:lockscope><D:locktype><D:write/></D:locktype></D:lockinfo>`

// lock takes a WebDAV lock with curl and returns its token.
func (s *serving) lock(name string, args ...string) string {
	s.t.Helper()
	out := s.curl(append([]string{"-i", "-X", "LOCK", "-d", exclusiveLock, s.url(name)}, args...)...).out
	m := regexp.MustCompile(`(?i)\nlock-token: <(\S+)>`).FindStringSubmatch(out)
	if m == nil {
		s.t.Fatalf("LOCK %s: %s", name, out)
	}
	return m[1]
}

func (s *serving) unlock(name, token string) {
	s.t.Helper()
	if status := s.answer("-X", "UNLOCK", "-H", "Lock-Token: <"+token+">", s.url(name)); status != "204" {
		s.t.Errorf("UNLOCK %s: %s", name, status)
	}
}

// refused runs lines in OpenSSH's sftp, each of which must fail because of a lock.
func (s *serving) refused(lines ...string) {
	s.t.Helper()
	// With a dash the program goes on after a failure, of which it then says one word.
	r := clientResult(s.t, "sftp", "-"+strings.Join(lines, "\n-")+"\n", s.sftpArgs()...)
	if n := strings.Count(r.stderr, "Failure"); n != len(lines) || r.code != 0 {
		s.t.Errorf("%d of %d commands failed:\n%s%s", n, len(lines), r.out, r.stderr)
	}
}

// TestRealLockStopsSFTP: what is locked over WebDAV does not change over SFTP, whoever asks: SFTP has no
// word for tokens.
func TestRealLockStopsSFTP(t *testing.T) {
	s := newLab(t).serve()
	other := s.as("bert", "--folder", "d")
	local := filepath.Join(t.TempDir(), "new.txt")
	writeFile(t, local, []byte("longer than what is there"))
	for name, data := range map[string]string{"d/f.txt": "old", "d/sub/g.txt": "old", "h.txt": "h", "flat/a.txt": "a"} {
		writeFile(t, s.files(name), []byte(data))
	}
	before := snapshot(t, s.files(), true)
	file, tree, flat := s.lock("d/f.txt"), s.lock("d/sub"), s.lock("flat", "-H", "Depth: 0")
	s.refused(
		"put "+local+" d/f.txt", "reput "+local+" d/f.txt", "put -a "+local+" d/f.txt", "rm d/f.txt",
		"rename d/f.txt x.txt", "rename -l d/f.txt x.txt", "rename h.txt d/f.txt", "put -p "+local+" d/f.txt",
		"put "+local+" d/sub/new.txt", "mkdir d/sub/new", "rm d/sub/g.txt", "rename d/sub d/other", "rename d e", "rename h.txt d/sub/h.txt",
		"put "+local+" flat/new.txt", "rm flat/a.txt", "mkdir flat/new", "rename flat/a.txt a.txt",
	)
	other.refused("put "+local+" f.txt", "rm f.txt", "rename f.txt x.txt", "mkdir sub/new")
	s.refusedCalls("d/f.txt")
	args := s.sftpArgs()
	args = append(append([]string{"-O"}, args[2:len(args)-1]...), local, args[len(args)-1]+":d/f.txt")
	if r := clientResult(t, "scp", "", args...); r.code == 0 || !strings.Contains(r.stderr, "locked") {
		t.Errorf("scp -O: exit status %d: %s%s", r.code, r.out, r.stderr)
	}
	sameSnapshot(t, "what is locked", snapshot(t, s.files(), true), before)
	// What is not covered goes on: reading, what is beside, and what a depth of 0 leaves open.
	s.batch("get d/f.txt "+local+".got", "ls -l d", "put "+local+" flat/a.txt", "put "+local+" d/new.txt", "rm d/new.txt")
	other.batch("get f.txt " + local + ".got")
	if status := s.answer("-T", local, "-H", "If: (<"+file+">)", s.url("d/f.txt")); status != "204" {
		t.Errorf("PUT with the token: %s", status)
	}
	for name, token := range map[string]string{"d/f.txt": file, "d/sub": tree, "flat": flat} {
		s.unlock(name, token)
	}
	s.batch("put "+local+" d/f.txt", "rename d/f.txt d/x.txt", "rm d/sub/g.txt", "put "+local+" flat/new.txt")
}

// refusedCalls tries what OpenSSH's program has no command for.
func (s *serving) refusedCalls(name string) {
	s.t.Helper()
	c := s.session()
	_, openErr := c.OpenFile(name, os.O_RDWR)
	for what, err := range map[string]error{
		"SETSTAT of times": c.Chtimes(name, time.Now(), time.Now()), "SETSTAT of the size": c.Truncate(name, 1),
		"OPEN to read and write": openErr, "posix-rename": c.PosixRename("h.txt", name),
	} {
		var status *sftp.StatusError
		if !errors.As(err, &status) || !strings.Contains(status.Error(), "File is locked") {
			s.t.Errorf("%s: %v", what, err)
		}
	}
}

// TestRealLockDuringUpload: an upload over SFTP locks nothing, since a client that is gone would lock for
// ever. Whoever locks the name meanwhile has it as it was, and the upload fails at its end.
func TestRealLockDuringUpload(t *testing.T) {
	s := newLab(t).serve()
	local := filepath.Join(t.TempDir(), "big.bin")
	writeFile(t, local, make([]byte, 4<<20))
	writeFile(t, s.files("f.bin"), []byte("old and whole"))
	proxy := servers.StartProxy(t, s.sftp, servers.ProxyOptions{})
	halfway := proxy.StallAfter(servers.Up, 2<<20)
	ended := make(chan result, 1)
	go func() { ended <- clientResult(t, "sftp", "put "+local+" f.bin\n", s.through(proxy).sftpArgs()...) }()
	select {
	case <-halfway:
	case r := <-ended:
		t.Fatalf("the upload ended before the middle: %s%s", r.out, r.stderr)
	}
	token := s.lock("f.bin")
	proxy.Resume()
	r := <-ended
	if r.code == 0 {
		t.Errorf("an upload was published on a locked name: %s", r.out)
	}
	if data, err := os.ReadFile(s.files("f.bin")); err != nil || string(data) != "old and whole" {
		t.Errorf("%d bytes, %v", len(data), err)
	}
	s.unlock("f.bin", token)
	s.batch("put " + local + " f.bin")
}

const setOwn = `<D:propertyupdate xmlns:D="DAV:"><D:set><D:prop><own xmlns="urn:test">VALUE</own></D:prop></D:set></D:propertyupdate>`

// set gives a name a property of the test.
func (s *serving) set(name, value string) {
	s.t.Helper()
	r := s.curl("-X", "PROPPATCH", "-d", strings.Replace(setOwn, "VALUE", value, 1), s.url(name))
	if !strings.Contains(r.out, "200 OK") {
		s.t.Errorf("PROPPATCH %s: %s", name, r.out)
	}
}

// property is that one; "" where there is none.
func (s *serving) property(name string) string {
	s.t.Helper()
	out := s.curl("-X", "PROPFIND", "-H", "Depth: 0", s.url(name)).out
	if !strings.Contains(out, "multistatus") {
		s.t.Fatalf("PROPFIND %s: %s", name, out)
	}
	if m := regexp.MustCompile(`urn:test"[^>]*>([^<]*)<`).FindStringSubmatch(out); m != nil {
		return m[1]
	}
	return ""
}

// TestRealPropertiesFollow: properties go where their file goes, by whichever front end, and no file has
// those of another one.
func TestRealPropertiesFollow(t *testing.T) {
	s := newLab(t).serve()
	local := filepath.Join(t.TempDir(), "new.txt")
	writeFile(t, local, []byte("new"))
	for _, name := range []string{"d/a.txt", "d/b.txt", "d/sub/c.txt", "gone.txt", "x/f.txt"} {
		writeFile(t, s.files(name), []byte("old"))
		s.set(name, "of "+name)
	}
	s.set("d/sub", "of d/sub")
	want := func(name, value string) {
		t.Helper()
		if got := s.property(name); got != value {
			t.Errorf("%s has %q, want %q", name, got, value)
		}
	}
	s.batch("put "+local+" d/a.txt", "rename d/a.txt d/n.txt", "rename d e", "rm e/b.txt", "put "+local+" e/b.txt",
		"put "+local+" e/a.txt", "mkdir d", "mkdir d/sub")
	want("e/n.txt", "of d/a.txt") // replaced, and renamed twice
	want("e/sub", "of d/sub")
	want("e/sub/c.txt", "of d/sub/c.txt")
	for _, name := range []string{"e/b.txt", "e/a.txt", "d", "d/sub"} {
		want(name, "")
	}
	// Removed where the gateway did not see it.
	if err := os.Remove(s.files("gone.txt")); err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(s.files("x")); err != nil {
		t.Fatal(err)
	}
	s.batch("put "+local+" gone.txt", "mkdir x", "put "+local+" x/f.txt")
	want("gone.txt", "")
	want("x/f.txt", "")
	// Over WebDAV: onto what has some of its own, a folder, and a file from one mount to another.
	s.set("gone.txt", "replaced")
	for _, args := range [][]string{
		{"-X", "MOVE", "-H", "Destination: " + s.url("gone.txt"), s.url("e/n.txt")},
		{"-X", "COPY", "-H", "Destination: " + s.url("d"), s.url("e")},
		{"-X", "DELETE", s.url("e")},
		{"-X", "MKCOL", s.url("e")},
	} {
		if status := s.answer(args...); !strings.HasPrefix(status, "20") || status == "207" {
			t.Errorf("%v: %s", args, status)
		}
	}
	want("gone.txt", "of d/a.txt")
	want("d/sub/c.txt", "of d/sub/c.txt")
	want("d/sub", "of d/sub")
	want("e", "")
	// And they are there after a restart.
	s.stop()
	again := s.lab.serve()
	again.keyFile = s.keyFile
	if got := again.property("d/sub/c.txt"); got != "of d/sub/c.txt" {
		t.Errorf("after a restart: %q", got)
	}
}
