package tests

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"gateway/tests/servers"
)

// serveFile starts the gateway with a configuration of the test's, whose ports are free ones where it says
// "127.0.0.1:0".
func (l *lab) serveFile(config string) *serving {
	l.t.Helper()
	s := &serving{lab: l, user: "anna", password: "correct horse battery", keyFile: newKey(l.t)}
	l.addUser(s.user, s.password, s.keyFile)
	s.start(config)
	return s
}

// reload writes another configuration, tells the gateway, and waits until the log has the words of how it ended.
func (s *serving) reload(t *testing.T, config, text, words string) (line string) {
	t.Helper()
	writeFile(t, config, []byte(text))
	before := len(s.log.String())
	mustDo(t, s.cmd.Process.Signal(syscall.SIGHUP))
	waitFor(t, fmt.Sprintf("%q in the log", words), func() bool { return strings.Contains(s.log.String()[before:], words) })
	return s.log.String()[before:]
}

// TestReload: a running gateway takes another configuration for what comes later, none that has a mistake, and drops no
// transfer over either.
func TestReload(t *testing.T) {
	ca := newAuthority(t, "ca")
	cert, key := ca.server("first", "localhost")
	second, secondKey := ca.server("second", "localhost")
	ftp := servers.Start(t, servers.VSFTPD, servers.Options{})
	writeFile(t, filepath.Join(ftp.Root, "from-ftp.txt"), []byte("legacy"))
	l := newLab(t)
	config := filepath.Join(t.TempDir(), "gateway.yaml")
	const text = "data: %s\nsftp:\n  listen: 127.0.0.1:0\n%sadmin: {off: true}\nhttps:\n  listen: 127.0.0.1:0\n  certificate: %s\n  key: %s\n"
	writeFile(t, config, fmt.Appendf(nil, text, l.data, "", cert, key))
	writeFile(t, filepath.Join(filepath.Dir(config), "ftp.password"), []byte(ftp.Pass+"\n"))
	s := l.serveFile(config)

	content := randomBytes(rand.New(rand.NewPCG(3, 3)), 3<<20)
	w, err := s.session().Create("slow.bin")
	mustDo(t, err)
	_, err = w.Write(content[:2<<20])
	mustDo(t, err)

	log := s.reload(t, config, fmt.Sprintf(text, l.data, "  baner: x\n", second, secondKey), "the one before is kept")
	if !strings.Contains(log, `gateway.yaml:4: unknown key \"baner\"; did you mean \"banner\"?`) {
		t.Errorf("the log does not say what is wrong and where: %s", log)
	}
	log = s.reload(t, config, fmt.Sprintf(text, l.data, "", second, key), "the one before is kept")
	if !strings.Contains(log, "second.pem") {
		t.Errorf("the log does not name the certificate whose key is another's: %s", log)
	}
	s.shows(t, ca, "first")

	next := fmt.Sprintf(text, l.data, "  banner: |\n    Members only.\n", second, secondKey) +
		"log:\n  level: warn\nsources:\n  old:\n    url: ftp://" + ftp.User + "@" + ftp.Addr + ftp.Home + "\n    password_file: ftp.password\n    to: old\n    every: 10s\n"
	next = strings.Replace(next, "listen: 127.0.0.1:0", "listen: 127.0.0.1:1", 1)
	log = s.reload(t, config, next, "counts from the next start on")
	if !strings.Contains(log, "keys=sftp.listen\n") {
		t.Errorf("the log does not name what needs a restart: %s", log)
	}
	if !strings.Contains(log, `changed="https.certificate, https.key, log.level, sftp.banner, sources.old"`) {
		t.Errorf("the log does not name what has changed: %s", log)
	}
	s.shows(t, ca, "second")
	if r := s.ssh([]string{"-o", "LogLevel=INFO"}, "pwd"); !strings.Contains(r.stderr, "Members only.") {
		t.Errorf("a new connection does not have the banner: %q", r.stderr)
	}
	waitFor(t, "the file that the new source fetches", func() bool {
		got, err := os.ReadFile(l.files("old", "from-ftp.txt"))
		return err == nil && string(got) == "legacy"
	})

	_, err = w.Write(content[2<<20:])
	mustDo(t, err)
	mustDo(t, w.Close())
	if got, err := os.ReadFile(l.files("slow.bin")); err != nil || !bytes.Equal(got, content) {
		t.Errorf("the upload that went on through the reloads has %d bytes (%v)", len(got), err)
	}
}

// shows checks with curl, which trusts the authority alone, whose certificate the gateway shows.
func (s *serving) shows(t *testing.T, ca *authority, name string) {
	t.Helper()
	r := clientResult(t, "curl", "", "-sSv", "--cacert", ca.file, "-o", "/dev/null", "-X", "OPTIONS", s.url(""))
	if r.code != 0 || !strings.Contains(r.stderr, "subject: CN="+name+"\n") {
		t.Errorf("curl does not meet the certificate of %s: exit status %d\n%s", name, r.code, r.stderr)
	}
}

// TestCertificateFilesChange: a certificate that is replaced on the disk is shown without a signal, and one with a
// mistake is not.
func TestCertificateFilesChange(t *testing.T) {
	ca := newAuthority(t, "ca")
	cert, key := ca.server("first", "localhost")
	second, secondKey := ca.server("second", "localhost")
	l := newLab(t)
	config := filepath.Join(t.TempDir(), "gateway.yaml")
	writeFile(t, config, fmt.Appendf(nil, "sftp:\n  listen: 127.0.0.1:0\nadmin: {off: true}\nhttps:\n  listen: 127.0.0.1:0\n  certificate: %s\n  key: %s\n", cert, key))
	s := l.serveFile(config)
	mustDo(t, os.Rename(second, cert)) // and not its key yet
	waitFor(t, "the mistake in the log", func() bool { return strings.Contains(s.log.String(), "what was read before goes on") })
	s.shows(t, ca, "first")
	mustDo(t, os.Rename(secondKey, key))
	waitFor(t, "the new certificate", func() bool { return strings.Contains(s.log.String(), "were read again") })
	s.shows(t, ca, "second")
}

// TestRevokedSessionEnds: who has lost the key is out at the next keepalive, also in the middle of an upload, and who has
// not goes on.
func TestRevokedSessionEnds(t *testing.T) {
	l := newLab(t)
	l.sftpKeys = "  keepalive: 1s\n"
	s := l.serve()
	l.addUser("bert", "another horse battery", s.keyFile)
	w, err := s.session().Create("a.bin")
	mustDo(t, err)
	_, err = w.Write(make([]byte, 1<<20))
	mustDo(t, err)
	other := *s
	other.user = "bert"
	staying := other.session()
	file := filepath.Join(l.data, "users", s.user+".yaml")
	data, err := os.ReadFile(file)
	mustDo(t, err)
	writeFile(t, file, append(data, "disabled: true\n"...))
	waitFor(t, "the end of the session", func() bool {
		_, err := w.Write([]byte("more"))
		return err != nil && strings.Contains(s.log.String(), "the user is disabled")
	})
	if _, err := staying.Stat("."); err != nil {
		t.Errorf("the session of another user: %v", err)
	}
	if got := s.interrupted(t, 1)[0]; got.Path != "default:/a.bin" {
		t.Errorf("what was uploaded is not kept: %+v", got)
	}
}
