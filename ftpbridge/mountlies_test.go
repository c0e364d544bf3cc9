package ftpbridge

import (
	"errors"
	"io"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"gateway/storage"
)

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
