package listing

import (
	"bytes"
	"strings"
)

const jisName = "ISO-2022-JP"

// jisSet is what the bytes of ISO-2022-JP (RFC 1468, JIS X 0202) mean since the last escape sequence.
type jisSet int8

const (
	jisASCII jisSet = iota
	jisRoman        // JIS X 0201: ASCII but for yen sign and overline, which are read as \ and ~
	jisKanji        // JIS X 0208: two bytes a character
	jisKana         // JIS X 0201: half-width katakana
)

// jisEscapes are the escape sequences by set, as they are written. Only these may come and go unseen: a name with
// others shows them as escaped bytes, and so leads back to its own.
var jisEscapes = [...]string{jisASCII: "\x1b(B", jisRoman: "\x1b(J", jisKanji: "\x1b$B", jisKana: "\x1b(I"}

const jisEscapeLen = 3

// jisEscape is the set that the escape sequence at the start of b puts into force.
func jisEscape(b []byte) (jisSet, bool) {
	if len(b) < jisEscapeLen || b[0] != 0x1B {
		return 0, false
	}
	head := string(b[:jisEscapeLen])
	for set, esc := range jisEscapes {
		if head == esc {
			return jisSet(set), true
		}
	}
	return jisKanji, head == "\x1b$@" // JIS C 6226 of 1978
}

// isJIS reports whether a name is ISO-2022-JP: seven bits, and the escape sequences lead to Japanese characters
// and to nothing else.
func isJIS(b []byte) bool {
	if bytes.IndexByte(b, 0x1B) < 0 {
		return false
	}
	d := jisDecoder()
	set, japanese := jisASCII, false
	for len(b) > 0 {
		if to, ok := jisEscape(b); ok {
			set, b = to, b[jisEscapeLen:]
			continue
		}
		r, n := d.jisNext(set, b)
		if r < 0 {
			return false
		}
		japanese = japanese || r >= 0x80
		b = b[n:]
	}
	return japanese
}

// jisCharacter reports whether b is one kanji of ISO-2022-JP between its escape sequences.
func jisCharacter(b []byte) bool {
	return len(b) == 2+2*jisEscapeLen && isJIS(b)
}

func jisDecoder() decoder {
	cs, _ := lookupCharset(jisName)
	return cs.decoder()
}

// decodeJIS decodes a name. Characters between escape sequences such as Encode writes them stand alone; other escape
// sequences are shown, and what follows them is read by them all the same.
func decodeJIS(b []byte) string {
	var out strings.Builder
	d := jisDecoder()
	set := jisASCII
	afterRun := false // Encode would write two runs as one
	for len(b) > 0 {
		if set <= jisRoman && !afterRun {
			if n := d.jisRun(b, nil); n > 0 {
				d.jisRun(b, &out)
				set, b, afterRun = jisASCII, b[n:], true
				continue
			}
		}
		afterRun = false
		if to, ok := jisEscape(b); ok {
			escape(&out, b[:jisEscapeLen])
			set, b = to, b[jisEscapeLen:]
			continue
		}
		r, n := d.jisNext(set, b)
		if r < 0 {
			escape(&out, b[:n])
		} else {
			out.WriteRune(r)
		}
		b = b[n:]
	}
	return out.String()
}

// jisRun is how many bytes at the start of b are Japanese characters with the escape sequences before, between and
// after them that Encode writes; 0 where they are not. Into out go the characters.
func (d *decoder) jisRun(b []byte, out *strings.Builder) int {
	set, chars := jisASCII, 0
	for i := 0; i < len(b); {
		to, ok := jisEscape(b[i:])
		switch {
		case ok && (to == set || to == jisRoman || string(b[i:i+jisEscapeLen]) != jisEscapes[to] || set != jisASCII && chars == 0):
			return 0
		case ok:
			i += jisEscapeLen
			if set, chars = to, 0; set == jisASCII {
				return i
			}
			continue
		case set == jisASCII:
			return 0
		}
		r, n := d.jisNext(set, b[i:])
		if r < 0 {
			return 0
		}
		if out != nil {
			out.WriteRune(r)
		}
		i, chars = i+n, chars+1
	}
	return 0
}

const halfKana = 0xFF61 - 0x21 // from a byte of JIS X 0201 to its character

// jisNext reads one character of a set; r is -1 where the n bytes must be escaped.
func (d *decoder) jisNext(set jisSet, b []byte) (r rune, n int) {
	c := b[0]
	switch {
	case set <= jisRoman && c-' ' <= '~'-' ':
		return rune(c), 1
	case set == jisKana && c >= 0x21 && c <= 0x5F:
		return halfKana + rune(c), 1
	case set == jisKanji && len(b) > 1 && c-0x21 < 94 && b[1]-0x21 < 94:
		if r, _ := d.double([]byte{c | 0x80, b[1] | 0x80}); r >= 0 {
			return r, 2
		}
		return -1, 2
	}
	return -1, 1
}

// jisWriter keeps track of the set in force while a name is encoded.
type jisWriter struct {
	set     jisSet // put into force by an escaped escape sequence
	open    jisSet // put into force by the writer itself; jisASCII is none
	escaped int    // escaped bytes at the end of what was written
}

// append adds the bytes of r.
func (w *jisWriter) append(out []byte, r rune, d *decoder) ([]byte, bool) {
	if r >= Escape && r <= Escape+0xFF {
		out = append(w.close(out), byte(r-Escape))
		if w.escaped++; w.escaped >= jisEscapeLen {
			if set, ok := jisEscape(out[len(out)-jisEscapeLen:]); ok {
				w.set = set
			}
		}
		return out, true
	}
	w.escaped = 0
	need, b := jisASCII, []byte{byte(r)}
	switch {
	case r < 0x80:
	case r >= halfKana+0x21 && r <= halfKana+0x5F:
		need, b[0] = jisKana, byte(r-halfKana)
	default:
		eb, ok := d.kanji(r)
		if !ok {
			return out, false
		}
		need, b = jisKanji, eb
	}
	return append(w.shift(out, need), b...), true
}

// kanji is r in JIS X 0208.
func (d *decoder) kanji(r rune) ([]byte, bool) {
	var dst [8]byte
	d.enc.Reset()
	n, _, err := d.enc.Transform(dst[:], []byte(string(r)), true)
	if err != nil || n != 2 || dst[0] < 0xA1 || dst[1] < 0xA1 {
		return nil, false
	}
	return []byte{dst[0] &^ 0x80, dst[1] &^ 0x80}, true
}

// shift puts into force the set that the next character needs.
func (w *jisWriter) shift(out []byte, need jisSet) []byte {
	switch {
	case need == jisASCII:
		out = w.close(out)
		if w.set > jisRoman {
			out, w.set = append(out, jisEscapes[jisASCII]...), jisASCII
		}
	case w.open == jisASCII && w.set == need, w.open == need:
	default:
		out, w.open = append(out, jisEscapes[need]...), need
	}
	return out
}

// close ends what the writer has opened.
func (w *jisWriter) close(out []byte) []byte {
	if w.open != jisASCII {
		out, w.open, w.set = append(out, jisEscapes[jisASCII]...), jisASCII, jisASCII
	}
	return out
}
