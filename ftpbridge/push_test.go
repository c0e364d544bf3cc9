package ftpbridge

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"gateway/storage"
)

// writable makes the scripted server take files.
func (s *sftpScript) writable() *sftpScript {
	if s.files == nil {
		s.files = map[string]string{}
	}
	before := s.reply
	name := func(f *fields) string { return strings.TrimPrefix(f.string(), "/") }
	s.reply = func(kind byte, id uint32, f fields) []byte {
		if before != nil {
			if out := before(kind, id, f); out != nil {
				return out
			}
		}
		ok := status(id, statusOK, "")
		switch kind {
		case sftpOpen:
			file, flags := f, fields{}
			path := name(&file)
			flags.b = file.b
			bits := flags.uint32()
			if _, there := s.files[path]; !there && bits&sftpToCreate == 0 {
				return status(id, statusNoFile, "")
			} else if !there || bits&sftpToTruncate != 0 {
				s.files[path] = ""
			}
			return nil
		case sftpWrite:
			path, off := name(&f), int(f.uint64())
			content := []byte(s.files[path])
			data := f.bytes()
			content = append(content, make([]byte, max(0, off+len(data)-len(content)))...)
			copy(content[off:], data)
			s.files[path] = string(content)
			return ok
		case sftpRename:
			from, to := name(&f), name(&f)
			if _, there := s.files[to]; there {
				return status(id, 4, "Failure")
			}
			s.files[to] = s.files[from]
			delete(s.files, from)
			return ok
		case sftpRemove:
			path := name(&f)
			if _, there := s.files[path]; !there {
				return status(id, statusNoFile, "")
			}
			delete(s.files, path)
			return ok
		case sftpMkdir, sftpSetstat:
			return ok
		}
		return nil
	}
	return s
}

// have holds what the server has against what it should.
func (s *sftpScript) have(t *testing.T, want map[string]string) {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	got := map[string]string{}
	for name, content := range s.files {
		got[name] = digested(content)
	}
	equal(t, got, want)
}

// The connection breaks at any request, after the server did what was asked and
// before it said so. The next try, or the next run, sees what is there.
func TestPushLosesReplies(t *testing.T) {
	for _, kind := range []byte{sftpStat, sftpOpen, sftpWrite, sftpFstat, sftpClose, sftpMkdir, sftpSetstat, sftpRename} {
		for tries, end := range map[int]string{1: hangUp, 2: "\xff\xff\xff\xff\xff", 3: hangUp} {
			t.Run(fmt.Sprint(sftpRequests[kind], " ", tries), func(t *testing.T) {
				lost := 0
				srv := (&sftpScript{}).writable()
				ordinary := srv.reply
				srv.reply = func(k byte, id uint32, f fields) []byte {
					out := ordinary(k, id, f)
					if k == kind && lost < 1 {
						lost++
						return []byte(end)
					}
					return out
				}
				srv.start(t)
				b := newOutbox(t, srv.source())
				b.o.Tries = tries
				b.write("dir/a", "hello")
				b.write("b", "")
				_, err := Push(testContext(t), b.o)
				if err != nil {
					t.Logf("%v", err)
				}
				b.run()
				rep := b.run()
				equal(t, rep.Unchanged.Files, int64(2))
				if !rep.Complete() || lost == 0 {
					t.Errorf("%d lost\n%s", lost, text(rep))
				}
				srv.have(t, map[string]string{"dir/a": "hello", "b": ""})
			})
		}
	}
}

// A server with a full disk keeps no parts of ours, and the run goes on.
func TestPushFullServer(t *testing.T) {
	full := true
	srv := (&sftpScript{reply: func(kind byte, id uint32, f fields) []byte {
		if kind == sftpWrite && full {
			return status(id, 14, "")
		}
		return nil
	}}).writable().start(t)
	b := newOutbox(t, srv.source())
	b.write("a", "1")
	b.write("empty", "")
	rep := b.run()
	reasons(t, rep.Failed, map[string]string{"a": "no space on the file system"})
	srv.have(t, map[string]string{"empty": ""})
	srv.mu.Lock()
	full = false
	srv.mu.Unlock()
	equal(t, b.run().Published.Files, int64(1))
	srv.have(t, map[string]string{"empty": "", "a": "1"})
}

// A server that loses bytes and confirms them is found out.
func TestPushSizeDiffers(t *testing.T) {
	srv := (&sftpScript{}).writable()
	ordinary := srv.reply
	srv.reply = func(kind byte, id uint32, f fields) []byte {
		if kind == sftpWrite {
			return status(id, statusOK, "")
		}
		return ordinary(kind, id, f)
	}
	srv.start(t)
	b := newOutbox(t, srv.source())
	b.write("a", "12345")
	rep := b.run()
	reasons(t, rep.Failed, map[string]string{"a": "confirmed 5 bytes and holds 0"})
	srv.mu.Lock()
	defer srv.mu.Unlock()
	for name := range srv.files {
		if !strings.Contains(name, ".part-") {
			t.Errorf("%q has its name", name)
		}
	}
}

// An upload that was cut goes on near where it stopped, in the next run too; another
// version of the file begins anew.
func TestPushResumes(t *testing.T) {
	for _, changed := range []bool{false, true} {
		writes := 0
		srv := (&sftpScript{reply: func(kind byte, _ uint32, _ fields) []byte {
			if kind == sftpWrite {
				if writes++; writes == 100 {
					return []byte(hangUp)
				}
			}
			return nil
		}}).writable().start(t)
		b := newOutbox(t, srv.source())
		b.o.Tries = 1
		content := random(4 << 20)
		b.write("big", content)
		rep := b.run()
		equal(t, rep.Failed.Total, int64(1))
		if changed {
			content = random(4<<20 + 1)[1:]
			b.write("big", content)
		}
		rep = b.run()
		srv.have(t, map[string]string{"big": digested(content)})
		resumed := rep.ResumedFiles == 1 && rep.SavedBytes > 1<<20 && rep.SentBytes < 3<<20
		if resumed == changed {
			t.Errorf("changed %v: %s", changed, text(rep))
		}
	}
}

// A file that changes while it is sent is sent again, whole each time.
func TestPushChanges(t *testing.T) {
	srv := (&sftpScript{}).writable().start(t)
	b := newOutbox(t, srv.source())
	b.write("a", "old")
	changes := 0
	b.o.Progress = func(e Event) {
		if e.Kind == EventStarted && changes < 2 {
			changes++
			b.write("a", fmt.Sprint("new ", changes))
		}
	}
	rep := b.run()
	srv.have(t, map[string]string{"a": "new 2"})
	equal(t, rep.Published.Files, int64(3))
	if !rep.Complete() {
		t.Errorf("%s", text(rep))
	}
	b.o.Progress = func(e Event) {
		if e.Kind == EventStarted {
			changes++
			b.write("a", fmt.Sprint("restless ", changes))
		}
	}
	b.write("a", "restless")
	rep = b.run()
	equal(t, rep.Pending.Files, int64(1))
	b.o.Progress = nil
	b.run()
	srv.have(t, map[string]string{"a": fmt.Sprint("restless ", changes)})
}

// What went from the folder before it was sent leaves nothing on the server.
func TestPushGone(t *testing.T) {
	writes := 0
	srv := (&sftpScript{reply: func(kind byte, _ uint32, _ fields) []byte {
		if kind == sftpWrite {
			if writes++; writes == 2 {
				return []byte(hangUp)
			}
		}
		return nil
	}}).writable().start(t)
	b := newOutbox(t, srv.source())
	b.o.Tries = 1
	b.write("a", random(40_000))
	equal(t, b.run().Failed.Total, int64(1))
	if err := os.Remove(filepath.Join(b.root, "a")); err != nil {
		t.Fatal(err)
	}
	rep := b.run()
	equal(t, rep.Gone, int64(1))
	equal(t, rep.Complete(), true)
	srv.have(t, map[string]string{})
	equal(t, b.run().Gone, int64(0))
	b.write("a", "back")
	equal(t, b.run().Published.Files, int64(1))
	srv.have(t, map[string]string{"a": "back"})
}

// Names go in the partner's charset, or not at all.
func TestPushNames(t *testing.T) {
	srv := (&sftpScript{}).writable().start(t)
	src := srv.source()
	src.Charset = "iso-8859-1"
	b := newOutbox(t, src)
	b.o.Temporary = "tmp-*."
	b.write("gar\u00e7on", "1")
	b.write("\u65e5\u672c", "2")
	var temps []string
	srv.mu.Lock()
	ordinary := srv.reply
	srv.reply = func(kind byte, id uint32, f fields) []byte {
		if kind == sftpRename {
			names := f
			temps = append(temps, names.string())
		}
		return ordinary(kind, id, f)
	}
	srv.mu.Unlock()
	rep := b.run()
	reasons(t, rep.Failed, map[string]string{"\u65e5\u672c": "ISO-8859-1 lacks"})
	srv.have(t, map[string]string{"gar\xe7on": "1"})
	if len(temps) != 1 || !strings.HasPrefix(temps[0], "/tmp-gar\xe7on.") {
		t.Errorf("%q", temps)
	}
}

// Over FTP a server's own hash of the temporary file has the last word.
func TestPushComparesHash(t *testing.T) {
	wrong := 1
	srv := (&scripted{feat: []string{"HASH SHA-256*", "SIZE", "MDTM", "REST STREAM"}, lists: map[string]string{"": ""}}).store("226 got it")
	srv.handlers["HASH"] = func(c *talk, arg string) {
		content := srv.file(c.abs(arg))
		srv.mu.Lock()
		defer srv.mu.Unlock()
		sum := sha256.Sum256([]byte(content))
		if wrong > 0 {
			wrong--
			sum[0]++
		}
		c.say("213 SHA-256 0-%d %x %s", len(content), sum, arg)
	}
	var from string
	srv.handlers["RNFR"] = func(c *talk, arg string) { from = c.abs(arg); c.say("350 and to?") }
	srv.handlers["RNTO"] = func(c *talk, arg string) {
		srv.mu.Lock()
		srv.files[c.abs(arg)] = srv.files[from]
		delete(srv.files, from)
		srv.mu.Unlock()
		c.say("250 done")
	}
	srv.start(t)
	b := newOutbox(t, srv.source(t, ""))
	b.write("a", "hello")
	rep := b.run()
	equal(t, rep.Published.Files, int64(1))
	equal(t, rep.Retries, int64(1))
	equal(t, srv.file("/a"), "hello")
	srv.mu.Lock()
	wrong = 1000
	srv.mu.Unlock()
	b.write("b", "bad")
	rep = b.run()
	reasons(t, rep.Failed, map[string]string{"b": "broke on the way"})
	if srv.file("/b") != "" {
		t.Error("a damaged file has its name")
	}
}

func TestPushOptions(t *testing.T) {
	src, err := ParseSource("ftp://u@127.0.0.1:1/")
	if err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(*PushOptions){
		"no name":   func(o *PushOptions) { o.SourceName = "" },
		"colon":     func(o *PushOptions) { o.SourceName = "a:b" },
		"folder":    func(o *PushOptions) { o.Folder = "../up" },
		"after":     func(o *PushOptions) { o.After = "burn" },
		"tries":     func(o *PushOptions) { o.Tries = -1 },
		"no star":   func(o *PushOptions) { o.Temporary = "part" },
		"two stars": func(o *PushOptions) { o.Temporary = "*.*" },
		"bare star": func(o *PushOptions) { o.Temporary = "*" },
		"slash":     func(o *PushOptions) { o.Temporary = "tmp/*" },
	} {
		b := newOutbox(t, src)
		change(&b.o)
		if _, err := Push(t.Context(), b.o); !errors.Is(err, ErrOptions) {
			t.Errorf("%s: %v", name, err)
		}
	}
	b := newOutbox(t, src)
	rep, err := Push(testContext(t), b.o)
	want(t, err, []error{ErrUnreachable})
	if rep.Complete() {
		t.Error("complete")
	}
	b.o.Folder = "missing"
	srv := (&sftpScript{}).writable().start(t)
	b.o.Dest = srv.source()
	_, err = Push(testContext(t), b.o)
	want(t, err, []error{fs.ErrNotExist})
}

// A run that is stopped says so, and the next one does the rest.
func TestPushStopped(t *testing.T) {
	srv := (&sftpScript{}).writable().start(t)
	b := newOutbox(t, srv.source())
	want := map[string]string{}
	for i := range 50 {
		b.write(fmt.Sprint(i), fmt.Sprint("file ", i))
		want[fmt.Sprint(i)] = fmt.Sprint("file ", i)
	}
	ctx, cancel := context.WithCancel(testContext(t))
	n := 0
	b.o.Progress = func(e Event) {
		if e.Kind == EventFinished {
			if n++; n == 10 {
				cancel()
			}
		}
	}
	rep, err := Push(ctx, b.o)
	if !errors.Is(err, context.Canceled) || rep.Pending.Files == 0 || !strings.Contains(text(rep), "interrupted") {
		t.Errorf("%v\n%s", err, text(rep))
	}
	time.Sleep(50 * time.Millisecond) // the cut session ends
	b.o.Progress = nil
	rep = b.run()
	srv.have(t, want)
	equal(t, rep.Complete(), true)
	for line := range strings.Lines(text(rep)) {
		if len(strings.TrimRight(line, "\n")) > textWidth {
			t.Errorf("wider than %d: %s", textWidth, line)
		}
	}
}

// A file is deleted here only as the version that was sent.
func TestPushDeletesWhatWasSent(t *testing.T) {
	srv := (&sftpScript{}).writable().start(t)
	b := newOutbox(t, srv.source())
	b.o.After = DeletePushed
	b.write("a", "1")
	b.write("b", "1")
	written := false
	b.o.Progress = func(e Event) {
		if e.Kind == EventFinished && e.Path == "b" && !written {
			written = true
			b.write("b", "2")
		}
	}
	b.o.Connections = 1
	rep := b.run()
	equal(t, rep.Deleted, int64(2))
	srv.have(t, map[string]string{"a": "1", "b": "2"})
	if _, err := b.o.Source.Stat(t.Context(), storage.Join("out", "a")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("%v", err)
	}
}
