package ftpbridge

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"net"
	"strconv"
	"strings"
	"testing"
	"time"
)

// retrServer makes a server whose RETR is h.
func retrServer(t *testing.T, h func(*talk, string)) *scripted {
	t.Helper()
	return (&scripted{files: map[string]string{"/good": "good"}, handlers: map[string]func(*talk, string){
		"RETR": func(c *talk, arg string) {
			if arg == "/good" {
				c.ordinary("RETR", arg)
				return
			}
			h(c, arg)
		},
	}}).start(t)
}

func TestFetchEnds(t *testing.T) {
	for _, tc := range []struct {
		name  string
		h     func(*talk, string)
		is    []error // nil: a good end
		words string
		alive bool
	}{
		{"226", func(c *talk, _ string) { c.stream("half", "226 done") }, nil, "", true},
		{"250", func(c *talk, _ string) { c.stream("half", "250 done") }, nil, "", true},
		{"125 and a mark", func(c *talk, _ string) {
			c.say("125 already open")
			d := c.accept()
			io.WriteString(d, "half")
			d.Close()
			c.say("110 MARK\r\n226-many\r\n words\r\n226 done")
		}, nil, "", true},
		{"226 before the data", func(c *talk, _ string) {
			c.say("150 go\r\n226 done")
			d := c.accept()
			io.WriteString(d, "half")
			d.Close()
		}, nil, "", true},
		{"426", func(c *talk, _ string) { c.stream("half", "426 cut") }, []error{io.ErrUnexpectedEOF}, "426 cut", true},
		{"451", func(c *talk, _ string) { c.stream("half", "451 disk") }, []error{io.ErrUnexpectedEOF}, "after 4 bytes", true},
		{"421", func(c *talk, _ string) { c.stream("half", "421 bye") }, []error{io.ErrUnexpectedEOF}, "421 bye", false},
		{"no 226", func(c *talk, _ string) { c.stream("half", ""); c.hang() }, []error{io.ErrUnexpectedEOF, ErrTimeout}, "no confirmation", false},
		{"control lost", func(c *talk, _ string) { c.stream("half", ""); c.Conn.Close() }, []error{io.ErrUnexpectedEOF}, "no confirmation", false},
		{"reset", func(c *talk, _ string) {
			c.say("150 go")
			d := c.accept()
			io.WriteString(d, "half")
			d.(*net.TCPConn).SetLinger(0)
			d.Close()
			c.say("426 aborted")
		}, []error{io.ErrUnexpectedEOF}, "426 aborted", false},
		{"data stops", func(c *talk, _ string) {
			c.say("150 go")
			d := c.accept()
			defer d.Close()
			io.WriteString(d, "half")
			c.hang()
		}, []error{io.ErrUnexpectedEOF, ErrTimeout}, "after 4 bytes", false},
		{"data drips", func(c *talk, _ string) {
			c.say("150 go")
			d := c.accept()
			defer d.Close()
			for range 1000 {
				if _, err := io.WriteString(d, "."); err != nil {
					return
				}
				time.Sleep(patience / 10)
			}
		}, []error{io.ErrUnexpectedEOF, ErrTimeout}, "", false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			srv := retrServer(t, tc.h)
			src := srv.source(t, "")
			src.Timeout = patience
			s := mustDial(t, src)
			r, err := s.Fetch(testContext(t), "bad", 0)
			if err != nil {
				t.Fatal(err)
			}
			body, err := io.ReadAll(r)
			if !strings.HasPrefix(string(body), "half") && tc.name != "data drips" && tc.name != "reset" {
				t.Errorf("body %q", body)
			}
			cerr := r.Close()
			if tc.is == nil {
				if err != nil || cerr != nil {
					t.Fatalf("read: %v, close: %v", err, cerr)
				}
			} else {
				want(t, err, tc.is, tc.words, `"bad"`)
				want(t, cerr, tc.is)
				if !Temporary(err) {
					t.Error("not temporary")
				}
			}
			if s.Broken() == tc.alive {
				t.Errorf("broken: %v", s.Broken())
			}
			if tc.alive {
				if got, err := fetchAll(testContext(t), s, "good", 0); err != nil || got != "good" {
					t.Errorf("afterwards: %q, %v", got, err)
				}
			}
		})
	}
}

func TestFetchRefused(t *testing.T) {
	for _, tc := range []struct {
		reply string
		is    error
	}{
		{"550 bad: No such file or directory", fs.ErrNotExist},
		{"550 Permission denied", fs.ErrPermission},
		{"500 what", ErrUnsupported},
		{"226 nothing to send", nil},
	} {
		srv := retrServer(t, func(c *talk, _ string) { c.say("%s", tc.reply) })
		s := srv.dial(t)
		_, err := s.Fetch(testContext(t), "bad", 7)
		if tc.is != nil {
			want(t, err, []error{tc.is})
		}
		want(t, err, nil, tc.reply, "RETR", `"bad"`)
		if got, err := fetchAll(testContext(t), s, "good", 0); err != nil || got != "good" {
			t.Errorf("afterwards: %q, %v (the offset is still waiting?)", got, err)
		}
	}
}

func TestResume(t *testing.T) {
	srv := (&scripted{files: map[string]string{"/f": "0123456789"}}).start(t)
	s := srv.dial(t)
	for offset, body := range map[int64]string{0: "0123456789", 4: "456789", 10: ""} {
		if got, err := fetchAll(testContext(t), s, "f", offset); err != nil || got != body {
			t.Errorf("from %d: %q, %v", offset, got, err)
		}
	}
	_, err := s.Fetch(testContext(t), "f", -1)
	want(t, err, []error{fs.ErrInvalid})
}

func TestResumeRefused(t *testing.T) {
	srv := (&scripted{files: map[string]string{"/f": "0123456789"},
		handlers: map[string]func(*talk, string){"REST": func(c *talk, arg string) {
			if arg == "0" {
				c.say("350 ok")
				return
			}
			c.say("502 no REST")
		}}}).start(t)
	s := srv.dial(t)
	_, err := s.Fetch(testContext(t), "f", 4)
	want(t, err, []error{ErrUnsupported}, "resume")
	if got, err := fetchAll(testContext(t), s, "f", 0); err != nil || got != "0123456789" {
		t.Errorf("afterwards: %q, %v", got, err)
	}
}

func TestFetchAbort(t *testing.T) {
	srv := retrServer(t, func(c *talk, _ string) {
		c.say("150 go")
		d := c.accept()
		defer d.Close()
		for {
			if _, err := d.Write(make([]byte, 1<<16)); err != nil {
				return
			}
		}
	})
	s := srv.dial(t)
	r, err := s.Fetch(testContext(t), "endless", 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(r, make([]byte, 1000)); err != nil {
		t.Fatal(err)
	}
	_, err = s.Size(testContext(t), "f")
	want(t, err, []error{ErrInUse})
	want(t, r.Close(), []error{ErrAborted}, "after 1000 bytes")
	want(t, r.Close(), []error{ErrAborted})
	if _, err := r.Read(make([]byte, 1)); !errors.Is(err, ErrAborted) {
		t.Errorf("read after close: %v", err)
	}
	if !s.Broken() {
		t.Error("the session goes on after an abort")
	}
	if n := srv.count("ABOR"); n != 0 { // it brings one reply or two, and nobody knows which
		t.Errorf("%d ABOR", n)
	}
}

func TestFetchCancel(t *testing.T) {
	srv := retrServer(t, func(c *talk, _ string) {
		c.say("150 go")
		d := c.accept()
		defer d.Close()
		io.WriteString(d, "half")
		c.hang()
	})
	s := srv.dial(t)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	r, err := s.Fetch(ctx, "stuck", 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(r, make([]byte, 4)); err != nil {
		t.Fatal(err)
	}
	cancel()
	_, err = io.ReadAll(r)
	want(t, err, []error{context.Canceled})
	want(t, r.Close(), []error{context.Canceled})
}

func TestPassive(t *testing.T) {
	pasv := func(format string, args func(port int) []any) map[string]func(*talk, string) {
		return map[string]func(*talk, string){
			"EPSV": func(c *talk, _ string) { c.say("500 no EPSV") },
			"PASV": func(c *talk, _ string) { c.say(format, args(c.listen())...) },
		}
	}
	ports := func(p int) []any { return []any{p / 256, p % 256} }
	none := func(int) []any { return nil }
	epsv := func(reply string) map[string]func(*talk, string) {
		return map[string]func(*talk, string){"EPSV": func(c *talk, _ string) { c.say("%s", reply) }}
	}
	for _, tc := range []struct {
		name  string
		h     map[string]func(*talk, string)
		is    error // nil: works
		words string
	}{
		{"another host", pasv("227 Passive (10,9,8,7,%d,%d)", ports), nil, ""},
		{"no parentheses", pasv("227 Passive 10,9,8,7,%d,%d", ports), nil, ""},
		{"low port", pasv("227 Passive (127,0,0,1,0,22)", none), ErrProtocol, "port 22"},
		{"torn", pasv("227 Passive (127,0,0", none), ErrProtocol, "torn"},
		{"closed before open", pasv("227 Passive )(", none), ErrProtocol, "torn"},
		{"numbers too big", pasv("227 Passive (127,0,0,1,999,999)", none), ErrProtocol, "torn"},
		{"refused", pasv("425 no port", none), nil, ""},
		{"torn EPSV", epsv("229 Extended (|||"), nil, ""},
		{"closed EPSV", epsv("229 )(||||"), nil, ""},
		{"EPSV to a low port", epsv("229 Extended (|||21|)"), nil, ""},
		{"other delimiter", map[string]func(*talk, string){"EPSV": func(c *talk, _ string) { c.say("229 Extended (!!!%d!)", c.listen()) }}, nil, ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			srv := (&scripted{files: map[string]string{"/f": "body"}, handlers: tc.h}).start(t)
			s := srv.dial(t)
			got, err := fetchAll(testContext(t), s, "f", 0)
			switch {
			case tc.name == "refused":
				want(t, err, nil, "425 no port", "PASV")
			case tc.is != nil:
				want(t, err, []error{tc.is}, tc.words)
			case err != nil || got != "body":
				t.Errorf("%q, %v", got, err)
			}
			if s.Broken() {
				t.Error("broken")
			}
		})
	}
}

// A firewall that knows PASV but not EPSV leaves the announced port closed.
func TestDeadEPSVPort(t *testing.T) {
	srv := (&scripted{files: map[string]string{"/f": "body"}, handlers: map[string]func(*talk, string){
		"EPSV": func(c *talk, _ string) {
			ln, err := net.Listen("tcp4", "127.0.0.1:0")
			if err != nil {
				return
			}
			ln.Close()
			_, port, _ := net.SplitHostPort(ln.Addr().String())
			c.say("229 (|||%s|)", port)
		},
	}}).start(t)
	s := srv.dial(t)
	for range 3 {
		if got, err := fetchAll(testContext(t), s, "f", 2); err != nil || got != "dy" {
			t.Fatalf("%q, %v", got, err)
		}
	}
	if e, p := srv.count("EPSV"), srv.count("PASV"); e != 1 || p != 3 {
		t.Errorf("%d EPSV and %d PASV", e, p)
	}
}

func TestServerThatIgnoresREST(t *testing.T) {
	srv := (&scripted{files: map[string]string{"/f": "0123456789"}, handlers: map[string]func(*talk, string){
		"REST": func(c *talk, arg string) { c.say("350 sure, %s", strconv.Quote(arg)) },
	}}).start(t)
	s := srv.dial(t)
	// Nothing on the wire shows it: what comes is what the caller gets, to compare.
	if got, err := fetchAll(testContext(t), s, "f", 4); err != nil || got != "0123456789" {
		t.Errorf("%q, %v", got, err)
	}
}
