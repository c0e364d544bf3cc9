package servers

import (
	"context"
	"crypto/tls"
	"encoding/binary"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"golang.org/x/net/dns/dnsmessage"
)

// Pebble is an authority that speaks ACME (RFC 8555), Let's Encrypt's own for tests. Its version is pinned in tests/pebble.
type Pebble struct {
	Directory string // URL
	CAFile    string // the directory's own certificate, in PEM

	t          testing.TB
	management string
	client     *http.Client
}

// StartPebble runs it until the test ends. It believes that every host name is 127.0.0.1, and asks there at the two ports,
// of HTTP and of HTTPS.
func StartPebble(t testing.TB, httpPort, httpsPort int) *Pebble {
	t.Helper()
	program := nested{"pebble", "github.com/letsencrypt/pebble/v2", "github.com/letsencrypt/pebble/v2/cmd/pebble"}.program(t, "pebble")
	j := &job{t: t, run: scratch(t, "pebble")}
	pool := j.makeCertificate()
	at := func() string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(FreePort(t))) }
	directory, management := at(), at()
	config, err := json.Marshal(map[string]any{"pebble": map[string]any{
		"listenAddress": directory, "managementListenAddress": management, "certificate": j.cert, "privateKey": j.key,
		"httpPort": httpPort, "tlsPort": httpsPort, "retryAfter": map[string]int{"authz": 1, "order": 1},
		"profiles": map[string]any{"default": map[string]any{"description": "for tests", "validityPeriod": 7776000}},
	}})
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(j.run, "pebble.json")
	if err := os.WriteFile(file, config, 0o600); err != nil {
		t.Fatal(err)
	}
	startProgram(t, j.run, directory, launch{
		argv: []string{program, "-config", file, "-strict", "-dnsserver", startDNS(t)},
		env:  []string{"PEBBLE_VA_NOSLEEP=1", "PEBBLE_WFE_NONCEREJECT=20"},
	})
	return &Pebble{
		Directory: "https://" + directory + "/dir", CAFile: j.cert, t: t, management: "https://" + management,
		client: &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{DisableKeepAlives: true, TLSClientConfig: &tls.Config{RootCAs: pool}}},
	}
}

// Root is the authority at the end of the chains that it signs, in PEM. It is made anew at each start.
func (p *Pebble) Root() []byte {
	p.t.Helper()
	r, err := p.client.Get(p.management + "/roots/0")
	if err != nil {
		p.t.Fatal(err)
	}
	defer r.Body.Close()
	data, err := io.ReadAll(r.Body)
	if err != nil || r.StatusCode != http.StatusOK {
		p.t.Fatalf("servers: pebble: %s (%v)", r.Status, err)
	}
	return data
}

// startDNS answers over TCP, as Pebble asks, that every name has the address 127.0.0.1 and nothing else, until the test ends.
func startDNS(t testing.TB) string {
	t.Helper()
	l, err := new(net.ListenConfig).Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go serveDNS(conn)
		}
	}()
	return l.Addr().String()
}

// serveDNS answers the questions of one connection (RFC 1035 section 4.2.2).
func serveDNS(conn net.Conn) {
	defer conn.Close()
	for {
		_ = conn.SetDeadline(time.Now().Add(10 * time.Second))
		var length [2]byte
		if _, err := io.ReadFull(conn, length[:]); err != nil {
			return
		}
		question := make([]byte, binary.BigEndian.Uint16(length[:]))
		if _, err := io.ReadFull(conn, question); err != nil {
			return
		}
		answer := answerDNS(question)
		if _, err := conn.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(answer))), answer...)); err != nil {
			return
		}
	}
}

// answerDNS is nil for what is no question.
func answerDNS(question []byte) []byte {
	var m dnsmessage.Message
	if m.Unpack(question) != nil || len(m.Questions) != 1 {
		return nil
	}
	m.Response, m.Authoritative, m.Additionals = true, true, nil
	if q := m.Questions[0]; q.Type == dnsmessage.TypeA {
		m.Answers = []dnsmessage.Resource{{
			Header: dnsmessage.ResourceHeader{Name: q.Name, Type: q.Type, Class: q.Class, TTL: 1},
			Body:   &dnsmessage.AResource{A: [4]byte{127, 0, 0, 1}},
		}}
	}
	answer, err := m.Pack()
	if err != nil {
		return nil
	}
	return answer
}
