package listing

import (
	"math"
	"sync"
	"unicode"
	"unicode/utf8"
)

// maxEvidence is how many bytes of names a listing (or a window of it) is judged by.
const maxEvidence = 16 << 10

// Detector gathers what the names of one server say about its charset. One name says little; the names of a
// directory usually say enough, and where they do not, those seen before decide. It is safe for concurrent use and
// of fixed size. The zero value is not ready; use NewDetector.
type Detector struct {
	mu    sync.Mutex
	sums  []int // score per reading
	bytes int   // bytes over 0x7F in the names behind sums
	utf8  int   // names that are valid UTF-8 and not ASCII
	other int   // names that are not
}

// NewDetector returns a Detector that has seen nothing.
func NewDetector() *Detector {
	return &Detector{sums: make([]int, len(readings()))}
}

// Observe adds names to what is known of the server. Parse and Reader do this by themselves.
func (d *Detector) Observe(names ...[]byte) {
	var ev evidence
	for _, n := range names {
		ev.add(n)
	}
	d.learn(&ev)
}

// Charset is the charset that explains the names seen so far best, with a confidence from 0 to 1. While no name has
// a byte over 0x7F it is "UTF-8" and 0.
func (d *Detector) Charset() (name string, confidence float64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	switch {
	case d.utf8+d.other == 0:
		return utf8Name, 0
	case d.utf8 >= d.other:
		return utf8Name, certainty(d.utf8) * float64(d.utf8) / float64(d.utf8+d.other)
	}
	return choose(d.sums, d.bytes, &evidence{})
}

// learn adds the evidence of one listing.
func (d *Detector) learn(ev *evidence) {
	scores := ev.scores()
	d.mu.Lock()
	defer d.mu.Unlock()
	d.add(ev, scores)
}

func (d *Detector) add(ev *evidence, scores []int) {
	d.utf8 += ev.utf8
	d.other += ev.names - ev.utf8
	d.bytes += ev.bytes
	for i, s := range scores {
		d.sums[i] += s
	}
	if d.bytes > 1<<24 { // old evidence fades; no sum can overflow
		d.bytes /= 2
		for i := range d.sums {
			d.sums[i] /= 2
		}
	}
}

// historyWeight is for how many bytes of the listing's own names the server's history counts.
const historyWeight = 2

// decide chooses the charset of one listing's names that are not UTF-8, by their own score and, worth a few bytes
// of them, by what is known of the server. Then it adds them to that.
func (d *Detector) decide(ev *evidence) (string, float64) {
	if ev.names == ev.utf8 {
		d.learn(ev)
		return utf8Name, certainty(ev.utf8)
	}
	scores := ev.scores()
	d.mu.Lock()
	defer d.mu.Unlock()
	own := make([]int, len(scores))
	for i, s := range scores {
		own[i] = s
		if d.bytes > 0 {
			mean := max(-sure, min(sure, d.sums[i]/d.bytes))
			own[i] += mean * min(d.bytes, historyWeight)
		}
	}
	d.add(ev, scores)
	return choose(own, ev.bytes, ev)
}

// certainty of n names that are valid UTF-8: other charsets hardly ever make one.
func certainty(n int) float64 { return 1 - 0.2/float64(max(n, 1)) }

// choose picks the best reading, with a confidence that grows with how well it does and with its lead over the
// best reading that makes another text of the evidence.
func choose(sums []int, bytes int, ev *evidence) (string, float64) {
	all := readings()
	best := 0
	for i := range sums {
		if sums[i]+all[i].prior > sums[best]+all[best].prior {
			best = i
		}
	}
	second := math.MinInt
	for i := range sums {
		if all[i].kin != all[best].kin && sums[i] > second && !ev.same(best, i) {
			second = sums[i]
		}
	}
	fit := float64(sums[best]) / float64(max(bytes, 1)*sure)
	lead := float64(sums[best]-second) / sure
	return all[best].charset.name, max(0, min(1, fit)) * (1 - math.Exp(-max(0, lead)/2))
}

// evidence is the names of one listing that are not ASCII.
type evidence struct {
	names, utf8 int
	bytes       int // over 0x7F, in the names kept
	size        int
	kept        [][]byte // that are not UTF-8
}

func (ev *evidence) add(name []byte) {
	high := 0
	for _, c := range name {
		if c >= 0x80 {
			high++
		}
	}
	if high == 0 {
		return
	}
	ev.names++
	if utf8.Valid(name) {
		ev.utf8++
		return
	}
	if ev.size += len(name); ev.size <= maxEvidence {
		ev.bytes += high
		ev.kept = append(ev.kept, name)
	}
}

// same reports whether two readings make the same text of all the names.
func (ev *evidence) same(a, b int) bool {
	all := readings()
	x, y := all[a].charset, all[b].charset
	if len(ev.kept) == 0 || x.single == nil || y.single == nil {
		return false
	}
	for _, name := range ev.kept {
		for _, c := range name {
			if c >= 0x80 && x.single.DecodeByte(c) != y.single.DecodeByte(c) {
				return false
			}
		}
	}
	return true
}

// scores is how well each reading explains the names.
func (ev *evidence) scores() []int {
	all := readings()
	out := make([]int, len(all))
	if len(ev.kept) == 0 {
		return out
	}
	for i := range all {
		r := &all[i]
		d := r.charset.decoder()
		for _, name := range ev.kept {
			if r.charset.single != nil {
				out[i] += r.singleScore(name)
			} else {
				out[i] += r.doubleScore(&d, name)
			}
		}
	}
	return out
}

// Scores are for each byte over 0x7F.
const (
	sure       = 100  // a letter that the language is full of
	likely     = 60   // another letter of it
	strange    = -60  // a letter of no word of the language
	impossible = -300 // no character at all
)

// reading is a charset together with a language it may spell.
type reading struct {
	charset *charset
	kin     int // readings of the same kin mostly agree on the text
	prior   int // settles ties
	latin   bool
	table   *[128]glyph                // of single-byte charsets
	weigh   func(b []byte, r rune) int // of multi-byte charsets: the score of one byte of the character
}

// glyph is what a byte over 0x7F is in a single-byte reading.
type glyph struct {
	score        int
	letter       bool
	upper, lower bool
}

// readings is every guess that the detector can make. It never changes.
var readings = sync.OnceValue(makeReadings)

func makeReadings() []reading {
	western := []language{french, german, spanish, portuguese, italian, nordic, icelandic, mixed}
	central := []language{polish, czech, hungarian, romanian, croatian}
	var out []reading
	single := func(name string, kin, prior int, languages ...language) {
		cs, _ := lookupCharset(name)
		for _, l := range languages {
			out = append(out, reading{charset: cs, kin: kin, prior: prior, table: glyphs(cs, l),
				latin: l.common[0] != russian.common[0] && l.common[0] != greek.common[0]})
		}
	}
	single("windows-1252", 1, 5, western...)
	single("ISO-8859-15", 1, 0, western...)
	single("windows-1250", 2, 0, central...)
	single("ISO-8859-2", 2, -5, central...)
	single("windows-1254", 3, -5, turkish)
	single("CP850", 4, -10, western...)
	single("CP437", 4, -15, western...)
	single("CP852", 5, -15, central...)
	single("macintosh", 6, -20, western...)
	single("windows-1251", 7, 5, russian, ukrainian)
	single("KOI8-R", 8, 0, russian)
	single("CP866", 9, 0, russian)
	single("ISO-8859-5", 10, -20, russian, ukrainian)
	single("windows-1253", 11, 0, greek)
	double := func(name string, kin, prior int, weigh func([]byte, rune) int) {
		cs, _ := lookupCharset(name)
		out = append(out, reading{charset: cs, kin: kin, prior: prior, weigh: weigh})
	}
	double("Shift_JIS", 12, 5, weighSJIS)
	double("EUC-JP", 13, 0, weighEUCJP)
	double("GB18030", 14, 5, weighGB)
	double("Big5", 15, 0, weighBig5)
	double("EUC-KR", 16, 0, weighEUCKR)
	return out
}

// glyphs rates the upper half of a single-byte charset for a language.
func glyphs(cs *charset, l language) *[128]glyph {
	common, rare, signs := runeSet(l.common), runeSet(l.rare), runeSet(tolerated)
	var t [128]glyph
	d := cs.decoder()
	for i := range t {
		r, _ := d.next([]byte{byte(0x80 + i)})
		g := &t[i]
		g.letter, g.upper, g.lower = unicode.IsLetter(r), unicode.IsUpper(r), unicode.IsLower(r)
		low := unicode.ToLower(r)
		switch {
		case r < 0:
			g.score = impossible
		case common[low] && g.upper:
			g.score = sure - 15
		case common[low]:
			g.score = sure
		case rare[low]:
			g.score = likely
		case g.letter:
			g.score = strange
		case r >= 0x2500 && r <= 0x25FF: // boxes and blocks
			g.score = 2 * strange
		case signs[r]:
			g.score = -10
		default:
			g.score = strange
		}
	}
	return &t
}

// tolerated are the signs that names do have.
const tolerated = "\u00A0«»°·–—…‘’“”„‚€£§©®™²³½&№´"

func runeSet(s string) map[rune]bool {
	m := make(map[rune]bool)
	for _, r := range s {
		m[r] = true
	}
	return m
}

// singleScore rates a name in a single-byte charset: its letters, and whether they stand where letters do.
func (rd *reading) singleScore(name []byte) int {
	score, run := 0, 0
	var prev glyph
	for i, c := range name {
		g := rd.glyph(c)
		if c < 0x80 {
			run = 0
			if g.upper && prev.lower && i > 0 && name[i-1] >= 0x80 {
				score += strange / 2
			}
			prev = g
			continue
		}
		score += g.score
		run++
		next := glyph{}
		if i+1 < len(name) {
			next = rd.glyph(name[i+1])
		}
		score += rd.context(prev, g, next, run)
		if !rd.latin && g.letter {
			if i > 0 && letter(name[i-1]) || i+1 < len(name) && letter(name[i+1]) {
				score += strange
			}
		}
		prev = g
	}
	return score
}

func (rd *reading) glyph(c byte) glyph {
	if c >= 0x80 {
		return rd.table[c-0x80]
	}
	return glyph{letter: letter(c), upper: c >= 'A' && c <= 'Z', lower: c >= 'a' && c <= 'z'}
}

// context is the penalty for a character that does not fit between its neighbours.
func (rd *reading) context(prev, g, next glyph, run int) int {
	score := 0
	if g.upper && prev.lower {
		score += strange - 20
	}
	if g.lower && prev.upper && next.upper {
		score += strange
	}
	if !g.letter && prev.letter && next.letter {
		score += strange
	}
	if rd.latin && run > 2 {
		score += strange - 20 // no word has three accented letters in a row
	}
	return score
}

// doubleScore rates a name in a multi-byte charset.
func (rd *reading) doubleScore(d *decoder, name []byte) int {
	score := 0
	afterLetter := false
	for len(name) > 0 {
		r, n := d.next(name)
		switch {
		case name[0] < 0x80:
			afterLetter = letter(name[0])
		case r < 0:
			score += impossible
			afterLetter = false
		default:
			w := rd.weigh(name[:n], r)
			if afterLetter {
				w += strange / 2 // words do not run into ideographs
			}
			score += w * n
			afterLetter = false
		}
		name = name[n:]
	}
	return score
}

// frequent are the characters of language.go that names are most often made of. It never changes.
var frequent = sync.OnceValue(func() (f struct{ japanese, simplified, traditional, hangul map[rune]bool }) {
	f.japanese, f.simplified = runeSet(frequentJapanese), runeSet(frequentSimplified)
	f.traditional, f.hangul = runeSet(frequentTraditional), runeSet(frequentHangul)
	return f
})

// wide rates the characters that all CJK charsets share; ok is false for ideographs and syllables.
func wide(r rune) (score int, ok bool) {
	switch {
	case r >= 0xE000 && r <= 0xF8FF:
		return 2 * strange, true
	case r >= 0x3000 && r <= 0x3020 || r == 0x30FB || r == 0xFF08 || r == 0xFF09:
		return likely, true
	case r >= 0xFF01 && r <= 0xFF5E:
		return likely / 2, true
	case r < 0x2E80:
		return strange, true
	}
	return 0, false
}

func kana(r rune) bool {
	return r >= 0x3041 && r <= 0x3096 || r >= 0x30A1 && r <= 0x30FE && r != 0x30FB
}

func weighSJIS(b []byte, r rune) int {
	s, common := wide(r)
	switch {
	case kana(r), frequent().japanese[r]:
		return sure
	case len(b) == 1:
		return 20 // half-width katakana: where Latin letters are taken for Japanese
	case common:
		return s
	case b[0] >= 0x88 && b[0] <= 0x97:
		return likely
	}
	return 0
}

func weighEUCJP(b []byte, r rune) int {
	s, common := wide(r)
	switch {
	case kana(r), frequent().japanese[r]:
		return sure
	case b[0] == 0x8E:
		return 20
	case common:
		return s
	case len(b) == 2 && b[0] >= 0xB0 && b[0] <= 0xCF:
		return likely
	case len(b) == 3:
		return -20
	}
	return 0
}

func weighGB(b []byte, r rune) int {
	s, common := wide(r)
	switch {
	case frequent().simplified[r]:
		return sure
	case len(b) == 4:
		return strange
	case common:
		return s
	case kana(r):
		return 20
	case b[1] < 0xA1:
		return strange / 2
	case b[0] >= 0xB0 && b[0] <= 0xD7:
		return likely
	}
	return 0
}

func weighBig5(b []byte, r rune) int {
	s, common := wide(r)
	switch {
	case frequent().traditional[r]:
		return sure
	case common:
		return s
	case b[0] >= 0xA4 && b[0] <= 0xC6:
		return likely
	case b[0] >= 0xC9 && b[0] <= 0xF9:
		return 0
	}
	return strange
}

func weighEUCKR(b []byte, r rune) int {
	s, common := wide(r)
	switch {
	case frequent().hangul[r]:
		return sure
	case common:
		return s
	case b[0] >= 0xB0 && b[0] <= 0xC8 && b[1] >= 0xA1:
		return likely - 10
	case r >= 0xAC00 && r <= 0xD7A3:
		return strange / 2
	}
	return -10
}
