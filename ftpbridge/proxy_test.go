package ftpbridge

import (
	"bufio"
	"bytes"
	"context"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"gateway/tests/servers"
)

// gate is a proxy of both kinds: SOCKS5 for clients whose first byte is 5,
// CONNECT for others. It alone knows the host name "ftp.example.test".
type gate struct {
	t          *testing.T
	user, pass string // wanted, "" for nobody
	behind     string // host that ftp.example.test stands for

	ln net.Listener
	wg sync.WaitGroup
	mu sync.Mutex
	to []string // hosts that clients asked for
	cs []net.Conn
}

func startGate(t *testing.T, user, pass, behind string) *gate {
	t.Helper()
	ln, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	g := &gate{t: t, user: user, pass: pass, behind: behind, ln: ln}
	g.wg.Go(func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			g.keep(c)
			g.wg.Go(func() { g.serve(c) })
		}
	})
	t.Cleanup(func() {
		ln.Close()
		g.mu.Lock()
		for _, c := range g.cs {
			c.Close()
		}
		g.mu.Unlock()
		g.wg.Wait()
	})
	return g
}

func (g *gate) keep(c net.Conn) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.cs = append(g.cs, c)
}

func (g *gate) url(scheme string) *url.URL {
	u := &url.URL{Scheme: scheme, Host: g.ln.Addr().String()}
	if g.user != "" {
		u.User = url.UserPassword(g.user, g.pass)
	}
	return u
}

func (g *gate) asked() []string {
	g.mu.Lock()
	defer g.mu.Unlock()
	return slices.Clone(g.to)
}

func (g *gate) serve(c net.Conn) {
	defer c.Close()
	br := bufio.NewReader(c)
	first, err := br.Peek(1)
	if err != nil {
		return
	}
	var up net.Conn
	if first[0] == 5 {
		up = g.socks(c, br)
	} else {
		up = g.connect(c, br)
	}
	if up == nil {
		return
	}
	defer up.Close()
	upwards := make(chan struct{})
	g.wg.Go(func() {
		defer close(upwards)
		io.Copy(up, br)
		up.(*net.TCPConn).CloseWrite()
	})
	io.Copy(c, up)
	c.(*net.TCPConn).CloseWrite()
	<-upwards
	io.Copy(io.Discard, br)
}

func (g *gate) dial(host string, port int) (net.Conn, error) {
	g.mu.Lock()
	g.to = append(g.to, host)
	g.mu.Unlock()
	if host == "ftp.example.test" {
		host = g.behind
	}
	up, err := net.Dial("tcp", net.JoinHostPort(host, strconv.Itoa(port)))
	if err == nil {
		g.keep(up)
	}
	return up, err
}

// socks is RFC 1928 and RFC 1929, as far as CONNECT to a name or IPv4 address goes.
func (g *gate) socks(c net.Conn, br *bufio.Reader) net.Conn {
	take := func(n int) []byte { b := make([]byte, n); io.ReadFull(br, b); return b }
	methods := take(int(take(2)[1]))
	if g.user == "" {
		c.Write([]byte{5, 0})
	} else {
		if !bytes.Contains(methods, []byte{2}) {
			c.Write([]byte{5, 0xff})
			return nil
		}
		c.Write([]byte{5, 2})
		user := string(take(int(take(2)[1])))
		pass := string(take(int(take(1)[0])))
		if user != g.user || pass != g.pass {
			c.Write([]byte{1, 1})
			return nil
		}
		c.Write([]byte{1, 0})
	}
	var host string
	if take(4)[3] == 3 {
		host = string(take(int(take(1)[0])))
	} else {
		host = net.IP(take(4)).String()
	}
	up, err := g.dial(host, int(binary.BigEndian.Uint16(take(2))))
	if err != nil {
		c.Write([]byte{5, 5, 0, 1, 0, 0, 0, 0, 0, 0}) // connection refused
		return nil
	}
	c.Write([]byte{5, 0, 0, 1, 0, 0, 0, 0, 0, 0})
	return up
}

func (g *gate) connect(c net.Conn, br *bufio.Reader) net.Conn {
	req, err := http.ReadRequest(br)
	if err != nil {
		return nil
	}
	basic := "Basic " + base64.StdEncoding.EncodeToString([]byte(g.user+":"+g.pass))
	if g.user != "" && req.Header.Get("Proxy-Authorization") != basic {
		io.WriteString(c, "HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n")
		return nil
	}
	host, port, err := net.SplitHostPort(req.Host)
	n, _ := strconv.Atoi(port)
	if req.Method != http.MethodConnect || err != nil {
		io.WriteString(c, "HTTP/1.1 400 Bad Request\r\n\r\n")
		return nil
	}
	up, err := g.dial(host, n)
	if err != nil {
		io.WriteString(c, "HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n")
		return nil
	}
	io.WriteString(c, "HTTP/1.1 200 Connection established\r\nVia: gate\r\n\r\n")
	return up
}

// TestRealProxies goes through both kinds of proxies to a name that only they
// know, in plain and over TLS: no connection may go past them.
func TestRealProxies(t *testing.T) {
	for _, kind := range []servers.Kind{servers.VSFTPD, servers.ProFTPD, servers.Pyftpdlib, servers.InetUtils} {
		modes := map[string]servers.TLS{"ftp": servers.NoTLS}
		if kind.TLSModes() != nil {
			modes["ftpes"], modes["ftps"] = servers.ExplicitTLS, servers.ImplicitTLS
		}
		for scheme, mode := range modes {
			root := t.TempDir()
			srv := servers.Start(t, kind, servers.Options{Root: root, TLS: mode,
				ReuseTLS: mode != servers.NoTLS && kind != servers.Pyftpdlib})
			_, port := srv.Host()
			for _, way := range []string{"socks5", "socks5h", "http"} {
				t.Run(fmt.Sprintf("%s-%s-%s", kind, scheme, way), func(t *testing.T) {
					user := map[string]string{"socks5": "me", "http": "me"}[way]
					g := startGate(t, user, "p@ss word", "127.0.0.1")
					src := liveSource(t, srv, scheme)
					src.URL.Host = "ftp.example.test:" + port
					src.Proxy = g.url(way)
					if srv.CertFile != "" {
						src.CAFile, src.Fingerprint = "", certificatePrint(t, srv.CertFile)
					}
					liveDataConnections(t, src, root)
					for _, host := range g.asked() {
						if host != "ftp.example.test" {
							t.Errorf("asked for %q", host)
						}
					}
					if n := len(g.asked()); n < 10 { // the control connection and nine transfers
						t.Errorf("%d connections went through the proxy", n)
					}
				})
			}
		}
	}
}

func TestProxyRefusals(t *testing.T) {
	srv := (&scripted{}).start(t)
	g := startGate(t, "me", "right", "127.0.0.1")
	for _, scheme := range []string{"socks5", "http"} {
		src := srv.source(t, "")
		src.Proxy = g.url(scheme)
		mustDial(t, src)

		src.Proxy.User = url.UserPassword("me", "wrong-secret")
		_, err := Dial(testContext(t), src)
		want(t, err, []error{ErrUnreachable}, "proxy", g.ln.Addr().String())

		src.Proxy.User = nil
		_, err = Dial(testContext(t), src)
		want(t, err, []error{ErrUnreachable}, "proxy")

		src.Proxy = g.url(scheme)
		src.URL.Host = "127.0.0.1:1"
		_, err = Dial(testContext(t), src)
		want(t, err, []error{ErrUnreachable}, "proxy", "127.0.0.1:1")
	}
}

// A proxy can be as hostile as a server.
func TestHostileProxy(t *testing.T) {
	for _, tc := range []struct {
		name, scheme string
		says         string
		forever      bool // says is repeated
		words        string
	}{
		{"nothing", "http", "", false, "300ms"},
		{"nothing", "socks5", "", false, "300ms"},
		{"endless header", "http", "HTTP/1.1 200 OK\r\nX: " + strings.Repeat("y", 100) + "\r\n", true, "HTTP"},
		{"endless line", "http", strings.Repeat("z", 1000), true, "HTTP"},
		{"FTP", "http", "220 hello\r\n", false, "HTTP"},
		{"escapes", "http", "HTTP/1.1 403 \x1b[31mred\r\n\r\n", false, `\x1b[31mred`},
		{"escapes in a header", "http", "HTTP/1.1 200 OK\r\n\x1b[31m\r\n\r\n", false, "HTTP"},
		{"redirect", "http", "HTTP/1.1 302 Found\r\nLocation: http://elsewhere/\r\n\r\n", false, "302"},
		{"noise", "socks5", "\x1b[31mnoise and more noise", false, "proxy"},
		{"closes", "http", "HTTP/1.1 2", false, "proxy"},
	} {
		t.Run(tc.scheme+" "+tc.name, func(t *testing.T) {
			ln, err := net.Listen("tcp4", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			ended := make(chan struct{})
			go func() {
				defer close(ended)
				c, err := ln.Accept()
				if err != nil {
					return
				}
				defer c.Close()
				for {
					if _, err := io.WriteString(c, tc.says); err != nil || !tc.forever {
						break
					}
				}
				if tc.name == "closes" {
					return
				}
				io.Copy(io.Discard, c)
			}()
			t.Cleanup(func() { ln.Close(); <-ended })
			src, err := ParseSource("ftp://user:secret@127.0.0.1:2121/")
			if err != nil {
				t.Fatal(err)
			}
			if src.Timeout = 20 * time.Second; tc.name == "nothing" {
				src.Timeout = patience
			}
			src.Proxy = &url.URL{Scheme: tc.scheme, Host: ln.Addr().String()}
			_, err = Dial(testContext(t), src)
			want(t, err, []error{ErrUnreachable}, tc.words)
		})
	}
}

func TestProxyCancel(t *testing.T) {
	ln, err := net.Listen("tcp4", "127.0.0.1:0") // takes connections and says nothing
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	for _, scheme := range []string{"socks5", "http"} {
		src, err := ParseSource("ftp://user:secret@127.0.0.1:2121/")
		if err != nil {
			t.Fatal(err)
		}
		src.Proxy = &url.URL{Scheme: scheme, Host: ln.Addr().String()}
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		_, err = Dial(ctx, src)
		cancel()
		want(t, err, []error{context.DeadlineExceeded})
	}
}

func TestParseProxy(t *testing.T) {
	for raw, words := range map[string]string{
		"socks5://proxy:1080": "", "socks5h://u:p@[::1]:1080/": "", "http://u:p@proxy:3128": "", "http://u@proxy:3128": "",
		"https://proxy:443": "scheme", "ftp://proxy:21": "scheme", "proxy:1080": "scheme", "socks5://proxy": "port", "http://:80": "host",
		"socks5://proxy:0": "port", "socks5://proxy:99999": "port", "http://proxy:80/path": "after the port", "http://proxy:80?q": "after the port",
		"socks5://u:secret%0d%0a@proxy:1": "line break", "socks5://:secret@proxy:1": "no user", "http://a%3Ab:secret@proxy:1": "colon",
		"socks5://" + strings.Repeat("u", 256) + ":secret@proxy:1": "255 bytes", "socks5://u:secret%zz@proxy:1": "not a URL",
	} {
		u, err := ParseProxy(raw)
		if words != "" {
			want(t, err, []error{ErrSource}, words)
		} else if err != nil || u == nil {
			t.Errorf("%q: %v", raw, err)
		}
	}
	src, err := ParseSource("ftp://host/")
	if err != nil {
		t.Fatal(err)
	}
	src.Proxy, src.Active = &url.URL{Scheme: "socks5", Host: "proxy:1080"}, true
	want(t, src.validate(), []error{ErrSource}, "active mode")
	src.Proxy, src.Active = &url.URL{Scheme: "https", Host: "proxy:1080"}, false
	want(t, src.validate(), []error{ErrSource}, "socks5")
}
