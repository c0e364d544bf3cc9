package ftpbridge

import (
	"context"
	"fmt"
	"io"
	"strings"
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
// that order; one that does not is not asked so again, by no session. One that
// reads no commands at all while it sends a file is asked together with the
// transfer, which saves another round trip.
type early struct {
	off   *atomic.Bool // shared by the sessions of a source
	deaf  bool         // the server reads nothing during a transfer
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
	earlySent                // together with a transfer command whose first reply has not come
	earlyAsked               // its reply comes next, behind that of the transfer
	earlyAnswered            // the reply is here
)

// askEarly sends EPSV where another transfer is likely to come.
func (c *control) askEarly() {
	if !c.wantsEarly() || c.dead.Load() {
		return
	}
	if err := c.write("EPSV"); err == nil {
		c.early.state = earlyAsked
	}
}

func (c *control) wantsEarly() bool {
	e := &c.early
	return e.works && e.run && e.state == earlyNone && !c.noEPSV && !e.off.Load()
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

// ahead is a command that goes out in one flight with the RETR after it, so that
// its answer costs no round trip: MDTM, or REST.
type ahead struct {
	rest    bool   // REST is to be held back for RETR
	line    string // goes out with the next RETR
	waiting bool   // its reply comes next
	reply   reply
}

// holdBack keeps REST until RETR comes, and tells the library that it was taken.
func (c *control) holdBack(line string) bool {
	if !c.ahead.rest || !strings.HasPrefix(line, "REST ") {
		return false
	}
	c.ahead.line, c.verb, c.fault = line, "REST", nil
	c.in = reply{code: 350, lines: []string{"goes out with RETR"}}.wire()
	return true
}

// sendBehind sends line behind the command that is to go ahead of it.
func (c *control) sendBehind(line string) error {
	first := c.ahead.line
	if first == "" || !strings.HasPrefix(line, "RETR ") {
		return c.send(line)
	}
	c.ahead.line = ""
	if strings.ContainsAny(first+line, "\r\n\x00") {
		return ErrName
	}
	if err := c.sendLines(first + "\r\n" + line); err != nil {
		return err
	}
	c.ahead.waiting = true
	return nil
}

// awaitAhead reads the reply to the command that went ahead.
func (c *control) awaitAhead() error {
	c.ahead.waiting = false
	r, err := c.read()
	if err != nil {
		c.broke = err
		c.dead.Store(true)
		return err
	}
	if r.code/100 < 2 || r.code/100 == 3 && !c.ahead.rest {
		return c.outOfStep(r)
	}
	if r.code == 421 {
		c.last = r
		c.dead.Store(true)
		return r.err(c.verb)
	}
	if c.ahead.rest && r.code/100 != 3 { // what comes next is the file from its beginning
		c.dead.Store(true)
		c.broke = fmt.Errorf("%w: the server cannot resume: %w", ErrUnsupported, r.err("REST"))
		return c.broke
	}
	c.ahead.reply = r
	return nil
}

// afterLogin is what every session asks when it has logged in, in this order.
var afterLogin = []string{"FEAT", "TYPE I", "SYST", "PWD"}

// fly sends line, and what is known to come after it in the same flight. If others
// come, the replies that nobody waits for are dropped.
func (c *control) fly(line string) error {
	if len(c.flown) > 0 && c.flown[0] == line {
		c.flown = c.flown[1:]
		c.verb, _, _ = strings.Cut(line, " ")
		c.fault = nil
		return nil
	}
	for len(c.flown) > 0 {
		c.verb, _, _ = strings.Cut(c.flown[0], " ")
		c.flown = c.flown[1:]
		if _, err := c.await(); err != nil {
			return err
		}
	}
	if c.flies && line == afterLogin[0] {
		c.flies, c.flown = false, afterLogin[1:]
		err := c.sendLines(strings.Join(afterLogin, "\r\n"))
		c.verb = afterLogin[0]
		return err
	}
	return c.sendLines(line)
}

// isDeaf are the servers, by their Software, that read no command while they send
// a file. Others look for ABOR, and what they find in its place disturbs them.
func isDeaf(software string) bool { return software == "vsftpd" }

// inFlights names the servers, by their Software, that are known to read commands
// one after the other when several arrive at once.
var inFlights = map[string]bool{"vsftpd": true, "ProFTPD": true, "Pure-FTPd": true, "pyftpdlib": true}

// FetchTimed is Fetch of a whole file, and ModTime as it was when the server began
// to send, in no more round trips where the server is known to allow that. err is
// Fetch's; timeErr, which has no effect on the fetch, is that of ModTime.
func (s *Session) FetchTimed(ctx context.Context, path string) (rc io.ReadCloser, at time.Time, timeErr, err error) {
	if !inFlights[s.info.Software] {
		at, timeErr = s.ModTime(ctx, path)
		rc, err = s.Fetch(ctx, path, 0)
		return rc, at, timeErr, err
	}
	s.ctl.timed = true
	rc, err = s.Fetch(ctx, path, 0)
	s.ctl.timed = false
	if err != nil {
		return nil, time.Time{}, nil, err
	}
	switch r := s.ctl.ahead.reply; r.code {
	case 213:
		at, timeErr = parseMDTM(r.text())
	default:
		timeErr = r.err("MDTM")
	}
	if timeErr != nil {
		timeErr = s.failed(ctx, "ask the time of", path, timeErr)
	}
	return rc, at, timeErr, nil
}
