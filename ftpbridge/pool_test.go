package ftpbridge

import (
	"context"
	"io"
	"sync"
	"sync/atomic"
	"testing"
)

func newPool(t *testing.T, src Source) *Pool {
	t.Helper()
	p, err := NewPool(src)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Close() })
	return p
}

func TestPoolReuses(t *testing.T) {
	srv := (&scripted{files: map[string]string{"/f": "body"}}).start(t)
	src := srv.source(t, "")
	src.Connections = 3
	p := newPool(t, src)
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			err := p.Do(testContext(t), func(s Remote) error {
				_, err := fetchAll(testContext(t), s, "f", 0)
				return err
			})
			if err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if n := srv.count("USER"); n > 3 {
		t.Errorf("%d logins", n)
	}
}

// The server takes two sessions and says 421 to more.
func TestPoolFindsLimit(t *testing.T) {
	var now atomic.Int32
	srv := (&scripted{files: map[string]string{"/f": "body"}, handlers: map[string]func(*talk, string){
		"USER": func(c *talk, _ string) {
			if now.Add(1) > 2 {
				now.Add(-1)
				c.say("421 Too many connections (2) from this IP")
				c.Conn.Close()
				return
			}
			c.say("331 go on")
		},
	}}).start(t)
	src := srv.source(t, "")
	src.Connections = 8
	p := newPool(t, src)
	a, err := p.Get(testContext(t))
	if err != nil {
		t.Fatal(err)
	}
	b, err := p.Get(testContext(t))
	if err != nil {
		t.Fatal(err)
	}
	got := make(chan Remote)
	go func() {
		s, err := p.Get(testContext(t))
		if err != nil {
			t.Error(err)
		}
		got <- s
	}()
	p.Put(a)
	if c := <-got; c != nil {
		p.Put(c)
	}
	p.Put(b)
	if n := p.Limit(); n != 2 && srv.count("USER") > 2 {
		t.Errorf("limit %d", n)
	}
}

// Room that the server had not for a moment is found again.
func TestPoolGrowsBack(t *testing.T) {
	var calls atomic.Int32
	srv := (&scripted{handlers: map[string]func(*talk, string){"USER": func(c *talk, _ string) {
		if calls.Add(1) == 2 {
			c.say("421 Too many connections")
			c.Conn.Close()
			return
		}
		c.say("331 go on")
	}}}).start(t)
	src := srv.source(t, "")
	src.Connections = 2
	p := newPool(t, src)
	for range 2 { // the second is refused at first, while the first is out
		s, err := p.Get(testContext(t))
		if err != nil {
			t.Fatal(err)
		}
		defer p.Put(s)
	}
	if p.Limit() != 2 {
		t.Errorf("limit %d", p.Limit())
	}
}

func TestPoolWaitsForRoom(t *testing.T) {
	var calls atomic.Int32
	srv := (&scripted{handlers: map[string]func(*talk, string){"PASS": func(c *talk, _ string) {
		if calls.Add(1) == 1 {
			c.say("530 Sorry, the maximum number of clients (1) are already connected.")
			return
		}
		c.say("230 in")
	}}}).start(t)
	p := newPool(t, srv.source(t, ""))
	s, err := p.Get(testContext(t))
	if err != nil {
		t.Fatal(err)
	}
	defer p.Put(s)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	_, err = p.Get(ctx)
	want(t, err, []error{context.DeadlineExceeded}, "wait for a connection")
}

func TestPoolWrongPassword(t *testing.T) {
	srv := (&scripted{}).start(t)
	src := srv.source(t, "")
	src.URL.User = nil
	p := newPool(t, src)
	_, err := p.Get(testContext(t))
	want(t, err, []error{ErrLogin}, "anonymous")
	if n := srv.count("PASS"); n != 1 {
		t.Errorf("tried %d times", n)
	}
}

func TestPoolDropsBroken(t *testing.T) {
	srv := (&scripted{lists: map[string]string{"": unixLine("a", 1)}, handlers: map[string]func(*talk, string){
		"RETR": func(c *talk, _ string) { c.say("421 idle for too long"); c.Conn.Close() },
	}}).start(t)
	p := newPool(t, srv.source(t, ""))
	s, err := p.Get(testContext(t))
	if err != nil {
		t.Fatal(err)
	}
	_, err = s.Fetch(testContext(t), "f", 0)
	want(t, err, []error{ErrBusy})
	p.Put(s)
	if res, err := p.List(testContext(t), ""); err != nil || len(res.Entries) != 1 {
		t.Errorf("%v, %v", res, err)
	}
}

// A session that the server closed while it was idle is replaced without a word.
func TestPoolListsAgain(t *testing.T) {
	var first atomic.Bool
	srv := (&scripted{lists: map[string]string{"": unixLine("a", 1)}}).start(t)
	srv.handlers = map[string]func(*talk, string){"LIST": func(c *talk, arg string) {
		if first.CompareAndSwap(false, true) {
			c.say("421 timeout")
			c.Conn.Close()
			return
		}
		c.ordinary("LIST", arg)
	}}
	p := newPool(t, srv.source(t, ""))
	if res, err := p.List(testContext(t), ""); err != nil || len(res.Entries) != 1 {
		t.Errorf("%v, %v", res, err)
	}
}

func TestPoolClose(t *testing.T) {
	srv := (&scripted{files: map[string]string{"/f": "body"}}).start(t)
	p := newPool(t, srv.source(t, ""))
	s, err := p.Get(testContext(t))
	if err != nil {
		t.Fatal(err)
	}
	r, err := s.Fetch(testContext(t), "f", 0)
	if err != nil {
		t.Fatal(err)
	}
	p.Close()
	if body, err := io.ReadAll(r); string(body) != "body" || err != nil {
		t.Errorf("a session that is out: %q, %v", body, err)
	}
	p.Put(s)
	if !s.Broken() {
		t.Error("the session is open")
	}
	_, err = p.Get(testContext(t))
	want(t, err, []error{ErrClosed})
}

func TestPoolWarm(t *testing.T) {
	srv := (&scripted{files: map[string]string{"/f": "body"}}).start(t)
	src := srv.source(t, "")
	src.Connections = 4
	p := newPool(t, src)
	ctx := testContext(t)
	lead, err := p.Get(ctx)
	if err != nil {
		t.Fatal(err)
	}
	p.Warm(ctx, 3)
	p.Warm(ctx, 3) // no more than the pool has room for
	var others []Remote
	for range 3 {
		s, err := p.Get(ctx)
		if err != nil {
			t.Fatal(err)
		}
		others = append(others, s)
	}
	if n := srv.count("USER"); n != 4 {
		t.Errorf("%d logins for 4 sessions", n)
	}
	for _, s := range append(others, lead) {
		p.Put(s)
	}
	p.Close()
	p.Warm(ctx, 3)
	if _, err := p.Get(ctx); err == nil || srv.count("USER") != 4 {
		t.Error("a closed pool opened sessions")
	}
}
