package frontbench

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/pkg/sftp"
	"golang.org/x/crypto/ssh"

	"gateway/tests/servers"
)

// sizes are how much is moved.
type sizes struct {
	big         int64 // bytes of the big file
	small       int   // files of smallBytes
	listed      int   // entries of the folder that is listed
	connections int
	gets        int
}

const (
	smallBytes = 4 << 10
	pipelined  = 16 // files under way over one connection
)

// fill makes the files that are read: big, folder/ with small ones, and many/ to be listed. New files are put to new/.
func (s sizes) fill(t testing.TB, dir string) {
	t.Helper()
	for _, sub := range []string{"folder", "many", "new"} {
		if err := os.MkdirAll(filepath.Join(dir, sub), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	random := rand.NewChaCha8([32]byte([]byte("the same bytes in each benchmark")))
	writeFile(t, filepath.Join(dir, "big"), io.LimitReader(random, s.big))
	for i := range s.small {
		writeFile(t, filepath.Join(dir, "folder", smallName(i)), bytes.NewReader(smallBody(i)))
	}
	for i := range s.listed {
		writeFile(t, filepath.Join(dir, "many", fmt.Sprintf("file number %05d.txt", i)), strings.NewReader("x"))
	}
}

func writeFile(t testing.TB, path string, from io.Reader) {
	t.Helper()
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	_, err = io.Copy(f, from)
	if err := errors.Join(err, f.Close()); err != nil {
		t.Fatal(err)
	}
}

func smallName(i int) string { return fmt.Sprintf("small%05d", i) }

func smallBody(i int) []byte { return bytes.Repeat([]byte{byte(i), byte(i >> 8), 1, 2}, smallBytes/4) }

func sftpWorks(t *testing.T, s sizes) []work {
	local := servers.WorkDir(t, "")
	source := filepath.Join(local, "source")
	got := filepath.Join(local, "got")
	mb := float64(s.big) / 1e6
	get := func(args ...string) work {
		return work{unit: "MB/s", done: mb,
			prepare: func(testing.TB, *peer) { os.Remove(got) },
			run:     func(t testing.TB, p *peer) { openssh(t, p, "get big "+got+"\n", args...) },
			check:   func(t testing.TB, p *peer) { sameFile(t, got, filepath.Join(p.root, "big")) }}
	}
	put := func(args ...string) work {
		return work{unit: "MB/s", done: mb,
			prepare: func(t testing.TB, p *peer) { s.prepareBig(t, p, source) },
			run:     func(t testing.TB, p *peer) { openssh(t, p, "put "+source+" new/big\n", args...) },
			check:   func(t testing.TB, p *peer) { sameFile(t, filepath.Join(p.root, "new", "big"), source) }}
	}
	named := func(w work, name, title string) work {
		w.name, w.title = name, title
		return w
	}
	gcm := "aes128-gcm@openssh.com"
	size := fmt.Sprintf("%d MiB", s.big>>20)
	return []work{
		named(get(), "sftp-get", "SFTP: get of "+size+", OpenSSH's client as it comes"),
		named(put(), "sftp-put", "SFTP: put of "+size+", OpenSSH's client as it comes"),
		named(get("-c", gcm), "sftp-get-gcm", "SFTP: get of "+size+", "+gcm),
		named(put("-c", gcm), "sftp-put-gcm", "SFTP: put of "+size+", "+gcm),
		{name: "sftp-small-put", title: fmt.Sprintf("SFTP: put of %d files of 4 KiB, one connection, %d under way", s.small, pipelined),
			unit: "files/s", done: float64(s.small), prepare: emptyNew, run: s.putSmall, check: s.checkSmall},
		{name: "sftp-small-get", title: fmt.Sprintf("SFTP: get of %d files of 4 KiB, one connection, %d under way", s.small, pipelined),
			unit: "files/s", done: float64(s.small), run: s.getSmall},
		{name: "sftp-ls", title: fmt.Sprintf("SFTP: list a folder of %d files", s.listed), unit: "entries/s", done: float64(s.listed), run: s.list},
		{name: "sftp-connect-1", title: "SFTP: connect, get a small file, end; one at a time", unit: "a second", done: float64(s.connections),
			run: func(t testing.TB, p *peer) { s.connect(t, p, 1) }},
		{name: "sftp-connect-4", title: "SFTP: connect, get a small file, end; four at a time", unit: "a second", done: float64(s.connections),
			run: func(t testing.TB, p *peer) { s.connect(t, p, 4) }},
	}
}

// prepareBig makes the file that is put, if it is not there yet, and removes what an earlier run put.
func (s sizes) prepareBig(t testing.TB, p *peer, source string) {
	t.Helper()
	if _, err := os.Stat(source); err != nil {
		writeFile(t, source, io.LimitReader(rand.NewChaCha8([32]byte([]byte("other bytes than those to fetch!"))), s.big))
	}
	os.Remove(filepath.Join(p.root, "new", "big"))
}

// openssh runs sftp with a batch of commands.
func openssh(t testing.TB, p *peer, batch string, args ...string) {
	t.Helper()
	host, port, err := net.SplitHostPort(p.addr)
	if err != nil {
		t.Fatal(err)
	}
	args = append([]string{
		"-F", "/dev/null", "-b", "-", "-q", "-P", port, "-i", p.keyFile, "-o", "StrictHostKeyChecking=no",
		"-o", "UserKnownHostsFile=/dev/null", "-o", "IdentitiesOnly=yes",
		"-S", servers.Tool(t, "ssh"),
	}, args...)
	cmd := exec.Command(servers.Tool(t, "sftp"), append(args, p.user+"@"+host)...)
	cmd.Stdin = strings.NewReader(batch)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", p.name, err, out)
	}
}

// dial opens a session of pkg/sftp's client.
func dial(t testing.TB, p *peer) (*sftp.Client, func()) {
	raw, err := os.ReadFile(p.keyFile)
	if err != nil {
		t.Fatal(err)
	}
	signer, err := ssh.ParsePrivateKey(raw)
	if err != nil {
		t.Fatal(err)
	}
	conn, err := ssh.Dial("tcp", p.addr, &ssh.ClientConfig{
		User: p.user, Auth: []ssh.AuthMethod{ssh.PublicKeys(signer)}, HostKeyCallback: ssh.InsecureIgnoreHostKey(),
		// As OpenSSH's client prefers, and the kind that all of them have; to sign with RSA takes several times as long.
		HostKeyAlgorithms: []string{ssh.KeyAlgoED25519},
	})
	if err != nil {
		t.Fatalf("%s: %v", p.name, err)
	}
	client, err := sftp.NewClient(conn)
	if err != nil {
		t.Fatalf("%s: %v", p.name, err)
	}
	return client, func() { client.Close(); conn.Close() }
}

func emptyNew(t testing.TB, p *peer) {
	dir := filepath.Join(p.root, "new")
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if err := os.Remove(filepath.Join(dir, e.Name())); err != nil {
			t.Fatal(err)
		}
	}
}

// each runs do for 0 to n-1, some at once, and fails the test with the first error.
func each(t testing.TB, p *peer, n, atOnce int, do func(i int) error) {
	t.Helper()
	var wg sync.WaitGroup
	next, failed := make(chan int), make(chan error, atOnce)
	for range atOnce {
		wg.Go(func() {
			for i := range next {
				if err := do(i); err != nil {
					select {
					case failed <- err:
					default:
					}
				}
			}
		})
	}
	for i := range n {
		next <- i
	}
	close(next)
	wg.Wait()
	select {
	case err := <-failed:
		t.Fatalf("%s: %v", p.name, err)
	default:
	}
}

func (s sizes) putSmall(t testing.TB, p *peer) {
	client, end := dial(t, p)
	defer end()
	each(t, p, s.small, pipelined, func(i int) error {
		f, err := client.OpenFile("new/"+smallName(i), os.O_WRONLY|os.O_CREATE|os.O_TRUNC)
		if err != nil {
			return err
		}
		_, err = f.Write(smallBody(i))
		return errors.Join(err, f.Close())
	})
}

func (s sizes) checkSmall(t testing.TB, p *peer) {
	for i := range s.small {
		data, err := os.ReadFile(filepath.Join(p.root, "new", smallName(i)))
		if err != nil || !bytes.Equal(data, smallBody(i)) {
			t.Fatalf("%s: %s is not what was put: %v", p.name, smallName(i), err)
		}
	}
}

func (s sizes) getSmall(t testing.TB, p *peer) {
	client, end := dial(t, p)
	defer end()
	each(t, p, s.small, pipelined, func(i int) error { return fetch(client, i) })
}

func fetch(client *sftp.Client, i int) error {
	f, err := client.Open("folder/" + smallName(i))
	if err != nil {
		return err
	}
	defer f.Close()
	buf := make([]byte, smallBytes)
	if _, err := io.ReadFull(f, buf); err != nil {
		return err
	}
	if !bytes.Equal(buf, smallBody(i)) {
		return errors.New("other bytes came")
	}
	return nil
}

func (s sizes) list(t testing.TB, p *peer) {
	client, end := dial(t, p)
	defer end()
	entries, err := client.ReadDir("many")
	if err != nil || len(entries) != s.listed {
		t.Fatalf("%s: %d entries, %v", p.name, len(entries), err)
	}
}

func (s sizes) connect(t testing.TB, p *peer, atOnce int) {
	each(t, p, s.connections, atOnce, func(i int) error {
		client, end := dial(t, p)
		defer end()
		return fetch(client, i%s.small)
	})
}

func sameFile(t testing.TB, got, want string) {
	t.Helper()
	if out, err := exec.Command("cmp", got, want).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
}
