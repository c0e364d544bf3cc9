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

// fingerprintIndent is how far a line may be indented that has to hold a whole
// fingerprint, "sha256:" and 64 digits.
const fingerprintIndent = 6

// wrapText writes text in lines of textWidth, broken at blanks. The first line
// begins with first, the others are indented as far.
func wrapText(w io.Writer, first, text string) {
	wrapHanging(w, first, utf8.RuneCountInString(first), text)
}

// wrapHanging is wrapText with lines after the first that are indented by hang.
func wrapHanging(w io.Writer, first string, hang int, text string) {
	indent := strings.Repeat(" ", hang)
	line, columns, empty := first, utf8.RuneCountInString(first), true
	for word := range strings.FieldsSeq(text) {
		n := utf8.RuneCountInString(word)
		if !empty && columns+1+n > textWidth {
			fmt.Fprintln(w, line)
			line, columns, empty = indent, hang, true
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
