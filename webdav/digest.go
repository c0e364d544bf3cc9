package webdav

import (
	"bytes"
	"context"
	"crypto/md5"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"hash"
	"hash/adler32"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"

	"gateway/storage"
)

// owncloud is the namespace of the properties of ownCloud and Nextcloud clients.
const owncloud = "http://owncloud.org/ns"

const (
	// maxHashed is the size in bytes of the largest file that is read for its digest
	// alone. That of a larger one is sent only where it is known from its upload.
	maxHashed = 1 << 30
	// maxHashing is how many files are read for their digests at once, of all requests.
	maxHashing = 2
	// maxSums is how many versions of files have their digests remembered.
	maxSums = 16 << 10
)

// algorithm is a digest algorithm. MD5, SHA-1 and Adler-32 find accidents only.
type algorithm struct {
	name string // in RFC 9530 section 7.2
	oc   string // in OC-Checksum; "" where it has none
	new  func() hash.Hash
}

// algorithms are those that are known, the preferred ones first.
func algorithms() []algorithm {
	return []algorithm{
		{"sha-256", "SHA256", sha256.New},
		{"sha-512", "", sha512.New},
		{"sha", "SHA1", sha1.New},
		{"md5", "MD5", md5.New},
		{"adler", "ADLER32", func() hash.Hash { return adler32.New() }},
	}
}

// sums are digests of one version of a file, by the name of the algorithm.
type sums map[string][]byte

// expected is what the headers of a PUT say of the bytes of the file.
type expected struct {
	claims []claim
	hashes map[string]hash.Hash // one for each algorithm that is named
}

type claim struct {
	header, algorithm string
	sum               []byte
}

// expectedDigests reads Repr-Digest and Content-Digest (RFC 9530), Content-MD5 (RFC 1864)
// and OC-Checksum (ownCloud: "SHA1:" and hex digits; several stand between blanks).
// Without a Content-Range, which put refuses, and a Content-Encoding the content is the
// file. Algorithms that are not known are passed over, as RFC 9530 section 5 has it; a
// header that cannot be read is refused, since what it asks for would not be done.
func (q *request) expectedDigests() (*expected, error) {
	e := &expected{hashes: map[string]hash.Hash{}}
	for _, header := range []string{"Repr-Digest", "Content-Digest"} {
		members, ok := parseDictionary(strings.Join(q.Header.Values(header), ","))
		if !ok {
			return nil, badDigest(header)
		}
		for _, m := range members {
			sum, ok := byteSequence(m.value)
			if !ok || !e.claim(header, func(a algorithm) bool { return a.name == m.key }, sum) {
				return nil, badDigest(header)
			}
		}
	}
	if s := q.Header.Get("Content-MD5"); s != "" {
		sum, err := base64.StdEncoding.DecodeString(s)
		if err != nil || !e.claim("Content-MD5", func(a algorithm) bool { return a.name == "md5" }, sum) {
			return nil, badDigest("Content-MD5")
		}
	}
	for _, s := range strings.Fields(q.Header.Get("OC-Checksum")) {
		name, digits, _ := strings.Cut(s, ":")
		sum, err := hex.DecodeString(digits)
		if err != nil || name == "" || !e.claim("OC-Checksum", func(a algorithm) bool { return strings.EqualFold(a.oc, name) }, sum) {
			return nil, badDigest("OC-Checksum")
		}
		// Whoever sends one compares by another later: rclone sends SHA-1 and asks for MD5.
		for _, a := range algorithms() {
			if (a.name == "sha" || a.name == "md5") && e.hashes[a.name] == nil {
				e.hashes[a.name] = a.new()
			}
		}
	}
	return e, nil
}

func badDigest(header string) error {
	return refuse(http.StatusBadRequest, "the "+header+" header cannot be read; nothing was stored")
}

// claim notes what the file must hash to by the first algorithm that is meant; false
// where the digest has a length that this algorithm's cannot have.
func (e *expected) claim(header string, meant func(algorithm) bool, sum []byte) bool {
	for _, a := range algorithms() {
		if !meant(a) {
			continue
		}
		h := e.hashes[a.name]
		if h == nil {
			h = a.new()
			e.hashes[a.name] = h
		}
		e.claims = append(e.claims, claim{header, a.name, sum})
		return len(sum) == h.Size()
	}
	return true
}

// Write implements io.Writer: the next bytes of the file.
func (e *expected) Write(p []byte) (int, error) {
	for _, h := range e.hashes {
		h.Write(p)
	}
	return len(p), nil
}

// check compares, and returns the digests that were computed.
func (e *expected) check() (sums, error) {
	got := sums{}
	for name, h := range e.hashes {
		got[name] = h.Sum(nil)
	}
	for _, c := range e.claims {
		if !bytes.Equal(got[c.algorithm], c.sum) {
			return nil, refuse(http.StatusBadRequest, "the bytes do not match "+c.header+" ("+c.algorithm+"); nothing was stored")
		}
	}
	return got, nil
}

// member is one of a dictionary of structured fields (RFC 9651 section 3.2).
type member struct{ key, value string }

// parseDictionary reads what RFC 9530 puts into a dictionary: members whose values are
// integers or byte sequences. Parameters are passed over.
func parseDictionary(s string) ([]member, bool) {
	var members []member
	for part := range strings.SplitSeq(s, ",") {
		part, _, _ = strings.Cut(part, ";")
		part = strings.Trim(part, " \t")
		if part == "" {
			continue // of several fields one may be empty
		}
		key, value, ok := strings.Cut(part, "=")
		if !ok || key == "" || value == "" || strings.Trim(key, "abcdefghijklmnopqrstuvwxyz0123456789_-.*") != "" {
			return nil, false
		}
		members = append(members, member{key, value})
	}
	return members, true
}

// byteSequence reads the form ":BASE64:" (RFC 9651 section 3.3.5).
func byteSequence(s string) ([]byte, bool) {
	if len(s) < 2 || s[0] != ':' || s[len(s)-1] != ':' {
		return nil, false
	}
	sum, err := base64.StdEncoding.DecodeString(s[1 : len(s)-1])
	return sum, err == nil
}

// wantedDigest is the algorithm that a Want-Repr-Digest header prefers among those
// known (RFC 9530 section 4). It is a wish: one that cannot be read is none.
func wantedDigest(header http.Header) (best algorithm, ok bool) {
	members, ok := parseDictionary(strings.Join(header.Values("Want-Repr-Digest"), ","))
	if !ok || len(members) == 0 {
		return best, false
	}
	weights := map[string]int{}
	for _, m := range members {
		if n, err := strconv.Atoi(m.value); err == nil && n <= 10 {
			weights[m.key] = n
		}
	}
	most := 0
	for _, a := range algorithms() {
		if weights[a.name] > most {
			best, most = a, weights[a.name]
		}
	}
	return best, most > 0
}

// offerDigest sends the digest of the whole file where the client wants it.
func (q *request) offerDigest(ctx context.Context, f storage.File) error {
	a, ok := wantedDigest(q.Header)
	if !ok {
		return nil
	}
	sum, err := q.h.sums.sum(ctx, q.version(q.name, f.Info()), a, f)
	if len(sum) > 0 {
		q.w.Header().Set("Repr-Digest", a.name+"=:"+base64.StdEncoding.EncodeToString(sum)+":")
	}
	return err
}

// checksums is the content of the property oc:checksums: what is known from the upload.
// No file is opened for it.
func (q *request) checksums(name string, info storage.Info) (value string, ok bool) {
	known := q.h.sums.known(q.version(name, info))
	var list []string
	for _, a := range algorithms() {
		if sum := known[a.name]; a.oc != "" && sum != nil {
			list = append(list, a.oc+":"+hex.EncodeToString(sum))
		}
	}
	return `<checksum xmlns="` + owncloud + `">` + strings.Join(list, " ") + "</checksum>", len(list) > 0
}

// version names one version of the bytes of a file, for all users who see it. It is a hash, since
// names can be long; the zero value is of a file without an entity tag, which has no versions.
type version [sha256.Size]byte

func (q *request) version(name string, info storage.Info) version {
	if info.ETag == "" {
		return version{}
	}
	return sha256.Sum256([]byte(q.lockKey(name) + "\x00" + info.ETag))
}

// sumCache remembers digests for as long as the process runs.
type sumCache struct {
	hashing chan struct{} // holds a token for each file that is read

	mu      sync.Mutex
	entries map[version]sums
}

func newSumCache() *sumCache {
	return &sumCache{hashing: make(chan struct{}, maxHashing), entries: make(map[version]sums)}
}

// known are the digests that need not be computed.
func (c *sumCache) known(v version) sums {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.entries[v] // never changed, but replaced
}

func (c *sumCache) add(v version, more sums) {
	if v == (version{}) || len(more) == 0 {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	all := sums{}
	for _, from := range []sums{c.entries[v], more} {
		for name, sum := range from {
			all[name] = sum
		}
	}
	for old := range c.entries { // any one has to go
		if len(c.entries) < maxSums {
			break
		}
		delete(c.entries, old)
	}
	c.entries[v] = all
}

// sum is the digest of an open file; nil where it would take too long.
func (c *sumCache) sum(ctx context.Context, v version, a algorithm, f storage.File) ([]byte, error) {
	if sum := c.known(v)[a.name]; sum != nil {
		return sum, nil
	}
	if f.Info().Size > maxHashed {
		return nil, nil
	}
	select {
	case c.hashing <- struct{}{}:
		defer func() { <-c.hashing }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	if sum := c.known(v)[a.name]; sum != nil { // from whom was waited for
		return sum, nil
	}
	h := a.new()
	n, err := io.CopyBuffer(h, io.LimitReader(storage.Reader(ctx, f), f.Info().Size), make([]byte, uploadBuffer))
	if err == nil && n != f.Info().Size {
		err = io.ErrUnexpectedEOF
	}
	if err != nil {
		return nil, fmt.Errorf("read a file for its digest: %w", err)
	}
	sum := h.Sum(nil)
	c.add(v, sums{a.name: sum})
	return sum, nil
}
