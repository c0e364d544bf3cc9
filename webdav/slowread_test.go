package webdav

import (
	"context"
	"crypto/tls"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"gateway/storage"
)

// slowReads is a storage that takes its time for each piece, as one does whose bandwidth is limited.
type slowReads struct {
	storage.FS
	delay time.Duration
}

func (f slowReads) Open(ctx context.Context, name string) (storage.File, error) {
	file, err := f.FS.Open(ctx, name)
	return slowFile{file, f.delay}, err
}

type slowFile struct {
	storage.File
	delay time.Duration
}

func (f slowFile) ReadAt(p []byte, off int64) (int, error) {
	time.Sleep(f.delay)
	return f.File.ReadAt(p, off)
}

// TestSlowReadsAreNotBlamed: a download goes on though each piece of it takes longer than a client may take.
func TestSlowReadsAreNotBlamed(t *testing.T) {
	const timeout = 200 * time.Millisecond
	s := startWith(t, settings{tls: tlsConfig(t), config: func(c *Config) { c.ProgressTimeout = timeout },
		wrap: func(f storage.FS) storage.FS { return slowReads{f, 2 * timeout} }})
	body := strings.Repeat("x", 200<<10)
	s.put(map[string]string{"f": body})
	for _, proto := range []int{1, 2} {
		transport := &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, ForceAttemptHTTP2: proto == 2}
		req, err := http.NewRequest("GET", s.url+"/f", nil)
		if err != nil {
			t.Fatal(err)
		}
		req.SetBasicAuth("alice", "alice")
		res, err := transport.RoundTrip(req)
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(res.Body)
		res.Body.Close()
		transport.CloseIdleConnections()
		if err != nil || string(got) != body || res.ProtoMajor != proto {
			t.Errorf("%s: %d bytes, %v", res.Proto, len(got), err)
		}
	}
}
