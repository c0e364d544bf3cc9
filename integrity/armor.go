package integrity

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"slices"
)

// decodePEM decodes a file that is one PEM block (RFC 7468) of one of these
// types and nothing else: no text or blank line around it, no headers, no
// second block, one way to write the same bytes but for the lengths and ends of
// the lines. The decoders at hand skip what they do not understand, and text
// that is skipped is text that somebody else may read as signed.
func decodePEM(data []byte, types ...string) ([]byte, error) {
	lines := splitLines(data)
	first := lines[0]
	i := slices.IndexFunc(types, func(t string) bool { return string(first) == "-----BEGIN "+t+"-----" })
	if i < 0 {
		return nil, fmt.Errorf("it begins with %.60q, not with the line -----BEGIN %s-----", first, types[0])
	}
	last := len(lines) - 1
	if string(lines[last]) != "-----END "+types[i]+"-----" {
		return nil, fmt.Errorf("it ends with %.60q, not with the line -----END %s-----", lines[last], types[i])
	}
	return decodeBase64(bytes.Join(lines[1:last], nil))
}

// decodeBase64 accepts only what an encoder writes: padded, no other
// characters, and no bits set that decode to nothing.
func decodeBase64(text []byte) ([]byte, error) {
	// The decoder skips line ends, which lines that were split do not have.
	if i := bytes.IndexAny(text, "\r\n"); i >= 0 {
		return nil, base64.CorruptInputError(i)
	}
	return base64.StdEncoding.Strict().AppendDecode(nil, text)
}

// splitLines cuts a text into lines without their ends, LF or CRLF. There is at
// least one; an end at the end of the text does not begin another line.
func splitLines(data []byte) [][]byte {
	data = bytes.TrimSuffix(data, []byte("\n"))
	lines := bytes.Split(data, []byte("\n"))
	for i, line := range lines {
		lines[i] = bytes.TrimSuffix(line, []byte("\r"))
	}
	return lines
}
