package ftpbridge

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"gateway/internal/pause"
	"gateway/state"
	"gateway/storage"
)

const (
	wideBytes = 4 << 20
	widePiece = wideBytes / 4 // what each of four sessions takes
	heldBytes = widePiece * 3 / 4
	// wideLong bounds what takes as long as the machine needs.
	wideLong = 20 * time.Second
)

// wide is a server with one file that is fetched in four segments, whose transfers
// wait for each other at their beginning: so there are as many at once as can be.
type wide struct {
	*scripted
	want int           // transfers at once
	wait time.Duration // for them, at most; 0 is a second

	mu     sync.Mutex
	begun  int
	all    chan struct{}
	rests  []int64
	hold   chan struct{}                                      // no transfer brings more than heldBytes until it is closed; nil: all at once
	handle func(c *talk, rest int64, call int) (handled bool) // replaces a transfer
	body   string
}

func serveWide(t *testing.T, body string) *wide {
	t.Helper()
	w := &wide{want: 4, all: make(chan struct{}), body: body}
	w.scripted = serve(t, map[string]string{"big": body})
	w.handlers = map[string]func(*talk, string){"RETR": w.retr}
	return w
}

func (w *wide) move(t *testing.T) *move {
	t.Helper()
	m := newMove(t, w.source(t, ""))
	m.o.Connections, m.o.Segments = 4, 4
	m.o.segmentFrom, m.o.segmentLeast = 1<<20, 1
	return m
}

func (w *wide) retr(c *talk, arg string) {
	rest := c.rest
	c.rest = 0
	w.mu.Lock()
	w.rests = append(w.rests, rest)
	if w.begun++; w.begun == w.want {
		close(w.all)
	}
	call, body := w.begun, w.body
	w.mu.Unlock()
	if w.handle != nil && w.handle(c, rest, call) {
		return
	}
	w.flow(c, body[min(int(rest), len(body)):], "226 done")
}

// flow sends body as a server does: it notices that the client hangs up, and does
// not send all before the others have begun.
func (w *wide) flow(c *talk, body, end string) {
	c.say("150 here it comes")
	d := c.accept()
	if d == nil {
		c.say("425 nobody came")
		return
	}
	defer d.Close()
	const first = fetchBuffer + 1
	_, err := io.WriteString(d, body[:min(len(body), first)])
	if len(body) > first && err == nil {
		select {
		case <-w.all:
		case <-time.After(max(w.wait, time.Second)):
		}
		rest := body[first:]
		if w.held() != nil && len(body) > heldBytes && err == nil {
			_, err = io.WriteString(d, body[first:heldBytes])
			rest = body[heldBytes:]
			select {
			case <-w.held():
			case <-time.After(wideLong):
			}
		}
		if err == nil {
			_, err = io.WriteString(d, rest)
		}
	}
	d.Close()
	switch {
	case err != nil:
		c.say("426 Failure writing network stream.")
	case end != "":
		c.say("%s", end)
	default:
		c.Close()
	}
}

func (w *wide) held() chan struct{} {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.hold
}

func (w *wide) transfers() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.begun
}

func TestSegments(t *testing.T) {
	w := serveWide(t, random(wideBytes))
	m := w.move(t)
	rep := m.run()
	equal(t, m.files(), map[string]string{"big": w.body})
	equal(t, rep.Retries, int64(0))
	equal(t, w.most, 4)
	if n := w.count("USER"); n != 4 {
		t.Errorf("%d logins: sessions were lost", n)
	}
	rests := map[int64]bool{}
	for _, r := range w.rests {
		rests[r] = true
	}
	for i := range int64(4) {
		if !rests[i*widePiece] {
			t.Errorf("no transfer from %d: %v", i*widePiece, w.rests)
		}
	}
	if rep.FetchedBytes < wideBytes || rep.FetchedBytes > wideBytes+8*overlap {
		t.Errorf("%d bytes fetched", rep.FetchedBytes)
	}
	equal(t, m.staged(), 0)
}

// Servers with which a file is fetched by one session, and rightly.
func TestSegmentsNot(t *testing.T) {
	body := random(wideBytes)
	for name, c := range map[string]struct {
		body string
		set  func(w *wide, m *move)
		once bool // no second transfer is tried
	}{
		"off":              {body, func(w *wide, m *move) { m.o.Segments = 1 }, true},
		"small":            {body, func(w *wide, m *move) { m.o.segmentFrom = wideBytes + 1 }, true},
		"one connection":   {body, func(w *wide, m *move) { m.o.Connections = 1 }, true},
		"no REST in FEAT":  {body, func(w *wide, m *move) { w.feat = []string{"MLST type*;size*;modify*;", "SIZE"} }, true},
		"REST refused":     {body, func(w *wide, m *move) { w.handlers["REST"] = refuseREST }, false},
		"no SIZE":          {body, func(w *wide, m *move) { w.handlers["SIZE"] = func(c *talk, _ string) { c.say("502 no") } }, true},
		"all bytes alike":  {strings.Repeat("\x00", wideBytes), func(w *wide, m *move) {}, false},
		"REST is ignored":  {body, func(w *wide, m *move) { w.handle = w.from(func(int64) int64 { return 0 }) }, false},
		"REST is off by 7": {body, func(w *wide, m *move) { w.handle = w.from(func(at int64) int64 { return max(0, at-7) }) }, false},
		"REST is rounded":  {body, func(w *wide, m *move) { w.handle = w.from(func(at int64) int64 { return at &^ (widePiece*2 - 1) }) }, false},
	} {
		t.Run(name, func(t *testing.T) {
			w := serveWide(t, c.body)
			w.want = 1
			m := w.move(t)
			c.set(w, m)
			rep := m.run()
			equal(t, m.files()["big"] == c.body, true)
			reasons(t, rep.Failed, nil)
			if c.once && w.transfers() != 1 {
				t.Errorf("transfers from %v", w.rests)
			}
		})
	}
}

func refuseREST(c *talk, arg string) {
	if arg == "0" {
		c.say("350 fine")
		return
	}
	c.say("502 no REST here")
}

// from serves the body from another offset than asked for.
func (w *wide) from(f func(int64) int64) func(*talk, int64, int) bool {
	return func(c *talk, rest int64, _ int) bool {
		w.flow(c, w.body[f(rest):], "226 done")
		return true
	}
}

// Sessions of one file that get bytes of two versions, of one size and time.
func TestSegmentsNeverSplice(t *testing.T) {
	before := random(wideBytes)
	after := before[1:] + "x"
	w := serveWide(t, before)
	w.handle = func(c *talk, rest int64, call int) bool {
		if call <= 4 && rest == 2*widePiece {
			w.flow(c, after[rest:], "226 done")
			w.mu.Lock()
			w.body = after
			w.mu.Unlock()
			return true
		}
		return false
	}
	m := w.move(t)
	m.run()
	got := m.files()["big"] // fetched anew, and whole; perhaps just before w.body was set
	equal(t, got == after || got == before, true)
	equal(t, w.transfers() > 4, true)
}

func TestSegmentsLostConnections(t *testing.T) {
	body := random(wideBytes)
	w := serveWide(t, body)
	w.handle = func(c *talk, rest int64, call int) bool {
		if call > 4 {
			return false
		}
		w.flow(c, body[rest:min(int(rest)+600<<10, len(body))], "")
		return true
	}
	m := w.move(t)
	rep := m.run()
	equal(t, m.files()["big"] == body, true)
	if rep.FetchedBytes > wideBytes+20*overlap {
		t.Errorf("%d bytes fetched for %d", rep.FetchedBytes, wideBytes)
	}
}

// A server that takes two sessions, and lets the others know in different ways.
func TestSegmentsConnectionLimit(t *testing.T) {
	for _, refusal := range []string{"421 too many connections", "530 Sorry, the maximum number of clients is reached"} {
		body := random(wideBytes)
		w := serveWide(t, body)
		w.want = 2
		var users atomic.Int32
		w.handlers["PASS"] = func(c *talk, _ string) {
			if users.Add(1) > 2 {
				c.say("%s", refusal)
				return
			}
			c.say("230 welcome")
		}
		m := w.move(t)
		m.run()
		equal(t, m.files()["big"] == body, true)
	}
}

// A server that ends the transfer of one segment early and believes in it.
func TestSegmentsEndEarlyButConfirmed(t *testing.T) {
	body := random(wideBytes)
	w := serveWide(t, body)
	w.handle = func(c *talk, rest int64, call int) bool {
		if rest < widePiece || call > 8 {
			return false
		}
		w.flow(c, body[rest:rest+(int64(len(body))-rest)*6/10], "226 that was all")
		return true
	}
	m := w.move(t)
	m.run()
	equal(t, m.files()["big"] == body, true)

	w = serveWide(t, body)
	w.handle = func(c *talk, rest int64, call int) bool {
		end := int64(wideBytes * 6 / 10)
		w.flow(c, body[min(rest, end):end], "226 that was all")
		return true
	}
	m = w.move(t)
	rep := m.run()
	reasons(t, rep.Failed, map[string]string{"big": "this was all"})
	equal(t, len(m.files()), 0)
}

func TestSegmentsMoreThanSize(t *testing.T) {
	body := random(wideBytes)
	w := serveWide(t, body)
	w.handle = func(c *talk, rest int64, call int) bool {
		w.flow(c, body[rest:]+"and more", "226 done")
		return true
	}
	m := w.move(t)
	rep := m.run()
	reasons(t, rep.Failed, map[string]string{"big": "more came"})
	equal(t, len(m.files()), 0)
}

// stopHalfway ends the first run when about half of the file is there. The server
// has sent no more than heldBytes of each segment by then.
func (w *wide) stopHalfway(t *testing.T, m *move) {
	t.Helper()
	hold := make(chan struct{})
	w.hold, w.wait = hold, wideLong
	m.o.Source.Timeout = 2 * wideLong
	defer func() {
		w.mu.Lock()
		w.hold = nil
		w.mu.Unlock()
		close(hold)
	}()
	ctx, cancel := context.WithCancel(testContext(t))
	defer cancel()
	m.o.Progress = func(e Event) {
		if e.Kind == EventBytes && e.Offset >= wideBytes/2 {
			cancel()
		}
	}
	if _, err := Migrate(ctx, m.o); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	m.o.Progress = nil
	if f := m.line("big"); f.Phase != state.Fetching || f.Offset == 0 || len(f.Ranges) == 0 {
		t.Fatalf("%+v", f)
	}
}

func TestSegmentsGoOnInTheNextRun(t *testing.T) {
	for _, segments := range []int{4, 1} {
		t.Run(fmt.Sprint(segments), func(t *testing.T) {
			body := random(wideBytes)
			w := serveWide(t, body)
			m := w.move(t)
			w.stopHalfway(t, m)
			m.o.Segments = segments
			rep := m.run()
			equal(t, m.files()["big"] == body, true)
			if rep.SavedBytes < wideBytes/2-8*overlap || rep.FetchedBytes > wideBytes/2+8*overlap {
				t.Errorf("saved %d, fetched %d", rep.SavedBytes, rep.FetchedBytes)
			}
			if f := m.line("big"); f.Phase != state.Published || f.Ranges != nil {
				t.Errorf("%+v", f)
			}
		})
	}
}

// What all sessions have brought is in the ledger while they are at it: a kill
// costs no more than what came since.
func TestSegmentsDurable(t *testing.T) {
	body := random(wideBytes)
	w := serveWide(t, body)
	w.want, w.wait = 100, wideLong // until the ledger has it
	ctx, cancel := context.WithTimeout(t.Context(), wideLong)
	defer cancel()
	m := w.move(t)
	m.o.Checkpoint = 32 << 10
	m.o.Source.Timeout = 2 * wideLong
	var once sync.Once
	seen := make(chan state.File, 1)
	w.handle = func(c *talk, rest int64, call int) bool {
		if call == 4 {
			once.Do(func() {
				go func() {
					defer close(w.all) // go on
					for pause.For(ctx, 2*time.Millisecond) == nil {
						if f, err := m.store.GetFile(ctx, 1, "big"); err == nil && len(f.Ranges) == 3 {
							seen <- f
							return
						}
					}
				}()
			})
		}
		return false
	}
	m.run()
	equal(t, m.files()["big"] == body, true)
	select {
	case f := <-seen:
		if f.Token == "" || f.Offset == 0 || f.Phase != state.Fetching || !f.Ranges.Valid(f.Offset) {
			t.Errorf("%+v", f)
		}
	default:
		t.Error("nothing of it was in the ledger")
	}
}

// The file is exchanged between two runs, at equal size and time.
func TestSegmentsNeverSpliceRuns(t *testing.T) {
	before := random(wideBytes)
	after := before[1:] + "x"
	w := serveWide(t, before)
	m := w.move(t)
	w.stopHalfway(t, m)
	w.body = after
	m.run()
	equal(t, m.files()["big"] == after, true)
}

// Ranges in the ledger that touch, of two versions: their boundary was not compared.
func TestSegmentsComparedLater(t *testing.T) {
	before := random(wideBytes)
	after := before[:2*widePiece] + strings.Repeat("new", wideBytes)[:2*widePiece]
	w := serveWide(t, before)
	m := w.move(t)
	w.stopHalfway(t, m)
	f := m.line("big")
	res := m.o.Dest.(storage.Resumer)
	up, err := res.Resume(t.Context(), storage.Token(f.Token))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := up.WriteAt([]byte(before[:2*widePiece]), 0); err != nil {
		t.Fatal(err)
	}
	if _, err := up.WriteAt([]byte(before[widePiece:3*widePiece]), 2*widePiece); err != nil { // wrong
		t.Fatal(err)
	}
	token, err := up.Suspend(t.Context(), storage.SuspendOptions{})
	if err != nil {
		t.Fatal(err)
	}
	f.Token, f.Offset = string(token), 2*widePiece
	f.Ranges = state.Ranges{{From: 2 * widePiece, To: wideBytes}}
	if err := m.store.PutFiles(t.Context(), f); err != nil {
		t.Fatal(err)
	}
	w.body = after
	m.run()
	equal(t, m.files()["big"] == after, true)
}
