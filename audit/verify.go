package audit

import (
	"crypto/ed25519"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
)

// MaxFaults is how many faults a report lists.
const MaxFaults = 1000

// Fault is one thing that is wrong with a log.
type Fault struct {
	File string // base name; "" if it is of no file
	Line int    // in the file, from 1; 0 if it is of no line
	What string
}

func (f Fault) String() string {
	switch {
	case f.File == "":
		return f.What
	case f.Line == 0:
		return f.File + ": " + f.What
	}
	return fmt.Sprintf("%s:%d: %s", f.File, f.Line, f.What)
}

// Report is what Verify found.
type Report struct {
	Files       int
	Lines       int
	First, Last uint64 // numbers of the first and last line; 0 if there is none
	Head        Head   // of the last line
	Signed      Head   // of the last line that is a head whose signature is good; the zero Head if none is
	Unsigned    int    // lines after it
	Notes       []Fault
	Faults      []Fault // at most MaxFaults
	Total       int     // of faults
}

// VerifyOptions say what a log is held to.
type VerifyOptions struct {
	// Keys are those whose heads are believed; without any no signature is checked.
	Keys []ed25519.PublicKey
	// Heads were kept elsewhere.
	Heads []Head
	// Part says that the files are not all: that lines before the first are missing is no fault.
	Part bool
	// Limit is how many bytes of the last file are read, since a process may be writing to it; 0 is all.
	Limit int64
}

// Verify reads the files of a log, the oldest first, and says what is wrong with it. The error is one of reading them.
func Verify(files []string, o VerifyOptions) (Report, error) {
	c := newChecker(o)
	for i, file := range files {
		limit := int64(0)
		if i == len(files)-1 {
			limit = o.Limit
		}
		if err := c.file(file, limit); err != nil {
			return c.r, err
		}
	}
	c.end()
	return c.r, nil
}

// place is a line where it was found. A line that cannot be read has err.
type place struct {
	line
	file   string
	number int
	err    error
}

// checker follows the chain with one line of foresight: whether a line that does not fit was changed, put in, or
// comes after a gap, the line behind it tells.
type checker struct {
	o     VerifyOptions
	keys  map[string]ed25519.PublicKey
	r     Report
	last  *place // the last that counts
	odd   *place // does not fit to last; judged with the next
	prune uint64 // up to which line files were removed, as a line says
	found []bool // heads
	since int    // lines without a head
	said  bool   // that there were too many
}

func newChecker(o VerifyOptions) *checker {
	c := &checker{o: o, keys: map[string]ed25519.PublicKey{}, found: make([]bool, len(o.Heads))}
	for _, k := range o.Keys {
		c.keys[KeyID(k)] = k
	}
	return c
}

func (c *checker) file(path string, limit int64) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	var from io.Reader = f
	if limit > 0 {
		from = io.LimitReader(f, limit)
	}
	return c.read(filepath.Base(path), from)
}

func (c *checker) read(name string, from io.Reader) error {
	c.r.Files++
	for r := newReader(from); ; {
		raw, err := r.next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		c.r.Lines++
		l, err := parseLine(raw)
		if torn := !r.whole && err != nil; torn {
			c.fault(name, r.number, "the file ends within a line: the process that wrote it was killed, and the next that writes mends it; or the end was cut off")
			return nil
		}
		c.feed(&place{line: l, file: name, number: r.number, err: err})
	}
}

func (c *checker) fault(file string, number int, format string, args ...any) {
	c.r.Total++
	if len(c.r.Faults) < MaxFaults {
		c.r.Faults = append(c.r.Faults, Fault{file, number, fmt.Sprintf(format, args...)})
	}
}

func (c *checker) fits(p *place) bool {
	if p.err != nil {
		return false
	}
	if c.last == nil {
		return p.Seq != 1 || p.prev == hash{}
	}
	return p.Seq == c.last.Seq+1 && p.prev == c.last.sum
}

func (c *checker) feed(p *place) {
	if c.odd != nil {
		c.judge(c.odd, p)
		c.odd = nil
	}
	if !c.fits(p) {
		c.odd = p
		return
	}
	c.accept(p)
}

// accept makes p the last line that counts.
func (c *checker) accept(p *place) {
	c.last = p
	if c.r.First == 0 {
		c.r.First = p.Seq
	}
	for i, h := range c.o.Heads {
		switch {
		case h.sum == p.sum:
			c.found[i] = true
		case h.Seq == p.Seq && !c.found[i]:
			c.found[i] = true
			c.fault(p.file, p.number, "line %d is not the one that the head %.24s… is of: it, or a line before it, was changed, or the log was written anew", p.Seq, h)
		}
	}
	if c.since++; c.since > 3*headLines && len(c.keys) > 0 && !c.said {
		c.said = true
		c.fault(p.file, p.number, "there is no head within %d lines: they may have been written anew by somebody without the key", c.since)
	}
	switch p.Verb {
	case HeadOf:
		c.head(p)
	case Prune:
		c.prune = max(c.prune, p.Through)
	case Mend, Lost:
		c.r.Notes = append(c.r.Notes, Fault{p.file, p.number, string(p.Verb) + ": " + p.Reason})
		c.r.Notes = c.r.Notes[max(0, len(c.r.Notes)-MaxFaults):]
	}
}

func (c *checker) head(p *place) {
	if len(c.keys) == 0 {
		return
	}
	key, ok := c.keys[p.Signer]
	switch {
	case !ok:
		c.fault(p.file, p.number, "the head is signed by %s, which is none of the keys that are believed", shownText(p.Signer))
	case !ed25519.Verify(key, signed(p.Node, p.Seq, p.prev), p.Signature):
		c.fault(p.file, p.number, "the signature of the head is wrong: lines up to here were written by somebody without the key")
	default:
		c.r.Signed = Head{p.Seq, p.sum}
		c.since, c.said = 0, false
	}
}

// judge says what is wrong with p, by the line behind it, which is nil at the end.
func (c *checker) judge(p, next *place) {
	follows := func(seq uint64) bool { return next != nil && next.err == nil && next.Seq == seq+1 }
	// stand is p in the chain, as the line behind it says that it was.
	stand := func(seq uint64) {
		p.Seq = seq
		if follows(seq) {
			p.sum = next.prev
		}
		c.accept(p)
	}
	switch last := c.last; {
	case last != nil && next != nil && next.err == nil && next.prev == last.sum:
		c.fault(p.file, p.number, "a line was put in: the lines before and behind it belong together%s", because(p.err))
	case p.err != nil:
		c.fault(p.file, p.number, "%v", p.err)
		switch {
		case last != nil && follows(last.Seq+1):
			stand(last.Seq + 1)
		case last == nil && next != nil && next.err == nil && next.Seq > 1:
			stand(next.Seq - 1)
		}
	case last == nil: // the first of all, and not what a first line is
		c.fault(p.file, p.number, "line 1 was changed: it says that a line was before it")
		c.accept(p)
	case p.prev == last.sum:
		c.fault(p.file, p.number, "the number of line %d was changed, to %d", last.Seq+1, p.Seq)
		stand(last.Seq + 1)
	case p.Seq == last.Seq+1 && follows(p.Seq) && next.prev != p.sum:
		c.fault(p.file, p.number, "line %d was changed: neither the line before nor the one behind it fits", p.Seq)
		stand(p.Seq)
	case p.Seq == last.Seq+1 && next != nil:
		c.fault(last.file, last.number, "line %d was changed: line %d has the SHA-256 of another", last.Seq, p.Seq)
		c.accept(p)
	case p.Seq == last.Seq+1:
		c.fault(last.file, last.number, "line %d was changed, or line %d, the last: they do not belong together", last.Seq, p.Seq)
		c.accept(p)
	case p.Seq > last.Seq+1:
		c.missing(p, last)
		c.accept(p)
	default:
		c.fault(p.file, p.number, "line %d comes behind line %d: it was put in, or the order was changed", p.Seq, last.Seq)
		if follows(p.Seq) && next.prev == p.sum { // a piece that hangs together: its lines are not told one by one
			c.accept(p)
		}
	}
}

func (c *checker) missing(p, last *place) {
	what := fmt.Sprintf("lines %d to %d are missing", last.Seq+1, p.Seq-1)
	if p.Seq == last.Seq+2 {
		what = fmt.Sprintf("line %d is missing", last.Seq+1)
	}
	if p.file != last.file {
		what += fmt.Sprintf(": a file, or the end of %s", last.file)
	}
	c.fault(p.file, p.number, "%s", what)
}

func because(err error) string {
	if err == nil {
		return ""
	}
	return "; " + err.Error()
}

func (c *checker) end() {
	if c.odd != nil {
		c.judge(c.odd, nil)
	}
	if c.last == nil {
		if len(c.o.Heads) > 0 {
			c.fault("", 0, "there is no line, and a head says that there were some: %s", c.o.Heads[0])
		}
		return
	}
	c.r.Last, c.r.Head, c.r.Unsigned = c.last.Seq, Head{c.last.Seq, c.last.sum}, c.since
	if c.r.First > 1 && c.prune < c.r.First-1 && !c.o.Part {
		c.fault("", 0, "lines %d to %d are missing: files were removed, and not by the gateway, which would say so in a line", c.prune+1, c.r.First-1)
	}
	for i, h := range c.o.Heads {
		switch {
		case c.found[i]:
		case h.Seq > c.r.Last:
			c.fault("", 0, "the log ends at line %d, and a head is of line %d: the end was cut off", c.r.Last, h.Seq)
		case h.Seq == 0:
			c.fault("", 0, "no line has the SHA-256 of the head %s: the end was cut off, or the log was written anew", h.sum)
		case !c.o.Part && h.Seq > c.prune:
			c.fault("", 0, "line %d, which a head is of, is missing", h.Seq)
		}
	}
}

// shownText is a text of a file for people.
func shownText(s string) string { return string(appendText(nil, s)) }
