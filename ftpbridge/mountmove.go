package ftpbridge

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"gateway/listing"
)

// move renames over old, which may be nil.
func (m *Mount) move(ctx context.Context, from, to string, old *mountEntry) error {
	return m.act(ctx, func(r Remote) error {
		if old != nil && old.typ == listing.Dir && !old.link {
			if err := r.RemoveDir(ctx, to); err != nil {
				return err
			}
			old = nil
		}
		err := r.Rename(ctx, from, to)
		var re *ReplyError
		if err == nil || old == nil || r.Broken() || !errors.As(err, &re) {
			return err
		}
		return m.moveAside(ctx, r, from, to, err)
	})
}

// asideSuffix ends the name of an old file while a new one takes its place, on
// servers that do not rename over files. Before it are characters of chance: a
// server may keep such a file for ever.
const (
	asideSuffix = ".gw-old"
	asideRandom = 6
)

// moveAside renames in two steps. Between them nothing is at to; if the second
// fails the first is taken back, by another session where this one is lost.
func (m *Mount) moveAside(ctx context.Context, r Remote, from, to string, refusal error) error {
	aside := to + "." + rand.Text()[:asideRandom] + asideSuffix
	if err := r.Rename(ctx, to, aside); err != nil {
		return errors.Join(refusal, err)
	}
	if err := r.Rename(ctx, from, to); err != nil {
		if back := m.moveBack(ctx, r, aside, to); back != nil {
			return fmt.Errorf("%w; the old file is now %q, and could not be moved back: %w", err, r.Show(aside), back)
		}
		return err
	}
	if err := r.Remove(ctx, aside); err != nil { // the new file has its name all the same
		m.log.Warn("mount: an old file is left on the server", "path", r.Show(aside), "error", err)
	}
	return nil
}

// moveBack gives the old file its name again, unless there is one of that name: the
// reply to a rename that was done may have been lost.
func (m *Mount) moveBack(ctx context.Context, r Remote, aside, to string) error {
	if !r.Broken() && ctx.Err() == nil {
		return r.Rename(ctx, aside, to)
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
	defer cancel()
	// Not by the pool: it may have no more than the one that broke and is still out.
	r, err := dialRemote(ctx, m.pool.src, m.pool.know)
	if err != nil {
		return err
	}
	defer r.Close()
	if _, err := r.Size(ctx, to); err == nil {
		return fmt.Errorf("%q: %w", r.Show(to), fs.ErrExist)
	}
	return r.Rename(ctx, aside, to)
}
