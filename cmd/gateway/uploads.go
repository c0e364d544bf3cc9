package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"os"
	"path/filepath"
	"time"

	"gateway/auth"
	"gateway/ftpbridge"
	"gateway/sftpsrv"
	"gateway/storage"
)

type uploadsCmd struct {
	List    uploadsListCmd    `cmd:"" default:"withargs" help:"List uploads that broke off and can be continued (the default)."`
	Discard uploadsDiscardCmd `cmd:"" help:"Throw away what came of an upload that broke off."`
}

// interrupted is an upload of a user that broke off, or that is under way and would be continued if it did.
type interrupted struct {
	storage.Suspended
	at   place // without a store
	keep keeper
}

// keeper is where suspended uploads lie: a storage, or the spool of a mounted source.
type keeper struct {
	storage.Resumer
	suspended func(ctx context.Context, owner string) iter.Seq2[storage.Suspended, error]
}

// id names it on a command line.
func (u interrupted) id() string {
	sum := sha256.Sum256([]byte(u.at.storage + ":" + string(u.Token)))
	return hex.EncodeToString(sum[:6])
}

// until is when it is removed. One whose gateway was killed has no time set.
func (u interrupted) until() time.Time {
	if u.Until.IsZero() {
		return u.Updated.Add(sftpsrv.DefaultKeepPartial)
	}
	return u.Until
}

// interrupted yields the uploads of a user, or of all. What migrations keep is not theirs.
func (g *gateway) interrupted(ctx context.Context, owner string) iter.Seq2[interrupted, error] {
	return func(yield func(interrupted, error) bool) {
		for _, name := range g.cfg.StorageNames() {
			k, ok := g.keeper(name)
			if !ok {
				continue
			}
			for s, err := range k.suspended(ctx, owner) {
				if err == nil && auth.CheckName(s.Owner) != nil {
					continue
				}
				if err != nil {
					err = fmt.Errorf("storage %s: list interrupted uploads: %w", name, err)
				}
				if !yield(interrupted{Suspended: s, at: place{storage: name, name: s.Name}, keep: k}, err) || err != nil {
					return
				}
			}
		}
	}
}

func (g *gateway) keeper(name string) (keeper, bool) {
	if g.cfg.Storages[name].Source != "" {
		spool, ok := g.mounts.spools[name]
		return keeper{spool, func(ctx context.Context, owner string) iter.Seq2[storage.Suspended, error] {
			return ftpbridge.SpooledUploads(ctx, spool, owner)
		}}, ok
	}
	b, ok := g.storages[name]
	if !ok {
		return keeper{}, false
	}
	return keeper{b, b.Suspended}, true
}

// openSpools opens the spools of mounted sources that a serving gateway has made here.
func (g *gateway) openSpools() error {
	for _, name := range g.cfg.StorageNames() {
		dir := filepath.Join(g.cfg.MountsDir(), name, "spool")
		if _, err := os.Stat(dir); g.cfg.Storages[name].Source == "" || errors.Is(err, fs.ErrNotExist) {
			continue
		}
		spool, err := openFolder(dir, 0o700)
		if err != nil {
			return fmt.Errorf("storage %s: %w", name, err)
		}
		g.mounts.keepSpool(name, spool)
	}
	return nil
}

// expireUploads removes uploads that nobody continued in time. The sweep of a storage does so for those that have a time
// set, but not for those whose gateway was killed.
func (g *gateway) expireUploads(ctx context.Context, now time.Time) error {
	var errs []error
	for u, err := range g.interrupted(ctx, "") {
		if err == nil && !u.Claimed && u.until().Before(now) {
			err = u.keep.Discard(ctx, u.Token)
		}
		if err != nil && !errors.Is(err, storage.ErrBusy) && !errors.Is(err, fs.ErrNotExist) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// openForUploads is open with all places where uploads are kept.
func (e *env) openForUploads() (*gateway, error) {
	g, err := e.open()
	if err != nil {
		return nil, err
	}
	if err := g.openSpools(); err != nil {
		return nil, errors.Join(err, g.Close())
	}
	return g, nil
}

type uploadsListCmd struct {
	User string `help:"Only this user's." placeholder:"NAME"`
	JSON bool   `help:"Print a line of JSON for each." name:"json"`
}

// Run prints them by storage.
func (l *uploadsListCmd) Run(e *env) error {
	g, err := e.openForUploads()
	if err != nil {
		return err
	}
	defer g.Close()
	n := 0
	for u, err := range g.interrupted(e.ctx, l.User) {
		if err == nil {
			n++
			err = l.print(e, u)
		}
		if err != nil {
			return err
		}
	}
	if n == 0 && !l.JSON {
		_, err = fmt.Fprintln(e.out, "no upload has broken off")
	}
	return err
}

func (l *uploadsListCmd) print(e *env, u interrupted) error {
	if l.JSON {
		return printJSON(e.out, map[string]any{
			"id": u.id(), "path": u.at.String(), "user": u.Owner, "size": u.Size,
			"written": u.Updated, "until": u.until(), "open": u.Claimed,
		})
	}
	state := "kept until " + u.until().Local().Format(time.DateTime)
	if u.Claimed {
		state = "open now"
	}
	_, err := fmt.Fprintf(e.out, "%s  %s  %s\n  of %s, last written %s, %s\n",
		u.id(), printable(u.at.String()), sizeText(u.Size), u.Owner, u.Updated.Local().Format(time.DateTime), state)
	return err
}

type uploadsDiscardCmd struct {
	ID string `arg:"" help:"ID from the list."`
}

// Run throws it away. The published file of that name, if there is one, stays.
func (d *uploadsDiscardCmd) Run(e *env) error {
	g, err := e.openForUploads()
	if err != nil {
		return err
	}
	defer g.Close()
	for u, err := range g.interrupted(e.ctx, "") {
		if err != nil {
			return err
		}
		if u.id() != d.ID {
			continue
		}
		err = u.keep.Discard(e.ctx, u.Token)
		switch {
		case errors.Is(err, storage.ErrBusy):
			return fmt.Errorf("%s to %s is open now; end the session of %s, or wait until it is done", u.id(), printable(u.at.String()), u.Owner)
		case err != nil:
			return err
		}
		_, err = fmt.Fprintf(e.out, "discarded %s, %s of %s\n", printable(u.at.String()), sizeText(u.Size), u.Owner)
		return err
	}
	return fmt.Errorf("there is no interrupted upload %s; see: gateway uploads", printable(d.ID))
}
