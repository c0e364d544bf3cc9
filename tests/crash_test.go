package tests

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pkg/sftp"
	"golang.org/x/crypto/ssh"

	"gateway/tests/servers"
)

// kill ends the gateway as a crash would.
func (s *serving) kill() {
	s.t.Helper()
	if err := s.cmd.Process.Kill(); err != nil {
		s.t.Fatal(err)
	}
	<-s.exited
}

// again starts the gateway anew on the same data and configuration.
func (s *serving) again() *serving {
	s.t.Helper()
	next := *s
	next.start(s.cmd.Args[len(s.cmd.Args)-1])
	return &next
}

// staged lists the folder of staged uploads: those that can be resumed, and all
// other parts with their sizes.
func (l *lab) staged() (resumable []string, others map[string]int64) {
	l.t.Helper()
	entries, err := os.ReadDir(l.files(".gateway-staging"))
	if err != nil {
		l.t.Fatal(err)
	}
	others = map[string]int64{}
	for _, e := range entries {
		if info, err := e.Info(); err == nil && e.Name() != "locks" {
			others[e.Name()] = info.Size()
		}
	}
	for name := range maps.Clone(others) {
		id, ok := strings.CutSuffix(name, ".json")
		if _, part := others[id+".part"]; ok && part {
			resumable = append(resumable, id)
			delete(others, name)
			delete(others, id+".part")
		}
	}
	return resumable, others
}

// awaitStaged waits until that many uploads are under way with at least size bytes each.
func (l *lab) awaitStaged(n int, size int64) {
	l.t.Helper()
	l.await(fmt.Sprintf("%d uploads are under way", n), func() bool {
		parts := 0
		entries, _ := os.ReadDir(l.files(".gateway-staging"))
		for _, e := range entries {
			if info, err := e.Info(); err == nil && strings.HasSuffix(e.Name(), ".part") && info.Size() >= size {
				parts++
			}
		}
		return parts >= n
	})
}

// onlyResumable waits until the staging folder holds only what can be resumed.
func (l *lab) onlyResumable() {
	l.t.Helper()
	l.await("the staging folder holds only what can be resumed", func() bool {
		_, others := l.staged()
		return len(others) == 0
	})
}

func (l *lab) await(what string, true func() bool) {
	l.t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !true(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			entries, _ := filepath.Glob(l.files(".gateway-staging", "*"))
			l.t.Fatalf("waited in vain until %s; staged: %q", what, entries)
		}
	}
}

// broken is a slow upload of each kind: new files and overwrites on both protocols.
type broken struct {
	s        *serving
	old      []byte
	local    string // what is being sent
	uploads  []*exec.Cmd
	newNames []string
	oldNames []string
}

func startUploads(s *serving) *broken {
	b := &broken{
		s: s, old: bytes.Repeat([]byte("the old file, whole. "), 60_000), local: filepath.Join(s.t.TempDir(), "local.bin"),
		newNames: []string{"new-sftp.bin", "new-https.bin"}, oldNames: []string{"old-sftp.bin", "old-https.bin"},
	}
	data := make([]byte, 8<<20)
	rand.NewChaCha8([32]byte{7}).Read(data)
	if err := os.WriteFile(b.local, data, 0o600); err != nil {
		s.t.Fatal(err)
	}
	for _, name := range b.oldNames {
		if err := os.WriteFile(s.files(name), b.old, 0o600); err != nil {
			s.t.Fatal(err)
		}
	}
	for _, name := range []string{"new-sftp.bin", "old-sftp.bin"} {
		b.start("sftp", "put "+b.local+" "+name+"\n", append([]string{"-l", "4000"}, s.sftpArgs()...)...)
	}
	for _, name := range []string{"new-https.bin", "old-https.bin"} {
		b.start("curl", "", "-sS", "-k", "-u", s.user+":"+s.password, "--limit-rate", "500k", "-T", b.local, s.url(name))
	}
	s.awaitStaged(4, 64<<10)
	return b
}

func (b *broken) start(program, stdin string, args ...string) {
	ctx, cancel := context.WithTimeout(context.Background(), commandTime)
	b.s.t.Cleanup(cancel)
	cmd := exec.CommandContext(ctx, servers.Tool(b.s.t, program), args...)
	cmd.Stdin = strings.NewReader(stdin)
	if err := cmd.Start(); err != nil {
		b.s.t.Fatal(err)
	}
	b.uploads = append(b.uploads, cmd)
}

// kill ends the clients where they are.
func (b *broken) kill() {
	for _, cmd := range b.uploads {
		_ = cmd.Process.Kill() // it may have ended with the server
		_ = cmd.Wait()
	}
}

// invisible checks that readers see nothing of the uploads.
func (b *broken) invisible(s *serving, when string) {
	s.t.Helper()
	list := s.batch("ls -1")
	xml := s.curl("-X", "PROPFIND", "-H", "Depth: 1", s.url("")).out
	to := s.t.TempDir()
	for _, name := range b.newNames {
		if strings.Contains(list, name) || strings.Contains(xml, name) {
			s.t.Errorf("%s: %s is listed", when, name)
		}
		if status := s.status(name); status != "404" {
			s.t.Errorf("%s: GET %s: status %s, want 404", when, name, status)
		}
		if r := clientResult(s.t, "sftp", "get "+name+" "+to+"/got\n", s.sftpArgs()...); r.code == 0 {
			s.t.Errorf("%s: sftp gets %s", when, name)
		}
		s.absent(name)
	}
	for _, name := range b.oldNames {
		if got := s.curl(s.url(name)).out; got != string(b.old) {
			s.t.Errorf("%s: GET %s: %d bytes, not the old file", when, name, len(got))
		}
		s.batch("get " + name + " " + to + "/" + name)
		if got, err := os.ReadFile(filepath.Join(to, name)); !bytes.Equal(got, b.old) {
			s.t.Errorf("%s: sftp get %s: %d bytes, %v, not the old file", when, name, len(got), err)
		}
	}
}

// complete sends the files again, over SFTP with put or, to go on where they stopped, reput.
func (b *broken) complete(s *serving, put string) {
	s.t.Helper()
	for _, name := range []string{"new-sftp.bin", "old-sftp.bin"} {
		s.batch(put + " " + b.local + " " + name)
	}
	for _, name := range []string{"new-https.bin", "old-https.bin"} {
		if r := s.curl("-f", "-T", b.local, s.url(name)); r.code != 0 {
			s.t.Errorf("PUT %s again: %s", name, r.stderr)
		}
	}
	want := sumFile(s.t.(*testing.T), b.local)
	for _, name := range slices.Concat(b.newNames, b.oldNames) {
		if got := sumFile(s.t.(*testing.T), s.files(name)); got != want {
			s.t.Errorf("%s was sent again and is not what was sent", name)
		}
	}
	s.await("nothing is staged any more", func() bool {
		resumable, others := s.staged()
		return len(resumable)+len(others) == 0
	})
}

// TestKilledClients kills clients in the middle of uploads.
func TestKilledClients(t *testing.T) {
	s := newLab(t).serve()
	b := startUploads(s)
	b.invisible(s, "during the uploads")
	b.kill()
	s.onlyResumable()
	b.invisible(s, "after the clients were killed")
	if resumable, _ := s.staged(); len(resumable) != 2 {
		t.Errorf("%d uploads can be resumed, want the 2 over SFTP", len(resumable))
	}
	b.complete(s, "reput")
}

// TestKilledGateway kills the gateway in the middle of uploads.
func TestKilledGateway(t *testing.T) {
	s := newLab(t).serve()
	acked := filepath.Join(t.TempDir(), "acknowledged")
	writeFile(t, acked, bytes.Repeat([]byte("acknowledged "), 100_000))
	b := startUploads(s)
	s.batch("put " + acked + " acked-sftp")
	if r := s.curl("-f", "-T", acked, s.url("acked-https")); r.code != 0 {
		t.Fatal(r.stderr)
	}
	s.kill()
	b.kill()
	s = s.again()
	_, others := s.staged()
	for name, size := range others {
		t.Errorf("after the restart %s of %d bytes is staged, which nobody can resume", name, size)
	}
	b.invisible(s, "after the gateway was killed")
	for _, name := range []string{"acked-sftp", "acked-https"} {
		if sumFile(t, s.files(name)) != sumFile(t, acked) {
			t.Errorf("%s was acknowledged and is not whole", name)
		}
	}
	b.complete(s, "put")
}

// The rounds of TestCrashes.
const (
	crashRounds  = 6
	crashWriters = 3 // of each kind
	crashNames   = 5 // of each writer, written again and again
)

// TestCrashes kills the gateway at random moments while writers of known content
// are at work. What a writer was told is stored must be there whole afterwards, or
// what it was just replacing it with; everything else is absent or whole.
func TestCrashes(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	s := newLab(t).serve()
	var writers []*writer
	for i := range crashWriters {
		for kind, put := range map[string]putter{"sftp": putSFTP, "moved": putMoved, "https": putHTTPS} {
			w := &writer{name: fmt.Sprintf("%s-%d", kind, i), put: put, seed: random.Uint64(), stored: map[string]uint64{}, doubtful: map[string]uint64{}}
			writers = append(writers, w)
		}
	}
	for round := range crashRounds {
		before := acknowledged(writers)
		var wg sync.WaitGroup
		for _, w := range writers {
			wg.Go(func() { w.run(s) })
		}
		// A busy machine may take a while until the first is done.
		s.await("a file is acknowledged", func() bool { return acknowledged(writers) > before })
		time.Sleep(time.Duration(random.IntN(400)) * time.Millisecond)
		s.kill()
		wg.Wait()
		s = s.again()
		if _, others := s.staged(); len(others) > 0 {
			t.Errorf("round %d: staged and not to be resumed: %v", round, others)
		}
		checkWriters(t, s, writers, round)
		if t.Failed() {
			return
		}
	}
	t.Logf("%d files acknowledged in %d rounds", acknowledged(writers), crashRounds)
}

// putter sends one file and returns nil when the server has said that it is stored.
type putter func(c *clients, name string, data []byte) error

// writer writes its few names over and over, each time with other content.
type writer struct {
	name string
	put  putter
	seed uint64

	mu       sync.Mutex
	n        uint64            // versions begun
	acked    int               // versions acknowledged
	stored   map[string]uint64 // the version that was acknowledged last
	doubtful map[string]uint64 // the version of which nothing was heard
}

func acknowledged(writers []*writer) int {
	n := 0
	for _, w := range writers {
		w.mu.Lock()
		n += w.acked
		w.mu.Unlock()
	}
	return n
}

// content is what a version of this writer holds: random bytes of a random length.
func (w *writer) content(version uint64) []byte {
	random := rand.New(rand.NewPCG(w.seed, version))
	data := make([]byte, 8+random.IntN(300_000))
	for i := range data {
		data[i] = byte(random.Uint32())
	}
	return data
}

// run writes until the server is gone.
func (w *writer) run(s *serving) {
	c, err := dialClients(s)
	if err != nil {
		return
	}
	defer c.close()
	for {
		w.mu.Lock()
		w.n++
		version, name := w.n, fmt.Sprintf("%s-%d.bin", w.name, w.n%crashNames)
		w.doubtful[name] = version
		w.mu.Unlock()
		err := w.put(c, name, w.content(version))
		w.mu.Lock()
		if err == nil {
			w.stored[name] = version
			w.acked++
			delete(w.doubtful, name)
		}
		w.mu.Unlock()
		if err != nil {
			return
		}
	}
}

// checkWriters compares the disk and what HTTPS shows with what the writers know.
func checkWriters(t *testing.T, s *serving, writers []*writer, round int) {
	t.Helper()
	known := map[string]bool{}
	for _, w := range writers {
		for i := range crashNames {
			name := fmt.Sprintf("%s-%d.bin", w.name, i)
			known[name] = true
			got, err := os.ReadFile(s.files(name))
			stored, doubtful := w.stored[name], w.doubtful[name]
			switch {
			case err != nil && stored != 0:
				t.Errorf("round %d: %s was acknowledged and is gone: %v", round, name, err)
			case err != nil:
			case stored != 0 && bytes.Equal(got, w.content(stored)):
			case doubtful != 0 && bytes.Equal(got, w.content(doubtful)):
				w.stored[name] = doubtful
			default:
				t.Errorf("round %d: %s has %d bytes (%x) that are neither version %d nor %d whole",
					round, name, len(got), sha256.Sum256(got), stored, doubtful)
			}
			delete(w.doubtful, name)
		}
	}
	for name := range snapshot(t, s.files(), false) {
		// A file that waits to be moved is stored under its first name, which is right.
		if !known[strings.TrimSuffix(name, ".tmp")] {
			t.Errorf("round %d: %q was never written", round, name)
		}
	}
}

// clients are connections over both protocols.
type clients struct {
	ssh  *ssh.Client
	sftp *sftp.Client
	http *http.Client
	s    *serving
}

func dialClients(s *serving) (*clients, error) {
	pem, err := os.ReadFile(s.keyFile)
	if err != nil {
		return nil, err
	}
	key, err := ssh.ParsePrivateKey(pem)
	if err != nil {
		return nil, err
	}
	c := &clients{s: s, http: &http.Client{Timeout: commandTime, Transport: &http.Transport{
		TLSClientConfig: &tls.Config{InsecureSkipVerify: true},
	}}}
	c.ssh, err = ssh.Dial("tcp", s.sftp, &ssh.ClientConfig{
		User: s.user, Auth: []ssh.AuthMethod{ssh.PublicKeys(key)}, HostKeyCallback: ssh.InsecureIgnoreHostKey(), Timeout: 20 * time.Second,
	})
	if err != nil {
		return nil, err
	}
	if c.sftp, err = sftp.NewClient(c.ssh); err != nil {
		c.ssh.Close()
		return nil, err
	}
	return c, nil
}

func (c *clients) close() {
	c.sftp.Close()
	c.ssh.Close()
	c.http.CloseIdleConnections()
}

func putSFTP(c *clients, name string, data []byte) error {
	f, err := c.sftp.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_TRUNC)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	return errors.Join(err, f.Close())
}

// putMoved writes under another name and moves, as careful clients do.
func putMoved(c *clients, name string, data []byte) error {
	if err := putSFTP(c, name+".tmp", data); err != nil {
		return err
	}
	return c.sftp.PosixRename(name+".tmp", name)
}

func putHTTPS(c *clients, name string, data []byte) error {
	req, err := http.NewRequest(http.MethodPut, c.s.url(name), bytes.NewReader(data))
	if err != nil {
		return err
	}
	req.SetBasicAuth(c.s.user, c.s.password)
	resp, err := c.http.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	_, _ = io.Copy(io.Discard, resp.Body) // the status is the answer
	if resp.StatusCode != http.StatusCreated && resp.StatusCode != http.StatusNoContent {
		return fmt.Errorf("status %s", resp.Status)
	}
	return nil
}
