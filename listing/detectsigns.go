package listing

import "strings"

// place is where a sign stands in names. What stands elsewhere is a letter of another charset more often than not.
type place uint8

const (
	placeNone  place = iota // but hardly ever
	placeAlone              // by itself
	placeDash
	placeApostrophe
	placeOpening // before a word
	placeQuote   // before or behind one
	placeBehind  // a digit, mostly
	placeMoney   // beside a digit
	placeMark    // behind a word
	placeAhead   // of a number
	placeBetween // two words, or apart from them
	placeAccent  // typed for an apostrophe
	placeSpace
)

// places are the signs by their place.
var places = [...]string{
	placeAlone: "¨±÷µ¬¦¤¶¸¯ƒ†‡ˆ˜→←★☆♪", placeDash: "–—", placeApostrophe: "’", placeOpening: "‘", placeQuote: "„“”‚«»‹›¿¡", placeBehind: "°ºª²³½¼¾¹‰",
	placeMoney: "€£¥¢", placeMark: "©®™…", placeAhead: "§№", placeBetween: "·•∙×", placeAccent: "´`", placeSpace: "\u00A0",
}

func placeOf(r rune) place {
	for p, signs := range places {
		if strings.ContainsRune(signs, r) {
			return place(p)
		}
	}
	return placeNone
}

// signCost is the cost of a sign between its neighbours.
func signCost(prev, g, next glyph) int {
	before, after := prev.word(), next.word()
	digit := prev.digit()
	switch g.place {
	case placeDash:
		return fit(5, !before || !after, 2)
	case placeApostrophe:
		return fit(5, before, 3)
	case placeOpening:
		return fit(5, !before && after, 5)
	case placeQuote:
		return fit(5, before != after || digit && !after, 5)
	case placeBehind:
		return fit(5, digit || prev.r == 'n' || prev.r == 'm' || !before && !after, 5)
	case placeMoney:
		return fit(6, digit || next.digit() || !before && !after, 5)
	case placeMark:
		return fit(6, !after, 5)
	case placeAhead:
		return fit(6, !before && (!after || g.r == '№'), 5)
	case placeBetween:
		return fit(6, before == after, 3)
	case placeAccent:
		return fit(7, before && after, 3)
	case placeSpace:
		return fit(6, prev.kind != kindBreak || digit, 3)
	case placeAlone:
		return fit(8, !before && !after, 4)
	}
	return fit(9, !before && !after, 4)
}

// fit is a base cost in nats with a penalty where the sign does not fit.
func fit(base int, fits bool, penalty int) int {
	if !fits {
		base += penalty
	}
	return base * nat
}

// boxCost is low where lines are drawn: they come in runs, apart from words.
func boxCost(prev, g, next glyph) int {
	c := 8 * nat
	switch {
	case prev.r == g.r:
		c = nat / 2
	case prev.kind == kindBox:
		c = 5 * nat // any of the others
	}
	if prev.word() || next.word() {
		c += 3 * nat
	}
	return c
}

// wideCost is the cost of East Asian punctuation and full-width forms.
func wideCost(prev, g, next glyph) int {
	c := 6 * nat
	if prev.kind == kindWide {
		c = 3 * nat
	}
	switch full := g.r >= '０' && g.r <= 'ｚ'; {
	case full && (prev.kind == kindASCII || next.kind == kindASCII): // nobody mixes the widths within a word
		c += 4 * nat
	case g.r > '～' && (prev.kind <= kindASCII || next.kind <= kindASCII): // half-width punctuation among ASCII
		c += 3 * nat
	}
	return c
}
