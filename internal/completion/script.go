package completion

import (
	_ "embed"
	"fmt"
	"io"
	"strings"
)

//go:embed bash.sh
var bashScript string

//go:embed zsh.sh
var zshScript string

//go:embed fish.fish
var fishScript string

// Shells are those that Script knows.
func Shells() []string { return []string{"bash", "zsh", "fish"} }

// Script is what a shell reads to complete the command lines of program, which is a plain word.
// It is false for a shell that is not known. The script runs "PROGRAM complete SHELL -- WORD...", of which
// the last word is the one that is completed; with bash, the one WORD is the line up to the cursor.
func Script(shell, program string) (string, bool) {
	text, ok := map[string]string{"bash": bashScript, "zsh": zshScript, "fish": fishScript}[shell]
	return strings.ReplaceAll(text, "PROGRAM", program), ok
}

// Write answers the script: first a line that says "files", "dirs" or "words", then the prefix on a line,
// then a line for each candidate, with a tab before its help.
func (r Result) Write(w io.Writer) error {
	kind := "words"
	switch {
	case r.Files:
		kind = "files"
	case r.Dirs:
		kind = "dirs"
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s\n%s\n", kind, r.Prefix)
	for _, c := range r.Candidates {
		if strings.ContainsFunc(c.Word, func(r rune) bool { return r < ' ' || r == 0x7f }) {
			continue // it could not be told from two
		}
		b.WriteString(c.Word)
		if help, _, _ := strings.Cut(c.Help, "\n"); help != "" {
			b.WriteString("\t" + strings.ReplaceAll(help, "\t", " "))
		}
		b.WriteByte('\n')
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// SplitLine splits a command line as a shell does, without expanding anything; the last word is "" after a
// blank. A quote that is open is closed at the end.
func SplitLine(line string) []string {
	var words []string
	var word strings.Builder
	inside, quote := false, rune(0)
	escaped := false
	for _, r := range line {
		switch {
		case escaped:
			word.WriteRune(r)
			escaped = false
		case r == '\\' && quote != '\'':
			escaped, inside = true, true
		case quote != 0 && r == quote:
			quote = 0
		case quote != 0:
			word.WriteRune(r)
		case r == '\'' || r == '"':
			quote, inside = r, true
		case r == ' ' || r == '\t' || r == '\n':
			if inside || word.Len() > 0 {
				words = append(words, word.String())
			}
			word.Reset()
			inside = false
		default:
			word.WriteRune(r)
		}
	}
	return append(words, word.String())
}
