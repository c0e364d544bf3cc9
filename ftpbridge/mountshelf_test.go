package ftpbridge

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

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
