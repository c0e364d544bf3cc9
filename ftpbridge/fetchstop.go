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
	// Any reply counts, also the 150 that Pure-FTPd sends here.
	r, err := s.ctl.read()
	if err != nil {
		return err
	}
	if r.code == 421 {
		return r.err(s.ctl.verb)
	}
	s.ctl.moving = false
	if r, err = s.ctl.exchange("NOOP"); err != nil {
		return err
	}
	if r.code != 200 {
		return fmt.Errorf("%w: %s is no answer to NOOP", ErrProtocol, quoteReply(r.code, r.text()))
	}
	return nil
}
