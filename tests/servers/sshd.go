package servers

import (
	"crypto/ed25519"
	"crypto/rand"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/knownhosts"
)

// SSHDOptions of StartSSHD; the zero value serves an empty folder.
type SSHDOptions struct {
	// Root is the folder where the login ends up, "" for a new empty one. When the tests run as
	// root, it and all in it is given to the user id that logs in.
	Root string
	// User and Pass are the one login; "ftptest" and "secret" when empty.
	User, Pass string
	// Extra is added to sshd_config.
	Extra []string
}

// SSHD is a running OpenSSH server. Its login is not confined to Root.
type SSHD struct {
	Addr        string // "127.0.0.1:port"
	User, Pass  string
	Root        string
	KeyFile     string // a private key that may log in too
	Fingerprint string // of the host key, SHA256:...
	KnownHosts  string // a file with the host key

	run  string
	proc *process
}

// StartSSHD runs OpenSSH's server with its own SFTP server until the test ends. It needs root, as
// Start does; for root there has to be /run/sshd, which is compiled in, and which it makes.
func StartSSHD(t testing.TB, o SSHDOptions) *SSHD {
	t.Helper()
	NeedRoot(t)
	Fetch(t, "sshd", "wrappers", "openssl")
	s := &SSHD{User: o.User, Pass: o.Pass, Root: o.Root, run: scratch(t, "sshd")}
	if s.User == "" {
		s.User = "ftptest"
	}
	if s.Pass == "" {
		s.Pass = "secret"
	}
	if s.Root == "" {
		s.Root = t.TempDir()
	}
	if err := os.MkdirAll("/run/sshd", 0o755); err != nil {
		t.Fatal(err)
	}
	if err := handOver(s.Root, ftpUID); err != nil {
		t.Fatalf("servers: cannot give %s to user %d: %v", s.Root, ftpUID, err)
	}
	j := &job{Options: Options{User: s.User, Pass: s.Pass, Root: s.Root}, t: t, uid: ftpUID, run: s.run}
	host := s.newKey(j, "host_key")
	s.Fingerprint = ssh.FingerprintSHA256(host)
	j.write("authorized_keys", string(ssh.MarshalAuthorizedKey(s.newKey(j, "client_key"))), 0o644)
	s.KeyFile = filepath.Join(s.run, "client_key")
	// A free port can be taken between asking for it and listening on it: try a few.
	var err error
	for range 4 {
		j.port = freePort(t, "127.0.0.1")
		s.Addr = fmt.Sprintf("127.0.0.1:%d", j.port)
		if err = s.start(j, o.Extra); err == nil || !errors.Is(err, errEndedEarly) {
			break
		}
	}
	if err != nil {
		t.Fatalf("servers: sshd: %v\n%s", err, output(s.run))
	}
	s.KnownHosts = j.write("known_hosts", knownhosts.Line([]string{s.Addr}, host)+"\n", 0o644)
	t.Cleanup(func() { s.close(t) })
	return s
}

func (s *SSHD) start(j *job, extra []string) error {
	conf := []string{
		"ListenAddress 127.0.0.1", fmt.Sprintf("Port %d", j.port), "HostKey " + filepath.Join(s.run, "host_key"),
		"PidFile none", "UsePAM no", "PasswordAuthentication yes", "KbdInteractiveAuthentication no",
		"AuthorizedKeysFile " + filepath.Join(s.run, "authorized_keys"), "StrictModes no",
		"AllowUsers " + s.User, "UseDNS no", "MaxStartups 100", "LogLevel VERBOSE",
		"Subsystem sftp internal-sftp -l INFO",
	}
	path := j.write("sshd_config", strings.Join(append(conf, extra...), "\n")+"\n", 0o600)
	env := append(j.accounts(), libraries(j.t, "sshd"))
	p, err := startProcess(launch{argv: []string{debs(j.t, "sshd/usr/sbin/sshd"), "-D", "-e", "-f", path}, env: env},
		filepath.Join(s.run, "output.log"))
	if err != nil {
		return err
	}
	if err := p.awaitPort(s.Addr, 20*time.Second); err != nil {
		p.stop()
		return err
	}
	s.proc = p
	return nil
}

// newKey writes an Ed25519 key into the scratch folder.
func (s *SSHD) newKey(j *job, name string) ssh.PublicKey {
	j.t.Helper()
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		j.t.Fatal(err)
	}
	block, err := ssh.MarshalPrivateKey(private, name)
	if err != nil {
		j.t.Fatal(err)
	}
	j.write(name, string(pem.EncodeToMemory(block)), 0o600)
	key, err := ssh.NewPublicKey(public)
	if err != nil {
		j.t.Fatal(err)
	}
	return key
}

// SFTPServer prepares OpenSSH's SFTP server, which speaks the protocol on standard input and output with no SSH
// around it. It starts in the folder dir and is not confined to it. Root is not needed.
func SFTPServer(t testing.TB, dir string) *exec.Cmd {
	t.Helper()
	Fetch(t, "sshd")
	cmd := exec.Command(debs(t, "sshd/usr/lib/openssh/sftp-server"), "-e", "-l", "QUIET", "-u", "022", "-d", dir)
	cmd.Env = append(os.Environ(), libraries(t, "sshd"))
	cmd.Dir = dir
	return cmd
}

// Stop ends the server and all its sessions before the test does, as a crash would. It may be called
// more than once.
func (s *SSHD) Stop() { s.proc.stop() }

// PID is the process above all of the server's.
func (s *SSHD) PID() int { return s.proc.cmd.Process.Pid }

func (s *SSHD) close(t testing.TB) {
	s.proc.stop()
	stopped(t, "sshd", s.Addr, s.run, s.proc)
}
