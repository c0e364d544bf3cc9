package ingress

import (
	"bytes"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

type safeBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *safeBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *safeBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

func listen(t *testing.T, r Rules) (*Listener, *safeBuffer) {
	t.Helper()
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	log := &safeBuffer{}
	l := Listen(inner, r, slog.New(slog.NewTextHandler(log, nil)))
	t.Cleanup(func() { l.Close() })
	return l, log
}

// dial connects from an address of loopback and says something.
func dial(t *testing.T, l *Listener, from, say string) net.Conn {
	t.Helper()
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}}
	c, err := d.DialContext(t.Context(), "tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	if _, err := io.WriteString(c, say); err != nil {
		t.Fatal(err)
	}
	return c
}

// refused waits for the end of a connection.
func refused(t *testing.T, c net.Conn) {
	t.Helper()
	_ = c.SetReadDeadline(time.Now().Add(20 * time.Second))
	if n, err := c.Read(make([]byte, 1)); n > 0 || err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("the connection stays: %v", err)
	}
}

func networks(list ...string) []netip.Prefix {
	var n []netip.Prefix
	for _, s := range list {
		n = append(n, netip.MustParsePrefix(s))
	}
	return n
}

// accept returns whose the next connection is, and what it says in the end.
func accept(t *testing.T, l *Listener) (from, says string) {
	t.Helper()
	c, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	buf := make([]byte, 64)
	n, _ := c.Read(buf)
	return addrPort(c.RemoteAddr()).Addr().String(), string(buf[:n])
}

func TestListener(t *testing.T) {
	rules := Rules{Balancers: networks("127.0.0.2/32"), Allow: networks("127.0.0.0/8", "192.0.2.0/24"), Deny: networks("127.0.0.9/32", "192.0.2.9/32")}
	l, log := listen(t, rules)
	for name, c := range map[string]struct{ from, say, want string }{ // want "": it is refused
		"a client":                       {"127.0.0.1", "hello", "127.0.0.1 hello"},
		"one that says it is a balancer": {"127.0.0.1", "PROXY TCP4 192.0.2.7 192.0.2.8 1 2\r\nhello", "127.0.0.1 PROXY TCP4 192.0.2.7 192.0.2.8 1 2\r\nhello"},
		"one that is denied":             {"127.0.0.9", "hello", ""},
		"balancer":                       {"127.0.0.2", "PROXY TCP4 192.0.2.7 192.0.2.8 1 2\r\nhello", "192.0.2.7 hello"},
		"balancer, version 2":            {"127.0.0.2", v2(versionAndProxy, familyTCP4, tcp4...) + "hello", "192.0.2.7 hello"},
		"balancer, one that is denied":   {"127.0.0.2", "PROXY TCP4 192.0.2.9 192.0.2.8 1 2\r\nhello", ""},
		"balancer, not allowed":          {"127.0.0.2", "PROXY TCP4 198.51.100.1 192.0.2.8 1 2\r\nhello", ""},
		"balancer, unknown":              {"127.0.0.2", "PROXY UNKNOWN\r\nhello", "127.0.0.2 hello"},
		"balancer, its own":              {"127.0.0.2", local + "hello", "127.0.0.2 hello"},
		"balancer without a header":      {"127.0.0.2", "SSH-2.0-OpenSSH_9.2\r\n", ""},
	} {
		conn := dial(t, l, c.from, c.say)
		if c.want == "" {
			refused(t, conn)
			continue
		}
		if from, says := accept(t, l); from+" "+says != c.want {
			t.Errorf("%s: %q from %s, want %q", name, says, from, c.want)
		}
	}
	for _, words := range []string{"from=127.0.0.9 reason=\"its address is denied\"", "from=192.0.2.9", "from=198.51.100.1 reason=\"its address is not among", "is a balancer's (proxy_protocol) and does not begin"} {
		if !strings.Contains(log.String(), words) {
			t.Errorf("the log lacks %q: %s", words, log)
		}
	}
	l.SetRules(Rules{})
	dial(t, l, "127.0.0.9", "hello")
	if from, _ := accept(t, l); from != "127.0.0.9" {
		t.Errorf("from %s after the rules were changed", from)
	}
}

// TestSilentBalancer: one that says nothing holds up nobody else, and nothing of it is left at the end.
func TestSilentBalancer(t *testing.T) {
	l, log := listen(t, Rules{Balancers: networks("127.0.0.2/32")})
	for range 20 {
		dial(t, l, "127.0.0.2", "PROXY TCP4 ")
	}
	gone := dial(t, l, "127.0.0.2", "")
	gone.Close()
	dial(t, l, "127.0.0.1", "hello")
	if from, says := accept(t, l); from != "127.0.0.1" || says != "hello" {
		t.Errorf("%q from %s", says, from)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := l.Accept(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("after the end: %v", err)
	}
	if strings.Contains(log.String(), ": EOF") {
		t.Errorf("a look whether somebody is there is logged: %s", log)
	}
}

// TestRefusalsAreBounded: a flood does not fill the log, which says how much it leaves out.
func TestRefusalsAreBounded(t *testing.T) {
	l, log := listen(t, Rules{Deny: networks("127.0.0.0/8")})
	l.lines.SetLimit(0)
	for range 5 * linesAtOnce {
		refused(t, dial(t, l, "127.0.0.1", ""))
	}
	if n := strings.Count(log.String(), "denied"); n != linesAtOnce {
		t.Errorf("%d lines", n)
	}
	l.lines.SetLimit(1e6)
	refused(t, dial(t, l, "127.0.0.1", ""))
	if !strings.Contains(log.String(), "not_logged=") {
		t.Error("the log does not say that it leaves something out")
	}
}
