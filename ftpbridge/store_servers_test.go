package ftpbridge

import (
	"bytes"
	"crypto/tls"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"gateway/tests/servers"
)

// TestRealChanges makes, changes and removes files on every server, in plain and
// over both versions of TLS, where a short upload is easiest to lose.
func TestRealChanges(t *testing.T) {
	for _, kind := range servers.All() {
		for _, version := range []uint16{0, tls.VersionTLS12, tls.VersionTLS13} {
			if version != 0 && kind.TLSModes() == nil {
				continue
			}
			name := "plain"
			o := servers.Options{Root: t.TempDir()}
			if version != 0 {
				name = tls.VersionName(version)
				o.TLS, o.ReuseTLS = servers.ExplicitTLS, kind == servers.VSFTPD || kind == servers.ProFTPD
			}
			t.Run(fmt.Sprintf("%s-%s", kind, name), func(t *testing.T) {
				srv := servers.Start(t, kind, o)
				src := liveSource(t, srv, map[bool]string{true: "ftp", false: "ftpes"}[version == 0])
				if version != 0 {
					src.TLS = &tls.Config{MinVersion: version, MaxVersion: version}
				}
				s := mustDial(t, src)
				liveStore(t, s, kind, o.Root)
				liveChange(t, s, kind, o.Root)
			})
		}
	}
}

func liveStore(t *testing.T, s *Session, kind servers.Kind, root string) {
	t.Helper()
	big := bytes.Repeat([]byte("0123456789abcdef"), 200_000)
	names := []string{"f", " leading", "two  blanks", `qu"ote`, "per%cent%s", "caf\u00e9", "-dash"}
	if kind == servers.PureFTPD { // it stores "trailing_" instead, and says that all is well
		_, err := s.Store(testContext(t), "trailing ", strings.NewReader("x"), 0)
		want(t, err, []error{ErrUnconfirmed})
	} else {
		names = append(names, "trailing ")
	}
	if kind != servers.Pyftpdlib {
		names = append(names, "caf\xe9", "\xff\xe0-iac", "\xff\xff")
	}
	for _, name := range names {
		for _, body := range [][]byte{big, {}, []byte("x"), big[:70_000]} {
			n, err := s.Store(testContext(t), name, bytes.NewReader(body), 0)
			got, rerr := os.ReadFile(filepath.Join(root, name))
			if err != nil || rerr != nil || n != int64(len(body)) || !bytes.Equal(got, body) {
				t.Fatalf("%q: %d of %d bytes, %v; on the disk %d, %v", name, n, len(body), err, len(got), rerr)
			}
		}
		n, err := s.Store(testContext(t), name, bytes.NewReader(big[70_000:]), 70_000)
		if got, rerr := os.ReadFile(filepath.Join(root, name)); err != nil || rerr != nil || n != int64(len(big)-70_000) || !bytes.Equal(got, big) {
			t.Errorf("%q continued: %d bytes, %v; on the disk %d, %v", name, n, err, len(got), rerr)
		}
	}
	for i := range 20 { // what is lost is lost by chance
		body := bytes.Repeat([]byte{byte(i)}, 1+i*4000)
		if _, err := s.Store(testContext(t), "again", bytes.NewReader(body), 0); err != nil {
			t.Errorf("upload %d: %v", i, err)
		}
		if got, err := os.ReadFile(filepath.Join(root, "again")); err != nil || !bytes.Equal(got, body) {
			t.Errorf("upload %d: on the disk %d bytes, %v", i, len(got), err)
		}
	}
	if _, err := s.Store(testContext(t), "no dir/f", strings.NewReader("x"), 0); err == nil || s.Broken() {
		t.Errorf("into a folder that is missing: %v, broken %v", err, s.Broken())
	}
}

func liveChange(t *testing.T, s *Session, kind servers.Kind, root string) {
	t.Helper()
	ok := func(err error) {
		t.Helper()
		if err != nil {
			t.Error(err)
		}
	}
	ctx := testContext(t)
	there := func(path string, wanted bool) {
		t.Helper()
		if _, err := os.Lstat(filepath.Join(root, path)); (err == nil) != wanted {
			t.Errorf("%q: %v", path, err)
		}
	}
	ok(s.MakeDir(ctx, "dir one"))
	ok(s.MakeDir(ctx, "dir one/in \"it\""))
	want(t, s.MakeDir(ctx, "dir one"), []error{fs.ErrExist})
	want(t, s.MakeDir(ctx, "none/below"), nil, "550")
	_, err := s.List(ctx, "dir one") // it is the current directory from now on
	ok(err)
	_, err = s.Store(ctx, "dir one/f", strings.NewReader("content"), 0)
	ok(err)
	ok(s.Rename(ctx, "dir one/f", "dir one/g g"))
	there("dir one/f", false)
	there("dir one/g g", true)
	want(t, s.Rename(ctx, "missing", "m"), nil, "550")
	_, err = s.Store(ctx, "dir one/h", strings.NewReader("h"), 0)
	ok(err)
	ok(s.Rename(ctx, "dir one", "dir two"))
	if _, err := s.List(ctx, "dir one"); err == nil {
		t.Error("lists a folder that has another name now")
	}
	err = s.SetModTime(ctx, "dir two/h", time.Date(2019, 3, 4, 5, 6, 7, 0, time.UTC))
	if !s.Info().Has("MFMT") && kind != servers.VSFTPD {
		want(t, err, []error{ErrUnsupported})
	} else if ok(err); err == nil {
		info, err := os.Stat(filepath.Join(root, "dir two/h"))
		if err != nil || info.ModTime().Unix() != time.Date(2019, 3, 4, 5, 6, 7, 0, time.UTC).Unix() {
			t.Errorf("time %v, %v", info.ModTime(), err)
		}
	}
	want(t, s.RemoveDir(ctx, "dir two"), nil, "550")
	ok(s.Remove(ctx, "dir two/h"))
	ok(s.Remove(ctx, "dir two/g g"))
	want(t, s.Remove(ctx, "dir two/g g"), nil, "550")
	ok(s.RemoveDir(ctx, "dir two/in \"it\""))
	_, err = s.List(ctx, "dir two")
	ok(err)
	ok(s.RemoveDir(ctx, "dir two"))
	there("dir two", false)
	if s.Broken() {
		t.Error("broken")
	}
}
