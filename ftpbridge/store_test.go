package ftpbridge

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
	"time"
)

// store makes the server take STOR and APPE, and say end when it has everything.
func (s *scripted) store(end string) *scripted {
	take := func(c *talk, arg string, from int) {
		c.say("150 send it")
		d := c.accept()
		if d == nil {
			c.say("425 nobody came")
			return
		}
		body, _ := io.ReadAll(d)
		d.Close()
		s.mu.Lock()
		old := s.files[c.abs(arg)]
		s.files[c.abs(arg)] = old[:min(from, len(old))] + string(body)
		s.mu.Unlock()
		c.say("%s", end)
	}
	if s.files == nil {
		s.files = map[string]string{}
	}
	if s.handlers == nil {
		s.handlers = map[string]func(*talk, string){}
	}
	s.handlers["STOR"] = func(c *talk, arg string) {
		from := int(c.rest)
		c.rest = 0
		take(c, arg, from)
	}
	s.handlers["APPE"] = func(c *talk, arg string) { take(c, arg, 1<<30) }
	return s
}

func (s *scripted) file(path string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.files[path]
}

func TestStore(t *testing.T) {
	srv := (&scripted{}).store("226 got it").start(t)
	s := srv.dial(t)
	for _, body := range []string{"", "x", strings.Repeat("0123456789", 100_000)} {
		n, err := s.Store(testContext(t), "f", strings.NewReader(body), 0)
		if err != nil || n != int64(len(body)) || srv.file("/f") != body {
			t.Errorf("%d of %d bytes, %v; it has %d", n, len(body), err, len(srv.file("/f")))
		}
	}
	if _, err := s.Store(testContext(t), "f", strings.NewReader("short"), 0); err != nil || srv.file("/f") != "short" {
		t.Errorf("replaced: %q, %v", srv.file("/f"), err)
	}
	n, err := s.Store(testContext(t), "f", strings.NewReader("ly said"), 5)
	if err != nil || n != 7 || srv.file("/f") != "shortly said" {
		t.Errorf("continued: %q, %d, %v", srv.file("/f"), n, err)
	}
	_, err = s.Store(testContext(t), "f", strings.NewReader("x"), 13)
	want(t, err, []error{fs.ErrInvalid}, "13", "12")
	_, err = s.Store(testContext(t), "f", strings.NewReader("x"), -1)
	want(t, err, []error{fs.ErrInvalid})
	_, err = s.Store(testContext(t), "none", strings.NewReader("x"), 3)
	want(t, err, []error{fs.ErrNotExist})
}

// The ways in which an upload ends badly; after each that leaves the session
// alive the next one works.
func TestStoreEnds(t *testing.T) {
	size := func(answer string) func(*talk, string) {
		return func(c *talk, arg string) {
			if arg == "/good" {
				c.ordinary("SIZE", arg)
				return
			}
			c.say("%s", answer)
		}
	}
	take := func(c *talk) { d := c.accept(); io.Copy(io.Discard, d); d.Close() }
	for _, tc := range []struct {
		name  string
		verb  string
		h     func(*talk, string)
		is    []error // nil: a good end
		words string
		alive bool
	}{
		{"no SIZE", "SIZE", size("502 no"), nil, "", true},
		{"SIZE too small", "SIZE", size("213 3"), []error{io.ErrUnexpectedEOF}, "4 bytes and holds 3", true},
		{"SIZE too large", "SIZE", size("213 5"), []error{io.ErrUnexpectedEOF}, "holds 5", true},
		{"SIZE refused", "SIZE", size("550 Permission denied"), []error{ErrUnconfirmed, fs.ErrPermission}, "550", true},
		{"SIZE is a joke", "SIZE", size("213 many"), []error{ErrUnconfirmed, ErrProtocol}, "many", true},
		{"refused", "STOR", func(c *talk, _ string) { c.say("553 Permission denied.") }, []error{fs.ErrPermission}, "553", true},
		{"226 at once", "STOR", func(c *talk, _ string) { c.say("226 thanks") }, []error{}, "226", true},
		{"552 in the end", "STOR", func(c *talk, _ string) { c.say("150 go"); take(c); c.say("552 quota exceeded") }, []error{io.ErrUnexpectedEOF}, "552 quota", true},
		{"250", "STOR", func(c *talk, a string) { c.say("125 go"); take(c); c.say("250 done") }, []error{ErrUnconfirmed, fs.ErrNotExist}, "no such file", true},
		{"no final reply", "STOR", func(c *talk, _ string) { c.say("150 go"); take(c); c.hang() }, []error{io.ErrUnexpectedEOF, ErrTimeout}, "no confirmation", false},
		{"never closes data", "STOR", func(c *talk, _ string) {
			c.say("150 go")
			d := c.accept()
			defer d.Close()
			c.hang()
		}, []error{io.ErrUnexpectedEOF, ErrTimeout}, "no confirmation", false},
		{"goes away", "STOR", func(c *talk, _ string) { c.say("150 go"); take(c); c.Conn.Close() }, []error{io.ErrUnexpectedEOF}, "no confirmation", false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			srv := (&scripted{}).store("226 got it")
			ordinary := srv.handlers["STOR"]
			srv.handlers[tc.verb] = tc.h
			if tc.verb == "STOR" {
				srv.handlers["STOR"] = func(c *talk, arg string) {
					if arg == "/good" {
						ordinary(c, arg)
						return
					}
					tc.h(c, arg)
				}
			}
			srv.start(t)
			src := srv.source(t, "")
			src.Timeout = patience
			s := mustDial(t, src)
			_, err := s.Store(testContext(t), "bad", strings.NewReader("four"), 0)
			if tc.is == nil {
				if err != nil {
					t.Fatal(err)
				}
			} else {
				want(t, err, tc.is, tc.words, `"bad"`)
			}
			if s.Broken() == tc.alive {
				t.Errorf("broken: %v", s.Broken())
			}
			if tc.alive {
				if _, err := s.Store(testContext(t), "good", strings.NewReader("g"), 0); err != nil || srv.file("/good") != "g" {
					t.Errorf("afterwards: %q, %v", srv.file("/good"), err)
				}
			}
		})
	}
}

// A server that stops reading, or that refuses in the middle, ends an upload of
// any length.
func TestStoreStalls(t *testing.T) {
	for name, h := range map[string]func(*talk, string){
		"stops reading": func(c *talk, _ string) {
			c.say("150 go")
			d := c.accept()
			defer d.Close()
			c.hang()
		},
		"closes": func(c *talk, _ string) {
			c.say("150 go")
			d := c.accept()
			io.ReadFull(d, make([]byte, 1000))
			d.Close()
			c.say("552 the disk is full")
		},
	} {
		t.Run(name, func(t *testing.T) {
			srv := (&scripted{handlers: map[string]func(*talk, string){"STOR": h}}).start(t)
			src := srv.source(t, "")
			src.Timeout = patience
			s := mustDial(t, src)
			_, err := s.Store(testContext(t), "f", endless{}, 0)
			want(t, err, []error{io.ErrUnexpectedEOF})
			if name == "closes" {
				want(t, err, nil, "552 the disk is full")
			} else {
				want(t, err, []error{ErrTimeout})
			}
			if !s.Broken() {
				t.Error("the session goes on")
			}
		})
	}
}

type endless struct{}

func (endless) Read(p []byte) (int, error) { return len(p), nil }

func TestStoreReaderFails(t *testing.T) {
	ended := make(chan error, 1)
	srv := (&scripted{handlers: map[string]func(*talk, string){"STOR": func(c *talk, _ string) {
		c.say("150 go")
		d := c.accept()
		defer d.Close()
		_, err := io.ReadAll(d)
		ended <- err
	}}}).start(t)
	s := srv.dial(t)
	broken := errors.New("disk on fire")
	_, err := s.Store(testContext(t), "f", io.MultiReader(strings.NewReader("half"), iotest.ErrReader(broken)), 0)
	want(t, err, []error{broken, ErrAborted}, "after 4 bytes")
	if err := <-ended; err == nil {
		t.Error("the server took the half for a whole file")
	}
	if !s.Broken() {
		t.Error("the session goes on")
	}
}

func TestStoreCancel(t *testing.T) {
	srv := (&scripted{handlers: map[string]func(*talk, string){"STOR": func(c *talk, _ string) {
		c.say("150 go")
		d := c.accept()
		defer d.Close()
		c.hang()
	}}}).start(t)
	s := srv.dial(t)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	_, err := s.Store(ctx, "f", endless{}, 0)
	want(t, err, []error{context.DeadlineExceeded})
}

// Where the server has no REST, APPE continues a file that ends at the offset,
// and nothing else does.
func TestStoreAppends(t *testing.T) {
	srv := (&scripted{files: map[string]string{"/f": "01234"}, handlers: map[string]func(*talk, string){
		"REST": func(c *talk, arg string) { c.say("502 no REST") },
	}}).store("226 got it").start(t)
	s := srv.dial(t)
	if _, err := s.Store(testContext(t), "f", strings.NewReader("56"), 5); err != nil || srv.file("/f") != "0123456" {
		t.Fatalf("%q, %v", srv.file("/f"), err)
	}
	_, err := s.Store(testContext(t), "f", strings.NewReader("x"), 3)
	want(t, err, []error{ErrUnsupported})
	if srv.file("/f") != "0123456" || srv.count("APPE") != 1 {
		t.Errorf("%q after %d APPE", srv.file("/f"), srv.count("APPE"))
	}
}

// A server that says yes to REST and stores from the start is found out.
func TestStoreIgnoredREST(t *testing.T) {
	srv := (&scripted{files: map[string]string{"/f": "01234"}, handlers: map[string]func(*talk, string){
		"REST": func(c *talk, arg string) { c.say("350 sure") },
	}}).store("226 got it").start(t)
	s := srv.dial(t)
	_, err := s.Store(testContext(t), "f", strings.NewReader("56"), 5)
	want(t, err, []error{io.ErrUnexpectedEOF}, "holds 2")
}

func TestChangeReplies(t *testing.T) {
	answers := map[string]string{
		"200": "200 done", "250": "250 done", "257": `257 "x" done`, "226": "226 done", "202": "202 superfluous", "unknown": "502 what",
		"missing": "550 No such file or directory", "denied": "550 Permission denied", "exists": "550 x: File exists",
		"521": "521 directory is there", "quiet": "550 Operation failed.", "350": "350 more?", "busy": "450 busy",
	}
	h := func(c *talk, arg string) { c.say("%s", answers[strings.TrimPrefix(arg, "/")]) }
	srv := (&scripted{lists: map[string]string{"/there": ""}, handlers: map[string]func(*talk, string){"DELE": h, "RMD": h, "MKD": h}}).start(t)
	s := srv.dial(t)
	for verb, do := range map[string]func(context.Context, string) error{"DELE": s.Remove, "RMD": s.RemoveDir, "MKD": s.MakeDir} {
		for name, is := range map[string]error{
			"200": nil, "250": nil, "257": nil, "226": nil, "202": ErrUnsupported, "unknown": ErrUnsupported, "missing": fs.ErrNotExist,
			"denied": fs.ErrPermission, "exists": fs.ErrExist, "521": fs.ErrExist, "quiet": errReply, "350": errReply, "busy": errReply,
		} {
			err := do(testContext(t), name)
			var re *ReplyError
			switch {
			case is == nil && err != nil:
				t.Errorf("%s: %v", verb, err)
			case errors.Is(is, errReply):
				if !errors.As(err, &re) || errors.Is(err, fs.ErrExist) || errors.Is(err, fs.ErrNotExist) {
					t.Errorf("%s %s: %v", verb, name, err)
				}
			case is != nil:
				want(t, err, []error{is}, verb, `"`+name+`"`)
			}
		}
	}
	answers["there"] = "550 Create directory operation failed."
	want(t, s.MakeDir(testContext(t), "there"), []error{fs.ErrExist})
	if s.Broken() {
		t.Error("broken")
	}
}

// errReply stands for any ReplyError.
var errReply = errors.New("a reply")

func TestRename(t *testing.T) {
	srv := (&scripted{handlers: map[string]func(*talk, string){
		"RNFR": func(c *talk, arg string) {
			if arg == "/missing" {
				c.say("550 no such file")
				return
			}
			c.say("350 to what?")
		},
		"RNTO": func(c *talk, arg string) {
			if arg == "/taken" {
				c.say("553 file exists")
				return
			}
			c.say("200 fine")
		},
	}}).start(t)
	s := srv.dial(t)
	if err := s.Rename(testContext(t), "a", "b"); err != nil {
		t.Error(err)
	}
	want(t, s.Rename(testContext(t), "missing", "b"), []error{fs.ErrNotExist}, `"missing"`)
	want(t, s.Rename(testContext(t), "a", "taken"), []error{fs.ErrExist}, `"a"`, `"taken"`)
	before := len(srv.heard())
	want(t, s.Rename(testContext(t), "a", "b\r\nDELE a"), []error{ErrName})
	if n := len(srv.heard()) - before; n != 0 {
		t.Errorf("%d commands were sent, and RNFR may be waiting", n)
	}
	equal(t, slices.DeleteFunc(srv.heard(), func(l string) bool { return !strings.HasPrefix(l, "RN") }),
		[]string{"RNFR /a", "RNTO /b", "RNFR /missing", "RNFR /a", "RNTO /taken"})
}

// After a rename the current directory has another name, or is not the one that
// the old name now leads to.
func TestRenamedCurrentDirectory(t *testing.T) {
	srv := (&scripted{lists: map[string]string{"/a": "", "/b": ""}, handlers: map[string]func(*talk, string){
		"RNFR": func(c *talk, _ string) { c.say("350 to what?") },
		"RNTO": func(c *talk, _ string) { c.say("250 fine") },
	}}).start(t)
	s := srv.dial(t)
	for range 2 {
		if _, err := s.List(testContext(t), "/a"); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Rename(testContext(t), "/a", "/b"); err != nil {
		t.Fatal(err)
	}
	if _, err := s.List(testContext(t), "/a"); err != nil {
		t.Fatal(err)
	}
	if n := srv.count("CWD"); n != 2 {
		t.Errorf("%d CWD", n)
	}
}

func TestSetModTime(t *testing.T) {
	at := time.Date(2021, 2, 3, 4, 5, 6, 700, time.FixedZone("", 3600))
	refuse := func(c *talk, _ string) { c.say("500 what?") }
	fine := func(c *talk, _ string) { c.say("213 fine") }
	right := func(c *talk, _ string) { c.say("213 20210203030506") }
	for _, tc := range []struct {
		name string
		srv  *scripted
		is   error
		sent []string // for two calls
	}{
		{"MFMT", &scripted{feat: []string{"MFMT"}, handlers: map[string]func(*talk, string){"MFMT": fine}}, nil,
			[]string{"MFMT 20210203030506 /f", "MFMT 20210203030506 /f"}},
		{"vsftpd", &scripted{greeting: "220 (vsFTPd 3.0.3)\r\n", handlers: map[string]func(*talk, string){"MDTM": right}}, nil,
			[]string{"MDTM 20210203030506 /f", "MDTM /f", "MDTM 20210203030506 /f", "MDTM /f"}},
		{"SITE", &scripted{handlers: map[string]func(*talk, string){"MFMT": refuse, "SITE": fine, "MDTM": right}}, nil,
			[]string{"MFMT 20210203030506 /f", "SITE UTIME 20210203030506 /f", "MDTM /f", "SITE UTIME 20210203030506 /f", "MDTM /f"}},
		{"local time", &scripted{handlers: map[string]func(*talk, string){"MFMT": refuse, "SITE": fine}}, ErrProtocol,
			[]string{"MFMT 20210203030506 /f", "SITE UTIME 20210203030506 /f", "MDTM /f", "MFMT 20210203030506 /f", "SITE UTIME 20210203030506 /f", "MDTM /f"}},
		{"none", &scripted{handlers: map[string]func(*talk, string){"MFMT": refuse, "SITE": refuse}}, ErrUnsupported,
			[]string{"MFMT 20210203030506 /f", "SITE UTIME 20210203030506 /f"}},
		{"denied", &scripted{feat: []string{"MFMT"}, handlers: map[string]func(*talk, string){"MFMT": func(c *talk, _ string) { c.say("550 Permission denied") }}},
			fs.ErrPermission, []string{"MFMT 20210203030506 /f", "MFMT 20210203030506 /f"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			srv := tc.srv.start(t)
			s := srv.dial(t)
			for range 2 {
				err := s.SetModTime(testContext(t), "f", at)
				if tc.is != nil {
					want(t, err, []error{tc.is}, `"f"`)
				} else if err != nil {
					t.Error(err)
				}
			}
			equal(t, slices.DeleteFunc(srv.heard(), func(l string) bool { return !strings.Contains(l, "/f") }), tc.sent)
		})
	}
}

// Which spelling of 0xFF a server wants must be known before anything is
// changed: the wrong one is another name.
func TestChangeWithFF(t *testing.T) {
	srv := (&scripted{files: map[string]string{"/\xffx": "body"}}).store("226 got it")
	srv.handlers["DELE"] = func(c *talk, _ string) { c.say("250 gone") }
	srv.start(t)
	s := srv.dial(t)
	want(t, s.Remove(testContext(t), "\xffx"), []error{ErrName})
	_, err := s.Store(testContext(t), "\xffx", strings.NewReader("b"), 0)
	want(t, err, []error{ErrName})
	if _, err := s.Size(testContext(t), "\xffx"); err != nil {
		t.Fatal(err)
	}
	if err := s.Remove(testContext(t), "\xffx"); err != nil || !slices.Contains(srv.heard(), "DELE /\xffx") {
		t.Errorf("%v, %q", err, srv.heard())
	}
}
