package tests

import (
	"bytes"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"gateway/tests/servers"
)

// auditLine is the part of a line of the audit log that these tests look at.
type auditLine struct {
	Seq                                                      uint64
	Verb, Result, User, By, Address, Protocol, Path, Key, To string
	Ref, Reason                                              string
	Bytes                                                    int64
}

func (a auditLine) String() string {
	s := fmt.Sprintf("%s %s %s %s %s", a.Verb, a.Result, a.User, a.Protocol, a.Path)
	if a.To != "" {
		s += " -> " + a.To
	}
	if a.Bytes > 0 {
		s += fmt.Sprintf(" %d", a.Bytes)
	}
	return s
}

// auditFiles are the files of the log.
func (l *lab) auditFiles() []string {
	l.t.Helper()
	files, err := filepath.Glob(filepath.Join(l.data, "audit", "audit-*.jsonl"))
	if err != nil || len(files) == 0 {
		l.t.Fatalf("no audit log: %v", err)
	}
	return files
}

// audited reads the log as any program would.
func (l *lab) audited() (lines []auditLine) {
	l.t.Helper()
	for _, file := range l.auditFiles() {
		data, err := os.ReadFile(file)
		if err != nil {
			l.t.Fatal(err)
		}
		for line := range strings.Lines(string(data)) {
			var a auditLine
			if err := json.Unmarshal([]byte(line), &a); err != nil {
				l.t.Fatalf("%s: %v: %q", file, err, line)
			}
			lines = append(lines, a)
		}
	}
	return lines
}

// wantAudit wants these lines of users in the log, in this order, and no other of the same verbs.
func (l *lab) wantAudit(want ...string) {
	l.t.Helper()
	verbs := map[string]bool{}
	for _, w := range want {
		verb, _, _ := strings.Cut(w, " ")
		verbs[verb] = true
	}
	var got []string
	for _, a := range l.audited() {
		if verbs[a.Verb] {
			got = append(got, a.String())
		}
	}
	if !slices.Equal(got, want) {
		l.t.Errorf("the audit log has\n  %s\nwant\n  %s", strings.Join(got, "\n  "), strings.Join(want, "\n  "))
	}
}

// TestAuditUsers does each thing once with real clients and reads the log.
func TestAuditUsers(t *testing.T) {
	l := newLab(t)
	s := l.serve()
	local := filepath.Join(t.TempDir(), "local")
	writeFile(t, local, []byte("twelve bytes"))

	s.batch("put "+local+" a.txt", "mkdir d", "rename a.txt d/b.txt", "get d/b.txt "+local+".got", "rm d/b.txt", "rmdir d", "put "+local+" a.txt")
	l.await("the session has ended", func() bool { return strings.Contains(s.log.String(), "logout") })
	if got := s.answer("-T", local, s.url("über\u202e.txt")); got != "201" {
		t.Fatalf("PUT: %s", got)
	}
	s.answer(s.url("a.txt"))
	s.answer(s.url("none.txt"))
	s.answer("-X", "MOVE", "-H", "Destination: "+s.url("c.txt"), s.url("a.txt"))
	s.answer("-X", "COPY", "-H", "Destination: "+s.url("e.txt"), s.url("c.txt"))
	s.answer("-X", "DELETE", s.url("c.txt"))
	l.wantAudit(
		"login ok anna sftp ", "upload ok anna sftp /a.txt 12", "mkdir ok anna sftp /d", "rename ok anna sftp /a.txt -> /d/b.txt",
		"download ok anna sftp /d/b.txt 12", "delete ok anna sftp /d/b.txt", "delete ok anna sftp /d", "upload ok anna sftp /a.txt 12", "logout ok anna sftp ",
		"login ok anna webdav ", "upload ok anna webdav /über\u202e.txt 12", "download ok anna webdav /a.txt 12", "download failed anna webdav /none.txt",
		"rename ok anna webdav /a.txt -> /c.txt", "copy ok anna webdav /c.txt -> /e.txt 12", "delete ok anna webdav /c.txt",
	)

	auditRefusals(t, s)
	s.stop()
	l.wantAudit("start ok  job "+configOf(s), "stop ok  job ")
	if r := l.run("audit", "verify"); r.code != 0 || !strings.Contains(r.out, "0 lines after it") {
		t.Errorf("audit verify: status %d\n%s%s", r.code, r.out, r.stderr)
	}
	auditPrinted(t, l)
}

// auditRefusals logs in wrongly, and asks for what is not allowed.
func auditRefusals(t *testing.T, s *serving) {
	before := len(s.audited())
	var keys []ssh.AuthMethod
	var signers []ssh.Signer
	for range 4 {
		pem, err := os.ReadFile(newKey(t))
		if err != nil {
			t.Fatal(err)
		}
		key, err := ssh.ParsePrivateKey(pem)
		if err != nil {
			t.Fatal(err)
		}
		signers = append(signers, key)
	}
	keys = append(keys, ssh.PublicKeys(signers...))
	evil := "eve\n{\"seq\":1}\x1b[2J"
	for _, user := range []string{s.user, evil} {
		c, err := ssh.Dial("tcp", s.sftp, &ssh.ClientConfig{User: user, Auth: keys, HostKeyCallback: ssh.InsecureIgnoreHostKey(), Timeout: 20 * time.Second})
		if err == nil {
			c.Close()
			t.Fatal("a foreign key let somebody in")
		}
	}
	wrong := *s
	wrong.password = "a guess"
	if got := wrong.status(""); got != "401" {
		t.Errorf("a wrong password: %s", got)
	}
	reader := s.as("rita", "--folder", "", "--permissions", "read-only")
	if got := reader.answer("-T", "/dev/null", reader.url("new.txt")); got != "403" {
		t.Errorf("PUT of who may only read: %s", got)
	}
	var got []string
	for _, a := range s.audited()[before:] {
		if a.Verb != "admin" && a.Verb != "head" {
			got = append(got, a.String()+" "+a.By)
		}
		if a.Address == "" && a.Verb != "admin" && a.Verb != "head" {
			t.Errorf("without an address: %s", a)
		}
	}
	want := []string{
		"login refused anna sftp  publickey", "login refused " + evil + " sftp  publickey", "login refused anna webdav  password",
		"login ok rita webdav  password", "upload refused rita webdav /new.txt ",
	}
	if !slices.Equal(got, want) {
		t.Errorf("the audit log has\n  %q\nwant\n  %q", got, want)
	}
	for _, file := range s.auditFiles() {
		if data, _ := os.ReadFile(file); bytes.ContainsAny(data, "\x1b\u202e") || bytes.Contains(data, []byte(s.password)) || bytes.Contains(data, []byte("a guess")) {
			t.Error("the file has a terminal sequence, a mark of direction, or a password in it")
		}
	}
}

// auditPrinted looks at what people and programs get of the log, and at what they get of one that was changed.
func auditPrinted(t *testing.T, l *lab) {
	out := l.must("audit", "show", "--user", "anna", "--verb", "upload", "--since", "1h")
	if n := strings.Count(out, "\n"); n != 3 || strings.ContainsAny(out, "\x1b\u202e") || !strings.Contains(out, `"/über\u202e.txt"`) {
		t.Errorf("audit show:\n%s", out)
	}
	for _, a := range parseLines[auditLine](t, l.must("audit", "show", "--json", "--path", "/d")) {
		if !strings.Contains(a.Path+a.To, "/d") {
			t.Errorf("--path /d shows %s", a)
		}
	}
	for _, path := range []string{"/d", "default:d", "default:/d/"} {
		if n := strings.Count(l.must("audit", "show", "--path", path), "\n"); n != 5 {
			t.Errorf("--path %s shows %d lines, want 5", path, n)
		}
	}
	head := strings.TrimSpace(l.must("audit", "head"))
	file := l.auditFiles()[0]
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	before, behind, _ := bytes.Cut(data, []byte(`"/a.txt"`))
	writeFile(t, file, slices.Concat(before, []byte(`"/x.txt"`), behind))
	n := bytes.Count(before, []byte("\n")) + 1
	if r := l.run("audit", "verify"); r.code != 1 || !strings.Contains(r.out, fmt.Sprintf("wrong: %s:%d: line %d was changed", filepath.Base(file), n, n)) {
		t.Errorf("one line was changed: status %d\n%s%s", r.code, r.out, r.stderr)
	}
	lines := bytes.SplitAfter(data, []byte("\n"))
	writeFile(t, file, bytes.Join(lines[:5], nil))
	if err := os.Remove(filepath.Join(l.data, "audit", "head")); err != nil {
		t.Fatal(err)
	}
	if r := l.run("audit", "verify", "--head", head); r.code != 1 || !strings.Contains(r.out, "the end was cut off") {
		t.Errorf("the end was cut off: status %d\n%s%s", r.code, r.out, r.stderr)
	}
	key := filepath.Join(t.TempDir(), "audit.pem")
	writeFile(t, key, data[:0])
	writeFile(t, file, data)
	writeFile(t, key, []byte(l.must("audit", "key")))
	if r := l.run("audit", "verify", "--key", key, "--head", head, file); r.code != 0 {
		t.Errorf("as an auditor would: status %d\n%s%s", r.code, r.out, r.stderr)
	}
}

// TestAuditBridge migrates beside a running gateway: both write to one log.
func TestAuditBridge(t *testing.T) {
	tree := servers.MakeTree(t, filepath.Join(t.TempDir(), "tree"), servers.TreeOptions{})
	server := servers.Start(t, servers.VSFTPD, servers.Options{Root: tree.Root})
	l := newLab(t)
	l.env = []string{passwordVariable + server.Pass}
	s := l.serve()
	stop, wait := make(chan struct{}), sync.WaitGroup{}
	wait.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
				s.answer("-T", "/dev/null", s.url("busy.txt"))
			}
		}
	})
	run := []string{"migrate", "--policy", signedPolicy(t, tree.Signer), source(server), "partner"}
	if r := l.run(run...); r.code != 1 {
		t.Fatalf("migrate: status %d\n%s%s", r.code, r.out, r.stderr)
	}
	if r := l.run(run...); r.code != 1 {
		t.Fatalf("migrate: status %d\n%s%s", r.code, r.out, r.stderr)
	}
	if r := l.run("audit", "verify"); r.code != 0 { // though both write to it
		t.Errorf("audit verify: status %d\n%s%s", r.code, r.out, r.stderr)
	}
	var held []auditLine
	count := func() map[string]int {
		n := map[string]int{}
		held = nil
		for _, a := range l.audited() {
			if a.Protocol == "command" {
				n[a.Verb]++
			}
			if a.Verb == "quarantine" {
				held = append(held, a)
			}
		}
		return n
	}
	n := count()
	published := 0
	for _, f := range l.publishedFiles("partner") {
		_ = f
		published++
	}
	if n["publish"] != published || n["publish"] == 0 || n["quarantine"] == 0 || n["run"] != 2 {
		t.Errorf("%v, and %d files are published", n, published)
	}
	for _, a := range held {
		if a.Result != "refused" || a.Reason == "" || !strings.HasPrefix(a.Key, "default:partner/") || !strings.Contains(a.Ref, server.Addr) {
			t.Errorf("%+v", a)
		}
	}
	released := false
	for _, a := range held {
		verb := "reject"
		if !strings.HasPrefix(a.Reason, "bad") {
			verb, released = "release", true
		}
		l.must("quarantine", verb, a.Key)
		if count()[verb] == 0 {
			t.Errorf("%s of %s has no line", verb, a.Key)
		}
	}
	if !released {
		t.Error("nothing could be released: the tree is not what this test needs")
	}
	close(stop)
	wait.Wait()
	s.stop()
	if r := l.run("audit", "verify"); r.code != 0 {
		t.Errorf("audit verify: status %d\n%s%s", r.code, r.out, r.stderr)
	}
}

// publishedFiles are the files below a folder of the default storage.
func (l *lab) publishedFiles(folder string) (files []string) {
	l.t.Helper()
	err := filepath.WalkDir(l.files(folder), func(path string, d os.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() {
			files = append(files, path)
		}
		return err
	})
	if err != nil {
		l.t.Fatal(err)
	}
	return files
}

// TestAuditKilled kills the gateway again and again while clients upload. Every upload that was acknowledged
// has a line, and the chain holds.
func TestAuditKilled(t *testing.T) {
	const rounds, clients = 6, 4
	l := newLab(t)
	l.level = "warn"
	s := l.serve()
	var acked sync.Map
	for round := range rounds {
		var wg sync.WaitGroup
		var n atomic.Int64
		killed := make(chan struct{})
		for c := range clients {
			wg.Go(func() {
				for i := 0; ; i++ {
					select {
					case <-killed:
						return
					default:
					}
					name := fmt.Sprintf("f-%d-%d-%d", round, c, i)
					if s.try(name) {
						acked.Store("/"+name, true)
						n.Add(1)
					}
				}
			})
		}
		for want := int64(5 + rand.IntN(20)); n.Load() < want; {
			time.Sleep(time.Millisecond)
		}
		s.kill()
		close(killed)
		wg.Wait()
		s = s.again()
	}
	s.stop()
	for _, a := range l.audited() {
		if a.Verb == "upload" && a.Result == "ok" {
			acked.Delete(a.Path)
		}
	}
	acked.Range(func(name, _ any) bool {
		t.Errorf("%s was acknowledged and has no line", name)
		return true
	})
	if r := l.run("audit", "verify"); r.code != 0 {
		t.Errorf("audit verify: status %d\n%s%s", r.code, r.out, r.stderr)
	}
}

// try uploads a small file and reports whether that was acknowledged.
func (s *serving) try(name string) bool {
	cmd := exec.Command(servers.Tool(s.t, "curl"), "-sS", "-k", "-u", s.user+":"+s.password, "-m", "20", "-o", "/dev/null", "-w", "%{http_code}", "-T", "/dev/null", s.url(name))
	out, err := cmd.Output()
	return err == nil && string(out) == "201"
}

// TestAuditFull gives the log a file system of its own, and fills that.
func TestAuditFull(t *testing.T) {
	servers.NeedRoot(t)
	for _, mode := range []string{"continue", "refuse"} {
		t.Run(mode, func(t *testing.T) {
			small := filepath.Join(t.TempDir(), "small")
			if err := os.Mkdir(small, 0o755); err != nil {
				t.Fatal(err)
			}
			if err := syscall.Mount("small", small, "tmpfs", 0, "size=1m"); err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() {
				if err := syscall.Unmount(small, 0); err != nil {
					t.Errorf("unmount: %v", err)
				}
			})
			l := newLab(t)
			l.level = "info"
			l.storages = "audit:\n  dir: " + small + "\n  on_failure: " + mode + "\n"
			s := l.serve()
			s.answer("-T", "/dev/null", s.url("before.txt"))
			filler := filepath.Join(small, "filler")
			if err := os.WriteFile(filler, make([]byte, 2<<20), 0o600); err == nil {
				t.Fatal("the disk is not full")
			}
			names := auditFull(t, s, mode)
			if err := os.Remove(filler); err != nil {
				t.Fatal(err)
			}
			s.await("the log can be written again", func() bool { return strings.Contains(s.log.String(), "can be written again") })
			if !s.try("after.txt") {
				t.Error("an upload fails though the log can be written again")
			}
			s.stop()
			r := l.run("--config", configOf(s), "audit", "show", "--json", "--verb", "upload")
			var got []string
			for _, a := range parseLines[auditLine](t, r.out) {
				if a.Result == "ok" {
					got = append(got, a.Path)
				}
			}
			want := slices.Concat([]string{"/before.txt"}, names, []string{"/after.txt"})
			if !slices.Equal(got, want) {
				t.Errorf("lines of %d uploads, want %d", len(got), len(want))
			}
			if r := l.run("--config", configOf(s), "audit", "verify"); r.code != 0 {
				t.Errorf("audit verify: status %d\n%s%s", r.code, r.out, r.stderr)
			}
		})
	}
}

// auditFull uploads until the log has noticed that it cannot be written, and then some; it returns what was acknowledged.
func auditFull(t *testing.T, s *serving, mode string) (names []string) {
	failing := func() bool { return strings.Contains(s.log.String(), "the audit log cannot be written") }
	for i := 0; i < 200 && !failing(); i++ { // what fits into the last page of the file
		if name := fmt.Sprintf("full-%d.txt", i); s.try(name) {
			names = append(names, "/"+name)
		}
	}
	if !failing() {
		t.Fatal("the log is written although its disk is full")
	}
	for i := range 3 {
		name := fmt.Sprintf("failing-%d.txt", i)
		ok := s.try(name)
		if ok {
			names = append(names, "/"+name)
		}
		if ok != (mode == "continue") {
			t.Errorf("with %s an upload succeeds: %v", mode, ok)
		}
		if got := s.answer(s.url("before.txt")); (got == "200") != (mode == "continue") {
			t.Errorf("with %s a download gives %s", mode, got)
		}
	}
	c := newPageClient(s)
	c.ask(200, "/.gateway/login", "user", s.user, "password", s.password, "next", "/")
	c.ask(map[string]int{"continue": 200, "refuse": 500}[mode], "/.gateway/share/before.txt", "hours", "1")
	return names
}

// configOf is the file of the configuration that s runs on.
func configOf(s *serving) string { return s.cmd.Args[len(s.cmd.Args)-1] }

// pageClient is a browser without a screen.
type pageClient struct {
	s *serving
	http.Client
	token string
}

func newPageClient(s *serving) *pageClient {
	jar, err := cookiejar.New(nil)
	if err != nil {
		s.t.Fatal(err)
	}
	return &pageClient{s: s, Client: http.Client{Jar: jar, Timeout: commandTime, Transport: &http.Transport{
		TLSClientConfig: &tls.Config{InsecureSkipVerify: true},
	}}}
}

var pageToken = regexp.MustCompile(`name="token" value="([^"]+)"`)

// ask sends a form, or gets a page without one, and returns what is shown then.
func (c *pageClient) ask(want int, path string, form ...string) string {
	c.s.t.Helper()
	values := url.Values{"token": {c.token}}
	for i := 0; i < len(form); i += 2 {
		values.Set(form[i], form[i+1])
	}
	method, body := http.MethodGet, ""
	if form != nil {
		method, body = http.MethodPost, values.Encode()
	}
	r, err := http.NewRequest(method, "https://"+c.s.https+path, strings.NewReader(body))
	if err != nil {
		c.s.t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("Accept", "text/html")
	a, err := c.Do(r)
	if err != nil {
		c.s.t.Fatal(err)
	}
	defer a.Body.Close()
	text, err := io.ReadAll(a.Body)
	if err != nil || a.StatusCode != want {
		c.s.t.Fatalf("%s %s: %s, %v; want %d", method, path, a.Status, err, want)
	}
	if m := pageToken.FindSubmatch(text); m != nil {
		c.token = string(m[1])
	}
	return string(text)
}

// TestAuditPage logs in with a browser, shares a file, and has somebody read it by its link.
func TestAuditPage(t *testing.T) {
	l := newLab(t)
	s := l.serve()
	writeFile(t, l.files("a.txt"), []byte("shared"))
	c := newPageClient(s)
	c.ask(403, "/.gateway/login", "user", s.user, "password", "a guess", "next", "/")
	c.ask(200, "/.gateway/login", "user", s.user, "password", s.password, "next", "/")
	page := c.ask(200, "/.gateway/share/a.txt", "hours", "24")
	link := regexp.MustCompile(`/\.gateway/s/[^"<> ]+`).FindString(page)
	if link == "" {
		t.Fatalf("no link on the page\n%s", page)
	}
	if got := clientResult(t, "curl", "", "-sS", "-k", "-o", "/dev/null", "-w", "%{http_code}", "https://"+s.https+link+"?download=1").out; got != "200" {
		t.Errorf("the link gives %s", got)
	}
	id := regexp.MustCompile(`name="id" value="([^"]+)"`).FindStringSubmatch(page)
	if id == nil {
		t.Fatalf("no share on the page\n%s", page)
	}
	c.ask(200, "/.gateway/revoke", "id", id[1])
	c.ask(200, "/.gateway/logout", "x", "")
	l.wantAudit(
		"login refused anna page ", "login ok anna page ", "share ok anna page /a.txt", "download ok anna page /a.txt 6", // the preview
		"download ok anna share /a.txt 6", "unshare ok anna page /a.txt", "logout ok anna page ",
	)
	if err := s.cmd.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	l.await("the configuration is read again", func() bool {
		return slices.ContainsFunc(l.audited(), func(a auditLine) bool { return a.Verb == "reload" && a.Result == "ok" })
	})
}
