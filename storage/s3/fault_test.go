package s3

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"gateway/storage"
	"gateway/tests/servers"
)

// fault is one way in which a request goes wrong.
type fault struct {
	name string
	do   func(base http.RoundTripper, r *http.Request) (*http.Response, error)
}

var errTimeout = &net.OpError{Op: "read", Net: "tcp", Err: errTimedOut{}}

type errTimedOut struct{}

func (errTimedOut) Error() string { return "i/o timeout" }
func (errTimedOut) Timeout() bool { return true }

// faults are what a store does to its clients. Some come before the request did its work, some after:
// which of them, a client cannot tell.
func faults() []fault {
	refuse := func(status int, code string) func(http.RoundTripper, *http.Request) (*http.Response, error) {
		return func(_ http.RoundTripper, r *http.Request) (*http.Response, error) {
			return answer(r, status, code), nil
		}
	}
	after := func(then func(r *http.Request) (*http.Response, error)) func(http.RoundTripper, *http.Request) (*http.Response, error) {
		return func(base http.RoundTripper, r *http.Request) (*http.Response, error) {
			if response, err := base.RoundTrip(r); err == nil {
				io.Copy(io.Discard, response.Body)
				response.Body.Close()
			}
			return then(r)
		}
	}
	reset := &net.OpError{Op: "read", Net: "tcp", Err: syscall.ECONNRESET}
	return []fault{
		{"timeout", func(http.RoundTripper, *http.Request) (*http.Response, error) { return nil, errTimeout }},
		{"slow down", refuse(http.StatusServiceUnavailable, "SlowDown")},
		{"internal error", refuse(http.StatusInternalServerError, "InternalError")},
		{"reset", func(http.RoundTripper, *http.Request) (*http.Response, error) { return nil, reset }},
		{"timeout after the work", after(func(*http.Request) (*http.Response, error) { return nil, errTimeout })},
		{"reset after the work", after(func(*http.Request) (*http.Response, error) { return nil, reset })},
		{"internal error after the work", after(func(r *http.Request) (*http.Response, error) {
			return answer(r, http.StatusInternalServerError, "InternalError"), nil
		})},
		{"answer cut short", func(base http.RoundTripper, r *http.Request) (*http.Response, error) {
			response, err := base.RoundTrip(r)
			if err == nil {
				response.Body = &cut{body: response.Body, left: max(0, response.ContentLength/2)}
			}
			return response, err
		}},
	}
}

func answer(r *http.Request, status int, code string) *http.Response {
	if r.Body != nil {
		r.Body.Close()
	}
	body := fmt.Sprintf(`<?xml version="1.0"?><Error><Code>%s</Code><Message>try again</Message></Error>`, code)
	return &http.Response{
		StatusCode: status, Status: http.StatusText(status), Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: http.Header{"Content-Type": {"application/xml"}}, Body: io.NopCloser(strings.NewReader(body)),
		ContentLength: int64(len(body)), Request: r,
	}
}

// cut is a body that breaks off.
type cut struct {
	body io.ReadCloser
	left int64
}

func (c *cut) Read(p []byte) (int, error) {
	if c.left <= 0 {
		return 0, syscall.ECONNRESET
	}
	n, err := c.body.Read(p[:min(int64(len(p)), c.left)])
	c.left -= int64(n)
	return n, err
}

func (c *cut) Close() error { return c.body.Close() }

// scene is what the tests of faults do: everything that changes something.
type scene struct {
	old, small, large []byte
	s                 *Store
	dir               string
}

// step is one change and how to tell, with a store that works, whether it happened: -1 not, 1 wholly. Any other state
// fails the test.
type step struct {
	name  string
	needs string // the files that must be there, "big" is long
	do    func(ctx context.Context, x *scene) error
	look  func(t *testing.T, clean *Store, x *scene) int
}

// holds says which of two contents a file has; nil stands for no file.
func holds(name string, before, after func(x *scene) []byte) func(t *testing.T, clean *Store, x *scene) int {
	return func(t *testing.T, clean *Store, x *scene) int {
		got, err := get(t.Context(), clean, storage.Join(x.dir, name))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			t.Fatalf("%s: %v", name, err)
		}
		is := func(f func(x *scene) []byte) bool {
			if f == nil {
				return err != nil
			}
			return err == nil && bytes.Equal(got, f(x))
		}
		switch {
		case is(after):
			return 1
		case is(before):
			return -1
		}
		t.Fatalf("%s holds %d bytes that are neither the old nor the new (%v)", name, len(got), err)
		return 0
	}
}

func publishAs(name string, c storage.CreateOptions, o storage.CommitOptions, data func(x *scene) []byte) func(ctx context.Context, x *scene) error {
	return func(ctx context.Context, x *scene) error {
		u, err := x.s.Create(ctx, storage.Join(x.dir, name), c)
		if err != nil {
			return err
		}
		defer u.Abort(ctx)
		if _, err := u.WriteAt(data(x), 0); err != nil {
			return err
		}
		_, err = u.Commit(ctx, o)
		return err
	}
}

func steps() []step {
	old := func(x *scene) []byte { return x.old }
	small := func(x *scene) []byte { return x.small }
	large := func(x *scene) []byte { return x.large }
	isNew := storage.CommitOptions{IfNoneMatch: true}
	dated := storage.CommitOptions{ModTime: s3Time}
	return []step{
		{"new small", "", publishAs("new", storage.CreateOptions{Size: -1}, isNew, small), holds("new", nil, small)},
		{"over small", "f", publishAs("f", storage.CreateOptions{Size: -1}, dated, small), holds("f", old, small)},
		{"new large", "", publishAs("large", storage.CreateOptions{Size: -1}, isNew, large), holds("large", nil, large)},
		{"over large", "g", publishAs("g", storage.CreateOptions{Size: -1, Sequential: true}, dated, large), holds("g", old, large)},
		{"mkdir", "", func(ctx context.Context, x *scene) error { return x.s.Mkdir(ctx, x.dir+"/new dir") },
			func(t *testing.T, clean *Store, x *scene) int {
				if _, err := clean.Stat(t.Context(), x.dir+"/new dir"); err == nil {
					return 1
				}
				return -1
			}},
		{"remove", "gone", func(ctx context.Context, x *scene) error { return x.s.Remove(ctx, x.dir+"/gone") }, holds("gone", old, nil)},
		{"copy", "big", func(ctx context.Context, x *scene) error {
			_, err := x.s.Copy(ctx, x.dir+"/big", x.dir+"/copy", isNew)
			return err
		}, holds("copy", nil, large)},
		{"rename", "a", func(ctx context.Context, x *scene) error {
			return x.s.Rename(ctx, x.dir+"/a", x.dir+"/b", storage.RenameOptions{})
		}, holds("b", nil, old)},
		{"rename directory", "d/sub/f", func(ctx context.Context, x *scene) error {
			return x.s.Rename(ctx, x.dir+"/d", x.dir+"/e", storage.RenameOptions{})
		}, holds("e/sub/f", nil, old)},
		{"read", "big", func(ctx context.Context, x *scene) error {
			got, err := get(ctx, x.s, x.dir+"/big")
			if err == nil && !bytes.Equal(got, x.large) {
				panic("other bytes were read")
			}
			return err
		}, func(*testing.T, *Store, *scene) int { return 1 }},
		{"list", "f g a", func(ctx context.Context, x *scene) error {
			n := 0
			for _, err := range x.s.List(ctx, x.dir) {
				if err != nil {
					return err
				}
				n++
			}
			if n != 3 {
				panic(fmt.Sprintf("%d entries were listed", n))
			}
			return nil
		}, func(*testing.T, *Store, *scene) int { return 1 }},
	}
}

// prepare makes the files that a step needs in a directory of its own.
func (x *scene) prepare(t *testing.T, clean *Store, st step, f fault, at int) {
	t.Helper()
	dir := fmt.Sprintf("%s, %s, %d", st.name, f.name, at)
	x.dir = dir
	noErr(t, "mkdir", clean.Mkdir(t.Context(), dir))
	for _, name := range strings.Fields(st.needs) {
		parent, _ := storage.Split(dir + "/" + name)
		noErr(t, "mkdir", storage.MkdirAll(t.Context(), clean, parent))
		data := x.old
		if name == "big" {
			data = x.large
		}
		put(t, clean, dir+"/"+name, data, storage.CommitOptions{})
	}
}

// turn says whether a request is to have a fault. Small files have all of them; to be quick, the faults take turns with the requests of
// the others, n of them for each.
func (st step) turn(at, i, faults, n int) bool {
	return strings.HasSuffix(st.name, "small") || (at+i)%(faults/n) == 0 || at > 64
}

// TestRealFaults has each request of each change fail once, in every way: the change succeeds all the same.
func TestRealFaults(t *testing.T) {
	base := small(servers.StartS3(t, serverKind()))
	eachRequest(t, base, faults(), 2, scene.faultAt)
}

// eachRequest does each change again and again, and calls at with a fault and the number of a request until there is no such
// request; n is as in step.turn.
func eachRequest(t *testing.T, base Options, faults []fault, n int,
	at func(x scene, t *testing.T, clean *Store, o Options, st step, f fault, at int) (struck bool)) {
	t.Helper()
	x := scene{old: random(1, 1000), small: random(2, 2000), large: random(3, MinPartSize+10)}
	for _, st := range steps() {
		t.Run(st.name, func(t *testing.T) {
			t.Parallel()
			o := base
			o.Prefix = st.name
			clean := openStore(t, o)
			for i, f := range faults {
				for number, more := 1, true; more && !t.Failed(); number++ {
					if st.turn(number, i, len(faults), n) {
						more = at(x, t, clean, o, st, f, number)
					}
				}
			}
		})
	}
}

// faultAt has one request fail, and reports whether there was one.
func (x scene) faultAt(t *testing.T, clean *Store, o Options, st step, f fault, at int) (struck bool) {
	t.Helper()
	var hit atomic.Bool
	x.prepare(t, clean, st, f, at)
	x.s = faulty(t, o, func(n int, r *http.Request, through http.RoundTripper) (*http.Response, error) {
		if n != at {
			return through.RoundTrip(r)
		}
		hit.Store(true)
		return f.do(through, r)
	})
	defer x.s.Close()
	if err := st.do(t.Context(), &x); err != nil {
		t.Errorf("request %d: %s: %v", at, f.name, err)
	}
	if st.look(t, clean, &x) != 1 {
		t.Errorf("request %d: %s: it is not there", at, f.name)
	}
	noErr(t, "clear", clean.RemoveAll(t.Context(), x.dir))
	return hit.Load()
}

// faulty opens a store whose requests, those of Open apart, go through f.
func faulty(t *testing.T, o Options, f func(n int, r *http.Request, through http.RoundTripper) (*http.Response, error)) *Store {
	t.Helper()
	c := record(&o)
	s := openStore(t, o)
	c.reset()
	c.intercept = func(n int, r *http.Request) (*http.Response, error) { return f(n, r, c.base) }
	t.Cleanup(c.base.(*http.Transport).CloseIdleConnections)
	return s
}

// TestRealOutage has the store fail from each request of each change on, before or after it did its work. What then
// failed did not happen, or wholly, and says so with a clean error; what did not fail is there.
func TestRealOutage(t *testing.T) {
	base := small(servers.StartS3(t, serverKind()))
	base.lease, base.retryPause = 100*time.Millisecond, 10*time.Microsecond
	eachRequest(t, base, faults()[3:6], 1, scene.outageFrom)
}

// outageFrom has the store fail from a request on, and reports whether there was one.
func (x scene) outageFrom(t *testing.T, clean *Store, o Options, st step, f fault, at int) (struck bool) {
	t.Helper()
	var hit atomic.Bool
	x.prepare(t, clean, st, f, at)
	x.s = faulty(t, o, func(n int, r *http.Request, through http.RoundTripper) (*http.Response, error) {
		switch {
		case n < at:
			return through.RoundTrip(r)
		case n == at:
			hit.Store(true)
			return f.do(through, r)
		}
		return nil, errTimeout
	})
	err := st.do(t.Context(), &x)
	x.s.Close()
	time.Sleep(o.lease)
	noErr(t, "recover", clean.Recover(t.Context()))
	if st.look(t, clean, &x) != 1 && err == nil {
		t.Errorf("outage from request %d on (%s): acknowledged and not there", at, f.name)
	}
	if err != nil {
		wantClean(t, err, x.dir)
	}
	wantOneName(t, clean, &x, st.name)
	noErr(t, "clear", clean.RemoveAll(t.Context(), x.dir))
	return hit.Load()
}

// wantClean checks an error's words.
func wantClean(t *testing.T, err error, dir string) {
	t.Helper()
	var p *fs.PathError
	if !errors.As(err, &p) || !strings.HasPrefix(p.Path, dir) || strings.Contains(err.Error(), "https://") {
		t.Errorf("the error %v is no fs.PathError with a name in the tree", err)
	}
}

// wantOneName looks whether what was renamed is under exactly one of both names.
func wantOneName(t *testing.T, clean *Store, x *scene, what string) {
	t.Helper()
	pairs := map[string][2]string{"rename": {"a", "b"}, "rename directory": {"d/sub/f", "e/sub/f"}}
	pair, ok := pairs[what]
	if !ok {
		return
	}
	_, err1 := clean.Stat(t.Context(), x.dir+"/"+pair[0])
	_, err2 := clean.Stat(t.Context(), x.dir+"/"+pair[1])
	if (err1 == nil) == (err2 == nil) {
		t.Errorf("after an interrupted %s: old name: %v, new name: %v", what, err1, err2)
	}
}
