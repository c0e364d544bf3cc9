package tests

import (
	"context"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/minio/minio-go/v7"

	"gateway/tests/servers"
)

// fleet is two nodes with one bucket, one database and a source that is migrated by schedule.
type fleet struct {
	a, b    *node
	store   *servers.S3
	proxy   *servers.Proxy // before the source
	reports string
	local   string // what is being sent
	acked   string // what was sent before
	big     string // the file of the source
}

func newFleet(t *testing.T) *fleet {
	t.Helper()
	dir := t.TempDir()
	root := filepath.Join(dir, "root")
	f := &fleet{
		store: servers.StartS3(t, servers.VersityGW), reports: filepath.Join(dir, "reports"),
		local: randomFile(t, filepath.Join(dir, "local.bin"), 96<<20), acked: randomFile(t, filepath.Join(dir, "acked"), 1<<20),
		big: randomFile(t, filepath.Join(root, "big"), 64<<20),
	}
	writeFile(t, filepath.Join(root, "a.txt"), []byte("small"))
	server := servers.Start(t, servers.VSFTPD, servers.Options{Root: root})
	f.proxy = servers.StartProxy(t, server.Addr, servers.ProxyOptions{FTP: true})
	writeFile(t, filepath.Join(dir, "pass"), []byte(server.Pass))
	storage, env := bucketStorage(t, f.store)
	two := nodesOf(t, 2, servers.StartPostgres(t), storage+hourly(server.User, f.proxy.Addr, dir, f.reports), env...)
	f.a, f.b = two[0], two[1]
	return f
}

// randomFile writes a file that does not repeat itself.
func randomFile(t *testing.T, path string, size int) string {
	t.Helper()
	data := make([]byte, size)
	rand.NewChaCha8([32]byte{byte(size >> 20)}).Read(data)
	writeFile(t, path, data)
	return path
}

// sameKeys gives a node the keys of another, as an operator does.
func (n *node) sameKeys(of *node) {
	n.t.Helper()
	keys := filepath.Join(n.data, "keys")
	err := os.CopyFS(keys, os.DirFS(filepath.Join(of.data, "keys")))
	if err == nil {
		err = filepath.WalkDir(keys, func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() {
				return err
			}
			return os.Chmod(path, 0o600)
		})
	}
	if err != nil {
		n.t.Fatal(err)
	}
}

// TestNodeKilled kills a node in the middle of uploads over both protocols and of a migration. Another goes on with
// all of it, and has everything that was acknowledged.
func TestNodeKilled(t *testing.T) {
	f := newFleet(t)
	stalled := f.proxy.StallAfter(servers.Down, 48<<20)
	f.a.start(f.a.config)
	f.b.sameKeys(f.a)
	f.b.start(f.b.config)
	oldNames := []string{"old-sftp.bin", "old-https.bin"}
	f.acknowledged(t, append([]string{"acked-sftp", "acked-https"}, oldNames...))

	uploads := f.startUploads()
	awaitStall(t, stalled)
	f.awaitCheckpoints(t)
	const seconds = 15
	if got := f.a.lock("locked", seconds); got != "201" {
		t.Fatalf("LOCK: %s", got)
	}
	locked := time.Now()
	f.a.kill()
	uploads.kill()
	f.proxy.DropAll()
	f.proxy.Resume()

	if got := f.put(f.acked, "locked"); got != "423" && time.Since(locked) < seconds*time.Second/2 {
		t.Errorf("a file that is locked on another node was written: %s", got)
	}
	f.check(t, f.acked, append([]string{"acked-sftp", "acked-https"}, oldNames...)...)
	list := f.b.batch("ls -1")
	for _, name := range []string{"new-sftp.bin", "new-https.bin"} {
		if got := f.b.status(name); got != "404" || strings.Contains(list, name) {
			t.Errorf("%s is half there: status %s\n%s", name, got, list)
		}
	}
	f.complete(t, locked.Add(seconds*time.Second))
	f.migrated(t)
	if left := f.staged(t); len(left) != 0 {
		t.Errorf("there are uploads left that could be resumed: %q", left)
	}
}

// acknowledged sends files to the first node, over both protocols, which says that it has them.
func (f *fleet) acknowledged(t *testing.T, names []string) {
	t.Helper()
	for _, name := range names {
		if strings.HasSuffix(name, "sftp") || strings.HasSuffix(name, "sftp.bin") {
			f.a.batch("put " + f.acked + " " + name)
		} else if r := f.a.curl("-f", "-T", f.acked, f.a.url(name)); r.code != 0 {
			t.Fatal(r.stderr)
		}
	}
}

// startUploads begins slow ones to the first node: new files and overwrites on both protocols.
func (f *fleet) startUploads() *broken {
	b := &broken{s: f.a.serving, local: f.local}
	for _, name := range []string{"new", "old"} {
		b.start("sftp", "put "+f.local+" "+name+"-sftp.bin\n", append([]string{"-l", "16000"}, f.a.sftpArgs()...)...)
		b.start("curl", "", "-sS", "-k", "-u", f.a.user+":"+f.a.password, "--limit-rate", "1500k", "-T", f.local, f.a.url(name+"-https.bin"))
	}
	return b
}

// awaitCheckpoints waits until the other node knows of the uploads over SFTP.
func (f *fleet) awaitCheckpoints(t *testing.T) {
	t.Helper()
	c, err := dialClients(f.b.serving)
	if err != nil {
		t.Fatal(err)
	}
	defer c.close()
	for _, name := range []string{"new-sftp.bin", "old-sftp.bin"} {
		waitFor(t, "a checkpoint of "+name, func() bool {
			info, err := c.sftp.Stat(name)
			return err == nil && info.Size() > 8<<20
		})
	}
}

// put sends a file to the second node over HTTPS and returns the status.
func (f *fleet) put(file, name string) string {
	return f.b.answer("-T", file, f.b.url(name))
}

// check compares files of the second node with a local one, over both protocols.
func (f *fleet) check(t *testing.T, local string, names ...string) {
	t.Helper()
	want, to := sumFile(t, local), t.TempDir()
	for i, name := range names {
		https, sftp := filepath.Join(to, fmt.Sprint(i, "-https")), filepath.Join(to, fmt.Sprint(i, "-sftp"))
		if r := f.b.curl("-f", "-o", https, f.b.url(name)); r.code != 0 {
			t.Errorf("GET %s: %s", name, r.stderr)
			continue
		}
		f.b.batch("get " + name + " " + sftp)
		if sumFile(t, https) != want || sumFile(t, sftp) != want {
			t.Errorf("%s is not what was sent", name)
		}
	}
}

// complete goes on with the uploads on the second node, and waits for the end of the lock.
func (f *fleet) complete(t *testing.T, unlocked time.Time) {
	t.Helper()
	for _, name := range []string{"new-sftp.bin", "old-sftp.bin"} {
		began := time.Now()
		f.b.batch("reput " + f.local + " " + name) // which fails where there is nothing to go on with
		t.Logf("reput of %s after %v", name, time.Since(began).Round(time.Second))
	}
	for name, want := range map[string]string{"new-https.bin": "201", "old-https.bin": "204"} {
		if got := f.put(f.local, name); got != want {
			t.Errorf("PUT of %s again: %s, want %s", name, got, want)
		}
	}
	f.check(t, f.local, "new-sftp.bin", "old-sftp.bin", "new-https.bin", "old-https.bin")
	time.Sleep(time.Until(unlocked))
	if got := f.put(f.acked, "locked"); got != "204" {
		t.Errorf("the lock of a node that is gone still holds: %s", got)
	}
}

// migrated waits for the end of the migration, by the second node, and looks at what it did.
func (f *fleet) migrated(t *testing.T) {
	t.Helper()
	waitFor(t, "the second run", func() bool { return len(reports(t, f.reports, "partner")) >= 1 })
	all := reports(t, f.reports, "partner")
	if r := all[0]; len(all) != 1 || r.Error != "" || r.Failed.Total != 0 || r.Published.Files != 1 || r.Unchanged.Files != 1 ||
		r.ResumedFiles != 1 || r.SavedBytes < 16<<20 {
		t.Errorf("reports %+v", all)
	}
	if j := f.b.jobs(f.b.config)["partner"]; j.Result != "complete" || j.Published != 1 {
		t.Errorf("%+v", j)
	}
	f.check(t, f.big, "partner/big")
	f.b.must("--config", f.b.config, "provenance", "--check", "partner/big")
	f.b.must("--config", f.b.config, "provenance", "--check", "partner/a.txt") // which the first node signed
}

// staged are the uploads in the bucket that can be resumed.
func (f *fleet) staged(t *testing.T) (keys []string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), commandTime)
	defer cancel()
	buckets, err := f.store.Client().ListBuckets(ctx)
	if err != nil {
		t.Fatal(err)
	}
	for _, bucket := range buckets {
		for o := range f.store.Client().ListObjects(ctx, bucket.Name, minio.ListObjectsOptions{Recursive: true}) {
			if o.Err != nil {
				t.Fatal(o.Err)
			}
			if strings.Contains(o.Key, "/uploads/") {
				keys = append(keys, o.Key)
			}
		}
	}
	return keys
}
