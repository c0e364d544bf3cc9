package ftpbridge

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"
)

func TestSFTPHostileNames(t *testing.T) {
	srv := (&sftpScript{names: []string{".", "..", "", "../up", "/etc/passwd", "a/b", "nul\x00", "good", "esc\x1b[31m", "new\nline"}}).start(t)
	s := dialScript(t, srv.source())
	res, err := s.List(testContext(t), "")
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range res.Entries {
		names = append(names, e.RawName)
	}
	equal(t, names, []string{"good", "esc\x1b[31m", "new\nline"})
	equal(t, res.SkippedTotal, 5)
	equal(t, len(res.Skipped), 5)
	if strings.ContainsAny(res.Entries[1].Name+res.Entries[2].Name, "\x1b\n") {
		t.Errorf("%+v", res.Entries)
	}
}

func dialScript(t *testing.T, src Source) *SFTPSession {
	t.Helper()
	s, err := DialSFTP(testContext(t), src)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// A server may answer a READ with fewer bytes than were asked for.
func TestSFTPShortReads(t *testing.T) {
	content := strings.Repeat("0123456789abcdef", 20_000)
	for _, short := range []int{1000, sftpChunk - 1, sftpChunk} {
		srv := (&sftpScript{files: map[string]string{"f": content}, short: short}).start(t)
		s := dialScript(t, srv.source())
		for _, from := range []int64{0, 17, int64(len(content))} {
			got, err := fetchAll(testContext(t), s, "f", from)
			if err != nil || got != content[from:] {
				t.Errorf("%d at a time from %d: %d of %d bytes, %v", short, from, len(got), len(content), err)
			}
		}
	}
}

// A size that lies both ways, and a file that ends early, are no whole file.
func TestSFTPSizeLies(t *testing.T) {
	for _, size := range []int64{1, 99_999, 100_001, 1 << 40} {
		srv := (&sftpScript{files: map[string]string{"f": strings.Repeat("x", 100_000)}, size: size}).start(t)
		s := dialScript(t, srv.source())
		got, err := fetchAll(testContext(t), s, "f", 0)
		want(t, err, []error{io.ErrUnexpectedEOF}, fmt.Sprint(size))
		if len(got) != 100_000 || s.Broken() {
			t.Errorf("%d bytes", len(got))
		}
	}
}

func TestSFTPHostileReplies(t *testing.T) {
	answer := func(kind byte, out func(id uint32) []byte) func(byte, uint32, fields) []byte {
		return func(k byte, id uint32, _ fields) []byte {
			if k != kind {
				return nil
			}
			return out(id)
		}
	}
	fetch := func(s *SFTPSession) error {
		_, err := fetchAll(context.Background(), s, "f", 0)
		return err
	}
	list := func(s *SFTPSession) error {
		_, err := s.List(context.Background(), "")
		return err
	}
	store := func(s *SFTPSession) error {
		_, err := s.Store(context.Background(), "f", strings.NewReader(strings.Repeat("x", 100_000)), 0)
		return err
	}
	for name, tt := range map[string]struct {
		reply   func(byte, uint32, fields) []byte
		do      func(*SFTPSession) error
		targets []error
		words   []string
	}{
		"huge packet": {answer(sftpOpendir, func(uint32) []byte {
			return append(binary.BigEndian.AppendUint32(nil, 1<<31), sftpHandle)
		}), list, []error{ErrProtocol}, nil},
		"wrong number": {answer(sftpOpendir, func(id uint32) []byte { return status(id+7, 0, "") }), list, []error{ErrProtocol}, nil},
		"wrong kind": {answer(sftpOpen, func(id uint32) []byte {
			return newRequest(sftpData, id).string("x").wire()
		}), fetch, []error{ErrProtocol}, nil},
		"OK for a handle": {answer(sftpOpen, func(id uint32) []byte { return status(id, 0, "") }), fetch, nil, []string{"OPEN"}},
		"long handle": {answer(sftpOpen, func(id uint32) []byte {
			return newRequest(sftpHandle, id).string(strings.Repeat("h", 1000)).wire()
		}), fetch, []error{ErrProtocol}, nil},
		"torn names": {answer(sftpReaddir, func(id uint32) []byte {
			return newRequest(sftpName, id).uint32(1 << 30).string("a").wire()
		}), list, []error{ErrProtocol}, nil},
		"torn attributes": {answer(sftpFstat, func(id uint32) []byte {
			return newRequest(sftpAttrs, id).uint32(0x80000000).uint32(1 << 31).wire()
		}), fetch, []error{ErrProtocol}, nil},
		"more than asked": {answer(sftpRead, func(id uint32) []byte {
			return newRequest(sftpData, id).string(strings.Repeat("x", sftpChunk+1)).wire()
		}), fetch, []error{ErrProtocol}, nil},
		"empty data": {answer(sftpRead, func(id uint32) []byte {
			return newRequest(sftpData, id).string("").wire()
		}), fetch, []error{ErrProtocol}, nil},
		"failing read": {answer(sftpRead, func(id uint32) []byte {
			return status(id, 4, "disk\x1b[2J error")
		}), fetch, nil, []string{`disk\x1b[2J error`}},
		"denied":        {answer(sftpOpen, func(id uint32) []byte { return status(id, 3, "") }), fetch, []error{fs.ErrPermission}, nil},
		"silent read":   {answer(sftpRead, func(uint32) []byte { return []byte{} }), fetch, []error{ErrTimeout, io.ErrUnexpectedEOF}, nil},
		"silent folder": {answer(sftpReaddir, func(uint32) []byte { return []byte{} }), list, []error{ErrTimeout}, nil},
		"full disk": {func(kind byte, id uint32, _ fields) []byte {
			if kind == sftpWrite {
				return status(id, 14, "")
			}
			return nil
		}, store, nil, []string{"no space"}},
		"lost bytes": {func(kind byte, id uint32, _ fields) []byte {
			if kind == sftpWrite {
				return status(id, 0, "")
			}
			return nil
		}, store, []error{io.ErrUnexpectedEOF}, []string{"100000", "holds 1"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			srv := (&sftpScript{files: map[string]string{"f": "x"}, reply: tt.reply}).start(t)
			src := srv.source()
			src.Timeout = 500 * time.Millisecond
			s := dialScript(t, src)
			want(t, tt.do(s), tt.targets, tt.words...)
		})
	}
}

// A server that gives a byte now and then, or a name, keeps nobody for ever.
func TestSFTPDrips(t *testing.T) {
	srv := (&sftpScript{files: map[string]string{"f": strings.Repeat("x", 100_000)}, short: 1, reply: func(kind byte, id uint32, _ fields) []byte {
		switch kind {
		case sftpRead:
			time.Sleep(150 * time.Millisecond)
		case sftpReaddir:
			time.Sleep(150 * time.Millisecond)
			return newRequest(sftpName, id).uint32(1).string("again").string("").uint32(0).wire()
		}
		return nil
	}}).start(t)
	src := srv.source()
	src.Timeout = 400 * time.Millisecond
	_, err := fetchAll(testContext(t), dialScript(t, src), "f", 0)
	want(t, err, []error{ErrTimeout, io.ErrUnexpectedEOF})
	_, err = dialScript(t, src).List(testContext(t), "")
	want(t, err, []error{ErrTimeout})
}

// Folders without end have one here.
func TestSFTPEndlessFolder(t *testing.T) {
	many := newRequest(sftpName, 0).uint32(200)
	for i := range 200 {
		many = many.string(fmt.Sprintf("%01000d", i)).string("").uint32(0)
	}
	srv := (&sftpScript{reply: func(kind byte, id uint32, _ fields) []byte {
		if kind != sftpReaddir {
			return nil
		}
		binary.BigEndian.PutUint32(many[5:], id)
		return many.wire()
	}}).start(t)
	s := dialScript(t, srv.source())
	_, err := s.List(testContext(t), "")
	want(t, err, []error{ErrTooLarge})
	if s.Broken() {
		t.Error("the session is broken")
	}
}

func TestSFTPContextCuts(t *testing.T) {
	srv := (&sftpScript{reply: func(kind byte, _ uint32, _ fields) []byte {
		if kind == sftpOpendir {
			return []byte{}
		}
		return nil
	}}).start(t)
	s := dialScript(t, srv.source())
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	_, err := s.List(ctx, "")
	want(t, err, []error{context.DeadlineExceeded})
	if !s.Broken() {
		t.Error("the session goes on")
	}
	_, err = s.List(t.Context(), "")
	want(t, err, []error{ErrBroken})
}

// A server that only knows keyboard-interactive gets the password for a hidden
// question, and nothing for a shown one.
func TestSFTPKeyboardInteractive(t *testing.T) {
	for _, shown := range []bool{false, true} {
		srv := (&sftpScript{auth: func(c *ssh.ServerConfig) {
			c.PasswordCallback = nil
			c.KeyboardInteractiveCallback = func(_ ssh.ConnMetadata, ask ssh.KeyboardInteractiveChallenge) (*ssh.Permissions, error) {
				if answers, err := ask("", "", []string{"Password: "}, []bool{shown}); err != nil || answers[0] != "pw" {
					return nil, errors.New("no")
				}
				return nil, nil
			}
		}}).start(t)
		s, err := DialSFTP(testContext(t), srv.source())
		if shown {
			want(t, err, nil, "more than a password")
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		s.Close()
	}
}

// What listens may not be an SSH server, or may say nothing, or close at once.
func TestSFTPNoServer(t *testing.T) {
	for name, tt := range map[string]struct {
		serve   func(net.Conn)
		targets []error
	}{
		"silent": {func(c net.Conn) { _, _ = io.Copy(io.Discard, c) }, []error{ErrTimeout}},
		"closes": {func(net.Conn) {}, []error{ErrBusy}},
		"http":   {func(c net.Conn) { _, _ = io.WriteString(c, "HTTP/1.0 400 Bad Request\r\n\r\n") }, nil},
		"endless": {func(c net.Conn) {
			for {
				if _, err := io.WriteString(c, "no SSH here\r\n"); err != nil {
					return
				}
				time.Sleep(time.Millisecond)
			}
		}, []error{ErrTimeout}},
	} {
		t.Run(name, func(t *testing.T) {
			ln, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			done := make(chan struct{})
			go func() {
				defer close(done)
				c, err := ln.Accept()
				if err != nil {
					return
				}
				defer c.Close()
				tt.serve(c)
			}()
			src, err := ParseSource("sftp://u:secret@" + ln.Addr().String() + "/")
			if err != nil {
				t.Fatal(err)
			}
			src.Timeout = 300 * time.Millisecond
			src.Fingerprint = "SHA256:" + strings.Repeat("A", 43)
			_, err = DialSFTP(testContext(t), src)
			want(t, err, tt.targets)
			if err == nil || strings.Contains(err.Error(), "secret") {
				t.Error(err)
			}
			ln.Close()
			<-done
		})
	}
}
