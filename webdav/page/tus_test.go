package page

import (
	"context"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"gateway/auth"
	"gateway/storage"
)

// sender uploads as the script does.
type sender struct {
	*browser
	csrf string
}

func (s *site) sender(user string) *sender {
	b := s.in(user)
	return &sender{b, b.token()}
}

func meta(pairs ...string) string {
	var list []string
	for i := 0; i+1 < len(pairs); i += 2 {
		list = append(list, pairs[i]+" "+base64.StdEncoding.EncodeToString([]byte(pairs[i+1])))
	}
	return strings.Join(list, ",")
}

func (u *sender) tus(method, path string, body io.Reader, header ...string) answer {
	u.t.Helper()
	if strings.HasPrefix(path, "tus/") {
		path = Prefix + path
	}
	return u.send(method, path, body, append([]string{"Accept", "*/*", "Tus-Resumable", "1.0.0", "X-Gateway-Token", u.csrf}, header...)...)
}

// create begins an upload and returns its address.
func (u *sender) create(name string, size int, more ...string) string {
	u.t.Helper()
	a := u.tus("POST", "tus/", nil, "Upload-Length", strconv.Itoa(size), "Upload-Metadata", meta(append([]string{"name", name}, more...)...)).want(http.StatusCreated)
	if a.header.Get("Upload-Expires") == "" || a.header.Get("Tus-Resumable") != "1.0.0" {
		u.t.Errorf("%v", a.header)
	}
	return a.header.Get("Location")
}

func (u *sender) patch(address string, offset int, bytes string, more ...string) answer {
	u.t.Helper()
	return u.tus("PATCH", address, strings.NewReader(bytes),
		append([]string{"Upload-Offset", strconv.Itoa(offset), "Content-Type", "application/offset+octet-stream"}, more...)...)
}

func (u *sender) offset(address string) string {
	u.t.Helper()
	return u.tus("HEAD", address, nil).want(http.StatusOK).header.Get("Upload-Offset")
}

func TestTus(t *testing.T) {
	s := newSite(t)
	u := s.sender("anna")
	a := u.tus("OPTIONS", "tus/", nil).want(http.StatusNoContent)
	if a.header.Get("Tus-Version") != "1.0.0" || a.header.Get("Tus-Extension") != tusExtensions {
		t.Errorf("%v", a.header)
	}
	at := u.create("dir/sub/f ü.txt", 10, "mtime", "1700000000123")
	if u.offset(at) != "0" {
		t.Error("it does not begin at 0")
	}
	a = u.patch(at, 0, "01234").want(http.StatusNoContent)
	if a.header.Get("Upload-Offset") != "5" || a.header.Get("Upload-Expires") == "" {
		t.Errorf("%v", a.header)
	}
	u.patch(at, 0, "01234").want(http.StatusConflict)
	u.patch(at, 6, "6789").want(http.StatusConflict)
	u.patch(at, 5, "567890").want(http.StatusRequestEntityTooLarge)
	u.patch(at, -1, "5").want(http.StatusBadRequest)
	u.tus("PATCH", at, strings.NewReader("5"), "Upload-Offset", "5").want(http.StatusUnsupportedMediaType)
	if _, err := os.Stat(filepath.Join(s.dir, "files", "dir", "sub", "f ü.txt")); err == nil {
		t.Error("a part is published")
	}
	u.get("/dir/sub/").want(http.StatusOK).hasNot("f ü.txt")
	if u.offset(at) != "5" {
		t.Error("what was refused counts")
	}
	if a := u.patch(at, 5, "56789").want(http.StatusNoContent); a.header.Get("Upload-Offset") != "10" {
		t.Errorf("%v", a.header)
	}
	if s.content("dir/sub/f ü.txt") != "0123456789" {
		t.Errorf("it has %q", s.content("dir/sub/f ü.txt"))
	}
	info, err := os.Stat(filepath.Join(s.dir, "files", "dir", "sub", "f ü.txt"))
	must(t, err)
	if info.ModTime().UnixMilli() != 1700000000123 {
		t.Errorf("its time is %v", info.ModTime())
	}
	if u.offset(at) != "10" { // the answer may have been lost
		t.Error("it is not known that it is whole")
	}
	u.patch(at, 10, "").want(http.StatusNotFound)
}

func TestTusWhole(t *testing.T) {
	s := newSite(t)
	u := s.sender("anna")
	whole := func(name, body string, more ...string) answer {
		t.Helper()
		return u.tus("POST", "tus/", strings.NewReader(body), "Upload-Length", strconv.Itoa(len(body)), "Upload-Metadata", meta(append([]string{"name", name}, more...)...),
			"Content-Type", "application/offset+octet-stream")
	}
	if a := whole("small", "abc").want(http.StatusCreated); a.header.Get("Upload-Offset") != "3" {
		t.Errorf("%v", a.header)
	}
	whole("small", "new").want(http.StatusConflict).has("with this name already")
	if s.content("small") != "abc" {
		t.Error("it was replaced")
	}
	whole("small", "new", "replace", "1").want(http.StatusCreated)
	if s.content("small") != "new" {
		t.Error("it was not replaced")
	}
	whole("empty", "").want(http.StatusCreated)
	if s.content("empty") != "" {
		t.Errorf("the empty file has %q", s.content("empty"))
	}
	whole("x/y/z", "deep", "folder", "/made").want(http.StatusCreated)
	if s.content("made/x/y/z") != "deep" {
		t.Error("the folders are not made")
	}
	whole("small/x", "y").want(http.StatusConflict)
	whole("made", "y", "replace", "1").want(http.StatusConflict).has("folder with this name")
}

func TestTusRefuses(t *testing.T) {
	s := newSite(t)
	u := s.sender("anna")
	name := meta("name", "f")
	for what, header := range map[string][]string{
		"no length":      {"Upload-Metadata", name},
		"a bad length":   {"Upload-Length", "-1", "Upload-Metadata", name},
		"no number":      {"Upload-Length", "x", "Upload-Metadata", name},
		"too long":       {"Upload-Length", "9223372036854775807", "Upload-Metadata", name},
		"no name":        {"Upload-Length", "1"},
		"an empty name":  {"Upload-Length", "1", "Upload-Metadata", meta("name", "")},
		"a way up":       {"Upload-Length", "1", "Upload-Metadata", meta("name", "../f")},
		"a reserved one": {"Upload-Length", "1", "Upload-Metadata", meta("name", ".gateway/f")},
		"a bad folder":   {"Upload-Length", "1", "Upload-Metadata", meta("name", "f", "folder", "a/../..")},
		"no base64":      {"Upload-Length", "1", "Upload-Metadata", "name %%%"},
		"a key twice":    {"Upload-Length", "1", "Upload-Metadata", name + "," + name},
		"much metadata":  {"Upload-Length", "1", "Upload-Metadata", name + "," + meta("more", strings.Repeat("x", 20_000))},
	} {
		if a := u.tus("POST", "tus/", nil, header...); a.status != http.StatusBadRequest {
			t.Errorf("%s: %d", what, a.status)
		}
	}
	u.tus("POST", "tus/", nil, "Tus-Resumable", "0.2").want(http.StatusPreconditionFailed)
	u.tus("GET", "tus/", nil).want(http.StatusMethodNotAllowed)
	u.tus("POST", "tus/", strings.NewReader("abc"), "Upload-Length", "2", "Upload-Metadata", name, "Content-Type", "application/offset+octet-stream").want(http.StatusRequestEntityTooLarge)
	u.tus("POST", "tus/", nil, "X-Gateway-Token", "no", "Upload-Length", "1", "Upload-Metadata", name).want(http.StatusForbidden)
	s.browser().send("POST", Prefix+"tus/", nil, "Accept", "*/*", "Tus-Resumable", "1.0.0").want(http.StatusUnauthorized)
	at := u.create("f", 3)
	for _, forged := range []string{at + "x", at[:len(at)-1], Prefix + "tus/x", Prefix + "tus/e30.AAAA"} {
		u.tus("HEAD", forged, nil).want(http.StatusNotFound)
		u.patch(forged, 0, "abc").want(http.StatusNotFound)
	}
	other := s.sender("bert")
	other.tus("HEAD", at, nil).want(http.StatusNotFound)
	other.tus("DELETE", at, nil).want(http.StatusNotFound)
	other.tus("POST", "tus/", nil, "Upload-Length", "1", "Upload-Metadata", meta("name", "f", "folder", "read")).want(http.StatusForbidden)
	u.tus("DELETE", at, nil).want(http.StatusNoContent)
	u.tus("HEAD", at, nil).want(http.StatusNotFound)
	u.patch(at, 0, "abc").want(http.StatusNotFound)
	if entries, err := os.ReadDir(filepath.Join(s.dir, "files", ".gateway-staging")); err == nil {
		for _, e := range entries {
			if !e.IsDir() && e.Name() != "locks" {
				t.Errorf("%s is left", e.Name())
			}
		}
	}
}

// Whoever leaves files in a drop box sees neither theirs nor those of others, and goes on with them all the same.
func TestTusDropBox(t *testing.T) {
	s := newSite(t)
	u := s.sender("bert")
	at := u.create("f", 6, "folder", "box")
	u.patch(at, 0, "abc").want(http.StatusNoContent)
	if u.offset(at) != "3" {
		t.Error("the offset is lost")
	}
	u.patch(at, 3, "def").want(http.StatusNoContent)
	if s.content("box/f") != "abcdef" {
		t.Errorf("it has %q", s.content("box/f"))
	}
	a := u.tus("POST", "tus/", strings.NewReader("z"), "Upload-Length", "1", "Upload-Metadata", meta("name", "f", "folder", "box", "replace", "1"), "Content-Type", "application/offset+octet-stream")
	a.want(http.StatusConflict)
	if s.content("box/f") != "abcdef" {
		t.Error("it was replaced")
	}
}

// Somebody may take the name while an upload is under way. It is kept, so that it can replace what is there.
func TestTusNameTaken(t *testing.T) {
	s := newSite(t)
	u := s.sender("anna")
	at := u.create("f", 3)
	s.put("f", "theirs")
	u.patch(at, 0, "abc").want(http.StatusConflict).has("with this name already")
	if s.content("f") != "theirs" {
		t.Fatal("it was replaced")
	}
	if u.offset(at) != "3" {
		t.Error("what was sent is lost")
	}
	u.patch(at, 3, "", "X-Gateway-Replace", "1").want(http.StatusNoContent)
	if s.content("f") != "abc" {
		t.Errorf("it has %q", s.content("f"))
	}
}

// slowBody sends some bytes and then waits.
type slowBody struct {
	first   string
	release chan struct{}
}

func (b *slowBody) Read(p []byte) (int, error) {
	if b.first != "" {
		n := copy(p, b.first)
		b.first = b.first[n:]
		return n, nil
	}
	<-b.release
	return 0, io.ErrUnexpectedEOF
}

// The connection breaks, or hangs, in the middle: what had come is there, and who asks next goes on, at once.
func TestTusGoesOn(t *testing.T) {
	s := newSite(t)
	u := s.sender("anna")
	for _, protocol := range []string{"HTTP/1.1", "HTTP/2"} {
		name := "f" + protocol[5:6]
		at := u.create(name, 1<<20)
		first := strings.Repeat("a", 700_000)
		body := &slowBody{first, make(chan struct{})}
		hung := make(chan struct{})
		client := s.in("anna")
		if protocol == "HTTP/1.1" {
			client.client.Transport = &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}
			defer client.client.CloseIdleConnections()
		}
		csrf := client.token()
		go func() {
			defer close(hung)
			r, err := http.NewRequest("PATCH", s.url+at, body)
			if err != nil {
				return
			}
			r.ContentLength = 1 << 20
			for k, v := range map[string]string{"Tus-Resumable": "1.0.0", "X-Gateway-Token": csrf, "Upload-Offset": "0", "Content-Type": "application/offset+octet-stream"} {
				r.Header.Set(k, v)
			}
			if res, err := client.client.Do(r); err == nil {
				res.Body.Close()
			}
		}()
		part := filepath.Join(s.dir, "files", ".gateway-staging")
		for n := int64(0); n < 500_000; { // it is on its way
			time.Sleep(10 * time.Millisecond)
			n = 0
			_ = filepath.Walk(part, func(_ string, info os.FileInfo, err error) error {
				if err == nil && !info.IsDir() {
					n += info.Size()
				}
				return nil
			})
		}
		began := time.Now()
		got, err := strconv.Atoi(u.offset(at))
		must(t, err)
		if took := time.Since(began); took > 20*time.Second {
			t.Errorf("%s: the hanging connection is waited for: %v", protocol, took)
		}
		if got < 500_000 || got > len(first) {
			t.Errorf("%s: %d bytes are there", protocol, got)
		}
		whole := first + strings.Repeat("b", 1<<20-len(first))
		u.patch(at, got, whole[got:]).want(http.StatusNoContent)
		if s.content(name) != whole {
			t.Errorf("%s: the file is another", protocol)
		}
		close(body.release)
		<-hung
	}
}

// The gateway is killed: another one over the same files and state goes on.
func TestTusOtherProcess(t *testing.T) {
	s := newSite(t)
	u := s.sender("anna")
	at := u.create("f", 6)
	u.patch(at, 0, "abc").want(http.StatusNoContent)
	s.stop()
	s.start()
	if u.offset(at) != "3" {
		t.Error("it is lost")
	}
	u.patch(at, 3, "def").want(http.StatusNoContent)
	if s.content("f") != "abcdef" {
		t.Errorf("it has %q", s.content("f"))
	}
	s.stop()
	s.start()
	u.tus("HEAD", at, nil).want(http.StatusNotFound)
}

// forgetful is a tree that keeps no upload.
type forgetful struct{ storage.FS }

func (f forgetful) Create(ctx context.Context, name string, o storage.CreateOptions) (storage.Upload, error) {
	u, err := f.FS.Create(ctx, name, o)
	return forgetfulUpload{u}, err
}

type forgetfulUpload struct{ storage.Upload }

func (forgetfulUpload) Checkpoint(context.Context) (storage.Token, error) {
	return "", errors.ErrUnsupported
}

// Where a storage keeps no uploads the script is told so, and sends a file in one piece.
func TestTusNotKept(t *testing.T) {
	var s *site
	s = newSite(t, func(c *Config) {
		c.Open = func(ctx context.Context, id auth.Identity) (storage.FS, error) {
			tree, err := s.view(ctx, id)
			return forgetful{tree}, err
		}
	})
	u := s.sender("anna")
	u.tus("POST", "tus/", nil, "Upload-Length", "10", "Upload-Metadata", meta("name", "f")).want(http.StatusNotImplemented)
	u.tus("POST", "tus/", strings.NewReader("whole"), "Upload-Length", "5", "Upload-Metadata", meta("name", "f"), "Content-Type", "application/offset+octet-stream").want(http.StatusCreated)
	if s.content("f") != "whole" {
		t.Errorf("it has %q", s.content("f"))
	}
}

func TestTusExpires(t *testing.T) {
	s := newSite(t, func(c *Config) { c.KeepUploads = time.Millisecond })
	u := s.sender("anna")
	at := u.create("f", 6)
	time.Sleep(10 * time.Millisecond)
	u.tus("HEAD", at, nil).want(http.StatusNotFound)
	u.patch(at, 0, "abcdef").want(http.StatusNotFound)
}

// The form does without script.
func TestUploadForm(t *testing.T) {
	s := newSite(t)
	b := s.in("anna")
	must(t, os.Mkdir(filepath.Join(s.dir, "files", "d"), 0o755))
	part := func(header, body string) string {
		return "--x\r\nContent-Disposition: form-data; " + header + "\r\n\r\n" + body + "\r\n"
	}
	token := part("name=token", b.token())
	send := func(body string) answer {
		t.Helper()
		return b.send("POST", Prefix+"upload/d", strings.NewReader(body), "Content-Type", "multipart/form-data; boundary=x")
	}
	a := send(token + part(`name=files; filename="one.txt"`, "1") + part(`name=files; filename="C:\x\two ü.txt"`, "2") + part(`name=other; filename=no`, "3") + "--x--\r\n")
	if to := a.want(http.StatusSeeOther).header.Get("Location"); to != "/d/?said=sent" {
		t.Errorf("to %s", to)
	}
	if s.content("d/one.txt") != "1" {
		t.Error("the first did not come")
	}
	send(part(`name=files; filename=f`, "1") + token + "--x--\r\n").want(http.StatusForbidden)
	send(token + "--x--\r\n").want(http.StatusBadRequest).has("Choose some first")
	send(token + part(`name=files; filename=""`, "") + "--x--\r\n").want(http.StatusBadRequest)
	send(token + part(`name=files; filename=".."`, "x") + "--x--\r\n").want(http.StatusBadRequest)
	send(token + strings.TrimSuffix(part(`name=files; filename=cut`, "it ends her"), "\r\n")).want(http.StatusBadRequest).has("broke off")
	for _, name := range []string{"f", "no", "cut"} {
		if _, err := os.Stat(filepath.Join(s.dir, "files", "d", name)); err == nil {
			t.Errorf("%s was stored", name)
		}
	}
	send(token + part(`name=files; filename="one.txt"`, "new") + "--x--\r\n").want(http.StatusSeeOther)
	if s.content("d/one.txt") != "new" {
		t.Error("a file is not replaced")
	}
	b.send("POST", Prefix+"upload/d", strings.NewReader("x"), "Content-Type", "text/plain").want(http.StatusBadRequest)
}

// A connection that breaks in the middle of a form leaves the old file.
func TestUploadFormBroken(t *testing.T) {
	s := newSite(t)
	s.put("f", "old")
	b := s.in("anna")
	token := b.token()
	at, err := url.Parse(s.url)
	must(t, err)
	u := b.client.Jar.Cookies(at)
	conn, err := tls.Dial("tcp", strings.TrimPrefix(s.url, "https://"), &tls.Config{InsecureSkipVerify: true})
	must(t, err)
	fmt.Fprintf(conn, "POST %supload/ HTTP/1.1\r\nHost: x\r\nCookie: %s=%s\r\nContent-Type: multipart/form-data; boundary=x\r\nContent-Length: 100000\r\n\r\n"+
		"--x\r\nContent-Disposition: form-data; name=token\r\n\r\n%s\r\n--x\r\nContent-Disposition: form-data; name=files; filename=f\r\n\r\nnew", Prefix, u[0].Name, u[0].Value, token)
	must(t, conn.NetConn().(*net.TCPConn).SetLinger(0))
	_ = conn.NetConn().Close()
	s.stop() // waits for the request
	if s.content("f") != "old" {
		t.Errorf("it has %q", s.content("f"))
	}
}
