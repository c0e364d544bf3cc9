package listing

import (
	"math"
	"slices"
	"sync"
	"unicode/utf8"
)

// maxEvidence is how many bytes of names a listing (or a window of it) is judged by.
const maxEvidence = 4 << 10

// Detector gathers what the names of one server say about its charset. One name says little; the names of a
// directory usually say enough, and where they do not, those seen before decide. It is safe for concurrent use and
// of fixed size. The zero value has seen nothing, as NewDetector.
type Detector struct {
	mu     sync.Mutex
	scores scores // nil until a name that is neither ASCII nor UTF-8 came: the models take long to make
	tally  tally
	seen   byteSet
}

// scores is how much better than chance each reading explains the names.
type scores []int

// tally counts names that are not ASCII by what they are known to be.
type tally struct {
	utf8, jis, other int
}

func (t *tally) names() int { return t.utf8 + t.jis + t.other }

// NewDetector returns a Detector that has seen nothing.
func NewDetector() *Detector {
	return &Detector{}
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
	all := float64(d.tally.names())
	switch t := d.tally; {
	case all == 0:
		return utf8Name, 0
	case t.utf8 >= t.other && t.utf8 >= t.jis:
		return utf8Name, certainty(t.utf8) * float64(t.utf8) / all
	case t.jis >= t.other:
		return jisName, certainty(t.jis) * float64(t.jis) / all
	}
	return d.scores.choose(&d.seen)
}

// learn adds the evidence of one listing.
func (d *Detector) learn(ev *evidence) {
	ev.settle()
	own := ev.scores()
	d.mu.Lock()
	defer d.mu.Unlock()
	d.add(ev, own)
}

// maxHistory bounds the scores and tallies kept: old evidence fades.
const maxHistory = 1 << 24

func (d *Detector) add(ev *evidence, own scores) {
	d.tally.utf8 += ev.tally.utf8
	d.tally.jis += ev.tally.jis
	d.tally.other += ev.tally.other
	for i, in := range ev.seen {
		d.seen[i] = d.seen[i] || in
	}
	top := d.tally.names()
	if d.scores == nil && own != nil {
		d.scores = make(scores, len(own))
	}
	for i, s := range own {
		d.scores[i] += s
		top = max(top, d.scores[i], -d.scores[i])
	}
	if top > maxHistory {
		d.tally = tally{utf8: d.tally.utf8 / 2, jis: d.tally.jis / 2, other: d.tally.other / 2}
		for i := range d.scores {
			d.scores[i] /= 2
		}
	}
}

// maxBias is how strongly the names seen before argue against a reading of one listing. Directories in another
// charset than the others are rare, not impossible.
const maxBias = 7 * nat

// decide chooses the charset of one listing's names, by their own scores and by what is known of the server. Then
// it adds them to that.
func (d *Detector) decide(ev *evidence) (string, float64) {
	ev.settle()
	switch t := ev.tally; {
	case t.other > 0:
	case t.jis > t.utf8:
		d.learn(ev)
		return jisName, certainty(t.jis)
	default:
		d.learn(ev)
		return utf8Name, certainty(t.utf8)
	}
	own := ev.scores()
	d.mu.Lock()
	defer d.mu.Unlock()
	sum := slices.Clone(own)
	best := 0
	for _, s := range d.scores {
		best = max(best, s)
	}
	for i, s := range d.scores {
		sum[i] -= min(maxBias, best-s)
	}
	d.add(ev, own)
	return sum.choose(&ev.seen)
}

// certainty of n names that are valid UTF-8: other charsets hardly ever make one.
func certainty(n int) float64 { return 1 - 0.2/float64(max(n, 1)) }

// temper makes up for the letters of a name not being independent of one another, as the scores take them to be.
const temper = 2.5 * nat

// choose picks the best reading. The confidence in it is the probability of all readings that make the same text,
// in a world of these readings and of bytes without a meaning.
func (s scores) choose(seen *byteSet) (string, float64) {
	all := readings()
	best := 0
	for i := range s {
		if s[i]-all[i].prior > s[best]-all[best].prior {
			best = i
		}
	}
	top := s[best] - all[best].prior
	if top <= 0 && s[best] == 0 {
		return all[best].charset.name, 0
	}
	same, sum := 0.0, math.Exp(float64(-top)/temper)
	for i := 0; i < len(s); {
		cs := all[i].charset
		own := math.MinInt
		for ; i < len(s) && all[i].charset == cs; i++ {
			own = max(own, s[i]-all[i].prior)
		}
		p := math.Exp(float64(own-top) / temper)
		sum += p
		if alike(cs, all[best].charset, seen) {
			same += p
		}
	}
	return all[best].charset.name, same / sum
}

// byteSet is a set of the bytes over 0x7F.
type byteSet [128]bool

// alike reports whether two charsets read all the bytes seen alike.
func alike(a, b *charset, seen *byteSet) bool {
	if a == b || a.single == nil || b.single == nil {
		return a == b
	}
	for i, in := range seen {
		if c := byte(i) + utf8.RuneSelf; in && a.single.DecodeByte(c) != b.single.DecodeByte(c) {
			return false
		}
	}
	return true
}
