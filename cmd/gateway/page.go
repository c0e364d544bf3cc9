package main

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"

	"gateway/config"
	"gateway/integrity"
	"gateway/internal/durable"
	"gateway/state"
	"gateway/webdav"
	"gateway/webdav/page"
)

// browsers is the page with the ways to log in to it at providers.
type browsers struct {
	*page.Handler
	signIns *signIns
}

// Serves implements webdav.Page.
func (b browsers) Serves(r *http.Request) bool {
	return r.TLS != nil && b.signIns.serves(r.URL.Path) || b.Handler.Serves(r)
}

// ServeHTTP implements http.Handler.
func (b browsers) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if b.signIns.serves(r.URL.Path) {
		b.signIns.ServeHTTP(w, r)
		return
	}
	b.Handler.ServeHTTP(w, r)
}

// newPage makes the page for browsers; nil where it is off. Providers are asked what they are until ctx ends.
func (s *serving) newPage(ctx context.Context) (webdav.Page, error) {
	c := s.g.cfg
	if c.Page.Off {
		return nil, nil
	}
	key, err := pageKey(c.KeysDir())
	if err != nil {
		return nil, err
	}
	b := browsers{}
	if b.signIns, err = newSignIns(c, s.logins, s.g.log); err != nil {
		return nil, err
	}
	longest := c.Page.SharesLongest
	if c.Page.SharesOff {
		longest = -1
	}
	b.Handler, err = page.New(page.Config{
		Auth: s.logins, Open: s.g.view, OpenShared: s.g.tree, State: s.g.state, Key: key, Catalogue: catalogue{s.g}, Logger: s.g.log.With("front", "page"),
		Certificate: func(r *http.Request) (string, bool) { return s.handler.CertificateUser(r) }, // it is there before requests are
		Title:       c.Page.Title, SignIn: signInButtons(c), SessionIdle: c.Page.SessionIdle, SessionLongest: c.Page.SessionLongest, ShareLongest: longest,
	})
	if err != nil {
		return nil, err
	}
	b.signIns.start, b.signIns.from = b.StartSession, webdav.RemoteAddr
	go b.signIns.discover(ctx)
	return b, nil
}

// signInButtons lead to the providers.
func signInButtons(c config.Config) (list []page.SignIn) {
	for _, name := range c.ProviderNames() {
		list = append(list, page.SignIn{Label: cmp.Or(c.OIDC[name].Label, "Log in with "+name), URL: oidcPath + name})
	}
	return list
}

// pageKey is what links and tokens of the page are signed with. It is made at the first start.
func pageKey(dir string) ([]byte, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("folder for keys: %w", err)
	}
	file := filepath.Join(dir, "page.key")
	key := make([]byte, page.KeySize)
	_, _ = rand.Read(key) // never fails
	err := durable.CreateFile(file, key)
	if errors.Is(err, fs.ErrExist) {
		key, err = os.ReadFile(file)
	}
	if err != nil {
		return nil, fmt.Errorf("key of the page: %w", err)
	}
	if len(key) != page.KeySize {
		return nil, fmt.Errorf("key of the page: %s has %d bytes, not %d; remove it, and a new one is made: links that are shared then work no more", file, len(key), page.KeySize)
	}
	return key, nil
}

// catalogue tells the page what migrations published.
type catalogue struct{ g *gateway }

// Any implements page.Catalogue.
func (c catalogue) Any(ctx context.Context, key, folder string) (bool, error) {
	prefix := key + ":"
	if folder != "" {
		prefix += folder + "/"
	}
	for _, err := range c.g.ledger(key).Publications(ctx, prefix) {
		return err == nil, err
	}
	return false, nil
}

// Published implements page.Catalogue.
func (c catalogue) Published(ctx context.Context, key, name string) (*page.Published, error) {
	p, err := c.g.ledger(key).Publication(ctx, key+":"+name)
	if errors.Is(err, state.ErrNotFound) || err == nil && !p.Removed.IsZero() {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	does, not := integrity.Verdict(p.Verdict).Promise()
	return &page.Published{
		Source: p.Source, Verdict: p.Verdict, Does: does, Not: not, Reason: p.Reason,
		Size: p.Size, SHA256: p.SHA256, At: p.Published,
	}, nil
}

// endOrphans ends the shares of users who were removed, so that nobody of the same name inherits them.
func (g *gateway) endOrphans(ctx context.Context) error {
	all, err := g.state.SharesOf(ctx, "")
	if err != nil {
		return err
	}
	gone := map[string]bool{}
	for _, s := range all {
		if _, known := gone[s.User]; !known {
			_, err := g.users.Get(ctx, s.User)
			gone[s.User] = errors.Is(err, fs.ErrNotExist)
		}
		if gone[s.User] {
			err = errors.Join(err, g.state.RemoveShare(ctx, s.ID))
		}
	}
	return err
}

// endShares ends the shares of what was moved or removed.
func (g guard) endShares(ctx context.Context, tree string) {
	if c, ok := g.state.(*calm); ok && c.shares.holds(ctx) {
		return
	}
	if err := g.state.RemoveSharesBelow(ctx, tree); err != nil {
		g.log.Error("shares did not end with their file; links to it show what is stored there next", "of", tree, "error", err)
	}
}
