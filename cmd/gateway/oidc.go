package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"strings"

	"gateway/auth"
	"gateway/auth/oidc"
	"gateway/config"
	"gateway/storage"
	"gateway/webdav/page"
)

// oidcPath is where logins at providers begin, and, with the provider's name and "/callback", end.
const oidcPath = "/.gateway/oidc/"

// newProvider is the provider of a configuration. It is not asked anything yet.
func newProvider(c config.Config, name string, log *slog.Logger) (*oidc.Provider, error) {
	o := c.OIDC[name]
	secret, err := o.ClientSecret()
	if err != nil {
		return nil, c.Mistake("oidc."+name, err)
	}
	client, err := clientOf(o)
	if err != nil {
		return nil, c.Mistake("oidc."+name+".ca_file", err)
	}
	p, err := oidc.New(oidc.Config{
		Name: name, Issuer: o.Issuer, ClientID: o.ClientID, ClientSecret: secret, RedirectURL: o.URL + oidcPath + name + "/callback",
		Scopes: o.Scopes, UserClaim: o.UserClaim, AllowedDomains: o.AllowedDomains, StripDomain: o.StripDomain,
		AllowedGroups: o.AllowedGroups, GroupsClaim: o.GroupsClaim, Client: client, Logger: log,
	})
	if err != nil {
		return nil, c.Mistake("oidc."+name, err)
	}
	return p, nil
}

// clientOf trusts the authorities of ca_file; nil where there is none.
func clientOf(o config.OIDC) (*http.Client, error) {
	roots, err := rootsOf(o.CAFile)
	if roots == nil || err != nil {
		return nil, err
	}
	t := http.DefaultTransport.(*http.Transport).Clone()
	t.TLSClientConfig = &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}
	return &http.Client{Transport: t}, nil
}

// signIns let people log in to the page at providers.
type signIns struct {
	providers map[string]*oidc.Provider
	logins    *auth.Logins
	log       *slog.Logger
	// start begins a session of the page for a user, and fails with auth.ErrCredentials or auth.ErrDisabled where there
	// is none to begin.
	start func(w http.ResponseWriter, r *http.Request, user, by string) error
	from  func(*http.Request) netip.Addr
}

func newSignIns(c config.Config, logins *auth.Logins, log *slog.Logger) (*signIns, error) {
	s := &signIns{providers: map[string]*oidc.Provider{}, logins: logins, log: log}
	for _, name := range c.ProviderNames() {
		p, err := newProvider(c, name, log)
		if err != nil {
			return nil, err
		}
		s.providers[name] = p
	}
	return s, nil
}

// discover asks the providers what they are, so that the log says at the start what is wrong. One that
// is down is asked again when somebody logs in.
func (s *signIns) discover(ctx context.Context) {
	for name, p := range s.providers {
		if err := p.Discover(ctx); err != nil && ctx.Err() == nil {
			s.log.Warn("nobody can log in at a provider now; it is asked again when somebody does", "oidc", name, "error", err)
		}
	}
}

// serves reports whether a path is one of logins at providers.
func (s *signIns) serves(path string) bool { return s != nil && strings.HasPrefix(path, oidcPath) }

// ServeHTTP begins and ends logins.
func (s *signIns) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	hd := w.Header()
	hd.Set("Cache-Control", "no-store")
	hd.Set("Referrer-Policy", "no-referrer") // the address has the code
	name, rest, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, oidcPath), "/")
	p := s.providers[name]
	switch {
	case r.Method != http.MethodGet:
		sayLogin(w, http.StatusMethodNotAllowed, "This cannot be done here.")
	case p == nil || rest != "" && rest != "callback":
		sayLogin(w, http.StatusNotFound, "There is no such way to log in.")
	case s.logins.Allowed(s.from(r)) != nil:
		sayLogin(w, http.StatusTooManyRequests, "There were too many failed logins from your address. Wait a while, then try again.")
	case rest == "":
		if err := p.Begin(w, r, page.LocalPath(r.URL.Query().Get("next"))); err != nil {
			s.failed(w, r, name, "", err)
		}
	default:
		s.finish(w, r, p, name)
	}
}

func (s *signIns) finish(w http.ResponseWriter, r *http.Request, p *oidc.Provider, name string) {
	user, next, err := p.Finish(w, r)
	if err == nil {
		if err = s.start(w, r, user, "oidc:"+name); err != nil {
			err = fmt.Errorf("user %.100q: %w", user, err)
		}
	}
	if err != nil {
		s.failed(w, r, name, user, err)
		return
	}
	http.Redirect(w, r, page.LocalPath(next), http.StatusSeeOther)
}

// failed says to the browser as much as it needs to know, and the rest to the log. user is "" where none is known.
func (s *signIns) failed(w http.ResponseWriter, r *http.Request, name, user string, err error) {
	from := s.from(r)
	switch {
	case errors.Is(err, oidc.ErrCancelled):
		s.log.Info("login refused", "by", "oidc:"+name, "from", from, "reason", err)
		sayLogin(w, http.StatusForbidden, "You did not log in.")
	case errors.Is(err, oidc.ErrRefused), errors.Is(err, auth.ErrCredentials), errors.Is(err, auth.ErrDisabled):
		s.log.Info("login refused", "by", "oidc:"+name, "from", from, "reason", err)
		s.logins.Failed(from)
		ctx := storage.WithOrigin(r.Context(), storage.Origin{Protocol: "page", Address: from})
		auth.Tell(ctx, s.logins, auth.LoginEvent{Kind: auth.LoginRefused, From: from, User: user, By: "oidc:" + name, Err: err})
		sayLogin(w, http.StatusForbidden, "You could not be logged in. Try once more; if it fails again, ask those who run this server whether you have a user here.")
	default:
		s.log.Error("login at a provider failed", "by", "oidc:"+name, "from", from, "error", err)
		sayLogin(w, http.StatusServiceUnavailable, "The login cannot be used at the moment. Try again later.")
	}
}

// sayLogin is a page of one sentence.
func sayLogin(w http.ResponseWriter, status int, text string) {
	hd := w.Header()
	hd.Set("Content-Type", "text/html; charset=utf-8")
	hd.Set("Content-Security-Policy", "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'")
	hd.Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	fmt.Fprintf(w, "<!doctype html>\n<html lang=\"en\"><meta name=\"viewport\" content=\"width=device-width\"><title>Log in</title>\n<p>%s\n<p><a href=\"/.gateway/login\">Back to the login</a>\n", text)
}
