package listing

import (
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"golang.org/x/text/encoding"
	"golang.org/x/text/encoding/charmap"
	"golang.org/x/text/encoding/japanese"
	"golang.org/x/text/encoding/korean"
	"golang.org/x/text/encoding/simplifiedchinese"
	"golang.org/x/text/encoding/traditionalchinese"
)

// Escape is the first of the 256 private-use characters that stand for bytes which are no character of the charset,
// or are a control character: byte b is U+EF00 + b. (MirOS uses U+EF80 to U+EFFF for the upper half in the same way.)
// Such characters are printable, are left alone by every Unicode normalization, and are escaped themselves where a
// server's name has them, so that a name always leads back to its bytes.
const Escape = '\uEF00'

const utf8Name = "UTF-8"

// charset is one way to read bytes as characters. The zero value with a name is UTF-8.
type charset struct {
	name    string
	aliases string // in lower case without "-", "_" and blanks, separated by blanks
	single  codepage
	multi   encoding.Encoding
	width   func(b []byte) int // bytes in the character at the start of b, by its lead byte; may exceed len(b)
	shifts  bool               // ISO 2022: escape sequences say what the bytes are; see charset2022.go
}

// codepage is a charset of one byte a character.
type codepage interface {
	encoding.Encoding
	DecodeByte(b byte) rune
	EncodeRune(r rune) (b byte, ok bool)
}

// charsets is the table of what can be read. It never changes.
var charsets = []charset{
	{name: utf8Name, aliases: "utf8 utf8bom utf8sig usascii ascii"},
	{name: "ISO-8859-1", aliases: "iso88591 latin1 l1", single: charmap.ISO8859_1},
	{name: "ISO-8859-2", aliases: "iso88592 latin2 l2", single: charmap.ISO8859_2},
	{name: "ISO-8859-4", aliases: "iso88594 latin4 l4", single: charmap.ISO8859_4},
	{name: "ISO-8859-5", aliases: "iso88595 cyrillic", single: charmap.ISO8859_5},
	{name: "ISO-8859-6", aliases: "iso88596 arabic", single: charmap.ISO8859_6},
	{name: "ISO-8859-7", aliases: "iso88597 greek", single: charmap.ISO8859_7},
	{name: "ISO-8859-8", aliases: "iso88598 hebrew", single: charmap.ISO8859_8},
	{name: "ISO-8859-9", aliases: "iso88599 latin5 l5", single: charmap.ISO8859_9},
	{name: "ISO-8859-13", aliases: "iso885913 latin7 l7", single: charmap.ISO8859_13},
	{name: "ISO-8859-15", aliases: "iso885915 latin9 l9", single: charmap.ISO8859_15},
	{name: "ISO-8859-16", aliases: "iso885916 latin10 l10", single: charmap.ISO8859_16},
	{name: "windows-874", aliases: "windows874 cp874 tis620 iso885911", single: charmap.Windows874},
	{name: "windows-1250", aliases: "windows1250 cp1250", single: charmap.Windows1250},
	{name: "windows-1251", aliases: "windows1251 cp1251", single: charmap.Windows1251},
	{name: "windows-1252", aliases: "windows1252 cp1252", single: charmap.Windows1252},
	{name: "windows-1253", aliases: "windows1253 cp1253", single: charmap.Windows1253},
	{name: "windows-1254", aliases: "windows1254 cp1254", single: charmap.Windows1254},
	{name: "windows-1255", aliases: "windows1255 cp1255", single: charmap.Windows1255},
	{name: "windows-1256", aliases: "windows1256 cp1256", single: charmap.Windows1256},
	{name: "windows-1257", aliases: "windows1257 cp1257", single: charmap.Windows1257},
	{name: "windows-1258", aliases: "windows1258 cp1258", single: charmap.Windows1258},
	{name: "CP437", aliases: "cp437 ibm437", single: charmap.CodePage437},
	{name: "CP737", aliases: "cp737 ibm737", single: cp737},
	{name: "CP775", aliases: "cp775 ibm775", single: cp775},
	{name: "CP850", aliases: "cp850 ibm850", single: charmap.CodePage850},
	{name: "CP852", aliases: "cp852 ibm852", single: charmap.CodePage852},
	{name: "CP855", aliases: "cp855 ibm855", single: charmap.CodePage855},
	{name: "CP857", aliases: "cp857 ibm857", single: cp857},
	{name: "CP858", aliases: "cp858 ibm858 ibm00858", single: charmap.CodePage858},
	{name: "CP860", aliases: "cp860 ibm860", single: charmap.CodePage860},
	{name: "CP862", aliases: "cp862 ibm862", single: charmap.CodePage862},
	{name: "CP863", aliases: "cp863 ibm863", single: charmap.CodePage863},
	{name: "CP865", aliases: "cp865 ibm865", single: charmap.CodePage865},
	{name: "CP866", aliases: "cp866 ibm866", single: charmap.CodePage866},
	{name: "KOI8-R", aliases: "koi8r koi8", single: charmap.KOI8R},
	{name: "KOI8-U", aliases: "koi8u", single: charmap.KOI8U},
	{name: "macintosh", aliases: "macintosh macroman xmacroman mac", single: charmap.Macintosh},
	{name: "x-mac-cyrillic", aliases: "xmaccyrillic maccyrillic", single: charmap.MacintoshCyrillic},
	{name: "Shift_JIS", aliases: "shiftjis sjis xsjis cp932 ms932 windows31j", multi: japanese.ShiftJIS, width: widthSJIS},
	{name: "EUC-JP", aliases: "eucjp ujis", multi: japanese.EUCJP, width: widthEUCJP},
	{name: jisName, aliases: "iso2022jp jis", multi: japanese.EUCJP, width: widthEUCJP, shifts: true},
	{name: "GBK", aliases: "gbk cp936 ms936 gb2312 euccn", multi: simplifiedchinese.GBK, width: widthTwo},
	{name: "GB18030", aliases: "gb18030", multi: simplifiedchinese.GB18030, width: widthGB18030},
	{name: "Big5", aliases: "big5 cp950 ms950 big5hkscs", multi: traditionalchinese.Big5, width: widthTwo},
	{name: "EUC-KR", aliases: "euckr cp949 ms949 uhc ksc5601", multi: korean.EUCKR, width: widthTwo},
}

// Charsets lists the names that Decode, Encode and Options.Charset know. Case, "-", "_" and blanks do not matter,
// and the common aliases are known too.
func Charsets() []string {
	out := make([]string, len(charsets))
	for i := range charsets {
		out[i] = charsets[i].name
	}
	return out
}

// lookupCharset finds a charset by name or alias; "" is UTF-8.
func lookupCharset(name string) (*charset, bool) {
	for i := range charsets {
		if charsets[i].name == name || name == "" {
			return &charsets[i], true
		}
	}
	key := strings.NewReplacer("-", "", "_", "", " ", "").Replace(strings.ToLower(name))
	for i := range charsets {
		for _, a := range strings.Fields(charsets[i].aliases) {
			if a == key {
				return &charsets[i], true
			}
		}
	}
	return &charsets[0], false
}

// charsetPlace is where in charsets the one with this name is.
func charsetPlace(name string) int {
	return slices.IndexFunc(charsets, func(cs charset) bool { return cs.name == name })
}

func widthSJIS(b []byte) int {
	if c := b[0]; c >= 0x81 && c <= 0x9F || c >= 0xE0 && c <= 0xFC {
		return 2
	}
	return 1
}

func widthEUCJP(b []byte) int {
	switch c := b[0]; {
	case c == 0x8F:
		return 3
	case c == 0x8E || c >= 0xA1 && c <= 0xFE:
		return 2
	}
	return 1
}

func widthTwo(b []byte) int {
	if b[0] >= 0x81 && b[0] <= 0xFE {
		return 2
	}
	return 1
}

func widthGB18030(b []byte) int {
	if b[0] < 0x81 || b[0] == 0xFF {
		return 1
	}
	if len(b) > 1 && b[1]-'0' <= 9 {
		return 4
	}
	return 2
}

// plain reports whether s is printable ASCII, which every charset here reads alike.
func plain[T string | []byte](s T) bool {
	for i := 0; i < len(s); i++ {
		if s[i]-' ' > '~'-' ' {
			return false
		}
	}
	return true
}

// readable decodes s and names the charset: ISO-2022-JP and UTF-8 are known by themselves, all else is in cs.
func (cs *charset) readable(s string) (string, string) {
	switch {
	case plain(s):
		return s, utf8Name
	case isJIS([]byte(s)):
		cs, _ = lookupCharset(jisName)
	case utf8.ValidString(s) && !cs.explains(s):
		cs = &charsets[0]
	}
	return cs.decode([]byte(s)), cs.name
}

// Decode reads raw in the charset named (an unknown name is taken for UTF-8). It never fails: bytes that are no
// character, and control characters, become the private-use characters U+EF00 to U+EFFF; see Escape.
func Decode(raw []byte, charset string) string {
	cs, _ := lookupCharset(charset)
	return cs.decode(raw)
}

func (cs *charset) decode(b []byte) string {
	if plain(b) {
		return string(b)
	}
	if cs.shifts {
		return decodeJIS(b)
	}
	var out strings.Builder
	out.Grow(len(b) * 2)
	d := cs.decoder()
	for len(b) > 0 {
		r, n := d.next(b)
		if r < 0 {
			escape(&out, b[:n])
		} else {
			out.WriteRune(r)
		}
		b = b[n:]
	}
	return out.String()
}

// escape writes bytes that are no character.
func escape(out *strings.Builder, b []byte) {
	for _, c := range b {
		out.WriteRune(Escape + rune(c))
	}
}

// decoder reads one character after another.
type decoder struct {
	cs  *charset
	dec *encoding.Decoder
	enc *encoding.Encoder
	jis *jisWriter
	buf [2][16]byte
}

func (cs *charset) decoder() decoder {
	d := decoder{cs: cs}
	if cs.multi != nil {
		d.dec, d.enc = cs.multi.NewDecoder(), cs.multi.NewEncoder()
	}
	return d
}

// next reads the character at the start of b; r is -1 where the n bytes must be escaped. A character counts only if
// it alone leads back to its bytes.
func (d *decoder) next(b []byte) (r rune, n int) {
	switch {
	case b[0]-' ' <= '~'-' ':
		return rune(b[0]), 1
	case b[0] < 0x80:
		return -1, 1
	case d.cs.single != nil:
		r = d.cs.single.DecodeByte(b[0])
		if back, ok := d.cs.single.EncodeRune(r); !ok || back != b[0] || !showable(r) {
			return -1, 1
		}
		return r, 1
	case d.cs.multi != nil:
		return d.double(b)
	}
	r, n = utf8.DecodeRune(b)
	if r == utf8.RuneError && n == 1 || !showable(r) {
		return -1, n
	}
	return r, n
}

// double reads a character of a multi-byte charset.
func (d *decoder) double(b []byte) (rune, int) {
	n := d.cs.width(b)
	if n > len(b) {
		return -1, 1
	}
	dst, back := d.buf[0][:], d.buf[1][:]
	d.dec.Reset()
	k, used, err := d.dec.Transform(dst, b[:n], true)
	if err == nil && used == n {
		r, size := utf8.DecodeRune(dst[:k])
		if size == k && r != utf8.RuneError && showable(r) {
			d.enc.Reset()
			m, _, err := d.enc.Transform(back, dst[:k], true)
			if err == nil && string(back[:m]) == string(b[:n]) {
				return r, n
			}
		}
	}
	// Both bytes of a pair without a character go together, so that what follows stays in step; an ASCII
	// second byte is itself.
	if n > 1 && b[1] >= 0x80 {
		return -1, 2
	}
	return -1, 1
}

// showable reports whether r is fit for a name: no control character and not one of our escapes.
func showable(r rune) bool {
	return r >= ' ' && (r < 0x7F || r > 0x9F) && (r < Escape || r > Escape+0xFF)
}

// Encode turns a name back into bytes of the charset; it is the inverse of Decode. The error wraps ErrEncode where
// the charset lacks a character of the name or the name is not valid UTF-8, and ErrCharset where the charset is
// unknown. Line ends in the name come out as they are: whoever puts the bytes into an FTP command must refuse them.
func Encode(name, charset string) ([]byte, error) {
	cs, ok := lookupCharset(charset)
	if !ok {
		return nil, fmt.Errorf("%w: %q", ErrCharset, charset)
	}
	if plain(name) {
		return []byte(name), nil
	}
	out := make([]byte, 0, len(name))
	d := cs.decoder()
	if cs.shifts {
		d.jis = new(jisWriter)
	}
	for i := 0; i < len(name); {
		r, n := utf8.DecodeRuneInString(name[i:])
		if r == utf8.RuneError && n == 1 {
			return nil, fmt.Errorf("%w: %q is not valid UTF-8 at byte %d", ErrEncode, name, i)
		}
		if out, ok = d.append(out, r, name[i:i+n]); !ok {
			return nil, fmt.Errorf("%w: %q has %q, which %s lacks", ErrEncode, name, r, cs.name)
		}
		i += n
	}
	if d.jis != nil {
		out = d.jis.close(out)
	}
	return out, nil
}

// append adds the bytes of r, whose UTF-8 is s.
func (d *decoder) append(out []byte, r rune, s string) ([]byte, bool) {
	switch {
	case d.jis != nil:
		return d.jis.append(out, r, d)
	case r >= Escape && r <= Escape+0xFF:
		return append(out, byte(r-Escape)), true
	case r < 0x80 || d.enc == nil && d.cs.single == nil:
		return append(out, s...), true
	case d.cs.single != nil:
		b, ok := d.cs.single.EncodeRune(r)
		return append(out, b), ok
	}
	var dst [16]byte
	d.enc.Reset()
	n, _, err := d.enc.Transform(dst[:], []byte(s), true)
	return append(out, dst[:n]...), err == nil
}
