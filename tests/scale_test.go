package tests

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pkg/sftp"
	"golang.org/x/crypto/ssh"

	"gateway/tests/servers"
)

// These benchmarks are what docs/scaling.md is measured with: "make bench-scale". Memory is that of the whole
// process of the gateway, as the kernel counts it.

// scaleLab is a gateway for the benchmarks, on a disk or in a bucket, for which there may be more settings.
func scaleLab(b *testing.B, store *servers.S3, more ...string) *serving {
	b.Helper()
	l := newLab(b)
	front := "sftp:\n  listen: 127.0.0.1:0\n  connections: 20000\n  connections_per_address: 20000\n" +
		"admin: {listen: '127.0.0.1:0'}\nhttps:\n  listen: 127.0.0.1:0\n  connections: 20000\n  connections_per_address: 20000\n"
	if store != nil {
		secret := filepath.Join(b.TempDir(), "secret")
		if err := os.WriteFile(secret, []byte(store.SecretKey), 0o600); err != nil {
			b.Fatal(err)
		}
		l.env = []string{"TEST_ACCESS_KEY=" + store.AccessKey}
		front += fmt.Sprintf("storages:\n  default:\n    s3:\n      endpoint: https://%s\n      bucket: %s\n      access_key_env: TEST_ACCESS_KEY\n      secret_key_file: %s\n      ca_file: %s\n",
			store.Addr, store.Bucket(false), secret, store.CertFile)
		for _, line := range more {
			front += "      " + line + "\n"
		}
	}
	config := filepath.Join(b.TempDir(), "gateway.yaml")
	if err := os.WriteFile(config, []byte(front), 0o600); err != nil {
		b.Fatal(err)
	}
	s := &serving{lab: l, user: "anna", password: "correct horse battery", keyFile: filepath.Join(b.TempDir(), "id")}
	client(b, "ssh-keygen", "", "-q", "-t", "ed25519", "-N", "", "-f", s.keyFile)
	add := l.command("--config", config, "user", "add", s.user, "--folder", "", "--key", s.keyFile+".pub")
	add.Stdin = strings.NewReader(s.password + "\n")
	if r := finish(b, add); r.code != 0 {
		b.Fatalf("user add: %s", r.stderr)
	}
	s.start(config)
	return s
}

// memory is what a line of /proc/PID/status says of the gateway, in bytes: VmRSS now, VmHWM the most so far.
func (s *serving) memory(line string) float64 {
	s.t.Helper()
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", s.cmd.Process.Pid))
	if err != nil {
		s.t.Fatal(err)
	}
	m := regexp.MustCompile(line + `:\s+(\d+) kB`).FindSubmatch(data)
	if m == nil {
		s.t.Fatalf("no %s", line)
	}
	n, err := strconv.Atoi(string(m[1]))
	if err != nil {
		s.t.Fatal(err)
	}
	return float64(n) * 1024
}

// resetPeak begins VmHWM anew, proc(5).
func (s *serving) resetPeak() {
	s.t.Helper()
	if err := os.WriteFile(fmt.Sprintf("/proc/%d/clear_refs", s.cmd.Process.Pid), []byte("5"), 0); err != nil {
		s.t.Fatal(err)
	}
}

// descriptors is how many files and connections the gateway has open.
func (s *serving) descriptors() float64 {
	s.t.Helper()
	all, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", s.cmd.Process.Pid))
	if err != nil {
		s.t.Fatal(err)
	}
	return float64(len(all))
}

// idle opens b.N connections, eight at a time, and reports what one costs the gateway: beyond the first
// fifth of them, which bring with them what there is once.
func idle(b *testing.B, s *serving, open func() (io.Closer, error)) {
	b.Helper()
	var conns sync.Map
	openTo := func(from, to int) {
		var wg sync.WaitGroup
		for w := range 8 {
			wg.Go(func() {
				for i := from + w; i < to; i += 8 {
					c, err := open()
					if err != nil {
						b.Error(err)
						return
					}
					conns.Store(i, c)
				}
			})
		}
		wg.Wait()
		time.Sleep(2 * time.Second) // for what the last login left
	}
	first := max(b.N/5, 1)
	openTo(0, first)
	before, files, began := s.memory("VmRSS"), s.descriptors(), time.Now()
	openTo(first, b.N)
	n := float64(max(b.N-first, 1))
	b.ReportMetric(n/(time.Since(began)-2*time.Second).Seconds(), "logins/s")
	b.ReportMetric((s.memory("VmRSS")-before)/n/1024, "KiB/conn")
	b.ReportMetric((s.descriptors()-files)/n, "fds/conn")
	conns.Range(func(_, c any) bool {
		_ = c.(io.Closer).Close()
		return true
	})
}

// BenchmarkScaleIdleSFTP: b.N sessions that are logged in, have listed a folder, and do nothing.
func BenchmarkScaleIdleSFTP(b *testing.B) {
	s := scaleLab(b, nil)
	key, err := os.ReadFile(s.keyFile)
	if err != nil {
		b.Fatal(err)
	}
	signer, err := ssh.ParsePrivateKey(key)
	if err != nil {
		b.Fatal(err)
	}
	config := &ssh.ClientConfig{
		User: s.user, Auth: []ssh.AuthMethod{ssh.PublicKeys(signer)}, HostKeyCallback: ssh.InsecureIgnoreHostKey(), Timeout: time.Minute,
	}
	idle(b, s, func() (io.Closer, error) {
		c, err := ssh.Dial("tcp", s.sftp, config)
		if err != nil {
			return nil, err
		}
		f, err := sftp.NewClient(c)
		if err != nil {
			return c, err
		}
		_, err = f.ReadDir("/")
		return c, err
	})
}

// BenchmarkScaleIdleHTTPS: b.N connections that have asked once, and do nothing.
func BenchmarkScaleIdleHTTPS(b *testing.B) {
	s := scaleLab(b, nil)
	idle(b, s, func() (io.Closer, error) {
		c, err := tls.Dial("tcp", s.https, &tls.Config{InsecureSkipVerify: true})
		if err != nil {
			return nil, err
		}
		r, err := http.NewRequest(http.MethodGet, "https://h/", nil)
		if err != nil {
			return c, err
		}
		r.SetBasicAuth(s.user, s.password)
		if err := r.Write(c); err != nil {
			return c, err
		}
		answer, err := http.ReadResponse(bufio.NewReader(c), r)
		if err != nil {
			return c, err
		}
		_, err = io.Copy(io.Discard, answer.Body)
		return c, err
	})
}

// BenchmarkScaleList lists a folder of b.N files over both front ends, on a disk and in a bucket.
func BenchmarkScaleList(b *testing.B) {
	for _, where := range []string{"disk", "s3"} {
		b.Run(where, func(b *testing.B) {
			var store *servers.S3
			if where == "s3" {
				store = servers.StartS3(b, servers.VersityGW)
			}
			s := scaleLab(b, store)
			dir := s.files("many")
			if store != nil {
				dir = filepath.Join(store.Folder("bucket1"), "many")
			}
			if err := os.MkdirAll(dir, 0o755); err != nil {
				b.Fatal(err)
			}
			for i := range b.N {
				if err := os.WriteFile(filepath.Join(dir, fmt.Sprintf("delivery note %08d.pdf", i)), nil, 0o600); err != nil {
					b.Fatal(err)
				}
			}
			for _, front := range []struct {
				name string
				list func() int
			}{
				{"propfind", func() int {
					return strings.Count(s.curl("-X", "PROPFIND", "-H", "Depth: 1", s.url("many/")).out, ":response>") / 2
				}},
				{"sftp", func() int { return strings.Count(s.batch("ls -1f many"), ".pdf") + 1 }},
			} {
				s.resetPeak()
				before, began := s.memory("VmRSS"), time.Now()
				if n := front.list(); n != b.N+1 {
					b.Errorf("%s: %d entries", front.name, n)
				}
				b.ReportMetric(float64(b.N)/time.Since(began).Seconds(), front.name+"-entries/s")
				b.ReportMetric((s.memory("VmHWM")-before)/(1<<20), front.name+"-MiB")
			}
		})
	}
}

// BenchmarkScaleTransfers: 1, 4 and 16 uploads at once, of 64 MiB each, over each front end; into a bucket
// also with a quarter of the memory.
func BenchmarkScaleTransfers(b *testing.B) {
	const size = 64 << 20
	file := filepath.Join(b.TempDir(), "file")
	if err := os.WriteFile(file, make([]byte, size), 0o600); err != nil {
		b.Fatal(err)
	}
	for _, where := range []string{"disk", "s3", "s3-16MiB"} {
		for _, front := range []string{"https", "sftp"} {
			for _, n := range []int{1, 4, 16} {
				b.Run(fmt.Sprintf("%s/%s/%d", where, front, n), func(b *testing.B) {
					var store *servers.S3
					var more []string
					if where != "disk" {
						store = servers.StartS3(b, servers.VersityGW)
					}
					if where == "s3-16MiB" {
						more = []string{"memory: 16MiB", "part_size: 8MiB"}
					}
					s := scaleLab(b, store, more...)
					before, began := s.memory("VmRSS"), time.Now()
					var wg sync.WaitGroup
					for i := range n {
						wg.Go(func() {
							name := fmt.Sprintf("file%d", i)
							if front == "sftp" {
								s.batch("put " + file + " " + name)
							} else if r := s.curl("-f", "-T", file, s.url(name)); r.code != 0 {
								b.Errorf("%s", r.stderr)
							}
						})
					}
					wg.Wait()
					b.ReportMetric(float64(n)*size/(1<<20)/time.Since(began).Seconds(), "MiB/s")
					b.ReportMetric((s.memory("VmHWM")-before)/(1<<20)/float64(n), "MiB/transfer")
				})
			}
		}
	}
}

// BenchmarkScaleMigrate moves b.N small files and reports what the state keeps of each.
func BenchmarkScaleMigrate(b *testing.B) {
	root := filepath.Join(b.TempDir(), "root")
	for i := range b.N {
		name := filepath.Join(root, fmt.Sprintf("archive/%04d", i/1000), fmt.Sprintf("delivery note %08d.pdf", i))
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			b.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(name), 0o600); err != nil {
			b.Fatal(err)
		}
	}
	server := servers.Start(b, servers.VSFTPD, servers.Options{Root: root})
	l := newLab(b)
	l.env = []string{"GATEWAY_SOURCE_PASSWORD=" + server.Pass}
	began := time.Now()
	l.must("migrate", "--connections", "8", fmt.Sprintf("ftp://%s@%s/", server.User, server.Addr), "partner")
	b.ReportMetric(float64(b.N)/time.Since(began).Seconds(), "files/s")
	info, err := os.Stat(filepath.Join(l.data, "state.db"))
	if err != nil {
		b.Fatal(err)
	}
	b.ReportMetric(float64(info.Size())/float64(b.N), "B/file")
}
