package webdav

import (
	"context"
	"crypto/md5"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"hash/adler32"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"gateway/storage"
)

// withDigests puts the digests of content in place of their names in text, in base64 for
// small letters and in hexadecimal digits for large ones.
func withDigests(text, content string) string {
	b64 := base64.StdEncoding.EncodeToString
	s256, s512, s1, m5 := sha256.Sum256([]byte(content)), sha512.Sum512([]byte(content)), sha1.Sum([]byte(content)), md5.Sum([]byte(content))
	adler := adler32.Checksum([]byte(content))
	return strings.NewReplacer(
		"$sha256", b64(s256[:]), "$sha512", b64(s512[:]), "$sha1", b64(s1[:]), "$md5", b64(m5[:]),
		"$SHA1", hex.EncodeToString(s1[:]), "$MD5", hex.EncodeToString(m5[:]), "$ADLER", fmt.Sprintf("%08x", adler),
		"$SHA256", hex.EncodeToString(s256[:])).Replace(text)
}

// TestPutDigests: a file that is not what its header says is not published.
func TestPutDigests(t *testing.T) {
	s := start(t)
	s.put(map[string]string{"f": "old"})
	for _, header := range []string{
		"Repr-Digest: sha-256=:$sha256:",
		"Repr-Digest: sha-512=:$sha512:, sha-256=:$sha256:;why=not",
		"Repr-Digest: sha=:$sha1:",
		"Repr-Digest: md5=:$md5:",
		"Content-Digest: sha-256=:$sha256:",
		"Repr-Digest: crc32c=:AAAA:, sha-256=:$sha256:",
		"Content-MD5: $md5",
		"OC-Checksum: SHA1:$SHA1",
		"OC-Checksum: sha1:$SHA1 MD5:$MD5",
		"OC-Checksum: ADLER32:$ADLER",
		"OC-Checksum: SHA256:$SHA256",
	} {
		right := withDigests(header, "new")
		if a := s.send(step{method: "PUT", path: "/f", header: right, body: "new"}); a.status != 204 {
			t.Errorf("%s: %d %s", right, a.status, a.body)
		}
		s.put(map[string]string{"f": "old"})
		a := s.send(step{method: "PUT", path: "/f", header: right, body: "other"})
		name, _, _ := strings.Cut(header, ":")
		if a.status != 400 || !strings.Contains(a.body, name) || !strings.Contains(a.body, "nothing was stored") {
			t.Errorf("%s: %d %s", right, a.status, a.body)
		}
		s.wantFiles(map[string]string{"f": "old"})
	}
	for _, header := range []string{
		"Repr-Digest: sha-256=:AAAA:", "Repr-Digest: sha-256", "Repr-Digest: sha-256=abc", "Repr-Digest: sha-256=:%%%:", "Repr-Digest: =",
		"Repr-Digest: SHA-256=:AAAA:", "Content-Digest: sha-256=1", "Content-MD5: x", "Content-MD5: AAAA",
		"OC-Checksum: SHA1", "OC-Checksum: SHA1:zz", "OC-Checksum: :" + strings.Repeat("0", 128), "OC-Checksum: MD5:00", "OC-Checksum: SHA1:00",
	} {
		a := s.send(step{method: "PUT", path: "/f", header: header, body: "new"})
		if a.status != 400 || !strings.Contains(a.body, "cannot be read") {
			t.Errorf("%s: %d %s", header, a.status, a.body)
		}
	}
	s.wantFiles(map[string]string{"f": "old"})
	s.run(step{method: "PUT", path: "/f", header: "OC-Checksum: SHA3-256:00", body: "who knows", want: 204})
}

// opens counts the bytes that are read of files.
type opens struct {
	storage.FS
	n *atomic.Int64
}

func (o opens) Open(ctx context.Context, name string) (storage.File, error) {
	f, err := o.FS.Open(ctx, name)
	return countedReads{f, o.n}, err
}

type countedReads struct {
	storage.File
	n *atomic.Int64
}

func (c countedReads) ReadAt(p []byte, off int64) (int, error) {
	n, err := c.File.ReadAt(p, off)
	c.n.Add(int64(n))
	return n, err
}

func TestWantReprDigest(t *testing.T) {
	var read atomic.Int64
	s := startWith(t, settings{wrap: func(f storage.FS) storage.FS { return opens{f, &read} }})
	s.put(map[string]string{"f": "0123456789"})
	sum := func(content string) string {
		b := sha256.Sum256([]byte(content))
		return "sha-256=:" + base64.StdEncoding.EncodeToString(b[:]) + ":"
	}
	for _, tt := range []struct{ method, header, want string }{
		{"GET", "", ""},
		{"GET", "Want-Repr-Digest: sha-256=10", sum("0123456789")},
		{"HEAD", "Want-Repr-Digest: sha-256=1, md5=0", sum("0123456789")},
		{"GET", "Want-Repr-Digest: md5=3, sha-256=3", sum("0123456789")},
		{"GET", "Want-Repr-Digest: sha-256=3\nRange: bytes=2-4", sum("0123456789")},
		{"HEAD", "Want-Repr-Digest: md5=4, sha-256=3", "md5=:eB5eJF1ptWaXm4bijSPyxw==:"},
		{"GET", "Want-Repr-Digest: sha-256=0", ""},
		{"GET", "Want-Repr-Digest: sha-256", ""},
		{"GET", "Want-Repr-Digest: sha-256=11", ""},
		{"GET", "Want-Repr-Digest: tiger=10", ""},
	} {
		a := s.send(step{method: tt.method, path: "/f", header: tt.header})
		if got := a.header.Get("Repr-Digest"); got != tt.want || a.status >= 300 {
			t.Errorf("%s %q: %d %q, want %q", tt.method, tt.header, a.status, got, tt.want)
		}
	}
	// It is computed once for each version, and not at all where the upload told.
	before := read.Load()
	head := step{method: "HEAD", path: "/f", header: "Want-Repr-Digest: sha-256=1"}
	s.send(head)
	s.run(step{method: "PUT", path: "/f", header: "Repr-Digest: " + sum("new"), body: "new", want: 204})
	if a := s.send(head); a.header.Get("Repr-Digest") != sum("new") {
		t.Error(a.header)
	}
	if n := read.Load() - before; n != 0 {
		t.Errorf("%d bytes were read", n)
	}
	s.run(step{method: "PUT", path: "/f", body: "newer", want: 204})
	if a := s.send(head); a.header.Get("Repr-Digest") != sum("newer") {
		t.Error(a.header)
	}
}

// TestDigestIsBounded: what is too large to be read for a wish is sent without it.
func TestDigestIsBounded(t *testing.T) {
	c := newSumCache()
	f := fakeFile{size: maxHashed + 1}
	if sum, err := c.sum(t.Context(), version{1}, algorithms()[0], f); sum != nil || err != nil {
		t.Error(sum, err)
	}
	c.hashing <- struct{}{}
	c.hashing <- struct{}{}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if sum, err := c.sum(ctx, version{1}, algorithms()[0], fakeFile{}); sum != nil || err == nil {
		t.Error(sum, err)
	}
	for i := range maxSums + 10 {
		c.add(sha256.Sum256([]byte(fmt.Sprint(i))), sums{"md5": nil})
	}
	if len(c.entries) > maxSums {
		t.Errorf("%d entries", len(c.entries))
	}
}

type fakeFile struct {
	storage.File
	size int64
}

func (f fakeFile) Info() storage.Info { return storage.Info{Size: f.size} }

// TestOwncloudChecksums: a client reads back what it sent, and nothing that is no longer true.
func TestOwncloudChecksums(t *testing.T) {
	s := start(t)
	list := step{method: "PROPFIND", path: "/f", header: "Depth: 0",
		body: `<d:propfind xmlns:d="DAV:" xmlns:oc="http://owncloud.org/ns"><d:prop><oc:checksums/></d:prop></d:propfind>`}
	s.run(step{method: "PUT", path: "/f", header: withDigests("OC-Checksum: SHA1:$SHA1", "new"), body: "new", want: 201})
	want := withDigests(">SHA1:$SHA1 MD5:$MD5</checksum>", "new")
	if a := s.send(list); !strings.Contains(a.body, want) || !strings.Contains(a.body, "200 OK") {
		t.Errorf("no %s in %s", want, a.body)
	}
	list.user = "bob" // sees the same file
	if a := s.send(list); !strings.Contains(a.body, want) {
		t.Errorf("no %s in %s", want, a.body)
	}
	s.run(step{method: "PUT", path: "/f", body: "newer", want: 204})
	if a := s.send(list); strings.Contains(a.body, "SHA1") || !strings.Contains(a.body, "404 Not Found") {
		t.Error(a.body)
	}
}

func FuzzDigests(f *testing.F) {
	f.Add("sha-256=:AAAA:, md5=:aGk=:;a=b", "SHA1:00 MD5:11", "sha-256=10, md5=0")
	f.Add("=,;:", ":", "a=-1")
	f.Fuzz(func(t *testing.T, repr, oc, want string) {
		q := &request{Request: &http.Request{Header: http.Header{"Repr-Digest": {repr}, "Oc-Checksum": {oc}, "Want-Repr-Digest": {want}}}}
		if e, err := q.expectedDigests(); err == nil {
			for _, c := range e.claims {
				if h := e.hashes[c.algorithm]; h == nil || h.Size() != len(c.sum) {
					t.Errorf("%q %q: a claim of %d bytes for %s", repr, oc, len(c.sum), c.algorithm)
				}
			}
		}
		if a, ok := wantedDigest(q.Header); ok != (a.new != nil) {
			t.Errorf("%q: %v %q", want, ok, a.name)
		}
	})
}
