package sftpsrv

import (
	"errors"
	"os/exec"
	"path"
	"strings"
	"testing"
)

func TestSplitWords(t *testing.T) {
	for line, want := range map[string]string{
		"":                        "",
		" \t ":                    "",
		"md5sum /a\\ b":           "md5sum|/a b",
		`md5sum '/it'\''s'`:       "md5sum|/it's",
		`a "b c" 'd "e"' "f 'g'"`: `a|b c|d "e"|f 'g'`,
		`"\$\"\\\x"`:              `$"\\x`,
		`'' ""`:                   "|",
		`x'y'"z"\ w`:              "xyz w",
		`"'` + "\n" + `'"`:        "'\n'",
		"scp -f ~/x ~ a~b":        "scp|-f|//x|/|a~b",
		`scp -t ü\ 日本`:            "scp|-t|ü 日本",
		`a\#b#c`:                  "a#b#c",
		`{a,b}=!%`:                "{a,b}=!%",
	} {
		words, err := splitWords(line)
		var texts []string
		for _, w := range words {
			texts = append(texts, w.text)
		}
		if got := strings.Join(texts, "|"); err != nil || got != want {
			t.Errorf("%q is %q, %v, want %q", line, got, err, want)
		}
	}
	for _, line := range []string{
		"a;b", "a|b", "a&b", "a>b", "a<b", "(a)", "$HOME", "`a`", `"$a"`, `"` + "`a`" + `"`, "a\nb", "'a", `"a`, `a\`, "~root/x", "#a", "a\x00b",
		"\"a\x00\"", "a\\\nb", strings.Repeat("a ", maxWords+2),
	} {
		if words, err := splitWords(line); !errors.Is(err, errWords) || words != nil {
			t.Errorf("%.20q is %v, %v", line, words, err)
		}
	}
	words, err := splitWords(`d/*.t'*'x\?[a-c]`)
	if err != nil || len(words) != 1 || !words[0].glob {
		t.Fatalf("%v, %v", words, err)
	}
	for name, want := range map[string]bool{"d/y.t*x?b": true, "d/y.tyx?b": false, "d/y.t*xyb": false} {
		if got, _ := path.Match(words[0].pattern, name); got != want {
			t.Errorf("%q matches %q: %v", words[0].pattern, name, got)
		}
	}
}

// FuzzWords holds the splitting against the shell of this machine.
func FuzzWords(f *testing.F) {
	for _, seed := range []string{`md5sum '/a b'`, `a\ b "c d"'e'`, "a;b", `"\x\\"`, "$(a)", "~/b", "[a*]?"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, line string) {
		words, err := splitWords(line)
		if err != nil {
			if words != nil {
				t.Error("an error and words")
			}
			return
		}
		for _, w := range words {
			if ok, err := path.Match(w.quoted(), w.text); !ok || err != nil {
				t.Errorf("%q does not match %q: %v", w.quoted(), w.text, err)
			}
		}
		// Where nothing in it, not even in quotes, could make a shell do anything, the words are the shell's.
		if strings.ContainsAny(line, "~*?[|&;<>()$`#\n\r\x00") || len(words) == 0 || len(line) > 200 {
			return
		}
		out, err := exec.Command("/bin/sh", "-f", "-c", `printf '%s\0' `+line).Output()
		if err != nil {
			t.Fatalf("the shell refuses %q: %v", line, err)
		}
		var want strings.Builder
		for _, w := range words {
			want.WriteString(w.text + "\x00")
		}
		if want.String() != string(out) {
			t.Errorf("%q: %q, the shell says %q", line, want.String(), out)
		}
	})
}
