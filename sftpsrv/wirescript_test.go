package sftpsrv

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"gateway/tests/servers"
)

// The files testdata/wire/*.txt are conversations, packet by packet. Each is held with this server and, as the
// reference, with the sftp-server of OpenSSH. A case begins with "-- its name" in an empty folder and a new session
// after INIT. Its lines are
//
//	file NAME CONTENT             makes a file before
//	dir NAME                      makes a folder before
//	cold                          the session has not had INIT
//	[&] REQUEST ARG... => OUTCOME [| OUTCOME of sftp-server # why it is another]
//	disk NAME => "CONTENT"|none   what is published now
//	ours                          only for this server, from here on to the end of the case
//
// Words may be quoted as in Go; "word"*1000 repeats one. Requests that begin with & are sent one after the other
// before any answer is looked at. OPEN and OPENDIR take first the letter by which the handle is named later. LIST is
// READDIR to the end. RAW and EXT take their fields as s:string d:uint32 q:uint64 h:handle x:hex; BYTES sends what
// is no packet, and EOF nothing more. Attributes are size=, mode=, mtime=, owner=, more= (extended ones).
// Of an outcome with attributes only the words that are there count.

// wireCase is one conversation.
type wireCase struct {
	name  string
	place string // file:line
	lines []wireLine
}

type wireLine struct {
	place     string
	words     []string
	pipelined bool
	want      string
	reference string // "": the same
}

func parseWire(t *testing.T, file string) (cases []wireCase) {
	t.Helper()
	data, err := os.ReadFile(file)
	mustDo(t, err)
	for i, text := range strings.Split(string(data), "\n") {
		place := fmt.Sprintf("%s:%d", filepath.Base(file), i+1)
		text = strings.TrimSpace(text)
		if text == "" || strings.HasPrefix(text, "#") {
			continue
		}
		if name, ok := strings.CutPrefix(text, "-- "); ok {
			cases = append(cases, wireCase{name: name, place: place})
			continue
		}
		line := wireLine{place: place}
		text, want, _ := strings.Cut(text, " => ")
		if other, ok := strings.CutPrefix(text, "& "); ok {
			line.pipelined, text = true, other
		}
		want, reference, differs := strings.Cut(want, " | ")
		reference, why, explained := strings.Cut(reference, " # ")
		if differs && (!explained || why == "") {
			t.Fatalf("%s: no reason for the difference", place)
		}
		line.words, line.want, line.reference = words(t, place, text), strings.TrimSpace(want), strings.TrimSpace(reference)
		last := &cases[len(cases)-1]
		last.lines = append(last.lines, line)
	}
	return cases
}

// words splits a line at blanks outside of quotes.
func words(t *testing.T, place, text string) (list []string) {
	t.Helper()
	for text = strings.TrimSpace(text); text != ""; text = strings.TrimSpace(text) {
		prefix := ""
		if len(text) > 2 && text[1] == ':' && text[2] == '"' {
			prefix, text = text[:2], text[2:]
		}
		quoted, err := strconv.QuotedPrefix(text)
		if err != nil {
			word, rest, _ := strings.Cut(text, " ")
			list, text = append(list, word), rest
			continue
		}
		word, err := strconv.Unquote(quoted)
		mustDo(t, err)
		text = text[len(quoted):]
		if rest, ok := strings.CutPrefix(text, "*"); ok {
			var number string
			number, text, _ = strings.Cut(rest, " ")
			n, err := strconv.Atoi(number)
			if err != nil {
				t.Fatalf("%s: %v", place, err)
			}
			word = strings.Repeat(word, n)
		}
		list = append(list, prefix+word)
	}
	return list
}

// wireServer is who a conversation is held with.
type wireServer struct {
	reference bool
	dir       string
	cold      func(t *testing.T) *wire // a session before INIT
}

func wireServers(t *testing.T) map[string]wireServer {
	t.Helper()
	f := serve(t, func(c *Config) { c.KeepPartial = -1 })
	conn, dir := f.mustDial(), t.TempDir()
	return map[string]wireServer{
		"ours": {dir: f.dir, cold: func(t *testing.T) *wire { t.Helper(); return newWire(t, conn) }},
		"sftp-server": {reference: true, dir: dir, cold: func(t *testing.T) *wire {
			t.Helper()
			cmd := servers.SFTPServer(t, dir)
			in, err := cmd.StdinPipe()
			mustDo(t, err)
			out, err := cmd.StdoutPipe()
			mustDo(t, err)
			mustDo(t, cmd.Start())
			t.Cleanup(func() {
				_ = cmd.Process.Kill() // most have ended
				_ = cmd.Wait()
			})
			return &wire{t: t, in: out, out: in, endSend: in.Close}
		}},
	}
}

// TestRealWire holds the conversations of testdata/wire with this server and with OpenSSH's.
func TestRealWire(t *testing.T) {
	files, err := filepath.Glob("testdata/wire/*.txt")
	mustDo(t, err)
	if len(files) < 5 {
		t.Fatalf("found %d files", len(files))
	}
	for name, server := range wireServers(t) {
		t.Run(name, func(t *testing.T) {
			for _, file := range files {
				for _, c := range parseWire(t, file) {
					t.Run(c.place+" "+c.name, func(t *testing.T) { server.hold(t, c) })
				}
			}
		})
	}
}

// TestRealWireHandles opens 10,000 handles: what is more than the bound fails, and all else goes on.
func TestRealWireHandles(t *testing.T) {
	const tries = 10000
	for name, server := range wireServers(t) {
		t.Run(name, func(t *testing.T) {
			mustDo(t, os.WriteFile(filepath.Join(server.dir, "f"), []byte("content"), 0o644))
			w := server.cold(t)
			w.raw(packet(fxpInit, uint32(protocolVersion)))
			w.read()
			var handles []string
			for range tries {
				r := w.ask(fxpOpen, "f", uint32(openRead), uint32(0))
				if r.kind == fxpHandle {
					handles = append(handles, r.body.handle())
				} else {
					w.status("OPEN beyond the bound", r, statusFailure)
				}
			}
			if n := len(handles); n == 0 || !server.reference && n != DefaultMaxHandles {
				t.Errorf("%d handles, want %d", n, DefaultMaxHandles)
			}
			w.status("MKDIR", w.ask(fxpMkdir, "d", uint32(0)), statusOK)
			for _, h := range handles {
				w.status("CLOSE", w.ask(fxpClose, h), statusOK)
			}
			w.open("f", openRead)
		})
	}
}

// talk is a conversation under way.
type talk struct {
	*wire
	wireServer
	handles map[string]string
	waiting map[uint32]wireLine // sent, not looked at
}

func (s wireServer) hold(t *testing.T, c wireCase) {
	entries, err := os.ReadDir(s.dir)
	mustDo(t, err)
	for _, e := range entries {
		if !strings.HasPrefix(e.Name(), ".") { // the staging folder
			mustDo(t, os.RemoveAll(filepath.Join(s.dir, e.Name())))
		}
	}
	k := &talk{wireServer: s, handles: map[string]string{}, waiting: map[uint32]wireLine{}}
	cold := slices.ContainsFunc(c.lines, func(l wireLine) bool { return l.words[0] == "cold" })
	k.wire = s.cold(t)
	hung := time.AfterFunc(20*time.Second, func() {
		t.Error("no answer")
		_ = k.endSend()
	})
	defer hung.Stop()
	if !cold {
		k.raw(packet(fxpInit, uint32(protocolVersion)))
		if r := k.wire.read(); r.kind != fxpVersion {
			t.Fatalf("answer to INIT: %+v", r)
		}
	}
	for _, line := range c.lines {
		if line.words[0] == "ours" {
			if s.reference {
				break
			}
			continue
		}
		if ended := k.line(line); ended {
			break
		}
	}
	k.settle()
	_ = k.endSend() // the session may have ended
	if r, err := k.tryRead(); err == nil {
		t.Errorf("one answer too many: %+v", r)
	}
}

// line carries out one line, and reports whether the session ended by it.
func (k *talk) line(l wireLine) (ended bool) {
	k.t.Helper()
	file := func() string { return filepath.Join(k.dir, l.words[1]) }
	if !l.pipelined {
		k.settle()
	}
	switch l.words[0] {
	case "cold":
	case "dir":
		mustDo(k.t, os.MkdirAll(file(), 0o755))
	case "file":
		mustDo(k.t, os.WriteFile(file(), []byte(l.words[2]), 0o644))
	case "disk":
		got := "none"
		if content, err := os.ReadFile(file()); err == nil {
			got = quoteData(content)
		} else if !errors.Is(err, os.ErrNotExist) {
			k.t.Fatal(err)
		}
		k.expect(l, got)
	case "BYTES":
		for _, word := range l.words[1:] {
			k.raw(k.field(l, word))
		}
		return k.next(l)
	case "EOF":
		mustDo(k.t, k.endSend())
		return k.next(l)
	case "INIT":
		k.raw(packet(fxpInit, uint32(k.number(l, l.words[1]))))
		return k.next(l)
	case "LIST":
		k.expect(l, k.list(l))
	default:
		id := k.send(k.request(l))
		if l.pipelined {
			k.waiting[id] = l
			return false
		}
		return k.next(l)
	}
	return false
}

// next reads the answer to the last request.
func (k *talk) next(l wireLine) (ended bool) {
	k.t.Helper()
	r, err := k.tryRead()
	if err != nil {
		k.expect(l, "END")
		return true
	}
	k.expect(l, k.outcome(l, r))
	return false
}

// settle looks at the answers to what was sent ahead, in whatever order they come.
func (k *talk) settle() {
	k.t.Helper()
	for len(k.waiting) > 0 {
		r := k.wire.read()
		l, ok := k.waiting[r.id]
		if !ok {
			k.t.Fatalf("answer to %d, which is not waiting for one", r.id)
		}
		delete(k.waiting, r.id)
		k.expect(l, k.outcome(l, r))
	}
}

func (k *talk) expect(l wireLine, got string) {
	k.t.Helper()
	want := l.want
	if k.reference && l.reference != "" {
		want = l.reference
	}
	same := got == want
	if strings.HasPrefix(want, "file") || strings.HasPrefix(want, "folder") {
		have := strings.Fields(got)
		same = !slices.ContainsFunc(strings.Fields(want), func(w string) bool { return !slices.Contains(have, w) })
	}
	if !same {
		k.t.Errorf("%s: %s\n got %s\nwant %s", l.place, abbreviate(strings.Join(l.words, " ")), abbreviate(got), want)
	}
}

func abbreviate(s string) string { return s[:min(len(s), 200)] }
