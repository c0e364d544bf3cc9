package sftpsrv

import (
	"errors"
	"fmt"
	"strings"
)

// word is one word of a command line, after the quotes.
type word struct {
	text    string
	pattern string // the same for path.Match: what was quoted stands for itself
	glob    bool   // pattern has something that stands for more than itself
}

var errWords = errors.New("command line not understood")

// splitWords splits a command line as a POSIX shell does (Shell Command Language, sections 2.2
// and 2.3): blanks, single and double quotes, backslashes; "~/" at the beginning of a word is the
// user's root. Nothing is carried out or replaced: what a shell would do more with than take it
// literally is an error, but for the patterns *, ? and [...], which the word keeps.
func splitWords(line string) ([]word, error) {
	s := splitter{rest: line}
	for s.next() {
		if len(s.words) > maxWords {
			return nil, fmt.Errorf("%w: more than %d words", errWords, maxWords)
		}
	}
	return s.words, s.err
}

type splitter struct {
	rest  string
	words []word
	err   error
}

// next takes one word off; false at the end.
func (s *splitter) next() bool {
	s.rest = strings.TrimLeft(s.rest, " \t")
	if s.rest == "" {
		return false
	}
	var w wordBuilder
	switch s.rest[0] {
	case '#':
		return s.fail("# begins a comment")
	case '~':
		if s.rest = s.rest[1:]; s.rest != "" && !strings.ContainsAny(s.rest[:1], "/ \t") {
			return s.fail("~ cannot name a user")
		}
		w.literal('/')
	}
	for s.rest != "" && s.rest[0] != ' ' && s.rest[0] != '\t' {
		c := s.rest[0]
		s.rest = s.rest[1:]
		if !s.part(&w, c) {
			return false
		}
	}
	s.words = append(s.words, word{text: w.text.String(), pattern: w.pattern.String(), glob: w.glob})
	return true
}

// part takes what begins with c outside of quotes.
func (s *splitter) part(w *wordBuilder, c byte) bool {
	switch c {
	case '\'':
		quoted, rest, ok := strings.Cut(s.rest, "'")
		if !ok {
			return s.fail("a single quote is not closed")
		}
		w.literals(quoted)
		s.rest = rest
	case '"':
		return s.doubleQuoted(w)
	case '\\':
		if s.rest == "" || s.rest[0] == '\n' {
			return s.fail("a backslash at the end of a line")
		}
		w.literal(s.rest[0])
		s.rest = s.rest[1:]
	case '*', '?', '[':
		w.special(c)
	case '|', '&', ';', '<', '>', '(', ')', '$', '`', '\n', '\r', 0:
		return s.fail(fmt.Sprintf("%q means something to a shell, and there is none", c))
	default:
		w.literal(c)
	}
	return true
}

func (s *splitter) doubleQuoted(w *wordBuilder) bool {
	for s.rest != "" {
		c := s.rest[0]
		s.rest = s.rest[1:]
		switch c {
		case '"':
			return true
		case '$', '`', 0:
			return s.fail(fmt.Sprintf("%q means something to a shell, and there is none", c))
		case '\\':
			if s.rest != "" && strings.ContainsAny(s.rest[:1], "$`\"\\") {
				c, s.rest = s.rest[0], s.rest[1:]
			}
		}
		w.literal(c)
	}
	return s.fail("a double quote is not closed")
}

func (s *splitter) fail(why string) bool {
	s.words, s.err = nil, fmt.Errorf("%w: %s", errWords, why)
	return false
}

// wordBuilder builds the two forms of a word.
type wordBuilder struct {
	text, pattern strings.Builder
	glob          bool
}

func (w *wordBuilder) literal(c byte) {
	w.text.WriteByte(c)
	if strings.IndexByte(`*?[\`, c) >= 0 {
		w.pattern.WriteByte('\\')
	}
	w.pattern.WriteByte(c)
}

func (w *wordBuilder) literals(s string) {
	for i := range len(s) {
		w.literal(s[i])
	}
}

func (w *wordBuilder) special(c byte) {
	w.text.WriteByte(c)
	w.pattern.WriteByte(c)
	w.glob = true
}
