package ftpbridge

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"strings"
	"testing"
	"time"
)

func TestDialRefusals(t *testing.T) {
	reply := func(r string) map[string]func(*talk, string) {
		return map[string]func(*talk, string){"PASS": func(c *talk, _ string) { c.say("%s", r) }}
	}
	for _, tc := range []struct {
		name  string
		srv   *scripted
		is    error
		words []string
	}{
		{"wrong password", &scripted{handlers: reply("530 Login incorrect.")}, ErrLogin, []string{`530 Login incorrect.`, `check user "user"`}},
		{"escapes in words", &scripted{handlers: reply("530 \x1b[31mred\x07")}, ErrLogin, []string{`\x1b[31mred`}},
		{"too many users", &scripted{handlers: reply("530 Sorry, the maximum number of clients (5) are already connected.")}, ErrBusy, []string{"fewer connections"}},
		{"busy at login", &scripted{handlers: reply("421 Too many connections")}, ErrBusy, nil},
		{"account", &scripted{handlers: reply("332 Need account for login.")}, ErrLogin, []string{"ACCT"}},
		{"wants TLS", &scripted{handlers: reply("530 Non-anonymous sessions must use encryption.")}, ErrTLS, []string{"ftpes://"}},
		{"busy greeting", &scripted{greeting: "421 There are too many connected users, please try later.\r\n"}, ErrBusy, nil},
		{"odd greeting", &scripted{greeting: "500 go away\r\n"}, ErrUnreachable, []string{"go away"}},
		{"not FTP", &scripted{greeting: "SSH-2.0-OpenSSH_9.2\r\n"}, ErrProtocol, []string{"SSH-2.0"}},
		{"long line", &scripted{greeting: "220 " + strings.Repeat("x", 2*MaxReplyLine)}, ErrProtocol, []string{"16384 bytes"}},
		{"long greeting", &scripted{greeting: strings.Repeat("220-text text text text\r\n", MaxReply/20)}, ErrProtocol, []string{"4194304"}},
		{"only preliminary", &scripted{greeting: strings.Repeat("120 wait\r\n", 20)}, ErrProtocol, nil},
		{"torn PWD", &scripted{handlers: map[string]func(*talk, string){"PWD": func(c *talk, _ string) { c.say(`257 "`) }}}, ErrProtocol, []string{"ftp://host//full/path"}},
		{"empty PWD", &scripted{handlers: map[string]func(*talk, string){"PWD": func(c *talk, _ string) { c.say(`257`) }}}, ErrProtocol, nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			srv := tc.srv
			srv.start(t)
			s, err := Dial(testContext(t), srv.source(t, ""))
			if s != nil {
				t.Error("a session besides the error")
			}
			want(t, err, []error{tc.is}, append(tc.words, srv.ln.Addr().String())...)
		})
	}
}

func TestDialOddButRight(t *testing.T) {
	say := func(r string) func(*talk, string) { return func(c *talk, _ string) { c.say("%s", r) } }
	for _, tc := range []struct {
		name string
		srv  *scripted
	}{
		{"120 first", &scripted{greeting: "120 Service ready in 1 minute\r\n220 now\r\n"}},
		{"megabyte of greeting", &scripted{greeting: strings.Repeat("220-hello hello hello\r\n", 50000) + "220 at last\r\n"}},
		{"blank lines", &scripted{greeting: "\r\n\r\n220 hi\r\n"}},
		{"bare LF", &scripted{greeting: "220-hi\n220\n"}},
		{"no password", &scripted{handlers: map[string]func(*talk, string){"USER": say("230 come in")}}},
		{"232", &scripted{handlers: map[string]func(*talk, string){"USER": say("232 come in")}}},
		{"202", &scripted{handlers: map[string]func(*talk, string){"PASS": say("202 not needed")}}},
		{"FEAT without blanks", &scripted{handlers: map[string]func(*talk, string){"FEAT": say("211-\r\nutf8\r\nmdtm\r\n211 end")}}},
		{"OPTS UTF8 refused", &scripted{feat: []string{"UTF8", "CLNT"}, handlers: map[string]func(*talk, string){"OPTS": say("501 no")}}},
		{"TYPE 250", &scripted{handlers: map[string]func(*talk, string){"TYPE": say("250 ok")}}},
		{"PWD without quotes", &scripted{handlers: map[string]func(*talk, string){"PWD": say("257 / is current directory")}}},
		{"SYST refused", &scripted{handlers: map[string]func(*talk, string){"SYST": say("502 no")}}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			srv := tc.srv
			srv.files = map[string]string{"/f": "content"}
			srv.start(t)
			s := srv.dial(t)
			if got, err := fetchAll(testContext(t), s, "/f", 0); err != nil || got != "content" {
				t.Errorf("fetch: %q, %v", got, err)
			}
		})
	}
}

func TestSilence(t *testing.T) {
	hang := func(c *talk, _ string) { c.hang() }
	for _, verb := range []string{"USER", "FEAT", "PWD", "CWD", "EPSV", "RETR"} {
		t.Run(verb, func(t *testing.T) {
			srv := (&scripted{lists: map[string]string{"/d": ""}, files: map[string]string{"/f": "x"},
				handlers: map[string]func(*talk, string){verb: hang}}).start(t)
			src := srv.source(t, "")
			src.Timeout = patience
			s, err := Dial(testContext(t), src)
			if err == nil {
				defer s.Close()
				if _, err = s.List(testContext(t), "/d"); err == nil || !s.Broken() {
					_, err = fetchAll(testContext(t), s, "/f", 0)
				}
				if !s.Broken() {
					t.Error("the session is not broken")
				}
			}
			want(t, err, []error{ErrTimeout}, "300ms")
			if !Temporary(err) {
				t.Error("silence is not temporary")
			}
		})
	}
	t.Run("greeting", func(t *testing.T) {
		ln, err := net.Listen("tcp4", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer ln.Close()
		src, _ := ParseSource("ftp://" + ln.Addr().String())
		src.Timeout = patience
		_, err = Dial(testContext(t), src)
		want(t, err, []error{ErrTimeout}, "is this an FTP server")
	})
	t.Run("drip", func(t *testing.T) {
		srv := (&scripted{handlers: map[string]func(*talk, string){"SYST": func(c *talk, _ string) {
			for range 1000 {
				if _, err := io.WriteString(c, "2"); err != nil {
					return
				}
				time.Sleep(patience / 10)
			}
		}}}).start(t)
		src := srv.source(t, "")
		src.Timeout = patience
		_, err := Dial(testContext(t), src)
		want(t, err, []error{ErrTimeout})
	})
}

func TestUnreachable(t *testing.T) {
	ln, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := ln.Addr().String()
	ln.Close()
	src, err := ParseSource("ftp://u:secret@" + addr)
	if err != nil {
		t.Fatal(err)
	}
	_, err = Dial(testContext(t), src)
	want(t, err, []error{ErrUnreachable}, addr, "firewall")
}

func TestCancel(t *testing.T) {
	srv := (&scripted{handlers: map[string]func(*talk, string){"SIZE": func(c *talk, _ string) { c.hang() }}}).start(t)
	s := srv.dial(t)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	_, err := s.Size(ctx, "/f")
	want(t, err, []error{context.DeadlineExceeded})
	if !s.Broken() {
		t.Error("a half-made call leaves a usable session")
	}
	_, err = s.Size(testContext(t), "/f")
	want(t, err, []error{ErrBroken})
}

func TestNoInjection(t *testing.T) {
	srv := (&scripted{files: map[string]string{"/a": "x"}}).start(t)
	s := srv.dial(t)
	before := len(srv.heard())
	for _, name := range []string{"a\r\nDELE b", "a\nDELE b", "a\rb", "a\x00b", strings.Repeat("x", maxPathLength+1)} {
		_, err := s.Fetch(testContext(t), name, 0)
		want(t, err, []error{ErrName})
		_, err = s.Size(testContext(t), name)
		want(t, err, []error{ErrName})
		_, err = s.List(testContext(t), name)
		want(t, err, []error{ErrName})
	}
	if n := len(srv.heard()) - before; n != 0 {
		t.Errorf("%d commands were sent", n)
	}
	if got, err := fetchAll(testContext(t), s, "a", 0); err != nil || got != "x" {
		t.Errorf("afterwards: %q, %v", got, err)
	}
}

func TestUnaskedReply(t *testing.T) {
	srv := (&scripted{handlers: map[string]func(*talk, string){"SIZE": func(c *talk, _ string) {
		c.say("213 5\r\n213 6")
	}}}).start(t)
	s := srv.dial(t)
	if n, err := s.Size(testContext(t), "/f"); n != 5 || err != nil {
		t.Fatalf("size %d, %v", n, err)
	}
	_, err := s.Size(testContext(t), "/g")
	want(t, err, []error{ErrUnreachable}, "213 6")
	if !s.Broken() {
		t.Error("the session goes on with replies out of step")
	}
}

func TestSizeAndTime(t *testing.T) {
	answers := map[string]string{
		"ok": "213 12", "negative": "213 -4", "words": "213 many", "unknown": "502 what", "missing": "550 No such file or directory",
		"denied": "550 Permission denied", "transient": "450 try later",
	}
	h := func(c *talk, arg string) { c.say("%s", answers[strings.TrimPrefix(arg, "/")]) }
	srv := (&scripted{handlers: map[string]func(*talk, string){"SIZE": h, "MDTM": h}}).start(t)
	s := srv.dial(t)
	if n, err := s.Size(testContext(t), "ok"); n != 12 || err != nil {
		t.Errorf("size %d, %v", n, err)
	}
	for name, is := range map[string]error{
		"negative": ErrProtocol, "words": ErrProtocol, "unknown": ErrUnsupported, "missing": fs.ErrNotExist, "denied": fs.ErrPermission,
	} {
		_, err := s.Size(testContext(t), name)
		want(t, err, []error{is}, `"`+name+`"`)
	}
	_, err := s.ModTime(testContext(t), "words")
	want(t, err, []error{ErrProtocol})
	_, err = s.Size(testContext(t), "transient")
	if !Temporary(err) {
		t.Errorf("%v is not temporary", err)
	}
}

func TestDoubledFF(t *testing.T) {
	for _, doubled := range []bool{true, false} {
		t.Run(fmt.Sprint(doubled), func(t *testing.T) {
			form := "/\xffx"
			if doubled {
				form = "/\xff\xffx"
			}
			srv := (&scripted{files: map[string]string{form: "body"}}).start(t)
			s := srv.dial(t)
			for range 2 {
				if got, err := fetchAll(testContext(t), s, "\xffx", 0); err != nil || got != "body" {
					t.Fatalf("%q, %v", got, err)
				}
			}
			if n := srv.count("RETR"); doubled && n != 2 || !doubled && n != 3 {
				t.Errorf("%d RETR", n)
			}
		})
	}
}

func TestPasswordStaysSecret(t *testing.T) {
	var log bytes.Buffer
	srv := (&scripted{}).start(t)
	src := srv.source(t, "")
	src.Logger = logTo(&log)
	s := mustDial(t, src)
	text := fmt.Sprintf("%v %+v %#v %s %s", src, src, src, src.Redacted(), log.String())
	if strings.Contains(text, "secret") {
		t.Errorf("the password shows: %s", text)
	}
	if src.Secure() {
		t.Error("plain FTP counts as secure")
	}
	if s.Info().TLS != "" || s.Info().Dialect != "unix" || s.Info().Home != "/" || s.Root() != "/" {
		t.Errorf("info %+v", s.Info())
	}
}

func TestStrippedTLS(t *testing.T) {
	srv := (&scripted{handlers: map[string]func(*talk, string){"AUTH": func(c *talk, _ string) { c.say("500 no TLS here") }}}).start(t)
	src := srv.source(t, "")
	src.URL.Scheme = "ftpes"
	_, err := Dial(testContext(t), src)
	want(t, err, []error{ErrTLS}, "no TLS here")
	if n := srv.count("USER") + srv.count("PASS"); n != 0 {
		t.Error("the login was sent in the clear")
	}
}

func TestTextAfterAuthTLS(t *testing.T) {
	srv := (&scripted{handlers: map[string]func(*talk, string){"AUTH": func(c *talk, _ string) {
		c.say("234 go\r\n230 you are in")
		c.hang()
	}}}).start(t)
	src := srv.source(t, "")
	src.URL.Scheme = "ftpes"
	src.Timeout = patience
	_, err := Dial(testContext(t), src)
	want(t, err, []error{ErrTLS}, "plain text after")
	if errors.Is(err, ErrLogin) || srv.count("USER") != 0 {
		t.Error("went on to log in")
	}
}

func TestAbsolutePathNeedsNoPWD(t *testing.T) {
	srv := (&scripted{lists: map[string]string{"/top": unixLine("f", 1)},
		handlers: map[string]func(*talk, string){"PWD": func(c *talk, _ string) { c.say("500 no") }}}).start(t)
	s := mustDial(t, srv.source(t, "%2Ftop"))
	res, err := s.List(testContext(t), "")
	if err != nil || len(res.Entries) != 1 {
		t.Errorf("%v, %v", res, err)
	}
}
