package ftpbridge

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
	"unicode"

	"gateway/storage"
)

// shelf is a server with one folder that can be written to.
type shelf struct {
	*scripted
	mu    sync.Mutex
	held  map[string]string // by path
	times int               // the seconds of MDTM
}

func newShelf(t *testing.T, held map[string]string) *shelf {
	t.Helper()
	s := &shelf{held: map[string]string{}}
	for name, body := range held {
		s.held["/"+name] = body
	}
	s.scripted = &scripted{feat: []string{"MLST type*;size*;modify*;", "MDTM", "SIZE", "REST STREAM"}, mlsd: map[string]string{"": ""}}
	s.handlers = map[string]func(*talk, string){
		"MLSD": func(c *talk, _ string) { c.stream(s.list(), "226 done") },
		"SIZE": s.size, "RETR": s.retr, "STOR": s.stor, "DELE": s.dele, "RNFR": s.rnfr, "RNTO": s.rnto,
		"MDTM": func(c *talk, _ string) {
			s.mu.Lock()
			defer s.mu.Unlock()
			c.say("213 202001020304%02d", s.times)
		},
		"MKD":  func(c *talk, arg string) { c.say("257 made") },
		"MFMT": func(c *talk, _ string) { c.say("502 no") }, "SITE": func(c *talk, _ string) { c.say("502 no") },
	}
	s.start(t)
	return s
}

func (s *shelf) list() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var b strings.Builder
	for _, path := range slices.Sorted(maps.Keys(s.held)) {
		fmt.Fprintf(&b, "type=file;size=%d;modify=202001020304%02d; %s\r\n", len(s.held[path]), s.times, path[1:])
	}
	return b.String()
}

func (s *shelf) get(path string) (string, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	body, ok := s.held[path]
	return body, ok
}

func (s *shelf) put(path, body string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.held[path] = body
}

func (s *shelf) all() map[string]string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return maps.Clone(s.held)
}

func (s *shelf) size(c *talk, arg string) {
	if body, ok := s.get(c.abs(arg)); ok {
		c.say("213 %d", len(body))
		return
	}
	c.say("550 no such file")
}

func (s *shelf) retr(c *talk, arg string) {
	rest := int(c.rest)
	c.rest = 0
	body, ok := s.get(c.abs(arg))
	if !ok {
		c.say("550 no such file")
		return
	}
	c.stream(body[min(rest, len(body)):], "226 done")
}

func (s *shelf) stor(c *talk, arg string) { s.receive(c, arg, 1) }

// receive keeps a part of an upload and says that it was all.
func (s *shelf) receive(c *talk, arg string, part float64) {
	c.say("150 go")
	d := c.accept()
	if d == nil {
		return
	}
	body, _ := io.ReadAll(d)
	d.Close()
	s.put(c.abs(arg), string(body[:int(float64(len(body))*part)]))
	c.say("226 done")
}

// lose keeps nothing of an upload.
func (s *shelf) lose(c *talk, _ string) {
	c.say("150 go")
	d := c.accept()
	_, _ = io.Copy(io.Discard, d)
	d.Close()
	c.say("226 done")
}

func (s *shelf) dele(c *talk, arg string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, ok := s.held[c.abs(arg)]; !ok {
		c.say("550 no such file")
		return
	}
	delete(s.held, c.abs(arg))
	c.say("250 deleted")
}

func (s *shelf) rnfr(c *talk, arg string) {
	if _, ok := s.get(c.abs(arg)); !ok {
		c.say("550 no such file")
		return
	}
	c.user = c.abs(arg) // the login is over
	c.say("350 to what?")
}

func (s *shelf) rnto(c *talk, arg string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.held[c.abs(arg)] = s.held[c.user]
	delete(s.held, c.user)
	c.say("250 renamed")
}

// never is rnto of servers that rename over nothing.
func (s *shelf) never(c *talk, arg string) {
	if _, ok := s.get(c.abs(arg)); ok {
		c.say("550 File exists.")
		return
	}
	s.rnto(c, arg)
}

func (s *shelf) mount(t *testing.T, connections int, o MountOptions) *Mount {
	t.Helper()
	src := s.source(t, "")
	src.Connections = connections
	src.Timeout = 2 * time.Second
	o.Pool = newPool(t, src)
	return mountPool(t, o)
}

// allBack fails the test if a session does not come back to the pool.
func allBack(t *testing.T, p *Pool) {
	t.Helper()
	var out int
	for range 600 {
		p.mu.Lock()
		out = p.open - len(p.idle)
		p.mu.Unlock()
		if out == 0 {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Errorf("%d sessions are out", out)
}

func mountPut(t *testing.T, m *Mount, name, body string, o storage.CommitOptions) error {
	_, err := storage.Put(testContext(t), m, name, strings.NewReader(body), storage.CreateOptions{Size: -1}, o)
	return err
}

// What servers say of an upload, and what they do with it. The name has the old
// file or the new one, whole, and the caller hears which.
func TestMountUploadLies(t *testing.T) {
	body := random(100_000)
	for name, c := range map[string]struct {
		set   func(s *shelf)
		words string // of the error; "" for none
	}{
		"honest":        {func(s *shelf) {}, ""},
		"keeps a part":  {func(s *shelf) { s.handlers["STOR"] = func(c *talk, arg string) { s.receive(c, arg, 0.6) } }, "holds 60000"},
		"keeps nothing": {func(s *shelf) { s.handlers["STOR"] = s.lose }, "not the size"},
		"says nothing": {func(s *shelf) {
			s.handlers["STOR"] = func(c *talk, arg string) { c.say("150 go"); io.Copy(io.Discard, c.accept()); c.hang() }
		}, "no confirmation"},
		"vanishes": {func(s *shelf) {
			s.handlers["STOR"] = func(c *talk, arg string) { c.say("150 go"); c.accept().Close(); c.Close() }
		}, "after"},
		"refuses to rename": {func(s *shelf) { s.handlers["RNTO"] = func(c *talk, _ string) { c.say("553 not this name") } }, "not this name"},
		"renames over none": {func(s *shelf) { s.handlers["RNTO"] = s.never }, ""},
		"and keeps the old": {func(s *shelf) {
			s.handlers["RNTO"] = s.never
			s.handlers["DELE"] = func(c *talk, arg string) { c.say("550 Permission denied.") }
		}, ""},
		"vanishes between the renames": {func(s *shelf) {
			var calls atomic.Int32
			s.handlers["RNTO"] = func(c *talk, arg string) {
				if calls.Add(1) == 3 { // refused, moved aside, and now the new one
					c.Close()
					return
				}
				s.never(c, arg)
			}
		}, "RNTO"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, old := range []string{"", "old"} {
				s := newShelf(t, nil)
				if old != "" {
					s.put("/f", old)
				}
				c.set(s)
				m := s.mount(t, 2, MountOptions{})
				err := mountPut(t, m, "f", body, storage.CommitOptions{})
				if name == "vanishes between the renames" && old == "" {
					continue
				}
				if c.words == "" {
					if err != nil {
						t.Error(err)
					}
					if got, _ := s.get("/f"); got != body {
						t.Errorf("%d bytes are there", len(got))
					}
				} else {
					want(t, err, nil)
					if got, _ := s.get("/f"); got != old {
						t.Errorf("%d bytes are there", len(got))
					}
				}
				for path := range s.all() {
					if path != "/f" && !strings.HasSuffix(path, asideSuffix) || path != "/f" && c.words != "" {
						t.Errorf("%q is left", path)
					}
				}
				allBack(t, m.pool)
			}
		})
	}
}

// A server that keeps the old file beside the new one does so for every upload.
func TestMountReplacesAgain(t *testing.T) {
	s := newShelf(t, map[string]string{"f": "old"})
	s.handlers["RNTO"] = s.never
	s.handlers["DELE"] = func(c *talk, arg string) { c.say("550 Permission denied.") }
	m := s.mount(t, 2, MountOptions{})
	for _, body := range []string{"one", "two", "three"} {
		if err := mountPut(t, m, "f", body, storage.CommitOptions{}); err != nil {
			t.Fatal(err)
		}
		if got, _ := s.get("/f"); got != body {
			t.Errorf("%q, not %q", got, body)
		}
	}
}

// What servers say of a file and what they send. A reader gets one version whole,
// or an error.
func TestMountReadLies(t *testing.T) {
	body := random(bigBytes)
	after := "another" + body[7:]
	half := bigBytes / 2
	for name, c := range map[string]struct {
		retr func(s *shelf, c *talk, rest int64, call int)
		want string // "": an error
	}{
		"226 after 60 %": {func(s *shelf, c *talk, rest int64, call int) {
			c.stream(body[min(rest, bigBytes*6/10):bigBytes*6/10], "226 done")
		}, ""},
		"an error in place of the file": {func(s *shelf, c *talk, rest int64, call int) { c.stream("550 disk error\r\n", "226 done") }, ""},
		"more than the size":            {func(s *shelf, c *talk, rest int64, call int) { c.stream(body[rest:]+"and more", "226 done") }, ""},
		"never 226":                     {func(s *shelf, c *talk, rest int64, call int) { c.stream(body[rest:], ""); c.hang() }, ""},
		"another time behind it": {func(s *shelf, c *talk, rest int64, call int) {
			s.mu.Lock()
			s.times++
			s.mu.Unlock()
			c.stream(body[rest:], "226 done")
		}, ""},
		"lost halfway": {func(s *shelf, c *talk, rest int64, call int) {
			if call == 1 {
				c.part(body[:half], "")
				return
			}
			c.stream(body[rest:], "226 done")
		}, body},
		"hangs halfway": {func(s *shelf, c *talk, rest int64, call int) {
			if call == 1 {
				c.say("150 go")
				d := c.accept()
				io.WriteString(d, body[:half])
				c.hang()
				d.Close()
				return
			}
			c.stream(body[rest:], "226 done")
		}, body},
		"lost, and REST is ignored": {func(s *shelf, c *talk, rest int64, call int) {
			if call == 1 {
				c.part(body[:half], "")
				return
			}
			c.stream(body, "226 done")
		}, body},
		"lost, and changed at equal size and time": {func(s *shelf, c *talk, rest int64, call int) {
			if call == 1 {
				c.part(body[:half], "")
				return
			}
			c.stream((body[1:] + "x")[rest:], "226 done")
		}, ""},
		"lost, REST ignored, and changed": {func(s *shelf, c *talk, rest int64, call int) {
			if call == 1 {
				c.part(body[:half], "")
				return
			}
			c.stream(after, "226 done")
		}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newShelf(t, map[string]string{"f": body})
			s.handlers["RETR"] = counted(func(k *talk, _ string, rest int64, call int) { c.retr(s, k, rest, call) })
			m := s.mount(t, 2, MountOptions{})
			f, err := m.Open(testContext(t), "f")
			if err != nil {
				t.Fatal(err)
			}
			got, err := io.ReadAll(storage.Reader(testContext(t), f))
			f.Close()
			if c.want == "" {
				want(t, err, nil)
			} else if err != nil || string(got) != c.want {
				t.Errorf("%d bytes, %v", len(got), err)
			}
			allBack(t, m.pool)
			if n := len(m.streams); n != 0 {
				t.Errorf("%d streams are left", n)
			}
			if c.want == "" && m.cache.bytes != 0 {
				t.Errorf("%d bytes of it are kept", m.cache.bytes)
			}
		})
	}
}

// A server that has no REST, with a reader that was away for longer than a
// transfer waits.
func TestMountNoREST(t *testing.T) {
	body := random(20 << 20)
	s := newShelf(t, map[string]string{"f": body})
	s.handlers["REST"] = refuseREST
	m := s.mount(t, 1, MountOptions{})
	f, err := m.Open(testContext(t), "f")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	readAt(t, f, 0, 100)
	time.Sleep(idleRead + 500*time.Millisecond)
	if got, err := io.ReadAll(storage.Reader(testContext(t), f)); err != nil || string(got) != body {
		t.Errorf("%d bytes, %v", len(got), err)
	}
}

// Reads far from what was read so far, on servers that do not begin where they
// are told to, or not with the same version.
func TestMountFarReadLies(t *testing.T) {
	body := random(24 << 20)
	const far = 20 << 20
	for name, set := range map[string]func(s *shelf){
		"honest":       func(s *shelf) {},
		"REST ignored": func(s *shelf) { s.handlers["RETR"] = func(c *talk, arg string) { c.rest = 0; s.retr(c, arg) } },
		"REST refused": func(s *shelf) { s.handlers["REST"] = refuseREST },
		"no MDTM, and another version of the same size": func(s *shelf) {
			s.handlers["MDTM"] = says("502 no")
			s.handlers["RETR"] = counted(func(c *talk, path string, rest int64, call int) {
				if call == 1 {
					c.begin(body[:1<<20])
					return
				}
				c.stream((body[1:] + "x")[rest:], "226 done")
			})
		},
		"another time": func(s *shelf) {
			s.handlers["RETR"] = counted(func(c *talk, path string, rest int64, call int) {
				if call == 1 {
					c.begin(body[:1<<20])
					return
				}
				s.mu.Lock()
				s.times++
				s.mu.Unlock()
				c.stream((body[1:] + "x")[rest:], "226 done")
			})
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := newShelf(t, map[string]string{"f": body})
			set(s)
			m := s.mount(t, 3, MountOptions{})
			f, err := m.Open(testContext(t), "f")
			if err != nil {
				t.Fatal(err)
			}
			if got := readAt(t, f, 0, 100); string(got) != body[:100] {
				t.Error("the beginning is wrong")
			}
			var last error
			for _, at := range []int{far, len(body) - 22} { // inside, and such as the end of an archive
				rest := make([]byte, min(1<<20, len(body)-at))
				n, err := f.ReadAt(rest, int64(at))
				if last = err; name == "another time" {
					continue // the end tells
				}
				if err == nil || errors.Is(err, io.EOF) {
					if string(rest[:n]) != body[at:at+len(rest)] {
						t.Errorf("%d bytes of something else were read", n)
					}
				} else if !strings.HasPrefix(name, "no MDTM") {
					t.Error(err)
				}
			}
			if name == "another time" {
				want(t, last, nil, "open it again")
			}
			f.Close()
			allBack(t, m.pool)
		})
	}
}

// begin sends a part and waits until the client has had enough.
func (t *talk) begin(part string) {
	t.say("150 here it comes")
	d := t.accept()
	if d == nil {
		return
	}
	defer d.Close()
	io.WriteString(d, part)
	io.Copy(io.Discard, d)
	t.say("426 cut off")
}

// drips serves a file for ever, a little at a time, as fast as it must.
func drips(begun func()) func(*talk, string) {
	return func(c *talk, _ string) {
		c.rest = 0
		c.say("150 go")
		d := c.accept()
		if d == nil {
			return
		}
		defer d.Close()
		begun()
		for err := error(nil); err == nil; {
			_, err = io.WriteString(d, strings.Repeat("x", 600))
			time.Sleep(50 * time.Millisecond)
		}
	}
}

// soon fails the test if do does not end.
func soon(t *testing.T, what string, do func()) {
	t.Helper()
	done := make(chan struct{})
	go func() {
		defer close(done)
		do()
	}()
	select {
	case <-done:
	case <-time.After(20 * time.Second):
		t.Fatalf("%s does not end", what)
	}
}

// A file that comes a byte at a time keeps nobody from anything else.
func TestMountDrips(t *testing.T) {
	t.Run("a file of unknown size", func(t *testing.T) {
		t.Parallel()
		s := newShelf(t, map[string]string{"slow": "x", "f": "x"})
		s.handlers["SIZE"] = says("502 no")
		s.handlers["MLSD"] = func(c *talk, _ string) { c.stream("type=file; slow\r\ntype=file;size=1; f\r\n", "226 done") }
		begun := make(chan struct{})
		s.handlers["RETR"] = drips(sync.OnceFunc(func() { close(begun) }))
		m := s.mount(t, 3, MountOptions{})
		ctx, cancel := context.WithCancel(testContext(t))
		opened := make(chan error, 1)
		go func() {
			_, err := m.Open(ctx, "slow")
			opened <- err
		}()
		<-begun
		soon(t, "a change beside it", func() { m.Remove(testContext(t), "f") })
		cancel()
		want(t, <-opened, []error{context.Canceled})
		allBack(t, m.pool)
	})
	t.Run("a far read", func(t *testing.T) {
		t.Parallel()
		s := newShelf(t, map[string]string{"f": random(40 << 20)})
		begun := make(chan struct{})
		slow := drips(sync.OnceFunc(func() { close(begun) }))
		s.handlers["RETR"] = func(c *talk, arg string) {
			if c.rest > 1<<20 {
				slow(c, arg)
				return
			}
			s.retr(c, arg)
		}
		m := s.mount(t, 3, MountOptions{})
		f, err := m.Open(testContext(t), "f")
		if err != nil {
			t.Fatal(err)
		}
		read := make(chan error, 1)
		go func() {
			_, err := f.ReadAt(make([]byte, 4<<20), 30<<20)
			read <- err
		}()
		<-begun
		soon(t, "Close", func() { f.Close() })
		soon(t, "the read", func() { want(t, <-read, nil) })
		allBack(t, m.pool)
	})
	t.Run("a file that is replaced", func(t *testing.T) {
		t.Parallel()
		s := newShelf(t, map[string]string{"f": random(1 << 20)})
		s.handlers["RETR"] = drips(func() {})
		m := s.mount(t, 3, MountOptions{})
		m.settleTime = time.Second
		f, err := m.Open(testContext(t), "f")
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		readAt(t, f, 0, 10)
		soon(t, "the upload", func() {
			if err := mountPut(t, m, "f", "new", storage.CommitOptions{}); err != nil {
				t.Error(err)
			}
		})
		if _, err := f.ReadAt(make([]byte, 1000), 1<<20-1000); err == nil {
			t.Error("the end of a file that is gone was read")
		}
	})
	t.Run("a listing", func(t *testing.T) {
		t.Parallel()
		s := newShelf(t, map[string]string{"f": "x"})
		s.handlers["MLSD"] = drips(func() {})
		m := s.mount(t, 3, MountOptions{})
		m.listTime = time.Second
		soon(t, "Stat", func() {
			_, err := m.Stat(t.Context(), "f")
			want(t, err, []error{ErrTimeout})
		})
		allBack(t, m.pool)
	})
}

// A file without a size, and without an end.
func TestMountEndlessFile(t *testing.T) {
	s := newShelf(t, map[string]string{"f": "x"})
	s.handlers["SIZE"] = says("502 no")
	s.handlers["MLSD"] = func(c *talk, _ string) { c.stream("type=file; f\r\n", "226 done") }
	var sent atomic.Int64
	s.handlers["RETR"] = func(c *talk, _ string) {
		c.say("150 go")
		d := c.accept()
		defer d.Close()
		for err := error(nil); err == nil && sent.Load() < 256<<20; sent.Add(1 << 16) {
			_, err = io.WriteString(d, strings.Repeat("x", 1<<16))
		}
	}
	m := s.mount(t, 1, MountOptions{CacheSize: 1 << 20})
	_, err := m.Open(testContext(t), "f")
	want(t, err, []error{ErrTooLarge})
	allBack(t, m.pool)
	if n := sent.Load(); n > 64<<20 {
		t.Errorf("%d bytes were taken", n)
	}
}

// Files that end at the same moment do not overfill the cache together.
func TestMountCacheBound(t *testing.T) {
	const n, each, limit = 8, 1 << 20, 3 << 20
	held := map[string]string{}
	for i := range n {
		held[fmt.Sprint("f", i)] = random(each)
	}
	s := newShelf(t, held)
	var ready sync.WaitGroup
	ready.Add(n)
	s.handlers["RETR"] = func(c *talk, arg string) {
		body, _ := s.get(c.abs(arg))
		c.stream(body, "")
		ready.Done()
		ready.Wait()
		c.say("226 done")
	}
	m := s.mount(t, n, MountOptions{CacheSize: limit})
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() {
			f, err := m.Open(testContext(t), fmt.Sprint("f", i))
			if err != nil {
				t.Error(err)
				ready.Done()
				return
			}
			defer f.Close()
			if got, err := io.ReadAll(storage.Reader(testContext(t), f)); err != nil || len(got) != each {
				t.Errorf("%d bytes, %v", len(got), err)
			}
		})
	}
	wg.Wait()
	kept := func(m *Mount) (sum int64) {
		for info, err := range m.o.Spool.List(t.Context(), cacheFolder) {
			if err != nil {
				t.Fatal(err)
			}
			sum += info.Size
		}
		if sum > m.o.CacheSize || sum != m.cache.bytes || sum == 0 || m.cache.taken != 0 {
			t.Errorf("%d bytes are kept, %d are counted, %d are allowed", sum, m.cache.bytes, m.o.CacheSize)
		}
		return sum
	}
	kept(m)
	o := m.o
	o.CacheSize = each
	m.Close()
	m, err := NewMount(t.Context(), o) // the same spool with less room
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	equal(t, kept(m), int64(each))
}

// Whatever names a server lists, the mount gives names that are none of its own
// paths and of which no two are the same.
func TestMountHostileNames(t *testing.T) {
	s := newShelf(t, nil)
	hostile := []string{"../up", "/abs", "..", "a\x00b", "\x1b[2J", "bell\x07", "rtl\u202egnp", "cr\rDELE f", "same\x1b", "same%1B", "plain", strings.Repeat("long", 500)}
	var list strings.Builder
	for _, name := range hostile {
		fmt.Fprintf(&list, "type=file;size=4;modify=20200102030405; %s\r\n", name)
		s.held["/"+name] = "four"
	}
	s.handlers["MLSD"] = func(c *talk, _ string) { c.stream(list.String()+list.String(), "226 done") }
	m := s.mount(t, 1, MountOptions{})
	names := map[string]bool{}
	for info, err := range m.List(testContext(t), "") {
		if err != nil {
			t.Fatal(err)
		}
		if _, cerr := storage.CleanName(info.Name); cerr != nil || strings.ContainsFunc(info.Name, unicode.IsControl) || strings.Contains(info.Name, "/") || names[info.Name] {
			t.Errorf("listed as %q", info.Name)
		}
		names[info.Name] = true
		f, err := m.Open(testContext(t), info.Name)
		if err != nil {
			t.Errorf("%q: %v", info.Name, err)
			continue
		}
		if got := readAt(t, f, 0, 10); string(got) != "four" {
			t.Errorf("%q: %q", info.Name, got)
		}
		f.Close()
	}
	if !names["plain"] || len(names) < 5 {
		t.Errorf("%v", names)
	}
	for _, name := range []string{"../up", "a/../../b", "..", "x\r\nDELE plain", "x\x00"} {
		if _, err := m.Open(testContext(t), name); err == nil {
			t.Errorf("%q was opened", name)
		}
		if err := mountPut(t, m, name, "x", storage.CommitOptions{}); err == nil {
			t.Errorf("%q was written", name)
		}
	}
	if s.count("DELE") != 0 || s.count("STOR") != 0 {
		t.Errorf("%q", s.heard())
	}
}

// Two who write one name at once: the file is that of one of them, and who wants
// to be the first is that alone.
func TestMountTwoWriters(t *testing.T) {
	bodies := []string{strings.Repeat("a", 100_000), strings.Repeat("b", 90_000)}
	for _, first := range []bool{false, true} {
		s := newShelf(t, nil)
		var both sync.WaitGroup
		both.Add(2)
		s.handlers["STOR"] = func(c *talk, arg string) {
			both.Done()
			both.Wait()
			s.stor(c, arg)
		}
		m := s.mount(t, 4, MountOptions{})
		errs := make([]error, 2)
		var wg sync.WaitGroup
		for i, body := range bodies {
			wg.Go(func() { errs[i] = mountPut(t, m, "f", body, storage.CommitOptions{IfNoneMatch: first}) })
		}
		wg.Wait()
		won := 0
		for i, err := range errs {
			switch {
			case err == nil:
				won++
			case !first || !errors.Is(err, fs.ErrExist):
				t.Errorf("%d: %v", i, err)
			}
		}
		if first && won != 1 || !first && won != 2 {
			t.Errorf("%d have written, %v", won, errs)
		}
		got := s.all()
		if body := got["/f"]; len(got) != 1 || body != bodies[0] && body != bodies[1] {
			t.Errorf("%d files, %d bytes", len(got), len(body))
		}
		allBack(t, m.pool)
	}
}
