package ftpbridge

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// fetchEach reads every file of srv in order through one session and returns how
// often that failed.
func fetchEach(t *testing.T, s *Session, files map[string]string) (failed int) {
	t.Helper()
	for _, name := range slices.Sorted(maps.Keys(files)) {
		rc, err := s.Fetch(testContext(t), name, 0)
		if err != nil {
			failed++
			continue
		}
		data, err := io.ReadAll(rc)
		rc.Close()
		if err != nil {
			failed++
		} else if string(data) != files[name] {
			t.Errorf("%s is %q", name, data)
		}
	}
	return failed
}

func fiveFiles() map[string]string {
	files := make(map[string]string)
	for i := range 5 {
		files[fmt.Sprintf("/f%d", i)] = strings.Repeat("x", i+1)
	}
	return files
}

// Each transfer has one data port, and the commands between transfers find their
// own replies although one for EPSV is still on its way.
func TestEarlyEPSV(t *testing.T) {
	srv := (&scripted{files: fiveFiles()}).start(t)
	s := srv.dial(t)
	if n := fetchEach(t, s, srv.files); n != 0 {
		t.Errorf("%d fetches failed", n)
	}
	if _, err := s.Size(testContext(t), "/f3"); err != nil {
		t.Error(err)
	}
	if n := fetchEach(t, s, map[string]string{"/f3": srv.files["/f3"]}); n != 0 {
		t.Error("after another command the fetch failed")
	}
	// The one for a transfer that never came.
	if n := srv.count("EPSV"); n < 6 || n > 7 {
		t.Errorf("%d EPSV for 6 transfers", n)
	}
	if s.Broken() {
		t.Error("the session is broken")
	}
}

// A server that reads nothing while it sends a file is asked together with the
// transfer, also where there turns out to be nothing to send.
func TestEarlyTogether(t *testing.T) {
	files := fiveFiles()
	together := 0
	srv := (&scripted{greeting: "220 (vsFTPd 3.0.5)\r\n", files: files, handlers: map[string]func(*talk, string){
		"RETR": func(c *talk, path string) {
			if next, _ := c.br.Peek(c.br.Buffered()); string(next) == "EPSV\r\n" {
				together++
			}
			c.send(files, path)
		},
	}}).start(t)
	s := srv.dial(t)
	if n := fetchEach(t, s, files); n != 0 {
		t.Errorf("%d fetches failed", n)
	}
	if _, err := s.Fetch(testContext(t), "/missing", 0); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a missing file: %v", err)
	}
	if _, err := s.Size(testContext(t), "/f3"); err != nil {
		t.Error(err)
	}
	if n := fetchEach(t, s, map[string]string{"/f4": files["/f4"]}); n != 0 {
		t.Error("after a missing file the fetch failed")
	}
	if together < 4 {
		t.Errorf("%d of the transfers had EPSV beside them", together)
	}
	if s.Broken() {
		t.Error("the session is broken")
	}
}

// A port that was asked for ahead and is dead by now costs a new one, not the file.
func TestEarlyPortGone(t *testing.T) {
	n := 0
	srv := (&scripted{files: fiveFiles(), handlers: map[string]func(*talk, string){
		"EPSV": func(c *talk, _ string) {
			n++
			port := c.listen()
			if n == 4 {
				c.data.Close()
			}
			c.say("229 Extended (|||%d|)", port)
		},
	}}).start(t)
	if n := fetchEach(t, srv.dial(t), srv.files); n != 0 {
		t.Errorf("%d fetches failed", n)
	}
	if n := srv.count("PASV"); n != 0 {
		t.Errorf("%d PASV", n)
	}
}

// A refusal of the early EPSV, which may come because the server is not done with
// the transfer, is asked again in the ordinary way, and never early any more.
func TestEarlyRefused(t *testing.T) {
	n := 0
	srv := (&scripted{files: fiveFiles(), handlers: map[string]func(*talk, string){
		"EPSV": func(c *talk, _ string) {
			if n++; n == 3 {
				c.say("425 not now")
				return
			}
			c.say("229 Extended (|||%d|)", c.listen())
		},
	}}).start(t)
	s := srv.dial(t)
	if n := fetchEach(t, s, srv.files); n != 0 {
		t.Errorf("%d fetches failed", n)
	}
	if got := srv.count("EPSV"); got != 6 {
		t.Errorf("%d EPSV, want one refused and one for each of 5 transfers", got)
	}
	if s.Broken() || !s.know.noEarly.Load() {
		t.Error("the session is broken, or would ask early again")
	}
}

// The reply to EPSV is never taken for the confirmation of a transfer.
func TestEarlyOutOfOrder(t *testing.T) {
	for name, before := range map[string]string{"229": "229 Extended (|||40000|)", "500": "500 Unknown command"} {
		t.Run(name, func(t *testing.T) {
			n := 0
			srv := (&scripted{files: fiveFiles(), handlers: map[string]func(*talk, string){
				"RETR": func(c *talk, path string) {
					n++
					c.say("150 here it comes")
					conn := c.accept()
					_, _ = io.WriteString(conn, c.srv.files[path])
					conn.Close()
					if n == 2 {
						time.Sleep(50 * time.Millisecond) // EPSV has been sent by now
						c.say("%s", before)
					}
					c.say("226 done")
				},
			}}).start(t)
			s := srv.dial(t)
			if n := fetchEach(t, s, map[string]string{"/f0": "x", "/f1": "xx"}); n != 1 {
				t.Errorf("%d fetches failed, want the second", n)
			}
			if !s.Broken() || !s.know.noEarly.Load() {
				t.Error("a session out of step goes on")
			}
		})
	}
}

// The time that goes ahead of a fetch is that of the file, also of the first one
// in a session, and where there is none the fetch goes on.
func TestFetchTimed(t *testing.T) {
	srv := (&scripted{greeting: "220 (vsFTPd 3.0.3)\r\n", files: fiveFiles(), handlers: map[string]func(*talk, string){
		"MDTM": func(c *talk, path string) {
			if path == "/f1" {
				c.say("550 Could not get file modification time.")
				return
			}
			c.say("213 2024010203040%c", path[2])
		},
	}}).start(t)
	s := srv.dial(t)
	for i := range 4 {
		path := fmt.Sprintf("/f%d", i)
		rc, at, timeErr, err := s.FetchTimed(testContext(t), path)
		if err != nil {
			t.Fatal(err)
		}
		data, err := io.ReadAll(rc)
		if err != nil || string(data) != srv.files[path] {
			t.Errorf("%s: %q, %v", path, data, err)
		}
		rc.Close()
		want := time.Date(2024, 1, 2, 3, 4, i, 0, time.UTC)
		if i == 1 {
			want = time.Time{}
		}
		if !at.Equal(want) || (timeErr != nil) != (i == 1) {
			t.Errorf("%s: %v, %v", path, at, timeErr)
		}
	}
	if _, _, _, err := s.FetchTimed(testContext(t), "/missing"); err == nil || s.Broken() {
		t.Errorf("a missing file: %v", err)
	}
	if n := fetchEach(t, s, srv.files); n != 0 {
		t.Errorf("%d fetches failed", n)
	}
}

// behind says whether what follows the present command has come with it.
func (t *talk) behind(next string) bool {
	got, _ := t.br.Peek(t.br.Buffered())
	return strings.HasPrefix(string(got), next)
}

// The offset goes out with the transfer. A server that does not take it sends the file
// from its beginning: none of that is read, and the session is given up.
func TestRestTogether(t *testing.T) {
	for _, refuses := range []bool{false, true} {
		files := map[string]string{"/f": "0123456789"}
		together := false
		srv := (&scripted{greeting: "220 (vsFTPd 3.0.5)\r\n", files: files, handlers: map[string]func(*talk, string){
			"REST": func(c *talk, arg string) {
				together = c.behind("RETR /f\r\n")
				if refuses {
					c.say("502 not here")
					return
				}
				c.rest, _ = strconv.ParseInt(arg, 10, 64)
				c.say("350 go on")
			},
		}}).start(t)
		s := srv.dial(t)
		got, err := fetchAll(testContext(t), s, "/f", 4)
		switch {
		case !together:
			t.Error("RETR was not beside REST")
		case refuses && (!errors.Is(err, ErrUnsupported) || !s.Broken()):
			t.Errorf("refused: %q, %v, broken: %v", got, err, s.Broken())
		case !refuses && (err != nil || got != "456789" || s.Broken()):
			t.Errorf("%q, %v, broken: %v", got, err, s.Broken())
		}
	}
}

// What every session asks after its login goes out in one flight, and answers that
// are not asked for then are not taken for others.
func TestLoginTogether(t *testing.T) {
	for _, utf8 := range []bool{false, true} {
		together := false
		srv := &scripted{greeting: "220 (vsFTPd 3.0.5)\r\n", files: map[string]string{"/f": "body"}}
		srv.handlers = map[string]func(*talk, string){"FEAT": func(c *talk, _ string) {
			together = c.behind("TYPE I\r\nSYST\r\nPWD\r\n")
			if utf8 { // which has OPTS asked before PWD
				c.say("211-Features:\r\n UTF8\r\n211 End")
				return
			}
			c.say("211-Features:\r\n SIZE\r\n211 End")
		}}
		srv.start(t)
		s := srv.dial(t)
		if n, err := s.Size(testContext(t), "/f"); !together || n != 4 || err != nil {
			t.Errorf("UTF-8 %v: together: %v, size %d, %v", utf8, together, n, err)
		}
		if n := srv.count("OPTS"); n == 0 == utf8 {
			t.Errorf("UTF-8 %v: OPTS was sent %d times", utf8, n)
		}
	}
}
