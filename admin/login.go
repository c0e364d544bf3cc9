package admin

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"time"

	"gateway/auth"
)

// Bounds of a login to the page.
const (
	maxLogins    = 256
	loginIdle    = 30 * time.Minute
	loginLongest = 12 * time.Hour
)

// cookieName has the prefix that has browsers keep it to this host, to TLS and to all paths
// (draft-ietf-httpbis-rfc6265bis, section 4.1.3.2).
const cookieName = "__Host-gateway-admin"

// operator is who sent a request.
type operator struct {
	name     string // as Act.By
	readOnly bool
	session  *loginSession // nil: by a token
}

type operatorKey struct{}

func operatorOf(ctx context.Context) operator {
	o, _ := ctx.Value(operatorKey{}).(operator)
	return o
}

// loginSession is a browser that has logged in.
type loginSession struct {
	id    auth.Identity
	csrf  string // for forms
	since time.Time
	seen  time.Time

	said   string // shown once on the next page
	failed bool   // it is why something was not done
}

// loginSessions are those of the page, by the hash of their cookie.
type loginSessions struct {
	now     func() time.Time
	current func(auth.Identity) bool

	mu  sync.Mutex
	all map[[32]byte]*loginSession
}

func newLoginSessions(now func() time.Time, current func(auth.Identity) bool) *loginSessions {
	return &loginSessions{now: now, current: current, all: map[[32]byte]*loginSession{}}
}

// begin makes a session and the value of its cookie.
func (l *loginSessions) begin(id auth.Identity) (value string) {
	value = rand.Text() + rand.Text()
	now := l.now()
	l.mu.Lock()
	defer l.mu.Unlock()
	l.makeRoom(now)
	l.all[sha256.Sum256([]byte(value))] = &loginSession{id: id, csrf: rand.Text(), since: now, seen: now}
	return value
}

// makeRoom removes what has ended, and the longest unseen beyond the bound.
func (l *loginSessions) makeRoom(now time.Time) {
	var oldest [32]byte
	var at time.Time
	for k, s := range l.all {
		if s.over(now) {
			delete(l.all, k)
		} else if at.IsZero() || s.seen.Before(at) {
			oldest, at = k, s.seen
		}
	}
	if len(l.all) >= maxLogins {
		delete(l.all, oldest)
	}
}

func (s *loginSession) over(now time.Time) bool {
	return now.Sub(s.seen) > loginIdle || now.Sub(s.since) > loginLongest
}

// find is the session of a cookie, or nil. user says that a person did something: the page
// asking for news by itself does not keep a session alive.
func (l *loginSessions) find(value string, user bool) *loginSession {
	key := sha256.Sum256([]byte(value))
	now := l.now()
	l.mu.Lock()
	defer l.mu.Unlock()
	s := l.all[key]
	if s == nil {
		return nil
	}
	if s.over(now) || !l.current(s.id) {
		delete(l.all, key)
		return nil
	}
	if user {
		s.seen = now
	}
	return s
}

func (l *loginSessions) end(value string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.all, sha256.Sum256([]byte(value)))
}

func (l *loginSessions) count() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.all)
}

// say leaves a text for the next page.
func (l *loginSessions) say(s *loginSession, text string, failed bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	s.said, s.failed = text, failed
}

// takeSaid takes it.
func (l *loginSessions) takeSaid(s *loginSession) (text string, failed bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	text, failed = s.said, s.failed
	s.said, s.failed = "", false
	return text, failed
}

// sessionOf is the session of a request, or nil.
func (s *Server) sessionOf(r *http.Request) *loginSession {
	c, err := r.Cookie(cookieName)
	if err != nil {
		return nil
	}
	return s.sessions.find(c.Value, r.Header.Get("X-Refresh") == "")
}

func setCookie(w http.ResponseWriter, value string, age int) {
	http.SetCookie(w, &http.Cookie{
		Name: cookieName, Value: value, Path: "/", MaxAge: age, Secure: true, HttpOnly: true, SameSite: http.SameSiteStrictMode,
	})
}

// errLogin is what every refused login reads like.
var errLogin = errors.New("the name, password or code is wrong, or there were too many attempts")

// login checks a password, and a code where one is needed.
func (s *Server) login(ctx context.Context, from netip.Addr, name, password, code string) (auth.Identity, error) {
	id, err := s.cfg.Auth.Password(ctx, from, name, password)
	if err != nil {
		return auth.Identity{}, err
	}
	if id.NeedsCode {
		second, ok := s.cfg.Auth.(auth.SecondFactor)
		if !ok {
			return auth.Identity{}, errors.New("a one-time code is needed, and cannot be checked")
		}
		if id, err = second.Code(ctx, from, id, code); err != nil {
			return auth.Identity{}, err
		}
	}
	if id.NeedsPassword || id.NeedsCode {
		return auth.Identity{}, auth.ErrCredentials
	}
	return id, nil
}

// bearer is the token of a request; ok says that there is one.
func bearer(r *http.Request) (secret string, ok bool) {
	scheme, secret, found := strings.Cut(r.Header.Get("Authorization"), " ")
	return strings.TrimSpace(secret), found && strings.EqualFold(scheme, "Bearer")
}

// byToken finds who sent a request with a token. A wrong one counts as a failed login; one that has
// ended does not: a program that goes on with it is no guesser.
func (s *Server) byToken(r *http.Request, secret string) (operator, error) {
	from := remoteAddr(r)
	if err := s.cfg.Auth.Allowed(from); err != nil {
		return operator{}, err
	}
	t, known, err := s.cfg.Tokens.Check(secret)
	if err == nil {
		return operator{name: "token " + t.Name, readOnly: t.ReadOnly}, nil
	}
	s.cfg.Watch.LoggedIn("admin", false)
	if known || !errors.Is(err, ErrToken) {
		s.log.Warn("token refused", "from", from, "reason", err)
		return operator{}, err
	}
	s.cfg.Auth.Failed(from)
	s.told(r.Context(), Act{By: "token", Address: addressText(from), What: "login", Err: err})
	return operator{}, err
}

// csrfGood reports whether a form, or a request of the script, has the session's token.
func csrfGood(s *loginSession, r *http.Request) bool {
	given := r.Header.Get("X-CSRF-Token")
	if given == "" {
		given = r.PostFormValue("csrf")
	}
	return subtle.ConstantTimeCompare([]byte(given), []byte(s.csrf)) == 1
}

// remoteAddr is the peer of the connection; headers that name another client are not believed.
func remoteAddr(r *http.Request) netip.Addr {
	ap, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return netip.Addr{}
	}
	return ap.Addr().Unmap().WithZone("")
}
