package ftpbridge

import (
	"fmt"
	"io"
)

// stopper is what a fetch may be besides an io.ReadCloser: one that can be ended
// before its end without the loss of its session.
type stopper interface {
	// stop ends the fetch. If it fails the session is broken, and nothing else:
	// what was read counts.
	stop() error
}

// stop closes the data connection, on which servers end a transfer with 426 or
// 451 (RFC 959 section 4.2.2; also 226, when all was on its way already), and
// makes sure that no further reply follows, which would be taken for that to the
// next command. ABOR is not used: it brings a second reply with some servers, and
// others do not read it before the transfer is over.
func (t *transfer) stop() error {
	if t.done {
		return nil
	}
	s := t.s
	s.dropData()
	err := s.lastWords()
	if err != nil {
		s.kill()
		t.over(fmt.Errorf("%w after %d bytes: %w", ErrAborted, t.n, err))
		return t.err
	}
	t.over(io.EOF)
	return nil
}

// lastWords reads what the server has to say of a transfer that was ended by us.
func (s *Session) lastWords() error {
	patience := s.ctl.timeout
	s.ctl.timeout = min(finalWords, patience)
	defer func() { s.ctl.timeout = patience }()
	c := s.ctl
	asked := false // EPSV, behind NOOP
	if c.early.deaf {
		// It reads this after the transfer; so all answers come in one round trip.
		if err := c.sendLines("NOOP"); err != nil {
			return err
		}
		if asked = c.early.works && c.early.state == earlyNone && !c.noEPSV && !c.early.off.Load(); asked {
			if err := c.write("EPSV"); err != nil {
				return err
			}
		}
	}
	// Any reply counts, also the 150 that Pure-FTPd sends here.
	r, err := c.read()
	if err != nil {
		return err
	}
	if r.code == 421 {
		return r.err(c.verb)
	}
	c.moving = false
	if c.early.deaf {
		r, err = c.await()
	} else {
		r, err = c.exchange("NOOP")
	}
	if err != nil {
		return err
	}
	if r.code != 200 {
		return fmt.Errorf("%w: %s is no answer to NOOP", ErrProtocol, quoteReply(r.code, r.text()))
	}
	if asked {
		c.early.state = earlyAsked
	}
	return nil
}
