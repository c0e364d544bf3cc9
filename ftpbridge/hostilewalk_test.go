package ftpbridge

import (
	"bufio"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"unicode"

	"gateway/listing"
)

// flood serves LIST line by line, as many as it is told or until the client goes.
func flood(c *talk, lines int, line func(i int) string) {
	c.say("150 here it comes")
	d := c.accept()
	if d == nil {
		return
	}
	w := bufio.NewWriterSize(d, 64<<10)
	for i := 0; lines == 0 || i < lines; i++ {
		if _, err := io.WriteString(w, line(i)); err != nil {
			break
		}
	}
	w.Flush()
	d.Close()
	c.say("226 done")
}

func dots() string { return unixDir(".") + unixDir("..") }

// An endless listing ends where what is held of it does not fit any more, and
// leaves nothing behind.
func TestEndlessListing(t *testing.T) {
	name := strings.Repeat("endless ", 3000)
	srv := (&scripted{handlers: map[string]func(*talk, string){"LIST": func(c *talk, _ string) {
		flood(c, 0, func(i int) string {
			if i == 0 {
				return dots()
			}
			return unixLine(name+strconv.Itoa(i), 1)
		})
	}}}).start(t)
	var err error
	most := peak(func(sample func()) {
		_, err = walked(t, newPool(t, srv.source(t, "")), "", WalkOptions{})
		sample()
	})
	want(t, err, []error{ErrTooLarge}, fmt.Sprint(maxHeld))
	if most > 16<<20 {
		t.Errorf("%d bytes are left", most)
	}
}

// The other bounds of one listing.
func TestListingBounds(t *testing.T) {
	var held, kept atomic.Int64
	var urgent atomic.Bool
	p := packed{held: &held, kept: &kept, urgent: &urgent, n: MaxFolder - 1}
	e := entry("x", listing.File)
	if err := p.add(&e); err != nil {
		t.Error(err)
	}
	want(t, p.add(&e), []error{ErrTooLarge}, fmt.Sprint(MaxFolder))

	r := listingReader{r: strings.NewReader("12345"), left: 4}
	b, err := io.ReadAll(&r)
	want(t, err, []error{ErrTooLarge}, fmt.Sprint(maxStream))
	equal(t, string(b)+string(r.head), "12341234")
}

// Whatever a name is made of, it ends in the report, and nothing of it is sent in
// a command or printed as it is.
func TestMigrateHostileNames(t *testing.T) {
	list := unixLine("../../etc/passwd", 1) + unixLine("/etc/shadow", 1) + unixLine("a\x00b", 1) + unixLine("cr\rDELE x", 1) +
		unixLine("\x1b[2J\x1b]0;owned\x07", 4) + unixLine("bell\x07", 4) + unixLine("..", 4) + unixLine("rtl\u202egnp.exe", 4) +
		unixLine("nel\u0085line\u2028sep", 4) + unixDir("../up") + unixDir("\x1b[31mred") + "-rw-r--r-- 1 a a 1 Jan 01 2020 lf\nDELE y\r\n"
	srv := (&scripted{lists: map[string]string{"": dots() + list, "/\x1b[31mred": unixLine("in", 4)}, files: map[string]string{
		"/\x1b[2J\x1b]0;owned\x07": "four", "/bell\x07": "four", "/rtl\u202egnp.exe": "four", "/nel\u0085line\u2028sep": "four", "/\x1b[31mred/in": "four",
	}}).start(t)
	m := newMove(t, srv.source(t, ""))
	rep := m.run()
	files := m.files()
	if len(files) != 6 || rep.Published.Files != 5 || rep.Complete() {
		t.Errorf("%q, %+v", files, rep.Published)
	}
	for name := range files {
		if strings.ContainsFunc(name, unicode.IsControl) || strings.Contains(name, "..") {
			t.Errorf("published as %q", name)
		}
	}
	reported := text(rep)
	for _, words := range []string{"etc/passwd", "etc/shadow", `a\x00b`, "slash", `\x1b[2J`, "lf"} {
		if !strings.Contains(reported, words) {
			t.Errorf("%q is not reported", words)
		}
	}
	if i := strings.IndexFunc(strings.ReplaceAll(reported, "\n", ""), func(r rune) bool { return !unicode.IsPrint(r) }); i >= 0 {
		t.Errorf("the report drives a terminal: %q", reported)
	}
	for _, said := range srv.heard() {
		if strings.HasPrefix(said, "DELE") || strings.Contains(said, "..") || strings.Contains(said, "passwd") {
			t.Errorf("sent %q", said)
		}
	}
}

// A listing that is read ahead is the same as one that is read in its turn, also
// when it is too long for that.
func TestLongListingAhead(t *testing.T) {
	const n = 30_000
	name := strings.Repeat("long name ", 70) // n of them do not fit into maxAhead
	srv := (&scripted{lists: map[string]string{"": dots() + unixDir("a") + unixDir("b") + unixDir("c"), "/a": "", "/b": "", "/c": unixLine("f", 1)}}).start(t)
	srv.handlers = map[string]func(*talk, string){"LIST": func(c *talk, _ string) {
		if c.cwd != "/b" {
			c.send(srv.lists, strings.TrimSuffix(c.cwd, "/"))
			return
		}
		flood(c, n, func(i int) string { return unixLine(fmt.Sprint(name, i), 1) })
	}}
	src := srv.source(t, "")
	src.Connections = 2
	var got []string
	err := Walk(testContext(t), newPool(t, src), "", WalkOptions{Connections: 2}, func(f Found) error {
		if f.Entry.Type == listing.File || f.Err != nil {
			got = append(got, f.Rel)
		}
		return f.Err
	})
	if err != nil || len(got) != n+1 || got[n] != "c/f" || !slices.IsSortedFunc(got, func(a, b string) int { return strings.Compare(a[:1], b[:1]) }) {
		t.Errorf("%d, %v", len(got), err)
	}
}
