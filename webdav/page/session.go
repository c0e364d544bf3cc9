package page

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"sync"
	"time"

	"gateway/auth"
	"gateway/state"
	"gateway/storage"
)

const (
	cookieName = "__Host-gateway"

	maxCached  = 4096             // sessions in memory
	believed   = 10 * time.Second // for how long one is not looked up again: another node may have ended it
	touchEvery = time.Minute      // how often its use is written down
	openEvery  = time.Minute      // how often its tree is opened anew, as it is for WebDAV
)

// session is a browser in which a user has logged in.
type session struct {
	state.Session
	identity auth.Identity
	fs       storage.FS
	from     netip.Addr // from where it was last used
	looked   time.Time  // when the state was asked for it
	opened   time.Time  // when its user was looked at
}

// sessions finds the session of a cookie. The state knows it by a hash, so that what can be read there opens nothing.
type sessions struct {
	h       *Handler
	current func(auth.Identity) bool

	mu    sync.Mutex
	known map[string]*session // by the ID of the state; never changed, but replaced
}

func newSessions(h *Handler) *sessions {
	s := &sessions{h: h, current: func(auth.Identity) bool { return false }, known: map[string]*session{}}
	if r, ok := h.cfg.Auth.(auth.Rechecker); ok {
		s.current = r.Current
	}
	return s
}

func sessionID(cookie string) string {
	sum := sha256.Sum256([]byte(cookie))
	return hex.EncodeToString(sum[:])
}

// find returns the session of a cookie, or errNoSession.
func (s *sessions) find(ctx context.Context, from netip.Addr, cookie string) (*session, error) {
	id, now := sessionID(cookie), s.h.now()
	s.mu.Lock()
	known := s.known[id]
	s.mu.Unlock()
	same := known != nil && known.from == from && now.Sub(known.opened) < openEvery && s.current(known.identity)
	if same && now.Sub(known.looked) < believed && now.Before(known.Expires) {
		return known, nil
	}
	row, err := s.h.cfg.State.Session(ctx, id)
	if errors.Is(err, state.ErrNotFound) {
		s.forget(id)
		return nil, errNoSession
	}
	if err != nil {
		return nil, fmt.Errorf("look up a session: %w", err)
	}
	if !now.Before(row.Expires) {
		return nil, s.end(ctx, id)
	}
	found := &session{Session: row, from: from, looked: now, opened: now}
	if same && known.Stamp == row.Stamp {
		found.identity, found.fs, found.opened = known.identity, known.fs, known.opened
	} else if err := s.open(ctx, found); err != nil {
		return nil, err
	}
	if err := s.touch(ctx, found, now); err != nil {
		return nil, err
	}
	s.keep(found)
	return found, nil
}

// open finds the user of a session. It ends where they were changed since the login.
func (s *sessions) open(ctx context.Context, v *session) error {
	id, err := s.h.cfg.Auth.Vouched(ctx, v.from, v.User, v.By)
	switch {
	case errors.Is(err, auth.ErrCredentials), errors.Is(err, auth.ErrDisabled):
		return s.end(ctx, v.ID)
	case err != nil:
		return err
	case id.User.Stamp() != v.Stamp:
		return s.end(ctx, v.ID)
	}
	v.identity = id
	v.fs, err = s.h.cfg.Open(ctx, id)
	if err != nil {
		return fmt.Errorf("open the files of %q: %w", id.User.Name, err)
	}
	return nil
}

func (s *sessions) touch(ctx context.Context, v *session, now time.Time) error {
	if now.Sub(v.Used) < touchEvery {
		return nil
	}
	v.Used, v.Expires = now, s.h.expiry(v.Created, now)
	err := s.h.cfg.State.UseSession(ctx, v.ID, v.Used, v.Expires)
	if errors.Is(err, state.ErrNotFound) {
		return errNoSession
	}
	return err
}

// expiry is when a session ends that is used now and then not again.
func (h *Handler) expiry(created, now time.Time) time.Time {
	idle, longest := now.Add(h.cfg.SessionIdle), created.Add(h.cfg.SessionLongest)
	if longest.Before(idle) {
		return longest
	}
	return idle
}

func (s *sessions) keep(v *session) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for id := range s.known { // any one has to go
		if len(s.known) < maxCached {
			break
		}
		delete(s.known, id)
	}
	s.known[v.ID] = v
}

func (s *sessions) forget(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.known, id)
}

// end ends a session; errNoSession if that could be written down.
func (s *sessions) end(ctx context.Context, id string) error {
	s.forget(id)
	if err := s.h.cfg.State.EndSession(ctx, id); err != nil {
		return fmt.Errorf("end a session: %w", err)
	}
	return errNoSession
}

// enter finds who asks.
func (q *request) enter(ctx context.Context) error {
	c, err := q.Cookie(cookieName)
	if err != nil {
		return errNoSession
	}
	if q.session, err = q.h.sessions.find(ctx, q.from, c.Value); err != nil {
		return err
	}
	user, required := q.h.cfg.Certificate(q.Request)
	if user == q.User {
		return nil
	}
	if required {
		q.session = nil
		return refuse(http.StatusForbidden, "Your client certificate is another user's. Close the browser and begin anew.")
	}
	if strings.HasPrefix(q.By, auth.ByClientCertificate) { // what it began with may be revoked: it is good only together with that
		q.session = nil
		return errNoSession
	}
	return nil
}

// errToken is for pages that were left open too long, too.
var errToken = refuse(http.StatusForbidden, "This page is out of date. Load it again and try once more.")

// checkToken compares the token of what changes something: the script sends it as a header, and forms have it as
// a field. The form with files has it as its first part, which upload checks.
func (q *request) checkToken(verb string) error {
	switch q.Method {
	case http.MethodGet, http.MethodHead, http.MethodOptions:
		return nil
	}
	token := q.Header.Get("X-Gateway-Token")
	if token == "" && verb == "upload" {
		return nil
	}
	if token == "" {
		q.Body = http.MaxBytesReader(q.w, q.Body, maxForm)
		if err := q.ParseForm(); err != nil {
			return refuse(http.StatusBadRequest, "The form could not be read. Load the page again and try once more.")
		}
		token = q.PostForm.Get("token")
	}
	if !q.goodToken(token) {
		return errToken
	}
	return nil
}

// token is what only pages of this session have. It looks another each time, so that nothing can be learned of it
// from the length of what is compressed.
func (q *request) token() string {
	want := q.h.sign("token", q.session.ID)
	pad := make([]byte, len(want), 2*len(want))
	_, _ = rand.Read(pad) // never fails
	masked := make([]byte, len(want))
	subtle.XORBytes(masked, want, pad)
	return base64.RawURLEncoding.EncodeToString(append(pad, masked...))
}

func (q *request) goodToken(token string) bool {
	want := q.h.sign("token", q.session.ID)
	got, err := base64.RawURLEncoding.DecodeString(token)
	if err != nil || len(got) != 2*len(want) {
		return false
	}
	subtle.XORBytes(got, got[:len(want)], got[len(want):])
	return hmac.Equal(got[:len(want)], want)
}

// sign is a keyed hash of 16 bytes for one purpose.
func (h *Handler) sign(purpose, text string) []byte {
	mac := hmac.New(sha256.New, h.cfg.Key)
	mac.Write([]byte(purpose + "\x00" + text))
	return mac.Sum(nil)[:16]
}

// start makes a session for a user who has proved who they are.
func (h *Handler) start(ctx context.Context, w http.ResponseWriter, q *request, id auth.Identity) error {
	if c, err := q.Cookie(cookieName); err == nil {
		if err := h.sessions.end(ctx, sessionID(c.Value)); !errors.Is(err, errNoSession) {
			return err
		}
	}
	secret := rand.Text() + rand.Text()
	ctx = storage.WithOrigin(ctx, storage.Origin{Protocol: "page", Address: q.from, Session: sessionID(secret)[:12]})
	if _, err := h.cfg.Open(ctx, id); err != nil { // before they are told that they are in
		return fmt.Errorf("open the files of %q: %w", id.User.Name, err)
	}
	now := h.now()
	err := h.cfg.State.AddSession(ctx, state.Session{
		ID: sessionID(secret), User: id.User.Name, Stamp: id.User.Stamp(), By: id.By, Address: q.from.String(),
		Created: now, Used: now, Expires: h.expiry(now, now),
	})
	if err != nil {
		return fmt.Errorf("begin a session: %w", err)
	}
	http.SetCookie(w, &http.Cookie{Name: cookieName, Value: secret, Path: "/", Secure: true, HttpOnly: true, SameSite: http.SameSiteLaxMode})
	h.log.Info("page: login", "user", id.User.Name, "by", id.By, "remote", q.from.String())
	auth.Tell(ctx, h.cfg.Auth, auth.LoginEvent{Kind: auth.LoggedIn, From: q.from, User: id.User.Name, By: id.By})
	return nil
}

// toLogin sends a browser to the login, and from there back.
func (q *request) toLogin() {
	if q.Method != http.MethodGet && q.Method != http.MethodHead || !wantsHTML(q.Request) {
		q.w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		q.w.WriteHeader(http.StatusUnauthorized)
		_, _ = q.w.Write([]byte("Log in first.\n"))
		return
	}
	to := Prefix + "login"
	if at := q.URL.RequestURI(); at != "/" && LocalPath(at) == at {
		to += "?next=" + url.QueryEscape(at)
	}
	http.Redirect(q.w, q.Request, to, http.StatusSeeOther)
}

// LocalPath is where to go after the login: what it is given if that is a path on this server, else "/".
func LocalPath(to string) string {
	u, err := url.Parse(to)
	if err != nil || u.Scheme != "" || u.Host != "" || u.User != nil || len(to) > 8<<10 ||
		!strings.HasPrefix(to, "/") || strings.HasPrefix(to, "//") || strings.Contains(to, `\`) {
		return "/"
	}
	return to
}
