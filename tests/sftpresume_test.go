package tests

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"gateway/tests/servers"
)

// resumption is a client that continues an upload that broke off.
type resumption struct {
	name   string
	put    func(t *testing.T, s *serving, local, remote string) *exec.Cmd
	resume func(t *testing.T, s *serving, local, remote string)
	part   string // what it adds to the name until the file is whole
	anew   bool   // it sends all of it again
	rm     bool   // it takes away what is there before it sends
}

func put(t *testing.T, s *serving, local, remote string) *exec.Cmd {
	t.Helper()
	return clientCommand(t, "sftp", "put "+local+" "+remote+"\n", s.sftpArgs()...)
}

func resumptions() []resumption {
	lftpOpen := func(s *serving) string { return fmt.Sprintf("open -u %s, sftp://%s", s.user, s.sftp) }
	return []resumption{
		{name: "sftp reput", put: put, resume: func(t *testing.T, s *serving, local, remote string) {
			s.batch("reput " + local + " " + remote)
		}},
		{name: "sftp put -a", put: put, resume: func(t *testing.T, s *serving, local, remote string) {
			s.batch("put -a " + local + " " + remote)
		}},
		{
			name: "lftp put -c",
			put: func(t *testing.T, s *serving, local, remote string) *exec.Cmd {
				return lftpCommand(t, s, lftpOpen(s), "put "+local+" -o "+remote)
			},
			resume: func(t *testing.T, s *serving, local, remote string) {
				lftp(t, s, lftpOpen(s), "put -c "+local+" -o "+remote)
			},
		},
		{
			name: "lftp mirror -c -R",
			put: func(t *testing.T, s *serving, local, remote string) *exec.Cmd {
				return lftpCommand(t, s, lftpOpen(s), "mirror -c -R -f "+local+" -O .")
			},
			resume: func(t *testing.T, s *serving, local, remote string) {
				lftp(t, s, lftpOpen(s), "mirror -c -R -f "+local+" -O .")
			},
			anew: true, // it goes by the listing, which has only what is published
			rm:   true,
		},
		{
			name: "paramiko",
			put: func(t *testing.T, s *serving, local, remote string) *exec.Cmd {
				return paramiko(t, s, "sftp.put(sys.argv[1], sys.argv[2])", local, remote)
			},
			resume: func(t *testing.T, s *serving, local, remote string) {
				mustParamiko(t, s, `
have = sftp.stat(sys.argv[2]).st_size
with open(sys.argv[1], "rb") as local, sftp.open(sys.argv[2], "ab") as remote:
    assert remote.tell() == have, (remote.tell(), have)
    local.seek(have)
    remote.set_pipelined(True)
    while data := local.read(32768):
        remote.write(data)
`, local, remote)
			},
		},
		// FileZilla opens for writing alone, asks the handle for the size, and writes from there (its psftp.c).
		{name: "FileZilla", put: put, resume: func(t *testing.T, s *serving, local, remote string) {
			w, err := s.session().OpenFile(remote, os.O_WRONLY)
			mustDo(t, err)
			info, err := w.Stat()
			mustDo(t, err)
			writeRest(t, w, local, info.Size())
		}},
		// WinSCP sends to NAME.filepart, finds that by LSTAT, opens it with CREAT and no TRUNC, writes from its size,
		// and puts it in the place of what is there by REMOVE and RENAME (its SftpFileSystem.cpp).
		{name: "WinSCP", put: put, part: ".filepart", resume: func(t *testing.T, s *serving, local, remote string) {
			c := s.session()
			info, err := c.Lstat(remote)
			mustDo(t, err)
			w, err := c.OpenFile(remote, os.O_WRONLY|os.O_CREATE)
			mustDo(t, err)
			writeRest(t, w, local, info.Size())
			final := strings.TrimSuffix(remote, ".filepart")
			if _, err := c.Lstat(final); err == nil {
				mustDo(t, c.Remove(final))
			}
			when := time.Date(2020, 1, 2, 3, 4, 5, 0, time.UTC)
			mustDo(t, c.Rename(remote, final), c.Chtimes(final, when, when), c.Chmod(final, 0o644))
			if _, err := c.Lstat(remote); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("the part is still there (%v)", err)
			}
		}},
	}
}

// writeRest sends a file from an offset on, in packets of 32 KiB, and closes it.
func writeRest(t *testing.T, w interface {
	WriteAt(b []byte, off int64) (int, error)
	Close() error
}, local string, from int64) {
	t.Helper()
	data, err := os.ReadFile(local)
	mustDo(t, err)
	for at := int(from); at < len(data); at += 32 << 10 {
		_, err := w.WriteAt(data[at:min(len(data), at+32<<10)], int64(at))
		mustDo(t, err)
	}
	mustDo(t, w.Close())
}

// TestResume breaks the connection in the middle of an upload and lets each client go on, for a new file and for one
// that is replaced: nobody sees a byte before it is whole, and then it is the very file.
func TestResume(t *testing.T) {
	goOn(t, newLab(t).serve(), resumptions())
}

// TestResumeBucket is TestResume in a bucket, with a client for each way to learn the size: STAT, FSTAT and LSTAT.
func TestResumeBucket(t *testing.T) {
	some := slices.DeleteFunc(resumptions(), func(c resumption) bool {
		return !slices.Contains([]string{"sftp reput", "FileZilla", "WinSCP"}, c.name)
	})
	goOn(t, newBucketLab(t, servers.StartS3(t, servers.VersityGW), "").serve(), some)
}

func goOn(t *testing.T, s *serving, clients []resumption) {
	for _, c := range clients {
		for _, existing := range [][]byte{nil, []byte("what was there before")} {
			t.Run(fmt.Sprintf("%s, %d bytes are there", c.name, len(existing)), func(t *testing.T) {
				goOnWith(t, s.in(t), c, existing)
			})
		}
	}
}

func goOnWith(t *testing.T, s *serving, c resumption, existing []byte) {
	const size, cut = 8 << 20, 5 << 20
	content := randomBytes(rand.New(rand.NewPCG(8, 8)), size)
	name := strings.ReplaceAll(fmt.Sprintf("%s-%d", c.name, len(existing)), " ", "-")
	local := filepath.Join(t.TempDir(), name)
	writeFile(t, local, content)
	if existing != nil {
		store(t, s.session(), name, existing)
	}
	killInUpload(t, s, cut, func(s *serving) *exec.Cmd { return c.put(t, s, local, name+c.part) })
	u := s.interrupted(t, 1)[0]
	if u.Path != "default:/"+name+c.part || u.User != s.user || u.Size == 0 || u.Size > cut || !u.Until.After(time.Now()) {
		t.Errorf("interrupted: %+v", u)
	}
	if !c.rm {
		s.holds(t, name, existing)
	}
	whole := servers.StartProxy(t, s.sftp, servers.ProxyOptions{})
	c.resume(t, s.through(whole), local, name+c.part)
	s.holds(t, name, content)
	s.interrupted(t, 0)
	if sent := whole.Bytes(servers.Up); !c.anew && sent > size-u.Size+(1<<20) {
		t.Errorf("%d bytes were sent, of which %d were there", sent, u.Size)
	}
}

// killInUpload kills a client in the middle of an upload, and the connection with it.
func killInUpload(t *testing.T, s *serving, after int64, put func(s *serving) *exec.Cmd) {
	t.Helper()
	proxy := servers.StartProxy(t, s.sftp, servers.ProxyOptions{})
	sprung := proxy.StallAfter(servers.Up, after)
	cmd := put(s.through(proxy))
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	ended := make(chan error, 1)
	mustDo(t, cmd.Start())
	go func() { ended <- cmd.Wait() }()
	select {
	case <-sprung:
	case err := <-ended:
		t.Fatalf("it ended before the middle: %v\n%s", err, &out)
	}
	mustDo(t, cmd.Process.Kill())
	proxy.DropAll()
	<-ended
}

// through is the same server at the other end of a proxy.
func (s *serving) through(p *servers.Proxy) *serving {
	at := *s
	at.sftp = p.Addr
	return &at
}

// upload is a line of "gateway uploads --json".
type upload struct {
	ID, Path, User string
	Size           int64
	Written, Until time.Time
	Open           bool
}

// interrupted waits until as many uploads are suspended, and returns them.
func (s *serving) interrupted(t *testing.T, n int) []upload {
	t.Helper()
	var list []upload
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		list = nil
		open := false
		for _, u := range parseLines[upload](t, s.must("uploads", "--json")) {
			list = append(list, u)
			open = open || u.Open
		}
		if len(list) == n && !open {
			return list
		}
	}
	t.Fatalf("interrupted uploads: %+v, want %d", list, n)
	return nil
}

// TestLFTPGoesOn: lftp connects again by itself, and goes on where it was.
func TestLFTPGoesOn(t *testing.T) {
	s := newLab(t).serve()
	content := randomBytes(rand.New(rand.NewPCG(10, 10)), 8<<20)
	local := filepath.Join(t.TempDir(), "f")
	writeFile(t, local, content)
	proxy := servers.StartProxy(t, s.sftp, servers.ProxyOptions{})
	proxy.CutAfter(servers.Up, 5<<20)
	lftp(t, s.through(proxy), fmt.Sprintf("open -u %s, sftp://%s", s.user, proxy.Addr), "put "+local)
	s.holds(t, "f", content)
	s.interrupted(t, 0)
	if sent := proxy.Bytes(servers.Up); sent > 10<<20 {
		t.Errorf("%d bytes were sent for 8 MiB", sent)
	}
}

// TestUploadsDiscarded: what an operator threw away is sent anew.
func TestUploadsDiscarded(t *testing.T) {
	s := newLab(t).serve()
	content := randomBytes(rand.New(rand.NewPCG(9, 9)), 4<<20)
	local := filepath.Join(t.TempDir(), "f")
	writeFile(t, local, content)
	proxy := servers.StartProxy(t, s.sftp, servers.ProxyOptions{})
	proxy.CutAfter(servers.Up, 2<<20)
	if r := finish(t, put(t, s.through(proxy), local, "f")); r.code == 0 {
		t.Fatal("an upload over a broken connection succeeded")
	}
	u := s.interrupted(t, 1)[0]
	if list := s.must("uploads"); !strings.Contains(list, u.ID+"  default:/f  ") || !strings.Contains(list, "of "+s.user) {
		t.Errorf("gateway uploads:\n%s", list)
	}
	if out := s.must("uploads", "--user", "nobody"); out != "no upload has broken off\n" {
		t.Errorf("gateway uploads --user nobody: %s", out)
	}
	s.must("uploads", "discard", u.ID)
	if r := s.run("uploads", "discard", u.ID); r.code != 1 || !strings.Contains(r.stderr, "see: gateway uploads") {
		t.Errorf("discarded twice: %+v", r)
	}
	s.interrupted(t, 0)
	s.batch("put " + local + " f")
	s.holds(t, "f", content)
}
