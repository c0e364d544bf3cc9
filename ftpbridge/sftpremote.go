package ftpbridge

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/crypto/ssh"

	"gateway/integrity"
	"gateway/listing"
)

// sftpFormat is what a listing over SFTP is called: it has no lines to be read.
const sftpFormat listing.Format = "sftp"

// SFTPSession is one logged-in SFTP session, a Remote as Session is one over FTP.
// Names are bytes, as they are in version 3 of the protocol.
type SFTPSession struct {
	src  Source
	know *knowledge
	conn *sftpConn
	info ServerInfo
	root string
	busy atomic.Bool
}

var _ Remote = (*SFTPSession)(nil)

// DialSFTP connects to an SFTP server and logs in. The server's host key must be
// pinned by Source.Fingerprint or be in Source.KnownHosts. Errors wrap ErrSource,
// ErrUnreachable, ErrTimeout, ErrTLS (the host key, or no common algorithm), ErrLogin,
// ErrBusy, ErrUnsupported or ErrProtocol.
func DialSFTP(ctx context.Context, src Source) (*SFTPSession, error) {
	return dialSFTP(ctx, src, newKnowledge())
}

func dialSFTP(ctx context.Context, src Source, know *knowledge) (*SFTPSession, error) {
	if err := src.validate(); err != nil {
		return nil, err
	}
	s := &SFTPSession{src: src, know: know}
	raw, client, err := connectSSH(ctx, src)
	if err != nil {
		return nil, s.failed(ctx, "connect", "", err)
	}
	var once sync.Once
	cut := func() { once.Do(func() { _ = raw.Close() }) }
	stop := context.AfterFunc(ctx, cut)
	defer stop()
	// Neither call of the library has a deadline.
	late := time.AfterFunc(src.timeout(), cut)
	s.conn, err = openSFTP(raw, client, src.timeout())
	if !late.Stop() && err != nil {
		err = ErrTimeout
	}
	if err == nil {
		err = s.ask(client)
	}
	if err != nil {
		cut()
		return nil, s.failed(ctx, "start SFTP", "", err)
	}
	return s, nil
}

// ask finds out what the server is and where the login ended up.
func (s *SFTPSession) ask(client *ssh.Client) error {
	version := string(client.ServerVersion())
	s.info = ServerInfo{Greeting: version, Dialect: "unix", TLS: "SSH 2.0"}
	// RFC 4253 section 4.2: SSH-protoversion-softwareversion comments.
	if _, software, ok := strings.Cut(strings.TrimPrefix(version, "SSH-"), "-"); ok {
		software, _, _ = strings.Cut(software, " ")
		s.info.Software = strings.ReplaceAll(software, "_", " ")
	}
	home, err := s.realPath(".")
	p := s.src.path()
	switch {
	case strings.HasPrefix(p, "/"):
		s.root = p
	case err != nil:
		return fmt.Errorf("%w; name the folder by its full path (sftp://user@host//full/path)", err)
	default:
		s.root = joinPath(home, p)
	}
	s.info.Home = home
	if s.conn.dead.Load() {
		return err
	}
	return nil
}

func (s *SFTPSession) realPath(p string) (string, error) {
	r, err := s.conn.ask(sftpName, sftpRealpath, func(q request) request { return q.string(p) })
	if err != nil {
		return "", err
	}
	return s.conn.name(r)
}

// begin reserves the session for one call. When ctx ends the connection is cut.
func (s *SFTPSession) begin(ctx context.Context) (end func(), err error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if s.Broken() {
		return nil, ErrBroken
	}
	if !s.busy.CompareAndSwap(false, true) {
		return nil, ErrInUse
	}
	stop := context.AfterFunc(ctx, func() { s.conn.cut(ErrBroken) })
	return func() {
		if !stop() && ctx.Err() != nil {
			s.conn.cut(ErrBroken) // as in Session
		}
		s.busy.Store(false)
	}, nil
}

// call is the frame of every method that asks about one path.
func (s *SFTPSession) call(ctx context.Context, op, path string, do func(full string) error) error {
	end, err := s.begin(ctx)
	if err != nil {
		return s.failed(ctx, op, path, err)
	}
	defer end()
	full, err := s.full(path)
	if err == nil {
		err = do(full)
	}
	if err != nil {
		return s.failed(ctx, op, path, err)
	}
	return nil
}

// full makes path absolute and checks that a request can carry it.
func (s *SFTPSession) full(path string) (string, error) {
	switch {
	case strings.Contains(path, "\x00"):
		return "", fmt.Errorf("%w: it has a NUL", ErrName)
	case len(path) > maxPathLength:
		return "", fmt.Errorf("%w: it is longer than %d bytes", ErrName, maxPathLength)
	case strings.HasPrefix(path, "/"):
		return path, nil
	}
	return s.Join(s.root, path), nil
}

// failed says what could not be done, with what, where.
func (s *SFTPSession) failed(ctx context.Context, op, path string, err error) error {
	if cerr := ctx.Err(); cerr != nil {
		err = cerr
	}
	if errors.Is(err, ErrTimeout) && !strings.Contains(err.Error(), s.src.timeout().String()) {
		err = fmt.Errorf("%w for %v", err, s.src.timeout())
	}
	what := op
	if path == "" && s.root != s.info.Home {
		path = s.root
	}
	if path != "" {
		what += " " + strconv.Quote(s.Show(path))
	}
	return fmt.Errorf("sftp: %s: %s: %w", s.src.addr(), what, err)
}

// Join names an entry of dir. name must come from List, which checked it.
func (s *SFTPSession) Join(dir, name string) string { return joinPath(dir, name) }

// Show decodes a raw path for people, by the charset found so far.
func (s *SFTPSession) Show(path string) string { return s.know.show(s.src.Charset, path) }

// Info is what the server said at login; its TLS is the version of SSH.
func (s *SFTPSession) Info() ServerInfo { return s.info }

// Root is the absolute path of the source's URL, raw bytes.
func (s *SFTPSession) Root() string { return s.root }

// Broken reports whether the session can no longer be used.
func (s *SFTPSession) Broken() bool { return s.conn.dead.Load() }

func (s *SFTPSession) inUse() bool { return s.busy.Load() }

// ping reports whether the server still listens to an idle session.
func (s *SFTPSession) ping(ctx context.Context) bool {
	return s.call(ctx, "ask", "", func(string) error {
		_, err := s.realPath(".")
		return err
	}) == nil || !s.Broken() && ctx.Err() == nil
}

// Close ends the session.
func (s *SFTPSession) Close() error {
	s.conn.cut(ErrBroken)
	return nil
}

// Stat asks for the facts of one path, of what a link leads to; "" is Root.
func (s *SFTPSession) Stat(ctx context.Context, p string) (listing.Entry, error) {
	var e listing.Entry
	err := s.call(ctx, "stat", p, func(full string) error {
		a, err := s.conn.attributes(sftpStat, full)
		if err != nil {
			return err
		}
		one := []listing.Entry{a.entry(path.Base(full), nil)}
		_, err = s.decode(one)
		e = one[0]
		return err
	})
	return e, err
}

// Size is that of the file, or of the file that a link leads to; ErrUnsupported
// where the server does not tell it.
func (s *SFTPSession) Size(ctx context.Context, path string) (int64, error) {
	var size int64
	err := s.call(ctx, "ask the size of", path, func(full string) error {
		a, err := s.conn.attributes(sftpStat, full)
		switch {
		case err != nil:
			return err
		case a.kind(nil) != listing.File:
			return fmt.Errorf("%w: it is no regular file", fs.ErrInvalid)
		case a.size < 0:
			return fmt.Errorf("%w: the server tells no size", ErrUnsupported)
		}
		size = a.size
		return nil
	})
	return size, err
}

// ModTime is that of the file, or of what a link leads to, in UTC and exact to the
// second; ErrUnsupported where the server does not tell it.
func (s *SFTPSession) ModTime(ctx context.Context, path string) (time.Time, error) {
	var at time.Time
	err := s.call(ctx, "ask the time of", path, func(full string) error {
		a, err := s.conn.attributes(sftpStat, full)
		if err == nil && a.modified.IsZero() {
			err = fmt.Errorf("%w: the server tells no time", ErrUnsupported)
		}
		at = a.modified
		return err
	})
	return at, err
}

// Hash is ErrUnsupported: version 3 of the protocol has none.
func (s *SFTPSession) Hash(ctx context.Context, path string, _ int64) (integrity.Digest, string, error) {
	return integrity.Digest{}, "", s.failed(ctx, "hash", path, fmt.Errorf("%w: SFTP has no hash command", ErrUnsupported))
}
