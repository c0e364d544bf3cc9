package servers

import (
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"
)

// programStart is how long a program may take until it listens.
const programStart = 30 * time.Second

// FreePort is a port of 127.0.0.1 that nothing listens on, for a program that listens on it some time later. It
// is below those that the kernel gives out by itself (ip_local_port_range), so that nobody gets it meanwhile.
func FreePort(t testing.TB) int {
	t.Helper()
	for range 100 {
		port := 10_000 + rand.IntN(20_000)
		l, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
		if err == nil {
			l.Close()
			return port
		}
	}
	t.Fatal("servers: no free port between 10000 and 30000")
	return 0
}

// StartHAProxy runs HAProxy with a configuration, which listens on addr, until the test ends.
func StartHAProxy(t testing.TB, config, addr string) {
	t.Helper()
	Fetch(t, "haproxy")
	run := scratch(t, "haproxy")
	file := filepath.Join(run, "haproxy.cfg")
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	startProgram(t, run, addr, launch{
		argv: []string{debs(t, "haproxy/usr/sbin/haproxy"), "-db", "-f", file}, env: []string{libraries(t, "haproxy")},
	})
}

// StartVersityGW runs a shell script that ends in versitygw, which listens on addr, until the test ends.
func StartVersityGW(t testing.TB, script, addr string) {
	t.Helper()
	program := buildS3(t, VersityGW)
	run := scratch(t, "versitygw")
	file := filepath.Join(run, "s3.sh")
	if err := os.WriteFile(file, []byte(script), 0o600); err != nil {
		t.Fatal(err)
	}
	startProgram(t, run, addr, launch{
		argv: []string{"/bin/sh", file}, env: []string{"PATH=" + filepath.Dir(program) + ":" + os.Getenv("PATH")},
	})
}

// startProgram runs a daemon until the test ends and waits until it listens.
func startProgram(t testing.TB, run, addr string, l launch) {
	t.Helper()
	p, err := startProcess(l, filepath.Join(run, "output.log"))
	if err != nil {
		t.Fatal(err)
	}
	name := filepath.Base(l.argv[0])
	t.Cleanup(func() {
		p.stop()
		stopped(t, name, addr, run, p)
	})
	if err := p.awaitPort(addr, programStart); err != nil {
		t.Fatalf("servers: %s: %v", name, err)
	}
}
