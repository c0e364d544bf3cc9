package sftpsrv

import (
	"bytes"
	"encoding/binary"
	"io"
	"math"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"
)

// wire speaks SFTP by hand.
type wire struct {
	t       *testing.T
	in      io.Reader
	out     io.Writer
	endSend func() error // tells the server that nothing more comes
	exit    chan int     // the exit status, or -1
	id      uint32
}

// reply is one packet from the server.
type reply struct {
	kind byte
	id   uint32
	body decoder
}

func (f *fixture) wire(t *testing.T) *wire {
	t.Helper()
	return newWire(t, f.mustDial())
}

// newWire begins a session on a connection.
func newWire(t *testing.T, conn *ssh.Client) *wire {
	t.Helper()
	channel, requests, err := conn.OpenChannel("session", nil)
	mustDo(t, err)
	w := &wire{t: t, in: channel, out: channel, endSend: channel.CloseWrite, exit: make(chan int, 1)}
	go func() {
		status := -1
		for r := range requests {
			var exit exitStatus
			if r.Type == "exit-status" && ssh.Unmarshal(r.Payload, &exit) == nil {
				status = int(exit.Status)
			}
		}
		w.exit <- status
	}()
	if ok, err := channel.SendRequest("subsystem", true, ssh.Marshal(subsystemRequest{"sftp"})); err != nil || !ok {
		t.Fatalf("subsystem: %v, %v", ok, err)
	}
	return w
}

// ready is a wire after INIT and VERSION.
func (f *fixture) ready(t *testing.T) *wire {
	t.Helper()
	w := f.wire(t)
	w.raw(packet(fxpInit, uint32(3)))
	if r := w.read(); r.kind != fxpVersion || r.id != 3 {
		t.Fatalf("answer to INIT: %+v", r)
	}
	return w
}

// packet is a packet of fields: uint32, uint64, string, or raw bytes.
func packet(kind byte, fields ...any) []byte {
	b := []byte{0, 0, 0, 0, kind}
	for _, field := range fields {
		switch v := field.(type) {
		case uint32:
			b = binary.BigEndian.AppendUint32(b, v)
		case uint64:
			b = binary.BigEndian.AppendUint64(b, v)
		case string:
			b = binary.BigEndian.AppendUint32(b, uint32(len(v)))
			b = append(b, v...)
		case []byte:
			b = append(b, v...)
		}
	}
	binary.BigEndian.PutUint32(b, uint32(len(b)-4))
	return b
}

func (w *wire) raw(b []byte) {
	w.t.Helper()
	if _, err := w.out.Write(b); err != nil {
		w.t.Fatal(err)
	}
}

// send sends a request and returns its id.
func (w *wire) send(kind byte, fields ...any) uint32 {
	w.t.Helper()
	w.id++
	w.raw(packet(kind, append([]any{w.id}, fields...)...))
	return w.id
}

func (w *wire) read() reply {
	w.t.Helper()
	r, err := w.tryRead()
	if err != nil {
		w.t.Fatalf("no answer: %v", err)
	}
	return r
}

func (w *wire) tryRead() (reply, error) {
	head := make([]byte, 4)
	if _, err := io.ReadFull(w.in, head); err != nil {
		return reply{}, err
	}
	b := make([]byte, binary.BigEndian.Uint32(head))
	if _, err := io.ReadFull(w.in, b); err != nil {
		return reply{}, err
	}
	r := reply{kind: b[0], body: decoder{b: b[1:]}}
	r.id = r.body.uint32()
	return r, nil
}

// ask sends a request and reads the answer to it.
func (w *wire) ask(kind byte, fields ...any) reply {
	w.t.Helper()
	id := w.send(kind, fields...)
	r := w.read()
	if r.id != id {
		w.t.Fatalf("answer to %d, want %d", r.id, id)
	}
	return r
}

func (w *wire) status(what string, r reply, want uint32) {
	w.t.Helper()
	if r.kind != fxpStatus {
		w.t.Errorf("%s: answer of type %d, want a status", what, r.kind)
		return
	}
	code := r.body.uint32()
	if text := r.body.path(); code != want {
		w.t.Errorf("%s: status %d %q, want %d", what, code, text, want)
	}
}

func (w *wire) open(name string, flags uint32) string {
	w.t.Helper()
	r := w.ask(fxpOpen, name, flags, uint32(0))
	if r.kind != fxpHandle {
		w.status("OPEN", r, statusOK)
		w.t.FailNow()
	}
	return r.body.handle()
}

// ended wants the session to end with an exit status.
func (w *wire) ended(what string, status int) {
	w.t.Helper()
	if r, err := w.tryRead(); err == nil {
		w.t.Errorf("%s: answer of type %d, want the end", what, r.kind)
		return
	}
	if got := <-w.exit; got != status {
		w.t.Errorf("%s: exit status %d, want %d", what, got, status)
	}
}

func TestWireEnds(t *testing.T) {
	f := serve(t)
	tests := []struct {
		name   string
		send   []byte
		inited bool
	}{
		{"request before INIT", packet(fxpStat, uint32(1), "/"), false},
		{"INIT twice", packet(fxpInit, uint32(3)), true},
		{"INIT without a version", []byte{0, 0, 0, 1, fxpInit}, false},
		{"no id", []byte{0, 0, 0, 1, fxpStat}, true},
		{"empty packet", []byte{0, 0, 0, 0}, true},
		{"huge packet", []byte{0xff, 0xff, 0xff, 0xff, fxpStat}, true},
		{"packet a byte too long", []byte{0, 4, 0, 1, fxpStat}, true},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			w := f.wire(t)
			if test.inited {
				w = f.ready(t)
			}
			w.raw(test.send)
			w.ended(test.name, 255)
		})
	}
	w := f.ready(t)
	w.endSend()
	w.ended("EOF", 0)
	w = f.ready(t)
	w.raw(packet(fxpStat, uint32(1), "/")[:8])
	w.endSend()
	w.ended("EOF in a packet", 255)
}

// A WRITE that failed must not lead to a publish, whatever the client does next.
func TestWireFailedWritePublishesNothing(t *testing.T) {
	f := serve(t)
	f.write("f", []byte("old"))
	w := f.ready(t)
	tests := map[string][]any{
		"offset at 2^63":       {uint64(1 << 63), "x"},
		"beyond the last byte": {uint64(math.MaxInt64), "x"},
		"short data":           {uint64(0), uint32(100)},
	}
	for name, fields := range tests {
		h := w.open("f", openWrite|openCreat|openTrunc)
		w.status(name, w.ask(fxpWrite, h, uint64(0), "new"), statusOK)
		if r := w.ask(fxpWrite, append([]any{h}, fields...)...); r.kind != fxpStatus || r.body.uint32() == statusOK {
			t.Errorf("%s was accepted", name)
		}
		if r := w.ask(fxpClose, h); r.kind != fxpStatus || r.body.uint32() == statusOK {
			t.Errorf("%s: CLOSE succeeded", name)
		}
		f.expect("f", []byte("old"))
	}
}

// Requests that are sent without waiting act as if they came one by one.
func TestWirePipelined(t *testing.T) {
	f := serve(t)
	w := f.ready(t)
	h := w.open("f", openRead|openWrite|openCreat|openTrunc)
	piece := string(pattern(30000))
	want := make(map[uint32]uint64) // id of FSTAT or STAT: size
	reads := make(map[uint32]bool)
	ids := 0
	for i := range uint64(40) {
		w.send(fxpWrite, h, i*30000, piece)
		want[w.send(fxpFstat, h)] = (i + 1) * 30000
		reads[w.send(fxpRead, h, i*30000, uint32(30000))] = true
		ids += 3
	}
	stat := w.send(fxpStat, "f")
	want[stat] = 40 * 30000
	closing := w.send(fxpClose, h)
	// By path, after CLOSE: sees the published file.
	opened := w.send(fxpOpen, "f", uint32(openRead), uint32(0))
	for range ids + 3 {
		r := w.read()
		switch size, isStat := want[r.id]; {
		case isStat:
			r.body.uint32()
			// The path may be looked at late, never early.
			if got := r.body.uint64(); got != size {
				t.Errorf("request %d: size %d, want %d", r.id, got, size)
			}
		case reads[r.id]:
			if got := r.body.bytes(maxData); string(got) != piece {
				t.Errorf("request %d: read %d bytes that differ", r.id, len(got))
			}
		case r.id == opened:
			if r.kind != fxpHandle {
				t.Error("OPEN sent after CLOSE does not see the file")
			}
		case r.id == closing:
			w.status("CLOSE", r, statusOK)
		default:
			w.status("WRITE", r, statusOK)
		}
	}
	f.expect("f", bytes.Repeat([]byte(piece), 40))
}

// Offsets under APPEND count when they are true ones, in whatever order they come.
func TestWireAppend(t *testing.T) {
	f := serve(t)
	f.write("f", []byte("0123456789"))
	w := f.ready(t)
	h := w.open("f", openWrite|openAppend)
	w.status("WRITE", w.ask(fxpWrite, h, uint64(14), "efgh"), statusOK)
	w.status("WRITE", w.ask(fxpWrite, h, uint64(10), "abcd"), statusOK)
	w.status("WRITE", w.ask(fxpWrite, h, uint64(0), "!"), statusOK)
	w.status("CLOSE", w.ask(fxpClose, h), statusOK)
	f.expect("f", []byte("0123456789abcdefgh!"))
	h = w.open("f", openWrite|openAppend)
	for i := range uint64(30) { // passes the old end on the way
		w.status("WRITE", w.ask(fxpWrite, h, i, "x"), statusOK)
	}
	w.status("CLOSE", w.ask(fxpClose, h), statusOK)
	f.expect("f", append([]byte("0123456789abcdefgh!"), bytes.Repeat([]byte("x"), 30)...))
}

func TestWireExtensions(t *testing.T) {
	f := serve(t)
	f.write("f", pattern(600<<10))
	f.write("g", []byte("g"))
	w := f.ready(t)
	r := w.ask(fxpExtended, "limits@openssh.com")
	for i, want := range []uint64{maxPacket, maxData, maxData, DefaultMaxHandles} {
		if got := r.body.uint64(); got != want {
			t.Errorf("limit %d is %d, want %d", i, got, want)
		}
	}
	for path, want := range map[string]string{"~": "/", "~/a/..": "/", "~bob/x": "/x", "y": "/y"} {
		r := w.ask(fxpExtended, "expand-path@openssh.com", path)
		r.body.uint32()
		if got := r.body.path(); got != want {
			t.Errorf("expand-path %q: %q, want %q", path, got, want)
		}
	}
	r = w.ask(fxpExtended, "users-groups-by-id@openssh.com", string(packet(0, uint32(0), uint32(ownerID))[5:]), string(packet(0, uint32(ownerID), uint32(7))[5:]))
	for i, want := range []string{string(packet(0, "", testUser)[5:]), string(packet(0, testUser, "")[5:])} {
		if got := r.body.path(); r.kind != fxpExtendedReply || got != want {
			t.Errorf("names %d: %q, want %q", i, got, want)
		}
	}
	w.status("names of too many", w.ask(fxpExtended, "users-groups-by-id@openssh.com", string(make([]byte, 4*maxIDs+4)), ""), statusBadMessage)
	w.status("names of half an id", w.ask(fxpExtended, "users-groups-by-id@openssh.com", "", "abc"), statusBadMessage)
	r = w.ask(fxpExtended, "home-directory", testUser)
	r.body.uint32()
	if got := r.body.path(); got != "/" {
		t.Errorf("home-directory: %q", got)
	}
	w.status("posix-rename", w.ask(fxpExtended, "posix-rename@openssh.com", "g", "h"), statusOK)
	w.status("lsetstat", w.ask(fxpExtended, "lsetstat@openssh.com", "h", uint32(attrACModTime), uint32(1), uint32(1)), statusOK)
	source, target := w.open("f", openRead), w.open("copy", openWrite|openCreat|openTrunc)
	w.status("copy-data", w.ask(fxpExtended, "copy-data", source, uint64(10), uint64(0), target, uint64(5)), statusOK)
	w.status("copy-data", w.ask(fxpExtended, "copy-data", source, uint64(0), uint64(5), target, uint64(0)), statusOK)
	w.status("fsync", w.ask(fxpExtended, "fsync@openssh.com", target), statusOK)
	if r := w.ask(fxpExtended, "fstatvfs@openssh.com", target); r.kind != fxpExtendedReply {
		t.Errorf("fstatvfs: %+v", r)
	}
	w.status("CLOSE", w.ask(fxpClose, target), statusOK)
	f.expect("copy", append(pattern(600 << 10)[:5], pattern(600 << 10)[10:]...))
}

// Copies in both directions at once, with requests by path between them, end.
func TestWireNoDeadlock(t *testing.T) {
	f := serve(t)
	w := f.ready(t)
	a := w.open("a", openRead|openWrite|openCreat)
	b := w.open("b", openRead|openWrite|openCreat)
	w.status("WRITE", w.ask(fxpWrite, a, uint64(0), "a"), statusOK)
	w.status("WRITE", w.ask(fxpWrite, b, uint64(0), "b"), statusOK)
	const rounds = 200
	go func() {
		for range rounds {
			w.send(fxpExtended, "copy-data", a, uint64(0), uint64(1), b, uint64(0))
			w.send(fxpRename, "nothing", "else")
			w.send(fxpExtended, "copy-data", b, uint64(0), uint64(1), a, uint64(0))
			w.send(fxpOpendir, "/x")
			w.send(fxpRmdir, "/")
		}
	}()
	for range 5 * rounds {
		w.read()
	}
}

// A client that does not take its answers is cut off, and holds a bounded amount meanwhile.
func TestWireStalledClient(t *testing.T) {
	f := serve(t, func(c *Config) { c.StallTimeout = 200 * time.Millisecond })
	f.write("f", pattern(1<<20))
	w := f.ready(t)
	h := w.open("f", openRead)
	go func() {
		for w.id < 1000 {
			w.id++
			if _, err := w.out.Write(packet(fxpRead, w.id, h, uint64(0), uint32(maxData))); err != nil {
				return
			}
		}
	}()
	f.eventually("the end of the connection", func() bool { return f.connections() == 0 })
}

func TestWireIdle(t *testing.T) {
	f := serve(t, func(c *Config) { c.IdleTimeout = 300 * time.Millisecond })
	w := f.ready(t)
	f.eventually("the end of the connection", func() bool { return f.connections() == 0 })
	if _, err := w.tryRead(); err == nil {
		t.Error("the session goes on")
	}
}
