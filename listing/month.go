package listing

import (
	"strings"
	"sync"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/encoding"
	"golang.org/x/text/encoding/charmap"
	"golang.org/x/text/encoding/japanese"
)

// A foreign month is its number, with flags for the words that mean two months.
const (
	monthNumber   = 0x0F
	croatianOnly  = 0x10
	croatianMaybe = 0x20
)

// foreignMonths maps month names, in every charset and in the usual cases, to 1..12 and flags. It never changes. As it
// takes 20 ms to make, it is not made for words in ASCII, which may be anything: those are in asciiMonths.
var (
	foreignMonths = sync.OnceValue(func() map[string]uint8 { return makeMonths(monthEncoders()) })
	asciiMonths   = sync.OnceValue(func() map[string]uint8 { return makeMonths(nil) })
)

// makeMonths makes the map for these charsets and UTF-8; with none, for ASCII.
func makeMonths(encoders []*encoding.Encoder) map[string]uint8 {
	m := make(map[string]uint8, 1<<10)
	for _, lang := range monthNames {
		columns := strings.Fields(lang.months)
		for i, names := range columns {
			for low := range strings.SplitSeq(names, "/") {
				value := uint8(i + 1)
				if lang.code == "hr" {
					value = flagged(m, low, value)
				}
				for _, name := range cases(low, lang.code == "tr") {
					if plain(name) {
						m[name] = value
					} else if encoders != nil {
						m[name] = value
						spell(m, name, value, encoders)
					}
				}
			}
		}
	}
	return m
}

// flagged gives a Croatian name its flag. The languages where it means the month after have been read before.
func flagged(m map[string]uint8, name string, number uint8) uint8 {
	switch other := m[name]; other {
	case 0:
		return number | croatianOnly
	case number + 1:
		return other | croatianMaybe
	default:
		return number
	}
}

// cases spells a name in small letters, with a capital and in capitals, which in Turkish have a dotted I.
func cases(low string, turkish bool) []string {
	r, n := utf8.DecodeRuneInString(low)
	out := []string{low, string(unicode.ToUpper(r)) + low[n:], strings.ToUpper(low)}
	if turkish {
		out = append(out, strings.ToUpperSpecial(unicode.TurkishCase, low))
	}
	return out
}

// spell adds the name in every charset that has its letters.
func spell(m map[string]uint8, name string, value uint8, encoders []*encoding.Encoder) {
	for _, e := range encoders {
		if b, err := e.String(name); err == nil {
			m[b] = value
		}
	}
	if b := roman8().Replace(name); !utf8.ValidString(b) {
		m[b] = value
	}
}

// monthEncoders are those of the charsets in which a listing can have month names: all that names can be in, and
// some that are too rare for names.
func monthEncoders() []*encoding.Encoder {
	var out []*encoding.Encoder
	for i := range charsets {
		switch cs := &charsets[i]; {
		case cs.single != nil:
			out = append(out, cs.single.NewEncoder())
		case cs.shifts:
			out = append(out, japanese.ISO2022JP.NewEncoder())
		case cs.multi != nil:
			out = append(out, cs.multi.NewEncoder())
		}
	}
	return append(out, charmap.ISO8859_10.NewEncoder(), charmap.ISO8859_14.NewEncoder())
}

// roman8 spells the letters of western month names in HP-UX's own charset, which the text package lacks.
func roman8() *strings.Replacer {
	return strings.NewReplacer("û", "\xc3", "á", "\xc4", "é", "\xc5", "ú", "\xc7", "ä", "\xcc", "í", "\xd5",
		"ç", "\xb5", "Ä", "\xd8", "É", "\xdc", "Á", "\xe0", "Ç", "\xb4", "Ú", "\xed", "Û", "\xae")
}

// month is the number of the month with this name; 0 is none.
func month(b []byte) int {
	var t civil
	monthName(b, &t)
	return t.month
}

// monthName reads a month name, with or without a final dot and comma, into t.
func monthName(b []byte, t *civil) bool {
	if len(b) == 3 {
		if t.month = englishMonth(b); t.month > 0 {
			return true
		}
	}
	if len(b) < 3 || len(b) > 32 {
		return false
	}
	if n := len(b) - 1; b[n] == ',' {
		b = b[:n]
	}
	if n := len(b) - 1; b[n] == '.' {
		b = b[:n]
	}
	if len(b) == 3 {
		if t.month = englishMonth(b); t.month > 0 {
			return true
		}
	}
	months := asciiMonths
	if !plain(b) {
		months = foreignMonths
	}
	v := months()[string(b)]
	switch {
	case v&croatianOnly != 0:
		t.hint = isCroatian
	case v&croatianMaybe != 0:
		t.hint = maybeCroatian
	}
	t.month = int(v & monthNumber)
	return v > 0
}

// englishMonth reads three letters in any case.
func englishMonth(b []byte) int {
	switch uint32(b[0]|0x20)<<16 | uint32(b[1]|0x20)<<8 | uint32(b[2]|0x20) {
	case 'j'<<16 | 'a'<<8 | 'n':
		return 1
	case 'f'<<16 | 'e'<<8 | 'b':
		return 2
	case 'm'<<16 | 'a'<<8 | 'r':
		return 3
	case 'a'<<16 | 'p'<<8 | 'r':
		return 4
	case 'm'<<16 | 'a'<<8 | 'y':
		return 5
	case 'j'<<16 | 'u'<<8 | 'n':
		return 6
	case 'j'<<16 | 'u'<<8 | 'l':
		return 7
	case 'a'<<16 | 'u'<<8 | 'g':
		return 8
	case 's'<<16 | 'e'<<8 | 'p':
		return 9
	case 'o'<<16 | 'c'<<8 | 't':
		return 10
	case 'n'<<16 | 'o'<<8 | 'v':
		return 11
	case 'd'<<16 | 'e'<<8 | 'c':
		return 12
	}
	return 0
}

// marked reads a number followed by the character that East Asian listings write behind a day, month or year: 3月.
// Any bytes over 0x7F will do, since the charset is not known, and the few of those characters that have others.
func marked(b []byte) (int, bool) {
	v, n := number(b)
	if n < 1 || n > 4 || n == len(b) {
		return 0, false
	}
	b = b[n:]
	if jisCharacter(b) {
		return int(v), true
	}
	if len(b) > 4 {
		return 0, false
	}
	for i, c := range b {
		if c < 0x80 && (i == 0 || !eastAsian(b[i-1], c)) {
			return 0, false
		}
	}
	return int(v), true
}

// eastAsian reports whether the bytes are the year in Shift_JIS (0x94 0x4E) or in Big5 (0xA6 0x7E), or half of a
// character of GB18030, all of which end in ASCII.
func eastAsian(a, b byte) bool {
	return a == 0x94 && b == 0x4E || a == 0xA6 && b == 0x7E || a >= 0x81 && b-'0' <= 9
}
