package ftpbridge

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"regexp"
	"strconv"
	"strings"
)

// Sentinels that callers branch on. Each comes wrapped with the server, the
// path and what to do. Besides these, errors wrap fs.ErrNotExist,
// fs.ErrPermission and fs.ErrExist where the server's words say so, the context's
// error when it ended the call, and io.ErrUnexpectedEOF for a transfer that ended
// early.
var (
	// ErrSource is for a source URL or setting that cannot be used.
	ErrSource = errors.New("invalid source")
	// ErrLogin is for a refused user name or password.
	ErrLogin = errors.New("login refused")
	// ErrUnreachable is for a connection that cannot be made or broke.
	ErrUnreachable = errors.New("cannot reach the server")
	// ErrTimeout is for a connection that stayed silent for Source.Timeout.
	ErrTimeout = errors.New("the server is silent")
	// ErrTLS is for a handshake, a certificate or a refusal to encrypt.
	ErrTLS = errors.New("no secure connection")
	// ErrBusy is for too many connections, in the server's opinion.
	ErrBusy = errors.New("the server has no free connection")
	// ErrListing is for a listing of which no line could be read.
	ErrListing = errors.New("unreadable listing")
	// ErrUnsupported is for a command that the server does not know.
	ErrUnsupported = errors.New("not supported by the server")
	// ErrName is for a name that cannot be sent in an FTP command.
	ErrName = errors.New("name cannot be sent over FTP")
	// ErrProtocol is for a reply that makes no sense, or is too long.
	ErrProtocol = errors.New("not the FTP protocol")
	// ErrTooLarge is for an answer past one of the bounds of this package.
	ErrTooLarge = errors.New("too large")
	// ErrUnconfirmed is for an upload whose size the server does not tell, though it
	// tells sizes.
	ErrUnconfirmed = errors.New("the server did not show that it has the whole file")
	// ErrAborted is what Close of a fetch returns that was not read to its end.
	ErrAborted = errors.New("transfer given up")
	// ErrBroken is for a session whose connection is gone; dial another.
	ErrBroken = errors.New("session is broken")
	// ErrInUse is for a second call while a fetch is still open.
	ErrInUse = errors.New("session is in use")
	// ErrClosed is for a pool that was closed.
	ErrClosed = errors.New("closed")
)

// ReplyError is a refusal in the server's own words.
type ReplyError struct {
	Command string // the verb, never its argument
	Code    int    // RFC 959 section 4.2
	Text    string // as sent, control characters and all; may have several lines
}

// Error quotes the server with control characters escaped.
func (e *ReplyError) Error() string {
	return fmt.Sprintf("the server answered %s to %s", quoteReply(e.Code, e.Text), e.Command)
}

var (
	missingWords = regexp.MustCompile(`(?i)no such|not found|does ?n.t exist|does not exist|cannot find|can't find`)
	existsWords  = regexp.MustCompile(`(?i)\bexists\b|already exist`)
	deniedWords  = regexp.MustCompile(`(?i)permission|denied|access|not allowed|privilege`)
	busyWords    = regexp.MustCompile(`(?i)too many|maximum|limit|already (connected|logged)|busy|try again`)
	secureWords  = regexp.MustCompile(`(?i)\b(tls|ssl|auth)\b|encrypt|cleartext|clear text|secure`)
)

// Is matches fs.ErrNotExist, fs.ErrPermission, fs.ErrExist, ErrUnsupported and
// ErrBusy by the code and, since 550 means anything, by the words.
func (e *ReplyError) Is(target error) bool {
	switch target {
	case fs.ErrNotExist:
		return (e.Code == 550 || e.Code == 450) && missingWords.MatchString(e.Text)
	case fs.ErrPermission:
		return (e.Code == 550 || e.Code == 553 || e.Code == 450) &&
			deniedWords.MatchString(e.Text) && !missingWords.MatchString(e.Text)
	case fs.ErrExist: // 521 is RFC 959 Appendix II, of MKD
		return e.Code == 521 || (e.Code == 550 || e.Code == 553) &&
			existsWords.MatchString(e.Text) && !missingWords.MatchString(e.Text)
	case ErrUnsupported:
		return e.Code == 500 || e.Code == 502 || e.Code == 504 || e.Code == 202
	case ErrBusy:
		return e.Code == 421 || e.Code == 530 && busyWords.MatchString(e.Text)
	}
	return false
}

// Temporary reports whether trying again later, on a new session, may help:
// silence, a broken or refused connection, a transfer cut short, and the
// refusals that RFC 959 section 4.2.1 calls transient (4yz).
func Temporary(err error) bool {
	// Not context.DeadlineExceeded: a connection that timed out matches it too.
	if errors.Is(err, context.Canceled) {
		return false
	}
	for _, e := range []error{ErrTimeout, ErrBusy, ErrUnreachable, ErrBroken, io.ErrUnexpectedEOF} {
		if errors.Is(err, e) {
			return true
		}
	}
	var re *ReplyError
	return errors.As(err, &re) && re.Code >= 400 && re.Code < 500
}

// quoteReply gives one line of a reply, safe to print.
func quoteReply(code int, text string) string {
	text = strings.TrimSpace(text)
	if len(text) > maxQuoted {
		text = text[:maxQuoted] + "..."
	}
	return strconv.Quote(strings.TrimSpace(strconv.Itoa(code) + " " + text))
}

// describe turns a network error into one of the sentinels. The text of err
// stays, the error type does not matter to anybody above.
func describe(err error) error {
	var ne net.Error
	switch {
	case err == nil, errors.Is(err, ErrProtocol), errors.Is(err, ErrTLS), errors.Is(err, ErrTimeout), errors.Is(err, ErrUnreachable):
		return err
	case errors.As(err, &ne) && ne.Timeout():
		return ErrTimeout
	case errors.Is(err, io.EOF), errors.Is(err, net.ErrClosed):
		return fmt.Errorf("%w: it closed the connection", ErrUnreachable)
	}
	return fmt.Errorf("%w: %w", ErrUnreachable, err)
}
