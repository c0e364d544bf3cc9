package tests

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"gateway/tests/servers"
)

// manager is systemd's side of sd_notify(3).
type manager struct {
	t    *testing.T
	conn *net.UnixConn
}

func listenNotify(t *testing.T, name string) *manager {
	t.Helper()
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: name, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return &manager{t, conn}
}

// await reads messages until one has the line, and returns the lines of all.
func (m *manager) await(line string) []string {
	m.t.Helper()
	var all []string
	if err := m.conn.SetReadDeadline(time.Now().Add(30 * time.Second)); err != nil {
		m.t.Fatal(err)
	}
	for {
		message := make([]byte, 4096)
		n, err := m.conn.Read(message)
		if err != nil {
			m.t.Fatalf("no %s: %v; until then %q", line, err, all)
		}
		lines := strings.Split(string(message[:n]), "\n")
		all = append(all, lines...)
		if slices.Contains(lines, line) {
			return all
		}
	}
}

// TestServiceManager: what systemd is told from the start to the end, by sockets with a path and with an
// abstract name; and that the log of a service holds no password.
func TestServiceManager(t *testing.T) {
	for _, name := range []string{filepath.Join(t.TempDir(), "notify"), fmt.Sprintf("@gateway-test-%d", os.Getpid())} {
		t.Run(name[:1], func(t *testing.T) {
			m := listenNotify(t, name)
			l := newLab(t)
			config := filepath.Join(t.TempDir(), "gateway.yaml")
			if err := os.WriteFile(config, []byte("sftp: {listen: '127.0.0.1:0'}\nhttps: {listen: '127.0.0.1:0'}\nadmin: {listen: '127.0.0.1:0'}\n"), 0o600); err != nil {
				t.Fatal(err)
			}
			cmd := l.command("serve", "--config", config)
			cmd.Env = append(cmd.Env, "NOTIFY_SOCKET="+name, "WATCHDOG_USEC=900000")
			var out, log bytes.Buffer
			cmd.Stdout, cmd.Stderr = &out, &log
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			exited := make(chan error, 1)
			go func() { exited <- cmd.Wait() }()
			t.Cleanup(func() { _ = cmd.Process.Kill() })

			said := m.await("READY=1")
			if !strings.HasPrefix(said[0], "STATUS=Serving SFTP on 127.0.0.1:") {
				t.Errorf("at the start it said %q", said)
			}
			for range 4 { // more than any start alone would say
				m.await("WATCHDOG=1")
			}
			if err := cmd.Process.Signal(syscall.SIGHUP); err != nil {
				t.Fatal(err)
			}
			said = m.await("RELOADING=1")
			m.await("READY=1")
			if !slices.ContainsFunc(said, func(l string) bool { return strings.HasPrefix(l, "MONOTONIC_USEC=") }) {
				t.Errorf("at the reload it said %q", said)
			}
			if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
				t.Fatal(err)
			}
			if said = m.await("STOPPING=1"); !slices.Contains(said, "EXTEND_TIMEOUT_USEC=45000000") {
				t.Errorf("at the stop it said %q", said)
			}
			select {
			case err := <-exited:
				if err != nil {
					t.Errorf("%v\n%s", err, &log)
				}
			case <-time.After(commandTime):
				t.Fatalf("it does not end\n%s", &log)
			}
			if strings.Contains(out.String(), "password") || !strings.Contains(out.String(), "gateway user add NAME") {
				t.Errorf("it prints %s", &out)
			}
			if users, err := os.ReadDir(filepath.Join(l.data, "users")); len(users) > 0 {
				t.Errorf("it made users %v (%v)", users, err)
			}
		})
	}
}

// TestServiceManagerGone: a socket that is not there, and one that is none, end the start with what to do.
func TestServiceManagerGone(t *testing.T) {
	for env, want := range map[string]string{
		"NOTIFY_SOCKET=" + filepath.Join(t.TempDir(), "none"): "is the service manager still there?",
		"NOTIFY_SOCKET=relative":                              "neither an absolute path nor an abstract name",
	} {
		l := newLab(t)
		l.env = []string{env}
		if r := l.run("serve"); r.code != 1 || !strings.Contains(r.stderr, want) {
			t.Errorf("%s: %d, %s", env, r.code, r.stderr)
		}
	}
}

// TestRootBecomesOwner: what root makes in the data folder of a service, the service can read; also where, as with
// DynamicUser=, only root can look for the folder.
func TestRootBecomesOwner(t *testing.T) {
	servers.NeedRoot(t)
	const service = 61234
	l := newLab(t)
	hidden := filepath.Dir(l.data)
	if err := os.Mkdir(l.data, 0o700); err != nil {
		t.Fatal(err)
	}
	for path, owner := range map[string]int{l.data: service, hidden: 0} {
		if err := os.Chown(path, owner, owner); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(path, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	add := l.command("user", "add", "anna")
	add.Stdin = strings.NewReader("correct horse battery\n") // the streams are kept
	if r := finish(t, add); r.code != 0 || r.out != "user anna added\n" {
		t.Fatalf("%d %s%s", r.code, r.out, r.stderr)
	}
	l.must("jobs") // opens the database
	err := filepath.WalkDir(l.data, func(path string, _ os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := os.Stat(path)
		if err == nil && info.Sys().(*syscall.Stat_t).Uid != service {
			t.Errorf("%s belongs to the user with id %d", path, info.Sys().(*syscall.Stat_t).Uid)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
	// It has given up the rest of root's power: where only root may write, it does not.
	closed := t.TempDir()
	if err := os.Chmod(closed, 0o755); err != nil {
		t.Fatal(err)
	}
	statement := filepath.Join(closed, "report")
	if r := l.run("migrate", "--report", statement, "ftp://127.0.0.1:1/", "x"); r.code != 1 || !strings.Contains(r.stderr, "permission denied") {
		t.Errorf("it writes where the service may not: %d %s", r.code, r.stderr)
	}
	if r := l.run("user", "add", "anna", "--generate"); r.code != 1 {
		t.Errorf("the exit status is not passed on: %d", r.code)
	}
	// Without the power to become the owner it says so and makes nothing.
	if tool, err := exec.LookPath("setpriv"); err == nil {
		cmd := l.command("user", "add", "ben", "--generate")
		cmd.Args = append([]string{"setpriv", "--bounding-set", "-setuid,-setgid", "--inh-caps", "-setuid,-setgid", "--"}, append([]string{cmd.Path}, cmd.Args[1:]...)...)
		cmd.Path = tool
		if r := finish(t, cmd); r.code != 1 || !strings.Contains(r.stderr, "run the command as that user") {
			t.Errorf("%d %s%s", r.code, r.out, r.stderr)
		}
	}
}
