package ftpbridge

import (
	"bufio"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"golang.org/x/net/proxy"
)

const (
	keepAlive     = 30 * time.Second
	noKeepAlive   = -1      // for data connections: silence ends them, and they are many
	maxProxyReply = 8 << 10 // bytes of a proxy's answer to CONNECT
	maxSOCKSWord  = 255     // bytes of user or password, RFC 1929 section 2
)

// ParseProxy reads the URL of a proxy for Source.Proxy: socks5://host:port (RFC
// 1928; socks5h:// is the same) or http://host:port (CONNECT, RFC 9110 section
// 9.3.6), with user:password@ before the host where the proxy wants them (RFC
// 1929, Basic). The proxy resolves names. Errors wrap ErrSource and do not show
// the password.
func ParseProxy(raw string) (*url.URL, error) {
	u, err := url.Parse(raw)
	if err != nil {
		return nil, fmt.Errorf("%w: proxy %q: not a URL; write socks5://host:port or http://host:port", ErrSource, redactRaw(raw))
	}
	if why := badProxy(u); why != "" {
		return nil, fmt.Errorf("%w: proxy %q: %s", ErrSource, redactRaw(raw), why)
	}
	return u, nil
}

// badProxy says why u cannot be used, "" when it can.
func badProxy(u *url.URL) string {
	pass, _ := u.User.Password()
	words := u.User.Username() + pass
	port, err := strconv.ParseUint(u.Port(), 10, 16)
	switch {
	case u.Scheme != "socks5" && u.Scheme != "socks5h" && u.Scheme != "http":
		return "the scheme must be socks5 or http"
	case u.Hostname() == "" || err != nil || port == 0:
		return "it needs a host and a port from 1 to 65535"
	case u.Path != "" && u.Path != "/" || u.RawQuery != "" || u.Fragment != "":
		return "there must be nothing after the port"
	case strings.ContainsAny(words, "\r\n\x00"):
		return "the user or password has a line break or NUL"
	case u.Scheme != "http" && max(len(u.User.Username()), len(pass)) > maxSOCKSWord:
		return fmt.Sprintf("SOCKS takes a user and a password of %d bytes at most", maxSOCKSWord)
	case u.Scheme != "http" && u.User != nil && u.User.Username() == "":
		return "there is a password and no user"
	case u.Scheme == "http" && strings.Contains(u.User.Username(), ":"):
		return "HTTP allows no colon in the user"
	}
	return ""
}

// dial makes a connection to addr, through the proxy if there is one, within limit.
// probe is how often an idle peer is asked whether it is there; below 0 it is not.
func (s Source) dial(ctx context.Context, addr string, limit, probe time.Duration) (net.Conn, error) {
	d := &net.Dialer{Timeout: min(s.timeout(), limit), KeepAlive: probe}
	if s.Proxy == nil {
		return d.DialContext(ctx, "tcp", addr)
	}
	within, cancel := context.WithTimeout(ctx, d.Timeout)
	defer cancel()
	raw, err := d.DialContext(within, "tcp", s.Proxy.Host)
	if err == nil {
		if err = s.tunnel(within, raw, addr); err != nil {
			_ = raw.Close()
		}
	}
	switch {
	case err != nil && ctx.Err() == nil && within.Err() != nil:
		return nil, fmt.Errorf("through proxy %s: no answer within %v", s.Proxy.Redacted(), d.Timeout)
	case err != nil:
		return nil, fmt.Errorf("through proxy %s: %w", s.Proxy.Redacted(), err)
	}
	return raw, nil
}

// tunnel asks the proxy behind raw for a connection to addr. It reads not one
// byte more than the proxy's own: an FTP server speaks first.
func (s Source) tunnel(ctx context.Context, raw net.Conn, addr string) error {
	if s.Proxy.Scheme == "http" {
		return connectHTTP(ctx, raw, s.Proxy.User, addr)
	}
	var auth *proxy.Auth
	if s.Proxy.User != nil {
		pass, _ := s.Proxy.User.Password()
		auth = &proxy.Auth{User: s.Proxy.User.Username(), Password: pass}
	}
	d, err := proxy.SOCKS5("tcp", s.Proxy.Host, auth, connected{raw})
	if err != nil {
		return err
	}
	_, err = d.(proxy.ContextDialer).DialContext(undated{ctx}, "tcp", addr)
	return err
}

// undated is a context that ends on time and does not say when: as a deadline of
// the socket its end could come before the context's own, and be taken for the
// server's silence.
type undated struct{ context.Context }

func (undated) Deadline() (time.Time, bool) { return time.Time{}, false }

// connected is a dialer for a connection that is there already.
type connected struct{ net.Conn }

func (c connected) Dial(string, string) (net.Conn, error) { return c.Conn, nil }

func (c connected) DialContext(context.Context, string, string) (net.Conn, error) { return c.Conn, nil }

// connectHTTP makes raw a tunnel to addr, RFC 9110 section 9.3.6.
func connectHTTP(ctx context.Context, raw net.Conn, user *url.Userinfo, addr string) error {
	stop := context.AfterFunc(ctx, func() { _ = raw.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	request := "CONNECT " + addr + " HTTP/1.1\r\nHost: " + addr + "\r\n"
	if user != nil {
		pass, _ := user.Password()
		request += "Proxy-Authorization: Basic " + base64.StdEncoding.EncodeToString([]byte(user.Username()+":"+pass)) + "\r\n"
	}
	if _, err := io.WriteString(raw, request+"\r\n"); err != nil {
		return err
	}
	answer := bufio.NewReader(io.LimitReader(oneByte{raw}, maxProxyReply))
	//nolint:bodyclose // what follows a 2yz is the tunnel itself, and after a refusal raw is closed
	resp, err := http.ReadResponse(answer, &http.Request{Method: http.MethodConnect})
	switch {
	case err != nil && ctx.Err() != nil:
		return ctx.Err()
	case err != nil:
		return fmt.Errorf("%w: it did not answer in HTTP: %s", ErrProtocol, quoteLine(err.Error()))
	case resp.StatusCode == http.StatusProxyAuthRequired:
		return fmt.Errorf("it answered %s; check its user and password", quoteLine(resp.Status))
	case resp.StatusCode/100 != 2:
		return fmt.Errorf("it answered %s", quoteLine(resp.Status))
	case !stop():
		return errors.Join(ctx.Err(), net.ErrClosed)
	}
	return nil
}

// oneByte reads byte by byte, so that a bufio.Reader over it holds nothing back.
type oneByte struct{ r io.Reader }

func (o oneByte) Read(p []byte) (int, error) { return o.r.Read(p[:min(1, len(p))]) }
