package webdav

import (
	"context"
	"fmt"
	"io/fs"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"gateway/storage"
)

// TestDestinations: every way to write a destination that must not be understood, and
// those that must.
func TestDestinations(t *testing.T) {
	before := map[string]string{"a": "1", "ab": "2", "d/": "", "d/x": "3", "dd/": "", "café": "4"}
	s := start(t)
	s.put(before)
	for _, tt := range []struct {
		from, header string
		want         int
	}{
		{"/a", "Destination: /new%00", 400},
		{"/a", "Destination: /new%0D%0Ax", 400},
		{"/a", "Destination: /new#part", 400},
		{"/a", "Destination: /d%2Fx", 400},
		{"/a", "Destination: /d/./x", 400},
		{"/a", "Destination: /d/../x", 400},
		{"/a", "Destination: /d/%2E%2E/x", 400},
		{"/a", "Destination: /%FF", 400},
		{"/a", "Destination: /" + strings.Repeat("n", 300), 400},
		{"/a", "Destination: /.gateway-staging/x", 400},
		{"/a", "Destination: mailto:x@$HOST", 400},
		{"/a", "Destination: http:///new", 502},
		{"/a", "Destination: http://127.0.0.1.evil.example/new", 502},
		{"/a", "Destination: http://alice:alice@$HOST@evil.example/new", 502},
		{"/a", "Destination: http://evil.example/$HOST/new", 502},
		{"/a", "Destination: http://$HOST/%61", 403}, // itself
		{"/caf%C3%A9", "Destination: /cafe%CC%81", 403},
		{"/d", "Destination: http://$HOST/d/x", 403},
		{"/d", "Destination: /d/new/er", 403},
		{"/a", "Destination: /new\nOverwrite: TRUE", 400},
		{"/a", "Destination: /new\nOverwrite: 1", 400},
		{"/a", "Destination: /ab\nOverwrite: f", 412},
		{"/a", "Destination: /new\nDepth: 1", 400},
		{"/a", "Destination: /new\nDepth: -1", 400},
	} {
		for _, method := range []string{"COPY", "MOVE"} {
			if a := s.send(step{method: method, path: tt.from, header: tt.header}); a.status != tt.want {
				t.Errorf("%s %s %q: %d, want %d (%s)", method, tt.from, tt.header, a.status, tt.want, a.body)
			}
		}
	}
	twice := "COPY /a HTTP/1.1\r\nHost: h\r\nDestination: /n\r\nDestination: /m\r\n" + basicAlice + "\r\n"
	if got := s.raw(twice, false); got != 400 {
		t.Errorf("two destinations: %d", got)
	}
	s.wantFiles(before)
	// A name that begins like another is another.
	s.run(
		step{method: "MOVE", path: "/a", header: "Destination: /abc", want: 201},
		step{method: "MOVE", path: "/abc", header: "Destination: /a", want: 201},
		step{method: "MOVE", path: "/d", header: "Destination: /dd/d", want: 201},
		step{method: "MOVE", path: "/dd", header: "Destination: /d", want: 201},
		step{method: "COPY", path: "/a", header: "Destination: /na%C3%AFve%20%26%20%25\nOverwrite: t", want: 201},
		step{method: "MOVE", path: "/caf%C3%A9", header: "Destination: /cafe%CC%81s", want: 201},
	)
	s.wantFiles(map[string]string{"a": "1", "ab": "2", "d/": "", "d/d/": "", "d/d/x": "3", "cafés": "4", "naïve & %": "1"})
}

// TestOverwriteUnderReaders: whoever reads while a file is replaced, by whatever method,
// gets one of the two, whole.
func TestOverwriteUnderReaders(t *testing.T) {
	s := start(t)
	old, other := strings.Repeat("o", 300<<10), strings.Repeat("n", 200<<10)
	s.put(map[string]string{"f": old, "old": old, "new": other})
	var (
		readers sync.WaitGroup
		done    atomic.Bool
		reads   atomic.Int64
	)
	for range 3 {
		readers.Go(func() {
			for !done.Load() {
				a, err := s.try(step{method: "GET", path: "/f"})
				if err != nil || a.status != 200 || a.body != old && a.body != other {
					t.Errorf("status %d, %d bytes, %v", a.status, len(a.body), err)
					return
				}
				reads.Add(1)
			}
		})
	}
	for i := range 30 {
		from := []string{"old", "new"}[i%2]
		s.run(
			step{method: "COPY", path: "/" + from, header: "Destination: /f", want: 204},
			step{method: "COPY", path: "/" + from, header: "Destination: /moving", want: 201},
			step{method: "MOVE", path: "/moving", header: "Destination: /f", want: 204},
			step{method: "PUT", path: "/f", body: old, want: 204},
		)
	}
	done.Store(true)
	readers.Wait()
	if reads.Load() == 0 {
		t.Error("nobody read")
	}
}

// stubborn is a tree without a quick way to remove folders, in which one file cannot be removed.
type stubborn struct {
	storage.FS
	name string
}

func (f stubborn) Remove(ctx context.Context, name string) error {
	if name == f.name {
		return storage.PathError("remove", name, storage.ErrBusy)
	}
	return f.FS.Remove(ctx, name)
}

// TestDeleteTellsWhatStays: the member that could not be removed, and all above it, stay.
func TestDeleteTellsWhatStays(t *testing.T) {
	s := startWith(t, settings{wrap: func(f storage.FS) storage.FS { return stubborn{f, "d/e/stays"} }})
	s.put(map[string]string{"d/e/stays": "1", "d/e/f": "2", "d/g/h": "3"})
	a := s.send(step{method: "DELETE", path: "/d"})
	if a.status != http.StatusMultiStatus || !strings.Contains(a.body, "<D:href>/d/e/stays</D:href><D:status>HTTP/1.1 503") {
		t.Error(a)
	}
	if got := s.files()["d/e/stays"]; got != "1" {
		t.Errorf("%q", got)
	}
	if a := s.send(step{method: "DELETE", path: "/d/e/stays"}); a.status != http.StatusServiceUnavailable {
		t.Error(a)
	}
}

// TestCopyTellsWhatFailed: what can be copied is; a member that cannot be is named.
func TestCopyTellsWhatFailed(t *testing.T) {
	s := startWith(t, settings{wrap: func(f storage.FS) storage.FS { return unreadable{f, "d/e/secret"} }})
	s.put(map[string]string{"d/a": "1", "d/e/secret": "2", "d/e/z": "3"})
	a := s.send(step{method: "COPY", path: "/d", header: "Destination: /n"})
	if a.status != http.StatusMultiStatus || !strings.Contains(a.body, "<D:href>/n/e/secret</D:href><D:status>HTTP/1.1 403") {
		t.Error(a)
	}
	got := s.files()
	if got["n/a"] != "1" || got["n/e/z"] != "3" {
		t.Error(fmt.Sprint(got))
	}
}

type unreadable struct {
	storage.FS
	name string
}

func (f unreadable) Open(ctx context.Context, name string) (storage.File, error) {
	if name == f.name {
		return nil, storage.PathError("open", name, fs.ErrPermission)
	}
	return f.FS.Open(ctx, name)
}
