package tests

import (
	"bufio"
	"crypto/hmac"
	"crypto/sha1" // what RFC 6238 has
	"encoding/base32"
	bigendian "encoding/binary"
	"fmt"
	"io"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// codeAt is what an authenticator app shows (RFC 6238 with its defaults), some steps of 30 s from now.
func codeAt(t testing.TB, secret string, steps int64) string {
	t.Helper()
	key, err := base32.StdEncoding.WithPadding(base32.NoPadding).DecodeString(secret)
	if err != nil {
		t.Fatal(err)
	}
	mac := hmac.New(sha1.New, key)
	mac.Write(bigendian.BigEndian.AppendUint64(nil, uint64(time.Now().Unix()/30+steps)))
	sum := mac.Sum(nil)
	at := sum[19] & 15
	return fmt.Sprintf("%06d", bigendian.BigEndian.Uint32(sum[at:at+4])&0x7fffffff%1000000)
}

var (
	otpauthLine  = regexp.MustCompile(`otpauth://totp/\S+\?secret=([A-Z2-7]+)&`)
	recoveryLine = regexp.MustCompile(`(?m)^  ((?:[0-9a-z]{4}-){3}[0-9a-z]{4})$`)
	appLine      = regexp.MustCompile(`shown only this once: (\S+)`)
)

// secondFactor sets up a second factor as a person with an app would.
func (l *lab) secondFactor(user string) (secret string, recovery []string) {
	l.t.Helper()
	cmd := l.command("user", "totp", user)
	out, err := cmd.StdoutPipe()
	if err != nil {
		l.t.Fatal(err)
	}
	in, err := cmd.StdinPipe()
	if err != nil {
		l.t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		l.t.Fatal(err)
	}
	lines := bufio.NewReader(out)
	for secret == "" {
		line, err := lines.ReadString('\n')
		if err != nil {
			l.t.Fatal("gateway user totp shows no address for the app")
		}
		if m := otpauthLine.FindStringSubmatch(line); m != nil {
			secret = m[1]
		}
	}
	if _, err := io.WriteString(in, codeAt(l.t, secret, 0)+"\n"); err != nil {
		l.t.Fatal(err)
	}
	rest, err := io.ReadAll(lines)
	if err != nil || cmd.Wait() != nil {
		l.t.Fatalf("gateway user totp: %v\n%s", err, rest)
	}
	for _, m := range recoveryLine.FindAllStringSubmatch(string(rest), -1) {
		recovery = append(recovery, m[1])
	}
	if len(recovery) != 10 {
		l.t.Fatalf("%d recovery codes\n%s", len(recovery), rest)
	}
	return secret, recovery
}

// ask is OpenSSH's sftp as a person uses it, who is asked for password and code.
func (s *serving) ask(password, code string, options ...string) result {
	s.t.Helper()
	dir := s.t.TempDir()
	script := filepath.Join(dir, "askpass")
	body := "#!/bin/sh\ncase \"$1\" in\n*assword*) cat " + dir + "/password ;;\n*code*) cat " + dir + "/code ;;\nesac\n"
	for file, content := range map[string]string{"askpass": body, "password": password + "\n", "code": code + "\n"} {
		if err := os.WriteFile(filepath.Join(dir, file), []byte(content), 0o700); err != nil {
			s.t.Fatal(err)
		}
	}
	host, port, _ := strings.Cut(s.sftp, ":")
	args := append([]string{"-o", "BatchMode=no"}, options...)
	args = append(args, "-b", "-", "-P", port, "-o", "IdentitiesOnly=yes", "-o", "NumberOfPasswordPrompts=1",
		"-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null", s.user+"@"+host)
	cmd := clientCommand(s.t, "sftp", "ls\n", args...)
	cmd.Env = append(cmd.Env, "SSH_ASKPASS="+script, "SSH_ASKPASS_REQUIRE=force", "DISPLAY=:0")
	return finish(s.t, cmd)
}

// TestSecondFactor logs in with real clients as a user who needs a one-time code.
func TestSecondFactor(t *testing.T) {
	l := newLab(t)
	l.storages = "logins:\n  failures: 1000\n" // no ban: all of this comes from one address
	s := l.serve()
	writeFile(t, s.files("there.txt"), []byte("what is there"))
	secret, recovery := s.secondFactor(s.user)
	next := func() string { // a code that was not used
		code := recovery[0]
		recovery = recovery[1:]
		return code
	}
	paper := next()
	now, later := codeAt(t, secret, 0), codeAt(t, secret, 1)
	const interactive, password = "PreferredAuthentications=keyboard-interactive", "PreferredAuthentications=password"
	for _, test := range []struct {
		name, password, code string
		options              []string
		ok                   bool
	}{
		{"keyboard-interactive", s.password, now, []string{"-o", interactive}, true},
		{"the same code again", s.password, now, []string{"-o", interactive}, false},
		{"OpenSSH's own choice", s.password, later, nil, true},
		{"an earlier code", s.password, now, nil, false},
		{"no code", s.password, "", nil, false},
		{"a recovery code", s.password, paper, nil, true},
		{"a used recovery code", s.password, paper, nil, false},
		{"wrong password", "wrong", next(), nil, false},
		{"password alone", s.password, next(), []string{"-o", password}, false},
		{"password, then the code", s.password, next(), []string{"-o", password + ",keyboard-interactive"}, true},
		{"key, then the code", "", next(), []string{"-i", s.keyFile}, true},
		{"key alone", "", next(), []string{"-i", s.keyFile, "-o", "PreferredAuthentications=publickey"}, false},
	} {
		r := s.ask(test.password, test.code, test.options...)
		if (r.code == 0) != test.ok || test.ok != strings.Contains(r.out, "there.txt") {
			t.Errorf("%s: exit status %d\n%s%s", test.name, r.code, r.out, r.stderr)
		}
	}
	if r := clientResult(t, "sftp", "ls\n", s.sftpArgs()...); r.code == 0 {
		t.Error("a key alone logs in")
	}
	paramikoCodes(t, s, next)
	pageCodes(t, s, next)
	appPasswords(t, s)

	s.must("user", "totp", s.user, "--off")
	if r := s.ask(s.password, ""); r.code != 0 {
		t.Errorf("without a second factor: %s", r.stderr)
	}
}

// paramikoCodes logs in as programs with paramiko do, and as those that know no second factor.
func paramikoCodes(t *testing.T, s *serving, next func() string) {
	host, port, _ := strings.Cut(s.sftp, ":")
	script := `
import sys, paramiko
host, port, user, password, one, key = sys.argv[1:]

def fails(call, *errors):
    try:
        call()
    except errors:
        return
    raise AssertionError("logged in")

client = paramiko.SSHClient()
client.set_missing_host_key_policy(paramiko.AutoAddPolicy())
client.connect(host, int(port), user, password, allow_agent=False, look_for_keys=False)  # which takes a part for the whole
assert not client.get_transport().is_authenticated()
fails(client.open_sftp, paramiko.SSHException, EOFError)

def answers(*all):
    left = list(all)
    return lambda title, instructions, prompts: [left.pop(0) for prompt in prompts]

def connected():
    t = paramiko.Transport((host, int(port)))
    t.start_client()
    return t

t = connected()
t.auth_interactive(user, answers(password, one))
assert "there.txt" in paramiko.SFTPClient.from_transport(t).listdir()
t.close()

t = connected()
assert t.auth_publickey(user, paramiko.Ed25519Key(filename=key)) == ["keyboard-interactive"]
assert not t.is_authenticated()
fails(lambda: paramiko.SFTPClient.from_transport(t), paramiko.SSHException, EOFError)
t.close()

t = connected()
assert t.auth_password(user, password) == ["keyboard-interactive"]
assert not t.is_authenticated()
t.close()  # it asks for the service again before the next step, which the library here takes for a mistake
`
	if r := clientResult(t, "python3-paramiko", script, "-", host, port, s.user, s.password, next(), s.keyFile); r.code != 0 {
		t.Errorf("paramiko: %s%s", r.out, r.stderr)
	}
}

// appPasswords is what programs that know no second factor have in its place.
func appPasswords(t *testing.T, s *serving) {
	if got := s.status("there.txt"); got != "401" {
		t.Errorf("the user's own password over WebDAV: status %s, want 401", got)
	}
	made := func(args ...string) *serving {
		m := appLine.FindStringSubmatch(s.must(append([]string{"user", "app-password", s.user}, args...)...))
		if m == nil {
			t.Fatal("no app password is printed")
		}
		other := *s
		other.password = m[1]
		return &other
	}
	laptop := made("--label", "laptop", "--protocol", "webdav,sftp")
	reader := made("--label", "reader", "--read-only")
	local := filepath.Join(t.TempDir(), "local.txt")
	writeFile(t, local, []byte("from the laptop"))
	for _, test := range []struct {
		who  *serving
		want string
		args []string
	}{
		{laptop, "200", []string{s.url("there.txt")}},
		{laptop, "201", []string{"-T", local, s.url("new.txt")}},
		{reader, "200", []string{s.url("new.txt")}},
		{reader, "403", []string{"-T", local, s.url("other.txt")}},
		{reader, "403", []string{"-X", "DELETE", s.url("new.txt")}},
	} {
		if got := test.who.answer(test.args...); got != test.want {
			t.Errorf("curl %s: status %s, want %s", strings.Join(test.args, " "), got, test.want)
		}
	}
	if r := laptop.ask(laptop.password, ""); r.code != 0 {
		t.Errorf("OpenSSH with an app password: %s", r.stderr)
	}
	if r := reader.ask(reader.password, ""); r.code == 0 {
		t.Error("an app password for WebDAV logs in over SFTP")
	}
	for who, ok := range map[*serving]bool{laptop: true, s: false} { // lftp answers what asks for a password, and nothing else
		host, port, _ := strings.Cut(s.sftp, ":")
		r := clientResult(t, "lftp", "", "-c", "set net:max-retries 1; set net:timeout 5; set sftp:auto-confirm yes; "+
			"set sftp:connect-program 'ssh -a -x -o UserKnownHostsFile=/dev/null -o IdentitiesOnly=yes'; "+
			"open -u "+s.user+",'"+who.password+"' sftp://"+host+":"+port+"; cls")
		if got := strings.Contains(r.out, "there.txt"); got != ok {
			t.Errorf("lftp: lists %v, want %v\n%s%s", got, ok, r.out, r.stderr)
		}
	}
	s.must("user", "app-password", s.user, "--revoke", "laptop")
	if got := laptop.status("there.txt"); got != "401" {
		t.Errorf("a revoked app password: status %s, want 401", got)
	}
}

var halfLogin = regexp.MustCompile(`name="half" value="([^"]+)"`)

// pageCodes logs in to the page, which asks for the code after the password.
func pageCodes(t *testing.T, s *serving, next func() string) {
	login := "https://" + s.https + "/.gateway/login"
	first := func(b *surfer, password string) (half string) {
		t.Helper()
		_, _, body := b.post(login, url.Values{"user": {s.user}, "password": {password}, "next": {"/"}})
		if m := halfLogin.FindStringSubmatch(body); m != nil {
			return m[1]
		}
		return ""
	}
	in := func(b *surfer) bool {
		t.Helper()
		_, at, body := b.get("https://" + s.https + "/")
		return at.Path == "/" && strings.Contains(body, "there.txt")
	}
	b := newSurfer(t)
	half := first(b, s.password)
	if half == "" || in(b) {
		t.Fatal("the page does not ask for a code, or lets in without one")
	}
	b.post(login, url.Values{"half": {half}, "code": {"not one"}, "next": {"/"}})
	if in(b) {
		t.Error("the page lets in by a wrong code")
	}
	code := next()
	b.post(login, url.Values{"half": {half}, "code": {code}, "next": {"/"}})
	if !in(b) {
		t.Error("the page does not let in by the right code")
	}
	again := newSurfer(t)
	again.post(login, url.Values{"half": {half}, "code": {code}, "next": {"/"}})
	if in(again) {
		t.Error("the page lets in by a code that was used")
	}
	app := appLine.FindStringSubmatch(s.must("user", "app-password", s.user, "--label", "page", "--protocol", "webdav,sftp"))
	if other := newSurfer(t); first(other, app[1]) != "" || in(other) {
		t.Error("the page takes an app password")
	}
}
