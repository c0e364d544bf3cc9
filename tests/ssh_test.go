package tests

import (
	"fmt"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// TestSSHAudit has ssh-audit look at the gateway as it is without a configuration.
func TestSSHAudit(t *testing.T) {
	s := newLab(t).serve()
	_, port, _ := strings.Cut(s.sftp, ":")
	r := clientResult(t, "ssh-audit", "", "--no-colors", "-p", port, "127.0.0.1")
	if !regexp.MustCompile(`(?m)^\(key\) ssh-ed25519 +-- \[info\]`).MatchString(r.out) || strings.Contains(r.out, "[fail]") {
		t.Errorf("ssh-audit:\n%s%s", r.out, r.stderr)
	}
}

// sshArgs are OpenSSH's options to reach the gateway with the key, for ssh and scp.
func (s *serving) sshArgs(port string) []string {
	args := s.sftpArgs()
	at := slices.Index(args, "-P")
	return append([]string{port, args[at+1]}, slices.Concat(args[2:at], args[at+2:len(args)-1])...)
}

// ssh runs a command line at the gateway.
func (s *serving) ssh(options []string, command ...string) result {
	s.t.Helper()
	args := append(slices.Clone(options), s.sshArgs("-p")...) // of an option that is given twice the first counts
	return clientResult(s.t, "ssh", "", append(append(args, s.user+"@127.0.0.1"), command...)...)
}

// TestSSHConfiguration has what gateway.yaml says about SSH reach the clients.
func TestSSHConfiguration(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"ca", "certified", "revoked", "plain"} {
		client(t, "ssh-keygen", "", "-q", "-t", "ed25519", "-N", "", "-f", filepath.Join(dir, name))
	}
	for serial, name := range []string{"certified", "revoked"} {
		client(t, "ssh-keygen", "", "-q", "-s", filepath.Join(dir, "ca"), "-I", name, "-n", "anna", "-z", fmt.Sprint(serial+1), filepath.Join(dir, name+".pub"))
	}
	writeFile(t, filepath.Join(dir, "list"), []byte("serial: 2\n"))
	l := newLab(t)
	l.sftpKeys = fmt.Sprintf("  banner: |\n    Only for members.\n  user_ca: %s\n  revoked_keys: %s\n  legacy_algorithms: true\n  rekey: 1MiB\n  idle_timeout: 1h\n",
		filepath.Join(dir, "ca.pub"), filepath.Join(dir, "list"))
	s := l.serve()
	writeFile(t, s.files("f"), []byte("content"))
	for key, ok := range map[string]bool{"certified": true, "revoked": false, "plain": false} {
		s.keyFile = filepath.Join(dir, key)
		r := s.ssh([]string{"-o", "LogLevel=INFO", "-o", "BatchMode=yes"}, "md5sum", "f")
		if (r.code == 0) != ok || ok && r.out != "9a0364b9e99bb480dd25e1f0284c8555  f\n" {
			t.Errorf("%s: %d %q %q", key, r.code, r.out, r.stderr)
		}
		if !strings.Contains(r.stderr, "Only for members.") {
			t.Errorf("%s: no banner: %q", key, r.stderr)
		}
	}
	s.keyFile = filepath.Join(dir, "certified")
	if r := s.ssh([]string{"-o", "BatchMode=yes", "-c", "aes128-cbc", "-m", "hmac-sha1"}, "pwd"); r.out != "/\n" {
		t.Errorf("an old client: %d %q", r.code, r.stderr)
	}
	big := filepath.Join(dir, "big")
	writeFile(t, big, make([]byte, 5<<20))
	r := clientResult(t, "scp", "", append(s.sshArgs("-P"), "-vv", "-O", big, s.user+"@127.0.0.1:")...)
	if n := strings.Count(r.stderr, "SSH2_MSG_NEWKEYS received"); r.code != 0 || n < 2 {
		t.Errorf("scp: %d, keys were made %d times\n%s", r.code, n, r.stderr)
	}
}

// TestIdleSessions: 200 sessions that have listed a folder and do nothing cost less than 100 MiB.
func TestIdleSessions(t *testing.T) {
	const sessions, most = 200, 100 << 20
	s := newLab(t).serve()
	before := s.memory("VmRSS")
	for range sessions {
		_, err := s.session().ReadDir("/")
		mustDo(t, err)
	}
	if got := s.memory("VmRSS") - before; got > most {
		t.Errorf("%d idle sessions cost %.1f MiB", sessions, got/(1<<20))
	} else {
		t.Logf("%d idle sessions cost %.1f MiB", sessions, got/(1<<20))
	}
}
