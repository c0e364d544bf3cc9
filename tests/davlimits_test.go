package tests

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"
)

// TestBansHoldOnBoth: who guesses passwords on one front end is kept out of the other.
func TestBansHoldOnBoth(t *testing.T) {
	const failures = 3
	guess := map[string]func(s *serving){
		"https": func(s *serving) {
			wrong := *s
			wrong.password = "a guess at it"
			if got := wrong.status(""); got != "401" && got != "429" {
				t.Errorf("a wrong password over HTTPS: status %s", got)
			}
		},
		"sftp": func(s *serving) {
			c, err := ssh.Dial("tcp", s.sftp, &ssh.ClientConfig{User: s.user, Auth: []ssh.AuthMethod{ssh.Password("a guess at it")},
				HostKeyCallback: ssh.InsecureIgnoreHostKey(), Timeout: 20 * time.Second})
			if err == nil {
				c.Close()
				t.Error("a wrong password over SFTP was accepted")
			}
		},
	}
	for front, try := range guess {
		t.Run(front, func(t *testing.T) {
			l := newLab(t)
			l.storages = fmt.Sprintf("logins:\n  failures: %d\n  window: 1h\n  ban: 1h\n", failures)
			s := l.serve()
			if got := s.status(""); got != "200" {
				t.Fatalf("before: status %s", got)
			}
			s.batch("ls")
			for range failures {
				try(s)
			}
			if got := s.status(""); got != "429" {
				t.Errorf("HTTPS with the right password: status %s, want 429", got)
			}
			if r := clientResult(t, "sftp", "ls\n", s.sftpArgs()...); r.code == 0 {
				t.Error("SFTP with the right key is let in")
			}
		})
	}
}

// TestChangedUser: a password that is no longer right opens nothing, from a second
// later on, though it was remembered.
func TestChangedUser(t *testing.T) {
	s := newLab(t).serve()
	refused := func(what string) {
		t.Helper()
		got := ""
		for end := time.Now().Add(10 * time.Second); got != "401" && time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
			got = s.status("")
		}
		if got != "401" {
			t.Errorf("%s: status %s, want 401", what, got)
		}
	}
	for range 2 { // one logs in, the other finds that remembered
		if got := s.status(""); got != "200" {
			t.Fatalf("before: status %s", got)
		}
	}
	passwd := s.command("user", "passwd", s.user)
	passwd.Stdin = strings.NewReader("another horse battery\n")
	if r := finish(t, passwd); r.code != 0 {
		t.Fatal(r.stderr)
	}
	refused("the old password")
	s.password = "another horse battery"
	if got := s.status(""); got != "200" {
		t.Errorf("the new password: status %s, want 200", got)
	}
	s.must("user", "remove", s.user)
	refused("a user who was removed")
}

// TestQuotaTogether: four uploads at once, over both front ends, cannot pass a quota that
// each of them alone is within.
func TestQuotaTogether(t *testing.T) {
	const quota, size = 10_000_000, 6_000_000
	s := newLab(t).serve()
	// An upload over SFTP that was refused in the middle is kept for its user, and counts:
	// each round has a user of its own.
	limited := func(name string) *serving {
		u := s.as(name, "--folder", name)
		file := filepath.Join(s.data, "users", name+".yaml")
		user, err := os.ReadFile(file)
		if err == nil {
			err = os.WriteFile(file, append(user, fmt.Sprintf("quota: %d\n", quota)...), 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
		return u
	}
	data := bytes.Repeat([]byte("quota "), size/6)
	for round := range 3 {
		s := limited(fmt.Sprintf("user%d", round))
		var (
			all     sync.WaitGroup
			mu      sync.Mutex
			stored  int
			halfway = make(chan struct{})
			half    sync.WaitGroup
		)
		const uploads = 4
		half.Add(uploads)
		go func() { half.Wait(); close(halfway) }()
		for i := range uploads {
			name := fmt.Sprintf("%d.bin", i)
			all.Go(func() {
				reached := sync.OnceFunc(half.Done)
				defer reached()
				c, err := dialClients(s)
				if err != nil {
					t.Error(err)
					return
				}
				defer c.close()
				// All have sent half before any sends the rest.
				body := io.MultiReader(bytes.NewReader(data[:size/2]), readFunc(func([]byte) (int, error) {
					reached()
					<-halfway
					return 0, io.EOF
				}), bytes.NewReader(data[size/2:]))
				if i%2 == 0 {
					err = streamHTTPS(c, name, body)
				} else {
					err = streamSFTP(c, name, body)
				}
				if err == nil {
					mu.Lock()
					stored++
					mu.Unlock()
				}
			})
		}
		all.Wait()
		var total int64
		for name := range snapshot(t, s.files(s.user), false) {
			total += fileSize(t, s.files(s.user, name))
		}
		if total > quota || stored != int(total/size) {
			t.Errorf("round %d: %d bytes are stored and the quota is %d; %d uploads were acknowledged", round, total, quota, stored)
		}
	}
	// One after the other: the first fits, the second does not.
	c, err := dialClients(limited("last"))
	if err != nil {
		t.Fatal(err)
	}
	defer c.close()
	if err := streamHTTPS(c, "one.bin", bytes.NewReader(data)); err != nil {
		t.Errorf("within the quota: %v", err)
	}
	// What is announced is refused before it is sent.
	c.s.replay("WebDAVFS/3.0.0", []exchange{{method: "PUT", path: "/two.bin", header: "X-Expected-Entity-Length: 6000000",
		body: "it would be long", chunked: true, want: 507}})
	if streamSFTP(c, "two.bin", bytes.NewReader(data)) == nil {
		t.Error("beyond the quota, and it is stored")
	}
}

type readFunc func([]byte) (int, error)

func (f readFunc) Read(p []byte) (int, error) { return f(p) }

// streamHTTPS sends a body whose length the server does not know.
func streamHTTPS(c *clients, name string, body io.Reader) error {
	req, err := http.NewRequest(http.MethodPut, c.s.url(name), body)
	if err != nil {
		return err
	}
	req.SetBasicAuth(c.s.user, c.s.password)
	res, err := c.http.Do(req)
	if err != nil {
		return err
	}
	res.Body.Close()
	if res.StatusCode != http.StatusCreated {
		return fmt.Errorf("status %s", res.Status)
	}
	return nil
}

func streamSFTP(c *clients, name string, body io.Reader) error {
	f, err := c.sftp.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL)
	if err != nil {
		return err
	}
	if _, err := io.CopyBuffer(onlyWriter{f}, body, make([]byte, 32<<10)); err != nil {
		c.ssh.Close() // a file that is closed is a file that is complete
		return err
	}
	return f.Close()
}

type onlyWriter struct{ io.Writer }
