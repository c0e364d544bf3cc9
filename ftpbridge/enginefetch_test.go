package ftpbridge

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"gateway/state"
	"gateway/storage"
)

// part sends a piece of body and breaks off: without a word, as a lost
// connection, or, with words, as an end that the server believes in.
func (t *talk) part(body, words string) {
	t.say("150 here it comes")
	d := t.accept()
	if d == nil {
		return
	}
	_, _ = io.WriteString(d, body)
	d.Close()
	if words != "" {
		t.say("%s", words)
	} else {
		t.Close()
	}
}

// counted is a handler of RETR that is told the offset and how often it was called.
func counted(handle func(c *talk, path string, rest int64, call int)) func(c *talk, arg string) {
	var calls atomic.Int32
	return func(c *talk, arg string) {
		rest := c.rest
		c.rest = 0
		handle(c, c.abs(arg), rest, int(calls.Add(1)))
	}
}

const bigBytes = 1 << 20

// withBig is a server with one file and a handler for its transfers.
func withBig(t *testing.T, handle func(c *talk, path string, rest int64, call int)) *scripted {
	t.Helper()
	srv := serve(t, map[string]string{"big": random(bigBytes)})
	srv.handlers = map[string]func(*talk, string){"RETR": counted(handle)}
	return srv
}

func TestFetchGoesOnAfterLoss(t *testing.T) {
	body := random(bigBytes)
	var rests []int64
	srv := withBig(t, func(c *talk, path string, rest int64, call int) {
		rests = append(rests, rest)
		if call < 4 {
			c.part(body[rest:rest+300<<10], "")
			return
		}
		c.stream(body[rest:], "226 done")
	})
	m := newMove(t, srv.source(t, ""))
	rep := m.run()
	equal(t, m.files(), map[string]string{"big": body})
	equal(t, rep.Retries, int64(3))
	for i, r := range rests {
		if want := int64(i)*(300<<10) - min(int64(i), 1)*overlap - max(0, int64(i)-1)*overlap; r > int64(i)*(300<<10) || i > 0 && r <= 0 || i == 1 && r != want {
			t.Errorf("transfer %d began at %d", i, r)
		}
	}
	equal(t, rep.FetchedBytes, int64(bigBytes+3*overlap))
}

func TestFetchGivesUp(t *testing.T) {
	srv := withBig(t, func(c *talk, path string, rest int64, call int) { c.part("", "") })
	m := newMove(t, srv.source(t, ""))
	rep := m.run()
	reasons(t, rep.Failed, map[string]string{"big": "confirmation"})
	f := m.line("big")
	if !f.Retry || f.Phase != state.Failed || srv.count("RETR") != m.o.Tries {
		t.Errorf("%+v after %d tries", f, srv.count("RETR"))
	}
	equal(t, m.staged(), 0)
}

func TestFetchShortButConfirmed(t *testing.T) {
	body := random(bigBytes)
	srv := withBig(t, func(c *talk, path string, rest int64, call int) {
		c.part(body[min(rest, 600<<10):600<<10], "226 that was all")
	})
	m := newMove(t, srv.source(t, ""))
	rep := m.run()
	reasons(t, rep.Failed, map[string]string{"big": "614400 of 1048576 bytes"})
	equal(t, len(m.files()), 0)
	equal(t, m.staged(), 1) // for the next run
	srv.handlers = nil
	rep = m.run()
	equal(t, m.files(), map[string]string{"big": body})
	equal(t, rep.SavedBytes, int64(600<<10))
	equal(t, m.staged(), 0)
}

// All bytes came, and each time the server took them back or said nothing.
func TestFetchUnconfirmed(t *testing.T) {
	body := random(bigBytes)
	for _, end := range []string{"551 disk error", ""} {
		srv := withBig(t, func(c *talk, path string, rest int64, call int) { c.part(body[rest:], end) })
		m := newMove(t, srv.source(t, ""))
		m.run()
		equal(t, len(m.files()), 0)
		if f := m.line("big"); f.Phase != state.Failed || !f.Retry || !strings.Contains(f.Reason, end) {
			t.Errorf("%+v", f)
		}
		srv.handlers = nil
		rep := m.run()
		equal(t, m.files(), map[string]string{"big": body})
		equal(t, rep.FetchedBytes, int64(overlap))
		equal(t, m.staged(), 0)
	}
}

// A big file is asked about after its transfer, however quick that was.
func TestFetchBigChanging(t *testing.T) {
	body := random(carefulSize)
	srv := serve(t, map[string]string{"big": body})
	var asked atomic.Int32
	srv.handlers = map[string]func(*talk, string){
		"MDTM": func(c *talk, arg string) { c.say("213 202001020304%02d", asked.Add(1)) },
	}
	m := newMove(t, srv.source(t, ""))
	rep := m.run()
	reasons(t, rep.Failed, map[string]string{"big": "its time was"})
	equal(t, len(m.files()), 0)
}

func TestFetchMoreThanListed(t *testing.T) {
	body := random(bigBytes)
	srv := withBig(t, func(c *talk, path string, rest int64, call int) {
		c.part(body[rest:]+"and more", "226 done")
	})
	m := newMove(t, srv.source(t, ""))
	rep := m.run()
	reasons(t, rep.Failed, map[string]string{"big": "more came"})
	equal(t, len(m.files()), 0)
}

func TestFetchIgnoredOffset(t *testing.T) {
	body := random(bigBytes)
	srv := withBig(t, func(c *talk, path string, rest int64, call int) {
		if call == 1 {
			c.part(body[:500<<10], "")
			return
		}
		c.stream(body, "226 done")
	})
	m := newMove(t, srv.source(t, ""))
	m.run()
	equal(t, m.files(), map[string]string{"big": body})
}

func TestFetchRefusedOffset(t *testing.T) {
	body := random(bigBytes)
	srv := withBig(t, func(c *talk, path string, rest int64, call int) {
		if call == 1 {
			c.part(body[:500<<10], "")
			return
		}
		c.stream(body, "226 done")
	})
	srv.handlers["REST"] = func(c *talk, arg string) { c.say("502 no REST here") }
	m := newMove(t, srv.source(t, ""))
	m.run()
	equal(t, m.files(), map[string]string{"big": body})
}

// A source that changes at the same size and time, between a connection that is
// lost and the next: only the bytes can tell.
func TestFetchNeverSplices(t *testing.T) {
	before := random(bigBytes)
	after := before[1:] + "x"
	srv := withBig(t, func(c *talk, path string, rest int64, call int) {
		if call == 1 {
			c.part(before[:700<<10], "")
			return
		}
		c.stream(after[rest:], "226 done")
	})
	m := newMove(t, srv.source(t, ""))
	m.run()
	equal(t, m.files(), map[string]string{"big": after})
}

// The same by size and time, between two runs and within one.
func TestFetchNoticesNewVersion(t *testing.T) {
	for name, c := range map[string]struct {
		feat []string
		mdtm bool
		size bool
	}{
		"size":             {size: true},
		"time":             {mdtm: true},
		"listing, no MDTM": {feat: []string{"MLST type*;size*;modify*;", "REST STREAM"}},
	} {
		t.Run(name, func(t *testing.T) {
			before := random(bigBytes)
			after := before[:800<<10] + strings.Repeat("x", bigBytes-800<<10)
			if c.size {
				after += "longer"
			}
			changed := false
			body := before
			srv := serve(t, map[string]string{"big": before})
			if c.feat != nil {
				srv.feat = c.feat
			}
			srv.handlers = map[string]func(*talk, string){
				"RETR": counted(func(t *talk, path string, rest int64, call int) {
					if call > 1 {
						t.stream(body[rest:], "226 done")
						return
					}
					t.part(body[:600<<10], "")
					changed, body = true, after
					t.srv.files["/big"] = after
					if !c.mdtm && !c.size {
						t.srv.mlsd[""] = strings.ReplaceAll(t.srv.mlsd[""], "2020", "2021")
					}
				}),
				"MDTM": func(t *talk, arg string) {
					if changed && c.mdtm {
						t.say("213 20210102030405")
					} else {
						t.say("213 20200102030405")
					}
				},
			}
			if c.mdtm { // a listing to the minute, so that MDTM is asked
				srv.mlsd, srv.feat = nil, []string{"MDTM", "SIZE"}
				srv.lists = map[string]string{"": fmt.Sprintf("-rw-r--r-- 1 a a %d Jan  2  2020 big\r\n", bigBytes)}
			}
			m := newMove(t, srv.source(t, ""))
			m.run()
			equal(t, m.files(), map[string]string{"big": after})
		})
	}
}

func TestFetchEverChanging(t *testing.T) {
	var version atomic.Int32
	srv := withBig(t, nil)
	srv.handlers = map[string]func(*talk, string){
		"SIZE": func(c *talk, arg string) { c.say("213 %d", 1000+version.Load()) },
		"RETR": func(c *talk, arg string) {
			c.stream(strings.Repeat("x", int(1001+version.Add(1))), "226 done")
		},
	}
	m := newMove(t, srv.source(t, ""))
	rep := m.run()
	reasons(t, rep.Failed, map[string]string{"big": "3 times in a row"})
	if !m.line("big").Retry {
		t.Error("not worth another try")
	}
	equal(t, len(m.files()), 0)
}

func TestFetchWithoutSizes(t *testing.T) {
	srv := &scripted{
		mlsd:  map[string]string{"": "type=file;modify=20200102030405; a\r\ntype=file; b\r\n"},
		feat:  []string{"MLST type*;modify*;"},
		files: map[string]string{"/a": "known to nobody", "/b": "neither"},
		handlers: map[string]func(*talk, string){
			"SIZE": func(c *talk, arg string) { c.say("502 no") },
			"MDTM": func(c *talk, arg string) { c.say("502 no") },
		},
	}
	srv.start(t)
	m := newMove(t, srv.source(t, ""))
	m.run()
	equal(t, m.files(), map[string]string{"a": "known to nobody", "b": "neither"})
	m.o.MaxFileSize = 10
	m.o.Folder = "old/2"
	rep := m.run()
	reasons(t, rep.Failed, map[string]string{"a": "more than 10 bytes"})
}

func TestFetchCancelled(t *testing.T) {
	body := random(bigBytes)
	stop := make(chan struct{})
	srv := withBig(t, func(c *talk, path string, rest int64, call int) {
		if call > 1 {
			c.stream(body[rest:], "226 done")
			return
		}
		c.say("150 here it comes")
		d := c.accept()
		_, _ = io.WriteString(d, body[:800<<10])
		<-stop
		d.Close()
	})
	m := newMove(t, srv.source(t, ""))
	ctx, cancel := context.WithCancel(testContext(t))
	m.o.Progress = func(e Event) {
		if e.Kind == EventBytes && e.Offset >= 512<<10 {
			cancel()
		}
	}
	rep, err := Migrate(ctx, m.o)
	close(stop)
	if !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	if rep.Pending.Files != 1 || rep.Finished.IsZero() || rep.Error != "it was interrupted" || !strings.Contains(text(rep), "Run the same command again") {
		t.Errorf("%s", text(rep))
	}
	if f := m.line("big"); f.Phase != state.Fetching || f.Offset < 512<<10 || f.Token == "" {
		t.Errorf("%+v", f)
	}
	m.o.Progress = nil
	rep = m.run()
	equal(t, m.files(), map[string]string{"big": body})
	if rep.SavedBytes < 512<<10 || rep.FetchedBytes > bigBytes-512<<10+overlap {
		t.Errorf("%+v", rep)
	}
}

// Staged bytes that rotted or were meddled with between two runs.
func TestFetchStagedBytesChanged(t *testing.T) {
	body := random(bigBytes)
	srv := withBig(t, func(c *talk, path string, rest int64, call int) {
		if call <= 4 { // the one that gets on, and three that do not
			c.part(body[min(rest, 600<<10):600<<10], "226 that was all")
			return
		}
		c.stream(body[rest:], "226 done")
	})
	m := newMove(t, srv.source(t, ""))
	m.policy(manifestPolicy)
	srv.files["/SHA256SUMS"] = sums(map[string]string{"big": body})
	srv.mlsd[""] += fmt.Sprintf("type=file;size=%d;modify=20200102030405; SHA256SUMS\r\n", len(srv.files["/SHA256SUMS"]))
	handle := srv.handlers["RETR"]
	srv.handlers["RETR"] = func(c *talk, arg string) {
		if strings.HasSuffix(arg, "SHA256SUMS") {
			c.ordinary("RETR", arg)
			return
		}
		handle(c, arg)
	}
	m.run()
	up, err := m.o.Dest.(storage.Resumer).Resume(t.Context(), storage.Token(m.line("big").Token))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := up.WriteAt([]byte("rot"), 1000); err != nil {
		t.Fatal(err)
	}
	if _, err := up.Suspend(t.Context(), storage.SuspendOptions{}); err != nil {
		t.Fatal(err)
	}
	rep := m.run()
	reasons(t, rep.Quarantined, map[string]string{"big": "lists"})
	equal(t, m.line("big").Verdict, "bad")
}

func TestFetchParallel(t *testing.T) {
	files := map[string]string{}
	for i := range 60 {
		files[fmt.Sprintf("%d/%d", i%4, i)] = random(i * 1000)
	}
	srv := serve(t, files)
	m := newMove(t, srv.source(t, ""))
	m.o.Connections = 4
	rep := m.run()
	equal(t, rep.Published.Files, int64(60))
	for name, body := range files {
		if got := m.files()[name]; sha256.Sum256([]byte(got)) != sha256.Sum256([]byte(body)) {
			t.Errorf("%s differs", name)
		}
	}
	if srv.most < 2 || srv.most > 4 {
		t.Errorf("%d sessions at once", srv.most)
	}
}

func TestUnchanged(t *testing.T) {
	at := time.Date(2026, 3, 4, 23, 30, 15, 0, time.UTC)
	berlin := time.FixedZone("", 3600)
	file := func(size int64, at time.Time, p time.Duration) state.File {
		return state.File{Size: size, ModTime: at, TimePrecision: p}
	}
	for i, c := range []struct {
		a, b state.File
		loc  *time.Location
		want bool
	}{
		{file(1, at, time.Second), file(1, at, time.Second), time.UTC, true},
		{file(1, at, time.Second), file(2, at, time.Second), time.UTC, false},
		{file(1, at, time.Second), file(1, at.Add(time.Second), time.Second), time.UTC, false},
		{file(1, at, time.Second), file(1, at.Truncate(time.Minute), time.Minute), time.UTC, true},
		{file(1, at, time.Minute), file(1, time.Date(2026, 3, 4, 0, 0, 0, 0, time.UTC), 24*time.Hour), time.UTC, true},
		{file(1, at, time.Minute), file(1, time.Date(2026, 3, 5, 0, 0, 0, 0, berlin), 24*time.Hour), berlin, true},
		{file(1, at, time.Minute), file(1, time.Date(2026, 3, 4, 0, 0, 0, 0, berlin), 24*time.Hour), berlin, false},
		{file(-1, at, time.Minute), file(5, at, time.Minute), time.UTC, true},
		{file(5, at, time.Minute), file(5, time.Time{}, 0), time.UTC, true},
		{file(-1, time.Time{}, 0), file(-1, time.Time{}, 0), time.UTC, false},
	} {
		if got := unchanged(c.a, c.b, c.loc); got != c.want || unchanged(c.b, c.a, c.loc) != c.want {
			t.Errorf("case %d: %v, want %v both ways", i, got, c.want)
		}
	}
}

func TestPrintable(t *testing.T) {
	for in, want := range map[string]string{
		"plain é 日": "plain é 日", "a\nb": `a\x0ab`, "\xff": `\xff`, "\x1b[2J": `\x1b[2J`, `a\b`: `a\\b`,
		"\u202e": `\xe2\x80\xae`, "\ufffd": "\ufffd",
	} {
		if got := printable(in); got != want {
			t.Errorf("%q: %s, want %s", in, got, want)
		}
	}
}
