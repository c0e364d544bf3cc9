package ftpbridge

import (
	"fmt"
	"sync/atomic"
	"time"
)

const (
	// earlyFresh is how long a data port that was asked for ahead is used: servers
	// and firewalls give unused ones up.
	earlyFresh = 5 * time.Second
	// earlyPause is the longest time between two transfers of one session after
	// which a third is taken for likely.
	earlyPause = time.Second
)

// early is the data port of the next transfer, asked for when the data of one
// ends and before its final reply is read. This saves a round trip for each of
// many small files. Servers that read one command after the other answer in
// that order; one that does not is not asked so again, by no session.
type early struct {
	off   *atomic.Bool // shared by the sessions of a source
	state earlyState
	reply reply
	at    time.Time // of the reply

	works bool      // EPSV has led to a data connection in this session
	used  bool      // the present data port was asked for ahead
	begun time.Time // when the present transfer began
	ended time.Time // when the last one did
	run   bool      // the present one followed the last closely
}

type earlyState uint8

const (
	earlyNone     earlyState = iota
	earlyAsked               // its reply comes next, behind that of the transfer
	earlyAnswered            // the reply is here
)

// askEarly sends EPSV where another transfer is likely to come.
func (c *control) askEarly() {
	e := &c.early
	if !e.works || !e.run || e.state != earlyNone || c.noEPSV || e.off.Load() || c.dead.Load() {
		return
	}
	if err := c.write("EPSV"); err == nil {
		e.state = earlyAsked
	}
}

// transferBegins and transferEnds tell one of many from a single one.
func (c *control) transferBegins() {
	c.early.begun = time.Now()
	c.early.run = !c.early.ended.IsZero() && c.early.begun.Sub(c.early.ended) < earlyPause
}

func (c *control) transferEnds() { c.early.ended = time.Now() }

// awaitEarly reads the reply to askEarly, which comes before that of the command
// that was sent after it.
func (c *control) awaitEarly() error {
	e := &c.early
	e.state = earlyNone
	r, err := c.read()
	if err != nil {
		c.broke = err
		c.dead.Store(true)
		return err
	}
	switch {
	case r.code == 229:
		e.state, e.reply, e.at = earlyAnswered, r, time.Now()
	case r.code/100 == 4 || r.code/100 == 5:
		e.off.Store(true)
		if r.code == 421 {
			c.last = r
			c.dead.Store(true)
			return r.err("EPSV")
		}
	default:
		return c.outOfStep(r)
	}
	return nil
}

// outOfStep gives up on a session whose replies no longer belong to its commands.
func (c *control) outOfStep(r reply) error {
	c.early.off.Store(true)
	c.broke = fmt.Errorf("%w: its replies came in another order than the commands, with %s",
		ErrUnreachable, quoteReply(r.code, r.text()))
	c.dead.Store(true)
	return c.broke
}

// takeEarly gives the reply to an EPSV that was sent ahead, if it is still good.
func (c *control) takeEarly() (r reply, ok bool, err error) {
	e := &c.early
	if e.state == earlyAsked {
		if err := c.awaitEarly(); err != nil {
			return reply{}, false, err
		}
	}
	ok = e.state == earlyAnswered && time.Since(e.at) < earlyFresh
	e.state = earlyNone
	return e.reply, ok, nil
}
