package frontbench

import (
	"bufio"
	"bytes"
	"fmt"
	"log"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"github.com/pkg/sftp"
	"golang.org/x/crypto/ssh"
	"golang.org/x/net/webdav"

	"gateway/tests/servers"
)

const (
	user     = "anna"
	password = "correct horse battery"
)

// startPeers starts the servers of a kind, "sftp" or "web", each with a folder of its own with the files to read.
func startPeers(t *testing.T, kind string, s sizes) []*peer {
	t.Helper()
	root := func(name string) string {
		dir := filepath.Join(servers.WorkDir(t, ""), name)
		s.fill(t, dir)
		return dir
	}
	key := filepath.Join(t.TempDir(), "id")
	if out, err := exec.Command(servers.Tool(t, "ssh-keygen"), "-q", "-t", "ed25519", "-N", "", "-f", key).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	ours := startGateway(t, key, root)
	if kind == "sftp" {
		openssh := servers.StartSSHD(t, servers.SSHDOptions{Root: root("openssh"), Extra: []string{"LogLevel QUIET"}})
		return []*peer{
			ours,
			{name: "OpenSSH", root: openssh.Root, pid: openssh.PID(), addr: openssh.Addr, user: openssh.User, keyFile: openssh.KeyFile},
			startSelf(t, "pkg/sftp", root("pkgsftp"), key),
		}
	}
	peers := []*peer{ours}
	for _, kind := range []servers.WebKind{servers.Nginx, servers.Apache} {
		w := servers.StartWeb(t, kind, root(string(kind)))
		peers = append(peers, &peer{name: string(kind), root: w.Root, pid: w.PID(), url: "https://" + w.Addr + "/"})
	}
	return append(peers, startSelf(t, "x/net/webdav", root("xnet"), ""))
}

// startGateway serves a data folder with one user.
func startGateway(t *testing.T, key string, root func(string) string) *peer {
	t.Helper()
	path := *binary
	if path == "" {
		path = filepath.Join(t.TempDir(), "gateway")
		if out, err := exec.Command("go", "build", "-o", path, "gateway/cmd/gateway").CombinedOutput(); err != nil {
			t.Fatalf("go build: %v\n%s", err, out)
		}
	}
	files := root("gateway")
	data := filepath.Join(filepath.Dir(files), "data")
	config := filepath.Join(t.TempDir(), "gateway.yaml")
	text := fmt.Sprintf("sftp:\n  listen: 127.0.0.1:0\nadmin: {off: true}\nhttps:\n  listen: 127.0.0.1:0\nstorages:\n  default:\n    path: %s\n", files)
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	add := exec.Command(path, "--config", config, "--data", data, "user", "add", user, "--folder", "", "--key", key+".pub")
	add.Stdin = strings.NewReader(password + "\n")
	if out, err := add.CombinedOutput(); err != nil {
		t.Fatalf("user add: %v\n%s", err, out)
	}
	p := &peer{name: "gateway", ours: true, root: files, user: user, password: password, keyFile: key}
	said := start(t, p, exec.Command(path, "--config", config, "--data", data, "serve"), "Stop with")
	p.addr = found(t, said, `SFTP +(\S+)`)
	p.url = found(t, said, `HTTPS +(https://\S+/)`)
	return p
}

func found(t *testing.T, said, pattern string) string {
	t.Helper()
	m := regexp.MustCompile(pattern).FindStringSubmatch(said)
	if m == nil {
		t.Fatalf("it did not say where it listens:\n%s", said)
	}
	return m[1]
}

// start runs a server of ours until the test ends and gives what it said up to a line that begins with last.
func start(t *testing.T, p *peer, cmd *exec.Cmd, last string) string {
	t.Helper()
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		if err := cmd.Wait(); err != nil && p.ours {
			t.Errorf("%s: %v\n%s", p.name, err, stderr.String())
		}
	})
	p.pid = cmd.Process.Pid
	var said strings.Builder
	for sc := bufio.NewScanner(out); sc.Scan(); {
		said.WriteString(sc.Text() + "\n")
		if strings.HasPrefix(sc.Text(), last) {
			return said.String()
		}
	}
	t.Fatalf("%s ended early\n%s", p.name, stderr.String())
	return ""
}

const (
	serveEnv = "FRONTBENCH_SERVE"
	rootEnv  = "FRONTBENCH_ROOT"
	keyEnv   = "FRONTBENCH_KEY"
)

// startSelf runs a library as a server in a process of its own, so that its CPU time can be told.
func startSelf(t *testing.T, name, root, key string) *peer {
	t.Helper()
	p := &peer{name: name, root: root, user: user, keyFile: key}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self)
	cmd.Env = append(os.Environ(), serveEnv+"="+name, rootEnv+"="+root, keyEnv+"="+key)
	p.addr = found(t, start(t, p, cmd, "listens"), `listens (\S+)`)
	p.url = "https://" + p.addr + "/"
	return p
}

// servePeer is the other side of startSelf. It reports whether that is what this process is for.
func servePeer() bool {
	root := os.Getenv(rootEnv)
	var serve func(net.Listener) error
	switch os.Getenv(serveEnv) {
	case "pkg/sftp":
		config := sshConfig()
		serve = func(l net.Listener) error {
			for {
				c, err := l.Accept()
				if err != nil {
					return err
				}
				go servePkgSFTP(c, config, root)
			}
		}
	case "x/net/webdav":
		h := &webdav.Handler{FileSystem: webdav.Dir(root), LockSystem: webdav.NewMemLS()}
		cert, key := selfSigned(root)
		serve = func(l net.Listener) error { return http.ServeTLS(l, h, cert, key) }
	default:
		return false
	}
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("listens", l.Addr())
	log.Fatal(serve(l))
	return true
}

func sshConfig() *ssh.ServerConfig {
	config := &ssh.ServerConfig{PublicKeyCallback: func(ssh.ConnMetadata, ssh.PublicKey) (*ssh.Permissions, error) { return nil, nil }}
	raw, err := os.ReadFile(os.Getenv(keyEnv))
	if err != nil {
		log.Fatal(err)
	}
	signer, err := ssh.ParsePrivateKey(raw)
	if err != nil {
		log.Fatal(err)
	}
	config.AddHostKey(signer)
	return config
}

func servePkgSFTP(c net.Conn, config *ssh.ServerConfig, root string) {
	defer c.Close()
	_, channels, requests, err := ssh.NewServerConn(c, config)
	if err != nil {
		return
	}
	go ssh.DiscardRequests(requests)
	for offered := range channels {
		channel, asked, err := offered.Accept()
		if err != nil {
			return
		}
		go func() {
			for r := range asked {
				_ = r.Reply(r.Type == "subsystem", nil)
			}
		}()
		server, err := sftp.NewServer(channel, sftp.WithAllocator(), sftp.WithServerWorkingDirectory(root))
		if err != nil {
			return
		}
		_ = server.Serve()
		channel.Close()
	}
}
