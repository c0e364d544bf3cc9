package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"reflect"
	"regexp"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// MaxFile is the largest YAML file that is read, in bytes.
const MaxFile = 1 << 20

// Error is a mistake in a configuration file.
type Error struct {
	File string // "" where there is no file
	Line int    // 0 where the line is not known
	Msg  string
}

func (e *Error) Error() string {
	switch {
	case e.File == "":
		return "configuration: " + e.Msg
	case e.Line == 0:
		return fmt.Sprintf("%s: %s", e.File, e.Msg)
	}
	return fmt.Sprintf("%s:%d: %s", e.File, e.Line, e.Msg)
}

// ReadFile reads a YAML file for Decode. Of a larger file than MaxFile it reads one
// byte more, for Decode to refuse.
func ReadFile(file string) ([]byte, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, MaxFile+1))
}

// Decode reads one YAML document into a struct. Unknown keys, keys given twice
// and a second document are mistakes. The errors are *Error, joined.
func Decode(file string, data []byte, into any) error {
	if len(data) > MaxFile {
		return &Error{File: file, Msg: fmt.Sprintf("the file is larger than %d bytes", MaxFile)}
	}
	dec := yaml.NewDecoder(bytes.NewReader(data))
	dec.KnownFields(true)
	if err := dec.Decode(into); err != nil {
		if errors.Is(err, io.EOF) {
			return nil // an empty file asks for the defaults
		}
		return explain(file, err, reflect.TypeOf(into))
	}
	if err := dec.Decode(new(yaml.Node)); !errors.Is(err, io.EOF) {
		return &Error{File: file, Msg: "there is more than one YAML document; keep one"}
	}
	return nil
}

var (
	lineMsg    = regexp.MustCompile(`^(?:yaml: )?line (\d+): (.*)$`)
	unknownKey = regexp.MustCompile(`^field (\S+) not found in type \S+$`)
	wrongKind  = regexp.MustCompile("^cannot unmarshal !!(\\S+) (?:`(.*)` )?into (.+)$")
)

// explain turns the YAML library's words into ones for people.
func explain(file string, err error, t reflect.Type) error {
	var te *yaml.TypeError
	if !errors.As(err, &te) {
		return oneError(file, err.Error(), t)
	}
	var errs []error
	for _, msg := range te.Errors {
		errs = append(errs, oneError(file, msg, t))
	}
	return errors.Join(errs...)
}

func oneError(file, msg string, t reflect.Type) error {
	e := &Error{File: file, Msg: strings.TrimPrefix(msg, "yaml: ")}
	if m := lineMsg.FindStringSubmatch(msg); m != nil {
		e.Line, _ = strconv.Atoi(m[1])
		e.Msg = m[2]
	}
	if m := unknownKey.FindStringSubmatch(e.Msg); m != nil {
		e.Msg = fmt.Sprintf("unknown key %q", m[1])
		if n := nearest(m[1], keysOf(t, map[reflect.Type]bool{})); n != "" {
			e.Msg += fmt.Sprintf("; did you mean %q?", n)
		}
	} else if m := wrongKind.FindStringSubmatch(e.Msg); m != nil {
		e.Msg = fmt.Sprintf("expected %s, found %s %q", kindName(m[3]), kindName(m[1]), m[2])
	}
	return e
}

func kindName(s string) string {
	switch {
	case s == "str" || s == "string":
		return "text"
	case s == "seq" || strings.HasPrefix(s, "[]"):
		return "a list"
	case s == "map" || strings.HasPrefix(s, "map[") || strings.Contains(s, "."):
		if strings.HasSuffix(s, "Duration") {
			return "a duration such as 15m"
		}
		return "a block of keys"
	case strings.HasPrefix(s, "int"):
		return "a whole number"
	case s == "bool":
		return "true or false"
	}
	return s
}

// keysOf collects the YAML keys of a struct and of all it holds.
func keysOf(t reflect.Type, seen map[reflect.Type]bool) []string {
	switch t.Kind() {
	case reflect.Pointer, reflect.Slice, reflect.Map:
		return keysOf(t.Elem(), seen)
	case reflect.Struct:
	default:
		return nil
	}
	if seen[t] {
		return nil
	}
	seen[t] = true
	var keys []string
	for i := range t.NumField() {
		f := t.Field(i)
		if !f.IsExported() {
			continue
		}
		if tag, _, _ := strings.Cut(f.Tag.Get("yaml"), ","); tag != "" && tag != "-" {
			keys = append(keys, tag)
		}
		keys = append(keys, keysOf(f.Type, seen)...)
	}
	return keys
}

// nearest is the key within two edits, "" if there is none.
func nearest(word string, keys []string) string {
	best, bestDist := "", 3
	for _, k := range keys {
		if d := distance(word, k); d < bestDist {
			best, bestDist = k, d
		}
	}
	return best
}

// distance is the Levenshtein distance of two short words.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		prev := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := prev
			if a[i] != b[j] {
				cost++
			}
			prev = row[j+1]
			row[j+1] = min(cost, row[j+1]+1, row[j]+1)
		}
	}
	return row[len(b)]
}

// lineOf finds the line of a dotted key in a YAML file, or of its nearest parent; 0 if none.
func lineOf(raw []byte, key string) int {
	var doc yaml.Node
	if yaml.Unmarshal(raw, &doc) != nil || len(doc.Content) == 0 {
		return 0
	}
	n, line := doc.Content[0], 0
	for _, part := range strings.Split(key, ".") {
		var next *yaml.Node
		for i := 0; n != nil && n.Kind == yaml.MappingNode && i+1 < len(n.Content); i += 2 {
			if n.Content[i].Value == part {
				line, next = n.Content[i].Line, n.Content[i+1]
			}
		}
		n = next
	}
	return line
}
