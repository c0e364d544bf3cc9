package sftpsrv

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"
)

// kexInit is a packet with SSH_MSG_KEXINIT that offers the ciphers.
func kexInit(in, out string) []byte {
	b := append([]byte{msgKexInit}, make([]byte, 16)...)
	for _, list := range []string{"curve25519-sha256", "ssh-ed25519", in, out, "m", "m", "none", "none", "", ""} {
		b = binary.BigEndian.AppendUint32(b, uint32(len(list)))
		b = append(b, list...)
	}
	b = append(b, make([]byte, 5)...) // first_kex_packet_follows, reserved
	const padding = 7
	p := binary.BigEndian.AppendUint32(nil, uint32(1+len(b)+padding))
	p = append(append(p, padding), b...)
	return append(p, make([]byte, padding)...)
}

func TestParseHello(t *testing.T) {
	const version = "SSH-2.0-test\r\n"
	whole := append([]byte(version), kexInit("a,b", "c")...)
	hello, err := parseHello(append(slices.Clone(whole), "more"...))
	if err != nil || !slices.Equal(hello.ciphersIn, []string{"a", "b"}) || !slices.Equal(hello.ciphersOut, []string{"c"}) {
		t.Errorf("%+v, %v", hello, err)
	}
	for i := range whole {
		if _, err := parseHello(whole[:i]); !errors.Is(err, errHelloShort) {
			t.Errorf("the first %d bytes: %v", i, err)
		}
	}
	lying := slices.Clone(whole)
	binary.BigEndian.PutUint32(lying[len(version)+5+17:], 1<<31) // length of the first list
	for name, b := range map[string][]byte{
		"no SSH":         []byte("GET / HTTP/1.1\r\n"),
		"endless line":   bytes.Repeat([]byte("SSH-"), 100),
		"another packet": append([]byte(version), 0, 0, 0, 12, 4, 21, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0),
		"huge packet":    append([]byte(version), 0xff, 0xff, 0xff, 0xff, 4, msgKexInit),
		"only padding":   append([]byte(version), 0, 0, 0, 12, 12, msgKexInit, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0),
		"lying length":   lying,
	} {
		if _, err := parseHello(b); !errors.Is(err, errHelloOther) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func FuzzHello(f *testing.F) {
	f.Add([]byte("SSH-2.0-x\r\n"))
	f.Add(append([]byte("SSH-2.0-x\r\n"), kexInit(ssh.CipherChaCha20Poly1305, ssh.CipherAES128GCM)...))
	f.Add(append([]byte("SSH-2.0-x\n"), 0, 0, 0, 30, 4, msgKexInit))
	f.Fuzz(func(t *testing.T, b []byte) {
		hello, err := parseHello(b)
		ciphers := modern().config(hello).Ciphers
		if len(ciphers) == 0 {
			t.Error("nothing is offered")
		}
		if err != nil && len(hello.ciphersIn) > 0 {
			t.Error("an error and a result")
		}
		if errors.Is(err, errHelloShort) && len(b) > maxVersion+4+maxKexInit {
			t.Errorf("%d bytes are not enough", len(b))
		}
	})
}

func TestCipherChoice(t *testing.T) {
	gcm, ctr, chacha := ssh.CipherAES256GCM, ssh.CipherAES128CTR, ssh.CipherChaCha20Poly1305
	for _, test := range []struct{ in, out, want []string }{
		{[]string{chacha, ctr, gcm}, []string{chacha, ctr, gcm}, modern().cipherFamilies[0]},
		{[]string{chacha, ctr}, []string{chacha, ctr}, modern().cipherFamilies[1]},
		{[]string{chacha, gcm}, []string{chacha, ctr, gcm}, modern().cipherFamilies[0]},
		{[]string{chacha, gcm}, []string{chacha, ctr}, modern().cipherFamilies[2]}, // the only one both ways
		{[]string{chacha}, []string{chacha}, modern().cipherFamilies[2]},
		{nil, nil, slices.Concat(modern().cipherFamilies...)},
	} {
		hello := clientHello{ciphersIn: test.in, ciphersOut: test.out}
		if got := hello.chooseCiphers(modern().cipherFamilies); !slices.Equal(got, test.want) {
			t.Errorf("%v, %v: offered %v, want %v", test.in, test.out, got, test.want)
		}
	}
}

// TestCiphersOfClients has real clients say what they agreed on.
func TestCiphersOfClients(t *testing.T) {
	f := serve(t)
	o := newOpenSSH(t, f)
	f.write("f", pattern(3<<20))
	for _, test := range []struct {
		want    string
		options []string
	}{
		{"aes128-gcm@openssh.com", nil}, // it puts chacha20-poly1305 first
		{"chacha20-poly1305@openssh.com", []string{"-c", "chacha20-poly1305@openssh.com"}},
		{"aes256-gcm@openssh.com", []string{"-c", "chacha20-poly1305@openssh.com,aes256-ctr,aes256-gcm@openssh.com"}},
		{"aes192-ctr", []string{"-c", "chacha20-poly1305@openssh.com,aes192-ctr,aes256-ctr"}},
	} {
		r := o.ssh(t, append(slices.Clone(test.options), "-v", "-N", "-o", "ExitOnForwardFailure=yes", "-o", "LocalCommand=kill $PPID", "-o", "PermitLocalCommand=yes")...)
		for _, direction := range []string{"server->client", "client->server"} {
			if !strings.Contains(r.stderr, "kex: "+direction+" cipher: "+test.want) {
				t.Errorf("%v: not %s %s:\n%s", test.options, direction, test.want, r.stderr)
			}
		}
		args := append(append(slices.Clone(o.options), test.options...), testUser+"@127.0.0.1:f", "got")
		if r := program(t, o.dir, "", "sftp", args...); r.code != 0 {
			t.Errorf("%v: get: %s", test.options, r.stderr)
		}
	}
	script := `
import paramiko, sys
port, key = int(sys.argv[1]), sys.argv[2]
c = paramiko.SSHClient()
c.set_missing_host_key_policy(paramiko.WarningPolicy())
c.connect("127.0.0.1", port, "alice", key_filename=key, allow_agent=False, look_for_keys=False)
s = c.open_sftp()
data = s.open("f").read()
with s.open("paramiko", "wb") as w:
    w.set_pipelined(True)
    w.write(data)
print(c.get_transport().remote_cipher, len(data), s.stat("paramiko").st_size)
c.close()
`
	_, port, _ := net.SplitHostPort(f.addr)
	r := program(t, o.dir, "", "python3-paramiko", "-W", "ignore", "-c", script, port, o.options[slices.Index(o.options, "-i")+1])
	if want := fmt.Sprintf("aes128-ctr %d %d\n", 3<<20, 3<<20); r.out != want {
		t.Errorf("paramiko: %q, want %q\n%s", r.out, want, r.stderr)
	}
	f.expect("paramiko", pattern(3<<20))
}

// A client may wait for our identification, and for our algorithms, before it says its own.
func TestClientThatWaits(t *testing.T) {
	f := serve(t)
	conn, err := net.Dial("tcp", f.addr)
	mustDo(t, err)
	defer conn.Close()
	mustDo(t, conn.SetDeadline(time.Now().Add(20*time.Second)))
	r := bufio.NewReader(conn)
	if line, err := r.ReadString('\n'); err != nil || line != serverVersion+"\r\n" {
		t.Fatalf("identification: %q, %v", line, err)
	}
	_, err = io.WriteString(conn, "SSH-2.0-patient\r\n")
	mustDo(t, err)
	head, err := r.Peek(6)
	if err != nil || head[5] != msgKexInit {
		t.Fatalf("% x, %v", head, err)
	}
	packet := make([]byte, 4+binary.BigEndian.Uint32(head))
	_, err = io.ReadFull(r, packet)
	mustDo(t, err)
	if !bytes.Contains(packet, []byte(ssh.CipherAES128GCM)) || !bytes.Contains(packet, []byte(ssh.CipherChaCha20Poly1305)) {
		t.Errorf("not everything is offered: %q", packet)
	}
}

// What is no SSH is refused by the library, in its own words, and before the handshake's deadline.
func TestNoSSH(t *testing.T) {
	f := serve(t)
	conn, err := net.Dial("tcp", f.addr)
	mustDo(t, err)
	defer conn.Close()
	mustDo(t, conn.SetDeadline(time.Now().Add(20*time.Second)))
	_, err = conn.Write(bytes.Repeat([]byte("GET / "), 100_000))
	if err == nil {
		_, err = io.Copy(io.Discard, conn)
	}
	f.eventually("the end of the connection", func() bool { return f.connections() == 0 })
	if !strings.Contains(f.log.String(), "no login") {
		t.Errorf("the reason is not logged (%v)", err)
	}
}
