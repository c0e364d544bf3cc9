package ftpbridge

import (
	"fmt"
	"io"
	"strings"
	"testing"
	"time"
)

// liar is a server with one small file, a listing and handlers of a test's own.
func liar(t *testing.T, body, mlsd string, handlers map[string]func(*talk, string)) *move {
	t.Helper()
	srv := &scripted{
		feat:  []string{"MLST type*;size*;modify*;", "MDTM", "SIZE", "REST STREAM"},
		files: map[string]string{"/f": body}, mlsd: map[string]string{"": mlsd}, handlers: handlers,
	}
	srv.start(t)
	return newMove(t, srv.source(t, ""))
}

func facts(size int) string {
	return fmt.Sprintf("type=file;size=%d;modify=20200102030405; f\r\n", size)
}

func says(format string, args ...any) func(*talk, string) {
	return func(c *talk, _ string) { c.say(format, args...) }
}

func sends(body, end string) func(*talk, string) {
	return func(c *talk, _ string) {
		rest := int(c.rest)
		c.rest = 0
		c.stream(body[min(rest, len(body)):], end)
	}
}

// What servers say of a size and what they send. Nothing is published that is not
// what all agree on in the end.
func TestFetchSizeLies(t *testing.T) {
	body := random(100_000)
	for name, c := range map[string]struct {
		mlsd     string
		handlers map[string]func(*talk, string)
		want     string // "": not published
		words    string
	}{
		"LIST has 0":                     {facts(0), nil, body, ""},
		"LIST has 0, no SIZE":            {facts(0), map[string]func(*talk, string){"SIZE": says("502 no")}, body, ""},
		"LIST has less":                  {facts(99_999), nil, body, ""},
		"LIST has more":                  {facts(100_001), nil, body, ""},
		"LIST is octal":                  {facts(303240), nil, body, ""},
		"LIST is negative":               {"type=file;size=-5;modify=20200102030405; f\r\n", nil, body, ""},
		"LIST is past all numbers":       {"type=file;size=99999999999999999999;modify=20200102030405; f\r\n", nil, body, ""},
		"LIST and SIZE have 0":           {facts(0), map[string]func(*talk, string){"SIZE": says("213 0")}, "", "more came than its 0"},
		"LIST and SIZE have less":        {facts(9), map[string]func(*talk, string){"SIZE": says("213 9")}, "", "more came than its 9"},
		"LIST and SIZE have more":        {facts(200_000), map[string]func(*talk, string){"SIZE": says("213 200000")}, "", "100000 of 200000"},
		"SIZE is no number":              {"type=file;modify=20200102030405; f\r\n", map[string]func(*talk, string){"SIZE": says("213 much")}, "", "the size is"},
		"226 after 60 %":                 {facts(100_000), map[string]func(*talk, string){"RETR": sends(body[:60_000], "226 done")}, "", "60000 of 100000"},
		"226 after nothing":              {facts(100_000), map[string]func(*talk, string){"RETR": sends("", "226 done")}, "", "0 of 100000"},
		"an error in place of the file":  {facts(100_000), map[string]func(*talk, string){"RETR": sends("550 disk error\r\n", "226 done")}, "", "16 of 100000"},
		"the file, and then it is taken": {facts(100_000), map[string]func(*talk, string){"RETR": sends(body, "451 read error")}, "", "451 read error"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := liar(t, body, c.mlsd, c.handlers)
			rep := m.run()
			if c.want != "" {
				equal(t, m.files(), map[string]string{"f": c.want})
				return
			}
			equal(t, len(m.files()), 0)
			reasons(t, rep.Failed, map[string]string{"f": c.words})
		})
	}
}

// A transfer that never ends, of a file with a size and of one without.
func TestFetchEndless(t *testing.T) {
	for name, c := range map[string]struct{ mlsd, words string }{
		"with a size":    {facts(1 << 20), "more came than its 1048576"},
		"without a size": {"type=file;modify=20200102030405; f\r\n", "more than 3145728 bytes"},
	} {
		t.Run(name, func(t *testing.T) {
			h := map[string]func(*talk, string){
				"RETR": func(c *talk, _ string) {
					c.say("150 for ever")
					d := c.accept()
					defer d.Close()
					for err := error(nil); err == nil; {
						_, err = io.WriteString(d, strings.Repeat("x", 1<<16))
					}
				},
			}
			if !strings.Contains(c.mlsd, "size=") {
				h["SIZE"] = says("502 no")
			}
			m := liar(t, strings.Repeat("x", 1<<20), c.mlsd, h)
			m.o.MaxFileSize = 3 << 20
			rep := m.run()
			reasons(t, rep.Failed, map[string]string{"f": c.words})
			equal(t, len(m.files()), 0)
		})
	}
}

// Line ends that are changed on the way are seen, and said.
func TestFetchTranslated(t *testing.T) {
	unix := strings.Repeat("line of a text\n", 1000)
	dos := strings.ReplaceAll(unix, "\n", "\r\n")
	const noSize = "type=file;modify=20200102030405; f\r\n"
	refused := says("502 no")
	binary := strings.Repeat("\x00\x01\r\n\x02", 1000)
	for name, c := range map[string]struct {
		body, sent, mlsd string
		noSize           bool
		want, words      string // words of the reason, or of a warning
	}{
		"LF to CR LF":                   {unix, dos, facts(len(unix)), false, "", "ASCII mode"},
		"CR LF to LF":                   {dos, unix, facts(len(dos)), false, "", "ASCII mode"},
		"cut, and no translation":       {dos, dos[:5000], facts(len(dos)), false, "", "5000 of 16000"},
		"text of unknown size":          {dos, dos, noSize, true, dos, ""},
		"binary file of unknown size":   {binary, binary, noSize, true, binary, "ASCII mode"},
		"honest file with some of each": {unix + dos, unix + dos, facts(len(unix + dos)), false, unix + dos, ""},
	} {
		t.Run(name, func(t *testing.T) {
			h := map[string]func(*talk, string){"RETR": sends(c.sent, "226 done")}
			if c.noSize {
				h["SIZE"] = refused
			}
			m := liar(t, c.body, c.mlsd, h)
			rep := m.run()
			if c.want == "" {
				equal(t, len(m.files()), 0)
				reasons(t, rep.Failed, map[string]string{"f": c.words})
				if strings.Contains(rep.Failed.Items[0].Reason, "ASCII mode") != (c.words == "ASCII mode") {
					t.Error(rep.Failed.Items[0].Reason)
				}
				return
			}
			equal(t, m.files(), map[string]string{"f": c.want})
			if warned := strings.Contains(strings.Join(rep.Warnings, "\n"), "ASCII mode"); warned != (c.words != "") {
				t.Errorf("%q", rep.Warnings)
			}
		})
	}
}

// A limit is kept by all sessions together, and the bytes are right.
func TestBandwidth(t *testing.T) {
	w := serveWide(t, random(wideBytes))
	m := w.move(t)
	m.o.BytesPerSecond = 4 << 20
	began := time.Now()
	m.run()
	if took := time.Since(began); took < 900*time.Millisecond { // never faster, however slow
		t.Errorf("%d bytes in %v", wideBytes, took)
	}
	equal(t, m.files()["big"] == w.body, true)
	m.o.BytesPerSecond = MinBytesPerSecond - 1
	if _, err := Migrate(testContext(t), m.o); err == nil {
		t.Error("a limit that is too small is taken")
	}
}
