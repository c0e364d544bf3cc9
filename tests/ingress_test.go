package tests

import (
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"gateway/tests/servers"
)

// balanced is HAProxy before both front ends of a gateway, with the PROXY protocol in a version.
func (s *serving) balanced(t *testing.T, send string) *serving {
	t.Helper()
	at := *s
	at.sftp, at.https = fmt.Sprintf("127.0.0.1:%d", servers.FreePort(t)), fmt.Sprintf("127.0.0.1:%d", servers.FreePort(t))
	servers.StartHAProxy(t, fmt.Sprintf(`
defaults
    mode tcp
    timeout connect 5s
    timeout client 1m
    timeout server 1m
    default-server check check-send-proxy inter 1s source 127.0.0.2 %s
listen sftp
    bind %s
    server a %s
listen https
    bind %s
    server a %s
`, send, at.sftp, s.sftp, at.https, s.https), at.https)
	return &at
}

// from are the options by which OpenSSH's ssh connects from an address.
func from(address string) []string { return []string{"-o", "BindAddress=" + address} }

// TestProxyProtocol has the real HAProxy say whose connections it passes on, in both versions: the log, the bans and the
// lists go by the clients' addresses. Nobody else is believed, and a balancer that does not say is not let in.
func TestProxyProtocol(t *testing.T) {
	l := newLab(t)
	config := filepath.Join(t.TempDir(), "gateway.yaml")
	sftp, https := servers.FreePort(t), servers.FreePort(t)
	const access = "  proxy_protocol: [127.0.0.2]\n  deny: [127.0.0.7]\n"
	writeFile(t, config, fmt.Appendf(nil, "data: %s\nadmin: {off: true}\nsftp:\n  listen: 127.0.0.1:%d\n%shttps:\n  listen: 127.0.0.1:%d\n%slogins:\n  failures: 3\n", l.data, sftp, access, https, access))
	s := l.serveFile(config)
	for i, send := range []string{"send-proxy", "send-proxy-v2"} {
		t.Run(send, func(t *testing.T) {
			b := s.in(t).balanced(t, send)
			client := fmt.Sprintf("127.0.1.%d", i+1)
			if r := b.ssh(from(client), "pwd"); r.code != 0 || !strings.Contains(s.log.String(), "msg=login front=sftp from="+client+" ") {
				t.Errorf("ssh: exit status %d, %s", r.code, r.stderr)
			}
			if r := b.ssh(from("127.0.0.7"), "pwd"); r.code == 0 || !strings.Contains(s.log.String(), `front=sftp from=127.0.0.7 reason="its address is denied"`) {
				t.Errorf("ssh from an address that is denied: exit status %d", r.code)
			}
			guesser := fmt.Sprintf("127.0.2.%d", i+1)
			ask := func(address, password string) string {
				return clientResult(t, "curl", "", "-sS", "-k", "-o", "/dev/null", "-w", "%{http_code}", "--interface", address, "-u", b.user+":"+password, b.url("")).out
			}
			for range 3 {
				if got := ask(guesser, "wrong"); got != "401" {
					t.Errorf("a wrong password: %s", got)
				}
			}
			if got := ask(guesser, b.password); got != "429" {
				t.Errorf("after three wrong passwords: %s", got)
			}
			if got := ask(client, b.password); got != "200" {
				t.Errorf("from another address, beside the ban: %s", got)
			}
			if r := b.ssh(from(guesser), "pwd"); r.code == 0 {
				t.Error("the ban does not hold over SFTP")
			}
		})
	}
	const claim = "PROXY TCP4 192.0.2.7 192.0.2.8 1 2\r\n"
	if got := s.converse(t, "127.0.0.1", claim+"SSH-2.0-x\r\n"); strings.Contains(got, "ssh-ed25519") || strings.Contains(s.log.String(), "192.0.2.7") {
		t.Errorf("somebody who is no balancer is believed: %q", got)
	}
	if got := s.converse(t, "127.0.0.2", "SSH-2.0-x\r\n"); strings.Contains(got, "SSH-") {
		t.Errorf("a balancer that does not say whose connection it is is let in: %q", got)
	}
	if r := s.ssh(nil, "pwd"); r.code != 0 {
		t.Errorf("without a balancer: %s", r.stderr)
	}
	s.must("--config", config, "health")
	writeFile(t, config, []byte(strings.ReplaceAll(string(readAll(t, config)), "127.0.0.2]", "127.0.0.0/29]")))
	s.reload(t, config, string(readAll(t, config)), "was read again")
	s.must("--config", config, "health") // which says now that it is its own connection
}

// converse says something to the SFTP listener from an address, and returns what it hears until the end or for a while.
func (s *serving) converse(t *testing.T, address, say string) string {
	t.Helper()
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(address)}}
	conn, err := d.DialContext(t.Context(), "tcp", s.sftp)
	mustDo(t, err)
	defer conn.Close()
	_, err = io.WriteString(conn, say)
	mustDo(t, err)
	_ = conn.SetReadDeadline(time.Now().Add(5 * time.Second))
	heard, _ := io.ReadAll(io.LimitReader(conn, 64<<10)) // it may be cut off
	return string(heard)
}

// TestAllowAndDeny: addresses that are not let in get no word, and users come from where their files say.
func TestAllowAndDeny(t *testing.T) {
	l := newLab(t)
	config := filepath.Join(t.TempDir(), "gateway.yaml")
	const text = "data: %s\nadmin: {off: true}\nsftp:\n  listen: 127.0.0.1:0\n  allow: [127.0.0.0/29]\n  deny: [%s]\nhttps:\n  listen: 127.0.0.1:0\n  deny: [127.0.0.3, '2001:db8::/32']\n"
	writeFile(t, config, fmt.Appendf(nil, text, l.data, "127.0.0.2"))
	s := l.serveFile(config)
	file := filepath.Join(l.data, "users", s.user+".yaml")
	ssh := func(address string, want bool) {
		t.Helper()
		if r := s.ssh(from(address), "pwd"); (r.code == 0) != want {
			t.Errorf("ssh from %s: exit status %d", address, r.code)
		}
	}
	curl := func(address, want string) {
		t.Helper()
		got := clientResult(t, "curl", "", "-sS", "-k", "-o", "/dev/null", "-w", "%{http_code}", "--interface", address, "-u", s.user+":"+s.password, s.url("")).out
		if got != want {
			t.Errorf("curl from %s: %s, want %s", address, got, want)
		}
	}
	ssh("127.0.0.1", true)
	ssh("127.0.0.2", false) // denied, whatever is allowed
	ssh("127.0.0.9", false) // not allowed
	curl("127.0.0.2", "200")
	curl("127.0.0.3", "000")
	if heard := s.converse(t, "127.0.0.2", ""); heard != "" {
		t.Errorf("an address that is denied hears %q", heard)
	}
	s.reload(t, config, fmt.Sprintf(text, l.data, "127.0.0.1"), `changed=sftp.deny`)
	ssh("127.0.0.1", false)
	ssh("127.0.0.2", true)

	data, err := os.ReadFile(file)
	mustDo(t, err)
	writeFile(t, file, append(data, "allow_from: [127.0.0.4/31]\n"...))
	ssh("127.0.0.2", false)
	ssh("127.0.0.5", true)
	curl("127.0.0.2", "401")
	curl("127.0.0.5", "200")
	if !strings.Contains(s.log.String(), "may not log in from this address") {
		t.Errorf("the log does not say why: %s", s.log)
	}
}
