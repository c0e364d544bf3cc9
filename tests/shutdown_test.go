package tests

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"gateway/tests/servers"
)

// stopping is a gateway with OpenSSH's sftp and curl in the middle of an upload each.
type stopping struct {
	*serving
	config  string
	content []byte
	local   string         // a file with the content
	proxy   *servers.Proxy // which holds sftp up
	sftp    *running
	curl    *running
	feed    *io.PipeWriter // to curl
}

// running is a client that was started.
type running struct {
	out   *output
	ended chan error
}

func startClient(t *testing.T, cmd *exec.Cmd) *running {
	t.Helper()
	r := &running{out: &output{}, ended: make(chan error, 1)}
	cmd.Stdout, cmd.Stderr = r.out, r.out
	mustDo(t, cmd.Start())
	go func() { r.ended <- cmd.Wait() }()
	return r
}

func stopInUploads(t *testing.T, timeout string) *stopping {
	t.Helper()
	l, dir := newLab(t), t.TempDir()
	p := &stopping{config: filepath.Join(dir, "gateway.yaml"), local: filepath.Join(dir, "big"), content: randomBytes(rand.New(rand.NewPCG(5, 5)), 8<<20)}
	writeFile(t, p.config, fmt.Appendf(nil, "data: %s\nshutdown_timeout: %s\nsftp:\n  listen: 127.0.0.1:0\nadmin: {off: true}\nhttps:\n  listen: 127.0.0.1:0\n", l.data, timeout))
	writeFile(t, p.local, p.content)
	p.serving = l.serveFile(p.config)

	p.proxy = servers.StartProxy(t, p.serving.sftp, servers.ProxyOptions{})
	sprung := p.proxy.StallAfter(servers.Up, 5<<20)
	p.sftp = startClient(t, put(t, p.through(p.proxy), p.local, "big.bin"))
	select {
	case <-sprung:
	case err := <-p.sftp.ended:
		t.Fatalf("sftp ended before the middle: %v\n%s", err, p.sftp.out)
	}

	curl := clientCommand(t, "curl", "", "-sS", "-k", "-f", "-u", p.user+":"+p.password, "-T", "-", p.url("web.bin"))
	curl.Stdin, p.feed = io.Pipe()
	p.curl = startClient(t, curl)
	_, err := p.feed.Write(p.content[:len(p.content)/2])
	mustDo(t, err)
	waitFor(t, "two staged uploads", func() bool {
		entries, _ := os.ReadDir(p.files(".gateway-staging"))
		return len(entries) >= 2
	})
	return p
}

// terminate tells it to stop, and waits until it says that it does.
func (p *stopping) terminate(t *testing.T) {
	t.Helper()
	mustDo(t, p.cmd.Process.Signal(syscall.SIGTERM))
	waitFor(t, "the words in the log", func() bool { return strings.Contains(p.log.String(), "stopping: transfers may go on") })
}

// TestStopLetsUploadsEnd: uploads that are under way at SIGTERM end as if nothing were.
func TestStopLetsUploadsEnd(t *testing.T) {
	p := stopInUploads(t, "2m")
	p.terminate(t)
	p.proxy.Resume()
	_, err := p.feed.Write(p.content[len(p.content)/2:])
	mustDo(t, errors.Join(err, p.feed.Close()))
	for name, r := range map[string]*running{"sftp": p.sftp, "curl": p.curl} {
		if err := <-r.ended; err != nil {
			t.Errorf("%s: %v\n%s", name, err, r.out)
		}
	}
	<-p.exited
	if code := p.cmd.ProcessState.ExitCode(); code != 0 {
		t.Errorf("exit status %d", code)
	}
	for _, name := range []string{"big.bin", "web.bin"} {
		if got, err := os.ReadFile(p.files(name)); err != nil || !bytes.Equal(got, p.content) {
			t.Errorf("%s has %d bytes (%v)", name, len(got), err)
		}
	}
}

// TestStopSuspendsUploads: what does not end in time is not published; sftp goes on with it by reput at the next start.
func TestStopSuspendsUploads(t *testing.T) {
	p := stopInUploads(t, "1s")
	p.terminate(t)
	<-p.exited
	p.feed.Close()
	p.proxy.DropAll()
	if err := <-p.curl.ended; err == nil {
		t.Error("curl believes that its upload is done")
	}
	if err := <-p.sftp.ended; err == nil {
		t.Error("sftp believes that its upload is done")
	}
	if code := p.cmd.ProcessState.ExitCode(); code != 0 {
		t.Errorf("exit status %d", code)
	}
	if log := p.log.String(); !strings.Contains(log, "transfers were cut off") || !strings.Contains(log, "requests still ran") || !strings.Contains(log, "upload suspended") {
		t.Errorf("the log does not say what was cut off: %s", log)
	}
	for _, name := range []string{"big.bin", "web.bin"} {
		if _, err := os.Stat(p.files(name)); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("a part is published as %s (%v)", name, err)
		}
	}
	again := *p.serving
	again.start(p.config)
	if u := again.interrupted(t, 1)[0]; u.Path != "default:/big.bin" || u.Size == 0 {
		t.Errorf("interrupted: %+v", u)
	}
	again.batch("reput " + p.local + " big.bin")
	again.holds(t, "big.bin", p.content)
}
