package integrity

import (
	"errors"
	"fmt"
)

// maxBERDepth bounds the nesting of a CMS message; a signature with its
// certificates needs about a dozen levels.
const maxBERDepth = 32

// berToDER rewrites the lengths of BER (ITU-T X.690) as DER has them: definite
// and as short as can be. What streaming programs write is then readable by a
// strict decoder. DER comes back as it is. Values are not touched, so a set out
// of order stays out of order. The data must be one element.
func berToDER(data []byte) ([]byte, error) {
	out, rest, err := appendDER(nil, data, 0)
	if err != nil {
		return nil, err
	}
	if len(rest) > 0 {
		return nil, fmt.Errorf("%d bytes behind its end", len(rest))
	}
	return out, nil
}

// appendDER rewrites the first element of data.
func appendDER(out, data []byte, depth int) (der, rest []byte, err error) {
	if depth > maxBERDepth {
		return nil, nil, fmt.Errorf("nested deeper than %d levels", maxBERDepth)
	}
	if len(data) < 2 {
		return nil, nil, errors.New("it ends within an element")
	}
	tag := data[0]
	if tag&0x1f == 0x1f {
		return nil, nil, fmt.Errorf("long tag 0x%02x", tag)
	}
	if tag&0x20 != 0 && data[1] == 0x80 {
		var content []byte
		if content, rest, err = derContents(data[2:], depth, true); err != nil {
			return nil, nil, err
		}
		return append(appendHeader(out, tag, len(content)), content...), rest, nil
	}
	content, rest, err := cutContent(data[1:])
	if err != nil {
		return nil, nil, err
	}
	if tag&0x20 != 0 {
		if content, _, err = derContents(content, depth, false); err != nil {
			return nil, nil, err
		}
	}
	return append(appendHeader(out, tag, len(content)), content...), rest, nil
}

// derContents rewrites elements until data ends, or if open until the two zero
// bytes that end contents of indefinite length.
func derContents(data []byte, depth int, open bool) (content, rest []byte, err error) {
	for len(data) > 0 {
		if open && len(data) >= 2 && data[0] == 0 && data[1] == 0 {
			return content, data[2:], nil
		}
		if content, data, err = appendDER(content, data, depth+1); err != nil {
			return nil, nil, err
		}
	}
	if open {
		return nil, nil, errors.New("contents of indefinite length have no end")
	}
	return content, nil, nil
}

// cutContent reads a definite length and cuts off as many bytes.
func cutContent(data []byte) (content, rest []byte, err error) {
	length, data := int(data[0]), data[1:]
	if length >= 0x80 {
		n := length & 0x7f
		if n == 0 || n > 4 || n > len(data) {
			return nil, nil, fmt.Errorf("length of %d bytes", n)
		}
		length = 0
		for _, b := range data[:n] {
			length = length<<8 | int(b)
		}
		data = data[n:]
	}
	if length < 0 || length > len(data) {
		return nil, nil, fmt.Errorf("an element of %d bytes where %d are left", length, len(data))
	}
	return data[:length], data[length:], nil
}

func appendHeader(out []byte, tag byte, length int) []byte {
	out = append(out, tag)
	switch {
	case length < 0x80:
		return append(out, byte(length))
	case length < 1<<8:
		return append(out, 0x81, byte(length))
	case length < 1<<16:
		return append(out, 0x82, byte(length>>8), byte(length))
	}
	return append(out, 0x83, byte(length>>16), byte(length>>8), byte(length))
}
