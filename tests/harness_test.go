package tests

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"gateway/tests/servers"
)

// commandTime bounds every command of these tests.
const commandTime = 3 * time.Minute

// binary is the gateway, built once for all tests of this package.
var binary = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "gateway-e2e-")
	if err != nil {
		return "", err
	}
	path := filepath.Join(dir, "gateway")
	args := []string{"build", "-o", path}
	if os.Getenv("GATEWAY_RACE") != "" { // which makes it many times as slow
		args = append(args, "-race")
	}
	out, err := exec.Command("go", append(args, "gateway/cmd/gateway")...).CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("go build: %w\n%s", err, out)
	}
	return path, nil
})

func TestMain(m *testing.M) {
	code := m.Run()
	if path, err := binary(); err == nil {
		os.RemoveAll(filepath.Dir(path))
	}
	os.Exit(code)
}

// lab is a gateway with a data folder of its own.
type lab struct {
	t    testing.TB
	data string
	env  []string
	// storages is the part of the configuration that says where files live; "" is the default.
	storages string
	// sftpKeys are lines under "sftp:".
	sftpKeys string
	level    string // of the log; "" is debug
}

func newLab(t testing.TB) *lab {
	t.Helper()
	return &lab{t: t, data: filepath.Join(t.TempDir(), "data")}
}

// files is the folder of the default storage.
func (l *lab) files(elem ...string) string {
	return filepath.Join(append([]string{l.data, "files"}, elem...)...)
}

// command prepares a run of the gateway. It ends with the test.
func (l *lab) command(args ...string) *exec.Cmd {
	l.t.Helper()
	path, err := binary()
	if err != nil {
		l.t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), commandTime)
	l.t.Cleanup(cancel)
	cmd := exec.CommandContext(ctx, path, append([]string{"--data", l.data}, args...)...)
	cmd.Env = append(os.Environ(), l.env...)
	cmd.Dir = filepath.Dir(l.data) // where no gateway.yaml is, but of storages
	return cmd
}

// result is what a finished command left.
type result struct {
	code        int
	out, stderr string
}

func (l *lab) run(args ...string) result {
	l.t.Helper()
	return finish(l.t, l.command(args...))
}

// must runs and expects the exit status 0.
func (l *lab) must(args ...string) string {
	l.t.Helper()
	r := l.run(args...)
	if r.code != 0 {
		l.t.Fatalf("gateway %s: exit status %d\n%s%s", strings.Join(args, " "), r.code, r.out, r.stderr)
	}
	return r.out
}

func finish(t testing.TB, cmd *exec.Cmd) result {
	t.Helper()
	var out, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &stderr
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatalf("%s: %v", cmd.Path, err)
	}
	return result{code: cmd.ProcessState.ExitCode(), out: out.String(), stderr: stderr.String()}
}

// serving is a running "gateway serve".
type serving struct {
	*lab
	sftp, https    string // host:port
	admin          string // host:port of the operator's page; "" if it is off
	adminPassword  string // of the first administrator, if it was made at this start
	user, password string
	keyFile        string // private key that may log in
	cmd            *exec.Cmd
	log            *output
	exited         chan struct{}
}

var (
	sftpLine  = regexp.MustCompile(`SFTP +(\S+)`)
	httpsLine = regexp.MustCompile(`HTTPS +https://(\S+)/`)
	adminLine = regexp.MustCompile(`Admin +https://(\S+)/`)
	firstLine = regexp.MustCompile(`^  admin  (\S+)$`)
)

// newKey makes a key to log in with; its other half is beside it, in the file with ".pub".
func newKey(t testing.TB) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "id")
	if r := finish(t, exec.Command(servers.Tool(t, "ssh-keygen"), "-q", "-t", "ed25519", "-N", "", "-f", file)); r.code != 0 {
		t.Fatal(r.stderr)
	}
	return file
}

// serve adds a user who sees the whole storage and starts the front ends on free ports.
func (l *lab) serve() *serving {
	l.t.Helper()
	s := &serving{lab: l, user: "anna", password: "correct horse battery"}
	s.keyFile = newKey(l.t)
	if _, err := os.Stat(filepath.Join(l.data, "users", s.user+".yaml")); err != nil {
		l.addUser(s.user, s.password, s.keyFile)
	}
	config := filepath.Join(l.t.TempDir(), "gateway.yaml")
	if err := os.WriteFile(config, []byte("sftp:\n  listen: 127.0.0.1:0\n"+l.sftpKeys+"admin: {listen: '127.0.0.1:0'}\nhttps:\n  listen: 127.0.0.1:0\nlog:\n  level: "+cmp.Or(l.level, "debug")+"\n"+l.storages), 0o600); err != nil {
		l.t.Fatal(err)
	}
	s.start(config)
	return s
}

// addUser adds a user who sees the whole storage.
func (l *lab) addUser(name, password, keyFile string) {
	l.t.Helper()
	add := l.command("user", "add", name, "--folder", "", "--key", keyFile+".pub")
	add.Stdin = strings.NewReader(password + "\n")
	if r := finish(l.t, add); r.code != 0 {
		l.t.Fatalf("user add: %s", r.stderr)
	}
}

func (s *serving) start(config string) {
	s.t.Helper()
	s.cmd = s.command("serve", "--config", config)
	// It serves for as long as the test runs, not commandTime.
	s.cmd = exec.Command(s.cmd.Path, s.cmd.Args[1:]...)
	s.cmd.Env = append(os.Environ(), s.env...)
	s.log = &output{}
	s.cmd.Stderr = s.log
	out, err := s.cmd.StdoutPipe()
	if err != nil {
		s.t.Fatal(err)
	}
	if err := s.cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	s.exited = make(chan struct{})
	s.t.Cleanup(s.stop)
	sc := bufio.NewScanner(out)
	for sc.Scan() {
		if m := sftpLine.FindStringSubmatch(sc.Text()); m != nil {
			s.sftp = m[1]
		}
		if m := httpsLine.FindStringSubmatch(sc.Text()); m != nil {
			s.https = m[1]
		}
		if m := adminLine.FindStringSubmatch(sc.Text()); m != nil {
			s.admin = m[1]
		}
		if m := firstLine.FindStringSubmatch(sc.Text()); m != nil {
			s.adminPassword = m[1]
		}
		if strings.HasPrefix(sc.Text(), "Stop with") {
			break
		}
	}
	go func() {
		for sc.Scan() {
		}
		_ = s.cmd.Wait() // killed or stopped: the log tells
		close(s.exited)
	}()
	if s.sftp == "" || s.https == "" {
		s.t.Fatalf("serve did not say where it listens\n%s", s.log)
	}
	if strings.HasSuffix(s.admin, ":9443") {
		s.t.Fatalf("%s leaves the port of the operator's page to the default, which another test may have", config)
	}
}

// output is what a program has printed so far.
type output struct {
	mu sync.Mutex
	b  bytes.Buffer
}

// Write implements io.Writer.
func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.String()
}

// stop ends it as an operator does, and then with force.
func (s *serving) stop() {
	_ = s.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-s.exited:
	case <-time.After(20 * time.Second):
		s.t.Error("serve did not stop within 20 s of SIGTERM")
		_ = s.cmd.Process.Kill()
		<-s.exited
	}
	if s.t.Failed() {
		s.t.Logf("log of serve:\n%s", s.log)
	}
}

// client runs a client and expects it to succeed.
func client(t testing.TB, program string, stdin string, args ...string) string {
	t.Helper()
	r := clientResult(t, program, stdin, args...)
	if r.code != 0 {
		t.Fatalf("%s %s: exit status %d\n%s%s", program, strings.Join(args, " "), r.code, r.out, r.stderr)
	}
	return r.out
}

func clientResult(t testing.TB, program string, stdin string, args ...string) result {
	t.Helper()
	return finish(t, clientCommand(t, program, stdin, args...))
}

// clientCommand prepares a run of a client, which ends with the test.
func clientCommand(t testing.TB, program string, stdin string, args ...string) *exec.Cmd {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), commandTime)
	t.Cleanup(cancel)
	cmd := exec.CommandContext(ctx, servers.Tool(t, program), args...)
	cmd.Stdin = strings.NewReader(stdin)
	cmd.Env = append(os.Environ(), "HOME="+t.TempDir(), "LC_ALL=C.UTF-8")
	return cmd
}

// sftpArgs are OpenSSH's options to reach the gateway with the key.
func (s *serving) sftpArgs() []string {
	host, port, _ := strings.Cut(s.sftp, ":")
	return []string{
		"-b", "-", "-i", s.keyFile, "-P", port,
		"-o", "IdentitiesOnly=yes", "-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null", "-o", "LogLevel=ERROR",
		s.user + "@" + host,
	}
}

// batch runs commands in OpenSSH's sftp.
func (s *serving) batch(commands ...string) string {
	s.t.Helper()
	return client(s.t, "sftp", strings.Join(commands, "\n")+"\n", s.sftpArgs()...)
}

// url is where a name is on the HTTPS front end.
func (s *serving) url(name string) string {
	var parts []string
	for part := range strings.SplitSeq(name, "/") {
		parts = append(parts, url.PathEscape(part))
	}
	return "https://" + s.https + "/" + strings.Join(parts, "/")
}

// curl runs curl with the user's password, trusting just the gateway's certificate.
func (s *serving) curl(args ...string) result {
	s.t.Helper()
	return clientResult(s.t, "curl", "", append([]string{"-sS", "-k", "-u", s.user + ":" + s.password}, args...)...)
}

// status asks for a name and returns the HTTP status.
func (s *serving) status(name string) string {
	s.t.Helper()
	return s.answer(s.url(name))
}

// answer is the HTTP status of a request that curl makes with args.
func (s *serving) answer(args ...string) string {
	s.t.Helper()
	return s.curl(append([]string{"-o", "/dev/null", "-w", "%{http_code}"}, args...)...).out
}

// event is a line of "gateway migrate --json".
type event struct {
	Event   string
	Path    string
	Phase   string
	Reason  string
	Verdict string
	Offset  int64
	Report  report
}

// report is the part of the final report that these tests look at.
type report struct {
	Published, Unchanged, Found struct{ Files, Bytes int64 }
	Quarantined, Failed         struct {
		Total int64
		Items []struct{ Path, Target, Reason string }
	}
	ResumedFiles, SavedBytes, FetchedBytes int64
	Error                                  string
}

func parseEvents(t testing.TB, out string) []event {
	t.Helper()
	return parseLines[event](t, out)
}

// parseLines parses lines of --json.
func parseLines[T any](t testing.TB, out string) (list []T) {
	t.Helper()
	for line := range strings.Lines(out) {
		var v T
		if err := json.Unmarshal([]byte(line), &v); err != nil {
			t.Fatalf("line of --json: %v: %q", err, line)
		}
		list = append(list, v)
	}
	return list
}

// lastReport is the report at the end of the output of migrate --json.
func lastReport(t testing.TB, r result) report {
	t.Helper()
	events := parseEvents(t, r.out)
	if len(events) == 0 || events[len(events)-1].Event != "report" {
		t.Fatalf("no report at the end\n%s%s", r.out, r.stderr)
	}
	return events[len(events)-1].Report
}
