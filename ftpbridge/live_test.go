package ftpbridge

import (
	"bytes"
	"crypto/sha256"
	"crypto/tls"
	"encoding/pem"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"gateway/listing"
	"gateway/tests/servers"
)

// liveTree fills a folder with what servers trip over, and returns the
// content by raw path. Names that kind cannot serve are left out.
func liveTree(t *testing.T, kind servers.Kind, root string) map[string][]byte {
	t.Helper()
	big := make([]byte, 3<<20)
	for i := range big {
		big[i] = byte(i * i >> 8)
	}
	files := map[string][]byte{
		"plain.txt": []byte("plain"), "empty": {}, ".hidden": []byte("h"), "big.bin": big,
		" leading": []byte("l"), "trailing ": []byte("t"), "two  blanks": []byte("2"), "-dash": []byte("d"),
		`quote"d`: []byte("q"), "percent%s%d": []byte("p"), "star[x]*?": []byte("s"), "arrow -> name": []byte("a"),
		"sub dir/caf\u00e9": []byte("utf-8"), "sub dir/deep/er/x": []byte("deep"), `qu"dir/in`: []byte("i"), ".hdir/f": []byte("f"),
	}
	raw := map[string][]byte{
		"caf\xe9": []byte("latin-1"), "\xff\xe0-iac": []byte("iac"), "mid\xffdle/\xff\xff": []byte("iac 2"),
		"\x83e\x83X\x83g": []byte("sjis"),
	}
	if kind != servers.Pyftpdlib { // it replaces bytes that are not UTF-8
		for name, content := range raw {
			files[name] = content
		}
	}
	for name, content := range files {
		path := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, content, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	old := time.Date(2019, 3, 4, 5, 6, 7, 0, time.UTC)
	if err := os.Chtimes(filepath.Join(root, "plain.txt"), old, old); err != nil {
		t.Fatal(err)
	}
	for name, target := range map[string]string{"link": "plain.txt", "sub dir/loop": ".."} {
		if err := os.Symlink(target, filepath.Join(root, name)); err != nil {
			t.Fatal(err)
		}
	}
	return files
}

func liveSource(t *testing.T, srv *servers.Server, scheme string) Source {
	t.Helper()
	src, err := ParseSource(fmt.Sprintf("%s://%s:%s@%s/", scheme, srv.User, srv.Pass, srv.Addr))
	if err != nil {
		t.Fatal(err)
	}
	src.CAFile = srv.CertFile
	src.Timeout = 20 * time.Second
	return src
}

func TestRealServers(t *testing.T) {
	type server struct {
		kind  servers.Kind
		tls   servers.TLS
		reuse bool
	}
	all := []server{}
	for _, k := range servers.All() {
		all = append(all, server{k, servers.NoTLS, false})
		for _, mode := range k.TLSModes() {
			all = append(all, server{k, mode, k == servers.VSFTPD || k == servers.ProFTPD})
		}
	}
	scheme := map[servers.TLS]string{servers.NoTLS: "ftp", servers.ExplicitTLS: "ftpes", servers.ImplicitTLS: "ftps"}
	for _, sv := range all {
		t.Run(fmt.Sprintf("%s-%s", sv.kind, scheme[sv.tls]), func(t *testing.T) {
			root := t.TempDir()
			files := liveTree(t, sv.kind, root)
			srv := servers.Start(t, sv.kind, servers.Options{Root: root, TLS: sv.tls, ReuseTLS: sv.reuse})
			s := mustDial(t, liveSource(t, srv, scheme[sv.tls]))
			if secure := s.Info().TLS != ""; secure != (sv.tls != servers.NoTLS) || s.Info().Home != srv.Home {
				t.Errorf("info %+v", s.Info())
			}
			liveWalk(t, s, sv.kind, files)
			liveFetch(t, s, files)
			liveFacts(t, s, len(files["big.bin"]))
		})
	}
}

// liveWalk compares the walk with the tree.
func liveWalk(t *testing.T, s *Session, kind servers.Kind, files map[string][]byte) {
	t.Helper()
	got := make(map[string]listing.Entry)
	err := Walk(testContext(t), s, "", WalkOptions{}, func(f Found) error {
		switch {
		case f.Err != nil && kind == servers.Pyftpdlib && strings.HasSuffix(f.Rel, "loop"):
			// It lists links as what they lead to; the loop is cut.
		case f.Err != nil:
			t.Errorf("problem at %q: %v", f.Rel, f.Err)
		case f.Entry.Type == listing.File:
			got[f.Rel] = f.Entry
		case f.Entry.Type == listing.Link && f.Rel != "link" && f.Rel != "sub dir/loop":
			t.Errorf("link %q", f.Rel)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for name, content := range files {
		e, ok := got[name]
		if !ok {
			t.Errorf("%q was not found", name)
			continue
		}
		if e.Size != int64(len(content)) {
			t.Errorf("%q: size %d, is %d", name, e.Size, len(content))
		}
		delete(got, name)
	}
	if kind == servers.Pyftpdlib {
		delete(got, "link")
	}
	for name := range got {
		t.Errorf("%q was made up", name)
	}
	if old := s.Show("plain.txt"); old != "plain.txt" {
		t.Errorf("shown as %q", old)
	}
}

func liveFetch(t *testing.T, s *Session, files map[string][]byte) {
	t.Helper()
	for name, content := range files {
		body, err := fetchAll(testContext(t), s, name, 0)
		if err != nil {
			t.Errorf("%q: %v", name, err)
			continue
		}
		if sha256.Sum256([]byte(body)) != sha256.Sum256(content) {
			t.Errorf("%q: %d bytes differ from %d", name, len(body), len(content))
		}
	}
	big := files["big.bin"]
	for _, offset := range []int{1, 1 << 20, len(big) - 1, len(big)} {
		body, err := fetchAll(testContext(t), s, s.Join(s.Info().Home, "big.bin"), int64(offset))
		if err != nil || !bytes.Equal([]byte(body), big[offset:]) {
			t.Errorf("from %d: %d bytes, %v", offset, len(body), err)
		}
	}
	if body, err := fetchAll(testContext(t), s, "plain.txt", 0); err != nil || body != "plain" {
		t.Errorf("an offset is left over: %q, %v", body, err)
	}
	if _, err := s.Fetch(testContext(t), "missing", 5); err == nil || s.Broken() {
		t.Errorf("missing: %v, broken %v", err, s.Broken())
	}
	if body, err := fetchAll(testContext(t), s, "plain.txt", 0); err != nil || body != "plain" {
		t.Errorf("an offset is left over after a refusal: %q, %v", body, err)
	}
}

func liveFacts(t *testing.T, s *Session, bigSize int) {
	t.Helper()
	if n, err := s.Size(testContext(t), "big.bin"); err != nil || n != int64(bigSize) {
		t.Errorf("size %d, %v", n, err)
	}
	old := time.Date(2019, 3, 4, 5, 6, 7, 0, time.UTC)
	if at, err := s.ModTime(testContext(t), "plain.txt"); err != nil || !at.Equal(old) {
		t.Errorf("time %v, %v", at, err)
	}
	if s.Info().Has("MLST") {
		e, err := s.Stat(testContext(t), "plain.txt")
		if err != nil || e.Size != 5 || !e.ModTime.Equal(old) {
			t.Errorf("stat %+v, %v", e, err)
		}
	} else if _, err := s.Stat(testContext(t), "plain.txt"); err == nil {
		t.Error("stat without MLST")
	} else {
		want(t, err, []error{ErrUnsupported})
	}
	_, err := s.List(testContext(t), "no such folder")
	want(t, err, nil, "550")
	if s.Broken() {
		t.Error("broken")
	}
}

// A path that the login does not start in: vsftpd and the others are in a
// jail, so the URL's path names a folder of the tree.
func TestRealRoot(t *testing.T) {
	root := t.TempDir()
	liveTree(t, servers.Pyftpdlib, root)
	srv := servers.Start(t, servers.Pyftpdlib, servers.Options{Root: root})
	for _, path := range []string{"sub%20dir/", "/sub%20dir", "%2Fsub%20dir/deep/.."} {
		src := liveSource(t, srv, "ftp")
		src, err := ParseSource(strings.TrimSuffix(src.URL.String(), "/") + "/" + path)
		if err != nil {
			t.Fatal(err)
		}
		s := mustDial(t, src)
		res, err := s.List(testContext(t), "")
		if err != nil || !slices.Contains(names(res), "deep") {
			t.Errorf("%s: %q, %v", path, names(res), err)
		}
		if body, err := fetchAll(testContext(t), s, "deep/er/x", 0); body != "deep" || err != nil {
			t.Errorf("%s: %q, %v", path, body, err)
		}
	}
}

// certificatePrint is the SHA-256 of a certificate in a PEM file.
func certificatePrint(t *testing.T, file string) string {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	block, _ := pem.Decode(data)
	return fmt.Sprintf("%x", sha256.Sum256(block.Bytes))
}

func TestRealCertificates(t *testing.T) {
	srv := servers.Start(t, servers.Pyftpdlib, servers.Options{TLS: servers.ExplicitTLS})
	print := certificatePrint(t, srv.CertFile)

	src := liveSource(t, srv, "ftpes")
	src.CAFile = ""
	_, err := Dial(testContext(t), src)
	want(t, err, []error{ErrTLS}, print, "CA file")

	src.Fingerprint = print
	mustDial(t, src)

	src.Fingerprint = strings.Repeat("0", 64)
	_, err = Dial(testContext(t), src)
	want(t, err, []error{ErrTLS}, print, "pinned is 0000")

	src = liveSource(t, srv, "ftpes")
	src.CAFile = ""
	src.TLS = &tls.Config{RootCAs: srv.RootCAs, ServerName: "other.example", MinVersion: tls.VersionTLS12}
	_, err = Dial(testContext(t), src)
	want(t, err, []error{ErrTLS}, "other.example")

	src.TLS.ServerName = ""
	src.TLS.MaxVersion = tls.VersionTLS12
	if s := mustDial(t, src); s.Info().TLS != "TLS 1.2" {
		t.Errorf("version %s", s.Info().TLS)
	}

	src.CAFile = filepath.Join(t.TempDir(), "none.pem")
	_, err = Dial(testContext(t), src)
	want(t, err, []error{ErrTLS, os.ErrNotExist})

	plain := liveSource(t, srv, "ftp")
	plain.CAFile = ""
	_, err = Dial(testContext(t), plain)
	want(t, err, []error{ErrTLS}, "ftpes://")

	implicit := liveSource(t, srv, "ftps")
	implicit.Timeout = 2 * time.Second
	_, err = Dial(testContext(t), implicit)
	want(t, err, []error{ErrTLS})
}

func TestRealWrongPassword(t *testing.T) {
	for _, kind := range servers.All() {
		t.Run(string(kind), func(t *testing.T) {
			t.Parallel() // some servers make one wait
			srv := servers.Start(t, kind, servers.Options{})
			src, err := ParseSource("ftp://" + srv.User + ":wrong@" + srv.Addr)
			if err != nil {
				t.Fatal(err)
			}
			_, err = Dial(testContext(t), src)
			want(t, err, []error{ErrLogin}, srv.User, srv.Addr, "530")
			if strings.Contains(err.Error(), "wrong@") {
				t.Error("the password shows")
			}
		})
	}
}

// Two connections are allowed; a pool of six finds out.
func TestRealConnectionLimits(t *testing.T) {
	for kind, extra := range map[servers.Kind][]string{
		servers.VSFTPD:    {"max_per_ip=2"},
		servers.PureFTPD:  {"-C", "2"},
		servers.ProFTPD:   {"MaxClientsPerHost 2"},
		servers.Pyftpdlib: {"FTPServer.max_cons_per_ip = 2"},
	} {
		t.Run(string(kind), func(t *testing.T) {
			srv := servers.Start(t, kind, servers.Options{Extra: extra})
			src := liveSource(t, srv, "ftp")
			src.Connections = 6
			p := newPool(t, src)
			a, err := p.Get(testContext(t))
			if err != nil {
				t.Fatal(err)
			}
			b, err := p.Get(testContext(t))
			if err != nil {
				t.Fatal(err)
			}
			done := make(chan error, 1)
			go func() {
				done <- p.Do(testContext(t), func(s Remote) error {
					_, err := s.List(testContext(t), "")
					return err
				})
			}()
			for p.Limit() != 2 { // Do gives its place back only after the server refused it
				select {
				case err := <-done:
					t.Fatalf("a third session: %v", err)
				case <-testContext(t).Done():
					t.Fatal("the limit was not found")
				case <-time.After(10 * time.Millisecond):
				}
			}
			p.Put(a)
			p.Put(b)
			if err := <-done; err != nil {
				t.Error(err)
			}
		})
	}
}
