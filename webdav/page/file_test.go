package page

import (
	"archive/zip"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"gateway/auth"
	"gateway/storage"
)

const (
	png  = "\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR"
	jpeg = "\xff\xd8\xff\xe0\x00\x10JFIF"
	svg  = `<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>`
)

// What is in a file decides how it is shown, and it never acts.
func TestPreview(t *testing.T) {
	s := newSite(t)
	for name, want := range map[string]struct{ content, shows, picture string }{
		"text.txt":    {"one <b>two</b>\n", "one &lt;b&gt;two", ""},
		"page.html":   {"<script>alert(1)</script>", "&lt;script&gt;alert(1)", ""},
		"code.bin":    {"plain all the same", "plain all the same", ""},
		"latin.txt":   {"gr\xfc\xdfe", "grüße", ""},
		"bom.txt":     {"\xef\xbb\xbfbom", ">bom</pre>", ""},
		"vector.svg":  {svg, "&lt;svg", ""},
		"binary":      {"a\x00b", "There is no preview", ""},
		"empty":       {"", "There is no preview", ""},
		"p.png":       {png, `<img src="/.gateway/picture/p.png"`, "image/png"},
		"p.html":      {jpeg, `<img src="/.gateway/picture/p.html"`, "image/jpeg"},
		"no.png":      {svg, "&lt;svg", ""},
		"long.txt":    {strings.Repeat("é", maxText), "This is the beginning", ""},
		"control.txt": {"a\x1b[2Jb\x07", "There is no preview", ""},
	} {
		s.put(name, want.content)
		b := s.in("anna")
		a := b.get(Prefix+"file/"+name).want(http.StatusOK).has(want.shows, fmt.Sprintf("%x", sha256.Sum256([]byte(want.content)))).
			hasNot("<script>alert", "<svg xmlns", "\ufffd")
		if !strings.Contains(a.header.Get("Content-Security-Policy"), "default-src 'none'; script-src 'self'") {
			t.Errorf("%s: %v", name, a.header)
		}
		p := b.get(Prefix + "picture/" + name)
		if want.picture == "" {
			p.want(http.StatusUnsupportedMediaType)
			continue
		}
		p.want(http.StatusOK)
		if p.header.Get("Content-Type") != want.picture || p.body != want.content {
			t.Errorf("%s: %v", name, p.header)
		}
		wantInert(t, p)
	}
}

// wantInert fails where what is served could act as a page.
func wantInert(t *testing.T, a answer) {
	t.Helper()
	if csp := a.header.Get("Content-Security-Policy"); !strings.HasPrefix(csp, "sandbox; default-src 'none'") || a.header.Get("X-Content-Type-Options") != "nosniff" {
		t.Errorf("%s could act: %v", a.what, a.header)
	}
}

func TestDownload(t *testing.T) {
	s := newSite(t)
	s.put("d/größe \"1\".html", "<script>0123456789</script>")
	b := s.in("anna")
	path := Prefix + "download/d/gr%C3%B6%C3%9Fe%20%221%22.html"
	a := b.get(path).want(http.StatusOK)
	wantInert(t, a)
	if got := a.header.Get("Content-Disposition"); got != "attachment; filename*=utf-8''gr%C3%B6%C3%9Fe%20%221%22.html" {
		t.Errorf("disposition %q", got)
	}
	if a.header.Get("Content-Type") != "application/octet-stream" || !strings.HasPrefix(a.body, "<script>") {
		t.Errorf("%v %q", a.header, a.body)
	}
	if part := b.get(path, "Range", "bytes=8-11").want(http.StatusPartialContent); part.body != "0123" {
		t.Errorf("a part is %q", part.body)
	}
	b.get(path, "If-None-Match", a.header.Get("ETag")).want(http.StatusNotModified)
	if head := b.send("HEAD", path, nil).want(http.StatusOK); head.header.Get("Content-Length") != "27" {
		t.Errorf("%v", head.header)
	}
	if to := b.get(Prefix + "download/d").want(http.StatusSeeOther).header.Get("Location"); to != "/d/" {
		t.Errorf("a folder leads to %s", to)
	}
}

// watch notes what is read through a tree.
type watch struct{ read *[]string }

func (watch) Began(context.Context, *storage.Transfer) {}
func (w watch) Ended(_ context.Context, e storage.Event) {
	*w.read = append(*w.read, fmt.Sprint(e.Verb, " ", e.Name, " ", e.Origin.Protocol, " ", e.Origin.Session != ""))
}

// What the page reads for itself, to show a digest or to see what a file is, nobody has downloaded.
func TestObserved(t *testing.T) {
	var s *site
	var read []string
	s = newSite(t, func(c *Config) {
		c.Open = func(ctx context.Context, id auth.Identity) (storage.FS, error) {
			tree, err := s.view(ctx, id)
			return storage.Observe(tree.(*storage.View), watch{&read}), err
		}
	})
	s.put("binary", "a\x00b")
	s.put("text", "a text")
	s.put("p.png", png)
	b := s.in("anna")
	for path, want := range map[string]string{
		"/": "", Prefix + "file/binary": "", Prefix + "file/p.png": "", Prefix + "picture/p.png": "download p.png page true",
		Prefix + "file/text": "download text page true", Prefix + "download/binary": "download binary page true", Prefix + "zip/": "download",
	} {
		read = nil
		b.get(path).want(http.StatusOK)
		if got := strings.Join(read, ", "); (got == "") != (want == "") || !strings.HasPrefix(got, want) {
			t.Errorf("%s: %q was told, want %q", path, got, want)
		}
	}
}

func unzip(t *testing.T, data string) map[string]string {
	t.Helper()
	z, err := zip.NewReader(strings.NewReader(data), int64(len(data)))
	must(t, err)
	got := map[string]string{}
	for _, f := range z.File {
		r, err := f.Open()
		must(t, err)
		content, err := io.ReadAll(r)
		must(t, err)
		if _, twice := got[f.Name]; twice {
			t.Errorf("%q twice", f.Name)
		}
		got[f.Name] = string(content)
	}
	return got
}

func TestZip(t *testing.T) {
	s := newSite(t)
	s.put("top/a.txt", strings.Repeat("a", 1<<20))
	s.put("top/sub/ü.txt", "u")
	s.put(`top/..\..\evil.exe`, "e")
	s.put("top/CON.txt", "c")
	s.put("top/a:b", "1")
	s.put("top/a?b", "2")
	a := s.in("anna").get(Prefix + "zip/top").want(http.StatusOK)
	if a.header.Get("Content-Disposition") != "attachment; filename=top.zip" {
		t.Errorf("%v", a.header)
	}
	wantInert(t, a)
	got := unzip(t, a.body)
	if got["top/a.txt"] != strings.Repeat("a", 1<<20) || got["top/sub/ü.txt"] != "u" || len(got) != 8 {
		t.Errorf("it has %d: %.500v", len(got), got)
	}
	for name := range got {
		if strings.ContainsAny(name, `\:?*`) || strings.Contains(name, "/CON.") {
			t.Errorf("the name %q is not safe", name)
		}
	}
	s.put("box/secret", "x")
	s.put("read/f", "y")
	got = unzip(t, s.in("bert").get(Prefix+"zip/").want(http.StatusOK).body)
	if got["files/read/f"] != "y" || got["files/box/secret"] != "" || !strings.Contains(got["NOT-IN-THIS-ARCHIVE.txt"], "files/box/: You may not do this here.") {
		t.Errorf("it has %v", got)
	}
}

// The directory of an archive is kept in memory until its end, so that it has an end.
func TestZipIsBounded(t *testing.T) {
	s := newSite(t)
	s.page.zipped = 5
	for i := range 4 {
		s.put(fmt.Sprintf("top/%d/f", i), "x")
	}
	s.put("just/1/f", "x")
	s.put("just/2/f", "x")
	b := s.in("anna")
	got := unzip(t, b.get(Prefix+"zip/top").want(http.StatusOK).body)
	note := got["NOT-IN-THIS-ARCHIVE.txt"]
	if len(got) != 5+1 || !strings.HasPrefix(note, "top/") || !strings.Contains(note, "no more files and folders") {
		t.Errorf("it has %v", got)
	}
	if got := unzip(t, b.get(Prefix+"zip/just").want(http.StatusOK).body); len(got) != 5 || got["NOT-IN-THIS-ARCHIVE.txt"] != "" {
		t.Errorf("as many as there can be: %v", got)
	}
}

func TestSafeElement(t *testing.T) {
	for name, keeps := range map[string]bool{
		"a.txt": true, "ü 日本": true, ".hidden": true, "a b (1).tar.gz": true, "CONSOLE": true, "com10": true,
		"con": false, "NUL.txt": false, "Com1": false, "lpt9.x": false, "a.": false, "a ": false, "...": false, `a\b`: false, "a:b": false, `"`: false,
	} {
		if got := safeElement(name); (got == name) != keeps || got == "" || strings.HasSuffix(got, ".") {
			t.Errorf("safeElement(%q) = %q", name, got)
		}
	}
	if safeElement("a:b") == safeElement("a?b") || safeElement("con") == safeElement("CON") {
		t.Error("two names became one")
	}
}

// fakeTree has as many files as one wants, and fails when it is told to.
type fakeTree struct {
	storage.FS
	files int
	read  error
}

func (f fakeTree) Stat(_ context.Context, name string) (storage.Info, error) {
	return storage.Info{Name: name, Mode: fs.ModeDir}, nil
}

func (f fakeTree) List(context.Context, string) iter.Seq2[storage.Info, error] {
	return func(yield func(storage.Info, error) bool) {
		for i := range f.files {
			if !yield(storage.Info{Name: fmt.Sprint(i), Size: 3}, nil) {
				return
			}
		}
	}
}

func (f fakeTree) Open(_ context.Context, name string) (storage.File, error) {
	return fakeFile{f, name}, nil
}

type fakeFile struct {
	tree fakeTree
	name string
}

func (f fakeFile) Info() storage.Info { return storage.Info{Name: f.name, Size: 3} }
func (fakeFile) Close() error         { return nil }
func (f fakeFile) ReadAt(p []byte, off int64) (int, error) {
	if f.tree.read != nil && f.name == "2" {
		return 0, f.tree.read
	}
	return bytes.NewReader([]byte("abc")).ReadAt(p, off)
}

func withTree(tree storage.FS) func(*Config) {
	return func(c *Config) {
		c.Open = func(context.Context, auth.Identity) (storage.FS, error) { return tree, nil }
	}
}

// More than 65,535 files need Zip64.
func TestZipMany(t *testing.T) {
	s := newSite(t, withTree(fakeTree{files: 1<<16 + 10}))
	a := s.in("anna").get(Prefix + "zip/").want(http.StatusOK)
	z, err := zip.NewReader(strings.NewReader(a.body), int64(len(a.body)))
	must(t, err)
	if len(z.File) != 1<<16+11 {
		t.Errorf("%d files", len(z.File))
	}
}

// An archive of which a file cannot be read must not look whole.
func TestZipBroken(t *testing.T) {
	s := newSite(t, withTree(fakeTree{files: 10, read: errors.New("the disk is on fire")}))
	a, err := s.in("anna").try("GET", Prefix+"zip/", nil)
	if err == nil {
		t.Errorf("it ends well, with %d bytes", len(a.body))
	}
	if !strings.Contains(s.log.String(), "the disk is on fire") {
		t.Error("the log does not say why")
	}
}

func TestZipsAtOnce(t *testing.T) {
	s := newSite(t)
	for range maxZips {
		s.page.zips <- struct{}{}
	}
	b := s.in("anna")
	b.get(Prefix + "zip/").want(http.StatusServiceUnavailable)
	<-s.page.zips
	b.get(Prefix + "zip/").want(http.StatusOK)
}

// known is a Catalogue.
type known map[string]*Published

func (k known) Any(_ context.Context, key, folder string) (bool, error) {
	for name := range k {
		if strings.HasPrefix(name, key+":"+folder) {
			return true, nil
		}
	}
	return false, nil
}

func (k known) Published(_ context.Context, key, name string) (*Published, error) {
	return k[key+":"+name], nil
}

// A verdict is shown only of the bytes that were judged.
func TestVerdicts(t *testing.T) {
	catalogue := known{}
	for name, verdict := range map[string]string{"a": "authentic", "i": "intact", "u": "unverified", "changed": "authentic", "big": "authentic"} {
		content := "content of " + name
		if name == "big" {
			content = strings.Repeat("x", judgeSize+1)
		}
		sum := sha256.Sum256([]byte(content))
		catalogue["default:in/"+name] = &Published{
			Source: "ftp://host/pub/" + name, Verdict: verdict, Does: "it does", Not: "it does not", Reason: "SHA256SUMS lists it",
			Size: int64(len(content)), SHA256: sum[:], At: time.Date(2026, 11, 22, 0, 0, 0, 0, time.UTC),
		}
	}
	s := newSite(t, func(c *Config) { c.Catalogue = catalogue })
	for _, name := range []string{"a", "i", "u"} {
		s.put("in/"+name, "content of "+name)
	}
	s.put("in/changed", "content oF changed") // of the same length
	s.put("in/own", "uploaded")
	s.put("in/big", strings.Repeat("x", judgeSize+1))
	s.put("other/a", "content of a")
	b := s.in("anna")
	row := func(a answer, name string) string {
		t.Helper()
		for line := range strings.Lines(a.body) {
			if strings.Contains(line, "<span>"+name+"</span>") {
				return line
			}
		}
		t.Fatalf("no row of %s", name)
		return ""
	}
	a := b.get("/in/").want(http.StatusOK)
	for name, want := range map[string]string{"a": "badge authentic", "i": "badge intact", "u": "badge unverified", "changed": "", "own": "", "big": "see details"} {
		line := row(a, name)
		if want == "" && strings.Contains(line, "badge") || !strings.Contains(line, want) {
			t.Errorf("%s: want %q in %s", name, want, line)
		}
	}
	b.get("/other/").hasNot("badge authentic")
	b.get(Prefix+"file/in/a").has("badge authentic", "ftp://host/pub/a", "<strong>This proves</strong> that it does.", "<strong>It does not prove</strong> it does not.", "SHA256SUMS lists it")
	b.get(Prefix + "file/in/changed").has("changed since: nothing is proved").hasNot("badge authentic")
	b.get(Prefix + "file/in/own").has("nothing vouches for it").hasNot("badge")
	b.get(Prefix + "file/in/big").has("badge authentic") // it is read here
	if line := row(b.get("/in/"), "big"); !strings.Contains(line, "badge authentic") {
		t.Errorf("what is known of big is forgotten: %s", line)
	}
	s.put("in/a", "content OF a")
	if line := row(b.get("/in/"), "a"); strings.Contains(line, "badge") {
		t.Errorf("after a change: %s", line)
	}
}

func TestDigestOfLargeFiles(t *testing.T) {
	s := newSite(t)
	content := strings.Repeat("0123456789abcdef", (maxHashed>>4)+1)
	s.put("large", content)
	sum := sha256.Sum256([]byte(content))
	b := s.in("anna")
	b.get(Prefix + "file/large").want(http.StatusOK).has("Compute it").hasNot(hex.EncodeToString(sum[:]))
	b.get(Prefix + "file/large?digest=1").want(http.StatusOK).has(hex.EncodeToString(sum[:]))
	b.get(Prefix + "file/large").has(hex.EncodeToString(sum[:]))
}

func TestChanges(t *testing.T) {
	s := newSite(t)
	s.put("d/f", "x")
	s.put("d/g", "y")
	b := s.in("anna")
	if to := b.do(Prefix+"mkdir/d", "name", "new folder").want(http.StatusSeeOther).header.Get("Location"); to != "/d/new%20folder/?said=made" {
		t.Errorf("to %s", to)
	}
	b.get("/d/new%20folder/?said=made").want(http.StatusOK).has("The folder is made.")
	b.get("/d/?said=%3Cb%3E").want(http.StatusOK).hasNot("<b>", `role="status">`+"<svg")
	b.do(Prefix+"mkdir/d", "name", "new folder").want(http.StatusConflict).has("with this name already")
	for _, bad := range []string{"", " ", "a/b", "..", "a\x00", ".gateway", ".gateway-staging", strings.Repeat("x", 300)} {
		b.do(Prefix+"mkdir/d", "name", bad).want(http.StatusBadRequest)
		b.do(Prefix+"rename/d/f", "name", bad).want(http.StatusBadRequest).has(`role="alert"`, "Rename")
	}
	b.do(Prefix+"rename/d/f", "name", "g").want(http.StatusConflict).has("with this name already", "Rename")
	if to := b.do(Prefix+"rename/d/f", "name", "h?").want(http.StatusSeeOther).header.Get("Location"); to != Prefix+"file/d/h%3F?said=renamed" {
		t.Errorf("to %s", to)
	}
	if s.content("d/h?") != "x" || s.content("d/g") != "y" {
		t.Error("the rename went wrong")
	}
	b.do(Prefix+"rename/d/nothing", "name", "z").want(http.StatusNotFound)
	b.get(Prefix+"delete/d").want(http.StatusOK).has("Delete “d”?", "2 files", "cannot be undone")
	b.get(Prefix + "delete/d/g").want(http.StatusOK).has("Delete “g”?")
	if s.content("d/g") != "y" {
		t.Fatal("the question deleted it")
	}
	b.do(Prefix + "delete/d/g").want(http.StatusSeeOther)
	b.do(Prefix + "delete/d/g").want(http.StatusNotFound)
	if to := b.do(Prefix + "delete/d").want(http.StatusSeeOther).header.Get("Location"); to != "/?said=deleted" {
		t.Errorf("to %s", to)
	}
	b.get("/d/").want(http.StatusNotFound)
	for _, line := range []string{"page: deleted", "page: renamed", "page: folder made"} {
		if !strings.Contains(s.log.String(), line) {
			t.Errorf("the log lacks %q", line)
		}
	}
}

func TestAsText(t *testing.T) {
	if _, ok := asText([]byte("cut \xe2\x82"), true); !ok {
		t.Error("a character that is cut through makes it no text")
	}
	if text, _ := asText([]byte("whole \xe2\x82"), false); !slices.Equal([]byte(text), []byte("whole â‚")) {
		t.Errorf("it is %q", text)
	}
}
