package main

import (
	"fmt"
	"io"
	"os"
	"strings"
	"unicode/utf8"
)

// textWidth is how many columns what is printed for people fills at most, except
// where a name or a fingerprint is longer.
const textWidth = 80

// wrapText writes text in lines of textWidth, broken at blanks. The first line
// begins with first, the others are indented as far.
func wrapText(w io.Writer, first, text string) {
	indent := strings.Repeat(" ", utf8.RuneCountInString(first))
	line, columns, empty := first, len(indent), true
	for word := range strings.FieldsSeq(text) {
		n := utf8.RuneCountInString(word)
		if !empty && columns+1+n > textWidth {
			fmt.Fprintln(w, line)
			line, columns, empty = indent, len(indent), true
		}
		if !empty {
			line += " "
			columns++
		}
		line += word
		columns += n
		empty = false
	}
	fmt.Fprintln(w, strings.TrimRight(line, " "))
}

// readLimited reads a small file that the command line names: a regular one, or
// a pipe as the shell makes it, of at most limit bytes.
func readLimited(file string, limit int64) ([]byte, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err != nil {
		return nil, err
	}
	if int64(len(data)) > limit {
		return nil, fmt.Errorf("%s has more than %d bytes", file, limit)
	}
	return data, nil
}
