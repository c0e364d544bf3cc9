package ftpbridge

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"strconv"
	"time"
)

// maxDrained is how many bytes a server may send back on the data connection of
// an upload before the connection is closed on it.
const maxDrained = 64 << 10

// Store writes r to path from offset on and returns how many bytes of r were
// handed to the network. A file that is there is replaced; with an offset it
// must hold at least so many bytes, and what it holds behind them is overwritten
// (REST and STOR, RFC 3659 section 5; APPE where the server has no REST and the
// file ends at offset).
//
// It succeeds only after the server confirmed the transfer and SIZE gives offset
// and the bytes of r together: over TLS 1.3 an upload can be cut without either
// side noticing. Where the server has no SIZE its confirmation must do, and an
// offset is refused with ErrUnsupported. A size that is too small or too large
// wraps io.ErrUnexpectedEOF. ErrUnconfirmed is for a server that has SIZE and
// does not give it for this file: a drop box that takes files away at once, say.
//
// An upload that fails may leave a part of the file under path: store to a
// temporary name, then Rename. When r fails, or ctx ends, the transfer is cut
// and the session is broken. r itself is not interrupted by ctx.
func (s *Session) Store(ctx context.Context, path string, r io.Reader, offset int64) (int64, error) {
	var n int64
	err := s.call(ctx, "store", path, func(full string) error {
		if offset < 0 {
			return fmt.Errorf("offset %d: %w", offset, fs.ErrInvalid)
		}
		name, err := s.exact(full)
		if err != nil {
			return err
		}
		t, err := s.startStore(ctx, full, name, offset)
		if err != nil {
			return err
		}
		err = t.upload(r)
		if n = t.n; err != nil {
			return err
		}
		return s.confirm(full, offset+n)
	})
	return n, err
}

// startStore opens the data connection for an upload.
func (s *Session) startStore(ctx context.Context, full, name string, offset int64) (*transfer, error) {
	if offset == 0 {
		return s.transfer(ctx, "STOR "+name, listToken, 0)
	}
	// A server that loses the offset, or leaves a hole before it, can be
	// found out by the size alone.
	size, err := s.size(full)
	if err != nil {
		return nil, err
	}
	if size < offset {
		return nil, fmt.Errorf("offset %d in a file of %d bytes: %w", offset, size, fs.ErrInvalid)
	}
	t, err := s.transfer(ctx, "STOR "+name, listToken, offset)
	if err == nil || !errors.Is(err, ErrUnsupported) || size != offset || s.Broken() {
		return t, err
	}
	return s.transfer(ctx, "APPE "+name, listToken, 0)
}

// confirm compares the size of a stored file.
func (s *Session) confirm(full string, want int64) error {
	size, err := s.size(full)
	switch {
	case errors.Is(err, ErrUnsupported):
		return nil
	case err != nil && s.Broken():
		return err
	case err != nil:
		return fmt.Errorf("%w: the transfer was confirmed, but not the size: %w", ErrUnconfirmed, err)
	case size != want:
		return fmt.Errorf("%w: the server confirmed the transfer of %d bytes and holds %d", io.ErrUnexpectedEOF, want, size)
	}
	return nil
}

// upload sends r and ends the transfer. Its error has no path in it yet.
func (t *transfer) upload(r io.Reader) error {
	s := t.s
	t.op, t.end = "store", func() {} // Store's own call ends the session's turn
	d := s.data
	if err := d.handshake(t.ctx); err != nil {
		t.broke(err)
		return t.cause
	}
	out := &outgoing{d: d}
	_, err := io.Copy(out, r)
	t.n = out.n
	switch {
	case out.err != nil:
		t.broke(out.err)
		return t.cause
	case err != nil:
		// An orderly end would make the server keep what it has as a whole file.
		if tcp, ok := d.raw.(interface{ SetLinger(sec int) error }); ok {
			_ = tcp.SetLinger(0)
		}
		s.kill()
		t.over(fmt.Errorf("%w after %d bytes: read what is to be stored: %w", ErrAborted, t.n, err))
		return t.cause
	}
	d.finishSending()
	t.finish()
	if errors.Is(t.cause, io.EOF) {
		return nil
	}
	return t.cause
}

// outgoing counts what went out and remembers that the network failed, which
// io.Copy does not tell from a failure of its reader.
type outgoing struct {
	d   *dataConn
	n   int64
	err error
}

func (o *outgoing) Write(p []byte) (int, error) {
	n, err := o.d.Write(p)
	o.n += int64(n)
	o.err = err
	return n, err
}

// handshake makes a data connection secure before anything is sent: nothing may
// be sent at all, and the server must see an empty file as one all the same.
func (d *dataConn) handshake(ctx context.Context) error {
	tc, ok := d.nc.(*tls.Conn)
	if !ok {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, d.timeout)
	defer cancel()
	return tc.HandshakeContext(ctx)
}

// finishSending says that nothing more comes and waits until the peer has closed
// its side. Closing at once would be answered with a reset where the peer has
// sent something meanwhile, TLS 1.3's session tickets for one, and a reset throws
// away what the peer has not read yet. How the wait ends proves nothing, so it
// gives no error: the final reply and the size decide.
func (d *dataConn) finishSending() {
	if tc, ok := d.nc.(*tls.Conn); ok {
		_ = tc.CloseWrite()
	}
	if half, ok := d.raw.(interface{ CloseWrite() error }); ok {
		_ = half.CloseWrite()
	}
	_, _ = io.Copy(io.Discard, io.LimitReader(d, maxDrained))
	d.ended = true
}

// steadyConn gives every write a deadline on progress: minProgress bytes for each
// timeout. It stands below TLS, where a write that timed out once is the end.
type steadyConn struct {
	net.Conn
	timeout time.Duration
}

func (c steadyConn) Write(p []byte) (int, error) {
	done := 0
	for {
		if err := c.SetWriteDeadline(time.Now().Add(c.timeout)); err != nil {
			return done, err
		}
		n, err := c.Conn.Write(p[done:])
		done += n
		var ne net.Error
		if err == nil || !errors.As(err, &ne) || !ne.Timeout() || n < minProgress {
			return done, err
		}
	}
}

// exact is path as a command that changes the server must carry it. Trying both
// spellings of 0xFF, as for reading, could hit another file.
func (s *Session) exact(path string) (string, error) {
	forms := s.spellings(path)
	if len(forms) > 1 {
		return "", fmt.Errorf("%w: the server may want its byte 0xFF doubled or not; read a file with such a name first, which shows it", ErrName)
	}
	return forms[0], nil
}

// change sends a command that changes the server and takes any 2yz for its
// success, but for 202, which says that nothing was done (RFC 959 section 4.2.1).
func (s *Session) change(verb, full string) error {
	name, err := s.exact(full)
	if err != nil {
		return err
	}
	r, err := s.ctl.exchange(verb + " " + name)
	if err != nil {
		return err
	}
	if !r.done() {
		return r.err(verb)
	}
	return nil
}

func (r reply) done() bool { return r.ok() && r.code != 202 }

// Remove deletes a file (DELE). Its error, like those of the other commands that
// change the server, is a ReplyError, which is fs.ErrNotExist, fs.ErrPermission
// or fs.ErrExist where the server's words say so; vsftpd's say nothing. On VMS it
// deletes the highest version only, and the one below it takes its place.
func (s *Session) Remove(ctx context.Context, path string) error {
	return s.call(ctx, "remove", path, func(full string) error { return s.change("DELE", s.oneVersion(full)) })
}

// RemoveDir deletes an empty directory (RMD). What a server does with one that
// is not empty is its own affair; nearly all refuse.
func (s *Session) RemoveDir(ctx context.Context, path string) error {
	return s.callAt(ctx, "remove directory", path, s.fullFolder, func(full string) error {
		if full == s.cwd { // some servers refuse, others are lost afterwards
			if err := s.leave(); err != nil {
				return err
			}
		}
		err := s.change("RMD", full)
		s.know.moves.Add(1)
		return err
	})
}

// leave goes to the login directory, if there is one to go to.
func (s *Session) leave() error {
	if s.info.Home == "" || s.info.Home == s.cwd {
		return nil
	}
	return s.enter(s.info.Home)
}

// MakeDir makes a directory (MKD); its parent must be there. It wraps fs.ErrExist
// where there is a directory of this name already.
func (s *Session) MakeDir(ctx context.Context, path string) error {
	return s.callAt(ctx, "make directory", path, s.fullFolder, func(full string) error {
		err := s.change("MKD", full)
		var re *ReplyError
		if !errors.As(err, &re) || re.Code/100 != 5 || errors.Is(err, fs.ErrExist) || errors.Is(err, fs.ErrNotExist) ||
			errors.Is(err, fs.ErrPermission) || errors.Is(err, ErrUnsupported) {
			return err
		}
		// vsftpd says the same whatever the reason.
		s.cwd = ""
		if cerr := s.enter(full); cerr == nil {
			return fmt.Errorf("%w: %w", fs.ErrExist, err)
		} else if s.Broken() {
			return cerr
		}
		return err
	})
}

// Rename gives a file or directory another name (RNFR and RNTO, RFC 959 section
// 4.1.3). Whether a file of the new name is replaced is the server's affair: Unix
// servers do replace it.
func (s *Session) Rename(ctx context.Context, from, to string) error {
	return s.call(ctx, "rename", from, func(full string) error {
		old, err := s.exact(full)
		if err != nil {
			return err
		}
		// Both names are checked before the first goes out: what follows RNFR
		// must be RNTO.
		target, err := s.fullBeside(from, to)
		if err == nil {
			target, err = s.exact(target)
		}
		if err != nil {
			return fmt.Errorf("to %s: %w", strconv.Quote(s.Show(to)), err)
		}
		r, err := s.ctl.exchange("RNFR " + old)
		if err != nil {
			return err
		}
		if r.code/100 != 3 && !r.done() {
			return r.err("RNFR")
		}
		s.know.moves.Add(1)
		r, err = s.ctl.exchange("RNTO " + target)
		if err == nil && !r.done() {
			err = r.err("RNTO")
		}
		if err != nil {
			return fmt.Errorf("to %s: %w", strconv.Quote(s.Show(to)), err)
		}
		return nil
	})
}

// timeCommand is a way to set a modification time.
type timeCommand int8

const (
	timeUnknown   timeCommand = iota
	timeMFMT                  // draft-somers-ftp-mfxx-04 section 3.1
	timeMDTM                  // MDTM with two arguments: vsftpd
	timeSiteUTIME             // ProFTPD's mod_site_misc and others
	timeNone
)

const timeFormat = "20060102150405" // of RFC 3659 section 2.3, UTC

// SetModTime sets the modification time, to the second. It wraps ErrUnsupported
// where the server has no command for it, and ErrProtocol where it confirmed
// one and then gives another time.
func (s *Session) SetModTime(ctx context.Context, path string, t time.Time) error {
	t = t.UTC().Truncate(time.Second)
	return s.call(ctx, "set the time of", path, func(full string) error {
		if t.Year() < 1 || t.Year() > 9999 {
			return fmt.Errorf("the year %d: %w", t.Year(), fs.ErrInvalid)
		}
		name, err := s.exact(full)
		if err != nil {
			return err
		}
		var refusal error
		for _, c := range s.timeCommands() {
			err := s.setTime(c, full, name, t)
			if err == nil || !errors.Is(err, ErrUnsupported) || s.Broken() {
				if err == nil {
					s.setTimeCommand(c)
				}
				return err
			}
			refusal = err
		}
		s.setTimeCommand(timeNone)
		if refusal == nil {
			refusal = fmt.Errorf("setting times: %w", ErrUnsupported)
		}
		return refusal
	})
}

// timeCommands are those worth a try. MDTM with two arguments is sent only to the
// one server that is known to take them: to others it names a strange file.
func (s *Session) timeCommands() []timeCommand {
	s.know.mu.Lock()
	defer s.know.mu.Unlock()
	switch {
	case s.know.setTime == timeNone:
		return nil
	case s.know.setTime != timeUnknown:
		return []timeCommand{s.know.setTime}
	case s.info.Has("MFMT"):
		return []timeCommand{timeMFMT}
	case s.info.Software == "vsftpd":
		return []timeCommand{timeMDTM}
	}
	return []timeCommand{timeMFMT, timeSiteUTIME}
}

func (s *Session) setTimeCommand(c timeCommand) {
	s.know.mu.Lock()
	defer s.know.mu.Unlock()
	s.know.setTime = c
}

func (s *Session) setTime(c timeCommand, full, name string, t time.Time) error {
	verb := map[timeCommand]string{timeMFMT: "MFMT", timeMDTM: "MDTM", timeSiteUTIME: "SITE UTIME"}[c]
	r, err := s.ctl.exchange(verb + " " + t.Format(timeFormat) + " " + name)
	if err != nil {
		return err
	}
	if !r.done() {
		if c == timeSiteUTIME && r.code == 501 { // SITE is known, UTIME is not
			return fmt.Errorf("%w: %w", ErrUnsupported, r.err(verb))
		}
		return r.err(verb)
	}
	if c == timeMFMT {
		return nil
	}
	// The other two are read in the server's own zone by some.
	got, err := s.modTime(full)
	if err == nil && !got.Equal(t) {
		err = fmt.Errorf("%w: it was given the time %s and answers %s", ErrProtocol, t.Format(timeFormat), got.Format(timeFormat))
	}
	return err
}
