package ftpbridge

import (
	"bufio"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"gateway/state/sqlite"
	"gateway/storage/disk"
	"gateway/tests/servers"
)

// outbox is a push from a folder and a ledger of its own.
type outbox struct {
	t    *testing.T
	root string // the folder "out" of a storage
	o    PushOptions
}

func newOutbox(t *testing.T, dest Source) *outbox {
	t.Helper()
	dir := t.TempDir()
	root := filepath.Join(dir, "disk", "out")
	if err := os.MkdirAll(root, 0o755); err != nil {
		t.Fatal(err)
	}
	d, err := disk.Open(filepath.Dir(root), disk.Options{})
	if err != nil {
		t.Fatal(err)
	}
	store, err := sqlite.Open(t.Context(), filepath.Join(dir, "state.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := errors.Join(store.Close(), d.Close()); err != nil {
			t.Error(err)
		}
	})
	return &outbox{t: t, root: root, o: PushOptions{
		Source: d, SourceName: "disk", Folder: "out", Dest: dest, Store: store, Tries: 3, RetryWait: time.Millisecond,
	}}
}

func (b *outbox) write(name, content string) {
	b.t.Helper()
	path := filepath.Join(b.root, name)
	at := time.Date(2021, 2, 3, 4, 5, 6, 0, time.UTC)
	err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path+"#new", []byte(content), 0o644))
	if err := errors.Join(err, os.Chtimes(path+"#new", at, at), os.Rename(path+"#new", path)); err != nil {
		b.t.Fatal(err)
	}
}

// run pushes and expects no error.
func (b *outbox) run() Report {
	b.t.Helper()
	rep, err := Push(testContext(b.t), b.o)
	if err != nil {
		b.t.Fatalf("%v\n%s", err, text(rep))
	}
	return rep
}

// tree is what is in a folder: name to content, long ones by their digest.
func served(t *testing.T, root string) map[string]string {
	t.Helper()
	got := map[string]string{}
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := os.ReadFile(path)
		got[path[len(root)+1:]] = digested(string(data))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return got
}

func digested(content string) string {
	if len(content) <= 100 {
		return content
	}
	sum := sha256.Sum256([]byte(content))
	return fmt.Sprint(len(content), " ", hex.EncodeToString(sum[:8]))
}

// partner is a server that files are sent to.
type partner struct {
	name string
	root string
	dest Source
}

// partners starts every server there is, one for each protocol with TLS, and runs
// the test with each.
func partners(t *testing.T, test func(*testing.T, partner)) {
	t.Helper()
	for _, kind := range servers.All() {
		t.Run(string(kind), func(t *testing.T) { test(t, ftpPartner(t, kind, servers.Options{})) })
	}
	t.Run("tls", func(t *testing.T) {
		test(t, ftpPartner(t, servers.Pyftpdlib, servers.Options{TLS: servers.ExplicitTLS}))
	})
	t.Run("sshd", func(t *testing.T) { test(t, sftpPartner(t)) })
}

func ftpPartner(t *testing.T, kind servers.Kind, o servers.Options) partner {
	t.Helper()
	srv := servers.Start(t, kind, o)
	scheme := "ftp"
	if o.TLS != servers.NoTLS {
		scheme = "ftpes"
	}
	src, err := ParseSource(fmt.Sprintf("%s://%s:%s@%s/", scheme, srv.User, srv.Pass, srv.Addr))
	if err != nil {
		t.Fatal(err)
	}
	src.CAFile = srv.CertFile
	return partner{string(kind), srv.Root, src}
}

func sftpPartner(t *testing.T) partner {
	t.Helper()
	srv := servers.StartSSHD(t, servers.SSHDOptions{})
	return partner{"sshd", srv.Root, sshdSource(t, srv, srv.Addr)}
}

func TestRealPush(t *testing.T) {
	partners(t, func(t *testing.T, p partner) {
		files := map[string]string{
			"a.txt": "hello", "empty": "", "sub/b": "bee", "sub/deep/c": "sea", "with  blanks.txt": "x", "caf\u00e9.txt": "UTF-8",
			"big": random(3 << 20), "-dash": "-", strings.Repeat("long", 50): "l",
		}
		b := newOutbox(t, p.dest)
		b.o.Connections = 3
		want := map[string]string{}
		for name, content := range files {
			b.write(name, content)
			want[name] = digested(content)
		}
		foreign := filepath.Join(p.root, "theirs")
		if err := os.WriteFile(foreign, []byte("1"), 0o666); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(foreign, 0o666); err != nil {
			t.Fatal(err)
		}
		b.write("theirs", "2")
		rep := b.run()
		reasons(t, rep.Failed, map[string]string{"theirs": "another file of this name"})
		want["theirs"] = "1"
		equal(t, served(t, p.root), want)
		equal(t, rep.Published.Files, int64(len(files)))
		if info, err := os.Stat(filepath.Join(p.root, "sub/b")); err != nil || p.name != "inetutils-ftpd" && p.name != "linux-ftpd" &&
			!info.ModTime().Equal(time.Date(2021, 2, 3, 4, 5, 6, 0, time.UTC)) {
			t.Errorf("%v, %v", info.ModTime(), err)
		}

		b.write("a.txt", "hello again")
		b.write("empty", "no more")
		want["a.txt"], want["empty"] = "hello again", "no more"
		rep = b.run()
		equal(t, served(t, p.root), want)
		equal(t, rep.Published.Files, int64(2))
		equal(t, rep.Unchanged.Files, int64(len(files)-2))

		// What the partner changed is theirs.
		if err := os.WriteFile(filepath.Join(p.root, "a.txt"), []byte("edited"), 0o666); err != nil {
			t.Fatal(err)
		}
		b.write("a.txt", "hello once more")
		rep = b.run()
		reasons(t, rep.Failed, map[string]string{"theirs": "another file", "a.txt": "another file"})
		want["a.txt"] = "edited"
		equal(t, served(t, p.root), want)

		b.o.Overwrite, b.o.After = true, DeletePushed
		rep = b.run()
		want["a.txt"], want["theirs"] = "hello once more", "2"
		equal(t, served(t, p.root), want)
		equal(t, rep.Deleted, int64(len(files)+1))
		equal(t, len(served(t, b.root)), 0)
		equal(t, b.run().Found.Files, int64(0))
		if !rep.Complete() || !strings.Contains(text(rep), "sent") {
			t.Errorf("%s", text(rep))
		}
	})
}

// TestRealPushOverTLS sends many files to a server that loses the end of those that
// are not ended in order, without a word.
func TestRealPushOverTLS(t *testing.T) {
	p := ftpPartner(t, servers.Pyftpdlib, servers.Options{TLS: servers.ExplicitTLS})
	b := newOutbox(t, p.dest)
	want := map[string]string{}
	for i := range 20 {
		content := random(1<<20 + i)
		b.write(fmt.Sprint(i), content)
		want[fmt.Sprint(i)] = digested(content)
	}
	rep := b.run()
	equal(t, served(t, p.root), want)
	equal(t, rep.Retries, int64(0))
}

// A server that does not let us write keeps nothing of ours, and other files go on.
func TestRealPushRefused(t *testing.T) {
	for _, p := range []partner{ftpPartner(t, servers.VSFTPD, servers.Options{}), sftpPartner(t)} {
		t.Run(p.name, func(t *testing.T) {
			if err := os.Mkdir(filepath.Join(p.root, "closed"), 0o555); err != nil {
				t.Fatal(err)
			}
			b := newOutbox(t, p.dest)
			b.write("closed/a", "1")
			b.write("open/a", "2")
			rep := b.run()
			reasons(t, rep.Failed, map[string]string{"closed/a": ""})
			equal(t, served(t, p.root), map[string]string{"open/a": "2"})
			if rep.Complete() {
				t.Error("complete")
			}
		})
	}
}

// pushChildEnv holds a pushChild in the process that a test kills.
const pushChildEnv = "FTPBRIDGE_TEST_PUSH"

type pushChild struct {
	URL, Fingerprint, Root, State string
}

func (c pushChild) options(t *testing.T) (PushOptions, func()) {
	t.Helper()
	dest, err := ParseSource(c.URL)
	if err != nil {
		t.Fatal(err)
	}
	dest.Fingerprint = c.Fingerprint
	d, err := disk.Open(c.Root, disk.Options{})
	if err != nil {
		t.Fatal(err)
	}
	store, err := sqlite.Open(t.Context(), c.State)
	if err != nil {
		t.Fatal(err)
	}
	return PushOptions{
		Source: d, SourceName: "disk", Folder: "out", Dest: dest, Store: store, Connections: 2, RetryWait: time.Millisecond,
	}, func() { store.Close(); d.Close() }
}

// TestRealPushKilled kills pushes at random moments until one gets through.
func TestRealPushKilled(t *testing.T) {
	if raw := os.Getenv(pushChildEnv); raw != "" {
		var c pushChild
		if err := json.Unmarshal([]byte(raw), &c); err != nil {
			t.Fatal(err)
		}
		o, done := c.options(t)
		defer done()
		o.Progress = func(e Event) { fmt.Println("event", e.Kind) }
		if _, err := Push(t.Context(), o); err != nil {
			t.Fatal(err)
		}
		return
	}
	for _, start := range []func(*testing.T) partner{
		func(t *testing.T) partner { return ftpPartner(t, servers.VSFTPD, servers.Options{}) },
		func(t *testing.T) partner { return ftpPartner(t, servers.ProFTPD, servers.Options{}) },
		sftpPartner,
	} {
		p := start(t)
		t.Run(p.name, func(t *testing.T) { testPushKilled(t, p) })
	}
}

func testPushKilled(t *testing.T, p partner) {
	b := newOutbox(t, p.dest)
	want := map[string]string{}
	write := func(i, version int) {
		name := fmt.Sprintf("d%d/file %d", i%3, i)
		content := fmt.Sprintf("%d of %d", i, version)
		if i%10 == 0 {
			content += random(6 << 20)
		}
		b.write(name, content)
		want[name] = digested(content)
	}
	for i := range 40 {
		write(i, 0)
	}
	u := *p.dest.URL
	c := pushChild{
		URL: u.String(), Fingerprint: p.dest.Fingerprint,
		Root: filepath.Dir(b.root), State: filepath.Join(filepath.Dir(filepath.Dir(b.root)), "child.db"),
	}
	leftovers := 0
	for kill := range 12 {
		killPush(t, c, 1+rand.IntN(120))
		for name := range served(t, p.root) {
			if strings.Contains(name, ".part-") {
				leftovers++
			}
		}
		write(kill, kill+1) // a file that changed since, sent or not
	}
	t.Logf("%d files were on their way when a push was killed", leftovers)
	o, done := c.options(t)
	defer done()
	rep, err := Push(testContext(t), o)
	if err != nil {
		t.Fatalf("%v\n%s", err, text(rep))
	}
	reasons(t, rep.Failed, map[string]string{})
	equal(t, served(t, p.root), want)
	rep, err = Push(testContext(t), o)
	if err != nil || rep.Published.Files != 0 || rep.Unchanged.Files != 40 || !rep.Complete() {
		t.Errorf("%v\n%s", err, text(rep))
	}
}

func killPush(t *testing.T, c pushChild, events int) {
	t.Helper()
	raw, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(os.Args[0], "-test.run=^TestRealPushKilled$", "-test.timeout=120s")
	cmd.Env = append(os.Environ(), pushChildEnv+"="+string(raw))
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	for n := 0; n < events && lines.Scan(); n++ {
	}
	time.Sleep(time.Duration(rand.IntN(3000)) * time.Microsecond)
	_ = cmd.Process.Kill() // it may have ended by itself
	for lines.Scan() {
		if strings.Contains(lines.Text(), "FAIL") || strings.Contains(lines.Text(), "failed") {
			t.Error(lines.Text())
		}
	}
	_ = cmd.Wait()
}
