package sftpsrv

import (
	"bytes"
	"crypto/md5"
	"crypto/sha256"
	"errors"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"
)

// execute runs a command line over a connection.
func execute(t *testing.T, conn *ssh.Client, input, line string) outcome {
	t.Helper()
	session, err := conn.NewSession()
	mustDo(t, err)
	defer session.Close()
	var out, stderr bytes.Buffer
	session.Stdin, session.Stdout, session.Stderr = strings.NewReader(input), &out, &stderr
	var exit *ssh.ExitError
	code := 0
	if err := session.Run(line); errors.As(err, &exit) {
		code = exit.ExitStatus()
	} else if err != nil {
		t.Fatalf("%q: %v", line, err)
	}
	return outcome{code, out.String(), stderr.String()}
}

func TestCommands(t *testing.T) {
	f := serve(t)
	f.write("a file", []byte("abc"))
	f.write("d/empty", nil)
	f.write(`back\slash`, []byte("abc"))
	conn := f.mustDial()
	const (
		abc  = "900150983cd24fb0d6963f7d28e17f72"
		none = "d41d8cd98f00b204e9800998ecf8427e"
	)
	for _, test := range []struct {
		line, input string
		want        outcome // of stderr a part
	}{
		{"md5sum", "", outcome{0, none + "  -\n", ""}},
		{"md5sum -", "abc", outcome{0, abc + "  -\n", ""}},
		{`md5sum /a\ file`, "", outcome{0, abc + "  /a file\n", ""}},
		{"md5sum -- 'a file' d/empty", "", outcome{0, abc + "  a file\n" + none + "  d/empty\n", ""}},
		{`md5sum 'back\slash'`, "", outcome{0, `\` + abc + `  back\\slash` + "\n", ""}},
		{"md5sum d/../../a\\ file", "", outcome{0, abc + "  d/../../a file\n", ""}},
		{"sha1sum 'a file'", "", outcome{0, "a9993e364706816aba3e25717850c26c9cd0d89d  a file\n", ""}},
		{"sha256sum 'a file'", "", outcome{0, fmt.Sprintf("%x  a file\n", sha256.Sum256([]byte("abc"))), ""}},
		{"md5sum missing d/empty", "", outcome{1, none + "  d/empty\n", "md5sum: missing: No such file or directory"}},
		{"md5sum d", "", outcome{1, "", "md5sum: d: Is a directory"}},
		{"md5sum --check x", "", outcome{2, "", "not supported"}},
		{"pwd", "", outcome{0, "/\n", ""}},
		{"cd d", "", outcome{0, "", ""}},
		{"cd", "", outcome{0, "", ""}},
		{"cd nowhere", "", outcome{1, "", "cd: nowhere: No such file or directory"}},
		{"cd 'a file'", "", outcome{1, "", "Not a directory"}},
		{"cd d && rm -rf .", "", outcome{127, "", "Only SFTP, scp and checksums"}},
		{"rm -rf d", "", outcome{127, "", `"rm" is not available`}},
		{"md5sum /etc/passwd", "", outcome{1, "", "No such file or directory"}},
		{"echo ${ShellId}%ComSpec%", "", outcome{127, "", "there is no shell"}},
		{strings.Repeat("x", maxCommand+1), "", outcome{2, "", "longer than"}},
		{"scp x y", "", outcome{2, "", "-t or -f"}},
		{"scp -t a b", "", outcome{2, "", "ambiguous target"}},
		{"scp -S prog -f x", "", outcome{2, "", "-S is not supported"}},
	} {
		got := execute(t, conn, test.input, test.line)
		if got.code != test.want.code || got.out != test.want.out || !strings.Contains(got.stderr, test.want.stderr) {
			t.Errorf("%.60q: %d, %q, %q; want %+v", test.line, got.code, got.out, got.stderr, test.want)
		}
		if strings.HasSuffix(got.stderr, "\n\r\n") {
			t.Errorf("%.60q: an empty line ends %q", test.line, got.stderr)
		}
	}
	f.expect("d/empty", []byte{})
}

// A client that starts a command and does not take what it says is cut off.
func TestCommandNotTaken(t *testing.T) {
	f := serve(t, func(c *Config) { c.StallTimeout = 100 * time.Millisecond })
	f.write("big", pattern(8<<20))
	conn := f.mustDial()
	channel, requests, err := conn.OpenChannel("session", nil)
	mustDo(t, err)
	go ssh.DiscardRequests(requests)
	_, err = channel.SendRequest("exec", true, ssh.Marshal(execRequest{"scp -f big"}))
	mustDo(t, err)
	_, err = channel.Write([]byte{0, 0, 0}) // for the beginning, and for the record
	mustDo(t, err)
	f.eventually("the end of the connection", func() bool { return f.connections() == 0 })
	if !strings.Contains(f.log.String(), "does not take its answers") {
		t.Errorf("log: %s", f.log)
	}
}

// rclone finds the hash commands, and compares by them without reading the files.
func TestRcloneHashes(t *testing.T) {
	f := serve(t)
	o := newOpenSSH(t, f)
	names := []string{"plain", "with blanks and 'quotes'", "ümlaut 日本", "$HOME;ls", "tab|pipe&", `"double"`}
	for i, name := range names {
		o.local(t, name, pattern(1000*i+7))
		f.write("r/"+name, pattern(1000*i+7))
	}
	_, port, _ := net.SplitHostPort(f.addr)
	remote := ":sftp,host=127.0.0.1,port=" + port + ",user=" + testUser + ",key_file='" + o.options[5] + "':r"
	run := func(args ...string) outcome {
		return program(t, o.dir, "", "rclone", append([]string{"--config", "/dev/null", "-vv"}, args...)...)
	}
	r := run("check", o.dir, remote)
	if want := fmt.Sprintf("%d matching files", len(names)); r.code != 0 || !strings.Contains(r.stderr, want) || strings.Contains(r.stderr, "hashes could not be checked") {
		t.Errorf("check: %d\n%s", r.code, r.stderr)
	}
	if !strings.Contains(r.stderr, "Using md5") && !strings.Contains(r.stderr, "Using sha1") {
		t.Errorf("not checked by hashes:\n%s", r.stderr)
	}
	f.write("r/plain", append(pattern(6), 'x')) // another content of as many bytes
	if r := run("check", o.dir, remote); r.code == 0 || !strings.Contains(r.stderr, "1 differences found") {
		t.Errorf("check of a changed file: %d\n%s", r.code, r.stderr)
	}
	if r := run("md5sum", "--sftp-md5sum-command", "md5sum", remote); !strings.Contains(r.out, fmt.Sprintf("%x  %s\n", md5.Sum(pattern(1007)), names[1])) {
		t.Errorf("md5sum: %s\n%s", r.out, r.stderr)
	}
}
