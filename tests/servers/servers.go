// Package servers runs real FTP servers, SSH servers and PostgreSQL, and finds real clients, for the tests.
//
// It starts daemons of Debian packages, unpacked under .cache by tests/fetch-debs.sh, on 127.0.0.1
// or ::1 with a free port, and stops them with the test. It makes trees of awkward files to serve and
// puts a byte-counting proxy in front of a server that can stall or cut a transfer.
//
// It promises that nothing is left behind when a test ends: no process, no temporary file. If the
// test process is killed, its daemons go with it. It does not fall back to imitations: a server or
// client that cannot be had fails the test, except that NeedRoot leaves a test out for an ordinary
// user. It is for tests only and imports nothing else of the project.
package servers

import (
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// Kind names an FTP server.
type Kind string

// The servers that can be started. What sets them apart: VSFTPD has no MLSD and writes names as raw
// bytes; PureFTPD has MLSD and answers a NOOP in a transfer with 500; Pyftpdlib has MLSD and one
// process for all sessions; ProFTPD has MLSD, hash commands and doubles 0xFF on the control channel;
// InetUtils and LinuxFTPD double it too, list with /bin/ls and have no MLSD, TLS, jail or log.
const (
	VSFTPD    Kind = "vsftpd"
	PureFTPD  Kind = "pure-ftpd"
	Pyftpdlib Kind = "pyftpdlib"
	ProFTPD   Kind = "proftpd"
	InetUtils Kind = "inetutils-ftpd"
	LinuxFTPD Kind = "linux-ftpd"
)

// All lists every Kind, for suites that run against each.
func All() []Kind { return []Kind{VSFTPD, PureFTPD, Pyftpdlib, ProFTPD, InetUtils, LinuxFTPD} }

// TLSModes lists the ways besides NoTLS in which a server of this kind can be started.
func (k Kind) TLSModes() []TLS {
	switch k {
	case VSFTPD, ProFTPD, Pyftpdlib:
		return []TLS{ExplicitTLS, ImplicitTLS}
	case PureFTPD:
		return []TLS{ExplicitTLS}
	}
	return nil
}

// jailed reports whether clients see the served folder as "/".
func (k Kind) jailed() bool { return k != InetUtils && k != LinuxFTPD }

// TLS says how a server protects its connections.
type TLS uint8

// The ways to use TLS. Where it is used, the server demands it on control and data connections.
const (
	NoTLS       TLS = iota
	ExplicitTLS     // AUTH TLS on the ordinary port, RFC 4217
	ImplicitTLS     // TLS from the first byte; PureFTPD has none
)

// Options of Start; the zero value serves an empty folder without TLS.
type Options struct {
	// Root is the folder to serve, "" for a new empty one. When the tests run as root, it and all
	// in it is given to the user id that the server runs as.
	Root string
	// User and Pass are the one login; "ftptest" and "secret" when empty.
	User, Pass string
	TLS        TLS
	// ReuseTLS demands that data connections resume the control connection's TLS session, as
	// VSFTPD and ProFTPD do by default. The others cannot demand it.
	ReuseTLS bool
	// IPv6 has the server listen on ::1 in place of 127.0.0.1.
	IPv6 bool
	// Extra is added to the server's own configuration: lines of vsftpd.conf or proftpd.conf,
	// flags of pure-ftpd, InetUtils and LinuxFTPD, Python statements about the handler class H for
	// Pyftpdlib.
	Extra []string
	// HideDots has PureFTPD show names with a dot in front only to those who ask for them.
	HideDots bool
	// Env is added to the server's environment, such as "TZ=JST-9".
	Env []string
}

// Server is a running FTP server.
type Server struct {
	Kind Kind
	Addr string // "127.0.0.1:port" or "[::1]:port"
	User string
	Pass string
	Root string // the served folder
	Home string // how clients see it, and where a login begins: "/", or Root where there is no jail
	// RootCAs holds the server's certificate, which names localhost and the address; nil without TLS.
	RootCAs *x509.CertPool
	// CertFile is that certificate in PEM, for clients that want a file; "" without TLS.
	CertFile string
	// Log is the file of the server's own records of transfers, in the server's own format. InetUtils
	// and LinuxFTPD write none.
	Log string

	run  string // folder of configuration and logs
	proc *process
}

// ftpUID is the user and group id that servers drop to when the tests run as root. No account needs
// to exist for it.
const ftpUID = 54321

// launch is what a server's own file makes of Options: the command line and its environment.
type launch struct {
	argv []string
	env  []string
}

// job is one attempt to start a server.
type job struct {
	Options
	t       testing.TB
	port    int
	uid     int    // the id files are served as
	run     string // scratch folder, readable by the server's user
	key     string // PEM files; "" without TLS
	cert    string
	both    string
	logPath string
}

// Start runs a server until the test ends. It waits until the server greets. A server that does not
// come up fails the test at once, with its output; so does an option that the server does not have.
// For an ordinary user, a server that needs root leaves the test out; see NeedRoot.
func Start(t testing.TB, kind Kind, o Options) *Server {
	t.Helper()
	if kind != Pyftpdlib {
		NeedRoot(t)
	}
	Fetch(t, string(kind), "wrappers", "openssl")
	if o.User == "" {
		o.User = "ftptest"
	}
	if o.Pass == "" {
		o.Pass = "secret"
	}
	if o.Root == "" {
		o.Root = t.TempDir()
	}
	j := &job{Options: o, t: t, uid: os.Getuid(), run: scratch(t, string(kind))}
	if j.uid == 0 {
		j.uid = ftpUID
		if err := handOver(o.Root, ftpUID); err != nil {
			t.Fatalf("servers: cannot give %s to user %d: %v", o.Root, ftpUID, err)
		}
	}
	s := &Server{Kind: kind, User: o.User, Pass: o.Pass, Root: o.Root, Home: "/", run: j.run}
	if !kind.jailed() {
		s.Home = o.Root
	}
	if o.TLS != NoTLS {
		s.RootCAs = j.makeCertificate()
		s.CertFile = j.cert
	}
	j.logPath = filepath.Join(j.run, "transfer.log")
	s.Log = j.logPath

	// A free port can be taken between asking for it and listening on it: try a few.
	var err error
	for range 4 {
		if err = s.start(j); err == nil || !errors.Is(err, errEndedEarly) {
			break
		}
	}
	if err != nil {
		t.Fatalf("servers: %s: %v\n%s", kind, err, output(s.run))
	}
	t.Cleanup(func() { s.close(t) })
	return s
}

func (s *Server) start(j *job) error {
	j.port = freePort(j.t, j.host())
	s.Addr = net.JoinHostPort(j.host(), strconv.Itoa(j.port))
	var l launch
	switch s.Kind {
	case VSFTPD:
		l = j.vsftpd()
	case PureFTPD:
		l = j.pureFTPD()
	case Pyftpdlib:
		l = j.pyftpdlib()
	case ProFTPD:
		l = j.proFTPD()
	case InetUtils:
		l = j.inetutilsFTPD()
	case LinuxFTPD:
		l = j.linuxFTPD()
	default:
		j.t.Fatalf("servers: no server %q; known are %q", s.Kind, All())
	}
	l.env = append(l.env, j.Env...)
	p, err := startProcess(l, filepath.Join(j.run, "output.log"))
	if err != nil {
		return err
	}
	if err := p.awaitPort(s.Addr, 20*time.Second); err != nil {
		p.stop()
		return err
	}
	s.proc = p
	return nil
}

// Stop ends the server and all its sessions before the test does, as a crash would. It may be called
// more than once.
func (s *Server) Stop() { s.proc.stop() }

// Host returns the host and port of Addr.
func (s *Server) Host() (host, port string) {
	host, port, _ = net.SplitHostPort(s.Addr)
	return host, port
}

func (s *Server) close(t testing.TB) {
	s.proc.stop()
	stopped(t, string(s.Kind), s.Addr, s.run, s.proc)
}

// stopped tells the test what a program that was stopped wrote, if the test failed, and fails it if processes of
// the program are left. The program's scratch folder is run.
func stopped(t testing.TB, name, addr, run string, p *process) {
	if t.Failed() {
		t.Logf("servers: output and log of %s at %s:\n%s", name, addr, output(run))
	}
	if left := p.leftovers(); len(left) > 0 {
		t.Errorf("servers: %s left processes behind: %v", name, left)
	}
}

// output returns the tail of everything that a program wrote into its scratch folder.
func output(run string) string {
	var b strings.Builder
	for _, name := range []string{"output.log", "transfer.log", "system.log"} {
		data, err := os.ReadFile(filepath.Join(run, name))
		if errors.Is(err, fs.ErrNotExist) || len(data) == 0 {
			continue
		}
		lines := strings.SplitAfter(string(data), "\n")
		if len(lines) > maxDumpLines {
			lines = lines[len(lines)-maxDumpLines:]
		}
		fmt.Fprintf(&b, "--- %s\n%s", name, strings.Join(lines, ""))
	}
	return b.String()
}

// maxDumpLines bounds how much of each log a failed test shows.
const maxDumpLines = 200

// scratch makes a folder that goes with the test and that the server's user can enter, which
// testing.TB.TempDir's cannot.
func scratch(t testing.TB, name string) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "servers-"+name+"-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Errorf("servers: remove scratch folder: %v", err)
		}
	})
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}

// handOver gives the tree to uid and lets it pass through the folders above it, as far as they are
// temporary ones.
func handOver(root string, uid int) error {
	err := filepath.WalkDir(root, func(path string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		return os.Lchown(path, uid, uid)
	})
	if err != nil {
		return err
	}
	tmp := filepath.Clean(os.TempDir())
	for dir := filepath.Dir(root); dir != tmp && strings.HasPrefix(dir, tmp+"/"); dir = filepath.Dir(dir) {
		info, err := os.Stat(dir)
		if err != nil {
			return err
		}
		if err := os.Chmod(dir, info.Mode().Perm()|0o111); err != nil {
			return err
		}
	}
	return nil
}

func freePort(t testing.TB, host string) int {
	t.Helper()
	l, err := net.Listen("tcp", net.JoinHostPort(host, "0"))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

// write puts a configuration file into the scratch folder and returns its path.
func (j *job) write(name, content string, mode fs.FileMode) string {
	j.t.Helper()
	path := filepath.Join(j.run, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		j.t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), mode); err != nil {
		j.t.Fatal(err)
	}
	return path
}

func (j *job) host() string {
	if j.IPv6 {
		return "::1"
	}
	return "127.0.0.1"
}

func (j *job) unsupported(what string) {
	j.t.Helper()
	j.t.Fatalf("servers: this server has no %s", what)
}
