package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"gateway/integrity"
	"gateway/internal/durable"
	"gateway/state"
	"gateway/webdav"
	"gateway/webdav/page"
)

// newPage makes the page for browsers; nil where it is off.
func (s *serving) newPage() (webdav.Page, error) {
	c := s.g.cfg.Page
	if c.Off {
		return nil, nil
	}
	key, err := pageKey(s.g.cfg.KeysDir())
	if err != nil {
		return nil, err
	}
	longest := c.SharesLongest
	if c.SharesOff {
		longest = -1
	}
	return page.New(page.Config{
		Auth: s.logins, Open: s.g.view, State: s.g.state, Key: key, Catalogue: catalogue{s.g}, Logger: s.g.log.With("front", "page"),
		Title: c.Title, SessionIdle: c.SessionIdle, SessionLongest: c.SessionLongest, ShareLongest: longest,
	})
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

// endShares ends the shares of what was moved or removed.
func (g guard) endShares(ctx context.Context, tree string) {
	if c, ok := g.state.(*calm); ok && c.shares.holds(ctx) {
		return
	}
	if err := g.state.RemoveSharesBelow(ctx, tree); err != nil {
		g.log.Error("shares did not end with their file; links to it show what is stored there next", "of", tree, "error", err)
	}
}
