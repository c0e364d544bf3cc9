package listing

import (
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// unixReading is all that a parser says of a line.
type unixReading struct {
	Verdict  verdict
	Entry    Entry
	Name     span
	Target   span
	IsLink   bool
	Prefix   string
	Entries  int
	Year     gap
	Clock    gap
	Dated    bool
	OpenDate int
}

func readUnix(line string, read func(*unixParser, *cursor, *Entry) verdict) unixReading {
	d := newDates(time.Date(2024, 6, 15, 12, 0, 0, 0, time.UTC), nil)
	p, e := new(unixParser), Entry{Size: -1, Line: 1}
	c := cursor{text: line, line: []byte(line), dates: &d}
	r := unixReading{Verdict: read(p, &c, &e)}
	r.Entry, r.Name, r.Target, r.IsLink, r.Prefix = e, c.nameSpan, c.linkSpan, c.isLink, c.prefix
	r.Entries, r.Year, r.Clock, r.Dated, r.OpenDate = p.entries, p.gap[1], p.gap[0], p.dated, len(p.order.open)
	return r
}

// checkQuick reads a line both ways and reports whether the quick one read it at all.
func checkQuick(t *testing.T, line string) bool {
	t.Helper()
	got := readUnix(line, func(p *unixParser, c *cursor, e *Entry) verdict {
		if p.quick(c, e) {
			return full
		}
		return miss
	})
	if got.Verdict == miss {
		return false
	}
	want := readUnix(line, func(p *unixParser, c *cursor, e *Entry) verdict {
		v, _ := p.general(c, e)
		return v
	})
	if want != got {
		t.Errorf("%q (-general +quick):\n%s", line, cmp.Diff(want, got, cmp.AllowUnexported(Entry{}, span{}, gap{})))
	}
	return true
}

// quickParts are words for each column, most of them traps: what may start a date too early, what is no such column.
var quickParts = [][]string{
	{"-rw-r--r--", "drwxr-xr-x", "lrwxrwxrwx", "-rwsr-Sr-T", "drwxr-x--", "crw-rw-rw-", "-rw-r--r-x", "l--x--x--x"},
	{" ", "  ", "   ", "+ ", "\t", "- "},
	{"1", "12", "2014", "x", "0125039"},
	{" ", "   "},
	{"ftp", "0", "1000", "2014", "mar", "mon", "12", "2014-03-02", "3月", "03-02", "2.", "3", "31", "a,b", "юзер", "lip"},
	{" ", "    "},
	{"ftp", "0", "1000", "2014", "mar", "Mon", "12", "2014-03-02", "3月", "03-02", "2.", "3", "31", "Okt.", "a:", "2日"},
	{" ", "      "},
	{"4096", "0", "2", "31", "2014", "123", "999999999999999999", "1999999999999999999", "4k", "1,5k", "-1", "15:13", "1.5"},
	{" ", "  "},
	{"Mar", "mar", "MAY", "Okt", "März", "Mär", "déc.", "d\xe9c", "lis", "ožu", "Foo", "3月", "Mon", "12", "Mar,", "2014", "Sept"},
	{" ", "  "},
	{"2", "02", "31", "30", "29", "0", "2.", "2,", "100", "Mar", "x"},
	{" ", "  "},
	{"15:13", "5:13", "24:00", "25:00", "15:60", "15:1", "2014", "0001", "0000", "1800", "9999", "15:13:07", "2014,", "15.13", "20:4", "x"},
	{" ", "  ", "\t", ""},
	{"name", "a b", "a -> b", "a/", "/", "x\t", "2014 y", "15:13", " ", "\r", "\x00", "Mar 2 2014 x", "+0200 2014 x", "AM", "é"},
}

// TestQuick makes lines at random from parts that fit and parts that do not.
func TestQuick(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	taken := 0
	const lines = 300_000
	for range lines {
		var line strings.Builder
		odd := rnd.IntN(4) // how many of the columns may be odd
		for _, words := range quickParts {
			k := 0
			if rnd.IntN(len(quickParts)) <= odd {
				k = rnd.IntN(len(words))
			}
			line.WriteString(words[k])
		}
		if checkQuick(t, line.String()) {
			taken++
		}
	}
	if taken < lines/10 || taken > lines*9/10 {
		t.Errorf("%d of %d lines were quick", taken, lines)
	}
}

// TestQuickColumns has every owner with every group and size, in which a date may seem to start.
func TestQuickColumns(t *testing.T) {
	taken := 0
	for _, owner := range quickParts[4] {
		for _, group := range quickParts[6] {
			for _, size := range quickParts[8] {
				columns := "-rw-r--r-- 1 " + owner + " " + group + " " + size
				for _, date := range []string{
					" Mar 2 15:13", " Mar  2  2014", " 2. Mar 2014", " Mon 2 15:13", " mar 31 2003", " may 2014 2",
				} {
					if checkQuick(t, columns+date+" x") {
						taken++
					}
				}
			}
		}
	}
	if taken == 0 {
		t.Error("no line was quick")
	}
}

func FuzzQuick(f *testing.F) {
	for _, s := range []string{
		"-rw-r--r--   1 owner    group        4096 Mar  2 15:13 name", "drwxr-xr-x 2 1000 1000 31 M\xe4r 2 2014 name",
		"lrwxrwxrwx 1 may 12 2048 Oct 2 10:59 a -> b", "-rw-r--r-- 1 2014 may 2 Oct 2 10:59 a",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, line string) { checkQuick(t, line) })
}
