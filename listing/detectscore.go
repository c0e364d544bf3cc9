package listing

import (
	"strings"
	"sync"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// kind is what a character is in a name.
type kind uint8

const (
	kindBreak    kind = iota // ASCII that is no letter
	kindASCII                // an ASCII letter
	kindLetter               // a letter of another alphabet
	kindSyllable             // ideographs and Hangul of the charset's first level
	kindSeldom               // and of its others
	kindWide                 // East Asian punctuation and full-width forms
	kindSign                 // what else is printable
	kindBox                  // what DOS drew boxes with
	kindBad                  // no character
)

// glyph is one character as the models see it.
type glyph struct {
	r     rune // in lower case
	kind  kind
	place place // of a sign
	upper bool
	cased bool
}

// word reports whether g can be a part of a word.
func (g glyph) word() bool { return g.kind > kindBreak && g.kind < kindWide }

// digit reports whether g is an ASCII digit.
func (g glyph) digit() bool { return g.kind == kindBreak && g.r >= '0' && g.r <= '9' }

func newGlyph(r rune, common bool) glyph {
	g := glyph{r: unicode.ToLower(r), kind: kindOf(r, common)}
	if g.kind == kindLetter || g.kind == kindASCII {
		g.upper = unicode.IsUpper(r)
		g.cased = g.upper || unicode.IsLower(r) && r != 'ß'
		g.r = composed(g.r)
	}
	if g.kind == kindSign {
		g.place = placeOf(g.r)
	}
	return g
}

// composed is the letter of the same look that the words are written with.
func composed(r rune) rune {
	switch r {
	case 'ș':
		return 'ş'
	case 'ț':
		return 'ţ'
	}
	return r
}

func kindOf(r rune, common bool) kind {
	switch {
	case r < 0:
		return kindBad
	case r < utf8.RuneSelf:
		if unicode.IsLetter(r) {
			return kindASCII
		}
		return kindBreak
	case r >= 0x3000 && r <= 0x3020, r == '・', r >= 0xFF01 && r <= 0xFF65:
		return kindWide
	case r >= 0x2500 && r <= 0x259F:
		return kindBox
	case r >= 0xE000 && r <= 0xF8FF:
		return kindBad
	case unicode.In(r, unicode.Han, unicode.Hangul):
		if common {
			return kindSyllable
		}
		return kindSeldom
	case unicode.IsLetter(r) && r != 'ª' && r != 'º' && r != 'ƒ' && r != 'µ', unicode.IsMark(r):
		return kindLetter
	}
	return kindSign
}

// narrow turns katakana into its half-width form.
func narrow(s string) string {
	var full, thin []string
	for r := rune(0xFF66); r <= 0xFF9F; r++ {
		full, thin = append(full, norm.NFKD.String(string(r))), append(thin, string(r))
	}
	pairs := make([]string, 0, 2*len(full))
	for i := range full {
		pairs = append(pairs, full[i], thin[i])
	}
	return strings.NewReplacer(pairs...).Replace(norm.NFD.String(s))
}

// What costs the same in every language.
const (
	costBad    = 14 * nat // bytes that are no character
	costAlien  = 9 * nat  // a letter that the language does not have
	costScript = 4 * nat  // more for one of another script
	costMark   = 4 * nat  // a combining mark that has nothing to combine with
)

// caseState is what the letters before say about the next one's case.
type caseState uint8

const (
	caseStart   caseState = iota
	caseCapital           // one capital, at the start
	caseLower
	caseCapitals
)

// step is the cost of g's case, and the state after it.
func (s caseState) step(g glyph) (caseState, int) {
	switch {
	case !g.word():
		return caseStart, 0
	case !g.cased:
		return s, 0
	case g.upper:
		return [...]caseState{caseCapital, caseCapitals, caseCapital, caseCapitals}[s], [...]int{11, 24, 60, 1}[s]
	}
	return caseLower, [...]int{11, 4, 1, 44}[s]
}

// reading is a charset with a language that it may spell.
type reading struct {
	charset *charset
	model   *model
	prior   int // cost of the guess itself
}

// glyphs is what each byte of a code page is.
type glyphs [256]glyph

// readings is every guess that the detector can make, those of one charset side by side. It never changes.
//
// ISO-8859-1, ISO-8859-9, ISO-8859-8 and GBK are left out, since windows-1252, windows-1254, windows-1255 and GB18030
// read all that they read, and alike.
var readings = sync.OnceValue(func() []reading {
	const (
		western = "german french spanish portuguese italian nordic swedish dutch icelandic catalan english"
		central = "polish czech slovak hungarian croatian romanian german"
		baltic  = "lithuanian latvian estonian"
	)
	var out []reading
	for _, guess := range []struct {
		charset   string
		prior     int // in tenths of a nat
		languages string
	}{
		{"windows-1252", 0, western + " estonian"}, {"ISO-8859-15", 7, western + " estonian"},
		{"macintosh", 20, western}, {"CP850", 12, western}, {"CP437", 14, western}, {"CP865", 25, "nordic"},
		{"windows-1250", 7, central}, {"ISO-8859-2", 10, central}, {"CP852", 17, central}, {"ISO-8859-16", 30, "romanian"},
		{"windows-1254", 7, "turkish"}, {"CP857", 20, "turkish"},
		{"windows-1257", 10, baltic}, {"ISO-8859-13", 15, baltic}, {"ISO-8859-4", 25, baltic}, {"CP775", 25, baltic},
		{"windows-1251", 2, "russian ukrainian bulgarian serbian"}, {"ISO-8859-5", 15, "russian ukrainian bulgarian serbian"},
		{"KOI8-R", 5, "russian bulgarian"}, {"KOI8-U", 12, "russian ukrainian"}, {"CP866", 5, "russian ukrainian bulgarian"},
		{"x-mac-cyrillic", 25, "russian ukrainian bulgarian"}, {"CP855", 35, "russian bulgarian serbian"},
		{"windows-1253", 5, "greek"}, {"ISO-8859-7", 8, "greek"}, {"CP737", 15, "greek"},
		{"windows-1255", 10, "hebrew"}, {"CP862", 25, "hebrew"}, {"windows-1256", 10, "arabic"}, {"ISO-8859-6", 20, "arabic"},
		{"windows-874", 10, "thai"},
		{"Shift_JIS", 5, "japanese"}, {"EUC-JP", 10, "japanese"}, {"GB18030", 5, "chinese"}, {"Big5", 7, "taiwan"},
		{"EUC-KR", 7, "korean"},
	} {
		cs, _ := lookupCharset(guess.charset)
		for _, l := range strings.Fields(guess.languages) {
			out = append(out, reading{charset: cs, model: models()[l], prior: guess.prior * nat / 10})
		}
	}
	return out
})

// tables are the glyphs of the code pages among the charsets. They never change.
var tables = sync.OnceValue(func() map[string]*glyphs {
	out := make(map[string]*glyphs)
	for i := range charsets {
		if cs := &charsets[i]; cs.single != nil {
			var t glyphs
			d := cs.decoder()
			for b := range t {
				r, _ := d.next([]byte{byte(b)})
				t[b] = newGlyph(r, true)
				if b < utf8.RuneSelf && r < 0 {
					t[b].kind = kindBreak
				}
			}
			out[cs.name] = &t
		}
	}
	return out
})

// glyphs appends the characters of a name in cs.
func (cs *charset) glyphs(out []glyph, name []byte, d *decoder) []glyph {
	if t := tables()[cs.name]; t != nil {
		for _, c := range name {
			out = append(out, t[c])
		}
		return out
	}
	for len(name) > 0 {
		if name[0] < utf8.RuneSelf {
			out = append(out, tables()["ISO-8859-1"][name[0]])
			name = name[1:]
			continue
		}
		r, n := d.next(name)
		out = append(out, newGlyph(r, n > 1 && cs.common(name[:n])))
		name = name[n:]
	}
	return out
}

// common reports whether the ideograph or syllable is of the first level of its charset.
func (cs *charset) common(b []byte) bool {
	switch cs.name {
	case "Shift_JIS":
		return b[0] >= 0x88 && b[0] <= 0x98
	case "EUC-JP":
		return b[0] >= 0xB0 && b[0] <= 0xCF
	case "GB18030":
		return b[0] >= 0xB0 && b[0] <= 0xD7 && len(b) == 2 && b[1] >= 0xA1
	case "Big5":
		return b[0] >= 0xA4 && b[0] <= 0xC6
	case "EUC-KR":
		return b[0] >= 0xB0 && b[0] <= 0xC8 && b[1] >= 0xA1
	}
	return true
}

// shape is the cost of a name that does not depend on the language: case, signs, and what is no character.
func shape(name []glyph) int {
	total := 0
	state := caseStart
	var prev glyph
	for i, g := range name {
		var c int
		state, c = state.step(g)
		if g.kind > kindASCII || prev.kind > kindASCII {
			total += c
		}
		var next glyph
		if i+1 < len(name) {
			next = name[i+1]
		}
		switch g.kind {
		case kindLetter:
			if !prev.word() && unicode.IsMark(g.r) {
				total += costMark
			}
		case kindBad:
			total += costBad
		case kindWide:
			total += wideCost(prev, g, next)
		case kindSign:
			total += signCost(prev, g, next)
		case kindBox:
			total += boxCost(prev, g, next)
		}
		prev = g
	}
	return total
}

// cost is that of the letters of a name. What ASCII letters make of one another says nothing about a charset.
func (m *model) cost(name []glyph) int {
	total := 0
	prev, high := symBreak, false
	for _, g := range name {
		cur := m.of(g)
		switch {
		case g.kind <= kindASCII && !high, g.kind >= kindWide, cur == symBreak && prev == symBreak:
		case cur == symForeign:
			total += costAlien
			if m.latin != (g.r < 0x250 || g.r >= 0x1E00 && g.r < 0x2000) || g.kind != kindLetter {
				total += costScript
			}
			cur = symBreak
		default:
			total += int(m.costs[prev*m.n+cur])
		}
		prev, high = cur, g.kind > kindASCII
	}
	if high && prev != symBreak {
		total += int(m.costs[prev*m.n+symBreak])
	}
	return total
}

// of is the symbol of g.
func (m *model) of(g glyph) int {
	switch g.kind {
	case kindASCII:
		if !m.latin {
			return symASCII
		}
	case kindLetter:
	case kindSyllable, kindSeldom:
		sym := int(m.symbol(g.r))
		if sym == symForeign && m.index['年'>>8]|m.index['가'>>8] != 0 {
			sym = symSome + int(g.kind-kindSyllable)
		}
		return sym
	default:
		return symBreak
	}
	return int(m.symbol(g.r))
}

// chance is the cost of the name as bytes without a meaning, against which every reading must hold its own.
func chance(name []byte) int {
	total, high, run := 0, false, 0
	for i, c := range name {
		if run++; i == 0 || c != name[i-1] {
			run = 1
		}
		switch {
		case c >= utf8.RuneSelf && run > 2: // the same again and again
			total += nat
		case c >= utf8.RuneSelf:
			total += 11 * nat / 2
		case high && letter(c):
			total += 3 * nat
		case high:
			total += nat
		}
		high = c >= utf8.RuneSelf
	}
	return total
}
