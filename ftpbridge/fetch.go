package ftpbridge

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/textproto"
	"time"

	"github.com/jlaffaye/ftp"
)

// finalWords is how long a server may take to say why it broke a transfer off.
const finalWords = 3 * time.Second

// Fetch reads a file from offset on (RETR after REST, RFC 3659 section 5).
//
// Read gives io.EOF only after the server confirmed the transfer; a data
// connection that ended early gives an error that wraps io.ErrUnexpectedEOF.
// Close reports the same. Close before the end gives ErrAborted and breaks the
// session. ctx governs the whole transfer until Close.
//
// A server may ignore REST and send the file from its start, or a size other
// than it said: compare an overlap and the size.
func (s *Session) Fetch(ctx context.Context, path string, offset int64) (io.ReadCloser, error) {
	end, err := s.begin(ctx)
	if err != nil {
		return nil, s.failed(ctx, "fetch", path, err)
	}
	t, err := s.retrieve(ctx, path, offset)
	if err != nil {
		end()
		return nil, s.failed(ctx, "fetch", path, err)
	}
	t.end = end
	return t, nil
}

func (s *Session) retrieve(ctx context.Context, path string, offset int64) (*transfer, error) {
	if offset < 0 {
		return nil, fmt.Errorf("offset %d: %w", offset, fs.ErrInvalid)
	}
	full, err := s.full(path)
	if err != nil {
		return nil, err
	}
	var refusal error
	for _, p := range s.spellings(full) {
		t, err := s.transfer(ctx, "", p, offset)
		if err == nil {
			s.learn(full, p)
			t.op, t.path = "fetch", path
			return t, nil
		}
		if refusal == nil {
			refusal = err
		}
		if s.Broken() {
			break
		}
	}
	return nil, refusal
}

// transfer starts a transfer with the library: RETR path, or swap in its place.
func (s *Session) transfer(ctx context.Context, swap, path string, offset int64) (*transfer, error) {
	s.ctl.swap = swap
	s.ctl.transferBegins()
	s.ctl.ahead = ahead{rest: swap == "" && offset > 0 && inFlights[s.info.Software]}
	if s.ctl.timed && swap == "" && offset == 0 {
		s.ctl.ahead.line = "MDTM " + path
	}
	resp, err := s.lib.RetrFrom(path, uint64(offset))
	s.ctl.swap, s.ctl.ahead.rest = "", false
	if err != nil {
		err = s.refused(err)
		s.dropData()
		if offset > 0 && !s.Broken() {
			// The offset would be waiting for the next transfer.
			if _, rerr := s.ctl.exchange("REST 0"); rerr != nil {
				return nil, rerr
			}
		}
		return nil, err
	}
	return &transfer{s: s, ctx: ctx, resp: resp, verb: s.ctl.verb}, nil
}

// refused finds the true reason of a failure that came through the library.
func (s *Session) refused(err error) error {
	var te *textproto.Error
	switch {
	case s.ctl.fault != nil:
		return s.ctl.fault
	case errors.As(err, &te):
		refusal := s.ctl.last.err(s.ctl.verb)
		if s.ctl.verb == "REST" {
			return fmt.Errorf("%w: the server cannot resume: %w", ErrUnsupported, refusal)
		}
		return refusal
	}
	return describe(err)
}

func (s *Session) dropData() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.data != nil {
		_ = s.data.raw.Close()
		s.data = nil
	}
}

// transfer is an open data connection with its final reply still to come.
type transfer struct {
	s        *Session
	ctx      context.Context // of the Fetch that returned it; Read and Close have none of their own
	resp     *ftp.Response
	op, path string
	verb     string
	end      func()
	n        int64
	done     bool
	cause    error // how it ended, io.EOF when well
	err      error // the same with server and path
}

func (t *transfer) Read(p []byte) (int, error) {
	if t.done {
		return 0, t.err
	}
	if len(p) == 0 {
		return 0, nil
	}
	n, err := t.resp.Read(p)
	t.n += int64(n)
	switch {
	case err == nil:
		return n, nil
	case errors.Is(err, io.EOF):
		t.finish()
	default:
		t.broke(err)
	}
	return n, t.err
}

// finish closes the data connection and reads the final reply.
func (t *transfer) finish() {
	t.s.ctl.askEarly()
	err := t.resp.Close()
	t.s.ctl.transferEnds()
	var te *textproto.Error
	switch {
	case err == nil:
		t.over(io.EOF)
	case t.s.ctl.dead.Load() && t.s.ctl.last.code != 421:
		t.over(fmt.Errorf("%w after %d bytes, no confirmation came: %w", io.ErrUnexpectedEOF, t.n, describe(err)))
	case errors.As(err, &te):
		t.over(fmt.Errorf("%w after %d bytes: %w%s", io.ErrUnexpectedEOF, t.n, t.s.ctl.last.err(t.verb), t.s.data.notResumed()))
	default: // the library gave up on something else: the replies may be out of step
		t.s.ctl.dead.Store(true)
		t.over(fmt.Errorf("%w after %d bytes: %w", io.ErrUnexpectedEOF, t.n, describe(err)))
	}
}

// broke ends a transfer whose data connection failed. The server often says why.
func (t *transfer) broke(err error) {
	s, d := t.s, t.s.data
	switch why := describe(err); {
	case errors.Is(why, ErrTimeout):
		err = fmt.Errorf("%w after %d bytes: %w", io.ErrUnexpectedEOF, t.n, why)
	case errors.Is(err, ErrUnreachable): // active mode, and nobody came
		err = fmt.Errorf("%w after %d bytes: %w", io.ErrUnexpectedEOF, t.n, err)
	case !d.secured():
		err = fmt.Errorf("%w after %d bytes: %w", io.ErrUnexpectedEOF, t.n, describeDataTLS(err))
	case errors.Is(err, errNoGoodbye):
		err = fmt.Errorf("%w after %d bytes: the data connection was cut: %w", io.ErrUnexpectedEOF, t.n, err)
	default:
		err = fmt.Errorf("%w after %d bytes: %w", io.ErrUnexpectedEOF, t.n, why)
	}
	s.dropData()
	if t.ctx.Err() == nil && !s.Broken() {
		s.ctl.timeout = min(finalWords, s.ctl.timeout)
		if r, rerr := s.ctl.await(); rerr == nil {
			err = fmt.Errorf("%w (%w)%s", err, r.err(t.verb), d.notResumed())
		}
	}
	t.over(err)
	s.kill()
}

// over settles how the transfer ended and frees the session.
func (t *transfer) over(err error) {
	t.s.mu.Lock()
	t.s.data = nil
	t.s.mu.Unlock()
	t.cause = err
	if !errors.Is(err, io.EOF) {
		err = t.s.failed(t.ctx, t.op, t.path, err)
	}
	t.done, t.err = true, err
	t.end()
}

// Close ends the transfer; see Fetch. Calling it again gives the same answer.
func (t *transfer) Close() error {
	if !t.done {
		t.s.kill()
		t.over(fmt.Errorf("%w after %d bytes", ErrAborted, t.n))
	}
	if errors.Is(t.cause, io.EOF) {
		return nil
	}
	return t.err
}
