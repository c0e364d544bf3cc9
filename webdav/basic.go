package webdav

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"net/http"
	"net/netip"
	"runtime/debug"
	"strconv"
	"sync"
	"time"

	"golang.org/x/sync/singleflight"

	"gateway/auth"
)

const (
	loginTTL   = time.Minute // how long a checked password is believed
	maxLogins  = 4096        // of them are remembered
	loginLimit = time.Minute // one check may take
	// recheckTime is how old what auth.Rechecker said may be: for so long a user who was
	// disabled, removed or changed is still let in.
	recheckTime = time.Second
)

// login identifies the user by HTTP Basic (RFC 7617).
func (q *request) login(ctx context.Context) error {
	if q.TLS == nil && !q.h.cfg.AllowPlainBasic && !q.from.IsLoopback() {
		return refuse(http.StatusForbidden, "passwords are not accepted without TLS; use https")
	}
	if err := q.h.cfg.Auth.Allowed(q.from); err != nil {
		return q.refuseLogin(err)
	}
	if decided, err := q.loginByCertificate(ctx); decided {
		return err
	}
	user, password, ok := q.BasicAuth()
	if !ok {
		return q.challenge()
	}
	s, err := q.h.logins.get(ctx, q.from, user, password)
	if err != nil {
		return q.refuseLogin(err)
	}
	q.session = s
	return nil
}

// checkLogin is what the loginCache remembers the result of.
func (h *Handler) checkLogin(ctx context.Context, from netip.Addr, user, password string) (*session, error) {
	id, err := h.cfg.Auth.Password(ctx, from, user, password)
	if err == nil && id.NeedsCode { // Basic has no word for a second factor; an Authenticator that knows where it is asked refuses by itself
		err = fmt.Errorf("%w: a one-time code is needed besides", auth.ErrCredentials)
	}
	if err != nil {
		h.tellRefused(ctx, from, user, auth.ByPassword, err)
		return nil, err
	}
	return h.begin(ctx, from, id)
}

// begin makes the session of a user who has logged in, and tells of it.
func (h *Handler) begin(ctx context.Context, from netip.Addr, id auth.Identity) (*session, error) {
	s, err := h.newSession(ctx, id)
	told := auth.LoginEvent{Kind: auth.LoggedIn, From: from, User: id.User.Name, By: id.By, Err: err}
	if err != nil {
		told.Kind = auth.LoginRefused
	}
	auth.Tell(ctx, h.cfg.Auth, told)
	return s, err
}

func (h *Handler) tellRefused(ctx context.Context, from netip.Addr, user, by string, err error) {
	auth.Tell(ctx, h.cfg.Auth, auth.LoginEvent{Kind: auth.LoginRefused, From: from, User: user, By: by, Err: err})
}

func (q *request) challenge() error {
	q.w.Header().Set("WWW-Authenticate", "Basic realm="+strconv.QuoteToASCII(q.h.cfg.Realm)+`, charset="UTF-8"`)
	return refuse(http.StatusUnauthorized, "login required")
}

func (q *request) refuseLogin(err error) error {
	switch { // the Authenticator logs the reason
	case errors.Is(err, auth.ErrSessions):
		q.h.log.Info("login refused", "from", q.from, "reason", err)
		return refuse(http.StatusTooManyRequests, "too many sessions of this user are open; end one, or wait a few minutes")
	case errors.Is(err, auth.ErrBanned):
		return refuse(http.StatusTooManyRequests, "too many failed logins; try again later")
	case errors.Is(err, auth.ErrBusy), errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
		return refuse(http.StatusServiceUnavailable, "the server is busy; try again")
	case errors.Is(err, auth.ErrCredentials), errors.Is(err, auth.ErrDisabled):
		return q.challenge()
	}
	return err
}

// loginCache remembers for a minute that a password was right, since Basic sends
// it with every request and checking it costs a memory-hard hash. It asks an
// auth.Rechecker each recheckTime whether the user was changed since; with any other
// Authenticator a user who is disabled or changes the password is let in for up to
// that minute.
// It holds no password: the key is an HMAC of it under a key of this process.
type loginCache struct {
	check   func(ctx context.Context, from netip.Addr, user, password string) (*session, error)
	current func(auth.Identity) bool
	key     [32]byte
	macs    sync.Pool // of hash.Hash: HMACs under key
	now     func() time.Time
	flight  singleflight.Group

	mu      sync.Mutex
	entries map[loginKey]cachedLogin
}

type loginKey [sha256.Size]byte

type cachedLogin struct {
	session *session
	checked time.Time // when it was last current
	expires time.Time
}

func newLoginCache(check func(context.Context, netip.Addr, string, string) (*session, error), now func() time.Time) *loginCache {
	always := func(auth.Identity) bool { return true }
	return &loginCache{check: check, current: always, now: now, entries: make(map[loginKey]cachedLogin)}
}

// get returns the session from the cache, or checks. Requests that bring the
// same credentials from one address at once share one check.
func (c *loginCache) get(ctx context.Context, from netip.Addr, user, password string) (*session, error) {
	return c.getBy(ctx, c.keyOf("password", from.String(), user, password), func(ctx context.Context) (*session, error) {
		return c.check(ctx, from, user, password)
	})
}

// getBy is get for any login with a key of its own.
func (c *loginCache) getBy(ctx context.Context, key loginKey, check func(context.Context) (*session, error)) (*session, error) {
	if s, ok := c.cached(key); ok {
		return s, nil
	}
	done := c.flight.DoChan(string(key[:]), func() (any, error) {
		// Others may wait for this check, so it does not end with one request.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), loginLimit)
		defer cancel()
		s, err := guarded(ctx, check)
		if err == nil {
			c.put(key, s)
		}
		return s, err
	})
	select {
	case <-ctx.Done():
		return nil, ctx.Err()
	case r := <-done:
		if r.Err != nil {
			return nil, r.Err
		}
		return r.Val.(*session), nil
	}
}

// guarded is a check with a panic made an error: it runs in a goroutine of its own,
// where a panic would end the whole server.
func guarded(ctx context.Context, check func(context.Context) (*session, error)) (s *session, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("webdav: the login check panicked: %v\n%s", p, debug.Stack())
		}
	}()
	return check(ctx)
}

// keyOf is the key of a login by what was given for it; kind tells one way of logging in from the others.
func (c *loginCache) keyOf(kind string, given ...string) (k loginKey) {
	mac, ok := c.macs.Get().(hash.Hash)
	if !ok {
		mac = hmac.New(sha256.New, c.key[:])
	}
	defer c.macs.Put(mac)
	mac.Reset()
	text := make([]byte, 0, 256)
	text = appendCounted(text, kind)
	for _, s := range given {
		text = appendCounted(text, s)
	}
	mac.Write(text)
	clear(text)
	mac.Sum(k[:0])
	return k
}

func appendCounted(to []byte, s string) []byte {
	return append(binary.BigEndian.AppendUint64(to, uint64(len(s))), s...)
}

func (c *loginCache) cached(k loginKey) (*session, bool) {
	c.mu.Lock()
	e, ok := c.entries[k]
	c.mu.Unlock()
	now := c.now()
	switch {
	case !ok || !now.Before(e.expires):
		return nil, false
	case now.Sub(e.checked) < recheckTime:
		return e.session, true
	case !c.current(e.session.id):
		return nil, false
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.entries[k] == e { // else another login has taken its place, or none
		e.checked = now
		c.entries[k] = e
	}
	return e.session, true
}

func (c *loginCache) put(k loginKey, s *session) {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := c.now()
	if len(c.entries) >= maxLogins {
		for old, e := range c.entries {
			if !now.Before(e.expires) {
				delete(c.entries, old)
			}
		}
	}
	for old := range c.entries { // all fresh: any one has to go
		if len(c.entries) < maxLogins {
			break
		}
		delete(c.entries, old)
	}
	c.entries[k] = cachedLogin{session: s, expires: now.Add(loginTTL)} // checked by the next request: the file was read before the hash
}
