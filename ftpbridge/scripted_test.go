package ftpbridge

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode/utf8"
)

// scripted is an FTP server that says what a test wants it to say. Handlers by
// verb replace the ordinary ones below.
type scripted struct {
	greeting string // raw, "" for an ordinary one
	feat     []string
	syst     string
	files    map[string]string // absolute path to content
	lists    map[string]string // absolute path to raw LIST output
	mlsd     map[string]string // absolute path to raw MLSD output
	handlers map[string]func(c *talk, arg string)
	dataTLS  *tls.Config // for data connections, nil for plain ones

	ln   net.Listener
	wg   sync.WaitGroup
	mu   sync.Mutex
	said []string // by clients
	open map[net.Conn]bool
	most int // sessions at once
	now  int
}

// scriptedAt has those that were started, by address.
var scriptedAt sync.Map

// settle waits for the end of its sessions, whose last commands nobody waits for, so that a test may change what it
// serves. It gives up after a second: some tests leave sessions open.
func (s *scripted) settle() {
	for deadline := time.Now().Add(time.Second); time.Now().Before(deadline); time.Sleep(time.Millisecond) {
		s.mu.Lock()
		now := s.now
		s.mu.Unlock()
		if now == 0 {
			return
		}
	}
}

// talk is one control connection of it.
type talk struct {
	net.Conn
	srv  *scripted
	br   *bufio.Reader
	cwd  string
	data net.Listener
	rest int64
	user string
}

func (s *scripted) start(t *testing.T) *scripted {
	t.Helper()
	ln, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s.ln, s.open = ln, make(map[net.Conn]bool)
	scriptedAt.Store(ln.Addr().String(), s)
	s.wg.Go(func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			s.wg.Go(func() { s.serve(c) })
		}
	})
	t.Cleanup(func() {
		ln.Close()
		s.mu.Lock()
		for c := range s.open {
			c.Close()
		}
		s.mu.Unlock()
		s.wg.Wait()
	})
	return s
}

func (s *scripted) serve(c net.Conn) {
	t := &talk{Conn: c, srv: s, br: bufio.NewReader(c), cwd: "/"}
	s.mu.Lock()
	s.open[c] = true
	s.now++
	s.most = max(s.most, s.now)
	s.mu.Unlock()
	defer func() {
		c.Close()
		if t.data != nil {
			t.data.Close()
		}
		s.mu.Lock()
		delete(s.open, c)
		s.now--
		s.mu.Unlock()
	}()
	if s.greeting == "" {
		t.say("220 scripted server")
	} else {
		io.WriteString(c, s.greeting)
	}
	for {
		line, err := t.br.ReadString('\n')
		if err != nil {
			return
		}
		line = strings.TrimRight(line, "\r\n")
		s.mu.Lock()
		s.said = append(s.said, line)
		s.mu.Unlock()
		verb, arg, _ := strings.Cut(line, " ")
		if verb == "QUIT" { // nobody waits for the answer, so a test may be changing the rest already
			t.say("221 bye")
			return
		}
		h := s.handlers[verb]
		if h != nil {
			h(t, arg)
		} else {
			t.ordinary(verb, arg)
		}
	}
}

// heard is what clients said so far, without the login.
func (s *scripted) heard() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]string(nil), s.said...)
}

func (s *scripted) count(verb string) int {
	n := 0
	for _, l := range s.heard() {
		if v, _, _ := strings.Cut(l, " "); v == verb {
			n++
		}
	}
	return n
}

func (t *talk) say(format string, args ...any) { fmt.Fprintf(t, format+"\r\n", args...) }

func (t *talk) abs(path string) string {
	if !strings.HasPrefix(path, "/") {
		path = strings.TrimSuffix(t.cwd, "/") + "/" + path
	}
	return path
}

func (t *talk) ordinary(verb, arg string) {
	s := t.srv
	switch verb {
	case "USER":
		t.user = arg
		t.say("331 password please")
	case "PASS":
		if arg != "secret" {
			t.say("530 Login incorrect.")
			return
		}
		t.say("230 welcome")
	case "SYST":
		t.say("215 %s", or(s.syst, "UNIX Type: L8"))
	case "FEAT":
		if s.feat == nil {
			t.say("500 what?")
			return
		}
		t.say("211-Features:\r\n %s\r\n211 End", strings.Join(s.feat, "\r\n "))
	case "TYPE", "NOOP", "OPTS", "CLNT", "PBSZ", "PROT":
		t.say("200 fine")
	case "PWD":
		t.say(`257 "%s" is current`, strings.ReplaceAll(t.cwd, `"`, `""`))
	case "CWD":
		t.changeDir(arg)
	case "EPSV":
		t.say("229 Extended (|||%d|)", t.listen())
	case "PASV":
		p := t.listen()
		t.say("227 Passive (127,0,0,1,%d,%d)", p/256, p%256)
	case "REST":
		t.rest, _ = strconv.ParseInt(arg, 10, 64)
		t.say("350 from %d", t.rest)
	case "SIZE":
		if body, ok := s.files[t.abs(arg)]; ok {
			t.say("213 %d", len(body))
			return
		}
		t.say("550 no such file")
	case "MDTM":
		t.say("213 20200102030405")
	case "LIST":
		t.send(s.lists, strings.TrimSuffix(t.cwd, "/"))
	case "MLSD":
		t.send(s.mlsd, strings.TrimSuffix(t.cwd, "/"))
	case "RETR":
		t.send(s.files, t.abs(arg))
	default:
		t.say("502 %s is not for me", verb)
	}
}

func (t *talk) changeDir(arg string) {
	dir := t.abs(arg)
	key := strings.TrimSuffix(dir, "/")
	_, list := t.srv.lists[key]
	_, facts := t.srv.mlsd[key]
	if !list && !facts && key != "" {
		t.say("550 %s: No such directory", arg)
		return
	}
	t.cwd = dir
	t.say("250 entered")
}

func or(a, b string) string {
	if a == "" {
		return b
	}
	return a
}

// listen opens the passive port.
func (t *talk) listen() int {
	if t.data != nil {
		t.data.Close()
	}
	ln, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		return 0
	}
	t.data = ln
	return ln.Addr().(*net.TCPAddr).Port
}

func (t *talk) accept() net.Conn {
	t.data.(*net.TCPListener).SetDeadline(time.Now().Add(5 * time.Second))
	c, err := t.data.Accept()
	t.data.Close()
	t.data = nil
	if err != nil {
		return nil
	}
	if t.srv.dataTLS != nil {
		return tls.Server(c, t.srv.dataTLS)
	}
	return c
}

// send serves one of a map's bodies from the offset of REST.
func (t *talk) send(from map[string]string, key string) {
	body, ok := from[key]
	rest := t.rest
	t.rest = 0
	if !ok {
		t.say("550 %s: No such file", key)
		return
	}
	t.stream(body[min(int(rest), len(body)):], "226 done")
}

// stream sends body on the data connection and says the end.
func (t *talk) stream(body, end string) {
	t.say("150 here it comes")
	d := t.accept()
	if d == nil {
		t.say("425 nobody came")
		return
	}
	io.WriteString(d, body)
	d.Close()
	if end != "" {
		t.say("%s", end)
	}
}

// hang waits until the client goes.
func (t *talk) hang() { io.Copy(io.Discard, t.br) }

// source is a Source for the server, quick to lose patience.
func (s *scripted) source(t *testing.T, path string) Source {
	t.Helper()
	src, err := ParseSource("ftp://user:secret@" + s.ln.Addr().String() + "/" + path)
	if err != nil {
		t.Fatal(err)
	}
	src.Timeout = 10 * time.Second
	return src
}

// patience is the Timeout of tests in which a server is silent on purpose.
const patience = 300 * time.Millisecond

func testContext(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	t.Cleanup(cancel)
	return ctx
}

func mustDial(t *testing.T, src Source) *Session {
	t.Helper()
	s, err := Dial(testContext(t), src)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func (s *scripted) dial(t *testing.T) *Session {
	t.Helper()
	return mustDial(t, s.source(t, ""))
}

func fetchAll(ctx context.Context, s Remote, path string, offset int64) (string, error) {
	r, err := s.Fetch(ctx, path, offset)
	if err != nil {
		return "", err
	}
	b, err := io.ReadAll(r)
	return string(b), errors.Join(err, r.Close())
}

// want fails the test unless err is all of targets and says all of words.
func want(t *testing.T, err error, targets []error, words ...string) {
	t.Helper()
	if err == nil {
		t.Fatal("no error")
	}
	for _, target := range targets {
		if !errors.Is(err, target) {
			t.Errorf("error %q is not %q", err, target)
		}
	}
	for _, w := range words {
		if !strings.Contains(err.Error(), w) {
			t.Errorf("error %q does not say %q", err, w)
		}
	}
	if strings.ContainsAny(err.Error(), "\r\x00\x07\x1b\u202e\u009b") || !utf8.ValidString(err.Error()) || strings.Contains(err.Error(), "secret") {
		t.Errorf("error %q shows control characters or the password", err)
	}
}

// logTo gives a logger at debug level.
func logTo(w io.Writer) *slog.Logger {
	return slog.New(slog.NewTextHandler(w, &slog.HandlerOptions{Level: slog.LevelDebug}))
}
