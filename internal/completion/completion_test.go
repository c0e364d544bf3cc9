package completion

import (
	"bytes"
	"slices"
	"strings"
	"testing"

	"github.com/alecthomas/kong"
)

type grammar struct {
	Config string `short:"c" type:"path" placeholder:"FILE"`
	Loud   bool   `short:"l" help:"Be loud."`
	Secret string `hidden:""`
	User   struct {
		Add struct {
			Name  string   `arg:""`
			Shell string   `enum:"bash,zsh," default:""`
			Key   []string `placeholder:"KEY"`
			Home  string   `type:"path" placeholder:"DIR"`
		} `cmd:"" help:"Add a user.\nMore."`
		Remove struct {
			Names []string `arg:"" complete:"user"`
		} `cmd:"" aliases:"rm"`
	} `cmd:""`
	Move struct {
		From string `arg:"" complete:"place"`
		To   string `arg:"" complete:"here,there"`
	} `cmd:""`
	Ghost struct{} `cmd:"" hidden:""`
}

func complete(t *testing.T, words ...string) Result {
	t.Helper()
	parser, err := kong.New(&grammar{})
	if err != nil {
		t.Fatal(err)
	}
	return Complete(parser.Model, words, func(kind string, words []string) []string {
		return []string{kind + "1", kind + "2:", FlagValue(words, "config", 'c')}
	})
}

func TestComplete(t *testing.T) {
	for _, tt := range []struct {
		line  string // words, with blanks between
		want  string // the same
		files bool
		dirs  bool
	}{
		{line: "", want: "user move"},
		{line: "u", want: "user"},
		{line: "user ", want: "add remove"},
		{line: "user r", want: "remove"},
		{line: "user rm ", want: "user1 user2:"},
		{line: "user remove x y user2", want: "user2:"},
		{line: "-", want: "--help --config --loud"},
		{line: "--loud -", want: "--help --config"},
		{line: "user add x --", want: "--help --config --loud --shell --key --home"},
		{line: "user add x --key k --", want: "--help --config --loud --shell --key --home"},
		{line: "user add x --shell ", want: "bash zsh"},
		{line: "user add x --shell=z", want: "--shell=zsh"},
		{line: "user add x --home ", dirs: true},
		{line: "user add x --home=/s", dirs: true},
		{line: "--config ", files: true},
		{line: "-c ", files: true},
		{line: "-cfile mo", want: "move"},
		{line: "-lc ", want: "user move"}, // no program of ours is written so; it must not fail
		{line: "--config x -l mo", want: "move"},
		{line: "--loud=x", want: ""},
		{line: "--unknown ", want: "user move"},
		{line: "--unknown=", want: ""},
		{line: "move ", want: "place1 place2:"},
		{line: "-c conf move c", want: "conf"},
		{line: "move a ", want: "here there"},
		{line: "move a b ", want: ""},
		{line: "move -- -", want: ""},
		{line: "move -- --loud h", want: "here"},
	} {
		r := complete(t, strings.Split(tt.line, " ")...)
		var got []string
		for _, c := range r.Candidates {
			if c.Word != "" {
				got = append(got, c.Word)
			}
		}
		if strings.Join(got, " ") != tt.want || r.Files != tt.files || r.Dirs != tt.dirs {
			t.Errorf("%q: %q, files %v, dirs %v", tt.line, got, r.Files, r.Dirs)
		}
	}
	if r := complete(t, "user", "add", "x", "--home=/s"); r.Prefix != "--home=" {
		t.Errorf("prefix %q", r.Prefix)
	}
	if r := complete(t); len(r.Candidates) != 2 {
		t.Errorf("no words at all: %v", r)
	}
}

func TestWrite(t *testing.T) {
	var b bytes.Buffer
	r := Result{Files: true, Prefix: "--a=", Candidates: []Candidate{{"one", "its\thelp\nmore"}, {"evil\nline", ""}, {"esc\x1b", ""}, {"two", ""}}}
	if err := r.Write(&b); err != nil || b.String() != "files\n--a=\none\tits help\ntwo\n" {
		t.Errorf("%q, %v", &b, err)
	}
}

func TestSplitLine(t *testing.T) {
	for line, want := range map[string][]string{
		"":                         {""},
		"gateway":                  {"gateway"},
		"gateway ":                 {"gateway", ""},
		`a  "b c" d\ e 'f"\g' h"i`: {"a", "b c", "d e", `f"\g`, "hi"},
		`a ""`:                     {"a", ""},
		`a "" b`:                   {"a", "", "b"},
		`a b\`:                     {"a", "b"},
		"a\t--x=ü\n":               {"a", "--x=ü", ""},
	} {
		if got := SplitLine(line); !slices.Equal(got, want) {
			t.Errorf("%q: %q, want %q", line, got, want)
		}
	}
}

func FuzzSplitLine(f *testing.F) {
	f.Add("gateway 'a b' \\")
	f.Fuzz(func(t *testing.T, line string) {
		if words := SplitLine(line); len(words) == 0 || len(strings.Join(words, "")) > 3*len(line) {
			t.Errorf("%q", words)
		}
	})
}

func TestScript(t *testing.T) {
	for _, shell := range Shells() {
		s, ok := Script(shell, "tool")
		if !ok || strings.Contains(s, "PROGRAM") || !strings.Contains(s, "complete "+shell+" -- ") {
			t.Errorf("%s: %v %s", shell, ok, s)
		}
	}
	if _, ok := Script("csh", "tool"); ok {
		t.Error("a script for csh")
	}
}
