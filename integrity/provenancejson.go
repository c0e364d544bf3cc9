package integrity

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode"
	"unicode/utf8"
)

// maxJSONDepth bounds the nesting of what is read; a statement has 6 levels.
const maxJSONDepth = 32

// checkJSON refuses JSON that two readers could take for different things: a
// name twice in one object, also if only case tells them apart (encoding/json
// does not), bytes that are not UTF-8, and more than one value.
func checkJSON(data []byte) error {
	if !utf8.Valid(data) {
		return errors.New("not UTF-8")
	}
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber()
	if err := checkValue(d, 0); err != nil {
		return err
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return errors.New("more than one JSON value")
	}
	return nil
}

func checkValue(d *json.Decoder, depth int) error {
	if depth > maxJSONDepth {
		return fmt.Errorf("nested more than %d deep", maxJSONDepth)
	}
	token, err := d.Token()
	if err != nil {
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		return err
	}
	switch token {
	case json.Delim('{'):
		err = checkObject(d, depth)
	case json.Delim('['):
		for err == nil && d.More() {
			err = checkValue(d, depth+1)
		}
	default:
		return nil
	}
	if err == nil {
		_, err = d.Token() // the end that More saw
	}
	return err
}

func checkObject(d *json.Decoder, depth int) error {
	names := make(map[string]bool)
	for d.More() {
		token, err := d.Token()
		if err != nil {
			return err
		}
		name, _ := token.(string) // the decoder lets nothing else stand here
		folded := foldName(name)
		if names[folded] {
			return fmt.Errorf("the field %.100q is there twice", name)
		}
		names[folded] = true
		if err := checkValue(d, depth+1); err != nil {
			return err
		}
	}
	return nil
}

// foldName maps names that encoding/json takes for the same to one, by the
// smallest rune that folds to each.
func foldName(name string) string {
	return strings.Map(func(r rune) rune {
		least := r
		for next := unicode.SimpleFold(r); next != r; next = unicode.SimpleFold(next) {
			least = min(least, next)
		}
		return least
	}, name)
}

// escapeJSON writes every character of JSON text that is not printable as an
// escape: names come from servers, and statements are printed on terminals. Such
// characters can only stand inside strings, so that the value is the same.
func escapeJSON(data []byte) []byte {
	out := make([]byte, 0, len(data))
	for i := 0; i < len(data); {
		if c := data[i]; c < 0x7f {
			out = append(out, c)
			i++
			continue
		}
		r, n := utf8.DecodeRune(data[i:])
		switch {
		case r < utf8.RuneSelf && r != 0x7f || unicode.IsPrint(r):
			out = append(out, data[i:i+n]...)
		case r > 0xffff:
			// UTF-16 surrogates (RFC 8259, section 7).
			out = fmt.Appendf(out, `\u%04x\u%04x`, 0xd800+(r-0x10000)>>10, 0xdc00+(r-0x10000)&0x3ff)
		default:
			out = fmt.Appendf(out, `\u%04x`, r)
		}
		i += n
	}
	return out
}
