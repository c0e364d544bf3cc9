package sftpsrv

import (
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"gateway/auth"
)

func TestAdmission(t *testing.T) {
	a := &admission{maxAll: 10, maxUnknown: 8, maxPerAddress: 3, from: make(map[netip.Prefix]*arrivals)}
	address := func(i int) netip.Addr { return netip.AddrFrom4([4]byte{192, 0, 2, byte(i)}) }
	var places []*ticket
	enter := func(i int) bool {
		p, reason := a.enter(address(i))
		if (p == nil) == (reason == "") {
			t.Fatalf("ticket %v with reason %q", p, reason)
		}
		if p != nil {
			places = append(places, p)
		}
		return p != nil
	}
	for i := range 5 { // one more than half may always come
		if !enter(1 + i) {
			t.Fatalf("connection %d was refused", i)
		}
	}
	places[0].loggedIn()
	if !enter(1) {
		t.Error("a second connection of an address was refused")
	}
	if counts := a.from[auth.Network(address(2))]; counts.unknown != 1 {
		t.Errorf("counted %+v", counts)
	}
	crowded := &admission{maxAll: 100, maxUnknown: 8, maxPerAddress: 100, from: make(map[netip.Prefix]*arrivals)}
	for i := range 3 {
		if p, _ := crowded.enter(address(1)); (p != nil) != (i < 2) {
			t.Errorf("a quarter for one address is not kept at connection %d", i+1)
		}
	}
	for _, p := range places {
		if !p.known {
			p.loggedIn()
		}
	}
	for i := range 20 {
		if enter(10 + i) {
			places[len(places)-1].loggedIn()
		}
	}
	if a.all != 10 {
		t.Errorf("%d connections, want 10", a.all)
	}
	for _, p := range places {
		p.leave()
	}
	if a.all != 0 || a.unknown != 0 || len(a.from) != 0 {
		t.Errorf("left over: %d, %d, %v", a.all, a.unknown, a.from)
	}
	if auth.Network(netip.MustParseAddr("2001:db8::1")) != auth.Network(netip.MustParseAddr("2001:db8::2:3")) {
		t.Error("addresses of one /64 count apart")
	}
}

// connectFrom connects from one of the addresses of the loopback network.
func (f *fixture) connectFrom(t *testing.T, last int) net.Conn {
	t.Helper()
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, byte(last))}, Timeout: 10 * time.Second}
	conn, err := d.Dial("tcp", f.addr)
	mustDo(t, err)
	t.Cleanup(func() { conn.Close() })
	return conn
}

// admitted reports whether the server says who it is, or closes the connection.
func admitted(t *testing.T, conn net.Conn) bool {
	t.Helper()
	mustDo(t, conn.SetReadDeadline(time.Now().Add(20*time.Second)))
	_, err := io.ReadFull(conn, make([]byte, len(serverVersion)))
	if errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatal("the server neither takes nor refuses the connection")
	}
	return err == nil
}

// Connections that do not log in are bounded, in all and of one address, and dropped early.
func TestUnauthenticatedConnections(t *testing.T) {
	const most = 12
	f := serve(t, func(c *Config) { c.MaxUnauthenticated = most })
	for i := range 4 {
		if got, want := admitted(t, f.connectFrom(t, 2)), i < most/4; got != want {
			t.Errorf("connection %d of one address: admitted %v", i+1, got)
		}
	}
	taken, refused := most/4, 0
	for i := range 60 {
		if admitted(t, f.connectFrom(t, 3+i)) {
			taken++
		} else {
			refused++
			if taken <= most/2 {
				t.Errorf("refused with %d connections", taken)
			}
		}
	}
	if taken > most || f.connections() > most || refused == 0 {
		t.Errorf("%d were taken, %d refused, %d are open", taken, refused, f.connections())
	}
	if !strings.Contains(f.log.String(), "too many connections that have not logged in") {
		t.Error("the reason is not logged")
	}
}

// Who has logged in does not count among them, but among the connections of the address.
func TestConnectionsOfOneAddress(t *testing.T) {
	f := serve(t, func(c *Config) { c.MaxPerAddress, c.MaxConnections = 3, 4 })
	for i := range 3 {
		if _, err := f.dialKept(t); err != nil {
			t.Errorf("login %d: %v", i+1, err)
		}
	}
	if admitted(t, f.connectFrom(t, 1)) {
		t.Error("a fourth connection of one address")
	}
	if !admitted(t, f.connectFrom(t, 2)) {
		t.Error("the first connection of another address is refused")
	}
	if admitted(t, f.connectFrom(t, 3)) {
		t.Error("more connections than the server takes")
	}
}

// dialKept logs in until the end of the test.
func (f *fixture) dialKept(t *testing.T) (*ssh.Client, error) {
	t.Helper()
	c, err := f.dial(testUser)
	if err == nil {
		t.Cleanup(func() { c.Close() })
	}
	return c, err
}

// A client that stops answering is found, one that does nothing but answer is kept.
func TestKeepAlive(t *testing.T) {
	f := serve(t, func(c *Config) { c.KeepAlive = 200 * time.Millisecond })
	kept := f.mustDial()
	raw, err := net.Dial("tcp", f.addr)
	mustDo(t, err)
	defer raw.Close()
	conn, _, requests, err := ssh.NewClientConn(raw, f.addr, f.clientConfig(testUser))
	mustDo(t, err)
	f.eventually("the end of the connection that does not answer", func() bool { return f.connections() == 1 })
	if !strings.Contains(f.log.String(), "the client does not answer") {
		t.Error("the reason is not logged")
	}
	go ssh.DiscardRequests(requests)
	_ = conn.Wait()
	if _, err := kept.NewSession(); err != nil {
		t.Errorf("the connection that answers: %v", err)
	}
}

// The banner is shown by OpenSSH before the login.
func TestRealBanner(t *testing.T) {
	f := serve(t, func(c *Config) { c.Banner = "Only for members.\nEverything is logged.\n" })
	o := newOpenSSH(t, f)
	if r := o.ssh(t, "--", "pwd"); r.code != 0 || !strings.Contains(r.stderr, "Only for members.") || !strings.Contains(r.stderr, "Everything is logged.") {
		t.Errorf("%d %q", r.code, r.stderr)
	}
}
