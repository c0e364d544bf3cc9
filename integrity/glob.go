package integrity

import (
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"
)

// glob is a compiled pattern over slash-separated text. "*" and "?" stay within
// an element, an element "**" stands for any number of elements, also none, and
// a backslash takes the next character literally. Matching takes at most
// pattern times text steps, whatever the text.
type glob struct {
	elements []element
}

// element matches one part between slashes; any is "**".
type element struct {
	any    bool
	tokens []token
}

type token struct {
	kind tokenKind
	r    rune
}

type tokenKind uint8

const (
	literal tokenKind = iota
	anyOne
	anyRun
)

func parseGlob(pattern string) (glob, error) {
	var g glob
	for part := range strings.SplitSeq(pattern, "/") {
		e, err := parseElement(part)
		if err != nil {
			return glob{}, fmt.Errorf("pattern %.200q: %w", pattern, err)
		}
		g.elements = append(g.elements, e)
	}
	return g, nil
}

func parseElement(part string) (element, error) {
	if part == "**" {
		return element{any: true}, nil
	}
	if strings.Contains(part, "**") {
		return element{}, errors.New(`"**" must stand alone between slashes`)
	}
	var e element
	escaped := false
	for _, r := range part {
		t := token{literal, r}
		switch {
		case escaped:
			escaped = false
		case r == '\\':
			escaped = true
			continue
		case r == '*':
			t.kind = anyRun
		case r == '?':
			t.kind = anyOne
		}
		e.tokens = append(e.tokens, t)
	}
	if escaped {
		return element{}, errors.New("ends in a backslash")
	}
	return e, nil
}

// match reports whether the whole text matches. After a failure only the last
// "**" seen needs to take one element more, since everything before it already
// matched as early as it could.
func (g glob) match(text string) bool {
	var parts = strings.Split(text, "/")
	i, j := 0, 0
	star, mark := -1, 0
	for j < len(parts) {
		switch {
		case i < len(g.elements) && g.elements[i].any:
			star, mark = i, j
			i++
		case i < len(g.elements) && g.elements[i].match(parts[j]):
			i++
			j++
		case star >= 0:
			mark++
			i, j = star+1, mark
		default:
			return false
		}
	}
	for i < len(g.elements) && g.elements[i].any {
		i++
	}
	return i == len(g.elements)
}

// matchesBelow reports whether the glob can match anything in a folder or below,
// "" for the root.
func (g glob) matchesBelow(dir string) bool {
	if dir == "" {
		return true
	}
	// Where the pattern can stand after each part; "**" may also end here.
	at := map[int]bool{0: true}
	for part := range strings.SplitSeq(dir, "/") {
		next := make(map[int]bool)
		for i := range at {
			for ; i < len(g.elements) && g.elements[i].any; i++ {
				next[i] = true
			}
			if i < len(g.elements) && g.elements[i].match(part) {
				next[i+1] = true
			}
		}
		at = next
	}
	delete(at, len(g.elements)) // nothing is left for a file
	return len(at) > 0
}

// match works like glob.match, with characters in place of elements.
func (e element) match(s string) bool {
	i, j := 0, 0
	star, mark := -1, 0
	for j < len(s) {
		r, n := utf8.DecodeRuneInString(s[j:])
		switch {
		case i < len(e.tokens) && e.tokens[i].kind == anyRun:
			star, mark = i, j
			i++
		case i < len(e.tokens) && e.tokens[i].matches(r, n):
			i++
			j += n
		case star >= 0:
			_, skip := utf8.DecodeRuneInString(s[mark:])
			mark += skip
			i, j = star+1, mark
		default:
			return false
		}
	}
	for i < len(e.tokens) && e.tokens[i].kind == anyRun {
		i++
	}
	return i == len(e.tokens)
}

// matches compares one character; n == 1 tells a stray byte from a real U+FFFD.
func (t token) matches(r rune, n int) bool {
	if t.kind == anyOne {
		return true
	}
	return t.r == r && (r != utf8.RuneError || n > 1)
}
