package tests

import (
	"bufio"
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"gateway/tests/servers"
)

// eventSecret signs the webhooks of these tests.
const eventSecret = "0123456789abcdef0123456789abcdef"

// told is an event as a hook is told.
type told struct {
	ID, Event, User, Protocol, Path, Key, To, Reason, Source string
	Bytes                                                    int64
}

func (e told) String() string { return strings.TrimSpace(e.Event + " " + e.Path + " " + e.To) }

// receiver is a webhook that can be down.
type receiver struct {
	t    *testing.T
	srv  *httptest.Server
	down atomic.Bool

	mu  sync.Mutex
	got []told
}

func newReceiver(t *testing.T) *receiver {
	r := &receiver{t: t}
	r.srv = httptest.NewTLSServer(http.HandlerFunc(r.serve))
	t.Cleanup(r.srv.Close)
	return r
}

func (r *receiver) serve(w http.ResponseWriter, q *http.Request) {
	if r.down.Load() {
		http.Error(w, "down", http.StatusServiceUnavailable)
		return
	}
	body, err := io.ReadAll(q.Body)
	if err != nil {
		return // the gateway was killed over it
	}
	mac := hmac.New(sha256.New, []byte(eventSecret))
	fmt.Fprintf(mac, "%s.%s.%s", q.Header.Get("webhook-id"), q.Header.Get("webhook-timestamp"), body)
	if want := "v1," + base64.StdEncoding.EncodeToString(mac.Sum(nil)); q.Header.Get("webhook-signature") != want {
		r.t.Errorf("the signature is %q, want %q", q.Header.Get("webhook-signature"), want)
	}
	var e told
	if err := json.Unmarshal(body, &e); err != nil || e.ID != q.Header.Get("webhook-id") {
		r.t.Errorf("%s: %v", body, err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.got = append(r.got, e)
}

// events are what came, each once, in the order in which they first came.
func (r *receiver) events() (list []told, twice int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	seen := map[string]bool{}
	for _, e := range r.got {
		if seen[e.ID] {
			twice++
			continue
		}
		seen[e.ID] = true
		list = append(list, e)
	}
	return list, twice
}

// await waits for so many. A lease may have to end before, and a wait after tries that failed.
func (r *receiver) await(n int) {
	r.t.Helper()
	for deadline := time.Now().Add(commandTime); ; time.Sleep(20 * time.Millisecond) {
		list, _ := r.events()
		if len(list) >= n {
			return
		}
		if time.Now().After(deadline) {
			r.t.Fatalf("told of %d, want %d", len(list), n)
		}
	}
}

// files writes the certificate and key of the receiver, and a secret, and returns the folder.
func (r *receiver) files(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	writeFile(t, filepath.Join(dir, "ca.pem"), pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: r.srv.Certificate().Raw}))
	key, err := x509.MarshalPKCS8PrivateKey(r.srv.TLS.Certificates[0].PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	writeFile(t, filepath.Join(dir, "key.pem"), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key}))
	writeFile(t, filepath.Join(dir, "secret"), []byte(eventSecret+"\n"))
	return dir
}

// hookConfig is the configuration of a webhook.
func (r *receiver) config(dir, more string) string {
	return fmt.Sprintf("  web:\n    url: %s/hook?token=geheim\n    ca_file: %s/ca.pem\n    secret_file: %s/secret\n%s", r.srv.URL, dir, dir, more)
}

func texts(list []told) (out []string) {
	for _, e := range list {
		out = append(out, e.String())
	}
	return out
}

// TestEvents has a command and a webhook told of what real clients do, with the names of an attacker.
func TestEvents(t *testing.T) {
	r := newReceiver(t)
	dir := r.files(t)
	program, out := filepath.Join(dir, "hook"), filepath.Join(dir, "out")
	writeFile(t, program, []byte(`#!/bin/sh
# What was given as arguments, and the file itself.
printf '%s|%s|%s|%s\n' "$1" "$2" "$GATEWAY_USER" "$(cat -- "$2")" >> "`+out+`"
env | grep PASSWORD >> "`+out+`.env"
exit 0
`))
	if err := os.Chmod(program, 0o755); err != nil {
		t.Fatal(err)
	}
	l := newLab(t)
	l.env = []string{"SOME_PASSWORD=secret"}
	l.storages = "events:\n  run:\n    on: [upload]\n    paths: ['in/**']\n    command: [" + program + ", '{path}', '{file}']\n" +
		r.config(dir, "    on: [upload, download, delete, rename, copy, mkdir]\n")
	s := l.serve()
	local := filepath.Join(t.TempDir(), "local")
	writeFile(t, local, []byte("content"))
	evil := []string{"$(reboot).txt; rm -rf", "-rf", "`touch x`", "a'b\"c", "{file}"}
	s.batch("mkdir in")
	want := []string{"mkdir /in"}
	var lines []string
	for _, name := range evil {
		if got := s.answer("-T", local, s.url("in/"+name)); got != "201" {
			t.Fatalf("PUT %s: %s", name, got)
		}
		want = append(want, "upload /in/"+name)
		lines = append(lines, fmt.Sprintf("/in/%s|%s|anna|content", name, l.files("in", name)))
	}
	if got := s.answer("-T", local, s.url("in/new\nline")); got != "400" && got != "403" {
		t.Errorf("a line end in a name: %s", got)
	}
	s.batch("put "+local+" out.txt", "rename out.txt in/moved.txt", "get in/moved.txt /dev/null", "rm in/moved.txt")
	want = append(want, "upload /out.txt", "rename /out.txt /in/moved.txt", "download /in/moved.txt", "delete /in/moved.txt")
	l.await("all is told", func() bool {
		list, _ := r.events()
		data, _ := os.ReadFile(out)
		return len(list) >= len(want) && bytes.Count(data, []byte("\n")) >= len(lines)
	})
	list, _ := r.events()
	if !slices.Equal(texts(list), want) {
		t.Errorf("told\n  %s\nwant\n  %s", strings.Join(texts(list), "\n  "), strings.Join(want, "\n  "))
	}
	if e := list[1]; e.User != "anna" || e.Protocol != "webdav" || e.Key != "default:in/"+evil[0] || e.Bytes != 7 {
		t.Errorf("%+v", e)
	}
	if data, _ := os.ReadFile(out); string(data) != strings.Join(lines, "\n")+"\n" {
		t.Errorf("the command had\n%swant\n%s", data, strings.Join(lines, "\n"))
	}
	if data, _ := os.ReadFile(out + ".env"); len(data) > 0 {
		t.Errorf("the command had passwords in its environment: %s", data)
	}
	if strings.Contains(s.log.String(), "geheim") {
		t.Error("the log has the token of the URL")
	}
}

// TestEventsKilled: the receiver is down, and the gateway is killed and started again and again. Each upload that was
// acknowledged is told at last, in the order in which they came.
func TestEventsKilled(t *testing.T) {
	r := newReceiver(t)
	r.down.Store(true)
	dir := r.files(t)
	l := newLab(t)
	l.storages = "events:\n" + r.config(dir, "    on: [upload]\n    give_up: 72h\n")
	s := l.serve()
	var acked []string
	for round := range 4 {
		for i := range 5 {
			if name := fmt.Sprintf("f-%d-%d", round, i); s.try(name) {
				acked = append(acked, "/"+name)
			}
		}
		s.kill()
		if round == 2 {
			r.down.Store(false)
		}
		s = s.again()
	}
	if len(acked) != 20 {
		t.Fatalf("%d uploads of 20", len(acked))
	}
	r.await(len(acked))
	list, twice := r.events()
	var got []string
	for _, e := range list {
		got = append(got, e.Path)
	}
	if !slices.Equal(got, acked) {
		t.Errorf("told %q, want %q", got, acked)
	}
	t.Logf("%d were told twice", twice)
	if out := l.must("--config", configOf(s), "events"); !strings.Contains(out, "0 were given up") {
		t.Errorf("gateway events: %s", out)
	}
}

// TestEventsGivenUp lists what is refused, and tries it again.
func TestEventsGivenUp(t *testing.T) {
	dir := t.TempDir()
	program, ok := filepath.Join(dir, "hook"), filepath.Join(dir, "ok")
	writeFile(t, program, []byte("#!/bin/sh\n[ -e "+ok+" ] && echo \"$GATEWAY_ID\" >> "+ok+"\n"))
	if err := os.Chmod(program, 0o755); err != nil {
		t.Fatal(err)
	}
	l := newLab(t)
	l.storages = "events:\n  run:\n    on: [upload]\n    tries: 1\n    command: [" + program + "]\n"
	s := l.serve()
	if !s.try("a.txt") {
		t.Fatal("no upload")
	}
	type listed struct {
		ID    int64
		Hook  string
		Error string
		Dead  bool
		Event told
	}
	var list []listed
	l.await("it is given up", func() bool {
		list = parseLines[listed](t, l.must("--config", configOf(s), "events", "--json"))
		return len(list) == 1
	})
	if e := list[0]; e.Hook != "run" || !e.Dead || !strings.Contains(e.Error, "exit status 1") || e.Event.Path != "/a.txt" {
		t.Errorf("%+v", e)
	}
	writeFile(t, ok, nil)
	l.must("--config", configOf(s), "events", "retry", fmt.Sprint(list[0].ID))
	l.await("it is told", func() bool {
		data, _ := os.ReadFile(ok)
		return strings.TrimSpace(string(data)) == list[0].Event.ID
	})
	if r := l.run("--config", configOf(s), "events", "drop", "12345"); r.code != 1 || !strings.Contains(r.stderr, "there is no event 12345") {
		t.Errorf("%+v", r)
	}
}

// TestEventsNodes: two nodes over one database tell each event once, also of the one that is killed.
func TestEventsNodes(t *testing.T) {
	r := newReceiver(t)
	dir := r.files(t)
	two := nodes(t, 2, servers.StartPostgres(t), "events:\n"+r.config(dir, "    on: [upload]\n"))
	for _, n := range two {
		n.start(n.config)
	}
	var want []string
	upload := func(n *node, i int) {
		name := fmt.Sprintf("f%d", i)
		if !n.try(name) {
			t.Fatalf("no upload of %s", name)
		}
		want = append(want, "upload /"+name)
	}
	for i := range 10 {
		upload(two[i%2], i)
	}
	two[0].await("all is told", func() bool { list, _ := r.events(); return len(list) == 10 })
	if _, twice := r.events(); twice > 0 {
		t.Errorf("%d were told twice though nobody died", twice)
	}
	r.down.Store(true)
	for i := 10; i < 15; i++ {
		upload(two[0], i)
	}
	two[0].kill()
	r.down.Store(false)
	r.await(15)
	list, _ := r.events()
	if !slices.Equal(texts(list), want) {
		t.Errorf("told %q, want %q", texts(list), want)
	}
}

// mailScript is an SMTP server that takes mail only over TLS and after a login, and puts it into files.
const mailScript = `
import asyncio, os, ssl, sys
from aiosmtpd.smtp import SMTP, AuthResult
out, cert, key = sys.argv[1:]
class Handler:
    n = 0
    async def handle_DATA(self, server, session, envelope):
        Handler.n += 1
        name = os.path.join(out, "%03d" % Handler.n)
        with open(name + ".new", "wb") as f:
            f.write(("%s %s\n" % (envelope.mail_from, ",".join(envelope.rcpt_tos))).encode() + envelope.content)
        os.rename(name + ".new", name)
        return "250 OK"
def login(server, session, envelope, mechanism, data):
    return AuthResult(success=(mechanism == "PLAIN" and data.login == b"gw" and data.password == b"mail password"))
tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
tls.load_cert_chain(cert, key)
async def main():
    s = await asyncio.get_running_loop().create_server(lambda: SMTP(Handler(), tls_context=tls, require_starttls=True,
        authenticator=login, auth_required=True, hostname="127.0.0.1"), "127.0.0.1", 0)
    print(s.sockets[0].getsockname()[1], flush=True)
    await s.serve_forever()
asyncio.run(main())
`

// startMail starts the server and returns its port and where the mails are.
func startMail(t *testing.T, dir string) (addr, out string) {
	t.Helper()
	out = t.TempDir()
	cmd := exec.Command(servers.Tool(t, "python3-aiosmtpd"), "-c", mailScript, out, filepath.Join(dir, "ca.pem"), filepath.Join(dir, "key.pem"))
	cmd.Stderr = os.Stderr
	pipe, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	port, err := bufio.NewReader(pipe).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	return net.JoinHostPort("127.0.0.1", strings.TrimSpace(port)), out
}

// TestEventsMail has a mail sent for what a migration puts into quarantine, and one for a job that fails.
func TestEventsMail(t *testing.T) {
	r := newReceiver(t)
	dir := r.files(t)
	addr, mails := startMail(t, dir)
	writeFile(t, filepath.Join(dir, "mailpass"), []byte("mail password\n"))
	tree := servers.MakeTree(t, filepath.Join(t.TempDir(), "tree"), servers.TreeOptions{BigSize: -1})
	server := servers.Start(t, servers.VSFTPD, servers.Options{Root: tree.Root})
	l := newLab(t)
	l.env = []string{passwordVariable + server.Pass}
	l.storages = "events:\n" + r.config(dir, "    on: [publish, quarantine, job-failed]\n") + fmt.Sprintf(`mail:
  server: %s
  from: Gateway <gateway@example.org>
  to: [ops@example.org]
  username: gw
  password_file: %s/mailpass
  ca_file: %s/ca.pem
  every: 1s
sources:
  broken:
    url: ftp://nobody@%s/
    password_file: %s/secret
    to: broken
    every: 1h
`, addr, dir, dir, server.Addr, dir)
	s := l.serve()
	run := l.run("--config", configOf(s), "migrate", "--policy", signedPolicy(t, tree.Signer), source(server), "partner")
	if run.code != 1 {
		t.Fatalf("migrate: status %d\n%s%s", run.code, run.out, run.stderr)
	}
	held := 0
	for _, a := range l.audited() {
		if a.Verb == "quarantine" {
			held++
		}
	}
	if held == 0 {
		t.Fatal("nothing is in quarantine")
	}
	var text string
	l.await("the mails came", func() bool {
		files, _ := filepath.Glob(filepath.Join(mails, "[0-9][0-9][0-9]"))
		text = ""
		for _, f := range files {
			data, _ := os.ReadFile(f)
			text += string(data)
		}
		return strings.Count(text, "  quarantine  ") >= held && strings.Contains(text, "job-failed")
	})
	counts := map[string]int{}
	want := len(l.publishedFiles("partner"))
	l.await("the webhook was told", func() bool {
		list, _ := r.events()
		clear(counts)
		for _, e := range list {
			counts[e.Event]++
		}
		return counts["publish"] >= want && counts["quarantine"] >= held && counts["job-failed"] > 1 // both jobs
	})
	if !strings.HasPrefix(text, "gateway@example.org ops@example.org\n") || strings.Count(text, "  quarantine  ") != held || !strings.Contains(text, "default:broken") {
		t.Errorf("%d in quarantine; the mails:\n%s", held, text)
	}
	list, _ := r.events()
	for _, e := range list {
		if e.Event == "quarantine" && (e.Reason == "" || !strings.Contains(e.Source, server.Addr)) {
			t.Errorf("%+v", e)
		}
	}
	if counts["publish"] != want || counts["quarantine"] != held {
		t.Errorf("the webhook was told of %v", counts)
	}
}
