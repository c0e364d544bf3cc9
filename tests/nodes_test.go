package tests

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"gateway/tests/servers"
)

// node is a gateway that shares its state and its storage with others.
type node struct {
	*serving
	config string
}

// postgresState is the configuration of the state in a database.
func postgresState(db *servers.Postgres) string {
	return fmt.Sprintf(`state:
  url: postgres://%s@%s/postgres?sslmode=disable
  password_env: DB_PASSWORD
  lease: 2s
`, db.User, db.Addr)
}

// nodes makes gateways of one configuration, each with a data folder of its own, and
// one user. They do not run yet. What they store is in a folder of this machine.
func nodes(t *testing.T, n int, db *servers.Postgres, more string) []*node {
	t.Helper()
	return nodesOf(t, n, db, fmt.Sprintf("storages:\n  default:\n    path: %s\n", t.TempDir())+more)
}

// nodesOf is nodes that store where more says, with more in their environment.
func nodesOf(t *testing.T, n int, db *servers.Postgres, more string, env ...string) []*node {
	t.Helper()
	var all []*node
	key := newKey(t)
	for range n {
		l := newLab(t)
		l.env = append([]string{"DB_PASSWORD=" + db.Pass}, env...)
		s := &node{serving: &serving{lab: l, user: "anna", password: "correct horse battery", keyFile: key}, config: filepath.Join(t.TempDir(), "gateway.yaml")}
		writeFile(t, s.config, fmt.Appendf(nil, `
sftp:
  listen: 127.0.0.1:0
https:
  listen: 127.0.0.1:0
admin:
  listen: 127.0.0.1:0
log:
  level: debug
%s%s`, postgresState(db), more))
		users := filepath.Join(l.data, "users", s.user+".yaml")
		if len(all) == 0 {
			add := l.command("--config", s.config, "user", "add", s.user, "--folder", "", "--key", key+".pub")
			add.Stdin = strings.NewReader(s.password + "\n")
			if r := finish(t, add); r.code != 0 {
				t.Fatalf("user add: %s", r.stderr)
			}
		} else {
			data, err := os.ReadFile(filepath.Join(all[0].data, "users", s.user+".yaml"))
			if err != nil {
				t.Fatal(err)
			}
			writeFile(t, users, data)
			if err := os.Chmod(users, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		all = append(all, s)
	}
	return all
}

// hourly is the configuration of a source that is migrated by schedule. Its password is in a file of a folder.
func hourly(user, addr, folder, reports string) string {
	return fmt.Sprintf(`sources:
  partner:
    url: ftp://%s@%s/
    password_file: %s/pass
    to: partner
    segments: 1
    every: 1h
    reports: %s
`, user, addr, folder, reports)
}

// awaitStall waits until a transfer of the big file came to where the proxy stops it.
func awaitStall(t *testing.T, stalled <-chan struct{}) {
	t.Helper()
	select {
	case <-stalled:
	case <-time.After(commandTime):
		t.Fatal("the big file was not reached")
	}
}

// lock locks a name for everybody else and returns the HTTP status.
func (n *node) lock(name string, seconds int) string {
	n.t.Helper()
	return n.answer("-X", "LOCK", "-H", fmt.Sprintf("Timeout: Second-%d", seconds), "-d",
		`<D:lockinfo xmlns:D="DAV:"><D:lockscope><D:exclusive/></D:lockscope><D:locktype><D:write/></D:locktype></D:lockinfo>`,
		n.url(name))
}

// editUser changes the file of the user on this node.
func (n *node) editUser(t *testing.T, change func([]byte) []byte) {
	t.Helper()
	user := filepath.Join(n.data, "users", n.user+".yaml")
	data, err := os.ReadFile(user)
	if err != nil {
		t.Fatal(err)
	}
	writeFile(t, user, change(data))
}

// kill ends a node as a power cut does.
func (n *node) kill() {
	n.t.Helper()
	if err := n.cmd.Process.Kill(); err != nil {
		n.t.Fatal(err)
	}
	<-n.exited
}

// TestNodeTakesOver: the node that runs a migration by schedule is killed in the
// middle of a big file; another goes on there when the lease is over, once.
func TestNodeTakesOver(t *testing.T) {
	root := filepath.Join(t.TempDir(), "root")
	big := bytes.Repeat([]byte("0123456789abcdef"), 4<<20) // 64 MiB
	writeFile(t, filepath.Join(root, "big"), big)
	server := servers.Start(t, servers.VSFTPD, servers.Options{Root: root})
	proxy := servers.StartProxy(t, server.Addr, servers.ProxyOptions{FTP: true})
	reportsDir := t.TempDir()
	writeFile(t, filepath.Join(reportsDir, "pass"), []byte(server.Pass))
	two := nodes(t, 2, servers.StartPostgres(t), hourly(server.User, proxy.Addr, reportsDir, reportsDir))
	a, b := two[0], two[1]

	stalled := proxy.StallAfter(servers.Down, 48<<20)
	a.start(a.config)
	awaitStall(t, stalled)
	b.start(b.config)
	if r := b.run("--config", b.config, "migrate", "partner"); r.code != 1 || !strings.Contains(r.stderr, "another run of this job") {
		t.Errorf("on two nodes at once: exit status %d\n%s", r.code, r.stderr)
	}
	time.Sleep(5 * time.Second) // longer than the lease, which is renewed
	if all := reports(t, reportsDir, "partner"); len(all) != 0 {
		t.Errorf("a second run: %+v", all)
	}
	a.kill()
	proxy.DropAll()
	proxy.Resume()
	waitFor(t, "the second run", func() bool { return len(reports(t, reportsDir, "partner")) >= 1 })
	all := reports(t, reportsDir, "partner")
	if r := all[0]; len(all) != 1 || r.Error != "" || r.Published.Files != 1 || r.ResumedFiles != 1 || r.SavedBytes < 16<<20 {
		t.Errorf("reports %+v", all)
	}
	if got := b.curl(b.url("partner/big")).out; got != string(big) {
		t.Errorf("%d bytes", len(got))
	}
	if j := a.jobs(a.config)["partner"]; j.Result != "complete" || j.Published != 1 {
		t.Errorf("%+v", j)
	}
}

// TestNodesShareLocks: what is locked on one node is locked on another, and no
// longer than its time-out once the node is gone. So is the ban of an address.
func TestNodesShareLocks(t *testing.T) {
	two := nodes(t, 2, servers.StartPostgres(t), "logins:\n  failures: 4\n  window: 1h\n  ban: 1h\n")
	a, b := two[0], two[1]
	a.start(a.config)
	b.start(b.config)
	const seconds = 4
	if got := a.lock("f", seconds); got != "201" {
		t.Fatalf("LOCK: %s", got)
	}
	locked := time.Now()
	a.kill()
	if got := b.answer("-T", b.config, b.url("f")); got != "423" && time.Since(locked) < seconds*time.Second/2 {
		t.Errorf("a file that is locked on another node was written: %s", got)
	}
	time.Sleep(time.Until(locked.Add(seconds * time.Second)))
	if got := b.answer("-T", b.config, b.url("f")); got != "204" {
		t.Errorf("the lock of a node that is gone still holds: %s", got)
	}

	a.start(a.config)
	for i := range 4 {
		if got := two[i%2].answer("-u", "anna:wrong", two[i%2].url("f")); got != "401" {
			t.Errorf("failure %d: %s", i, got)
		}
	}
	for _, n := range two {
		waitFor(t, "the ban", func() bool { return n.status("f") == "429" })
	}
}

// TestNodesShareQuota: uploads on several nodes together stay within the quota.
func TestNodesShareQuota(t *testing.T) {
	t.Run("folder", func(t *testing.T) { nodesShareQuota(t, nodes(t, 2, servers.StartPostgres(t), "")) })
	t.Run("bucket", func(t *testing.T) {
		storage, env := bucketStorage(t, servers.StartS3(t, servers.VersityGW))
		nodesShareQuota(t, nodesOf(t, 2, servers.StartPostgres(t), storage, env...))
	})
}

func nodesShareQuota(t *testing.T, two []*node) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "file")
	for _, n := range two {
		n.editUser(t, func(data []byte) []byte {
			return append(data, "quota: 1MB\n"...)
		})
		n.start(n.config)
	}
	put := func(n *node, name string, size int, want string) {
		t.Helper()
		writeFile(t, file, make([]byte, size))
		if got := n.answer("-T", file, n.url(name)); got != want {
			t.Errorf("%d bytes to %s: %s, want %s", size, name, got, want)
		}
	}
	put(two[1], "a", 100_000, "201") // it has counted now
	put(two[0], "b", 700_000, "201")
	put(two[1], "c", 300_000, "507")
	put(two[1], "c", 100_000, "201")
	two[0].kill()
	put(two[1], "d", 200_000, "507")
	if got := two[1].curl("-X", "DELETE", two[1].url("b")); got.code != 0 {
		t.Error(got)
	}
	put(two[1], "d", 100_000, "201")
}

// TestNodesProveMounts: each node proves for itself what a mounted source may show.
func TestNodesProveMounts(t *testing.T) {
	root := filepath.Join(t.TempDir(), "root")
	good := []byte("good")
	sums := fmt.Sprintf("%x  good\n%x  bad\n", sha256.Sum256(good), sha256.Sum256(good))
	for name, body := range map[string]string{"good": "good", "bad": "not so good", "SHA256SUMS": sums} {
		writeFile(t, filepath.Join(root, name), []byte(body))
	}
	server := servers.Start(t, servers.VSFTPD, servers.Options{Root: root})
	dir := t.TempDir()
	writeFile(t, filepath.Join(dir, "pass"), []byte(server.Pass))
	writeFile(t, filepath.Join(dir, "policy.yaml"), []byte(`rules:
  - {paths: SHA256SUMS, require: all, evidence: [{manifest: SHA256SUMS}], on_missing: publish}
  - {paths: "**", require: all, evidence: [{manifest: SHA256SUMS}], on_weak: publish}
`))
	two := nodes(t, 2, servers.StartPostgres(t), fmt.Sprintf(`  old:
    source: legacy
sources:
  legacy:
    url: ftp://%s@%s/
    password_file: %s/pass
    policy: %s/policy.yaml
`, server.User, server.Addr, dir, dir))
	for _, n := range two {
		n.editUser(t, func(data []byte) []byte {
			return bytes.Replace(data, []byte("mounts:\n"), []byte("mounts:\n    - path: /old\n      storage: old\n      permissions: read-only\n"), 1)
		})
		n.start(n.config)
	}
	for _, n := range two {
		if got := n.curl(n.url("old/good")).out; got != string(good) {
			t.Errorf("got %q", got)
		}
		if got := n.status("old/bad"); got != "403" {
			t.Errorf("a file that its checksum does not fit: %s", got)
		}
		if out := n.must("--config", n.config, "quarantine", "list"); !strings.Contains(out, "old:/bad") {
			t.Errorf("it is not in the quarantine:\n%s", out)
		}
		if out := n.must("--config", n.config, "explain", "old:good"); !strings.Contains(out, "SHA256SUMS") {
			t.Errorf("%s", out)
		}
		n.must("--config", n.config, "verify", "--published", "old:good")
	}
}
