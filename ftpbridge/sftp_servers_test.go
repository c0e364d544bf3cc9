package ftpbridge

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"gateway/listing"
	"gateway/tests/servers"
)

// sshdSource is the login folder of a server, with its password and host key.
func sshdSource(t *testing.T, srv *servers.SSHD, addr string) Source {
	t.Helper()
	src, err := ParseSource(fmt.Sprintf("sftp://%s:%s@%s/", srv.User, srv.Pass, addr))
	if err != nil {
		t.Fatal(err)
	}
	src.Fingerprint, src.Timeout = srv.Fingerprint, 20*time.Second
	return src
}

func dialSSHD(t *testing.T, src Source) *SFTPSession {
	t.Helper()
	s, err := DialSFTP(testContext(t), src)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func TestRealSFTPLogin(t *testing.T) {
	srv := servers.StartSSHD(t, servers.SSHDOptions{})
	good := sshdSource(t, srv, srv.Addr)
	other := "SHA256:" + strings.Repeat("A", 43)
	for name, tt := range map[string]struct {
		change  func(*Source)
		targets []error
		words   []string
	}{
		"password":        {change: func(*Source) {}},
		"key":             {change: func(s *Source) { s.URL.User, s.KeyFile = userOnly(s), srv.KeyFile }},
		"known hosts":     {change: func(s *Source) { s.Fingerprint, s.KnownHosts = "", srv.KnownHosts }},
		"no pin":          {func(s *Source) { s.Fingerprint = "" }, []error{ErrTLS}, []string{srv.Fingerprint, "--fingerprint"}},
		"another key":     {func(s *Source) { s.Fingerprint = other }, []error{ErrTLS}, []string{srv.Fingerprint, other}},
		"wrong password":  {func(s *Source) { s.URL.User = userOnly(s); s.Password = "wrong" }, []error{ErrLogin}, nil},
		"no password":     {func(s *Source) { s.URL.User = userOnly(s) }, []error{ErrLogin}, []string{"neither"}},
		"hex fingerprint": {func(s *Source) { s.Fingerprint = strings.Repeat("ab", 32) }, []error{ErrSource}, []string{"SHA256:"}},
		"no user":         {func(s *Source) { s.URL.User = nil }, []error{ErrSource}, []string{"sftp://user@host"}},
		"no key file":     {func(s *Source) { s.KeyFile = "/nonexistent" }, []error{ErrSource}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			src := good
			u := *good.URL
			src.URL = &u
			tt.change(&src)
			s, err := DialSFTP(testContext(t), src)
			if tt.targets != nil {
				want(t, err, tt.targets, tt.words...)
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			if i := s.Info(); !strings.HasPrefix(i.Software, "OpenSSH 9") || i.Home != srv.Root || i.TLS == "" || !src.Secure() {
				t.Errorf("%+v", i)
			}
		})
	}
}

func TestRealSFTPLists(t *testing.T) {
	srv := servers.StartSSHD(t, servers.SSHDOptions{})
	at := time.Date(2021, 2, 3, 4, 5, 6, 0, time.UTC)
	for _, name := range []string{"plain", "gar\xe7on", ".hidden", "line\nbreak", " blank "} {
		path := filepath.Join(srv.Root, name)
		if err := os.WriteFile(path, []byte("123"), 0o644); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(path, at, at); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(os.Mkdir(filepath.Join(srv.Root, "sub"), 0o755), os.Symlink("plain", filepath.Join(srv.Root, "link"))); err != nil {
		t.Fatal(err)
	}
	src := sshdSource(t, srv, srv.Addr)
	src.Charset = "iso-8859-1"
	s := dialSSHD(t, src)
	res, err := s.List(testContext(t), "")
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	for _, e := range res.Entries {
		got[e.RawName] = fmt.Sprint(e.Type, " ", e.Size, " ", e.Target)
		if e.RawName == "plain" && (!e.ModTime.Equal(at) || e.ModTime.Precision != listing.Second || !e.ModTime.ZoneKnown || e.Mode != "rw-r--r--") {
			t.Errorf("%+v", e)
		}
		if e.RawName == "gar\xe7on" && e.Name != "gar\u00e7on" {
			t.Errorf("%q", e.Name)
		}
	}
	equal(t, got, map[string]string{
		"plain": "file 3 ", "gar\xe7on": "file 3 ", ".hidden": "file 3 ", "line\nbreak": "file 3 ", " blank ": "file 3 ",
		"sub": "dir -1 ", "link": "link -1 plain",
	})
	if size, err := s.Size(testContext(t), "link"); err != nil || size != 3 {
		t.Errorf("%d, %v", size, err)
	}
	if _, err := s.Size(testContext(t), "sub"); err == nil {
		t.Error("a folder has a size")
	}
	_, err = s.Stat(testContext(t), "missing")
	want(t, err, []error{fs.ErrNotExist}, "missing")
	if got, err := fetchAll(testContext(t), s, "line\nbreak", 1); got != "23" || err != nil {
		t.Errorf("%q, %v", got, err)
	}
	_, err = s.List(testContext(t), "plain")
	if err == nil || s.Broken() {
		t.Errorf("%v", err)
	}
}

// TestRealSFTPTransfers sends files of sizes around those of the chunks there and
// back, whole and in two parts.
func TestRealSFTPTransfers(t *testing.T) {
	srv := servers.StartSSHD(t, servers.SSHDOptions{})
	s := dialSSHD(t, sshdSource(t, srv, srv.Addr))
	ctx := testContext(t)
	random := rand.NewChaCha8([32]byte{1})
	for _, size := range []int64{0, 1, sftpChunk - 1, sftpChunk, sftpChunk + 1, 2 * sftpChunk, 3 * sftpChunk, 5<<20 + 17} {
		data := make([]byte, size)
		_, _ = random.Read(data)
		n, err := s.Store(ctx, "f", bytes.NewReader(data[:size/3]), 0)
		if err != nil || n != size/3 {
			t.Fatal(n, err)
		}
		if n, err = s.Store(ctx, "f", bytes.NewReader(data[n:]), n); err != nil || n != size-size/3 {
			t.Fatal(n, err)
		}
		for _, from := range []int64{0, size / 2, size} {
			got, err := fetchAll(ctx, s, "f", from)
			if err != nil || got != string(data[from:]) {
				t.Errorf("%d bytes from %d: %d came, %v", size, from, len(got), err)
			}
		}
	}
	r, err := s.Fetch(ctx, "f", 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.Read(make([]byte, 10)); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Size(ctx, "f"); !errors.Is(err, ErrInUse) {
		t.Errorf("%v", err)
	}
	if err := r.Close(); !errors.Is(err, ErrAborted) || s.Broken() {
		t.Errorf("%v", err)
	}
	_, err = s.Store(ctx, "f", bytes.NewReader([]byte("x")), 3)
	want(t, err, []error{io.ErrUnexpectedEOF}) // there is more behind it
	_, err = s.Store(ctx, "g", bytes.NewReader([]byte("x")), 3)
	want(t, err, []error{fs.ErrNotExist})
	_, err = s.Store(ctx, "h", io.MultiReader(strings.NewReader("half"), failing{}), 0)
	want(t, err, []error{ErrAborted, errFailing})
	if _, err := s.Size(ctx, "h"); err != nil {
		t.Error(err)
	}
}

var errFailing = errors.New("the disk is on fire")

type failing struct{}

func (failing) Read([]byte) (int, error) { return 0, errFailing }

func TestRealSFTPChanges(t *testing.T) {
	srv := servers.StartSSHD(t, servers.SSHDOptions{})
	s := dialSSHD(t, sshdSource(t, srv, srv.Addr))
	ctx := testContext(t)
	at := time.Date(2001, 2, 3, 4, 5, 6, 0, time.UTC)
	for name, content := range map[string]string{"a": "1", "b": "22"} {
		if _, err := s.Store(ctx, name, strings.NewReader(content), 0); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Rename(ctx, "a", "b"); err == nil {
		t.Error("a rename replaced a file")
	}
	if err := errors.Join(s.replace(ctx, "a", "b"), s.MakeDir(ctx, "d"), s.Rename(ctx, "b", "d/c"), s.SetModTime(ctx, "d/c", at)); err != nil {
		t.Fatal(err)
	}
	if got, err := s.ModTime(ctx, "d/c"); err != nil || !got.Equal(at) {
		t.Errorf("%v, %v", got, err)
	}
	want(t, s.MakeDir(ctx, "d"), []error{fs.ErrExist})
	if err := s.RemoveDir(ctx, "d"); err == nil {
		t.Error("a full folder was removed")
	}
	if err := errors.Join(s.Remove(ctx, "d/c"), s.RemoveDir(ctx, "d")); err != nil {
		t.Error(err)
	}
	left, err := os.ReadDir(srv.Root)
	if err != nil || len(left) > 0 {
		t.Errorf("%v, %v", left, err)
	}
}

func TestRealSFTPMigrate(t *testing.T) {
	root := t.TempDir()
	tr := servers.MakeTree(t, root, servers.TreeOptions{BigSize: 9 << 20})
	srv := servers.StartSSHD(t, servers.SSHDOptions{Root: root})
	src := sshdSource(t, srv, srv.Addr)
	src.Connections = 3
	m := newMove(t, src)
	rep := m.run()
	if s := text(rep); !strings.Contains(s, "nothing was verified") || strings.Contains(s, "plain FTP") {
		t.Error(s)
	}
	reasons(t, rep.Failed, map[string]string{})
	reasons(t, rep.Skipped, map[string]string{servers.TreeDirLink: "link to a folder"})
	var all []string
	for raw := range tr.Files {
		all = append(all, raw)
	}
	checkTree(t, filepath.Join(m.dest, "old"), tr, all)
	equal(t, m.run().Published.Files, int64(0))
	if !slices.Contains(src.PolicyNames(), "sftp://"+srv.Addr+"/") {
		t.Errorf("%q", src.PolicyNames())
	}
}

func userOnly(s *Source) *url.Userinfo { return url.User(s.URL.User.Username()) }

// TestRealSFTPMigrateKilled kills migrations at random moments and cuts their
// connections until one gets through.
func TestRealSFTPMigrateKilled(t *testing.T) {
	root := t.TempDir()
	tr := servers.MakeTree(t, root, servers.TreeOptions{BigSize: bigTreeFile})
	srv := servers.StartSSHD(t, servers.SSHDOptions{Root: root})
	proxy := servers.StartProxy(t, srv.Addr, servers.ProxyOptions{})
	dir := t.TempDir()
	j := childJob{
		Source: sshdSource(t, srv, proxy.Addr).URL.String(), Fingerprint: srv.Fingerprint,
		Dest: filepath.Join(dir, "dest"), State: filepath.Join(dir, "state.db"),
		Policy: signedPolicy(t, tr.Signer), Connections: 2,
	}
	if err := os.Mkdir(j.Dest, 0o755); err != nil {
		t.Fatal(err)
	}
	kills := 0
	for ; kills < 6; kills++ {
		if kills%2 == 1 {
			proxy.CutAfter(servers.Down, 3<<20)
		}
		if killChild(t, j, 1+rand.IntN(60)) {
			break
		}
	}
	o, done := j.options(t)
	defer done()
	proxy.CutAfter(servers.Down, 5<<20)
	rep, err := Migrate(testContext(t), o)
	if err != nil {
		t.Fatalf("%v\n%s", err, text(rep))
	}
	reasons(t, rep.Quarantined, map[string]string{
		servers.TreeTampered: "lists", servers.TreeUnlisted: "no manifest names", servers.TreeLink: "no manifest names",
	})
	equal(t, rep.Failed.Total+rep.Unread.Total+rep.Pending.Files, int64(0))
	delete(tr.Links, servers.TreeLink) // no manifest names a link
	checkTree(t, filepath.Join(j.Dest, "old"), tr, slices.Concat(tr.Good(), []string{servers.TreeManifest, servers.TreeSignature}))
	for target, n := range published(t, j.State) {
		if n != 1 {
			t.Errorf("%s was published %d times", target, n)
		}
	}
	t.Logf("%d kills, %d files resumed, %d retries", kills, rep.ResumedFiles, rep.Retries)
}

// TestRealPushLostConnections cuts uploads in the middle, again and again, over FTP
// and SFTP.
func TestRealPushLostConnections(t *testing.T) {
	ftp := ftpPartner(t, servers.VSFTPD, servers.Options{})
	sftp := sftpPartner(t)
	for _, p := range []partner{ftp, sftp} {
		t.Run(p.name, func(t *testing.T) {
			proxy := servers.StartProxy(t, p.dest.URL.Host, servers.ProxyOptions{FTP: p.name != "sshd"})
			dest := p.dest
			u := *dest.URL
			u.Host, dest.URL = proxy.Addr, &u
			b := newOutbox(t, dest)
			content := random(24 << 20)
			b.write("big", content)
			stop, ended := make(chan struct{}), make(chan struct{})
			go func() {
				defer close(ended)
				for range 3 {
					select {
					case <-proxy.CutAfter(servers.Up, 7<<20):
					case <-stop:
						return
					}
				}
			}()
			rep := b.run()
			close(stop)
			<-ended
			equal(t, served(t, p.root), map[string]string{"big": digested(content)})
			if rep.ResumedFiles == 0 || rep.SavedBytes < 4<<20 || !rep.Complete() {
				t.Errorf("%s", text(rep))
			}
		})
	}
}
