package audit

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"time"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"
)

// MaxLine is the longest line that is written or read, in bytes without the newline: more than the texts of
// an entry can fill.
const MaxLine = 512 << 10

// hash is the SHA-256 of a line, without its newline.
type hash [sha256.Size]byte

func (h hash) String() string { return hex.EncodeToString(h[:]) }

// line is one line as it was read.
type line struct {
	Seq  uint64 `json:"seq"`
	Prev string `json:"prev"` // hash of the line before, hexadecimal
	Entry

	prev hash
	sum  hash // of this line
}

var errLine = errors.New("not a line of the audit log")

// parseLine reads a line, without its newline.
func parseLine(raw []byte) (line, error) {
	var l line
	if len(raw) > MaxLine {
		return l, fmt.Errorf("%w: it is longer than %d bytes", errLine, MaxLine)
	}
	if !utf8.Valid(raw) {
		return l, fmt.Errorf("%w: it is not UTF-8", errLine)
	}
	if i := bytes.IndexFunc(raw, unsafeRune); i >= 0 {
		return l, fmt.Errorf("%w: at byte %d is a character that is never written as it is", errLine, i+1)
	}
	d := json.NewDecoder(bytes.NewReader(raw))
	if err := d.Decode(&l); err != nil {
		return l, fmt.Errorf("%w: %w", errLine, err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return l, fmt.Errorf("%w: something follows the JSON object", errLine)
	}
	prev, err := hex.DecodeString(l.Prev)
	switch {
	case l.Seq == 0:
		return l, fmt.Errorf("%w: it has no number", errLine)
	case err != nil || len(prev) != len(l.prev):
		return l, fmt.Errorf("%w: it has no SHA-256 of the line before", errLine)
	case l.Verb == "":
		return l, fmt.Errorf("%w: it has no verb", errLine)
	}
	l.prev, l.sum = hash(prev), sha256.Sum256(raw)
	return l, nil
}

// appendLine appends the line of an entry's body, with its newline.
func appendLine(b []byte, seq uint64, prev hash, body []byte) ([]byte, hash) {
	from := len(b)
	b = append(b, `{"seq":`...)
	b = strconv.AppendUint(b, seq, 10)
	b = append(b, `,"prev":"`...)
	b = hex.AppendEncode(b, prev[:])
	b = append(b, '"', ',')
	b = append(b, body...)
	sum := sha256.Sum256(b[from:])
	return append(b, '\n'), sum
}

// appendEntry appends an entry as JSON without the brace it begins with: what a line has after its number and hash.
func appendEntry(b []byte, e *Entry) []byte {
	b = append(b, `"time":"`...)
	b = e.Time.UTC().AppendFormat(b, time.RFC3339Nano)
	b = append(b, '"')
	text := func(key, value string) {
		if value != "" {
			b = append(b, ',', '"')
			b = append(b, key...)
			b = append(b, '"', ':')
			b = appendText(b, value)
		}
	}
	number := func(key string, n int64) {
		if n != 0 {
			b = append(b, ',', '"')
			b = append(b, key...)
			b = append(b, '"', ':')
			b = strconv.AppendInt(b, n, 10)
		}
	}
	text("node", e.Node)
	text("verb", string(e.Verb))
	text("result", string(e.Result))
	text("user", e.User)
	text("by", e.By)
	if e.Address.IsValid() {
		text("address", e.Address.String())
	}
	text("protocol", e.Protocol)
	text("session", e.Session)
	text("path", e.Path)
	text("key", e.Key)
	text("to", e.To)
	text("to_key", e.ToKey)
	number("bytes", e.Bytes)
	text("ref", e.Ref)
	text("reason", e.Reason)
	number("through", int64(e.Through))
	text("signer", e.Signer)
	if len(e.Signature) > 0 {
		text("signature", base64.StdEncoding.EncodeToString(e.Signature))
	}
	return append(b, '}')
}

// appendText appends a JSON string of printable characters. encoding/json would leave C1 controls, marks
// of direction and other format characters as they are. Bytes that are not UTF-8 become U+FFFD.
func appendText(b []byte, s string) []byte {
	const digits = "0123456789abcdef"
	unit := func(u uint16) {
		b = append(b, '\\', 'u', digits[u>>12], digits[u>>8&15], digits[u>>4&15], digits[u&15])
	}
	cut := len(s) > MaxText
	if cut {
		s = s[:MaxText]
		for i := 1; i < utf8.UTFMax && !endsInRune(s); i++ { // not in the middle of a character
			s = s[:len(s)-1]
		}
	}
	b = append(b, '"')
	for _, r := range s {
		switch {
		case r == '"' || r == '\\':
			b = append(b, '\\', byte(r))
		case !unsafeRune(r):
			b = utf8.AppendRune(b, r)
		case r < 0x10000:
			unit(uint16(r))
		default:
			hi, lo := utf16.EncodeRune(r)
			unit(uint16(hi))
			unit(uint16(lo))
		}
	}
	if cut {
		b = append(b, "…"...)
	}
	return append(b, '"')
}

func endsInRune(s string) bool {
	r, n := utf8.DecodeLastRuneInString(s)
	return r != utf8.RuneError || n != 1
}

// unsafeRune reports whether a character is written escaped: controls, format characters, blanks other than
// the space, private and unassigned ones, and what no font shows.
func unsafeRune(r rune) bool { return !unicode.IsPrint(r) }
