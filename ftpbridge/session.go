package ftpbridge

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/jlaffaye/ftp"

	"gateway/listing"
)

// ServerInfo is what a server says of itself.
type ServerInfo struct {
	Greeting string
	Syst     string            // text of the reply to SYST, "" when refused
	Features map[string]string // FEAT, names in upper case; empty when refused
	Software string            // a guess, "" when nothing gives it away
	Dialect  string            // one of Dialects; never "zos"
	Home     string            // login directory, raw bytes; "" when PWD gave none
	TLS      string            // "TLS 1.3", "" on a plain connection
}

// Has reports whether FEAT names the feature.
func (i ServerInfo) Has(feature string) bool {
	_, ok := i.Features[feature]
	return ok
}

// knowledge is what all sessions of one Source find out together.
type knowledge struct {
	detector *listing.Detector

	mu       sync.Mutex
	doubling doubling
	hidden   hiddenFiles
	noMLSD   bool
	noEarly  atomic.Bool // see early
	setTime  timeCommand

	moves atomic.Int64 // directories renamed or removed, perhaps
	// mlsdChecks counts the folders in which MLSD was held against LIST -a.
	mlsdChecks int
}

func newKnowledge() *knowledge {
	return &knowledge{detector: listing.NewDetector()}
}

// show decodes a raw path for people, by charset or else by what was seen so far.
func (k *knowledge) show(charset, path string) string {
	if charset == "" {
		charset, _ = k.detector.Charset()
	}
	return listing.Decode([]byte(path), charset)
}

// Session is one logged-in control connection. It is for one goroutine at a
// time; while a fetch is open, every other call fails with ErrInUse.
//
// Paths are the raw names that the server lists, never decoded, with slashes
// between them, and count from Root; "" is Root. The server's own form of them
// (DISK:[ANNA.SUB]F.TXT) is the session's business. Where a path is absolute in that
// form, it is taken as it is, and names may follow it behind a slash.
type Session struct {
	src      Source
	know     *knowledge
	ctl      *control
	lib      *ftp.ServerConn
	tls      *tls.Config // nil on plain connections
	info     ServerInfo
	dialect  dialect
	root     string
	cwd      string
	cwdSince int64          // know.moves when cwd was entered
	listed   string         // the folder of the listing that is being read
	foreign  listing.Format // of a listing that does not go with the dialect, "" for none
	hashName string         // that OPTS HASH chose

	busy atomic.Bool
	dial func(addr string) (net.Conn, error) // for data connections, with the call's context

	mu     sync.Mutex // guards data and killed
	data   *dataConn
	killed bool
}

// Dial connects to an FTP server and logs in. Errors wrap ErrSource, ErrUnreachable, ErrTimeout,
// ErrTLS, ErrLogin, ErrBusy or ErrProtocol.
func Dial(ctx context.Context, src Source) (*Session, error) {
	return dial(ctx, src, newKnowledge())
}

func dial(ctx context.Context, src Source, know *knowledge) (*Session, error) {
	if err := src.validate(); err != nil {
		return nil, err
	}
	s := &Session{src: src, know: know}
	raw, err := s.connect(ctx)
	if err != nil {
		return nil, s.failed(ctx, "connect", "", err)
	}
	s.ctl = newControl(raw, src.timeout(), src.logger())
	s.ctl.active, s.ctl.account = src.Active, src.Account
	s.ctl.early.off = &know.noEarly
	end, err := s.begin(ctx)
	if err != nil {
		s.kill()
		return nil, s.failed(ctx, "connect", "", err)
	}
	defer end()
	for _, step := range []struct {
		op string
		do func(context.Context) error
	}{{"connect", s.open}, {"log in", s.login}, {"ask", s.ask}} {
		if err := step.do(ctx); err != nil {
			s.kill()
			return nil, s.failed(ctx, step.op, "", err)
		}
	}
	return s, nil
}

func (s *Session) connect(ctx context.Context) (net.Conn, error) {
	raw, err := s.src.dial(ctx, s.src.addr(), maxDialTime, keepAlive)
	if err != nil {
		return nil, fmt.Errorf("%w: %w; check host, port and firewall", ErrUnreachable, err)
	}
	return raw, nil
}

// open brings the connection to the point where a user may log in: TLS, the
// greeting, and the library on top.
func (s *Session) open(ctx context.Context) error {
	if s.src.Secure() {
		cfg, err := s.src.tlsConfig()
		if err != nil {
			return err
		}
		s.tls = cfg
	}
	if s.src.implicit() {
		if err := s.secure(ctx); err != nil {
			return err
		}
	}
	greeting, err := s.ctl.await()
	switch {
	case errors.Is(err, ErrTimeout):
		return fmt.Errorf("%w: it took the connection and said nothing for %v; is this an FTP server, or one that wants ftps:// (implicit TLS)?",
			ErrTimeout, s.src.timeout())
	case err != nil:
		return err
	case greeting.code == 421 || !greeting.ok() && busyWords.MatchString(greeting.text()):
		return fmt.Errorf("%w: it says %s; wait, or use fewer connections", ErrBusy, quoteReply(greeting.code, greeting.text()))
	case !greeting.ok():
		return fmt.Errorf("%w: it says %s", ErrUnreachable, quoteReply(greeting.code, greeting.text()))
	}
	s.info.Greeting = greeting.text()
	if s.src.Secure() && !s.src.implicit() {
		if err := s.authTLS(ctx); err != nil {
			return err
		}
	}
	s.ctl.flies = s.tls == nil && inFlights[software(s.info.Greeting, "")]
	s.ctl.in = reply{220, []string{"ready"}}.wire() // the library wants to read it itself
	return s.startLibrary()
}

// authTLS is RFC 4217 section 4. Plain bytes that came with the reply would be
// taken for encrypted ones: whoever sits in the line could have put them there.
func (s *Session) authTLS(ctx context.Context) error {
	r, err := s.ctl.exchange("AUTH TLS")
	if err != nil {
		return err
	}
	if r.code != 234 {
		return fmt.Errorf("%w: %w; only if the network is trusted, use ftp://", ErrTLS, r.err("AUTH TLS"))
	}
	if s.ctl.br.Buffered() > 0 {
		return fmt.Errorf("%w: plain text after the reply to AUTH TLS; somebody may be in the line", ErrTLS)
	}
	return s.secure(ctx)
}

func (s *Session) secure(ctx context.Context) error {
	tc, err := handshake(ctx, s.ctl.raw, s.tls, s.src.timeout())
	if err != nil {
		return err
	}
	state := tc.ConnectionState()
	s.info.TLS = tls.VersionName(state.Version)
	s.tls = sameServer(s.tls, state.PeerCertificates)
	s.ctl.use(tc)
	return nil
}

// startLibrary hands the library the control connection first and data
// connections from then on. DialWithTLS is the flag for PBSZ and PROT only:
// with a dial function the library leaves all encryption to it.
func (s *Session) startLibrary() error {
	started := false
	opts := []ftp.DialOption{
		ftp.DialWithDisabledUTF8(true), // a refusal would break Login
		ftp.DialWithDialFunc(func(_, addr string) (net.Conn, error) {
			if !started {
				started = true
				return s.ctl, nil
			}
			return s.dialData(addr)
		}),
	}
	if s.tls != nil {
		opts = append(opts, ftp.DialWithTLS(s.tls))
	}
	lib, err := ftp.Dial(s.src.addr(), opts...)
	if err != nil {
		return describe(err)
	}
	s.lib = lib
	return nil
}

func (s *Session) login(context.Context) error {
	err := s.lib.Login(s.src.user(), s.src.password())
	if err == nil {
		return nil
	}
	last := s.ctl.last
	refusal := last.err(s.ctl.verb)
	switch verb := s.ctl.verb; {
	case s.ctl.dead.Load() && last.code != 421:
		return describe(err)
	case last.code == 421 || errors.Is(refusal, ErrBusy):
		return fmt.Errorf("%w: %w; wait, or use fewer connections", ErrBusy, refusal)
	case verb == "PBSZ" || verb == "PROT":
		return fmt.Errorf("%w: the server will not encrypt data connections: %w", ErrTLS, refusal)
	case verb == "ACCT":
		return fmt.Errorf("%w: %w; check the account", ErrLogin, refusal)
	case verb != "USER" && verb != "PASS":
		return fmt.Errorf("%w: %w", ErrProtocol, refusal)
	case last.code == 332:
		return fmt.Errorf("%w: the server wants an account (ACCT) besides user %q: %w", ErrLogin, s.src.user(), refusal)
	case s.tls == nil && secureWords.MatchString(last.text()):
		return fmt.Errorf("%w: %w; use ftpes:// or ftps://", ErrTLS, refusal)
	}
	return fmt.Errorf("%w: %w; check user %q and the password", ErrLogin, refusal, s.src.user())
}

// ask finds out what the server is and where the login ended up.
func (s *Session) ask(context.Context) error {
	r, err := s.ctl.exchange("SYST")
	if err != nil {
		return err
	}
	if r.ok() { // VMS answers 200
		s.info.Syst = r.text()
	}
	s.info.Features = s.ctl.features
	s.info.Software = software(s.info.Greeting, s.info.Syst)
	s.ctl.early.deaf = isDeaf(s.info.Software)
	s.know.mu.Lock()
	if s.know.doubling == doublingUnknown {
		s.know.doubling = knownDoubling(s.info.Software)
	}
	s.know.mu.Unlock()
	if err := s.chooseUTF8(); err != nil {
		return err
	}
	return s.settle()
}

// chooseUTF8 asks for UTF-8 names where the server offers them (RFC 2640
// section 3.2); CLNT first, for servers that listen to nobody unnamed. What
// they answer does not matter: names are read as they come.
func (s *Session) chooseUTF8() error {
	cs := strings.ToLower(s.src.Charset)
	if !s.info.Has("UTF8") || cs != "" && cs != "utf-8" && cs != "utf8" {
		return nil
	}
	if s.info.Has("CLNT") {
		if _, err := s.ctl.exchange("CLNT gateway"); err != nil {
			return err
		}
	}
	_, err := s.ctl.exchange("OPTS UTF8 ON")
	return err
}

// dialData opens a data connection, or prepares for the server to open it.
func (s *Session) dialData(addr string) (net.Conn, error) {
	var raw net.Conn
	var err error
	if s.src.Active {
		raw, err = s.listenData()
	} else {
		raw, err = s.dialPassive(addr)
	}
	if err != nil {
		return nil, err
	}
	d := newDataConn(raw, s.tls, s.src.timeout())
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.killed {
		_ = raw.Close()
		return nil, ErrBroken
	}
	s.data = d
	return d, nil
}

// begin reserves the session for one call. When ctx ends the connections are
// cut, since a half-made call leaves nothing to go on with.
func (s *Session) begin(ctx context.Context) (end func(), err error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if s.Broken() {
		return nil, ErrBroken
	}
	if !s.busy.CompareAndSwap(false, true) {
		return nil, ErrInUse
	}
	stop := context.AfterFunc(ctx, s.kill)
	s.dial = func(addr string) (net.Conn, error) { return s.src.dial(ctx, addr, maxDataDial, noKeepAlive) }
	return func() {
		if !stop() && ctx.Err() != nil {
			s.kill() // it may not have happened yet, and must not happen to the next call
		}
		s.busy.Store(false)
	}, nil
}

// kill cuts the connections. It may be called at any time, from any goroutine.
func (s *Session) kill() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.killed = true
	if s.ctl != nil {
		_ = s.ctl.Close()
	}
	if s.data != nil {
		_ = s.data.raw.Close()
	}
}

// Broken reports whether the session can no longer be used.
func (s *Session) Broken() bool { return s.ctl.dead.Load() }

// ping reports whether the server still listens to an idle session.
func (s *Session) ping(ctx context.Context) bool {
	end, err := s.begin(ctx)
	if err != nil {
		return false
	}
	defer end()
	_, err = s.ctl.exchange("NOOP")
	return err == nil && !s.Broken()
}

// inUse reports whether a call is under way, or a fetch open.
func (s *Session) inUse() bool { return s.busy.Load() }

// Info is what the server said at login.
func (s *Session) Info() ServerInfo { return s.info }

// Root is the absolute path of the source's URL in the server's form, raw bytes.
func (s *Session) Root() string { return s.root }

// Join names an entry of dir. name must come from List, which checked it.
func (s *Session) Join(dir, name string) string { return joinPath(dir, name) }

// Close says QUIT when nothing is under way, and closes the connection.
func (s *Session) Close() error {
	if !s.Broken() && s.busy.CompareAndSwap(false, true) {
		// Courtesy only: the server logs an orderly end. Its answer is not awaited.
		_ = s.ctl.send("QUIT")
		if tc, ok := s.ctl.nc.(*tls.Conn); ok {
			_ = tc.CloseWrite()
		}
	}
	s.kill()
	return nil
}

// call is the frame of every method that asks about one path.
func (s *Session) call(ctx context.Context, op, path string, do func(full string) error) error {
	return s.callAt(ctx, op, path, s.full, do)
}

// callAt is call with another way to make the path native.
func (s *Session) callAt(ctx context.Context, op, path string, native func(string) (string, error), do func(full string) error) error {
	end, err := s.begin(ctx)
	if err != nil {
		return s.failed(ctx, op, path, err)
	}
	defer end()
	full, err := native(path)
	if err == nil {
		err = do(full)
	}
	if err != nil {
		return s.failed(ctx, op, path, err)
	}
	return nil
}

// failed says what could not be done, with what, where. The context's error
// comes first: a connection that we cut looks like one that broke.
func (s *Session) failed(ctx context.Context, op, path string, err error) error {
	if cerr := ctx.Err(); cerr != nil {
		err = cerr
	}
	if errors.Is(err, ErrTimeout) && !strings.Contains(err.Error(), s.src.timeout().String()) {
		err = fmt.Errorf("%w for %v", err, s.src.timeout())
	}
	err = s.withAdvice(err)
	what := op
	if path == "" && s.root != s.info.Home {
		path = s.root
	}
	if path != "" {
		what += " " + strconv.Quote(s.Show(path))
	}
	return fmt.Errorf("ftp: %s: %s: %w", s.src.addr(), what, err)
}

// Show decodes a raw path for people, by the charset found so far.
func (s *Session) Show(path string) string { return s.know.show(s.src.Charset, path) }

// debug is for what a user needs to see only when something is odd.
func (s *Session) debug(msg string, args ...any) {
	s.src.logger().Debug(msg, append([]any{slog.String("source", s.src.Redacted())}, args...)...)
}
