package tests

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"gateway/tests/servers"
)

// dockerFile is a file of docker/ in which hosts, ports and paths are those of the test: pairs of what is
// written there, all of which must be found, and what takes its place.
func dockerFile(t *testing.T, name string, pairs ...string) string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(servers.ModuleRoot(t), "docker", name))
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(pairs); i += 2 {
		if !bytes.Contains(data, []byte(pairs[i])) {
			t.Fatalf("docker/%s does not have %q any more", name, pairs[i])
		}
	}
	return strings.NewReplacer(pairs...).Replace(string(data))
}

// composed is what docker/compose.yaml starts, without containers.
type composed struct {
	t       *testing.T
	dir     string // for secrets, keys, users, reports and the store
	secrets string
	db      *servers.Postgres
	s3      string // host:port
	ftp     *servers.Server
	nodes   []*composedNode
	balance *serving // the clients' view of it
}

// composedNode is a container of the image: its process and what it printed.
type composedNode struct {
	*lab
	config      string
	sftp, https string
	cmd         *exec.Cmd
	out, log    string // files
	exited      chan struct{}
}

// script runs a script of docker/ with the tests' openssl and curl.
func (c *composed) script(name string, args []string, pairs ...string) {
	c.t.Helper()
	file := filepath.Join(c.dir, name)
	writeFile(c.t, file, []byte(dockerFile(c.t, name, pairs...)))
	cmd := exec.Command("/bin/sh", append([]string{file}, args...)...)
	tools := filepath.Dir(servers.Tool(c.t, "openssl")) + ":" + filepath.Dir(servers.Tool(c.t, "curl"))
	cmd.Env = append(os.Environ(), "PATH="+tools+":"+os.Getenv("PATH"))
	if r := finish(c.t, cmd); r.code != 0 {
		c.t.Fatalf("%s: exit status %d\n%s%s", name, r.code, r.out, r.stderr)
	}
}

// compose starts everything in the order of docker/compose.yaml.
func compose(t *testing.T) *composed {
	t.Helper()
	dir := t.TempDir()
	for _, open := range []string{dir, filepath.Dir(dir)} { // PostgreSQL is another user where the tests are root
		if err := os.Chmod(open, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	c := &composed{t: t, dir: dir, secrets: filepath.Join(dir, "secrets")}
	const host = "127.0.0.1"
	for range 2 { // the second time it changes nothing
		c.script("secrets.sh", []string{c.secrets, host, host})
	}
	c.startDatabase()
	c.s3 = fmt.Sprintf("%s:%d", host, servers.FreePort(t))
	writeFile(t, filepath.Join(dir, "store", ".keep"), nil)
	servers.StartVersityGW(t, dockerFile(t, "s3.sh", "/secrets", c.secrets+"/s3", " :7070", " "+c.s3, "/store", dir+"/store"), c.s3)
	for range 2 { // a bucket that is there is no mistake
		c.script("bucket.sh", nil, "/secrets", c.secrets+"/s3", "s3:7070", c.s3)
	}
	c.startFTP()
	for i := range 2 {
		c.nodes = append(c.nodes, c.node(i))
	}
	c.startBalancer()
	return c
}

// secret is what a file of the secrets holds.
func (c *composed) secret(name string) string {
	c.t.Helper()
	data, err := os.ReadFile(filepath.Join(c.secrets, name))
	if err != nil {
		c.t.Fatal(err)
	}
	return strings.TrimSpace(string(data))
}

// startDatabase starts PostgreSQL with the settings of its service. Its password is the tests' own.
func (c *composed) startDatabase() {
	c.t.Helper()
	var settings []string
	for _, arg := range readCompose(c.t).Services["db"].Command {
		if arg != "-c" {
			settings = append(settings, strings.Replace(arg, "/secrets", filepath.Join(c.secrets, "db"), 1))
		}
	}
	if os.Getuid() == 0 { // the image's user has another number than the tests'
		const nobody = 65534
		for _, file := range []string{"", "tls.key", "tls.crt"} {
			if err := os.Chown(filepath.Join(c.secrets, "db", file), nobody, nobody); err != nil {
				c.t.Fatal(err)
			}
		}
		if err := os.Chmod(c.secrets, 0o755); err != nil {
			c.t.Fatal(err)
		}
	}
	c.db = servers.StartPostgres(c.t, settings...)
	writeFile(c.t, filepath.Join(c.secrets, "gateway", "db-password"), []byte(c.db.Pass+"\n"))
}

// startFTP starts vsftpd with the lines of its configuration that name no path or port.
func (c *composed) startFTP() {
	c.t.Helper()
	legacy := filepath.Join(c.dir, "legacy")
	if err := os.CopyFS(legacy, os.DirFS(filepath.Join(servers.ModuleRoot(c.t), "docker", "legacy"))); err != nil {
		c.t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(dockerFile(c.t, "ftp/vsftpd.conf")), "\n")
	lines = slices.DeleteFunc(lines, func(line string) bool {
		return strings.Contains(line, "=/") || strings.HasPrefix(line, "pasv_")
	})
	c.ftp = servers.Start(c.t, servers.VSFTPD, servers.Options{
		Root: legacy, User: "partner", Pass: c.secret("ftp/ftp-password"), Extra: lines,
	})
}

// node starts a node and waits until it says that it is healthy. Keys and users are those of all nodes.
func (c *composed) node(i int) *composedNode {
	c.t.Helper()
	n := &composedNode{
		lab: newLab(c.t), config: filepath.Join(c.dir, fmt.Sprintf("gateway%d.yaml", i)), exited: make(chan struct{}),
		sftp: fmt.Sprintf("127.0.0.1:%d", servers.FreePort(c.t)), https: fmt.Sprintf("127.0.0.1:%d", servers.FreePort(c.t)),
	}
	for _, shared := range []string{"keys", "users"} {
		at := filepath.Join(c.dir, shared)
		if err := errors.Join(os.MkdirAll(at, 0o700), os.MkdirAll(n.data, 0o700), os.Symlink(at, filepath.Join(n.data, shared))); err != nil {
			c.t.Fatal(err)
		}
	}
	writeFile(c.t, n.config, []byte(dockerFile(c.t, "gateway.yaml",
		"/secrets", c.secrets+"/gateway", "db:5432/gateway", c.db.Addr+"/postgres", "s3:7070", c.s3, "ftp:21", c.ftp.Addr,
		`":2022"`, n.sftp, `":8443"`, n.https, "/data/reports", c.dir+"/reports",
		"172.30.57.10", "127.0.0.1",
		"every: 1m", "every: 10s", // so that the test need not wait
	)))
	n.must("--config", n.config, "check-config")
	n.out, n.log = filepath.Join(c.dir, fmt.Sprintf("out%d", i)), filepath.Join(c.dir, fmt.Sprintf("log%d", i))
	out, err := os.Create(n.out)
	if err != nil {
		c.t.Fatal(err)
	}
	defer out.Close()
	log, err := os.Create(n.log)
	if err != nil {
		c.t.Fatal(err)
	}
	defer log.Close()
	command := n.command("--config", n.config, "serve")
	n.cmd = exec.Command(command.Path, command.Args[1:]...) // for longer than a command may take
	n.cmd.Stdout, n.cmd.Stderr = out, log
	if err := n.cmd.Start(); err != nil {
		c.t.Fatal(err)
	}
	go func() {
		_ = n.cmd.Wait() // stopped: the log tells
		close(n.exited)
	}()
	c.t.Cleanup(n.stop)
	waitFor(c.t, "a healthy node", func() bool { return n.healthy() })
	return n
}

func (n *composedNode) healthy() bool { return n.run("--config", n.config, "health").code == 0 }

func (n *composedNode) stop() {
	_ = n.cmd.Process.Signal(syscall.SIGTERM) // it may have ended
	select {
	case <-n.exited:
	case <-time.After(40 * time.Second): // stop_grace_period
		n.t.Error("a node did not stop within 40 s of SIGTERM")
		_ = n.cmd.Process.Kill()
		<-n.exited
	}
	if n.t.Failed() {
		n.t.Logf("log of a node:\n%s", n.text(n.log))
	}
}

func (n *composedNode) text(file string) string {
	n.t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		n.t.Fatal(err)
	}
	return string(data)
}

// startBalancer starts HAProxy and logs in as the user that the first node made.
func (c *composed) startBalancer() {
	c.t.Helper()
	b := &serving{lab: newLab(c.t), user: "user"}
	b.sftp, b.https = fmt.Sprintf("127.0.0.1:%d", servers.FreePort(c.t)), fmt.Sprintf("127.0.0.1:%d", servers.FreePort(c.t))
	pairs := []string{"bind :2022", "bind " + b.sftp, "bind :8443", "bind " + b.https}
	for i, n := range c.nodes {
		pairs = append(pairs, fmt.Sprintf(" node%d:2022", i+1), " "+n.sftp, fmt.Sprintf(" node%d:8443", i+1), " "+n.https)
	}
	servers.StartHAProxy(c.t, dockerFile(c.t, "haproxy.cfg", pairs...), b.https)
	first := regexp.MustCompile(`(?m)^  user  (\S+)$`).FindStringSubmatch(c.nodes[0].text(c.nodes[0].out))
	if first == nil {
		c.t.Fatalf("the first node made no user:\n%s", c.nodes[0].text(c.nodes[0].out))
	}
	b.password = first[1]
	b.keyFile = filepath.Join(c.dir, "id")
	client(c.t, "ssh-keygen", "", "-q", "-t", "ed25519", "-N", "", "-f", b.keyFile)
	c.balance = b
}

// TestCompose runs what docker/compose.yaml runs, with the files of docker/: clients come through the
// balancer, the old server's files arrive by schedule, and when a node is stopped the service goes on.
func TestCompose(t *testing.T) {
	c := compose(t)
	b := c.balance
	a, other := c.nodes[0], c.nodes[1]
	if out := other.text(other.out); strings.Contains(out, "A first user was made") {
		t.Errorf("the second node made a user too:\n%s", out)
	}
	keys := regexp.MustCompile(`(?s)SHA256:\S+.*SHA256 [0-9a-f]+\s+[0-9a-f]+`)
	if one, two := keys.FindString(a.text(a.out)), keys.FindString(other.text(other.out)); one == "" || strings.Replace(one, a.https, other.https, 1) != two {
		t.Errorf("the nodes have other keys:\n%s\n%s", one, two)
	}
	// The operator adds a key to the first user on one node, as "docker compose exec" would.
	public, err := os.ReadFile(b.keyFile + ".pub")
	if err != nil {
		t.Fatal(err)
	}
	user := filepath.Join(c.dir, "users", "user.yaml")
	writeFile(t, user, append([]byte("authorized_keys: ["+strings.TrimSpace(string(public))+"]\n"), a.text(user)...))

	body := bytes.Repeat([]byte("0123456789abcdef"), 1<<20) // 16 MiB
	file := filepath.Join(c.dir, "file")
	writeFile(t, file, body)
	for i := range 6 { // each a connection of its own, so that both nodes get some
		if got := b.answer("-T", file, b.url(fmt.Sprintf("up%d", i))); got != "201" {
			t.Fatalf("upload %d: %+v", i, got)
		}
	}
	for i, n := range c.nodes {
		if !strings.Contains(n.text(n.log), "method=PUT") {
			t.Errorf("node %d got no upload", i+1)
		}
	}
	const elsewhere = "127.0.0.44" // a client's address that is not the balancer's
	if got := b.answer("--interface", elsewhere, "-X", "MKCOL", b.url("new")); got != "201" || !strings.Contains(a.text(a.log)+other.text(other.log), "remote="+elsewhere) {
		t.Errorf("from %s: %s, and the nodes do not know from where", elsewhere, got)
	}
	b.batch("get up5 "+c.dir+"/back", "put "+file+" over-sftp")
	if got, err := os.ReadFile(filepath.Join(c.dir, "back")); err != nil || !bytes.Equal(got, body) {
		t.Errorf("read back: %d bytes, %v", len(got), err)
	}
	waitFor(t, "the migration", func() bool { return b.status("partner/pricelists/2026.csv") == "200" })
	want, err := os.ReadFile(filepath.Join(c.dir, "legacy", "pricelists", "2026.csv"))
	if err != nil {
		t.Fatal(err)
	}
	if got := b.curl(b.url("partner/pricelists/2026.csv")).out; got != string(want) {
		t.Errorf("what was migrated: %q", got)
	}

	a.stop()
	if a.healthy() {
		t.Error("a node that was stopped is healthy")
	}
	if !other.healthy() {
		t.Error("the other node is not healthy")
	}
	for i := range 6 {
		if got := b.curl(b.url("over-sftp")); got.code != 0 || got.out != string(body) {
			t.Fatalf("download %d after a node was stopped: exit status %d, %d bytes, %s", i, got.code, len(got.out), got.stderr)
		}
	}
	b.batch("rename over-sftp renamed", "ls renamed")
	writeFile(t, filepath.Join(c.dir, "legacy", "late.txt"), []byte("late"))
	waitFor(t, "the next migration", func() bool { return b.curl(b.url("partner/late.txt")).out == "late" })
}
