package servers

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// nobody is the user that PostgreSQL runs as when the tests run as root, whom it refuses. It asks
// for the user's name, so the account must exist; this one does everywhere.
const nobody = 65534

// postgresStop is how long a server may take to end when it is told to.
const postgresStop = 15 * time.Second

// Postgres is a PostgreSQL server with a superuser "gateway" and an empty database "postgres". It
// survives the death of its processes and does not sync, so it would not survive the loss of power.
type Postgres struct {
	Addr string // "127.0.0.1:port"
	User string
	Pass string

	t    testing.TB
	port int
	run  string // scratch folder
	proc *process
}

// StartPostgres runs PostgreSQL 15 until the test ends. Root is not needed. extra are settings such
// as "max_connections=20".
func StartPostgres(t testing.TB, extra ...string) *Postgres {
	t.Helper()
	Fetch(t, "postgresql")
	s := &Postgres{User: "gateway", Pass: "secret", t: t, run: scratch(t, "postgres")}
	s.initialize()
	conf := append([]string{
		"listen_addresses=127.0.0.1", "unix_socket_directories=", "fsync=off", "max_connections=200",
		"shared_buffers=32MB", "log_timezone=GMT", "timezone=GMT", "jit=off",
	}, extra...)
	if err := os.WriteFile(filepath.Join(s.run, "settings"), []byte(strings.Join(conf, "\n")), 0o644); err != nil {
		t.Fatal(err)
	}
	// A free port can be taken between asking for it and listening on it: try a few.
	var err error
	for range 4 {
		s.port = freePort(t, "127.0.0.1")
		if err = s.start(); err == nil || !errors.Is(err, errEndedEarly) {
			break
		}
	}
	if err != nil {
		t.Fatalf("servers: postgres: %v\n%s", err, output(s.run))
	}
	t.Cleanup(s.close)
	return s
}

// URL is the connection string of a database, with the password; "" means "postgres".
func (s *Postgres) URL(database string) string {
	if database == "" {
		database = "postgres"
	}
	u := url.URL{Scheme: "postgres", User: url.UserPassword(s.User, s.Pass), Host: s.Addr, Path: database, RawQuery: "sslmode=disable"}
	return u.String()
}

// Stop ends the server as its operator would: sessions are cut, what was committed is written.
func (s *Postgres) Stop() { s.end(syscall.SIGINT) }

// Crash ends the server as if it had been killed, without a word to its clients.
func (s *Postgres) Crash() { s.end(syscall.SIGQUIT) }

// Start runs the server again, at its old address and with its old data.
func (s *Postgres) Start() {
	s.t.Helper()
	if err := s.start(); err != nil {
		s.t.Fatalf("servers: postgres: %v\n%s", err, output(s.run))
	}
}

// Freeze stops the server's processes where they are: to its clients it looks like a network that
// loses every packet. The returned function lets them go on.
func (s *Postgres) Freeze() (thaw func()) {
	s.t.Helper()
	members := s.proc.members()
	members = append(members, childrenOf(s.postmaster())...)
	signal := func(sig syscall.Signal) {
		for _, p := range members {
			if p.name == "postgres" {
				_ = syscall.Kill(p.pid, sig) // one that is gone already does not answer either
			}
		}
	}
	signal(syscall.SIGSTOP)
	return func() { signal(syscall.SIGCONT) }
}

func childrenOf(pid int) (list []procStat) {
	for _, p := range processes() {
		if pid != 0 && (p.parent == pid || p.pid == pid) {
			list = append(list, p)
		}
	}
	return list
}

func (s *Postgres) data() string { return filepath.Join(s.run, "data") }

// as is the front of a command line that gives up root.
func (s *Postgres) as() []string {
	if os.Getuid() != 0 {
		return nil
	}
	id := strconv.Itoa(nobody)
	return []string{"setpriv", "--reuid=" + id, "--regid=" + id, "--clear-groups"}
}

func (s *Postgres) program(name string) string {
	return debs(s.t, "postgresql/usr/lib/postgresql/15/bin/"+name)
}

// initialize makes the folder of the data.
func (s *Postgres) initialize() {
	s.t.Helper()
	password := filepath.Join(s.run, "password")
	if err := os.WriteFile(password, []byte(s.Pass+"\n"), 0o644); err != nil {
		s.t.Fatal(err)
	}
	if os.Getuid() == 0 {
		if err := os.Chown(s.run, nobody, nobody); err != nil {
			s.t.Fatal(err)
		}
	}
	argv := append(s.as(), s.program("initdb"), "--pgdata="+s.data(), "--username="+s.User, "--pwfile="+password,
		"--auth=scram-sha-256", "--encoding=UTF8", "--locale=C", "--no-sync")
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Dir = s.run
	cmd.Env = append(os.Environ(), libraries(s.t, "postgresql"), "TZ=GMT")
	if out, err := cmd.CombinedOutput(); err != nil {
		s.t.Fatalf("servers: initdb: %v\n%s", err, out)
	}
}

func (s *Postgres) start() error {
	s.Addr = net.JoinHostPort("127.0.0.1", strconv.Itoa(s.port))
	settings, err := os.ReadFile(filepath.Join(s.run, "settings"))
	if err != nil {
		return err
	}
	argv := append(s.as(), s.program("postgres"), "-D", s.data(), "-p", strconv.Itoa(s.port))
	for line := range strings.SplitSeq(string(settings), "\n") {
		argv = append(argv, "-c", line)
	}
	if s.proc, err = startProcess(launch{argv: argv, env: []string{libraries(s.t, "postgresql"), "TZ=GMT"}}, filepath.Join(s.run, "output.log")); err != nil {
		return err
	}
	if err := s.proc.awaitPort(s.Addr, 20*time.Second); err != nil {
		s.proc.stop()
		return err
	}
	return s.awaitReady(20 * time.Second)
}

// awaitReady waits until the server takes sessions: it listens before, while it recovers.
func (s *Postgres) awaitReady(limit time.Duration) error {
	for deadline := time.Now().Add(limit); ; time.Sleep(20 * time.Millisecond) {
		data, err := os.ReadFile(filepath.Join(s.data(), "postmaster.pid"))
		lines := strings.Split(string(data), "\n")
		if err == nil && len(lines) > 7 && strings.TrimSpace(lines[7]) == "ready" {
			return nil
		}
		if time.Now().After(deadline) {
			s.proc.stop()
			return fmt.Errorf("not ready after %v", limit)
		}
	}
}

// postmaster is the process that starts all others, 0 if there is none.
func (s *Postgres) postmaster() int {
	data, err := os.ReadFile(filepath.Join(s.data(), "postmaster.pid"))
	if err != nil {
		return 0
	}
	first, _, _ := strings.Cut(string(data), "\n")
	pid, _ := strconv.Atoi(first)
	return pid
}

func (s *Postgres) end(sig syscall.Signal) {
	if pid := s.postmaster(); pid != 0 {
		_ = syscall.Kill(pid, syscall.SIGCONT)
		_ = syscall.Kill(pid, sig)
		select {
		case <-s.proc.ended:
		case <-time.After(postgresStop):
		}
	}
	s.proc.stop()
}

func (s *Postgres) close() {
	s.Stop()
	stopped(s.t, "postgres", s.Addr, s.run, s.proc)
}
