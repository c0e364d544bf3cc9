package sftpsrv

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"strings"
	"time"
)

// What a client can do is read from the beginning of its connection before the library comes to it, which then is
// told to offer only what is quick here. Nothing of that is believed for anything else: the library reads the
// same bytes again, and the two sides agree on what both have seen (RFC 4253 section 8).

// serverVersion is the identification line, RFC 4253 section 4.2, without its end.
const serverVersion = "SSH-2.0-gateway"

// Bounds of what a client says first.
const (
	// maxVersion is the longest identification line with its end, in bytes (RFC 4253 section 4.2).
	maxVersion = 255
	// maxKexInit is the longest first packet that is looked at, in bytes: what every
	// implementation must take (RFC 4253 section 6.1). The library takes longer ones.
	maxKexInit = 35000
	// helloWait is how long the algorithms of a client are waited for after its identification. One
	// that says them only after it has seen ours gets the whole list then.
	helloWait = 3 * time.Second
)

// msgKexInit is SSH_MSG_KEXINIT, RFC 4253 section 12.
const msgKexInit = 20

var (
	errHelloShort = errors.New("the beginning of the connection is not whole yet")
	errHelloOther = errors.New("the client is not one of SSH")
	// errNotSSH is for what the library would skip: it takes lines before the identification, which only a server may
	// send (RFC 4253 section 4.2). A header of the PROXY protocol is such a line, from somebody who is no balancer.
	errNotSSH = fmt.Errorf("%w: the connection does not begin as SSH does", errHelloOther)
)

// clientHello is what a client can do, as far as it matters here.
type clientHello struct {
	ciphersIn, ciphersOut []string // from the client, to the client; in its order
}

// parseHello reads the identification and the KEXINIT (RFC 4253 section 7.1) at the beginning of a
// connection. It fails with errHelloShort when more bytes may help, with errHelloOther or errNotSSH when none will.
func parseHello(b []byte) (clientHello, error) {
	end := bytes.IndexByte(b[:min(len(b), maxVersion)], '\n')
	switch {
	case end < 0 && len(b) < maxVersion:
		return clientHello{}, errHelloShort
	case end < 0 || !bytes.HasPrefix(b, []byte("SSH-")):
		return clientHello{}, errNotSSH
	}
	b = b[end+1:]
	if len(b) < 6 {
		return clientHello{}, errHelloShort
	}
	length, padding := binary.BigEndian.Uint32(b), int(b[4])
	if length > maxKexInit || int(length) < 1+padding+1 || b[5] != msgKexInit {
		return clientHello{}, errHelloOther
	}
	if len(b) < 4+int(length) {
		return clientHello{}, errHelloShort
	}
	return parseKexInit(b[5 : 4+int(length)-padding])
}

// parseKexInit reads the payload of SSH_MSG_KEXINIT.
func parseKexInit(payload []byte) (clientHello, error) {
	d := decoder{b: payload}
	d.take(1 + 16) // message number, cookie
	var lists [4][]byte
	for i := range lists { // key exchange, host key, ciphers in, ciphers out
		lists[i] = d.bytes(maxKexInit)
	}
	if d.bad {
		return clientHello{}, errHelloOther
	}
	return clientHello{
		ciphersIn:  strings.Split(string(lists[2]), ","),
		ciphersOut: strings.Split(string(lists[3]), ","),
	}, nil
}

// offers reports whether the client can use one of the ciphers in both directions.
func (h clientHello) offers(ciphers []string) bool {
	among := func(c string) bool { return slices.Contains(ciphers, c) }
	return slices.ContainsFunc(h.ciphersIn, among) && slices.ContainsFunc(h.ciphersOut, among)
}

// chooseCiphers is the first family of which the client has a cipher. The order of the client
// decides (RFC 4253 section 7.1), and OpenSSH puts ChaCha20 first and GCM last; so it is
// not shown what is slower here than something else that it has.
func (h clientHello) chooseCiphers(families [][]string) []string {
	for _, family := range families {
		if h.offers(family) {
			return family
		}
	}
	return slices.Concat(families...)
}

// helloConn is a connection whose beginning was read, and whose first line was sent, before
// the library came to it.
type helloConn struct {
	net.Conn
	read []byte // and not given to the library yet
	sent bool   // the library has written its identification
}

// greet sends our identification at once and waits for what the client says of itself. An error is
// that of the connection, or errNotSSH; what else is wrong is the library's to refuse.
func greet(raw net.Conn, deadline time.Time) (*helloConn, clientHello, error) {
	conn := &helloConn{Conn: raw}
	if err := raw.SetDeadline(deadline); err != nil {
		return conn, clientHello{}, err
	}
	if _, err := io.WriteString(raw, serverVersion+"\r\n"); err != nil {
		return conn, clientHello{}, err
	}
	var hello clientHello
	err := errHelloShort
	buf := make([]byte, 4096)
	for waiting := false; errors.Is(err, errHelloShort); {
		n, readErr := raw.Read(buf)
		conn.read = append(conn.read, buf[:n]...)
		if readErr != nil && !(waiting && errors.Is(readErr, os.ErrDeadlineExceeded)) {
			return conn, clientHello{}, readErr
		}
		hello, err = parseHello(conn.read)
		if errors.Is(err, errNotSSH) {
			return conn, clientHello{}, err
		}
		if readErr != nil {
			break
		}
		if !waiting && bytes.IndexByte(conn.read, '\n') >= 0 {
			waiting = true
			if soon := time.Now().Add(helloWait); soon.Before(deadline) {
				if err := raw.SetReadDeadline(soon); err != nil {
					return conn, clientHello{}, err
				}
			}
		}
	}
	return conn, hello, raw.SetDeadline(deadline)
}

// Read implements net.Conn.
func (c *helloConn) Read(p []byte) (int, error) {
	if len(c.read) == 0 {
		return c.Conn.Read(p)
	}
	n := copy(p, c.read)
	if c.read = c.read[n:]; len(c.read) == 0 {
		c.read = nil
	}
	return n, nil
}

// Write implements net.Conn. The first call is the library's identification, which greet has sent.
func (c *helloConn) Write(p []byte) (int, error) {
	if c.sent {
		return c.Conn.Write(p)
	}
	if string(p) != serverVersion+"\r\n" {
		return 0, fmt.Errorf("sftpsrv: the first line written is %.40q, not the identification", p)
	}
	c.sent = true
	return len(p), nil
}
