package tests

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"gateway/tests/servers"
)

// refused checks that a run failed with the exit status 1 and one line on standard error, which has
// all of these words. A warning, such as that of an unencrypted connection, may stand above it.
func (r result) refused(t testing.TB, words ...string) {
	t.Helper()
	before, said, ok := strings.Cut("\n"+r.stderr, "\ngateway: ")
	said = strings.TrimSuffix(said, "\n")
	if r.code != 1 || !ok || strings.Contains(said, "\n") || before != "" && !strings.HasPrefix(before, "\nwarning: ") {
		t.Errorf("exit status %d, want 1, and on standard error %q, want one line", r.code, r.stderr)
	}
	for _, word := range words {
		if !strings.Contains(said, word) {
			t.Errorf("%q does not say %q", said, word)
		}
	}
}

// nothingPublished checks that the storage has no file and no folder.
func (l *lab) nothingPublished() {
	l.t.Helper()
	if _, err := os.Stat(l.files()); err != nil {
		return
	}
	for name := range snapshot(l.t.(*testing.T), l.files(), false) {
		l.t.Errorf("%q was left in the storage", name)
	}
}

// smallServer has a few files in it.
func smallServer(t *testing.T, kind servers.Kind) *servers.Server {
	t.Helper()
	root := filepath.Join(t.TempDir(), "root")
	writeFile(t, filepath.Join(root, "a.txt"), []byte("a"))
	writeFile(t, filepath.Join(root, "folder", "b.txt"), []byte("b"))
	return servers.Start(t, kind, servers.Options{Root: root})
}

// source is the URL of a server; the password comes from the environment.
func source(s *servers.Server) string { return "ftp://" + s.User + "@" + s.Addr + "/" }

const passwordVariable = "GATEWAY_SOURCE_PASSWORD="

func TestWrongPassword(t *testing.T) {
	const wrong = "not-the-password"
	for _, kind := range []servers.Kind{servers.VSFTPD, servers.Pyftpdlib} {
		t.Run(string(kind), func(t *testing.T) {
			t.Parallel() // each server takes seconds to refuse
			l := newLab(t)
			server := smallServer(t, kind)
			l.env = []string{passwordVariable + wrong}
			for _, command := range [][]string{{"migrate", source(server), "partner"}, {"ls", source(server)}} {
				r := l.run(command...)
				r.refused(t, server.Addr, "530", "password")
				if strings.Contains(r.stderr+r.out, wrong) {
					t.Errorf("the password is printed:\n%s%s", r.out, r.stderr)
				}
			}
			l.nothingPublished()
		})
	}
}

func TestRefusedConnection(t *testing.T) {
	l := newLab(t)
	closed, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := closed.Addr().String()
	closed.Close()
	for _, command := range [][]string{{"migrate", "ftp://ann@" + addr + "/", "partner"}, {"ls", "ftp://ann@" + addr + "/"}} {
		l.run(command...).refused(t, addr, "connection refused")
	}
	l.nothingPublished()
}

// ftp is a server that is as simple as can be: answers by verb, and what a LIST sends. A verb without
// an answer gets 500; the verb "silence" in place of a greeting says nothing at all.
type ftp struct {
	answers map[string]string
	list    string
}

func (f ftp) start(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	done := make(chan struct{})
	t.Cleanup(func() {
		close(done)
		listener.Close()
		wg.Wait()
	})
	wg.Go(func() {
		for {
			c, err := listener.Accept()
			if err != nil {
				return
			}
			wg.Go(func() {
				defer c.Close()
				stop := make(chan struct{})
				defer close(stop)
				go func() { // ends a session that hangs when the test ends
					select {
					case <-done:
						c.Close()
					case <-stop:
					}
				}()
				f.session(c)
			})
		}
	})
	return listener.Addr().String()
}

func (f ftp) session(c net.Conn) {
	in := bufio.NewScanner(c)
	if f.answers == nil { // silent
		for in.Scan() {
		}
		return
	}
	data, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		return
	}
	defer data.Close()
	fmt.Fprint(c, "220 ready\r\n")
	for in.Scan() {
		verb, _, _ := strings.Cut(in.Text(), " ")
		switch answer, ok := f.answers[verb]; {
		case ok:
			fmt.Fprint(c, answer+"\r\n")
		case verb == "EPSV":
			fmt.Fprintf(c, "229 ok (|||%d|)\r\n", data.Addr().(*net.TCPAddr).Port)
		case verb == "LIST":
			fmt.Fprint(c, "150 here it comes\r\n")
			if d, err := data.Accept(); err == nil {
				_, _ = io.WriteString(d, f.list)
				d.Close()
			}
			fmt.Fprint(c, "226 done\r\n")
		default:
			fmt.Fprint(c, "500 what?\r\n")
		}
	}
}

func oldServer(list string) ftp {
	return ftp{list: list, answers: map[string]string{
		"USER": "331 password?", "PASS": "230 welcome", "TYPE": "200 ok", "SYST": "215 UNIX", "PWD": `257 "/"`, "CWD": "250 ok", "QUIT": "221 bye",
	}}
}

func TestSilentServer(t *testing.T) {
	l := newLab(t)
	addr := ftp{}.start(t)
	for _, command := range [][]string{
		{"migrate", "--timeout", "1s", "ftp://ann@" + addr + "/", "partner"}, {"ls", "--timeout", "1s", "ftp://ann@" + addr + "/"},
	} {
		begun := time.Now()
		l.run(command...).refused(t, addr, "silent", "1s")
		if took := time.Since(begun); took > 40*time.Second {
			t.Errorf("%s: it took %v until a server that is silent for 1 s was given up", command[0], took)
		}
	}
	l.nothingPublished()
}

func TestUnreadableListing(t *testing.T) {
	l := newLab(t)
	garbage := strings.Repeat("\x00\xff<<< 7#\x1b]0;owned\a\x1b[2J garbage >>>\r\n", 20)
	addr := oldServer(garbage).start(t)
	r := l.run("migrate", "ftp://ann@"+addr+"/", "partner")
	if r.code != 1 || !strings.Contains(r.stderr+r.out, "listing") {
		t.Errorf("migrate: exit status %d\n%s%s", r.code, r.out, r.stderr)
	}
	harmless(t, r)
	r = l.run("ls", "ftp://ann@"+addr+"/")
	if r.code != 1 || r.out != "" || !strings.Contains(r.stderr, "not read") && !strings.Contains(r.stderr, "listing") {
		t.Errorf("ls: exit status %d\n%s%s", r.code, r.out, r.stderr)
	}
	harmless(t, r)
	l.nothingPublished()
}

// harmless checks that an output has no byte that drives a terminal.
func harmless(t *testing.T, r result) {
	t.Helper()
	for _, out := range []string{r.out, r.stderr} {
		if i := strings.IndexFunc(out, func(c rune) bool { return c != '\n' && c < ' ' || c >= 0x7f && c < 0xa0 }); i >= 0 {
			t.Errorf("control characters in the output: %q", out)
		}
	}
}

// TestLs lists real servers, one of which has names that would drive a terminal.
func TestLs(t *testing.T) {
	for _, kind := range []servers.Kind{servers.VSFTPD, servers.Pyftpdlib} {
		t.Run(string(kind), func(t *testing.T) {
			root := filepath.Join(t.TempDir(), "root")
			const title, clear = "title\x1b]0;owned\a.txt", "clear\x1b[2J\u202eend\xff.txt"
			for _, name := range []string{"plain.txt", "été.txt", "folder/inner.txt", title, clear} {
				writeFile(t, filepath.Join(root, name), []byte("twelve bytes"))
			}
			server := servers.Start(t, kind, servers.Options{Root: root})
			l := newLab(t)
			l.env = []string{passwordVariable + server.Pass}
			r := l.run("ls", source(server))
			if r.code != 0 {
				t.Errorf("exit status %d\n%s", r.code, r.stderr)
			}
			harmless(t, r)
			for _, want := range []string{"plain.txt", "folder", "12"} {
				if !strings.Contains(r.out, want) {
					t.Errorf("ls does not show %q:\n%s", want, r.out)
				}
			}
			if strings.Contains(r.out, "\u202e") {
				t.Errorf("ls prints a character that turns the direction of text:\n%s", r.out)
			}
			if out := l.must("ls", source(server)+"folder"); !strings.Contains(out, "inner.txt") {
				t.Errorf("ls of a folder:\n%s", out)
			}
			l.run("ls", source(server)+"nowhere").refused(t, "nowhere")
		})
	}
}

// TestBadCommandLines is what is refused before anything is asked of a server.
func TestBadCommandLines(t *testing.T) {
	l := newLab(t)
	dir := t.TempDir()
	file := func(name, text string) string {
		path := filepath.Join(dir, name)
		writeFile(t, path, []byte(text))
		return path
	}
	unknown := file("unknown.yaml", "sftp:\n  lisen: 127.0.0.1:2022\n")
	broken := file("broken.yaml", "sftp:\n  listen: [1\n")
	kind := file("kind.yaml", "logins:\n  failures: many\n")
	const policy = `rules:
  - paths: "**"
    require: all
    evidence:
      - manifest: SHA256SUMS
        signature: SHA256SUMS.asc
        type: openpgp
        keys: ["0123456789ABCDEF0123456789ABCDEF01234567"]
        key_files: ["missing.asc"]
`
	noKey := file("no-key.yaml", policy)
	policyKey := file("policy-key.yaml", strings.Replace(policy, "require:", "requires:", 1))
	policyValue := file("policy-value.yaml", strings.Replace(policy, "all", "some", 1))
	const from = "ftp://ann@127.0.0.1:1/"
	for _, tt := range []struct {
		args  []string
		words []string
	}{
		{[]string{"migrate", from, "../outside"}, []string{"../outside", `".."`, "inside"}},
		{[]string{"migrate", from, "default:a/../../b"}, []string{`".."`}},
		{[]string{"migrate", from, "elsewhere:partner"}, []string{`no storage "elsewhere"`, "default"}},
		{[]string{"migrate", "--policy", filepath.Join(dir, "none.yaml"), from, "partner"}, []string{"policy", "none.yaml", "no such file"}},
		{[]string{"migrate", "--policy", policyKey, from, "partner"}, []string{policyKey + ":3:", "requires", "require"}},
		{[]string{"migrate", "--policy", policyValue, from, "partner"}, []string{policyValue + ":3:", "any, all or"}},
		{[]string{"migrate", "--policy", noKey, from, "partner"}, []string{noKey, "missing.asc", "no such file"}},
		{[]string{"serve", "--config", unknown}, []string{unknown + ":2:", "lisen", `"listen"`}},
		{[]string{"check-config", "--config", unknown}, []string{unknown + ":2:", "lisen", `"listen"`}},
		{[]string{"serve", "--config", broken}, []string{broken + ":"}},
		{[]string{"serve", "--config", kind}, []string{kind + ":2:", "whole number", "many"}},
		{[]string{"serve", "--config", filepath.Join(dir, "none.yaml")}, []string{"none.yaml", "no such file"}},
		{[]string{"ls", "http://example.org/"}, []string{"http", "must be ftp"}},
		{[]string{"ls", "--timezone", "Mars/Olympus", from}, []string{"Mars/Olympus", "Europe/Berlin"}},
	} {
		t.Run(strings.Join(tt.args[:2], " "), func(t *testing.T) { l.run(tt.args...).refused(t, tt.words...) })
	}
	l.nothingPublished()
}

func TestPortTaken(t *testing.T) {
	l := newLab(t)
	taken, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	for _, front := range []string{"sftp", "https"} {
		other := map[string]string{"sftp": "https", "https": "sftp"}[front]
		config := filepath.Join(t.TempDir(), "gateway.yaml")
		writeFile(t, config, fmt.Appendf(nil, "%s:\n  listen: %s\n%s:\n  listen: 127.0.0.1:0\nadmin:\n  off: true\n", front, taken.Addr(), other))
		r := l.run("serve", "--config", config)
		r.refused(t, taken.Addr().String(), "in use", front+".listen")
		if r.out != "" {
			t.Errorf("%s: it says that it runs:\n%s", front, r.out)
		}
	}
}

// stalled starts a migration and returns once it hangs in the middle of the big file.
func stalled(t *testing.T, l *lab, proxy *servers.Proxy, args []string) (*exec.Cmd, *bytes.Buffer) {
	t.Helper()
	hangs := proxy.StallAfter(servers.Down, 4<<20)
	cmd := l.command(args...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	select {
	case <-hangs:
	case <-time.After(commandTime):
		t.Fatal("the big file was not reached")
	}
	return cmd, &stderr
}

// TestInterrupt stops a migration with Ctrl-C, while which a second run of the same is refused, and goes on.
func TestInterrupt(t *testing.T) {
	root := filepath.Join(t.TempDir(), "root")
	tree := servers.MakeTree(t, root, servers.TreeOptions{BigSize: 8 << 20})
	server := servers.Start(t, servers.Pyftpdlib, servers.Options{Root: root})
	proxy := servers.StartProxy(t, server.Addr, servers.ProxyOptions{FTP: true})
	l := newLab(t)
	l.env = []string{passwordVariable + server.Pass}
	migrate := []string{"migrate", "--json", "ftp://" + server.User + "@" + proxy.Addr + "/", "partner"}

	cmd, stderr := stalled(t, l, proxy, migrate)
	second := l.run(migrate...)
	if second.code != 1 || !strings.Contains(second.stderr, "under way; wait") {
		t.Errorf("a second run of the same: exit status %d\n%s", second.code, second.stderr)
	}
	if err := cmd.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		_ = cmd.Wait() // the exit status is looked at below
		close(ended)
	}()
	select {
	case <-ended:
	case <-time.After(30 * time.Second):
		t.Fatal("Ctrl-C did not end the migration within 30 s")
	}
	if code := cmd.ProcessState.ExitCode(); code != 1 || !strings.Contains(stderr.String(), "run the same command again") {
		t.Errorf("after Ctrl-C: exit status %d, standard error %q", code, stderr)
	}
	if _, err := os.Stat(l.files("partner", servers.TreeBig)); err == nil {
		t.Error("half of the big file is published")
	}

	proxy.Resume()
	r := l.run(migrate...)
	rep := lastReport(t, r)
	// What was in the middle of small files may be resumed too.
	if r.code != 0 || rep.ResumedFiles < 1 || rep.SavedBytes < 3<<20 {
		t.Errorf("the run after Ctrl-C: exit status %d, %d failed, %d resumed, %d bytes saved\n%s",
			r.code, rep.Failed.Total, rep.ResumedFiles, rep.SavedBytes, r.stderr)
	}
	if sum := sumFile(t, l.files("partner", servers.TreeBig)); sum != tree.Files[servers.TreeBig].SHA256 {
		t.Error("the big file is not what the server has")
	}
}

// TestFullDisk gives the storage a file system of 8 MB.
func TestFullDisk(t *testing.T) {
	servers.NeedRoot(t)
	small := filepath.Join(t.TempDir(), "small")
	if err := os.Mkdir(small, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mount("small", small, "tmpfs", 0, "size=8m"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(small, 0); err != nil {
			t.Errorf("unmount: %v", err)
		}
	})
	config := filepath.Join(t.TempDir(), "gateway.yaml")
	writeFile(t, config, []byte("storages:\n  default:\n    path: "+small+"\nsftp:\n  listen: 127.0.0.1:0\nadmin: {listen: '127.0.0.1:0'}\nhttps:\n  listen: 127.0.0.1:0\n"))
	root := filepath.Join(t.TempDir(), "root")
	writeFile(t, filepath.Join(root, "small.txt"), []byte("small"))
	writeFile(t, filepath.Join(root, "big.bin"), make([]byte, 20<<20))
	server := servers.Start(t, servers.VSFTPD, servers.Options{Root: root})
	l := newLab(t)
	l.env = []string{passwordVariable + server.Pass}

	r := l.run("--config", config, "migrate", source(server), "partner")
	if said := r.out + r.stderr; r.code != 1 || !strings.Contains(said, "big.bin") || !strings.Contains(said, "space") {
		t.Errorf("migrate: exit status %d\n%s%s", r.code, r.out, r.stderr)
	}
	if _, err := os.Stat(filepath.Join(small, "partner", "big.bin")); err == nil {
		t.Error("a part of big.bin is published")
	}

	fullUploads(t, l, config, small)
}

// fullUploads fills the disk from both front ends.
func fullUploads(t *testing.T, l *lab, config, small string) {
	key := filepath.Join(t.TempDir(), "id")
	if r := finish(t, exec.Command(servers.Tool(t, "ssh-keygen"), "-q", "-t", "ed25519", "-N", "", "-f", key)); r.code != 0 {
		t.Fatal(r.stderr)
	}
	s := &serving{lab: l, user: "bert", password: "correct horse battery", keyFile: key}
	s.as("bert", "--config", config, "--folder", "")
	s.start(config)
	local := filepath.Join(t.TempDir(), "local.bin")
	writeFile(t, local, make([]byte, 20<<20))
	writeFile(t, filepath.Join(small, "old.bin"), []byte("old and whole"))
	for _, name := range []string{"old.bin", "new.bin"} {
		r := clientResult(t, "sftp", "put "+local+" "+name+"\n", s.sftpArgs()...)
		if r.code == 0 {
			t.Errorf("sftp put %s onto a full disk succeeded", name)
		}
		if got := s.answer("-T", local, s.url(name)); got != "507" {
			t.Errorf("PUT %s onto a full disk: status %s, want 507", name, got)
		}
		// Without a length it is not known before the disk is full.
		if got := s.answer("-H", "Transfer-Encoding: chunked", "-T", local, s.url(name)); got != "507" {
			t.Errorf("chunked PUT %s onto a full disk: status %s, want 507", name, got)
		}
	}
	if got, err := os.ReadFile(filepath.Join(small, "old.bin")); string(got) != "old and whole" {
		t.Errorf("the old file holds %d bytes, %v", len(got), err)
	}
	if _, err := os.Stat(filepath.Join(small, "new.bin")); err == nil {
		t.Error("a part of the new file is published")
	}
	if r := s.curl("-f", "-T", "/proc/self/cmdline", s.url("small.txt")); r.code != 0 {
		t.Errorf("a small file does not fit any more: %s", r.stderr)
	}
}
