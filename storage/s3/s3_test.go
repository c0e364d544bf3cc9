package s3

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"math/rand/v2"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/minio/minio-go/v7"

	"gateway/storage"
	"gateway/storage/storagetest"
	"gateway/tests/servers"
)

// TestMain takes out the pause that the library makes after a failure, which is not one of ours.
func TestMain(m *testing.M) {
	minio.DefaultRetryUnit = time.Microsecond
	os.Exit(m.Run())
}

// serverKind is the store that the tests run against: versitygw, or what GATEWAY_S3_SERVER says.
func serverKind() servers.S3Kind {
	if k := os.Getenv("GATEWAY_S3_SERVER"); k != "" {
		return servers.S3Kind(k)
	}
	return servers.VersityGW
}

// options are those of a new bucket of the server.
func options(s *servers.S3, versioned bool) Options {
	return Options{
		Endpoint: s.Addr, Bucket: s.Bucket(versioned), Prefix: "the folder", Region: s.Region,
		AccessKey: s.AccessKey, SecretKey: s.SecretKey, RootCAs: s.RootCAs, retryPause: time.Millisecond,
	}
}

// small are options with the smallest parts, and memory for two of them.
func small(s *servers.S3) Options {
	o := options(s, false)
	o.PartSize, o.Memory = MinPartSize, 2*MinPartSize
	return o
}

// openStore opens a store until the end of the test.
func openStore(t testing.TB, o Options) *Store {
	t.Helper()
	s, err := Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// recorder counts the requests that a store makes, and can change what becomes of them.
type recorder struct {
	base http.RoundTripper
	// intercept, if set, is called with the number of a request, from 1 on, in place of base.
	intercept func(n int, r *http.Request) (*http.Response, error)

	mu    sync.Mutex
	calls []string // method and query of each
	sent  int64    // bytes of bodies
}

func (c *recorder) RoundTrip(r *http.Request) (*http.Response, error) {
	c.mu.Lock()
	c.calls = append(c.calls, r.Method+" "+r.URL.Path+"?"+r.URL.RawQuery)
	n := len(c.calls)
	c.sent += max(0, r.ContentLength)
	c.mu.Unlock()
	if c.intercept != nil {
		return c.intercept(n, r)
	}
	return c.base.RoundTrip(r)
}

// count is how many requests had all these words.
func (c *recorder) count(words ...string) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := 0
	for _, call := range c.calls {
		all := true
		for _, w := range words {
			all = all && strings.Contains(call, w)
		}
		if all {
			n++
		}
	}
	return n
}

func (c *recorder) reset() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.calls, c.sent = nil, 0
}

// record has the requests of a store with these options counted.
func record(o *Options) *recorder {
	o.Timeout = time.Minute
	c := &recorder{base: newTransport(*o)}
	o.Transport = c
	return c
}

func noErr(t testing.TB, what string, err error) {
	t.Helper()
	if err != nil {
		t.Fatalf("%s: %v", what, err)
	}
}

func wantErr(t testing.TB, what string, err, target error) {
	t.Helper()
	if !errors.Is(err, target) {
		t.Fatalf("%s: error is %v, want %v", what, err, target)
	}
}

// random is content that compresses to nothing and tells by its seed which it is.
func random(seed uint64, n int) []byte {
	b := make([]byte, n)
	r := rand.NewChaCha8([32]byte{byte(seed), byte(seed >> 8)})
	r.Read(b) // never fails
	return b
}

// writeAll writes in the pieces of an SFTP client.
func writeAll(t testing.TB, u storage.Upload, data []byte, off int64) {
	t.Helper()
	const piece = 256 << 10
	for i := 0; i < len(data); i += piece {
		if _, err := u.WriteAt(data[i:min(i+piece, len(data))], off+int64(i)); err != nil {
			t.Fatalf("write at %d: %v", off+int64(i), err)
		}
	}
}

func put(t testing.TB, s storage.FS, name string, data []byte, o storage.CommitOptions) storage.Info {
	t.Helper()
	info, err := storage.Put(t.Context(), s, name, bytes.NewReader(data), storage.CreateOptions{Size: int64(len(data))}, o)
	noErr(t, "put "+name, err)
	return info
}

func get(ctx context.Context, s storage.FS, name string) ([]byte, error) {
	f, err := s.Open(ctx, name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.NewSectionReader(f, 0, f.Info().Size))
}

func want(t testing.TB, s storage.FS, name string, data []byte) {
	t.Helper()
	got, err := get(t.Context(), s, name)
	noErr(t, "read "+name, err)
	if !bytes.Equal(got, data) {
		t.Fatalf("%s holds %d bytes that are not the %d it should", name, len(got), len(data))
	}
}

// wantNothingStaged looks for objects and multipart uploads that are no files.
func wantNothingStaged(t testing.TB, s *Store) {
	t.Helper()
	for _, what := range []string{"parts/", "uploads/", "renames/"} {
		for object, err := range s.keys(t.Context(), s.own+what, "", wholeTree) {
			noErr(t, "list", err)
			t.Errorf("%s is left", object.Key)
		}
	}
	for _, m := range multiparts(t, s) {
		t.Errorf("a multipart upload of %s is left", m)
	}
}

func multiparts(t testing.TB, s *Store) (keys []string) {
	t.Helper()
	page, err := s.core.ListMultipartUploads(t.Context(), s.o.Bucket, s.base, "", "", "", listPage)
	noErr(t, "list multipart uploads", err)
	for _, m := range page.Uploads {
		keys = append(keys, m.Key)
	}
	return keys
}

func TestRealConformance(t *testing.T) {
	server := servers.StartS3(t, serverKind())
	storagetest.Test(t, func(t *testing.T) storage.FS { return openStore(t, options(server, false)) })
}

// TestRealVersions reads on from a large file whose name changes hands: where the bucket keeps
// versions to the end, else with an error and never in another version.
func TestRealVersions(t *testing.T) {
	server := servers.StartS3(t, serverKind())
	old, young := random(1, 3*firstChunk+5), random(2, 3*firstChunk+5)
	for _, versioned := range []bool{true, false} {
		s := openStore(t, options(server, versioned))
		put(t, s, "f", old, storage.CommitOptions{})
		f, err := s.Open(t.Context(), "f")
		noErr(t, "open", err)
		put(t, s, "f", young, storage.CommitOptions{})
		data := make([]byte, len(old))
		n, err := f.ReadAt(data, 0)
		if versioned {
			if err != nil || !bytes.Equal(data, old) {
				t.Errorf("after an overwrite: %d bytes, %v", n, err)
			}
			noErr(t, "remove", s.Remove(t.Context(), "f"))
			if _, err := f.ReadAt(data, 0); err != nil || !bytes.Equal(data, old) {
				t.Errorf("after a removal: %v", err)
			}
			noErr(t, "close", f.Close())
			continue
		}
		wantErr(t, "read what was replaced", err, storage.ErrPrecondition)
		if !bytes.Equal(data[:n], old[:n]) || n < firstChunk {
			t.Errorf("%d bytes were read, or of another version", n)
		}
		noErr(t, "close", f.Close())
		noErr(t, "remove", s.Remove(t.Context(), "f"))
		wantErr(t, "close again", f.Close(), fs.ErrClosed)
	}
}
