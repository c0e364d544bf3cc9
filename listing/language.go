package listing

import (
	"embed"
	"math"
	"strings"
	"sync"
	"unicode"
)

// wordFiles are the languages: NAME.txt has words that file names are made of, with more of those that have letters
// beyond ASCII than a text would have. How often letters follow one another is counted over them. Where any frequent
// character may stand for another the words only show how long words are, and NAME-frequent.txt has the characters,
// the most frequent first.
//
//go:embed languages
var wordFiles embed.FS

// language is what a charset is expected to spell.
type language struct {
	name  string
	latin bool
	extra string // letters beside those of its words
	ideo  bool   // has a list of frequent characters
}

// languages are the guesses of what names may be written in. It never changes.
var languages = []language{
	{name: "german", latin: true, extra: "éàçñ"}, {name: "french", latin: true, extra: "ÿæüëñ"},
	{name: "spanish", latin: true, extra: "çàèïª"}, {name: "portuguese", latin: true, extra: "üèñ"},
	{name: "italian", latin: true, extra: "îáíóúçüñ"}, {name: "catalan", latin: true, extra: "ñ"},
	{name: "nordic", latin: true, extra: "öäüéóèòô"}, {name: "swedish", latin: true, extra: "éüàšžáøæ"},
	{name: "icelandic", latin: true, extra: "ü"}, {name: "dutch", latin: true, extra: "óíáúäüñßø"},
	{name: "english", latin: true, extra: "öäáíóúøåæâîôûëï"}, {name: "turkish", latin: true, extra: "ûé"},
	{name: "lithuanian", latin: true, extra: "é"}, {name: "latvian", latin: true, extra: "ōŗé"},
	{name: "estonian", latin: true, extra: "žšéå"}, {name: "polish", latin: true, extra: "éüöäëčšžá"},
	{name: "czech", latin: true, extra: "ľĺŕäôöüë"}, {name: "slovak", latin: true, extra: "ěřůöüő"},
	{name: "hungarian", latin: true, extra: "äčšžâ"}, {name: "croatian", latin: true, extra: "áéöüäíóő"},
	{name: "romanian", latin: true, extra: "áéöüőóšč"},
	{name: "russian"}, {name: "ukrainian", extra: "ыэъё"}, {name: "bulgarian", extra: "ыэё"},
	{name: "serbian", extra: "ѓќѕ"}, {name: "greek", extra: "ϊϋΐΰ"}, {name: "hebrew"},
	{name: "arabic", extra: "پچژگىؤئءة"}, {name: "thai", extra: "ฃฅฆฌฎฏฐฑฒฬฮฯๆ๐๑๒๓๔๕๖๗๘๙"},
	{name: "japanese", extra: "ヴァィゥェォヵヶヮぁぃぅぇぉゎゐゑヰヱゔヽヾゝゞ", ideo: true},
	{name: "chinese", ideo: true}, {name: "taiwan", ideo: true}, {name: "korean", ideo: true},
}

func readWords(file string) string {
	b, err := wordFiles.ReadFile("languages/" + file + ".txt")
	if err != nil {
		panic(err) // it is compiled in
	}
	return string(b)
}

// Symbols of a model. Those from symLetters on are the letters of its language.
const (
	symBreak   = iota // what is between words: blanks, punctuation, digits, the ends of the name
	symForeign        // a letter of no word of the language
	symASCII          // an ASCII letter, where the language has none
	symFirst          // ideographs and syllables: the most frequent,
	symOften          // the others that are listed,
	symSome           // those of the first level of the charset
	symSeldom         // and the rest
	symLetters
)

// nat is the unit of costs: a cost of n*nat is a probability of 1 in e^n.
const nat = 16

// model is a language as probabilities: how much it costs that one letter follows another.
type model struct {
	n     int
	latin bool
	index [256]uint8 // of the pages, by the upper byte of a rune
	pages [][256]uint8
	costs []uint8
}

// models are the models of all languages. They never change.
var models = sync.OnceValue(func() map[string]*model {
	out := make(map[string]*model)
	for _, l := range languages {
		out[l.name] = l.model()
	}
	return out
})

// symbol is the symbol of a letter in lower case.
func (m *model) symbol(r rune) uint8 {
	if r > math.MaxUint16 {
		return symForeign
	}
	return m.pages[m.index[r>>8]][r&0xFF]
}

// add gives r a symbol unless it has one.
func (m *model) add(r rune, sym uint8) {
	page := &m.index[r>>8]
	if *page == 0 {
		*page = uint8(len(m.pages))
		m.pages = append(m.pages, m.pages[0])
	}
	if p := &m.pages[*page][r&0xFF]; *p == symForeign {
		*p = sym
		m.n = max(m.n, int(sym)+1)
	}
}

// often is how many characters at the start of a list are the most frequent ones.
const oftenCount = 150

func (l language) model() *model {
	m := &model{n: symLetters, latin: l.latin, pages: make([][256]uint8, 1)}
	for i := range m.pages[0] {
		m.pages[0][i] = symForeign
	}
	if l.ideo {
		i := 0
		for _, r := range readWords(l.name + "-frequent") {
			if r > ' ' {
				m.add(r, uint8(symFirst+min(i/oftenCount, 1)))
				i++
			}
		}
	}
	words := strings.Fields(variants(readWords(l.name)))
	if l.latin {
		words = append(words, "abcdefghijklmnopqrstuvwxyz")
	}
	for _, r := range strings.Join(words, "") + l.extra {
		if unicode.IsLetter(r) || unicode.IsMark(r) || r == 'ー' || r == 'ﾞ' || r == 'ﾟ' {
			m.add(r, uint8(m.n))
		}
	}
	m.learn(words)
	return m
}

// variants adds to the words what is written otherwise at times: Greek capitals have no accents, and katakana
// may be half as wide.
func variants(words string) string {
	switch {
	case strings.Contains(words, "ά"):
		return words + " " + strings.NewReplacer("ά", "α", "έ", "ε", "ή", "η", "ί", "ι", "ό", "ο", "ύ", "υ", "ώ", "ω",
			"ς", "σ").Replace(words)
	case strings.Contains(words, "ア"):
		for _, w := range strings.Fields(words) {
			if thin := narrow(w); !strings.ContainsFunc(thin, func(r rune) bool { return r < 'ｦ' }) {
				words += " " + thin
			}
		}
	}
	return words
}

// learn counts which symbols follow one another, and makes costs of that.
func (m *model) learn(words []string) {
	n := m.n
	pairs, singles := make([]float64, n*n), make([]float64, n)
	total := 0.0
	for _, w := range words {
		prev := uint8(symBreak)
		for _, r := range w + " " {
			cur := m.symbol(r)
			switch {
			case cur == symForeign:
				cur = symBreak
			case cur < symLetters:
				cur = symFirst // the ideographs of a word stand for all
			}
			if prev != symBreak || cur != symBreak {
				pairs[int(prev)*n+int(cur)]++
				singles[cur]++
				total++
			}
			prev = cur
		}
	}
	for b := range singles {
		if b >= symLetters {
			singles[b] += 0.5
			total += 0.5
		}
	}
	m.costs = make([]uint8, n*n)
	for a := range n {
		m.row(a, pairs[a*n:(a+1)*n], singles, total)
	}
}

// The shares of ideographs and syllables by symbol, and how many characters share them.
var tiers = [...]struct{ share, size float64 }{
	symFirst: {0.45, oftenCount}, symOften: {0.38, 600}, symSome: {0.16, 2500}, symSeldom: {0.01, 4000},
}

// Of how many letters one has an ASCII letter of another script for a neighbour.
const (
	joinedLetters    = 0.004
	joinedIdeographs = 0.03
)

// row fills in what may follow symbol a, smoothed by what is frequent anywhere (Witten and Bell's method).
func (m *model) row(a int, follow, singles []float64, total float64) {
	if a > symFirst && a < symLetters {
		copy(m.costs[a*m.n:(a+1)*m.n], m.costs[symFirst*m.n:(symFirst+1)*m.n])
		return
	}
	count, kinds := 0.0, 1.0
	for _, c := range follow {
		if count += c; c > 0 {
			kinds++
		}
	}
	joined := joinedLetters
	if singles[symFirst] > 0 {
		joined = joinedIdeographs
	}
	for b := range m.n {
		p := (follow[b] + kinds*singles[b]/total) / (count + kinds)
		switch {
		case b == symForeign:
			continue
		case b == symASCII:
			p = joined
		case b >= symFirst && b < symLetters:
			p = (follow[symFirst] + kinds*singles[symFirst]/total) / (count + kinds) * tiers[b].share / tiers[b].size
		}
		if a == symASCII {
			p *= joined
		}
		m.costs[a*m.n+b] = costOf(p)
	}
}

// costOf is the cost of what has probability p.
func costOf(p float64) uint8 {
	return uint8(min(math.MaxUint8, math.Round(-math.Log(max(p, 1e-9))*nat)))
}
