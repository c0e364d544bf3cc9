package listing

import (
	"bytes"
	"math"
	"slices"
	"unicode/utf8"
)

// evidence is the names of one listing that are not ASCII.
type evidence struct {
	tally tally
	names int // all of them
	size  int
	kept  [][]byte // that are neither UTF-8 nor ISO-2022-JP
	seen  byteSet  // in the names kept

	doubtful [][]byte // UTF-8 that a few letters of another charset may be by accident
	pairs    int      // two-byte sequences in them
	settled  bool
}

// maxName is how much of a name counts.
const maxName = 512

// maxDoubtful is how many two-byte sequences may be an accident.
const maxDoubtful = 6

func (ev *evidence) add(name []byte) {
	pairs, longer, high := sequences(name)
	switch {
	case high == 0:
		if bytes.IndexByte(name, 0x1B) >= 0 && isJIS(name) {
			ev.names++
			ev.tally.jis++
		}
		return
	case !utf8.Valid(name):
		ev.keep(name)
	default:
		ev.tally.utf8++
		if ev.pairs += pairs + longer*maxDoubtful; longer == 0 && pairs <= maxDoubtful && len(ev.doubtful) < 2*maxDoubtful {
			ev.doubtful = append(ev.doubtful, name)
		}
	}
	ev.names++
}

// keep takes in a name that is in some other charset.
func (ev *evidence) keep(name []byte) {
	ev.tally.other++
	if ev.size >= maxEvidence {
		return
	}
	name = condense(name[:min(len(name), maxName)])
	ev.size += len(name)
	ev.kept = append(ev.kept, name)
	for _, c := range name {
		if c >= utf8.RuneSelf {
			ev.seen[c-utf8.RuneSelf] = true
		}
	}
}

// around is how many ASCII characters beside the others a reading can depend on: two capitals before, the second byte
// of a character and the letter behind it after.
const contextBytes = 2

// condense leaves out of a name what is far from any byte over 0x7F, with a blank in its place.
func condense(name []byte) []byte {
	out := make([]byte, 0, len(name))
	next, to := 0, 0 // the next byte over 0x7F, and the end of what is near the last one
	for i, c := range name {
		for next < len(name) && (next < i || name[next] < utf8.RuneSelf) {
			next++
		}
		if next == i {
			to = i + contextBytes
		}
		switch {
		case i <= to && to > 0, next < len(name) && i >= next-contextBytes:
			out = append(out, c)
		case i == to+1 || i == 0:
			out = append(out, ' ')
		}
	}
	return out
}

// sequences counts the bytes over 0x7F and, by their lead bytes, what would be UTF-8 sequences.
func sequences(name []byte) (pairs, longer, high int) {
	for _, c := range name {
		switch {
		case c >= 0xE0:
			longer++
			high++
		case c >= 0xC0:
			pairs++
			high++
		case c >= utf8.RuneSelf:
			high++
		}
	}
	return pairs, longer, high
}

// How much better another charset than UTF-8 must explain valid UTF-8: much better where there is nothing else to go
// by, and somewhat better among names that are not UTF-8.
const (
	marginAlone = 10 * nat
	marginAmong = 2 * nat
)

// settle decides whether what is valid UTF-8 is UTF-8.
func (ev *evidence) settle() {
	if ev.settled {
		return
	}
	ev.settled = true
	switch {
	case ev.tally.other > 0:
		for _, name := range ev.doubtful {
			if better(name, readings()) > marginAmong {
				ev.tally.utf8--
				ev.keep(name)
			}
		}
	case ev.pairs <= maxDoubtful:
		if all := bytes.Join(ev.doubtful, []byte{' '}); len(all) > 0 && better(all, readings()) > marginAlone {
			ev.tally.utf8 = 0
			for _, name := range ev.doubtful {
				ev.keep(name)
			}
		}
	}
}

// explains reports whether a name that is valid UTF-8 is rather one of cs, in a listing whose other names are in cs.
func (cs *charset) explains(name string) bool {
	pairs, longer, _ := sequences([]byte(name))
	if longer > 0 || pairs == 0 || pairs > maxDoubtful {
		return false
	}
	all := readings()
	for lo := range all {
		if all[lo].charset == cs {
			hi := lo
			for hi < len(all) && all[hi].charset == cs {
				hi++
			}
			return better([]byte(name), all[lo:hi]) > marginAmong
		}
	}
	return false
}

// better is how much better the best of the readings explains a name than UTF-8 does; 0 where none does at all.
func better(name []byte, among []reading) int {
	ev := evidence{settled: true}
	ev.keep(name)
	best := 0
	for i, s := range ev.score(among) {
		best = max(best, s-among[i].prior)
	}
	if best == 0 {
		return 0
	}
	utf := charsets[0].glyphs(nil, name, &decoder{cs: &charsets[0]})
	cheapest := math.MaxInt
	for _, m := range models() {
		cheapest = min(cheapest, m.cost(utf))
	}
	return best - (chance(name) - shape(utf) - cheapest)
}

// scores is how well each reading explains the names, nil where there is nothing to be explained.
func (ev *evidence) scores() scores {
	if len(ev.kept) == 0 {
		return nil
	}
	return ev.score(readings())
}

// What one name can say at most against a charset, and against a language where others of the charset explain it:
// one odd name must not outweigh all the others.
const (
	maxAgainst  = 12 * nat
	maxLanguage = 5 * nat / 2
)

// A few of the names, taken evenly, show which charsets are out of the question; the others need not be read in these.
const (
	sampleSize  = 8
	hopelessLag = 80 * nat
)

func (ev *evidence) score(among []reading) scores {
	out := make(scores, len(among))
	if len(ev.kept) == 0 {
		return out
	}
	step := (len(ev.kept) + sampleSize - 1) / sampleSize
	out.read(among, ev.kept, func(i int) bool { return i%step == 0 }, math.MinInt)
	if step > 1 {
		out.read(among, ev.kept, func(i int) bool { return i%step != 0 }, slices.Max(out)-hopelessLag)
	}
	return out
}

// read adds the scores of the names chosen, in the charsets that have one of at least floor.
func (s scores) read(among []reading, names [][]byte, chosen func(int) bool, floor int) {
	var buf []glyph
	for lo, hi := 0, 0; lo < len(among); lo = hi {
		cs := among[lo].charset
		for hi < len(among) && among[hi].charset == cs {
			hi++
		}
		if slices.Max(s[lo:hi]) < floor {
			continue
		}
		d := cs.decoder()
		own := make(scores, hi-lo)
		for i, name := range names {
			if !chosen(i) {
				continue
			}
			buf = cs.glyphs(buf[:0], name, &d)
			base, best := chance(name)-shape(buf), -maxAgainst
			for j := range own {
				own[j] = base - among[lo+j].model.cost(buf)
				best = max(best, own[j])
			}
			for j, c := range own {
				s[lo+j] += max(c, best-maxLanguage)
			}
		}
	}
}
