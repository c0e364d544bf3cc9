package ftpbridge

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"gateway/integrity"

	"gateway/storage"
	"gateway/storage/disk"
	"gateway/storage/storagetest"
	"gateway/tests/servers"
)

// TestRealMount holds the mount to the contract of every storage, on real servers.
func TestRealMount(t *testing.T) {
	// Pure-FTPd has no names with a backslash, and is otherwise as ProFTPD.
	for _, kind := range []servers.Kind{servers.VSFTPD, servers.ProFTPD, servers.Pyftpdlib} {
		t.Run(string(kind), func(t *testing.T) {
			t.Parallel() // it waits for the server most of the time
			storagetest.Test(t, func(t *testing.T) storage.FS {
				return mountServer(t, servers.Start(t, kind, servers.Options{}), MountOptions{})
			})
		})
	}
}

// mountServer mounts a server with a spool of its own.
func mountServer(t *testing.T, srv *servers.Server, o MountOptions) *Mount {
	t.Helper()
	src := liveSource(t, srv, "ftp")
	src.Connections = 8
	o.Pool = newPool(t, src)
	return mountPool(t, o)
}

func mountPool(t *testing.T, o MountOptions) *Mount {
	t.Helper()
	d, err := disk.Open(t.TempDir(), disk.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	o.Spool = d
	m, err := NewMount(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.Close() })
	return m
}

// proxied is a served folder behind a proxy that counts and cuts.
func proxied(t *testing.T, kind servers.Kind, connections int) (dir string, p *servers.Proxy, src Source) {
	t.Helper()
	dir = t.TempDir()
	srv := servers.Start(t, kind, servers.Options{Root: dir})
	p = servers.StartProxy(t, srv.Addr, servers.ProxyOptions{FTP: true})
	src = liveSource(t, srv, "ftp")
	src.URL.Host = p.Addr
	src.Connections = connections
	return dir, p, src
}

func randomFile(t *testing.T, path string, size int) []byte {
	t.Helper()
	data := make([]byte, size)
	rand.NewChaCha8([32]byte{byte(size)}).Read(data)
	if err := os.WriteFile(path, data, 0o644); err != nil {
		t.Fatal(err)
	}
	return data
}

func readAt(t *testing.T, f storage.File, off int64, n int) []byte {
	t.Helper()
	p := make([]byte, n)
	m, err := f.ReadAt(p, off)
	if err != nil && !errors.Is(err, io.EOF) {
		t.Fatalf("read %d bytes at %d: %v", n, off, err)
	}
	return p[:m]
}

func countRETR(p *servers.Proxy) int { return len(retrievals(p)) }

// TestRealMountReads reads a big file in all manners, and looks at what the server
// had to send for it.
func TestRealMountReads(t *testing.T) {
	dir, proxy, src := proxied(t, servers.VSFTPD, 4)
	const size = 60 << 20
	data := randomFile(t, filepath.Join(dir, "big"), size)
	pool := newPool(t, src)
	m := mountPool(t, MountOptions{Pool: pool})
	ctx := testContext(t)

	open := func() storage.File {
		t.Helper()
		f, err := m.Open(ctx, "big")
		if err != nil {
			t.Fatal(err)
		}
		return f
	}
	f := open()
	if f.Info().Size != size || f.Info().ETag == "" {
		t.Errorf("it is %+v", f.Info())
	}
	if got := readAt(t, f, 0, 1000); !bytes.Equal(got, data[:1000]) {
		t.Error("the first bytes are wrong")
	}
	// Who reads the beginning only does not fetch everything, and gives the session back.
	time.Sleep(idleRead + 500*time.Millisecond)
	if got := proxy.Bytes(servers.Down); got > size/2 {
		t.Errorf("%d bytes were fetched for the first 1000", got)
	}
	// The end of the file, from far away, then on from there.
	for _, off := range []int64{size - 3<<20, size - 2<<20, size - 1<<20, 40 << 20} {
		if got := readAt(t, f, off, 1<<20); !bytes.Equal(got, data[off:off+1<<20]) {
			t.Errorf("the bytes at %d are wrong", off)
		}
	}
	if n := countRETR(proxy); n > 4 {
		t.Errorf("%d transfers", n)
	}
	// Two readers side by side share one transfer, and what it brings.
	second := open()
	var wg sync.WaitGroup
	for _, file := range []storage.File{f, second} {
		wg.Go(func() {
			got, err := io.ReadAll(storage.Reader(ctx, file))
			if err != nil || !bytes.Equal(got, data) {
				t.Errorf("%d bytes, %v", len(got), err)
			}
		})
	}
	wg.Wait()
	f.Close()
	second.Close()
	before := countRETR(proxy)
	f = open()
	if got, err := io.ReadAll(storage.Reader(ctx, f)); err != nil || !bytes.Equal(got, data) {
		t.Errorf("from the cache: %d bytes, %v", len(got), err)
	}
	if n := countRETR(proxy) - before; n != 0 {
		t.Errorf("a cached version was fetched %d times", n)
	}
	f.Close()
	if _, err := f.ReadAt(make([]byte, 1), 0); !errors.Is(err, fs.ErrClosed) {
		t.Errorf("read after close: %v", err)
	}
}

// TestRealMountReadChanged has a file replaced behind the mount's back while it is
// read: no reader gets the beginning of one and the end of the other.
func TestRealMountReadChanged(t *testing.T) {
	dir, proxy, src := proxied(t, servers.VSFTPD, 2)
	const size = 40 << 20
	path := filepath.Join(dir, "big")
	data := randomFile(t, path, size)
	m := mountPool(t, MountOptions{Pool: newPool(t, src), CacheSize: 1})
	ctx := testContext(t)
	f, err := m.Open(ctx, "big")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	proxy.StallAfter(servers.Down, 20<<20)
	if got := readAt(t, f, 0, 4<<20); !bytes.Equal(got, data[:4<<20]) {
		t.Error("the first bytes are wrong")
	}
	// The same inode, as bad servers' uploads do it, of the same size.
	fresh := bytes.Repeat([]byte("new"), size/3+1)[:size]
	if err := os.WriteFile(path, fresh, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Chtimes(path, time.Time{}, time.Now().Add(-time.Hour)); err != nil {
		t.Fatal(err)
	}
	proxy.Resume()
	got, err := io.ReadAll(storage.Reader(ctx, f))
	if err == nil {
		t.Errorf("%d bytes were read, the old file whole: %t", len(got), bytes.Equal(got, data))
	}
	if !strings.Contains(err.Error(), "open it again") {
		t.Errorf("the error is %v", err)
	}
	again, err := m.Open(ctx, "big")
	if err != nil {
		t.Fatal(err)
	}
	defer again.Close()
	if got, err := io.ReadAll(storage.Reader(ctx, again)); err != nil || !bytes.Equal(got, fresh) {
		t.Errorf("opened again: %d bytes, %v", len(got), err)
	}
}

// TestRealMountOneConnection works on a server that takes one connection only,
// with a reader that sleeps.
func TestRealMountOneConnection(t *testing.T) {
	dir, _, src := proxied(t, servers.Pyftpdlib, 1)
	randomFile(t, filepath.Join(dir, "big"), 40<<20)
	m := mountPool(t, MountOptions{Pool: newPool(t, src)})
	ctx := testContext(t)
	f, err := m.Open(ctx, "big")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	readAt(t, f, 0, 100)
	readAt(t, f, 39<<20, 100)
	if _, err := storage.Put(ctx, m, "new", strings.NewReader("x"), storage.CreateOptions{Size: 1}, storage.CommitOptions{}); err != nil {
		t.Errorf("beside a reader: %v", err)
	}
}

// TestRealMountCutOff cuts uploads at every stage: the old file stays, and nothing
// half is under its name.
func TestRealMountCutOff(t *testing.T) {
	dir, proxy, src := proxied(t, servers.VSFTPD, 2)
	m := mountPool(t, MountOptions{Pool: newPool(t, src)})
	ctx := testContext(t)
	old := randomFile(t, filepath.Join(dir, "f"), 1000)
	content := strings.Repeat("new ", 5<<20)
	for _, after := range []int64{1, 1 << 20, int64(len(content)) - 1} {
		cut := proxy.CutAfter(servers.Up, after)
		_, err := storage.Put(ctx, m, "f", strings.NewReader(content), storage.CreateOptions{Size: -1}, storage.CommitOptions{})
		<-cut
		if err == nil {
			t.Errorf("cut after %d bytes: no error", after)
		}
		got, rerr := os.ReadFile(filepath.Join(dir, "f"))
		if rerr != nil || !bytes.Equal(got, old) {
			t.Errorf("cut after %d bytes: the old file is gone: %v", after, rerr)
		}
	}
	proxy.Resume()
	if _, err := storage.Put(ctx, m, "f", strings.NewReader(content), storage.CreateOptions{Size: -1}, storage.CommitOptions{}); err != nil {
		t.Fatal(err)
	}
	if got, err := os.ReadFile(filepath.Join(dir, "f")); err != nil || string(got) != content {
		t.Errorf("%d bytes, %v", len(got), err)
	}
	list, err := os.ReadDir(dir)
	if err != nil || len(list) != 1 {
		t.Errorf("left on the server: %v, %v", list, err)
	}
}

// TestRealMountNoReplace writes to a server that renames over nothing, as Windows'
// do, and to one that fails in between.
func TestRealMountNoReplace(t *testing.T) {
	dir := t.TempDir()
	srv := servers.Start(t, servers.Pyftpdlib, servers.Options{Root: dir, Extra: []string{
		"old_rnto = H.ftp_RNTO",
		"def ftp_RNTO(self, path):",
		"    if path.endswith('broken') and '.gw-' in str(self._rnfr) and not str(self._rnfr).endswith('.gw-old'):",
		"        self._rnfr = None",
		"        return self.respond('550 No.')",
		"    if os.path.exists(path):",
		"        self._rnfr = None",
		"        return self.respond('550 File exists.')",
		"    return old_rnto(self, path)",
		"H.ftp_RNTO = ftp_RNTO",
	}})
	m := mountServer(t, srv, MountOptions{})
	ctx := testContext(t)
	put := func(name, content string) error {
		_, err := storage.Put(ctx, m, name, strings.NewReader(content), storage.CreateOptions{Size: -1}, storage.CommitOptions{})
		return err
	}
	for _, content := range []string{"one", "two", "three"} {
		if err := put("f", content); err != nil {
			t.Fatal(err)
		}
		if got, err := os.ReadFile(filepath.Join(dir, "f")); err != nil || string(got) != content {
			t.Errorf("%q, %v", got, err)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "broken"), []byte("old"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := put("broken", "new"); err == nil {
		t.Error("no error")
	}
	if got, err := os.ReadFile(filepath.Join(dir, "broken")); err != nil || string(got) != "old" {
		t.Errorf("%q, %v", got, err)
	}
	if list, err := os.ReadDir(dir); err != nil || len(list) != 2 {
		t.Errorf("left on the server: %v, %v", list, err)
	}
}

// TestRealMountProved opens what a signed manifest vouches for, and nothing else.
func TestRealMountProved(t *testing.T) {
	root := t.TempDir()
	tr := servers.MakeTree(t, root, servers.TreeOptions{BigSize: 3 << 20})
	srv := servers.Start(t, servers.VSFTPD, servers.Options{Root: root})
	proxy := servers.StartProxy(t, srv.Addr, servers.ProxyOptions{FTP: true})
	src := liveSource(t, srv, "ftp")
	src.URL.Host = proxy.Addr
	src.Connections = 3
	move := newMove(t, src)
	policy, err := integrity.LoadPolicy(signedPolicy(t, tr.Signer))
	if err != nil {
		t.Fatal(err)
	}
	move.o.Policy = policy
	move.o.Folder = ""
	m := mountPool(t, MountOptions{Pool: newPool(t, src), Prove: &move.o})
	ctx := testContext(t)
	for _, raw := range tr.Good() {
		f, err := m.Open(ctx, tr.Files[raw].Name)
		if err != nil {
			t.Errorf("%q: %v", tr.Files[raw].Name, err)
			continue
		}
		data, err := io.ReadAll(storage.Reader(ctx, f))
		sum := sha256.Sum256(data)
		if err != nil || hex.EncodeToString(sum[:]) != tr.Files[raw].SHA256 {
			t.Errorf("%q: other bytes, %v", raw, err)
		}
		f.Close()
	}
	for _, name := range []string{servers.TreeTampered, servers.TreeUnlisted} {
		_, err := m.Open(ctx, name)
		if !errors.Is(err, ErrUnproved) || !errors.Is(err, fs.ErrPermission) {
			t.Errorf("%s: %v", name, err)
		}
	}
	before := countRETR(proxy)
	for range 2 {
		f, err := m.Open(ctx, servers.TreeBig)
		if err != nil {
			t.Fatal(err)
		}
		f.Close()
	}
	if n := countRETR(proxy) - before; n != 0 {
		t.Errorf("what was proved was fetched %d times more", n)
	}
}
