package ftpbridge

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"net"
	"runtime"
	"strings"
	"testing"
	"time"
)

// everyCall is every method of a session that sends a name.
func everyCall(s *Session) map[string]func(ctx context.Context, name string) error {
	return map[string]func(context.Context, string) error{
		"CWD":  func(ctx context.Context, name string) error { _, err := s.List(ctx, name); return err },
		"RETR": func(ctx context.Context, name string) error { _, err := fetchAll(ctx, s, name, 0); return err },
		"SIZE": func(ctx context.Context, name string) error { _, err := s.Size(ctx, name); return err },
		"MDTM": func(ctx context.Context, name string) error { _, err := s.ModTime(ctx, name); return err },
		"MLST": func(ctx context.Context, name string) error { _, err := s.Stat(ctx, name); return err },
		"HASH": func(ctx context.Context, name string) error { _, _, err := s.Hash(ctx, name, -1); return err },
		"STOR": func(ctx context.Context, name string) error {
			_, err := s.Store(ctx, name, strings.NewReader("x"), 0)
			return err
		},
		"DELE": s.Remove, "RMD": s.RemoveDir, "MKD": s.MakeDir,
		"RNFR": func(ctx context.Context, name string) error { return s.Rename(ctx, name, "to") },
		"RNTO": func(ctx context.Context, name string) error { return s.Rename(ctx, "from", name) },
		"MFMT": func(ctx context.Context, name string) error { return s.SetModTime(ctx, name, time.Unix(0, 0)) },
	}
}

// hostileServer knows every command; answer makes some answers for them.
func hostileServer(handlers map[string]func(*talk, string)) *scripted {
	srv := &scripted{feat: []string{"MFMT", "HASH SHA-256*"}, lists: map[string]string{"/d": ""}}
	srv.handlers = map[string]func(*talk, string){
		"RNFR": func(c *talk, _ string) { c.say("350 to what?") },
		"MKD":  func(c *talk, _ string) { c.say("257 made") },
	}
	for _, verb := range []string{"RNTO", "DELE", "RMD"} {
		srv.handlers[verb] = func(c *talk, _ string) { c.say("250 fine") }
	}
	for verb, h := range handlers {
		srv.handlers[verb] = h
	}
	return srv
}

// A name with a line break is refused before anything is sent, by every command,
// and the next command gets its own answer.
func TestNoInjectionAnywhere(t *testing.T) {
	srv := hostileServer(nil)
	srv.files = map[string]string{"/good": "good"}
	srv.start(t)
	s := srv.dial(t)
	for verb, call := range everyCall(s) {
		for _, name := range []string{"a\r\nDELE good", "a\nDELE good", "a\rDELE good", "a\x00b", "\r\n", strings.Repeat("x", maxPathLength+1)} {
			before := len(srv.heard())
			want(t, call(testContext(t), name), []error{ErrName})
			if now := srv.heard(); len(now) != before {
				t.Fatalf("%s %q: %q was sent", verb, name, now[before:])
			}
		}
		if n, err := s.Size(testContext(t), "good"); n != 4 || err != nil {
			t.Fatalf("after %s: size %d, %v", verb, n, err)
		}
	}
	if srv.count("DELE") != 0 || s.Broken() {
		t.Errorf("%d DELE, broken %v", srv.count("DELE"), s.Broken())
	}
}

// Whatever a server says, no error shows it raw.
func TestEscapesInReplies(t *testing.T) {
	poison := "\x1b[31mred\x07\x1b]0;title\x07 \x9b2J \u009b \u202e \x00 \r over"
	for verb := range everyCall(nil) {
		for _, reply := range []string{"550 ", "500 ", "150 ", "213 ", "226 ", "", "550-x\r\n"} {
			t.Run(verb+" "+reply, func(t *testing.T) {
				t.Parallel()
				srv := hostileServer(map[string]func(*talk, string){verb: func(c *talk, _ string) {
					c.say("%s%s", reply, poison)
					if strings.HasSuffix(reply, "\r\n") || verb == "RETR" || verb == "STOR" {
						c.say("550 %s", poison)
					}
				}}).start(t)
				src := srv.source(t, "")
				src.Timeout = patience
				s := mustDial(t, src)
				if err := everyCall(s)[verb](testContext(t), "/d"); err != nil {
					want(t, err, nil)
				}
			})
		}
	}
}

// Replies that do not end, or hardly begin, at every step of a session.
func TestEndlessReplies(t *testing.T) {
	flood := func(c *talk, piece string) {
		for {
			if _, err := io.WriteString(c, piece); err != nil {
				return
			}
		}
	}
	ways := map[string]struct {
		h  func(*talk, string)
		is error // or ErrTimeout, on a machine that is busy
	}{
		"line":        {func(c *talk, _ string) { flood(c, strings.Repeat("2", 1000)) }, ErrProtocol},
		"lines":       {func(c *talk, _ string) { flood(c, strings.Repeat("213-more and more\r\n", 100)) }, ErrProtocol},
		"blank lines": {func(c *talk, _ string) { flood(c, strings.Repeat("\r\n", 1000)) }, ErrProtocol},
		"preliminary": {func(c *talk, _ string) { flood(c, strings.Repeat("110 wait\r\n", 100)) }, ErrProtocol},
		"silence":     {func(c *talk, _ string) { c.hang() }, ErrTimeout},
		"drip": {func(c *talk, _ string) {
			for {
				if _, err := io.WriteString(c, "2"); err != nil {
					return
				}
				time.Sleep(patience / 10) // a byte a minute, to a timeout of ten minutes
			}
		}, ErrTimeout},
		"half": {func(c *talk, _ string) { io.WriteString(c, "213-begun\r\n 21"); c.hang() }, ErrTimeout},
	}
	for way, w := range ways {
		for _, verb := range []string{"USER", "PASS", "FEAT", "TYPE", "SYST", "PWD", "CWD", "EPSV", "LIST", "RETR", "SIZE", "DELE", "RNTO"} {
			if way == "preliminary" && (verb == "RETR" || verb == "LIST") {
				continue // the first means that data comes
			}
			t.Run(way+" "+verb, func(t *testing.T) {
				t.Parallel()
				srv := hostileServer(map[string]func(*talk, string){verb: w.h})
				srv.files = map[string]string{"/d": "x"}
				srv.start(t)
				src := srv.source(t, "")
				src.Timeout = patience
				s, err := Dial(testContext(t), src)
				if err == nil {
					defer s.Close()
					calls := everyCall(s)
					for _, v := range []string{"CWD", "RETR", "SIZE", "DELE", "RNTO"} {
						if err = calls[v](testContext(t), "/d"); s.Broken() {
							break
						}
					}
					if !s.Broken() {
						t.Error("the session goes on")
					}
				}
				if !errors.Is(err, ErrTimeout) {
					want(t, err, []error{w.is})
				}
			})
		}
	}
}

// The same after a transfer, whose data came whole: without a confirmation it is
// not whole.
func TestNoConfirmation(t *testing.T) {
	for name, after := range map[string]func(*talk){
		"silence":          func(c *talk) { c.hang() },
		"endless line":     func(c *talk) { io.WriteString(c, strings.Repeat("2", 2*MaxReplyLine)); c.hang() },
		"only preliminary": func(c *talk) { io.WriteString(c, strings.Repeat("110 wait\r\n", 2*maxPreliminary)); c.hang() },
		"closes":           func(c *talk) { c.Conn.Close() },
		"no reply":         func(c *talk) { c.say("this is the end"); c.hang() },
		"refusal":          func(c *talk) { c.say("451 read error") },
		"asks back":        func(c *talk) { c.say("350 and now?") },
	} {
		for _, verb := range []string{"RETR", "LIST", "STOR"} {
			t.Run(verb+" "+name, func(t *testing.T) {
				srv := hostileServer(map[string]func(*talk, string){verb: func(c *talk, _ string) {
					c.say("150 go")
					d := c.accept()
					if verb == "STOR" {
						io.Copy(io.Discard, d)
					} else {
						io.WriteString(d, unixLine("whole", 1))
					}
					d.Close()
					after(c)
				}})
				srv.start(t)
				src := srv.source(t, "")
				src.Timeout = patience
				s := mustDial(t, src)
				err := everyCall(s)[map[string]string{"RETR": "RETR", "LIST": "CWD", "STOR": "STOR"}[verb]](testContext(t), "/d")
				want(t, err, []error{io.ErrUnexpectedEOF}, "after")
			})
		}
	}
}

// A reply too many is noticed before the next command even when it comes late.
func TestLateUnaskedReply(t *testing.T) {
	told := make(chan struct{})
	srv := (&scripted{handlers: map[string]func(*talk, string){"SIZE": func(c *talk, _ string) {
		c.say("213 5")
		time.Sleep(20 * time.Millisecond)
		c.say("250 deleted")
		close(told)
	}}}).start(t)
	s := srv.dial(t)
	if n, err := s.Size(testContext(t), "/f"); n != 5 || err != nil {
		t.Fatalf("size %d, %v", n, err)
	}
	<-told
	for !arrived(s.ctl.raw) {
		runtime.Gosched()
	}
	want(t, s.Remove(testContext(t), "/f"), []error{ErrUnreachable}, "unasked", "250 deleted")
	if srv.count("DELE") != 0 || !s.Broken() {
		t.Errorf("%d DELE, broken %v", srv.count("DELE"), s.Broken())
	}
}

// Both passive ports dead: a clear end, and a session that goes on.
func TestDeadPassivePorts(t *testing.T) {
	dead := func() (hi, lo int) {
		ln, err := net.Listen("tcp4", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer ln.Close()
		port := ln.Addr().(*net.TCPAddr).Port
		return port >> 8, port & 255
	}
	srv := (&scripted{files: map[string]string{"/f": "x"}, handlers: map[string]func(*talk, string){
		"EPSV": func(c *talk, _ string) { hi, lo := dead(); c.say("229 (|||%d|)", hi<<8|lo) },
		"PASV": func(c *talk, _ string) { hi, lo := dead(); c.say("227 (127,0,0,1,%d,%d)", hi, lo) },
	}}).start(t)
	s := srv.dial(t)
	_, err := fetchAll(testContext(t), s, "f", 0)
	want(t, err, []error{ErrUnreachable}, "passive ports", "firewall")
	if n, err := s.Size(testContext(t), "f"); n != 1 || err != nil {
		t.Errorf("afterwards: %d, %v", n, err)
	}
}

// What PASV and EPSV say leads to no other host and to no port of another service.
func TestPassiveElsewhere(t *testing.T) {
	bait, err := net.Listen("tcp4", "127.0.0.2:0")
	if err != nil {
		t.Fatal(err)
	}
	defer bait.Close()
	port := bait.Addr().(*net.TCPAddr).Port
	for name, h := range map[string]map[string]func(*talk, string){
		"PASV": {"EPSV": func(c *talk, _ string) { c.say("500 no") },
			"PASV": func(c *talk, _ string) { c.say("227 (127,0,0,2,%d,%d)", port>>8, port&255) }},
		"EPSV with an address": {"EPSV": func(c *talk, _ string) { c.say("229 (|1|127.0.0.2|%d|)", port) },
			"PASV": func(c *talk, _ string) { c.say("227 (127,0,0,2,0,22)") }},
		"EPSV port 0":     {"EPSV": func(c *talk, _ string) { c.say("229 (|||0|)") }, "PASV": func(c *talk, _ string) { c.say("502 no") }},
		"EPSV port 65536": {"EPSV": func(c *talk, _ string) { c.say("229 (|||65536|)") }, "PASV": func(c *talk, _ string) { c.say("502 no") }},
		"EPSV port -1":    {"EPSV": func(c *talk, _ string) { c.say("229 (|||-1|)") }, "PASV": func(c *talk, _ string) { c.say("502 no") }},
	} {
		t.Run(name, func(t *testing.T) {
			srv := (&scripted{files: map[string]string{"/f": "x"}, handlers: h}).start(t)
			s := srv.dial(t)
			_, err := fetchAll(testContext(t), s, "f", 0)
			want(t, err, nil)
			if s.Broken() {
				t.Error("broken")
			}
		})
	}
	bait.(*net.TCPListener).SetDeadline(time.Now().Add(50 * time.Millisecond))
	if c, err := bait.Accept(); err == nil {
		c.Close()
		t.Error("the server led us to another host")
	}
}

// A host that was not parsed from a URL may hold anything.
func TestHostileHost(t *testing.T) {
	src, err := ParseSource("ftp://host/")
	if err != nil {
		t.Fatal(err)
	}
	src.URL.Host = "host\r\nX: y"
	_, err = Dial(testContext(t), src)
	want(t, err, []error{ErrSource}, "line break")
	if errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
}
