package ftpbridge

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"gateway/tests/servers"
)

// portOf reads the port of a PORT or EPRT argument.
func portOf(arg string) string {
	if f := strings.Split(arg, ","); len(f) == 6 {
		hi, _ := strconv.Atoi(f[4])
		lo, _ := strconv.Atoi(f[5])
		return strconv.Itoa(hi<<8 + lo)
	}
	if f := strings.Split(arg, "|"); len(f) == 5 {
		return f[3]
	}
	return ""
}

// activeServer opens data connections from the address from, after what before does.
func activeServer(t *testing.T, from string, more map[string]func(*talk, string)) (*scripted, Source) {
	t.Helper()
	var port string // of the last PORT; one session at a time
	srv := &scripted{handlers: map[string]func(*talk, string){
		"EPSV": func(c *talk, _ string) { c.say("500 active only") },
		"PASV": func(c *talk, _ string) { c.say("500 active only") },
		"PORT": func(c *talk, arg string) { port = portOf(arg); c.say("200 will do") },
		"EPRT": func(c *talk, arg string) { port = portOf(arg); c.say("200 will do") },
		"RETR": func(c *talk, _ string) {
			c.say("150 coming")
			dialer := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}}
			d, err := dialer.Dial("tcp4", "127.0.0.1:"+port)
			if err != nil {
				c.say("425 %v", err)
				return
			}
			io.WriteString(d, "body")
			d.Close()
			c.say("226 done")
		},
	}}
	for verb, h := range more {
		srv.handlers[verb] = h
	}
	srv.start(t)
	src := srv.source(t, "")
	src.Active, src.Timeout = true, patience
	return srv, src
}

func TestActive(t *testing.T) {
	refuse := func(c *talk, _ string) { c.say("502 no") }
	for _, tc := range []struct {
		name  string
		from  string
		more  map[string]func(*talk, string)
		is    []error // nil: works
		words string
		alive bool
	}{
		{"PORT", "127.0.0.1", nil, nil, "", true},
		{"EPRT only", "127.0.0.1", map[string]func(*talk, string){"PORT": refuse}, nil, "", true},
		{"both refused", "127.0.0.1", map[string]func(*talk, string){"PORT": refuse, "EPRT": refuse}, []error{ErrUnsupported}, "passive mode", true},
		{"from elsewhere", "127.0.0.9", nil, []error{ErrUnreachable, io.ErrUnexpectedEOF}, "came from 127.0.0.9", false},
		{"nobody comes", "", map[string]func(*talk, string){"RETR": func(c *talk, _ string) { c.say("150 go"); c.hang() }},
			[]error{ErrUnreachable, io.ErrUnexpectedEOF}, "firewall", false},
		{"425 after 150", "", map[string]func(*talk, string){"RETR": func(c *talk, _ string) { c.say("150 go\r\n425 cannot connect") }},
			[]error{ErrUnreachable, io.ErrUnexpectedEOF}, "425 cannot connect", false},
		{"425", "", map[string]func(*talk, string){"RETR": func(c *talk, _ string) { c.say("425 cannot connect") }}, []error{}, "425 cannot connect", true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			_, src := activeServer(t, tc.from, tc.more)
			s := mustDial(t, src)
			for range 2 {
				got, err := fetchAll(testContext(t), s, "f", 0)
				if tc.is != nil {
					want(t, err, tc.is, tc.words)
				} else if err != nil || got != "body" {
					t.Errorf("%q, %v", got, err)
				}
				if s.Broken() == tc.alive {
					t.Fatalf("broken: %v", s.Broken())
				}
				if !tc.alive {
					break
				}
			}
		})
	}
}

// Somebody else who finds the port first gets nothing, and takes nothing away.
func TestActiveStranger(t *testing.T) {
	var port string
	_, src := activeServer(t, "127.0.0.1", map[string]func(*talk, string){
		"PORT": func(c *talk, arg string) { port = portOf(arg); c.say("200 ok") },
		"RETR": func(c *talk, _ string) {
			stranger := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP("127.0.0.7")}}
			x, err := stranger.Dial("tcp4", "127.0.0.1:"+port)
			if err != nil {
				t.Error(err)
				return
			}
			defer x.Close()
			io.WriteString(x, "poison")
			c.say("150 go")
			d, err := net.Dial("tcp4", "127.0.0.1:"+port)
			if err != nil {
				t.Error(err)
				return
			}
			io.WriteString(d, "body")
			d.Close()
			c.say("226 done")
		},
	})
	s := mustDial(t, src)
	if got, err := fetchAll(testContext(t), s, "f", 0); err != nil || got != "body" {
		t.Errorf("%q, %v", got, err)
	}
}

// The wait for the server ends with the context.
func TestActiveCancel(t *testing.T) {
	_, src := activeServer(t, "", map[string]func(*talk, string){"RETR": func(c *talk, _ string) { c.say("150 go"); c.hang() }})
	src.Timeout = 30 * time.Second
	s := mustDial(t, src)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	_, err := fetchAll(ctx, s, "f", 0)
	want(t, err, []error{context.DeadlineExceeded})
}

// TestRealActiveAndIPv6 moves files both ways over every kind of data connection.
func TestRealActiveAndIPv6(t *testing.T) {
	for _, kind := range servers.All() {
		modes := map[string]servers.TLS{"ftp": servers.NoTLS}
		if kind.TLSModes() != nil {
			modes["ftpes"] = servers.ExplicitTLS
		}
		for scheme, mode := range modes {
			for _, v6 := range []bool{false, true} {
				t.Run(fmt.Sprintf("%s-%s-ipv6=%v", kind, scheme, v6), func(t *testing.T) {
					root := t.TempDir()
					srv := servers.Start(t, kind, servers.Options{Root: root, TLS: mode, IPv6: v6,
						ReuseTLS: mode != servers.NoTLS && (kind == servers.VSFTPD || kind == servers.ProFTPD)})
					for _, active := range []bool{true, false} {
						src := liveSource(t, srv, scheme)
						src.Active = active
						liveDataConnections(t, src, root)
					}
				})
			}
		}
	}
}

func liveDataConnections(t *testing.T, src Source, root string) {
	t.Helper()
	s := mustDial(t, src)
	body := bytes.Repeat([]byte("0123456789"), 50_000)
	for _, size := range []int{len(body), 0, 7} {
		if _, err := s.Store(testContext(t), "f", bytes.NewReader(body[:size]), 0); err != nil {
			t.Errorf("active %v: store %d: %v", src.Active, size, err)
		}
		if got, err := os.ReadFile(filepath.Join(root, "f")); err != nil || !bytes.Equal(got, body[:size]) {
			t.Errorf("active %v: stored %d of %d, %v", src.Active, len(got), size, err)
		}
		if got, err := fetchAll(testContext(t), s, "f", 0); err != nil || got != string(body[:size]) {
			t.Errorf("active %v: fetched %d of %d, %v", src.Active, len(got), size, err)
		}
		if res, err := s.List(testContext(t), ""); err != nil || len(res.Entries) != 1 {
			t.Errorf("active %v: %q, %v", src.Active, names(res), err)
		}
		if _, err := s.Fetch(testContext(t), "missing", 0); err == nil || errors.Is(err, ErrUnreachable) || s.Broken() {
			t.Errorf("active %v: missing: %v", src.Active, err)
		}
	}
}
