package oidc

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/oauth2"
)

// cookieName is of the cookie that binds a login to its browser. The prefix keeps other hosts of the domain from
// setting it (RFC 6265bis, section 4.1.3.2).
const cookieName = "__Host-gateway-oidc"

const (
	secretSize = 26      // characters of crypto/rand.Text, 130 bits
	maxCookie  = 3 << 10 // bytes; browsers keep 4 KiB with its name
)

// attempt is a login under way. All of it comes from one secret that the browser holds, so that nothing has to be
// kept here, and any node can finish it.
type attempt struct {
	Secret string `json:"s"`
	Begun  int64  `json:"b"`           // Unix seconds
	Next   string `json:"n,omitempty"` // where the browser is to go afterwards
}

// cookie is the attempt as the browser keeps it.
func (a attempt) cookie() string {
	text, _ := json.Marshal(a) // texts and a number: it cannot fail
	return base64.RawURLEncoding.EncodeToString(text)
}

// parseAttempt reads what cookie made. A browser may bring anything.
func parseAttempt(cookie string) (attempt, error) {
	var a attempt
	text, err := base64.RawURLEncoding.DecodeString(cookie)
	if err == nil {
		err = json.Unmarshal(text, &a)
	}
	if err != nil || len(a.Secret) < secretSize || len(cookie) > maxCookie {
		return attempt{}, fmt.Errorf("%w: its cookie cannot be read", ErrRefused)
	}
	return a, nil
}

// derive makes one of the values of a login that only this browser, at this provider, can have.
func (p *Provider) derive(a attempt, purpose string) string {
	mac := hmac.New(sha256.New, []byte(a.Secret))
	fmt.Fprintf(mac, "gateway oidc %s\n%s\n%s\n%d", purpose, p.config.Name, p.config.Issuer, a.Begun)
	return base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
}

// Begin sends the browser to the provider. next is where it is to go after the login; it comes back from
// Finish as it is given, and whether it is a place to go to is for the caller to say. An error is ErrUnavailable, and nothing
// was written to w.
func (p *Provider) Begin(w http.ResponseWriter, r *http.Request, next string) error {
	d, err := p.discover(r.Context())
	if err != nil {
		return err
	}
	a := attempt{Secret: rand.Text(), Begun: p.now().Unix(), Next: next}
	if len(a.cookie()) > maxCookie {
		a.Next = ""
	}
	http.SetCookie(w, p.setCookie(a.cookie(), int(loginTime/time.Second)))
	http.Redirect(w, r, p.oauth(d).AuthCodeURL(p.derive(a, "state"),
		oauth2.SetAuthURLParam("nonce", p.derive(a, "nonce")),
		oauth2.S256ChallengeOption(p.derive(a, "verifier"))), http.StatusSeeOther)
	return nil
}

// setCookie is Lax: the browser comes back from another site.
func (p *Provider) setCookie(value string, age int) *http.Cookie {
	return &http.Cookie{Name: cookieName, Value: value, Path: "/", MaxAge: age, Secure: true, HttpOnly: true, SameSite: http.SameSiteLaxMode}
}

// Finish is called with what the browser brings back from the provider, and returns the name of the user for whom the
// provider vouches. It fails with ErrRefused, ErrUnavailable or ErrCancelled; the error says why, for the log. In any case it
// sets a header of w, which ends the attempt, and writes nothing else.
func (p *Provider) Finish(w http.ResponseWriter, r *http.Request) (user, next string, err error) {
	http.SetCookie(w, p.setCookie("", -1))
	a, code, err := p.begun(r)
	if err != nil {
		return "", "", err
	}
	ctx, cancel := context.WithTimeout(r.Context(), 3*requestTime)
	defer cancel()
	select {
	case p.exchanges <- struct{}{}:
		defer func() { <-p.exchanges }()
	case <-ctx.Done():
		return "", "", fmt.Errorf("%w: too many logins are finished at once", ErrUnavailable)
	}
	d, err := p.discover(ctx)
	if err != nil {
		return "", "", err
	}
	claims, err := p.exchange(ctx, d, a, code)
	if err != nil {
		return "", "", err
	}
	user, err = p.config.userOf(claims)
	return user, a.Next, err
}

// begun finds the attempt that a browser comes back from, and the code that it brings (RFC 6749, section 4.1.2).
func (p *Provider) begun(r *http.Request) (attempt, string, error) {
	c, err := r.Cookie(cookieName)
	if err != nil {
		return attempt{}, "", fmt.Errorf("%w: it was not begun in this browser, or too long ago", ErrRefused)
	}
	a, err := parseAttempt(c.Value)
	if err != nil {
		return a, "", err
	}
	if age := p.now().Sub(time.Unix(a.Begun, 0)); age < -time.Minute || age > loginTime {
		return a, "", fmt.Errorf("%w: it was begun %v ago", ErrRefused, age.Round(time.Second))
	}
	q := r.URL.Query()
	for name, values := range q {
		if len(values) > 1 || len(values[0]) > maxParameter {
			return a, "", fmt.Errorf("%w: parameter %.20q is there twice, or too long", ErrRefused, name)
		}
	}
	state := p.derive(a, "state")
	switch {
	case !hmac.Equal([]byte(q.Get("state")), []byte(state)):
		return a, "", fmt.Errorf("%w: its state is not that of this browser", ErrRefused)
	case q.Has("iss") && q.Get("iss") != p.config.Issuer: // RFC 9207
		return a, "", fmt.Errorf("%w: the answer is of another provider, %.100q", ErrRefused, q.Get("iss"))
	case !p.finished.first(state, p.now()):
		return a, "", fmt.Errorf("%w: it was finished before", ErrRefused)
	case q.Has("error"):
		return a, "", fmt.Errorf("%w: %.50q %.200q", ErrCancelled, q.Get("error"), q.Get("error_description"))
	case q.Get("code") == "":
		return a, "", fmt.Errorf("%w: the provider gave no code", ErrRefused)
	}
	return a, q.Get("code"), nil
}

// exchange gets the claims for a code, and proves them.
func (p *Provider) exchange(ctx context.Context, d *discovered, a attempt, code string) (claims, error) {
	ctx = p.context(ctx)
	token, err := p.oauth(d).Exchange(ctx, code, oauth2.VerifierOption(p.derive(a, "verifier")))
	var refused *oauth2.RetrieveError
	switch {
	case errors.As(err, &refused) && refused.Response != nil && refused.Response.StatusCode < 500:
		return nil, fmt.Errorf("%w: the provider does not take the code: %w", ErrRefused, shortened(err))
	case err != nil:
		return nil, fmt.Errorf("%w: exchange the code: %w", ErrUnavailable, shortened(err))
	}
	raw, _ := token.Extra("id_token").(string)
	if raw == "" {
		return nil, fmt.Errorf("%w: the provider gave no ID token", ErrRefused)
	}
	id, err := d.verifier.Verify(ctx, raw)
	if err != nil {
		return nil, fmt.Errorf("%w: ID token: %w", ErrRefused, shortened(err))
	}
	if !hmac.Equal([]byte(id.Nonce), []byte(p.derive(a, "nonce"))) {
		return nil, fmt.Errorf("%w: the ID token is of another login (nonce)", ErrRefused)
	}
	if id.AccessTokenHash != "" {
		if err := id.VerifyAccessToken(token.AccessToken); err != nil {
			return nil, fmt.Errorf("%w: access token: %w", ErrRefused, shortened(err))
		}
	}
	var c claims
	if err := id.Claims(&c); err != nil {
		return nil, fmt.Errorf("%w: claims: %w", ErrRefused, shortened(err))
	}
	if party := c.text("azp"); (len(id.Audience) > 1 || party != "") && party != p.config.ClientID {
		return nil, fmt.Errorf("%w: the ID token is for another client, %.100q", ErrRefused, party)
	}
	return p.complete(ctx, d, token, c)
}

// complete adds the claims of the userinfo endpoint where the ID token lacks some that are needed.
func (p *Provider) complete(ctx context.Context, d *discovered, token *oauth2.Token, c claims) (claims, error) {
	needed := []string{p.config.UserClaim}
	if len(p.config.AllowedGroups) > 0 {
		needed = append(needed, p.config.GroupsClaim)
	}
	if !slices.ContainsFunc(needed, func(name string) bool { return c[name] == nil }) || d.provider.UserInfoEndpoint() == "" {
		return c, nil
	}
	info, err := d.provider.UserInfo(ctx, oauth2.StaticTokenSource(token))
	if err != nil {
		return nil, fmt.Errorf("%w: userinfo: %w", ErrUnavailable, shortened(err))
	}
	if info.Subject == "" || info.Subject != c.text("sub") { // OpenID Connect Core, section 5.3.2
		return nil, fmt.Errorf("%w: userinfo is of another subject", ErrRefused)
	}
	var more claims
	if err := info.Claims(&more); err != nil {
		return nil, fmt.Errorf("%w: userinfo: %w", ErrRefused, shortened(err))
	}
	for name, value := range more {
		if c[name] == nil {
			c[name] = value
		}
	}
	return c, nil
}

// finished remembers which logins were finished, by their state, for as long as they could be once more.
type finished struct {
	mu   sync.Mutex
	seen map[string]time.Time // until when
}

func newFinished() *finished { return &finished{seen: map[string]time.Time{}} }

// first reports whether it is the first time, and remembers it.
func (f *finished) first(state string, now time.Time) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if now.Before(f.seen[state]) {
		return false
	}
	if len(f.seen) >= maxRemembered {
		for old, until := range f.seen {
			if !now.Before(until) {
				delete(f.seen, old)
			}
		}
	}
	for old := range f.seen { // any one has to go: the provider takes no code twice either
		if len(f.seen) < maxRemembered {
			break
		}
		delete(f.seen, old)
	}
	f.seen[strings.Clone(state)] = now.Add(loginTime + time.Minute)
	return true
}
